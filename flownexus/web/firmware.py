"""Firmware packages and updates by them, as REST.

POST /v1/firmware                   {"version", "file_name", "size", "sha256", "label"?, "model"?,
                                    "version_path"?, "success"?}: 201 with the package and its
                                    missing_chunks; the same again: 200
PUT  /v1/firmware/<id>/chunks/<n>   its bytes; may be sent again, and in any order
POST /v1/firmware/<id>/complete     checks the SHA-256 and lets the package be used
GET  /v1/firmware                   ?limit=50&cursor=: {"firmware": [...], "next"}, the newest first
GET  /v1/firmware/<id>              the package; while it is uploaded with its missing_chunks
DELETE /v1/firmware/<id>            retire it: it is not served any more, and stays in the list
POST /v1/updates                    {"endpoint", "firmware": <id>, "windows"?, "time_zone"?}: 201 with it
GET  /v1/updates                    ?endpoint=&open=true&limit=50&cursor=: {"updates": [...], "next"}
GET  /v1/updates/<id>               the update with its steps
GET  /v1/updates/<id>/why           {"why", "cause", ...}: where it stands, and what it waits for
DELETE /v1/updates/<id>             cancel it; 409 once the device was told to install
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from flask import Blueprint, Flask, request
from flask import Response as Listed
from msgspec import Meta

from flownexus.errors import ConflictError, NotAcceptableError, NotFoundError, ValidationFailedError
from flownexus.firmware.package import (
    MAX_PACKAGE_BYTES,
    MAX_TEXT,
    VERSION_PATH,
    NewPackage,
    Success,
    parse_package,
)
from flownexus.firmware.state import State
from flownexus.firmware.window import SERVER, schedule_of
from flownexus.objects.bucket import Bucket
from flownexus.operations.why import Cause, why
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
from flownexus.store.update import (
    ShownStep,
    ShownUpdate,
    cancel_update,
    list_updates,
    show_update,
    start_update,
)
from flownexus.web.asked import EndpointName, Flag, Page
from flownexus.web.described import Body, Media
from flownexus.web.flask import caller
from flownexus.web.formats import list_by_id, listed
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown, with_fields
from flownexus.web.places import known_id
from flownexus.web.problem import Response

MAX_PACKAGE_ID: Final = 2**31 - 1
PackageId: TypeAlias = Annotated[
    int, Meta(ge=1, le=MAX_PACKAGE_ID, description="is the id of a package, a whole number")
]
Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
PACKAGE: Final = with_fields(shown(Package, without=("sha256",)), sha256=str, chunk_size=int)
FILLED: Final = with_fields(
    PACKAGE, "PackageWithMissingChunks", missing_chunks=(list[int] | msgspec.UnsetType, msgspec.UNSET)
)
UPDATE: Final = with_fields(shown(ShownUpdate), percent=float | None, bytes_per_second=float | None)
UPDATE_WITH_STEPS: Final = msgspec.defstruct(
    "UpdateWithSteps",
    [("steps", list[shown(ShownStep)])],  # type: ignore[misc]
    bases=(UPDATE,),
    kw_only=True,
    namespace={"__doc__": "An update with its steps."},
)


class PackageToUpload(msgspec.Struct):
    """A package as parse_package() takes it."""

    version: Text
    file_name: Text
    size: Annotated[int, Meta(ge=1, le=MAX_PACKAGE_BYTES)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")]
    label: Text | None = None
    model: Text | None = None
    version_path: Annotated[str, Meta(pattern="^/?[0-9]{1,5}(/[0-9]{1,5}){2}$")] = VERSION_PATH
    success: Success = Success.VERSION
    uri: Text | None = None


class Chunk(msgspec.Struct):
    """A chunk of a package that has come."""

    id: int
    chunk: int


class WhichPackages(Page, frozen=True):
    """Which packages are listed."""

    cursor: PackageId | None = None


class UpdateToStart(msgspec.Struct, frozen=True):
    """An update of a device by a package."""

    endpoint: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00]+$",
            description="is the endpoint client name of a device that has been seen",
        ),
    ]
    firmware: PackageId
    windows: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """When it may install, as a campaign has them; none: at any time."""
    time_zone: str = SERVER


class WhichUpdates(Page, frozen=True):
    """Which updates are listed: of one device, and those that have not ended, or that have."""

    endpoint: EndpointName | None = None
    open: Flag | None = None


class ReasonOfUpdate(msgspec.Struct):
    """Where an update stands, and what it waits for."""

    id: int
    state: State
    failure: str | None
    operation: int | None
    cause: Cause | None
    why: str


def add_firmware(app: Flask, pool: Pool, bucket: Bucket | None) -> None:
    """Add these routes to a function's app; packages come into `bucket`, if there is one."""
    _add_packages(app, pool)
    _add_uploads(app, pool, bucket)
    _add_updates(app, pool)


def _add_packages(app: Flask, pool: Pool) -> None:
    routes = Blueprint("firmware", __name__, url_prefix="/v1/firmware")

    @routes.get(
        "",
        scope=Scope.READ,
        query=WhichPackages,
        answers={200: listed("firmware", PACKAGE, int)},
        refusals=[NotAcceptableError],
    )
    def packages(query: WhichPackages) -> Listed:
        """List firmware packages, the newest first."""
        return list_by_id("firmware", PACKAGE, query.cursor, partial(list_packages, pool), Package.as_json)

    @routes.get("/<int:id_>", scope=Scope.READ, answers={200: FILLED})
    def package(id_: int) -> dict[str, Any]:
        """Show a package; while it is uploaded with the chunks that are missing."""
        return _with_missing(pool, _package_id(id_))

    @routes.delete("/<int:id_>", scope=Scope.ADMINISTER, answers={200: PACKAGE}, refusals=[ConflictError])
    def retire_(id_: int) -> dict[str, Any]:
        """Retire a package: it is not served any more, and stays in the list."""
        return retire(pool, _package_id(id_), caller().name).as_json()

    app.register_blueprint(routes)


def _add_uploads(app: Flask, pool: Pool, bucket: Bucket | None) -> None:
    routes = Blueprint("firmware_uploads", __name__, url_prefix="/v1/firmware")

    @routes.post(
        "",
        scope=Scope.ADMINISTER,
        body=Body(PackageToUpload, parse_package),
        answers={200: FILLED, 201: FILLED},
        refusals=[ConflictError],
    )
    def announce_(body: NewPackage) -> Response:
        """Announce a package; the same again says which chunks are missing."""
        package, is_new = announce(pool, body, caller().name)
        return _with_missing(pool, package.id), 201 if is_new else 200, {}

    @routes.put(
        "/<int:id_>/chunks/<int:number>",
        scope=Scope.ADMINISTER,
        body=Body(Media({"application/octet-stream": bytes})),
        answers={200: Chunk},
        refusals=[ConflictError],
    )
    def chunk(id_: int, number: int) -> dict[str, Any]:
        """Upload a chunk of a package; it may be sent again, and in any order."""
        add_chunk(pool, _package_id(id_), number, request.get_data(cache=False), bucket)
        return {"id": id_, "chunk": number}

    @routes.post(
        "/<int:id_>/complete",
        scope=Scope.ADMINISTER,
        answers={200: PACKAGE},
        refusals=[ConflictError, ValidationFailedError],
    )
    def complete_(id_: int) -> dict[str, Any]:
        """Check the SHA-256 of a package, and let it be used."""
        return complete(pool, _package_id(id_), bucket).as_json()

    app.register_blueprint(routes)


def _with_missing(pool: Pool, id_: int) -> dict[str, Any]:
    found = show_package(pool, id_)
    missing = {} if found.completed_at else {"missing_chunks": missing_chunks(pool, id_)}
    return {**found.as_json(), **missing}


def _add_updates(app: Flask, pool: Pool) -> None:
    routes = Blueprint("updates", __name__, url_prefix="/v1/updates")

    @routes.post(
        "",
        scope=Scope.OPERATE,
        body=Body.of(UpdateToStart),
        answers={201: UPDATE},
        refusals=[ConflictError, NotFoundError],
    )
    def start(body: UpdateToStart) -> Response:
        """Begin the update of a device by a package."""
        schedule = schedule_of(body.windows, body.time_zone)
        begun = start_update(pool, body.endpoint, body.firmware, caller().name, schedule)
        return begun.as_json(), 201, {}

    @routes.get(
        "",
        scope=Scope.READ,
        query=WhichUpdates,
        answers={200: listed("updates", UPDATE, int)},
        refusals=[NotAcceptableError],
    )
    def updates(query: WhichUpdates) -> Listed:
        """List updates, the newest first."""
        read = partial(list_updates, pool, query.endpoint, query.open)
        return list_by_id("updates", UPDATE, query.cursor, read, ShownUpdate.as_json)

    @routes.get("/<int:id_>", scope=Scope.READ, answers={200: UPDATE_WITH_STEPS})
    def update(id_: int) -> dict[str, Any]:
        """Show an update with its steps."""
        found, steps = show_update(pool, known_id(id_, "update"))
        return {**found.as_json(), "steps": [step.as_json() for step in steps]}

    @routes.get("/<int:id_>/why", scope=Scope.READ, answers={200: ReasonOfUpdate})
    def why_(id_: int) -> dict[str, Any]:
        """Say in one sentence where an update stands, and what it waits for."""
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

    @routes.delete("/<int:id_>", scope=Scope.OPERATE, answers={200: UPDATE}, refusals=[ConflictError])
    def cancel(id_: int) -> dict[str, Any]:
        """Cancel an update, before the device was told to install."""
        return cancel_update(pool, known_id(id_, "update"), caller().name).as_json()

    app.register_blueprint(routes)


def _package_id(id_: int) -> int:
    return known_id(id_, "package", MAX_PACKAGE_ID)
