"""Entries of devices' logs, as REST, the newest first.

GET /v1/logs                    ?endpoint=&from=&to=&severity=&source=&text=&limit=50&cursor=:
                                {"entries": [...], "next": <cursor> | null}
GET /v1/endpoints/<name>/logs   the same of one endpoint

`severity` asks for entries at least so grave, `text` for a part of the message. 404 where the endpoint was
never seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from flask import Blueprint, Flask, Response

from flownexus.errors import NotAcceptableError, NotFoundError, TooWideError
from flownexus.lwm2m.device_log import Severity
from flownexus.store.device_log import LogEntry, LogSearch, search_log
from flownexus.store.pool import Pool
from flownexus.web import paging
from flownexus.web.asked import EndpointName, OfList, SomeText, TimeText
from flownexus.web.formats import Listing, columns_of, listed
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown
from flownexus.web.paging import Cursors, Key, Number, Time
from flownexus.web.places import known_name

ENTRY: Final = shown(LogEntry)


class SeverityName(StrEnum):
    """The severities by name (RFC 5424, 6.2.1), the gravest first."""

    EMERGENCY = "emergency"
    ALERT = "alert"
    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"
    INFO = "info"
    DEBUG = "debug"


class WhichEntries(OfList, frozen=True):
    """Which entries are listed: at least so grave, of a part of the device, with a part of the message."""

    from_: TimeText | None = msgspec.field(name="from", default=None)
    to: TimeText | None = None
    severity: SeverityName | None = None
    source: SomeText | None = None
    text: SomeText | None = None


class WhichLogs(WhichEntries, frozen=True):
    """Which entries of which endpoint are listed."""

    endpoint: EndpointName | None = None


def add_logs(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app; its <endpoint_name:...> is that of flownexus.web.endpoints."""
    routes = Blueprint("logs", __name__, url_prefix="/v1")
    told: Mapping[str, Any] = {
        "answers": {200: listed("entries", ENTRY)},
        "refusals": [NotAcceptableError, NotFoundError, TooWideError],
    }

    @routes.get("/logs", scope=Scope.READ, query=WhichLogs, **told)
    def logs(query: WhichLogs) -> Response:
        """List entries of devices' logs, the newest first."""
        return _answer(pool, query.endpoint, query)

    @routes.get("/endpoints/<endpoint_name:name>/logs", scope=Scope.READ, query=WhichEntries, **told)
    def of_endpoint(name: str, query: WhichEntries) -> Response:
        """List entries of a device's log, the newest first."""
        return _answer(pool, known_name(name), query)

    app.register_blueprint(routes)


def _answer(pool: Pool, endpoint: str | None, query: WhichEntries) -> Response:
    start, end = paging.time("from"), paging.time("to")
    severity = None if query.severity is None else Severity[query.severity.name]
    search = LogSearch(endpoint, start, end, severity, query.source, query.text)
    cursors = Cursors("entries", {"endpoint": endpoint, **_filters(query)})

    def read(after: Key | None, limit: int) -> Sequence[LogEntry]:
        return search_log(pool, search._replace(before=(after[0], after[1]) if after else None), limit)

    return Listing(
        "entries",
        cursors,
        cursors.asked(Time, Number),
        read,
        lambda entry: (entry.time, entry.id),
        LogEntry.as_json,
        columns_of(ENTRY),
    ).answer()


def _filters(query: WhichEntries) -> dict[str, object]:
    """Return what a cursor holds for."""
    return {name: getattr(query, name) for name in WhichEntries.__struct_fields__ if name not in _OF_PAGE}


_OF_PAGE: Final = OfList.__struct_fields__
