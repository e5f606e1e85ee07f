"""Operations on devices, as REST.

POST /         {"endpoint", "operation", "path"|"paths", "value"?, "arguments"?, "repeatable"?, "priority"?,
               "not_before"?, "expires_at"? or "expires_in"?}:
               201 with the operation and its Location; with an Idempotency-Key header the same POST
               again is answered the same, and queues nothing
GET /          ?endpoint=&status=&limit=50&cursor=: {"operations": [...], "next": <cursor> | null}
GET /<id>      the operation
GET /<id>/why  {"id", "cause", "why", ...}: in one sentence why it has not ended, or how it did
DELETE /<id>   cancel it: the operation; 409 unless it is QUEUED

Endpoints and their values, /v1/endpoints, are in flownexus.web.endpoints.

`operation` is one of the kinds in flownexus.operations.catalogue, which says what its fields are. A value is
{"type", "value"} in Leshan's JSON, of its object model's type, or the value alone where the resource's type
is known. An execute may have
`arguments` such as 0='x',1 and may be marked `repeatable`: sent again when nobody knows whether it ran.
`priority` is 1 to 1000, the higher goes first. Errors are application/problem+json: 400 no JSON, 401, 404
an endpoint never seen, 409, 422 naming the fields, 429 too many that wait for it, 503 with Retry-After.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from flask import Flask, request

from flownexus.errors import BadRequestError, MissingSettingError, NotFoundError, ValidationFailedError
from flownexus.logs import correlated, current_id, operation_id
from flownexus.messaging.publisher import PUBLISH_TIMEOUT_S, Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.operations.lifecycle import Status
from flownexus.operations.new_operation import NewOperation, parse_operation
from flownexus.operations.why import why
from flownexus.settings import integer_setting, secret
from flownexus.store.operation_requests import (
    MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
    cancel,
    create,
    list_newest,
    show,
)
from flownexus.store.operation_why import facts_of
from flownexus.store.pool import Pool, pool_from_environment
from flownexus.web import paging
from flownexus.web.endpoints import add_endpoints
from flownexus.web.flask import FunctionApp, caller
from flownexus.web.guard import Guard, Scope, guard_from_secrets
from flownexus.web.idempotency import idempotency_key
from flownexus.web.problem import Response

log = logging.getLogger(__name__)

NAME: Final = "operations"
URL: Final = f"/function/{NAME}"
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

    def hint(endpoint: str) -> None:
        publisher.publish([Hint(HintKind.QUEUED, endpoint)], PUBLISH_TIMEOUT_S)

    @app.post("/", scope=Scope.OPERATE)
    def queue() -> Response:
        key = idempotency_key(request.headers.get("Idempotency-Key"))
        operation = create(pool, _parse(request.get_data(cache=False)), caller().name, key, max_queued)
        request_id = current_id()
        with correlated(operation_id(operation.id)):
            log.info(
                "%s queued",
                operation.operation,
                extra={"endpoint": operation.endpoint, "request": request_id},
            )
        hint(operation.endpoint)
        return operation.as_json(), 201, {"Location": f"{URL}/{operation.id}"}

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
        operation = cancel(pool, _known(id_))
        hint(operation.endpoint)  # those behind it need not wait any more for what it waited for
        return operation.as_json()

    add_endpoints(app, pool)
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
    max_queued = integer_setting("max_queued_operations", MAX_QUEUED_OPERATIONS_PER_ENDPOINT)
    if max_queued < 1:
        raise MissingSettingError("environment variable max_queued_operations: at least 1")
    pool = pool_from_environment(NAME, "flownexus-api-database-url")
    return create_app(pool, Publisher(nats_url, name=NAME), guard, max_queued)


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
