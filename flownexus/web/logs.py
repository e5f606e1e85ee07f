"""Entries of devices' logs, as REST, the newest first.

GET /v1/logs                    ?endpoint=&from=&to=&severity=&source=&text=&limit=50&cursor=:
                                {"entries": [...], "next": <cursor> | null}
GET /v1/endpoints/<name>/logs   the same of one endpoint

`severity` asks for entries at least so grave, `text` for a part of the message. 404 where the endpoint was
never seen.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flask import Blueprint, Flask, request

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.device_log import Severity
from flownexus.store.device_log import LogEntry, LogSearch, search_log
from flownexus.store.pool import Pool
from flownexus.web import paging
from flownexus.web.guard import Scope
from flownexus.web.places import known_name

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR: Final = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)
_SEVERITIES: Final = {each.name.lower(): each for each in Severity}


def add_logs(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app; its <endpoint_name:...> is that of flownexus.web.endpoints."""
    routes = Blueprint("logs", __name__, url_prefix="/v1")

    @routes.get("/logs", scope=Scope.READ)
    def logs() -> dict[str, Any]:
        return _answer(pool, paging.endpoint_name("endpoint"))

    @routes.get("/endpoints/<endpoint_name:name>/logs", scope=Scope.READ)
    def of_endpoint(name: str) -> dict[str, Any]:
        return _answer(pool, known_name(name))

    app.register_blueprint(routes)


def _answer(pool: Pool, endpoint: str | None) -> dict[str, Any]:
    limit = paging.limit()
    start, end = paging.time("from"), paging.time("to")
    search = LogSearch(endpoint, start, end, _severity(), _text("source"), _text("text"), _cursor())
    found = search_log(pool, search, limit + 1)
    return paging.page("entries", found, limit, LogEntry.as_json, _cursor_of)


def _cursor_of(entry: LogEntry) -> str:
    return f"{(entry.time - _EPOCH) // timedelta(microseconds=1)}-{entry.id}"


def _cursor() -> tuple[datetime, int] | None:
    text = request.args.get("cursor")
    match = None if text is None else _CURSOR.fullmatch(text)
    if text is None:
        return None
    try:
        if match is not None:
            return _EPOCH + timedelta(microseconds=int(match[1])), int(match[2])
    except OverflowError:
        pass
    raise ValidationFailedError("cursor: none of ours; send `next` of the page before as it is")


def _severity() -> Severity | None:
    text = paging.one_of("severity", tuple(_SEVERITIES))
    return None if text is None else _SEVERITIES[text]


def _text(name: str) -> str | None:
    text = request.args.get(name)
    if text is not None and (not text or "\0" in text):
        raise ValidationFailedError(f"{name}: at least one character, without NUL")
    return text
