"""What the simulated devices of a world say of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local import web

REFUSED = "registration refused: FORBIDDEN"


def refused(ready_file: Path) -> list[str]:
    """Return the names of the simulated devices that Leshan refuses; none where no simulator answers."""
    try:
        port = json.loads(ready_file.read_text(encoding="utf-8"))["control"]
        status, text = web.request(port, "GET", "/devices", timeout=5)
    except (OSError, ValueError):
        return []
    devices: list[dict[str, Any]] = json.loads(text) if status == 200 else []
    return [device["ep"] for device in devices if (device["last_failure"] or "").startswith(REFUSED)]
