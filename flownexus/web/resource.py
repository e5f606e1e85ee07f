"""What a device has, by its LwM2M path, as REST.

GET    /v1/endpoints/<name>/3303/0/5700  the newest value of a resource (instance), with its age; of an
                                         object (instance) or a multiple resource {"values": [...], "next"}
PUT    ...                               write: the body is the `value` of a write, such as 21.5
POST   ...                               execute: the body is its arguments, such as 0='x',1, or
                                         {"arguments"?, "repeatable"?}
DELETE /v1/endpoints/<name>/3341/7       delete an object instance

What is asked of the device is an operation, as the function `operations` queues it: `priority`,
`not_before`, `expires_at` and `expires_in` are parameters of the URL, and Idempotency-Key holds. 202 with its
Location. With Prefer: wait=10 (RFC 7240) it is waited for: 200 once it is CONFIRMED, 409 where it ended
otherwise, else 202.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from flask import Blueprint, Flask, Response, request
from msgspec import Meta
from werkzeug.http import parse_dict_header

from flownexus.errors import (
    BadRequestError,
    ConflictError,
    NotAcceptableError,
    NotFoundError,
    TemporaryError,
    TooManyError,
    ValidationFailedError,
)
from flownexus.operations.lifecycle import ENDED, Status
from flownexus.operations.new_operation import MAX_EXPIRES_IN_S, PRIORITIES, parse_operation
from flownexus.store.endpoint_values import Value, newest_values
from flownexus.store.operation_requests import Operation, show
from flownexus.store.pool import Pool
from flownexus.web.asked import OfList, TimeText
from flownexus.web.body import json_body
from flownexus.web.described import JSON, Body, Media, OneOf
from flownexus.web.endpoints import list_values
from flownexus.web.formats import either
from flownexus.web.guard import Scope
from flownexus.web.idempotency import Key, idempotency_key
from flownexus.web.openapi import page_of, shown
from flownexus.web.operation_queue import OperationQueue, location
from flownexus.web.places import add_converters, known_name, path_of
from flownexus.web.problem import Response as Answer
from flownexus.web.problem import problem_of

NOT_CONFIRMED: Final = "urn:flownexus:problem:not-confirmed"
"""The type of the problem that an operation ended otherwise than CONFIRMED while it was waited for."""
_RESOURCE_DEPTH: Final = 3
_POLL_INTERVALS_S: Final = (0.05, 0.05, 0.1, 0.1, 0.2)
"""Seconds between two looks at an operation that is waited for; the last one from then on."""
_NUMBERS: Final = ("priority", "expires_in")
_TIMES: Final = ("not_before", "expires_at")

OPERATION: Final = shown(Operation, either=("path", "paths"))
Preference: TypeAlias = Annotated[
    str, Meta(description="wait=10: wait for the end for so many seconds (RFC 7240)")
]


class How(msgspec.Struct, frozen=True):
    """How an operation is queued, as its fields of the same names say it."""

    priority: (
        Annotated[
            str,
            Meta(
                description="a whole number from 1 to 1000; the higher goes first",
                extra_json_schema={"type": "integer", "minimum": PRIORITIES[0], "maximum": PRIORITIES[-1]},
            ),
        ]
        | None
    ) = None
    not_before: TimeText | None = None
    expires_at: TimeText | None = None
    expires_in: (
        Annotated[
            str,
            Meta(
                description="a number of seconds",
                extra_json_schema={"type": "number", "exclusiveMinimum": 0, "maximum": MAX_EXPIRES_IN_S},
            ),
        ]
        | None
    ) = None


class Execution(msgspec.Struct):
    """What an execute is given."""

    arguments: str | None = None
    repeatable: bool = False


EXECUTION: Final = Body(Media({JSON: Execution, "text/plain": bytes}), required=False)


def add_resource(app: Flask, pool: Pool, queue: OperationQueue, max_wait_s: float) -> None:
    """Add these routes to a function's app; a request waits `max_wait_s` for its operation at most."""
    add_converters(app)
    routes = Blueprint("resource", __name__, url_prefix="/v1/endpoints")
    place = "/<endpoint_name:name>/<lwm2m_path:text>"

    @routes.get(
        place,
        scope=Scope.READ,
        query=OfList,
        answers={200: either(OneOf((shown(Value), page_of("values", shown(Value), str))))},
        refusals=[ValidationFailedError, NotAcceptableError],
    )
    def latest(name: str, text: str, query: OfList) -> Response | dict[str, Any]:  # noqa: ARG001  # list_values()
        """Show the newest value of a resource, or those of an object or an instance."""
        path = path_of(text)
        if path.depth >= _RESOURCE_DEPTH:
            found = newest_values(pool, known_name(name), path, None, 2)
            if not found:
                raise NotFoundError(
                    f"no value of {path} of {name!r} is stored; a read asks the device for it"
                )
            if found[0].path == str(path):
                return found[0].as_json()
        return list_values(pool, known_name(name), path)

    def ask(name: str, text: str, operation: str, **fields: Any) -> Answer:
        """Queue an operation on a path, and answer with it; wait for it where the request prefers that."""
        body = {
            "endpoint": name,
            "operation": operation,
            "path": str(path_of(text)),
            **_parameters(),
            **fields,
        }
        key = idempotency_key(request.headers.get("Idempotency-Key"))
        queued = queue.add(parse_operation(body), key)
        wait_s = preferred_wait_s(request.headers.get("Prefer"))
        headers = {"Location": location(queued)}
        if wait_s is None:
            return queued.as_json(), 202, headers
        wait_s = min(wait_s, max_wait_s)
        headers["Preference-Applied"] = f"wait={wait_s:.0f}"
        operation_ = _await_end(pool, queued, wait_s)
        if operation_.status not in ENDED:
            return operation_.as_json(), 202, headers
        if operation_.status == Status.CONFIRMED:
            return operation_.as_json(), 200, headers
        return _not_confirmed(operation_, headers)

    asks: Mapping[str, Any] = {
        "query": How,
        "headers": {"Idempotency-Key": Key, "Prefer": Preference},
        "answers": {200: OPERATION, 202: OPERATION},
        "refusals": [ConflictError, TooManyError],
    }

    @routes.put(place, scope=Scope.OPERATE, body=Body(Any), **asks)
    def write(name: str, text: str, query: How) -> Answer:  # noqa: ARG001  # ask() reads it
        """Write what the body says: the `value` of a write."""
        return ask(name, text, "write", value=json_body())

    @routes.post(place, scope=Scope.OPERATE, body=EXECUTION, **asks)
    def execute(name: str, text: str, query: How) -> Answer:  # noqa: ARG001  # likewise
        """Execute a resource with the arguments that the body says."""
        return ask(name, text, "execute", **_execution())

    @routes.delete(place, scope=Scope.OPERATE, **asks)
    def delete(name: str, text: str, query: How) -> Answer:  # noqa: ARG001  # likewise
        """Delete an object instance."""
        return ask(name, text, "delete")

    app.register_blueprint(routes)


def preferred_wait_s(header: str | None) -> float | None:
    """Return the seconds that a Prefer header asks to wait (RFC 7240, 4.3); None where it asks for none.

    A preference that cannot be understood is left out of account (RFC 7240, 2).
    """
    if header is None:
        return None
    wait = parse_dict_header(header).get("wait")
    if wait is None or not (wait.isascii() and wait.isdigit()):
        return None
    return float(wait[:10])  # more digits than a lifetime has seconds


def _await_end(pool: Pool, operation: Operation, seconds: float) -> Operation:
    """Return an operation as it is once it has ended, or after so many seconds."""
    deadline = time.monotonic() + seconds
    intervals = iter(_POLL_INTERVALS_S)
    while operation.status not in ENDED and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(next(intervals, _POLL_INTERVALS_S[-1]), left))
        try:
            operation = show(pool, operation.id)
        except TemporaryError:  # it is queued all the same
            continue
    return operation


def _not_confirmed(operation: Operation, headers: Mapping[str, str]) -> Answer:
    reason = f": {operation.reason}" if operation.reason else ""
    detail = f"operation {operation.id} ended as {operation.status}{reason}"
    body, status, head = problem_of(409, "Not confirmed", detail, dict(headers), NOT_CONFIRMED)
    return {**body, "operation": operation.as_json()}, status, head


def _parameters() -> dict[str, Any]:
    """Return the fields of an operation that stand in the URL."""
    found: dict[str, Any] = {name: request.args[name] for name in _TIMES if name in request.args}
    for name in _NUMBERS:
        if name in request.args:
            try:
                found[name] = msgspec.json.decode(request.args[name])
            except msgspec.DecodeError:
                raise ValidationFailedError(f"{name}: is a number") from None
    return found


def _execution() -> dict[str, Any]:
    """Return the fields of an execute that the body has: its arguments, or an object with them."""
    if request.mimetype == "application/json" or request.get_data().lstrip().startswith(b"{"):
        fields = json_body()
        if not isinstance(fields, dict) or set(fields) - {"arguments", "repeatable"}:
            raise ValidationFailedError('the body: {"arguments"?, "repeatable"?}, or arguments as text/plain')
        return fields
    try:
        arguments = request.get_data(cache=False).decode().strip()
    except UnicodeDecodeError:
        raise BadRequestError("the body is not UTF-8; arguments are such as 0='x',1") from None
    return {"arguments": arguments} if arguments else {}
