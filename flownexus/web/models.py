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
from typing import Any, Final

import msgspec
from flask import Blueprint, Flask, request

from flownexus.errors import BadRequestError, NotFoundError, TooMuchError, ValidationFailedError
from flownexus.lwm2m.model import MAX_XML_BYTES, BadModelError, parse_models
from flownexus.lwm2m.path import MAX_ID
from flownexus.store.model import Model, add_models, list_models, remove_model, show_model, users_models
from flownexus.store.pool import Pool
from flownexus.web import paging
from flownexus.web.flask import caller
from flownexus.web.guard import Scope
from flownexus.web.problem import Response

_CURSOR: Final = re.compile(r"(\d{1,5})-(\d{1,4}\.\d{1,4})", re.ASCII)
_VERSION: Final = re.compile(r"\d{1,4}\.\d{1,4}", re.ASCII)


def add_model_routes(app: Flask, pool: Pool, url: str) -> None:
    """Add these routes to a function's app, which is reached at `url`."""
    routes = Blueprint("models", __name__, url_prefix="/v1/models")

    @routes.get("", scope=Scope.READ)
    def models() -> dict[str, Any]:
        limit, object_id = paging.limit(), _object_id()
        found = list_models(pool, object_id, _cursor(), limit + 1, added_only=_flag("added"))
        return paging.page(
            "models", found, limit, Model.as_json, lambda last: f"{last.object_id}-{last.version}"
        )

    @routes.post("", scope=Scope.ADMINISTER)
    def add() -> Response:
        replace = _flag("replace")
        xml = request.get_data(cache=False)
        if len(xml) > MAX_XML_BYTES:
            raise TooMuchError(f"the file has {len(xml)} bytes; at most {MAX_XML_BYTES} are taken")
        try:
            text = xml.decode("utf-8-sig")
            parsed = parse_models(text.encode())
        except UnicodeDecodeError:
            raise BadRequestError("the file is not text in UTF-8; save it in that encoding") from None
        except BadModelError as error:
            raise ValidationFailedError(str(error)) from None
        added = add_models(pool, parsed, text, caller().name, replace=replace)
        location = f"{url}/v1/models/{added[0].object_id}/{added[0].version}"
        return {"models": [model.as_json() for model in added]}, 201, {"Location": location}

    @routes.get("/<int:object_id>/<version>", scope=Scope.READ)
    def show(object_id: int, version: str) -> dict[str, Any]:
        return show_model(pool, *_known(object_id, version))

    @routes.delete("/<int:object_id>/<version>", scope=Scope.ADMINISTER)
    def remove(object_id: int, version: str) -> dict[str, Any]:
        return remove_model(pool, *_known(object_id, version)).as_json()

    app.register_blueprint(routes)


def add_models_for_leshan(app: Flask, pool: Pool) -> None:
    """Add the route by which Leshan learns of the models that users have added."""

    @app.get("/models", scope=Scope.INGEST)
    def models() -> Response:
        body = {"models": users_models(pool)}
        tag = f'"{hashlib.sha256(msgspec.json.encode(body)).hexdigest()[:32]}"'
        unchanged = request.headers.get("If-None-Match") == tag
        return ({}, 304, {"ETag": tag}) if unchanged else (body, 200, {"ETag": tag})


def _known(object_id: int, version: str) -> tuple[int, str]:
    if object_id > MAX_ID or not _VERSION.fullmatch(version):
        raise NotFoundError(f"there is no model of object {object_id} in version {version[:64]}")
    return object_id, version


def _object_id() -> int | None:
    text = request.args.get("object_id")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID):
        raise ValidationFailedError(f"object_id: a whole number from 0 to {MAX_ID}")
    return int(text)


def _cursor() -> tuple[int, str] | None:
    text = request.args.get("cursor")
    if text is None:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None or int(match[1]) > MAX_ID:
        raise ValidationFailedError("cursor: what `next` of the page before has, such as 3303-1.1")
    return int(match[1]), match[2]


def _flag(name: str) -> bool:
    return paging.one_of(name, ("true", "false")) == "true"
