"""The log of a device: its lines, the newest first, followed as they come."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, request

from flownexus.lwm2m.device_log import Severity
from flownexus.store.device_log import LogSearch, search_log
from flownexus.web import paging
from flownexus.web.console.app import Access, ConsoleApp, page
from flownexus.web.console.devices import device_name, if_changed

PAGE: Final = 100
MAX_TEXT: Final = 200  # characters
SEVERITIES: Final = {each.name.lower(): each for each in Severity}


def add_logs(app: ConsoleApp) -> None:
    """Add these routes."""

    @app.get("/device/log", access=Access.VIEWER)
    def device_log() -> Response:
        return page("log.html", **_log(app))

    @app.get("/live/device/log", access=Access.VIEWER, live=True)
    def live_device_log() -> Response:
        return if_changed("log_part.html", **_log(app))


def _log(app: ConsoleApp) -> dict[str, Any]:
    name, severity = device_name(), paging.one_of("severity", ("", *SEVERITIES)) or None
    text = request.args.get("text", "").replace("\0", "")[:MAX_TEXT]
    cursors = paging.Cursors("log", {"name": name, "severity": severity, "text": text})
    search = LogSearch(
        name,
        severity=None if severity is None else SEVERITIES[severity],
        text=text or None,
        before=cursors.asked(paging.Time, paging.Number),
    )
    found = search_log(app.pool, search, PAGE + 1)
    entries = found[:PAGE]
    return {
        "name": name,
        "entries": entries,
        "severity": severity,
        "severities": list(SEVERITIES),
        "text": text,
        "cursor": request.args.get("cursor"),
        "older": cursors.write((entries[-1].time, entries[-1].id)) if len(found) > PAGE else None,
    }
