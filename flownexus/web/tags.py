"""Tags of endpoints, and which endpoints fit a filter, as REST.

GET    /v1/endpoints/<name>/tags        {"tags": {<key>: <value>}}; 404 an endpoint never seen
PUT    /v1/endpoints/<name>/tags/<key>  {"value": <text>}: all tags of the endpoint then
DELETE /v1/endpoints/<name>/tags/<key>  the others; 404 where there is no such tag
GET    /v1/matching                     ?filter=: {"filter", "count", "examples": [<name>, ...]}

A filter is what flownexus.operations.filter reads.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec
from flask import Blueprint, Flask
from msgspec import Meta

from flownexus.errors import TooWideError, ValidationFailedError
from flownexus.operations.filter import MAX_FILTER, MAX_TAG_KEY, TAG_KEY, is_tag_key, parse_filter
from flownexus.store.pool import Pool
from flownexus.store.tag import count_matching, remove_tag, set_tag, tags_of
from flownexus.web.described import Body
from flownexus.web.flask import caller
from flownexus.web.guard import Scope
from flownexus.web.places import known_name

MAX_TAG_VALUE: Final = 255  # characters
FilterText: TypeAlias = Annotated[
    str,
    Meta(
        max_length=MAX_FILTER, description=f"a filter, such as name==sim-*; at most {MAX_FILTER} characters"
    ),
]
TagKey: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^(?:{TAG_KEY.pattern})$(?!\n)",
        description=f"a tag's key is 1 to {MAX_TAG_KEY} letters, digits and . _ - inside, such as site",
    ),
]
TagValue: TypeAlias = Annotated[
    str,
    Meta(
        max_length=MAX_TAG_VALUE,
        pattern=r"^[^\x00]*$(?!\n)",
        description=f"a text of at most {MAX_TAG_VALUE} characters, such as berlin",
    ),
]


class Filtered(msgspec.Struct, frozen=True):
    """Which endpoints are meant: all without a filter."""

    filter: FilterText = ""


class TagToSet(msgspec.Struct, frozen=True):
    """What a tag is set to."""

    value: TagValue


class Tags(msgspec.Struct):
    """The tags of an endpoint."""

    tags: dict[str, str]


class Matching(msgspec.Struct):
    """How many endpoints fit a filter, and the names of the first by name."""

    filter: str
    count: int
    examples: list[str]


def add_tags(app: Flask, pool: Pool) -> None:
    """Add these routes to an app that has those of endpoints."""
    routes = Blueprint("tags", __name__, url_prefix="/v1")
    place = "/endpoints/<endpoint_name:name>/tags/<key>"

    @routes.get("/endpoints/<endpoint_name:name>/tags", scope=Scope.READ, answers={200: Tags})
    def tags(name: str) -> dict[str, Any]:
        """Show the tags of an endpoint."""
        return {"tags": tags_of(pool, known_name(name))}

    @routes.put(place, scope=Scope.OPERATE, body=Body.of(TagToSet), answers={200: Tags})
    def put_tag(name: str, key: str, body: TagToSet) -> dict[str, Any]:
        """Set a tag of an endpoint."""
        return {"tags": set_tag(pool, known_name(name), _key(key), body.value, caller().name)}

    @routes.delete(place, scope=Scope.OPERATE, answers={200: Tags}, refusals=[ValidationFailedError])
    def delete_tag(name: str, key: str) -> dict[str, Any]:
        """Remove a tag of an endpoint."""
        return {"tags": remove_tag(pool, known_name(name), _key(key))}

    @routes.get(
        "/matching", scope=Scope.READ, query=Filtered, answers={200: Matching}, refusals=[TooWideError]
    )
    def matching(query: Filtered) -> dict[str, Any]:
        """Say how many endpoints fit a filter, and name the first."""
        asked = parse_filter(query.filter)
        found = count_matching(pool, asked)
        return {"filter": str(asked), "count": found.total, "examples": found.examples}

    app.register_blueprint(routes)


def _key(key: str) -> str:
    if not is_tag_key(key):
        raise ValidationFailedError(
            f"a tag's key is 1 to {MAX_TAG_KEY} letters, digits and . _ - inside, such as site"
        )
    return key
