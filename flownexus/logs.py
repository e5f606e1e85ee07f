"""Logs: a JSON object a line, and in each the id of the message that it is about.

The id goes from part to part in the header CORRELATION_ID. Leshan gives one to each delivery, and an
operation's is operation-<its id>. A caller may send its own; what comes without has that of the gateway.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from pythonjsonlogger.json import JsonFormatter

CORRELATION_ID: Final = "X-Correlation-ID"
CALL_ID: Final = "X-Call-Id"
"""The header in which OpenFaaS's gateway numbers the calls that it passes on."""
_FORM: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_current: ContextVar[str | None] = ContextVar("correlation_id", default=None)


def correlation_id(header: Callable[[str], str | None]) -> str | None:
    """Return the id that a request has, `header` of whom gives its headers; None where it has none."""
    given = header(CORRELATION_ID) or header(CALL_ID)
    return given if given is not None and _FORM.fullmatch(given) else None


def operation_id(id_: int) -> str:
    """Return the correlation id of an operation."""
    return f"operation-{id_}"


def current_id() -> str | None:
    """Return the id of the message at hand."""
    return _current.get()


def correlate(id_: str | None) -> None:
    """Have the rest of this request, or of this task, logged with an id."""
    _current.set(id_)


@contextmanager
def correlated(id_: str) -> Iterator[None]:
    """Have what is done inside logged with an id."""
    token = _current.set(id_)
    try:
        yield
    finally:
        _current.reset(token)


class _CorrelatedRecord(logging.LogRecord):
    """A record that knows which message it is about."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        if (id_ := _current.get()) is not None:
            self.correlation_id = id_


def add_correlation_ids() -> None:
    """Have every record made from now on carry the id at hand, as its attribute `correlation_id`."""
    logging.setLogRecordFactory(_CorrelatedRecord)


def log_to_stderr(level: str, format_: str) -> None:
    """Have records of `level` and above written to stderr: `format_` is json or text.

    Raises ValueError for any other, and for what is no level.
    """
    handler = logging.StreamHandler(sys.stderr)
    if format_ == "json":
        names = {"levelname": "level", "name": "logger", "message": "message"}
        handler.setFormatter(JsonFormatter(list(names), rename_fields=names, timestamp="time"))
    elif format_ == "text":
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    else:
        raise ValueError(f"a log's format is json or text, not {format_!r}")
    logging.basicConfig(level=level.upper(), handlers=[handler])
    add_correlation_ids()
