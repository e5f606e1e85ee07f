"""The fields of a form for the windows in which devices may install."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flownexus.firmware.window import SERVER

FIELDS: Final = ("cron", "minutes", "time_zone")


def windows_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Return them as the REST API takes them; nothing where the form names no window."""
    cron, minutes, zone = (given[name].strip() for name in FIELDS)
    if not cron and not minutes:
        return {}
    number = int(minutes) if minutes.isascii() and minutes.isdigit() and len(minutes) < 10 else minutes
    return {"windows": [{"cron": cron, "minutes": number}], "time_zone": zone or SERVER}
