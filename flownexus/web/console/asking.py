"""Operations: those that there are, and new ones, asked for in the tree of a device."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from flask import Response, make_response, redirect, request, url_for

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import BadPathError, Path
from flownexus.lwm2m.value import DataType
from flownexus.operations.lifecycle import ENDED, Status
from flownexus.operations.new_operation import parse_operation
from flownexus.operations.why import why
from flownexus.store.audit import note
from flownexus.store.endpoint_values import newest_values
from flownexus.store.operation_requests import (
    MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
    Operation,
    cancel_within,
    create_within,
    list_newest,
    show,
)
from flownexus.store.operation_why import facts_of, reasons_of
from flownexus.store.transaction import Transaction, transaction
from flownexus.web import paging
from flownexus.web.asked import MAX_ROW_ID
from flownexus.web.console.app import Access, ConsoleApp, fields, is_fragment, me, page
from flownexus.web.console.devices import device_name, dom_id, if_changed
from flownexus.web.places import known_id

PAGE: Final = 50
NAMED: Final = ("reboot", "registration-update-trigger", "disable", "set-clock", "factory-reset")
"""Operations that need no path."""
BY_PATH: Final = ("read", "observe", "cancel-observe", "discover", "execute", "write", "delete")
KINDS: Final = (*BY_PATH, *NAMED)
"""What the console asks for; the REST API has more."""
Hint = Callable[..., None]
"""Tells of endpoints by their names."""


def add_asking(app: ConsoleApp, hint: Hint, max_queued: int = MAX_QUEUED_OPERATIONS_PER_ENDPOINT) -> None:
    """Add these routes; `hint` tells of an endpoint that has one, of which `max_queued` may wait."""

    @app.get("/device/ask", access=Access.OPERATOR)
    def ask_form() -> Response:
        return _form(app)

    @app.post("/device/ask", access=Access.OPERATOR)
    def ask() -> Response:
        endpoint = device_name()
        given = fields(("do", "operation", "path", "type", "value", "arguments"))
        if given["do"]:  # a button of the tree names both
            given["operation"], _, given["path"] = given["do"].partition(" ")
        if given["operation"] not in KINDS:
            raise ValidationFailedError(f"operation: one of {', '.join(KINDS)}")
        new = parse_operation({"endpoint": endpoint, **body_of(given)})

        def work(current: Transaction) -> Operation:
            queued = create_within(current.connection, new, me().name, max_queued=max_queued)
            note(
                current.connection,
                me().name,
                "operation-queued",
                endpoint,
                operation=queued.id,
                kind=queued.operation,
                path=queued.path,
            )
            return queued

        queued = transaction(app.pool, work)
        hint(endpoint)
        if is_fragment():
            return page("operation_card.html", **_shown(app, queued))
        return make_response(redirect(url_for("operation", id_=queued.id), 303))

    @app.get("/operations", access=Access.VIEWER)
    def operations() -> Response:
        return page("operations.html", **_operations(app))

    @app.get("/live/operations", access=Access.VIEWER, live=True)
    def live_operations() -> Response:
        return if_changed("operations_part.html", **_operations(app))

    @app.get("/operations/<int:id_>", access=Access.VIEWER)
    def operation(id_: int) -> Response:
        return page("operation.html", **_shown(app, show(app.pool, known_id(id_, "operation"))))

    @app.get("/live/operations/<int:id_>", access=Access.VIEWER, live=True)
    def live_operation(id_: int) -> Response:
        return if_changed("operation_card.html", **_shown(app, show(app.pool, known_id(id_, "operation"))))

    @app.post("/operations/<int:id_>/cancel", access=Access.OPERATOR)
    def cancel(id_: int) -> Response:
        def work(current: Transaction) -> Operation:
            cancelled = cancel_within(current.connection, known_id(id_, "operation"))
            note(
                current.connection,
                me().name,
                "operation-cancelled",
                cancelled.endpoint,
                operation=cancelled.id,
            )
            return cancelled

        cancelled = transaction(app.pool, work)
        hint(cancelled.endpoint)  # those behind it need not wait any more for what it waited for
        if is_fragment():
            return page("operation_card.html", **_shown(app, cancelled))
        return make_response(redirect(url_for("operation", id_=id_), 303))


def _shown(app: ConsoleApp, operation: Operation) -> dict[str, Any]:
    """Return what a card tells of an operation, with the sentence that says why it waits or how it ended."""
    return {
        "operation": operation,
        "why": why(facts_of(app.pool, operation.id)).sentence,
        "ended": operation.status in ENDED,
        "seen": "",
    }


def _operations(app: ConsoleApp) -> dict[str, Any]:
    endpoint = paging.endpoint_name("device") or None
    status = request.args.get("status") or None
    if status is not None and status not in list(Status):
        raise ValidationFailedError(f"status: one of {', '.join(Status)}")
    cursor, batch = paging.number("cursor", MAX_ROW_ID), paging.number("batch", MAX_ROW_ID)
    found = list_newest(
        app.pool, endpoint, status and Status(status), cursor=cursor, limit=PAGE + 1, batch=batch
    )
    shown = found[:PAGE]
    return {
        "operations": shown,
        "reasons": reasons_of(app.pool, (each.id for each in shown if each.status not in ENDED)),
        "next": shown[-1].id if len(found) > PAGE else None,
        "cursor": cursor,
        "endpoint": endpoint,
        "batch": batch,
        "status": status,
        "statuses": list(Status),
    }


# ---------------------------------------------------------------------------------------------------------
# The form of a new operation


def _form(app: ConsoleApp) -> Response:
    """Answer with a form for an operation: of the resource that is named, or any."""
    endpoint, kind = device_name(), request.args.get("operation", "read")
    if kind not in KINDS:
        raise ValidationFailedError(f"operation: one of {', '.join(KINDS)}")
    path, now = request.args.get("path", ""), None
    if path:
        try:
            wanted = Path.parse(path)
        except BadPathError as error:
            raise ValidationFailedError(f"path: {error}") from None
        now = next(iter(newest_values(app.pool, endpoint, wanted, None, 1)), None)
    return page(
        "ask_part.html" if is_fragment() else "ask.html",
        endpoint=endpoint,
        kind=kind,
        path=path,
        now=now,
        kinds=KINDS,
        types=list(DataType),
        type=request.args.get("type") or (now.type if now else ""),
        dom_id=dom_id,
    )


def body_of(given: dict[str, str]) -> dict[str, Any]:
    """Return a form's fields as the body that the REST API takes.

    A value is text, of the type that the form names; without one, of its model's.
    """
    kind = given["operation"]
    body: dict[str, Any] = {"operation": kind}
    if given["path"].strip():
        body["path"] = given["path"].strip()
    if kind == "write":
        body["value"] = value_of(given["type"], given["value"])
    if kind == "execute" and given["arguments"].strip():
        body["arguments"] = given["arguments"].strip()
    return body


def value_of(data_type: str, text: str) -> Any:
    """Return a typed value of what somebody typed; a time may be written as ISO 8601 has it, in UTC."""
    if not data_type:
        return text
    if data_type == DataType.TIME:
        text = _milliseconds(text) or text
    if data_type not in (DataType.STRING, DataType.CORELINK):
        text = text.strip()
    return {"type": data_type, "value": text}


def _milliseconds(text: str) -> str | None:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return str(round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000))
