"""Lines of a log: JSON objects, as our parts write them, or text, as PostgreSQL and NATS do."""

from __future__ import annotations

import json
from typing import Any

_WRITTEN_FIRST = ("time", "level", "logger", "message", "exc_info")


def readable(line: str) -> str:
    """Return a line as people read it: level, logger, message, then what else there is as name=value."""
    fields = fields_of(line)
    if fields is None:
        return line
    head = " ".join(str(fields[name]) for name in ("level", "logger") if name in fields)
    rest = "".join(f" {name}={value}" for name, value in fields.items() if name not in _WRITTEN_FIRST)
    trace = f"\n{fields['exc_info']}" if fields.get("exc_info") else ""
    return f"{head}: {fields['message']}{rest}{trace}"


def is_about(line: str, id_: str) -> bool:
    """Say whether a line is about the message with this correlation id."""
    fields = fields_of(line)
    return fields is not None and fields.get("correlation_id") == id_


def fields_of(line: str) -> dict[str, Any] | None:
    """Return the fields of a line in JSON, None of another."""
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "message" in fields else None
