"""Endpoints and their newest values, as REST.

GET /v1/endpoints                ?q=&limit=50&cursor=: {"endpoints": [...], "next": <cursor> | null}, by name;
                                 `q` is a part of the name
GET /v1/endpoints/<name>         the endpoint with its registration and its objects
GET /v1/endpoints/<name>/values  ?path=&limit=50&cursor=: {"values": [...], "next": <cursor> | null}, by path;
                                 `path` asks for what is at this path or below it

404 where an endpoint was never seen. Lists are JSON, CSV or NDJSON, see flownexus.web.formats.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, request

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import Path
from flownexus.store.endpoint_values import (
    VALUE_COLUMNS,
    Endpoint,
    Value,
    list_endpoints,
    newest_values,
    show_endpoint,
)
from flownexus.store.pool import Pool
from flownexus.web import paging
from flownexus.web.formats import Listing
from flownexus.web.guard import Scope
from flownexus.web.paging import Cursors, Key, LwM2mId
from flownexus.web.places import add_converters, known_name


def add_endpoints(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app."""
    add_converters(app)
    routes = Blueprint("endpoints", __name__, url_prefix="/v1/endpoints")

    @routes.get("", scope=Scope.READ)
    def endpoints() -> Response:
        part = _part_of_name()
        cursors = Cursors("endpoints", {"q": part})

        def read(after: Key | None, limit: int) -> list[Endpoint]:
            return list_endpoints(pool, part, after[0] if after else None, limit)

        return Listing(
            "endpoints",
            cursors,
            cursors.asked(str),
            read,
            lambda endpoint: (endpoint.name,),
            Endpoint.as_json,
            Endpoint._fields,
        ).answer()

    @routes.get("/<endpoint_name:name>", scope=Scope.READ)
    def endpoint(name: str) -> dict[str, Any]:
        return show_endpoint(pool, known_name(name)).as_json()

    @routes.get("/<endpoint_name:name>/values", scope=Scope.READ)
    def values(name: str) -> Response:
        return list_values(pool, known_name(name), paging.path("path"))

    app.register_blueprint(routes)


def list_values(pool: Pool, name: str, within: Path | None) -> Response:
    """Answer with an endpoint's newest values at or below a path."""
    cursors = Cursors("values", {"endpoint": name, "path": within})

    def read(after: Key | None, limit: int) -> list[Value]:
        return newest_values(pool, name, within, after, limit)

    return Listing(
        "values",
        cursors,
        cursors.asked(LwM2mId, LwM2mId, LwM2mId, LwM2mId),
        read,
        lambda value: value.key,
        Value.as_json,
        VALUE_COLUMNS,
    ).answer()


def _part_of_name() -> str | None:
    text = request.args.get("q")
    if text is not None and (not text or "\0" in text):
        raise ValidationFailedError("q: a part of an endpoint's name, at least one character, without NUL")
    return text
