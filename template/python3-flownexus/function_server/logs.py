"""Logs on stderr: a JSON object a line, or text for people."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

from function_server.settings import FunctionServerSettings

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
JSON = {"levelname": "level", "name": "logger", "message": "message"}
"""Names of a record's attributes, and what they are called in a line; `time` comes first, `extra` last."""


def log_to_stderr(settings: FunctionServerSettings) -> None:
    """Have all records of `log_level` and above written in `log_format`."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter(list(JSON), rename_fields=JSON, timestamp="time"))
    else:
        handler.setFormatter(logging.Formatter(TEXT))
    logging.basicConfig(level=settings.log_level, handlers=[handler])
