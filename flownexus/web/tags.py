"""Tags of endpoints, and which endpoints fit a filter, as REST.

GET    /v1/endpoints/<name>/tags        {"tags": {<key>: <value>}}; 404 an endpoint never seen
PUT    /v1/endpoints/<name>/tags/<key>  {"value": <text>}: all tags of the endpoint then
DELETE /v1/endpoints/<name>/tags/<key>  the others; 404 where there is no such tag
GET    /v1/matching                     ?filter=: {"filter", "count", "examples": [<name>, ...]}

A filter is what flownexus.operations.filter reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, Flask, request

from flownexus.errors import ValidationFailedError
from flownexus.operations.filter import MAX_TAG_KEY, Filter, is_tag_key, parse_filter
from flownexus.store.pool import Pool
from flownexus.store.tag import count_matching, remove_tag, set_tag, tags_of
from flownexus.web.body import json_body
from flownexus.web.flask import caller
from flownexus.web.guard import Scope
from flownexus.web.places import known_name

MAX_TAG_VALUE: Final = 255  # characters


def add_tags(app: Flask, pool: Pool) -> None:
    """Add these routes to an app that has those of endpoints."""
    routes = Blueprint("tags", __name__, url_prefix="/v1")

    @routes.get("/endpoints/<endpoint_name:name>/tags", scope=Scope.READ)
    def tags(name: str) -> dict[str, Any]:
        return {"tags": tags_of(pool, known_name(name))}

    @routes.put("/endpoints/<endpoint_name:name>/tags/<key>", scope=Scope.OPERATE)
    def put_tag(name: str, key: str) -> dict[str, Any]:
        return {"tags": set_tag(pool, known_name(name), _key(key), _value(json_body()), caller().name)}

    @routes.delete("/endpoints/<endpoint_name:name>/tags/<key>", scope=Scope.OPERATE)
    def delete_tag(name: str, key: str) -> dict[str, Any]:
        return {"tags": remove_tag(pool, known_name(name), _key(key))}

    @routes.get("/matching", scope=Scope.READ)
    def matching() -> dict[str, Any]:
        asked = filter_asked()
        found = count_matching(pool, asked)
        return {"filter": str(asked), "count": found.total, "examples": found.examples}

    app.register_blueprint(routes)


def filter_asked() -> Filter:
    """Return the request's parameter `filter`: every endpoint without one. Raises BadFilterError."""
    return parse_filter(request.args.get("filter", ""))


def _key(key: str) -> str:
    if not is_tag_key(key):
        raise ValidationFailedError(
            f"a tag's key is 1 to {MAX_TAG_KEY} letters, digits and . _ - inside, such as site"
        )
    return key


def _value(body: object) -> str:
    value = body.get("value") if isinstance(body, Mapping) and set(body) == {"value"} else None
    if not isinstance(value, str) or "\0" in value or len(value) > MAX_TAG_VALUE:
        raise ValidationFailedError(
            f'the body is {{"value": <text of at most {MAX_TAG_VALUE} characters>}}, such as '
            '{"value": "berlin"}'
        )
    return value
