"""Events and registrations, as REST, the newest first.

GET /v1/events         ?endpoint=&type=&from=&to=&limit=50&cursor=: {"events": [...], "next"}: values that
                       arrived together, of a composite, a registration event, or the answer to a read
GET /v1/registrations  ?endpoint=&event=&from=&to=&limit=50&cursor=: {"registrations": [...], "next"}: when
                       endpoints registered, updated and deregistered, and were heard again

404 where the endpoint was never seen. Lists are JSON, CSV or NDJSON, see flownexus.web.formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from flask import Blueprint, Flask, Response, request

from flownexus.errors import NotAcceptableError, NotFoundError, TooWideError
from flownexus.leshan.webhook import EventType
from flownexus.store.event_reading import (
    EVENT_COLUMNS,
    REGISTRATION_COLUMNS,
    REGISTRATION_TYPES,
    Event,
    list_events,
)
from flownexus.store.pool import Pool
from flownexus.web import paging
from flownexus.web.asked import EndpointName, OfList, TimeText
from flownexus.web.formats import Listing, listed
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown
from flownexus.web.paging import Cursors, Key, Number, Time


class Registration(msgspec.Struct):
    """When an endpoint registered, updated or deregistered."""

    time: datetime
    endpoint: str
    event: EventType
    stored_at: datetime


class _InTime(OfList, frozen=True):
    """Of which endpoint, and from when until before when."""

    endpoint: EndpointName | None = None
    from_: TimeText | None = msgspec.field(name="from", default=None)
    to: TimeText | None = None


class WhichEvents(_InTime, frozen=True):
    """Which events are listed."""

    type: EventType | None = None


class WhichRegistrations(_InTime, frozen=True):
    """Which registrations are listed."""

    event: Literal["registered", "updated", "unregistered", "heard"] | None = None


def add_events(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app."""
    routes = Blueprint("events", __name__, url_prefix="/v1")

    @routes.get(
        "/events",
        scope=Scope.READ,
        query=WhichEvents,
        answers={200: listed("events", shown(Event))},
        refusals=[NotFoundError, NotAcceptableError, TooWideError],
    )
    def events(query: WhichEvents) -> Response:  # noqa: ARG001  # _answer() reads it
        """List values that arrived together, and what registrations were, the newest first."""
        return _answer(pool, "events", "type", tuple(EventType), Event.as_json, EVENT_COLUMNS)

    @routes.get(
        "/registrations",
        scope=Scope.READ,
        query=WhichRegistrations,
        answers={200: listed("registrations", Registration)},
        refusals=[NotFoundError, NotAcceptableError, TooWideError],
    )
    def registrations(query: WhichRegistrations) -> Response:  # noqa: ARG001  # likewise
        """List when endpoints registered, updated and deregistered, the newest first."""
        as_json = Event.as_registration
        return _answer(pool, "registrations", "event", REGISTRATION_TYPES, as_json, REGISTRATION_COLUMNS)

    app.register_blueprint(routes)


def _answer(
    pool: Pool,
    name: str,
    parameter: str,
    types: Sequence[EventType],
    as_json: Callable[[Event], dict[str, Any]],
    columns: Sequence[str],
) -> Response:
    """Answer with events of these types, or of the one that the parameter says."""
    endpoint, one = paging.endpoint_name("endpoint"), paging.one_of(parameter, types)
    start, end = paging.time_range()
    asked = ("endpoint", parameter, "from", "to")
    cursors = Cursors(name, {each: request.args.get(each) for each in asked})
    wanted = types if one is None else (EventType(one),)

    def read(after: Key | None, limit: int) -> list[Event]:
        return list_events(pool, endpoint, wanted, start, end, (after[0], after[1]) if after else None, limit)

    return Listing(
        name,
        cursors,
        cursors.asked(Time, Number),
        read,
        lambda event: (event.time, event.id),
        as_json,
        columns,
    ).answer()
