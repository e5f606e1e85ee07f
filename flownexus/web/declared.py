"""What users declare of their devices' data, as REST: names of events, and resources that are logs.

GET    /v1/event-types                        {"event_types": [...]}, by name
PUT    /v1/event-types/<name>                 {"paths", "description"?}: 201 with it, 200 where it was there
DELETE /v1/event-types/<name>                 it, as it was
GET    /v1/log-resources                      {"log_resources": [...]}, by their ids
PUT    /v1/log-resources/<object>/<resource>  {"cumulative"?}: 201 with it, 200 where it was there
DELETE /v1/log-resources/<object>/<resource>  it, as it was

An event has the name of the type with the most paths, of those that it has values at or below all paths of.
A value of a resource that is a log is kept in the device's log from then on, line by line.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from flask import Blueprint, Flask
from msgspec import Meta

from flownexus.errors import NotFoundError, ValidationFailedError
from flownexus.lwm2m.path import MAX_ID
from flownexus.store.declared import (
    EventType,
    LogResource,
    list_event_types,
    list_log_resources,
    put_event_type,
    put_log_resource,
    remove_event_type,
    remove_log_resource,
)
from flownexus.store.pool import Pool
from flownexus.web.described import Body
from flownexus.web.flask import caller
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown
from flownexus.web.problem import Response

MAX_PATHS: Final = 100
MAX_DESCRIPTION: Final = 1000  # characters
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
EVENT_TYPE: Final = shown(EventType)
LOG_RESOURCE: Final = shown(LogResource)


class EventTypeToPut(msgspec.Struct, frozen=True):
    """What events of a type have values of."""

    paths: Annotated[
        list[
            Annotated[
                str,
                Meta(
                    pattern=r"^(?:/(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|\*)){1,4}$(?!\n)",
                    description="a LwM2M path in which * stands for any id, such as /3303/*/5700",
                ),
            ]
        ],
        Meta(
            min_length=1,
            max_length=MAX_PATHS,
            description=f"1 to {MAX_PATHS} LwM2M paths in which * stands for any id, such as /3303/*/5700",
        ),
    ]
    description: (
        Annotated[
            str,
            Meta(
                max_length=MAX_DESCRIPTION,
                pattern=r"^[^\x00]*$(?!\n)",
                description=f"a text of at most {MAX_DESCRIPTION} characters",
            ),
        ]
        | None
    ) = None


class EventTypes(msgspec.Struct):
    """All event types by name."""

    event_types: list[EVENT_TYPE]  # type: ignore[valid-type]


class LogResourceToPut(msgspec.Struct, frozen=True):
    """How a resource is a log: whether each value has all that the log still holds."""

    cumulative: Annotated[bool, Meta(description="true or false")] = False


class LogResources(msgspec.Struct):
    """All resources that are logs, by their ids."""

    log_resources: list[LOG_RESOURCE]  # type: ignore[valid-type]


def add_declared(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app."""
    _add_event_types(app, pool)
    _add_log_resources(app, pool)


def _add_event_types(app: Flask, pool: Pool) -> None:
    routes = Blueprint("event_types", __name__, url_prefix="/v1/event-types")

    @routes.get("", scope=Scope.READ, answers={200: EventTypes})
    def list_() -> dict[str, Any]:
        """List the names of events."""
        return {"event_types": [each.as_json() for each in list_event_types(pool)]}

    @routes.put(
        "/<name>",
        scope=Scope.ADMINISTER,
        body=Body.of(EventTypeToPut),
        answers={200: EVENT_TYPE, 201: EVENT_TYPE},
    )
    def put(name: str, body: EventTypeToPut) -> Response:
        """Declare the name of events that have values at or below all of these paths."""
        if not _NAME.fullmatch(name):
            raise ValidationFailedError(
                "the name of an event type is 1 to 63 small letters, digits and -, a letter first"
            )
        stored, added = put_event_type(pool, name, body.paths, body.description, caller().name)
        return stored.as_json(), 201 if added else 200, {}

    @routes.delete("/<name>", scope=Scope.ADMINISTER, answers={200: EVENT_TYPE})
    def remove(name: str) -> dict[str, Any]:
        """Remove the name of events."""
        if not _NAME.fullmatch(name):
            raise NotFoundError(f"there is no event type {name!r}")
        return remove_event_type(pool, name).as_json()

    app.register_blueprint(routes)


def _add_log_resources(app: Flask, pool: Pool) -> None:
    routes = Blueprint("log_resources", __name__, url_prefix="/v1/log-resources")
    place = "/<int:object_id>/<int:resource_id>"

    @routes.get("", scope=Scope.READ, answers={200: LogResources})
    def list_() -> dict[str, Any]:
        """List the resources that are logs."""
        return {"log_resources": [each.as_json() for each in list_log_resources(pool)]}

    @routes.put(
        place,
        scope=Scope.ADMINISTER,
        body=Body.of(LogResourceToPut),
        answers={200: LOG_RESOURCE, 201: LOG_RESOURCE},
    )
    def put(object_id: int, resource_id: int, body: LogResourceToPut) -> Response:
        """Declare a resource to be a log, on all devices."""
        ids = _known(object_id, resource_id)
        stored, added = put_log_resource(pool, *ids, caller().name, cumulative=body.cumulative)
        return stored.as_json(), 201 if added else 200, {}

    @routes.delete(place, scope=Scope.ADMINISTER, answers={200: LOG_RESOURCE})
    def remove(object_id: int, resource_id: int) -> dict[str, Any]:
        """Let a resource be a log no more: what comes from then on is a value."""
        return remove_log_resource(pool, *_known(object_id, resource_id)).as_json()

    app.register_blueprint(routes)


def _known(object_id: int, resource_id: int) -> tuple[int, int]:
    if max(object_id, resource_id) > MAX_ID:
        raise NotFoundError(f"/{object_id}/*/{resource_id} is no resource: an id is at most {MAX_ID}")
    return object_id, resource_id
