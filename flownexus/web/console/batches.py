"""One operation for all devices that a filter fits: asked for, undone within some seconds, watched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flask import Response, make_response, redirect, request, url_for

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.value import DataType
from flownexus.operations.filter import EVERYTHING
from flownexus.operations.lifecycle import Status
from flownexus.operations.new_operation import NewBatch, parse_batch
from flownexus.store.audit import note
from flownexus.store.batch import Batch, Queued, cancel_within, create_within, narrowly, show
from flownexus.store.tag import count_matching
from flownexus.store.transaction import Transaction, transaction
from flownexus.web.console.app import Access, ConsoleApp, fields, is_fragment, me, page
from flownexus.web.console.asking import BY_PATH, NAMED, Hint, body_of
from flownexus.web.console.devices import dom_id, if_changed
from flownexus.web.console.fleet import filter_of
from flownexus.web.places import known_id

KINDS: Final = tuple(kind for kind in (*BY_PATH, *NAMED) if kind != "factory-reset")
"""What is asked of many at once: what none of them can take back is asked of one."""
UNDO: Final = timedelta(seconds=5)
"""For so long nothing is sent, and all of it can be taken back."""
_ALL: Final = "name==*"


def add_batches(app: ConsoleApp, hint: Hint, max_queued: int) -> None:
    """Add these routes; `hint` tells of endpoints that have operations, of which `max_queued` may wait."""

    @app.get("/batch", access=Access.OPERATOR)
    def batch_form() -> Response:
        return _form(app)

    @app.post("/batch", access=Access.OPERATOR)
    def queue_batch() -> Response:
        given = fields(("filter", "operation", "path", "type", "value", "arguments"))
        queued = _queue(app, _asked(app, given), max_queued)
        hint(*queued.endpoints)
        return make_response(redirect(url_for("batch", id_=queued.batch.id), 303))

    @app.get("/batches/<int:id_>", access=Access.VIEWER)
    def batch(id_: int) -> Response:
        return page("batch.html", **_shown(app, show(app.pool, known_id(id_, "batch"))))

    @app.get("/live/batches/<int:id_>", access=Access.VIEWER, live=True)
    def live_batch(id_: int) -> Response:
        return if_changed("batch_card.html", **_shown(app, show(app.pool, known_id(id_, "batch"))))

    @app.post("/batches/<int:id_>/cancel", access=Access.OPERATOR)
    def cancel_batch(id_: int) -> Response:
        def work(current: Transaction) -> Queued:
            cancelled = cancel_within(current.connection, known_id(id_, "batch"), me().name)
            note(
                current.connection, me().name, "batch-cancelled", batch=id_, devices=len(cancelled.endpoints)
            )
            return cancelled

        cancelled = transaction(app.pool, work)
        hint(*cancelled.endpoints)  # those behind them need not wait any more for what they waited for
        if is_fragment():
            return page("batch_card.html", **_shown(app, cancelled.batch))
        return make_response(redirect(url_for("batch", id_=id_), 303))


def _asked(app: ConsoleApp, given: dict[str, str]) -> NewBatch:
    if given["operation"] not in KINDS:
        raise ValidationFailedError(f"operation: one of {', '.join(KINDS)}")
    begins = datetime.fromtimestamp(app.clock(), UTC) + UNDO
    return parse_batch({"filter": given["filter"], "not_before": begins.isoformat(), **body_of(given)})


def _queue(app: ConsoleApp, new: NewBatch, max_queued: int) -> Queued:
    def work(current: Transaction) -> Queued:
        queued = create_within(current.connection, new, me().name, None, max_queued)
        note(
            current.connection,
            me().name,
            "batch-queued",
            batch=queued.batch.id,
            kind=queued.batch.operation,
            filter=queued.batch.filter,
            devices=queued.batch.endpoints,
        )
        return queued

    return narrowly(app.pool, work)


def _form(app: ConsoleApp) -> Response:
    """Answer with a form for an operation, and how many devices it is for."""
    chosen, kind = filter_of(request.args.get("filter", "").strip()), request.args.get("operation", "read")
    if kind not in KINDS:
        raise ValidationFailedError(f"operation: one of {', '.join(KINDS)}")
    return page(
        "batch_form.html",
        filter=_ALL if chosen == EVERYTHING else str(chosen),
        matching=count_matching(app.pool, chosen),
        kind=kind,
        kinds=KINDS,
        path="",
        now=None,
        type="",
        types=list(DataType),
        dom_id=dom_id,
    )


def _shown(app: ConsoleApp, batch: Batch) -> dict[str, Any]:
    begins = batch.created_at + UNDO
    counts = batch.progress or {}
    return {
        "batch": batch,
        "begins_at": begins,
        "has_begun": datetime.fromtimestamp(app.clock(), UTC) >= begins,
        "counts": {status: counts[status] for status in Status if counts.get(status)},
        "seen": "",
    }
