"""Live updates, as server-sent events (HTML standard, 9.2).

GET /v1/stream  ?endpoint=&path=: what is written from now on: of all endpoints, or of those named (`endpoint`
                may be there several times); with `path`, values and operations at or below it only

    event: value      {"endpoint", "path", "value", "time"}
    event: presence   {"endpoint", "event": "registered" | "updated" | "unregistered" |
                      "heard", "time"}
    event: operation  {"endpoint", "id", "operation", "path", "status", "time"}: queued, or ended

A stream ends before the gateway would end it. Who connects again with Last-Event-ID, as an EventSource does
by itself, gets all that was written since, once. Without anything to tell, an id moves on every few seconds.
503 with Retry-After where too many streams are open.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Final, TypeAlias

import msgspec
from flask import Blueprint, Flask, Response, request
from msgspec import Meta

from flownexus.lwm2m.path import Path
from flownexus.store.change_feed import ChangeFeed, Follower
from flownexus.store.changes import Change, Position
from flownexus.web import paging
from flownexus.web.asked import PathText
from flownexus.web.described import Media
from flownexus.web.guard import Scope

MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT_S: Final = 5.0
"""Seconds after which a stream says something; who has gone is noticed by then, too."""
RECONNECT_MS: Final = 1000
MAX_ENDPOINTS: Final = 100

LastEventId: TypeAlias = Annotated[
    str, Meta(description="the id of the last event that came: go on behind it")
]


class WhichChanges(msgspec.Struct, frozen=True):
    """Which changes are told."""

    endpoint: Annotated[
        list[Annotated[str, Meta(pattern=r"^[^\x00]+$")]],
        Meta(max_length=MAX_ENDPOINTS, description=f"up to {MAX_ENDPOINTS} names; none for all endpoints"),
    ] = []
    path: PathText | None = None


def add_stream(app: Flask, feed: ChangeFeed, seconds: float) -> None:
    """Add this route to a function's app; a stream ends after so many seconds."""
    routes = Blueprint("stream", __name__, url_prefix="/v1/stream")

    @routes.get(
        "",
        scope=Scope.READ,
        query=WhichChanges,
        headers={"Last-Event-ID": LastEventId},
        answers={200: Media({MEDIA_TYPE: bytes})},
    )
    def stream(query: WhichChanges) -> Response:
        """Tell values, presence and operations as they are written, as server-sent events."""
        ends = time.monotonic() + seconds
        names, path, after = query.endpoint or None, paging.path("path"), _last_event_id()
        events = Events(feed.follow(names, after), path, ends)
        return Response(
            events, content_type=MEDIA_TYPE, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    app.register_blueprint(routes)


class Events:
    """The pieces of a stream: an iterator that its server closes, however it ends."""

    def __init__(self, follower: Follower, path: Path | None, ends: float) -> None:
        self._follower = follower
        self._path = path
        self._ends = ends
        self._first = True

    def __iter__(self) -> Iterator[bytes]:
        """Return itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next events, or what moves the id on where there are none."""
        if self._first:
            self._first = False
            return f"retry: {RECONNECT_MS}\nid: {self._follower.position}\n\n".encode()
        silent_until = min(time.monotonic() + HEARTBEAT_S, self._ends)
        while (left := silent_until - time.monotonic()) > 0:
            changes = self._follower.next(left)
            if told := b"".join(map(_event, filter(self._is_wanted, changes))):
                return told
        if time.monotonic() >= self._ends:
            raise StopIteration
        return f"id: {self._follower.position}\n\n".encode()

    def close(self) -> None:
        """Follow no more."""
        self._follower.leave()

    def _is_wanted(self, change: Change) -> bool:
        return self._path is None or change.is_within(self._path)


def _event(change: Change) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (
        change.event.encode(),
        str(change.position).encode(),
        change.json,
    )


def _last_event_id() -> Position | None:
    text = request.headers.get("Last-Event-ID")
    return None if text is None else Position.parse(text)
