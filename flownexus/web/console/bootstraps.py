"""The newest bootstrap sessions, with why they failed or were refused."""

from __future__ import annotations

from typing import Final

from flask import Response

from flownexus.store.bootstrap import list_sessions
from flownexus.web.console.app import Access, ConsoleApp, page

SESSIONS: Final = 20


def add_bootstraps(app: ConsoleApp) -> None:
    """Add this route."""

    @app.get("/bootstrap", access=Access.VIEWER)
    def bootstraps() -> Response:
        return page("bootstraps.html", sessions=list_sessions(app.pool, None, SESSIONS))
