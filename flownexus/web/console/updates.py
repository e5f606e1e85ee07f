"""Updates of single devices by a firmware package: begun, watched step by step, cancelled."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, make_response, redirect, request, url_for

from flownexus.errors import ValidationFailedError
from flownexus.firmware.window import schedule_of
from flownexus.operations.why import why
from flownexus.store.firmware import list_packages, show_package
from flownexus.store.operation_why import facts_of
from flownexus.store.update import cancel_update, list_updates, may_be_cancelled, show_update, start_update
from flownexus.web import paging
from flownexus.web.asked import MAX_ROW_ID
from flownexus.web.console.app import Access, ConsoleApp, fields, me, page
from flownexus.web.console.devices import if_changed
from flownexus.web.console.firmware import MAX_PACKAGE_ID
from flownexus.web.console.windows import FIELDS, windows_of
from flownexus.web.places import known_id

PAGE: Final = 50
CHOICE: Final = 200
"""How many packages a form offers, the newest."""
WHICH: Final = {"": None, "open": True, "ended": False}


def add_updates(app: ConsoleApp) -> None:
    """Add these routes."""

    @app.get("/updates", access=Access.VIEWER)
    def updates() -> Response:
        return page("updates.html", **_updates(app))

    @app.get("/live/updates", access=Access.VIEWER, live=True)
    def live_updates() -> Response:
        return if_changed("updates_part.html", **_updates(app))

    @app.get("/updates/new", access=Access.OPERATOR)
    def new_update() -> Response:
        endpoint = paging.endpoint_name("device") or ""
        return page(
            "new_update.html", endpoint=endpoint, packages=usable(app), chosen=request.args.get("firmware")
        )

    @app.post("/updates", access=Access.OPERATOR)
    def begin_update() -> Response:
        given = fields(("device", "firmware", *FIELDS))
        asked = windows_of(given)
        schedule = schedule_of(asked["windows"], asked["time_zone"]) if asked else None
        begun = start_update(
            app.pool, given["device"].strip(), package_id(given["firmware"]), me().name, schedule
        )
        return make_response(redirect(url_for("update", id_=begun.id), 303))

    @app.get("/updates/<int:id_>", access=Access.VIEWER)
    def update(id_: int) -> Response:
        return page("update.html", **_update(app, id_))

    @app.get("/live/updates/<int:id_>", access=Access.VIEWER, live=True)
    def live_update(id_: int) -> Response:
        return if_changed("update_part.html", **_update(app, id_))

    @app.post("/updates/<int:id_>/cancel", access=Access.OPERATOR)
    def end_update(id_: int) -> Response:
        cancel_update(app.pool, known_id(id_, "update"), me().name)
        return make_response(redirect(url_for("update", id_=id_), 303))


def usable(app: ConsoleApp) -> list[Any]:
    """Return the packages by which devices can be updated, the newest first."""
    return [
        each
        for each in list_packages(app.pool, None, CHOICE)
        if each.completed_at is not None and each.retired_at is None
    ]


def package_id(text: str) -> int:
    """Return the id of a package that a form names; raise ValidationFailedError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= MAX_PACKAGE_ID):
        raise ValidationFailedError("firmware: choose a package")
    return int(text)


def _updates(app: ConsoleApp) -> dict[str, Any]:
    endpoint, which = paging.endpoint_name("device") or None, request.args.get("which", "")
    if which not in WHICH:
        raise ValidationFailedError("which: open, ended, or left out")
    cursor = paging.number("cursor", MAX_ROW_ID)
    found = list_updates(app.pool, endpoint, WHICH[which], cursor, PAGE + 1)
    return {
        "updates": found[:PAGE],
        "next": found[PAGE - 1].id if len(found) > PAGE else None,
        "cursor": cursor,
        "endpoint": endpoint,
        "which": which,
        "choices": list(WHICH),
        "seen": "",
    }


def _update(app: ConsoleApp, id_: int) -> dict[str, Any]:
    update, steps = show_update(app.pool, known_id(id_, "update"))
    waits = None if update.operation is None else facts_of(app.pool, update.operation)
    return {
        "update": update,
        "package": show_package(app.pool, update.firmware),
        "steps": steps,
        "why": update.why(None if waits is None else why(waits).sentence),
        "may_cancel": may_be_cancelled(app.pool, id_),
        "seen": "",
    }
