"""Firmware packages and updates by them, as REST.

POST /v1/firmware                   {"version", "file_name", "size", "sha256", "label"?, "model"?,
                                    "version_path"?, "success"?}: 201 with the package and its
                                    missing_chunks; the same again: 200
PUT  /v1/firmware/<id>/chunks/<n>   its bytes; may be sent again, and in any order
POST /v1/firmware/<id>/complete     checks the SHA-256 and lets the package be used
GET  /v1/firmware                   ?limit=50&cursor=: {"firmware": [...], "next"}, the newest first
GET  /v1/firmware/<id>              the package; while it is uploaded with its missing_chunks
DELETE /v1/firmware/<id>            retire it: it is not served any more, and stays in the list
POST /v1/updates                    {"endpoint", "firmware": <id>}: 201 with the update
GET  /v1/updates                    ?endpoint=&open=true&limit=50&cursor=: {"updates": [...], "next"}
GET  /v1/updates/<id>               the update with its steps
GET  /v1/updates/<id>/why           {"why", "cause", ...}: where it stands, and what it waits for
DELETE /v1/updates/<id>             cancel it; 409 once the device was told to install
"""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Flask, request

from flownexus.errors import ValidationFailedError
from flownexus.firmware.package import parse_package
from flownexus.operations.why import why
from flownexus.store.firmware import (
    Package,
    add_chunk,
    announce,
    complete,
    list_packages,
    missing_chunks,
    retire,
    show_package,
)
from flownexus.store.operation_why import facts_of
from flownexus.store.pool import Pool
from flownexus.store.update import ShownUpdate, cancel_update, list_updates, show_update, start_update
from flownexus.web import paging
from flownexus.web.asked import MAX_ROW_ID
from flownexus.web.body import json_body
from flownexus.web.flask import caller
from flownexus.web.guard import Scope
from flownexus.web.places import known_id
from flownexus.web.problem import Response

MAX_PACKAGE_ID: Final = 2**31 - 1
_BOOLEANS: Final = {"true": True, "false": False}


def add_firmware(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app."""
    _add_packages(app, pool)
    _add_updates(app, pool)


def _add_packages(app: Flask, pool: Pool) -> None:
    routes = Blueprint("firmware", __name__, url_prefix="/v1/firmware")

    @routes.post("", scope=Scope.ADMINISTER)
    def announce_() -> Response:
        package, is_new = announce(pool, parse_package(json_body()), caller().name)
        return _with_missing(package.id), 201 if is_new else 200, {}

    @routes.get("", scope=Scope.READ)
    def packages() -> dict[str, Any]:
        limit, cursor = paging.limit(), paging.number("cursor", MAX_PACKAGE_ID)
        found = list_packages(pool, cursor, limit + 1)
        return paging.page("firmware", found, limit, Package.as_json)

    @routes.get("/<int:id_>", scope=Scope.READ)
    def package(id_: int) -> dict[str, Any]:
        return _with_missing(_package_id(id_))

    @routes.put("/<int:id_>/chunks/<int:number>", scope=Scope.ADMINISTER)
    def chunk(id_: int, number: int) -> dict[str, Any]:
        add_chunk(pool, _package_id(id_), number, request.get_data(cache=False))
        return {"id": id_, "chunk": number}

    @routes.post("/<int:id_>/complete", scope=Scope.ADMINISTER)
    def complete_(id_: int) -> dict[str, Any]:
        return complete(pool, _package_id(id_)).as_json()

    @routes.delete("/<int:id_>", scope=Scope.ADMINISTER)
    def retire_(id_: int) -> dict[str, Any]:
        return retire(pool, _package_id(id_), caller().name).as_json()

    def _with_missing(id_: int) -> dict[str, Any]:
        found = show_package(pool, id_)
        missing = {} if found.completed_at else {"missing_chunks": missing_chunks(pool, id_)}
        return {**found.as_json(), **missing}

    app.register_blueprint(routes)


def _add_updates(app: Flask, pool: Pool) -> None:
    routes = Blueprint("updates", __name__, url_prefix="/v1/updates")

    @routes.post("", scope=Scope.OPERATE)
    def start() -> Response:
        endpoint, package = _parse_update(json_body())
        return start_update(pool, endpoint, package, caller().name).as_json(), 201, {}

    @routes.get("", scope=Scope.READ)
    def updates() -> dict[str, Any]:
        limit, cursor = paging.limit(), paging.number("cursor", MAX_ROW_ID)
        found = list_updates(pool, paging.endpoint_name("endpoint"), _open(), cursor, limit + 1)
        return paging.page("updates", found, limit, ShownUpdate.as_json)

    @routes.get("/<int:id_>", scope=Scope.READ)
    def update(id_: int) -> dict[str, Any]:
        found, steps = show_update(pool, known_id(id_, "update"))
        return {**found.as_json(), "steps": [step.as_json() for step in steps]}

    @routes.get("/<int:id_>/why", scope=Scope.READ)
    def why_(id_: int) -> dict[str, Any]:
        found, _ = show_update(pool, known_id(id_, "update"))
        waits = None if found.operation is None else why(facts_of(pool, found.operation))
        return {
            "id": id_,
            "state": found.state,
            "failure": found.failure,
            "operation": found.operation,
            "cause": None if waits is None else str(waits.cause),
            "why": found.why(None if waits is None else waits.sentence),
        }

    @routes.delete("/<int:id_>", scope=Scope.OPERATE)
    def cancel(id_: int) -> dict[str, Any]:
        return cancel_update(pool, known_id(id_, "update"), caller().name).as_json()

    app.register_blueprint(routes)


def _parse_update(body: object) -> tuple[str, int]:
    if not isinstance(body, dict) or set(body) != {"endpoint", "firmware"}:
        raise ValidationFailedError('an update is {"endpoint": <name>, "firmware": <id of a package>}')
    endpoint, package = body["endpoint"], body["firmware"]
    if not isinstance(endpoint, str) or not endpoint or "\0" in endpoint:
        raise ValidationFailedError("endpoint: is the endpoint client name of a device that has been seen")
    if isinstance(package, bool) or not isinstance(package, int) or not 1 <= package <= MAX_PACKAGE_ID:
        raise ValidationFailedError("firmware: is the id of a package, a whole number")
    return endpoint, package


def _open() -> bool | None:
    text = request.args.get("open")
    if text is None:
        return None
    if text not in _BOOLEANS:
        raise ValidationFailedError("open: true, for those that have not ended, or false")
    return _BOOLEANS[text]


def _package_id(id_: int) -> int:
    return known_id(id_, "package", MAX_PACKAGE_ID)
