"""Object models, as REST.

GET    /v1/models                         ?object_id=&added=true&limit=50&cursor=: {"models": [...], "next":
                                          <cursor> | null}, by object and version; `added` leaves OMA's out
POST   /v1/models                         an XML file in OMA's form: 201 with what was added; ?replace=true
                                          takes the place of what a user has added before
GET    /v1/models/<object id>/<version>   the model with its resources, and the file where a user added it
DELETE /v1/models/<object id>/<version>   remove what a user has added

Leshan asks the function registration, GET /models, for what users have added.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from flask import Blueprint, Flask, request
from flask import Response as Listed
from msgspec import Meta

from flownexus.errors import (
    BadRequestError,
    ConflictError,
    NotAcceptableError,
    NotFoundError,
    TooMuchError,
    ValidationFailedError,
)
from flownexus.lwm2m.model import MAX_XML_BYTES, BadModelError, ObjectModel, parse_models
from flownexus.lwm2m.path import MAX_ID
from flownexus.store.model import (
    Model,
    Resource,
    add_models,
    list_models,
    remove_model,
    show_model,
    users_models,
)
from flownexus.store.pool import Pool
from flownexus.web.asked import Flag, OfList
from flownexus.web.described import Body, Media
from flownexus.web.flask import caller
from flownexus.web.formats import Listing, columns_of, listed
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown
from flownexus.web.paging import Cursors, Key, LwM2mId
from flownexus.web.problem import Response

_VERSION: Final = re.compile(r"\d{1,4}\.\d{1,4}", re.ASCII)
ObjectId: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_ID, description=f"a whole number from 0 to {MAX_ID}")]
MODEL: Final = shown(Model)
DETAILS: Final = msgspec.defstruct(
    "ModelDetails",
    [("resources", list[shown(Resource)]), ("xml", str | None)],  # type: ignore[misc]
    bases=(MODEL,),
    kw_only=True,
    namespace={"__doc__": "A version of an object with its resources, and the file of a user's."},
)


class AddedModels(msgspec.Struct):
    """The versions of objects that a file has."""

    models: list[MODEL]  # type: ignore[valid-type]


class WhichModels(OfList, frozen=True):
    """Which models are listed; `added` leaves OMA's out."""

    object_id: ObjectId | None = None
    added: Flag = False


class How(msgspec.Struct, frozen=True):
    """Whether a model takes the place of what a user has added before."""

    replace: Flag = False


def add_model_routes(app: Flask, pool: Pool, url: str) -> None:
    """Add these routes to a function's app, which is reached at `url`."""
    routes = Blueprint("models", __name__, url_prefix="/v1/models")

    @routes.get(
        "",
        scope=Scope.READ,
        query=WhichModels,
        answers={200: listed("models", MODEL)},
        refusals=[NotAcceptableError],
    )
    def models(query: WhichModels) -> Listed:
        """List object models by object and version."""
        cursors = Cursors("models", {"object_id": query.object_id, "added": query.added})

        def read(after: Key | None, limit: int) -> list[Model]:
            behind = (after[0], after[1]) if after else None
            return list_models(pool, query.object_id, behind, limit, added_only=query.added)

        return Listing(
            "models",
            cursors,
            cursors.asked(LwM2mId, Annotated[str, Meta(pattern=f"^{_VERSION.pattern}$(?!\n)")]),
            read,
            lambda model: (model.object_id, model.version),
            Model.as_json,
            columns_of(MODEL),
        ).answer()

    @routes.post(
        "",
        scope=Scope.ADMINISTER,
        query=How,
        body=Body(Media({"application/xml": bytes})),
        answers={201: AddedModels},
        refusals=[ConflictError],
    )
    def add(query: How) -> Response:
        """Add the models of an XML file in OMA's form."""
        parsed, text = read_file(request.get_data(cache=False))
        added = add_models(pool, parsed, text, caller().name, replace=query.replace)
        location = f"{url}/v1/models/{added[0].object_id}/{added[0].version}"
        return {"models": [model.as_json() for model in added]}, 201, {"Location": location}

    @routes.get("/<int:object_id>/<version>", scope=Scope.READ, answers={200: DETAILS})
    def show(object_id: int, version: str) -> dict[str, Any]:
        """Show a model with its resources, and the file where a user added it."""
        return show_model(pool, *known_model(object_id, version))

    @routes.delete(
        "/<int:object_id>/<version>",
        scope=Scope.ADMINISTER,
        answers={200: MODEL},
        refusals=[ConflictError],
    )
    def remove(object_id: int, version: str) -> dict[str, Any]:
        """Remove a model that a user has added."""
        return remove_model(pool, *known_model(object_id, version), caller().name).as_json()

    app.register_blueprint(routes)


def read_file(xml: bytes) -> tuple[list[ObjectModel], str]:
    """Return the models of a file, and its text; raise what says why it is none."""
    if len(xml) > MAX_XML_BYTES:
        raise TooMuchError(f"the file has {len(xml)} bytes; at most {MAX_XML_BYTES} are taken")
    try:
        text = xml.decode("utf-8-sig")
        return parse_models(text.encode()), text
    except UnicodeDecodeError:
        raise BadRequestError("the file is not text in UTF-8; save it in that encoding") from None
    except BadModelError as error:
        raise ValidationFailedError(str(error)) from None


def add_models_for_leshan(app: Flask, pool: Pool) -> None:
    """Add the route by which Leshan learns of the models that users have added."""

    @app.get("/models", scope=Scope.INGEST)
    def models() -> Response:
        body = {"models": users_models(pool)}
        tag = f'"{hashlib.sha256(msgspec.json.encode(body)).hexdigest()[:32]}"'
        unchanged = request.headers.get("If-None-Match") == tag
        return ({}, 304, {"ETag": tag}) if unchanged else (body, 200, {"ETag": tag})


def known_model(object_id: int, version: str) -> tuple[int, str]:
    """Return what may be a version of an object; raise NotFoundError where it cannot."""
    if object_id > MAX_ID or not _VERSION.fullmatch(version):
        raise NotFoundError(f"there is no model of object {object_id} in version {version[:64]}")
    return object_id, version
