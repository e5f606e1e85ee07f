"""Endpoints and their newest values, as REST.

GET  /v1/endpoints                ?q=&filter=&limit=50&cursor=: {"endpoints": [...], "next": <cursor> | null},
                                  by name; `q` is a part of the name
POST /v1/endpoints                {"name", "tags"?}: 201 with an endpoint that has not registered yet
GET  /v1/endpoints/<name>         the endpoint with its registration and its objects, its presence, and when
                                  it is expected to be heard next
DELETE /v1/endpoints/<name>       ?force=true: {"name"}; it is deleted with all that is kept of it. 409 while
                                  it has a valid credential, an update or an operation under way, or,
                                  without `force`, is registered
GET  /v1/endpoints/<name>/values  ?path=&limit=50&cursor=: {"values": [...], "next": <cursor> | null}, by
                                  path; `path` asks for what is at this path or below it

404 where an endpoint was never seen. Lists are JSON, CSV or NDJSON, see flownexus.web.formats.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import quote

import msgspec
from flask import Blueprint, Flask, Response
from msgspec import Meta

from flownexus.errors import ConflictError, NotAcceptableError, TooWideError
from flownexus.lwm2m.path import Path
from flownexus.operations.filter import Filter, parse_filter
from flownexus.operations.why import Expected
from flownexus.store.endpoint_values import (
    ENDPOINT_COLUMNS,
    VALUE_COLUMNS,
    Endpoint,
    EndpointDetails,
    Value,
    add_endpoint,
    delete_endpoint,
    list_endpoints,
    newest_values,
    show_endpoint,
)
from flownexus.store.pool import Pool
from flownexus.store.tag import MAX_TAGS
from flownexus.web import paging
from flownexus.web.asked import Flag, OfList, PathText, SomeText
from flownexus.web.described import Body
from flownexus.web.flask import caller
from flownexus.web.formats import Listing, listed
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown, with_fields
from flownexus.web.paging import Cursors, Key, LwM2mId
from flownexus.web.places import add_converters, known_name
from flownexus.web.problem import Response as Answer
from flownexus.web.tags import FilterText, TagKey, TagValue

MAX_NEW_NAME: Final = 255  # characters
EXPECTED: Final = shown(Expected)
ENDPOINT: Final = with_fields(shown(Endpoint, without=("contacts",)), expected=EXPECTED | None)
DETAILS: Final = with_fields(
    shown(EndpointDetails, without=("contacts",)), expected=EXPECTED | None, queue_mode=bool | None
)
NewName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_NEW_NAME,
        pattern=r"^[^\x00]*$(?!\n)",
        description=f"the endpoint client name, 1 to {MAX_NEW_NAME} characters, without NUL",
    ),
]


class WhichEndpoints(OfList, frozen=True):
    """Which endpoints are listed: those whose name has a part, and that fit a filter."""

    q: SomeText | None = None
    filter: FilterText = ""


class WhichValues(OfList, frozen=True):
    """Which values are listed: those at a path or below it."""

    path: PathText | None = None


class NewEndpoint(msgspec.Struct, frozen=True):
    """An endpoint that is made before it first registers."""

    name: NewName
    tags: Annotated[
        dict[TagKey, TagValue],
        Meta(
            max_length=MAX_TAGS, description=f"at most {MAX_TAGS} keys with their values, as tags have them"
        ),
    ] = {}


class Deletion(msgspec.Struct, frozen=True):
    """Which endpoints may be deleted: with `force` those that are registered, too."""

    force: Flag = False


class Deleted(msgspec.Struct):
    """The endpoint that was deleted."""

    name: str


def add_endpoints(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app."""
    add_converters(app)
    routes = Blueprint("endpoints", __name__, url_prefix="/v1/endpoints")

    @routes.get(
        "",
        scope=Scope.READ,
        query=WhichEndpoints,
        answers={200: listed("endpoints", ENDPOINT)},
        refusals=[NotAcceptableError, TooWideError],
    )
    def endpoints(query: WhichEndpoints) -> Response:
        """List endpoints by name, those that fit a filter."""
        return _endpoints(pool, query.q, parse_filter(query.filter))

    @routes.get("/<endpoint_name:name>", scope=Scope.READ, answers={200: DETAILS})
    def endpoint(name: str) -> dict[str, Any]:
        """Show an endpoint with its registration, its presence, and when it is expected to be heard next."""
        return show_endpoint(pool, known_name(name)).as_json()

    @routes.get(
        "/<endpoint_name:name>/values",
        scope=Scope.READ,
        query=WhichValues,
        answers={200: listed("values", shown(Value))},
        refusals=[NotAcceptableError],
    )
    def values(name: str, query: WhichValues) -> Response:  # noqa: ARG001  # paging.path() reads it
        """List the newest values of an endpoint by path."""
        return list_values(pool, known_name(name), paging.path("path"))

    app.register_blueprint(routes)


def add_new_endpoints(app: Flask, pool: Pool) -> None:
    """Add the routes that make and delete endpoints to a function's app."""
    routes = Blueprint("new_endpoints", __name__, url_prefix="/v1/endpoints")

    @routes.post(
        "",
        scope=Scope.OPERATE,
        body=Body.of(NewEndpoint),
        answers={201: DETAILS},
        refusals=[ConflictError],
    )
    def make(body: NewEndpoint) -> Answer:
        """Make an endpoint before it first registers, with its tags."""
        made = add_endpoint(pool, body.name, body.tags, caller().name)
        location = f"/function/{app.name}/v1/endpoints/{quote(made.name, safe='')}"
        return made.as_json(), 201, {"Location": location}

    @routes.delete(
        "/<endpoint_name:name>",
        scope=Scope.ADMINISTER,
        query=Deletion,
        answers={200: Deleted},
        refusals=[ConflictError],
    )
    def delete(name: str, query: Deletion) -> dict[str, Any]:
        """Delete an endpoint with its operations, updates, tags, values, events and logs."""
        delete_endpoint(pool, known_name(name), caller().name, even_registered=query.force)
        return {"name": name}

    app.register_blueprint(routes)


def _endpoints(pool: Pool, part: str | None, filter_: Filter) -> Response:
    cursors = Cursors("endpoints", {"q": part, "filter": filter_})

    def read(after: Key | None, limit: int) -> list[Endpoint]:
        return list_endpoints(pool, part, filter_, after[0] if after else None, limit)

    return Listing(
        "endpoints",
        cursors,
        cursors.asked(str),
        read,
        lambda endpoint: (endpoint.name,),
        Endpoint.as_json,
        ENDPOINT_COLUMNS,
    ).answer()


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
