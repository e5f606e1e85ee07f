"""What of a device Leshan alone knows: its observations, and its CoAP messages while they pass.

GET /device/observations  a part of the page
GET /live/device/coap     server-sent events, which end before the function's timeout:

    event: message (by default)  the message as JSON, redacted by Leshan
    event: turn                  the stream ends soon: whoever opens the next one now misses nothing
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import BoundedSemaphore
from typing import Final, NamedTuple

import msgspec
from flask import Response

from flownexus.errors import TooManyError
from flownexus.leshan.coap_log import Follow, Lines, follow_messages, messages
from flownexus.leshan.observations import Ask, observations
from flownexus.store.endpoint_values import known_endpoint
from flownexus.web.console.app import Access, ConsoleApp, page
from flownexus.web.console.devices import device_name

LONGEST_S: Final = 15.0
"""Seconds that a stream takes at most: less than exec_timeout."""
OVERLAP_S: Final = 3.0
"""Seconds of it in which its successor is to be opened; Leshan says something at least as often."""
MAX_STREAMS: Final = 6
"""How many streams a replica has open: each holds one of its threads."""
_TYPE: Final = "text/event-stream"


class LeshanApi(NamedTuple):
    """How Leshan is asked."""

    ask: Ask
    follow: Follow


def add_live(app: ConsoleApp, leshan: LeshanApi, most_s: float) -> None:
    """Add these routes; the gateway ends what takes longer than `most_s`."""
    seconds = min(LONGEST_S, most_s)
    free = BoundedSemaphore(MAX_STREAMS)

    @app.get("/device/observations", access=Access.VIEWER)
    def observed_now() -> Response:
        name = device_name()
        known_endpoint(app.pool, name)
        return page("observations_part.html", observations=observations(leshan.ask, name))

    @app.get("/live/device/coap", access=Access.OPERATOR, live=True)
    def live_coap() -> Response:
        name = device_name()
        known_endpoint(app.pool, name)
        if not free.acquire(blocking=False):
            raise TooManyError(f"{MAX_STREAMS} CoAP logs are open already; close one, or try again soon")
        try:
            events = Events(follow_messages(leshan.follow, name, seconds), free, seconds)
        except BaseException:
            free.release()
            raise
        return Response(events, content_type=_TYPE, headers={"X-Accel-Buffering": "no"})


class Events(Iterator[bytes]):
    """The pieces of a stream; its server closes it, however it ends."""

    def __init__(self, lines: Lines, free: BoundedSemaphore, seconds: float) -> None:
        self._lines = lines
        self._free = free
        self._pieces = _pieces(lines, seconds)
        self._is_closed = False

    def __next__(self) -> bytes:
        """Return the next piece."""
        return next(self._pieces)

    def close(self) -> None:
        """Let Leshan go, and the place."""
        if not self._is_closed:
            self._is_closed = True
            self._lines.close()
            self._free.release()


def _pieces(lines: Lines, seconds: float) -> Iterator[bytes]:
    turns = time.monotonic() + seconds - OVERLAP_S
    yield b"retry: 1000\n\n"
    for message in messages(lines):
        yield b":\n\n" if message is None else b"data: %b\n\n" % msgspec.json.encode(message)
        if time.monotonic() > turns:
            turns = float("inf")
            yield b"event: turn\ndata:\n\n"
