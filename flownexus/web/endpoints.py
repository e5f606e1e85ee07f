"""Endpoints and their newest values, as REST.

GET /v1/endpoints                ?limit=50&cursor=: {"endpoints": [...], "next": <cursor> | null}, by name
GET /v1/endpoints/<name>/values  ?path=&limit=50&cursor=: {"values": [...], "next": <cursor> | null}, by path;
                                 404 an endpoint never seen

A name's characters that have a meaning in a URL are percent-encoded, "/" as %2F. `path` asks for what is at
this path or below it.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, request
from werkzeug.routing import BaseConverter

from flownexus.errors import NotFoundError, ValidationFailedError
from flownexus.lwm2m.path import BadPathError, Path
from flownexus.store.endpoint_values import list_endpoints, newest_values
from flownexus.store.pool import Pool
from flownexus.web import paging
from flownexus.web.guard import Scope


class EndpointNameConverter(BaseConverter):
    """A part of a URL that is an endpoint's name: whatever characters, "/" and line ends too."""

    regex = "(?s:.+)"
    part_isolating = False


def add_endpoints(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app."""
    app.url_map.converters["endpoint_name"] = EndpointNameConverter
    routes = Blueprint("endpoints", __name__, url_prefix="/v1/endpoints")

    @routes.get("", scope=Scope.READ)
    def endpoints() -> dict[str, Any]:
        limit, cursor = paging.limit(), paging.endpoint_name("cursor")
        found = list_endpoints(pool, cursor, limit + 1)
        return {
            "endpoints": [endpoint.as_json() for endpoint in found[:limit]],
            "next": found[limit - 1].name if len(found) > limit else None,
        }

    @routes.get("/<endpoint_name:name>/values", scope=Scope.READ)
    def values(name: str) -> dict[str, Any]:
        limit, cursor, within = paging.limit(), _path("cursor"), _path("path")
        if cursor is not None and cursor.resource_id is None:
            raise ValidationFailedError("cursor: the path of a resource, as `next` has it")
        if "\0" in name:
            raise NotFoundError(f"no endpoint {name!r} has been seen")
        found = newest_values(pool, name, within, cursor, limit + 1)
        return {
            "values": [value.as_json() for value in found[:limit]],
            "next": found[limit - 1].path if len(found) > limit else None,
        }

    app.register_blueprint(routes)


def _path(name: str) -> Path | None:
    text = request.args.get(name)
    try:
        return None if text is None else Path.parse(text)
    except BadPathError as error:
        raise ValidationFailedError(f"{name}: {error}") from None
