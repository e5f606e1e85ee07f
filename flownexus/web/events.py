"""Events and registrations, as REST, the newest first.

GET /v1/events         ?endpoint=&type=&from=&to=&limit=50&cursor=: {"events": [...], "next"}: values that
                       arrived together, of a composite, a registration event, or the answer to a read
GET /v1/registrations  ?endpoint=&event=&from=&to=&limit=50&cursor=: {"registrations": [...], "next"}: when
                       endpoints registered, updated and deregistered, and were heard again

404 where the endpoint was never seen. Lists are JSON, CSV or NDJSON, see flownexus.web.formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Flask, Response, request

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
from flownexus.web.formats import Listing
from flownexus.web.guard import Scope
from flownexus.web.paging import Cursors, Key, Number, Time


def add_events(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app."""
    routes = Blueprint("events", __name__, url_prefix="/v1")

    @routes.get("/events", scope=Scope.READ)
    def events() -> Response:
        return _answer(pool, "events", "type", tuple(EventType), Event.as_json, EVENT_COLUMNS)

    @routes.get("/registrations", scope=Scope.READ)
    def registrations() -> Response:
        shown = Event.as_registration
        return _answer(pool, "registrations", "event", REGISTRATION_TYPES, shown, REGISTRATION_COLUMNS)

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
