"""Operations on devices, as REST.

POST /         {"endpoint", "operation", "path"|"paths", "value"?, "arguments"?, "repeatable"?, "priority"?,
               "not_before"?, "expires_at"? or "expires_in"?, "supersede"?}:
               201 with the operation and its Location; with an Idempotency-Key header the same POST
               again is answered the same, and queues nothing
GET /          ?endpoint=&status=&batch=&limit=50&cursor=: {"operations": [...], "next": <cursor> | null}
GET /<id>      the operation
GET /<id>/why  {"id", "cause", "why", ...}: in one sentence why it has not ended, or how it did
DELETE /<id>   cancel it: the operation; 409 unless it is QUEUED

GET /openapi.json  these, described for programs

/batches, an operation for each endpoint that fits a filter, is in flownexus.web.batches.
/v1/endpoints is that of the function api, and answered here too until the next version.

`operation` is one of the kinds in flownexus.operations.catalogue, which says what its fields are. A value is
{"type", "value"} in Leshan's JSON, of its object model's type, or the value alone where the resource's type
is known. An execute may have
`arguments` such as 0='x',1 and may be marked `repeatable`: sent again when nobody knows whether it ran.
`priority` is 1 to 1000, the higher goes first. Errors are application/problem+json: 400 no JSON, 401, 404
an endpoint never seen, 409, 422 naming the fields, 429 too many that wait for it, 503 with Retry-After.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from flask import Flask, request
from flask import Response as Listed

from flownexus.errors import ConflictError, NotAcceptableError, NotFoundError, TooManyError, TooWideError
from flownexus.messaging.publisher import Publisher
from flownexus.operations.lifecycle import Status
from flownexus.operations.new_operation import NewOperation, parse_operation
from flownexus.operations.request_types import request_type
from flownexus.operations.why import Cause, why
from flownexus.settings import secret
from flownexus.store.operation_requests import (
    MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
    Operation,
    list_newest,
    show,
)
from flownexus.store.operation_why import facts_of
from flownexus.store.pool import Pool, pool_from_environment
from flownexus.web.asked import EndpointName, Id, Page
from flownexus.web.batches import add_batches
from flownexus.web.described import Body
from flownexus.web.endpoints import add_endpoints
from flownexus.web.flask import FunctionApp
from flownexus.web.formats import list_by_id, listed
from flownexus.web.guard import Guard, Scope, guard_from_secrets
from flownexus.web.idempotency import Key, idempotency_key
from flownexus.web.openapi import add_openapi, shown
from flownexus.web.operation_queue import OperationQueue, location, max_queued_setting
from flownexus.web.places import known_id
from flownexus.web.problem import Response
from flownexus.web.tokens import IssuedTokens

NAME: Final = "operations"
OPERATION: Final = shown(Operation, either=("path", "paths"))


class Which(Page, frozen=True):
    """Which operations are listed."""

    endpoint: EndpointName | None = None
    status: Status | None = None
    batch: Id | None = None


class Reason(msgspec.Struct):
    """Why an operation has not ended, or how it did: a cause, a sentence, and what that speaks of."""

    id: int
    cause: Cause
    why: str


def create_app(
    pool: Pool,
    publisher: Publisher,
    guard: Guard,
    max_queued: int = MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
) -> Flask:
    """Make the function's app.

    `guard` knows its callers; `max_queued` is how many of their operations may wait for
    one endpoint.
    """
    app = FunctionApp(NAME, guard, pool.ready)
    operations = OperationQueue(pool, publisher, max_queued)

    @app.post(
        "/",
        scope=Scope.OPERATE,
        headers={"Idempotency-Key": Key},
        body=Body(request_type(NewOperation), parse_operation),
        answers={201: OPERATION},
        refusals=[NotFoundError, TooManyError],
    )
    def queue(body: NewOperation) -> Response:
        """Queue an operation."""
        operation = operations.add(body, idempotency_key(request.headers.get("Idempotency-Key")))
        return operation.as_json(), 201, {"Location": location(operation)}

    @app.get(
        "/",
        scope=Scope.READ,
        query=Which,
        answers={200: listed("operations", OPERATION, int)},
        refusals=[NotAcceptableError, TooWideError],
    )
    def list_(query: Which) -> Listed:
        """List operations, the newest first."""

        def read(after: int | None, limit: int) -> list[Operation]:
            return list_newest(pool, query.endpoint, query.status, after, limit, query.batch)

        return list_by_id("operations", OPERATION, query.cursor, read, Operation.as_json)

    @app.get("/<int:id_>", scope=Scope.READ, answers={200: OPERATION})
    def get(id_: int) -> dict[str, Any]:
        """Show an operation."""
        return show(pool, known_id(id_, "operation")).as_json()

    @app.get("/<int:id_>/why", scope=Scope.READ, answers={200: Reason})
    def why_(id_: int) -> dict[str, Any]:
        """Say in one sentence why an operation has not ended, or how it did."""
        return {"id": id_, **why(facts_of(pool, known_id(id_, "operation"))).as_json()}

    @app.delete("/<int:id_>", scope=Scope.OPERATE, answers={200: OPERATION}, refusals=[ConflictError])
    def delete(id_: int) -> dict[str, Any]:
        """Cancel an operation that is QUEUED."""
        return operations.cancel(known_id(id_, "operation")).as_json()

    add_batches(app, pool, publisher, max_queued)
    add_endpoints(app, pool)  # as in the version before; they are the function api's now
    add_openapi(app, NAME)
    return app


def app_from_environment() -> Flask:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    # What may be missing comes first, then what starts threads.
    guard, nats_url = guard_from_secrets("flownexus-api-token"), secret("flownexus-nats-url")
    max_queued = max_queued_setting()
    pool = pool_from_environment(NAME, "flownexus-api-database-url")
    return create_app(pool, Publisher(nats_url, name=NAME), guard.with_issued(IssuedTokens(pool)), max_queued)


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
