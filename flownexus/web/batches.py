"""Batches of operations, as REST, beside the operations that they consist of.

POST   /batches       {"filter", "operation", ...}, as an operation with "filter" in place of "endpoint": 201
                      with the batch and its Location; with an Idempotency-Key header the same POST again
                      queues nothing
GET    /batches       ?limit=50&cursor=: {"batches": [...], "next": <cursor> | null}, the newest first
GET    /batches/<id>  the batch: `progress` counts its operations by status, `ended` says whether all have
DELETE /batches/<id>  cancel those that are QUEUED: the batch; 409 where all have ended

Its operations are GET /?batch=<id>.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Final

from flask import Blueprint, Flask, request
from flask import Response as Listed

from flownexus.errors import ConflictError, NotAcceptableError, TooManyError, TooWideError
from flownexus.messaging.publisher import PUBLISH_TIMEOUT_S, Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.operations.new_operation import NewBatch, parse_batch
from flownexus.operations.request_types import request_type
from flownexus.store.batch import Batch, Queued, cancel, create, list_newest, show
from flownexus.store.pool import Pool
from flownexus.web.asked import Page
from flownexus.web.described import Body
from flownexus.web.flask import caller
from flownexus.web.formats import list_by_id, listed
from flownexus.web.guard import Scope
from flownexus.web.idempotency import Key, idempotency_key
from flownexus.web.openapi import shown, with_fields
from flownexus.web.operation_queue import OPERATIONS_URL
from flownexus.web.places import known_id
from flownexus.web.problem import Response

log = logging.getLogger(__name__)

BATCH: Final = with_fields(shown(Batch), progress=dict[str, int], ended=bool)


def add_batches(app: Flask, pool: Pool, publisher: Publisher, max_queued: int) -> None:
    """Add these routes to an app; at most `max_queued` operations of users wait for an endpoint."""
    routes = Blueprint("batches", __name__, url_prefix="/batches")

    def hint(queued: Queued) -> None:
        # What fails here is repaired as a lost hint.
        hints = [Hint(HintKind.QUEUED, endpoint) for endpoint in queued.endpoints]
        publisher.publish(hints, PUBLISH_TIMEOUT_S)

    @routes.post(
        "",
        scope=Scope.OPERATE,
        headers={"Idempotency-Key": Key},
        body=Body(request_type(NewBatch), parse_batch),
        answers={201: BATCH},
        refusals=[TooManyError, TooWideError],
    )
    def queue(body: NewBatch) -> Response:
        """Queue an operation for each endpoint that fits a filter."""
        key = idempotency_key(request.headers.get("Idempotency-Key"))
        queued = create(pool, body, caller().name, key, max_queued)
        batch = queued.batch
        log.info(
            "batch %d: %s queued", batch.id, batch.operation,
            extra={"filter": batch.filter, "endpoints": batch.endpoints, "left_out": batch.left_out},
        )  # fmt: skip
        hint(queued)
        return batch.as_json(), 201, {"Location": f"{OPERATIONS_URL}/batches/{batch.id}"}

    @routes.get(
        "",
        scope=Scope.READ,
        query=Page,
        answers={200: listed("batches", BATCH, int)},
        refusals=[NotAcceptableError],
    )
    def list_(query: Page) -> Listed:
        """List batches, the newest first."""
        return list_by_id("batches", BATCH, query.cursor, partial(list_newest, pool), Batch.as_json)

    @routes.get("/<int:id_>", scope=Scope.READ, answers={200: BATCH})
    def get(id_: int) -> dict[str, Any]:
        """Show a batch with how many of its operations are in each status."""
        return show(pool, known_id(id_, "batch")).as_json()

    @routes.delete("/<int:id_>", scope=Scope.OPERATE, answers={200: BATCH}, refusals=[ConflictError])
    def delete(id_: int) -> dict[str, Any]:
        """Cancel those of its operations that are QUEUED."""
        cancelled = cancel(pool, known_id(id_, "batch"), caller().name)
        hint(cancelled)  # those behind them need not wait any more for what they waited for
        return cancelled.batch.as_json()

    app.register_blueprint(routes)
