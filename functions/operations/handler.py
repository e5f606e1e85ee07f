"""Operations on devices, as REST.

POST /         {"endpoint", "operation", "path"|"paths", "value"?, "arguments"?, "repeatable"?, "priority"?,
               "not_before"?, "expires_at"? or "expires_in"?}:
               201 with the operation and its Location; with an Idempotency-Key header the same POST
               again is answered the same, and queues nothing
GET /          ?endpoint=&status=&limit=50&cursor=: {"operations": [...], "next": <cursor> | null}
GET /<id>      the operation
GET /<id>/why  {"id", "cause", "why", ...}: in one sentence why it has not ended, or how it did
DELETE /<id>   cancel it: the operation; 409 unless it is QUEUED

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

from flownexus.errors import BadRequestError, NotFoundError, ValidationFailedError
from flownexus.messaging.publisher import Publisher
from flownexus.operations.lifecycle import Status
from flownexus.operations.new_operation import NewOperation, parse_operation
from flownexus.operations.why import why
from flownexus.settings import secret
from flownexus.store.operation_requests import MAX_QUEUED_OPERATIONS_PER_ENDPOINT, list_newest, show
from flownexus.store.operation_why import facts_of
from flownexus.store.pool import Pool, pool_from_environment
from flownexus.web import paging
from flownexus.web.endpoints import add_endpoints
from flownexus.web.flask import FunctionApp
from flownexus.web.guard import Guard, Scope, guard_from_secrets
from flownexus.web.idempotency import idempotency_key
from flownexus.web.operation_queue import OperationQueue, location, max_queued_setting
from flownexus.web.problem import Response

NAME: Final = "operations"
MAX_ID: Final = 2**63 - 1


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

    @app.post("/", scope=Scope.OPERATE)
    def queue() -> Response:
        key = idempotency_key(request.headers.get("Idempotency-Key"))
        operation = operations.add(_parse(request.get_data(cache=False)), key)
        return operation.as_json(), 201, {"Location": location(operation)}

    @app.get("/", scope=Scope.READ)
    def list_() -> dict[str, Any]:
        limit, cursor = paging.limit(), paging.number("cursor", MAX_ID)
        endpoint = paging.endpoint_name("endpoint")
        found = list_newest(pool, endpoint, _status(), cursor, limit + 1)
        more = len(found) > limit
        return {
            "operations": [operation.as_json() for operation in found[:limit]],
            "next": found[limit - 1].id if more else None,
        }

    @app.get("/<int:id_>", scope=Scope.READ)
    def get(id_: int) -> dict[str, Any]:
        return show(pool, _known(id_)).as_json()

    @app.get("/<int:id_>/why", scope=Scope.READ)
    def why_(id_: int) -> dict[str, Any]:
        return {"id": id_, **why(facts_of(pool, _known(id_))).as_json()}

    @app.delete("/<int:id_>", scope=Scope.OPERATE)
    def delete(id_: int) -> dict[str, Any]:
        return operations.cancel(_known(id_)).as_json()

    add_endpoints(app, pool)  # as in the version before; they are the function api's now
    return app


def _parse(body: bytes) -> NewOperation:
    try:
        return parse_operation(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise BadRequestError("the body is nested too deeply") from None


def _known(id_: int) -> int:
    if id_ > MAX_ID:
        raise NotFoundError(f"there is no operation {id_}")
    return id_


def _status() -> Status | None:
    text = request.args.get("status")
    if text is None:
        return None
    if text not in list(Status):
        raise ValidationFailedError(f"status: one of {', '.join(Status)}")
    return Status(text)


def app_from_environment() -> Flask:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    # What may be missing comes first, then what starts threads.
    guard, nats_url = guard_from_secrets("flownexus-api-token"), secret("flownexus-nats-url")
    max_queued = max_queued_setting()
    pool = pool_from_environment(NAME, "flownexus-api-database-url")
    return create_app(pool, Publisher(nats_url, name=NAME), guard, max_queued)


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
