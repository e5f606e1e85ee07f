"""The history of a resource, as REST.

GET /v1/endpoints/<name>/3303/0/5700/history
    ?from=&to=&points=300        {"points": [{"time", "minimum", "maximum", "mean", "last", "count"}], ...}:
                                 its numbers in at most so many buckets (2,000 at most), empty ones left out
    ?resolution=raw&from=&to=&limit=&cursor=
                                 {"values": [{"time", "value", "number", "stored_at"}], "next"}: each value

`from` is included, `to` is not; by default they are the last 24 hours. The path is that of a resource or of a
resource instance.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from flask import Blueprint, Flask, Response, request
from msgspec import Meta

from flownexus.errors import NotAcceptableError, TooWideError, ValidationFailedError
from flownexus.lwm2m.path import Path
from flownexus.store.history import PAST_VALUE_COLUMNS, PastValue, Point, past_values, series
from flownexus.store.pool import Pool
from flownexus.web import paging
from flownexus.web.asked import OfList, TimeText
from flownexus.web.described import OneOf
from flownexus.web.formats import Format, Listing, accepted, as_lines, either, respond
from flownexus.web.guard import Scope
from flownexus.web.openapi import page_of, shown
from flownexus.web.paging import Cursors, Key, Number, Time
from flownexus.web.places import add_converters, known_name, path_of

DEFAULT_RANGE: Final = timedelta(days=1)
DEFAULT_POINTS: Final = 300
MAX_POINTS: Final = 2000
_RESOURCE_DEPTH: Final = 3


class WhichHistory(OfList, frozen=True):
    """Which part of a history is asked for, and how."""

    from_: TimeText | None = msgspec.field(name="from", default=None)
    to: TimeText | None = None
    points: Annotated[
        int, Meta(ge=1, le=MAX_POINTS, description=f"a whole number from 1 to {MAX_POINTS}")
    ] = DEFAULT_POINTS
    resolution: Literal["raw"] | None = None


class History(msgspec.Struct):
    """The numbers of a resource in buckets, of which empty ones are left out."""

    endpoint: str
    path: str
    from_: datetime = msgspec.field(name="from")
    to: datetime
    points: list[shown(Point)]  # type: ignore[valid-type]


def add_history(app: Flask, pool: Pool) -> None:
    """Add this route to a function's app."""
    add_converters(app)
    routes = Blueprint("history", __name__, url_prefix="/v1/endpoints")

    @routes.get(
        "/<endpoint_name:name>/<lwm2m_path:text>/history",
        scope=Scope.READ,
        query=WhichHistory,
        answers={200: either(OneOf((History, page_of("values", shown(PastValue, without=("id",)), str))))},
        refusals=[NotAcceptableError, TooWideError],
    )
    def history(name: str, text: str, query: WhichHistory) -> Response:
        """Show what a resource has been: its numbers in buckets, or with resolution=raw each value."""
        path = path_of(text)
        if path.depth < _RESOURCE_DEPTH:
            raise ValidationFailedError(f"path: {path} has no history; give that of a resource, /3303/0/5700")
        raw = query.resolution is not None
        start, end = paging.time_range(DEFAULT_RANGE)
        assert start is not None  # noqa: S101  # for the type checker: there is a default
        assert end is not None  # noqa: S101  # likewise
        if raw:
            return _each(pool, known_name(name), path, start, end)
        return _buckets(pool, known_name(name), path, start, end, query.points)

    app.register_blueprint(routes)


def _buckets(pool: Pool, name: str, path: Path, start: datetime, end: datetime, points: int) -> Response:
    wanted = accepted()
    found = [point.as_json() for point in series(pool, name, path, start, end, points)]
    if wanted is not Format.JSON:
        return respond(as_lines(wanted, Point.COLUMNS, found, head=True), wanted)
    told = {"endpoint": name, "path": str(path), "from": start.isoformat(), "to": end.isoformat()}
    return respond(msgspec.json.encode({**told, "points": found}), wanted)


def _each(pool: Pool, name: str, path: Path, start: datetime, end: datetime) -> Response:
    # As they were given: what they are by default moves on from page to page.
    given = {limit: request.args.get(limit) for limit in ("from", "to")}
    cursors = Cursors("history", {"endpoint": name, "path": path, **given})

    def read(after: Key | None, limit: int) -> list[PastValue]:
        return past_values(pool, name, path, start, end, (after[0], after[1]) if after else None, limit)

    return Listing(
        "values",
        cursors,
        cursors.asked(Time, Number),
        read,
        lambda value: (value.time, value.id),
        PastValue.as_json,
        PAST_VALUE_COLUMNS,
    ).answer()
