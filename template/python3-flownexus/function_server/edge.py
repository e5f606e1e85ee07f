"""The ASGI edge in front of a function's application: probes, metrics and limits."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import prometheus_client

from function_server.settings import FunctionServerSettings

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Refusal = tuple[dict[str, Any], int, Mapping[str, str]]
"""JSON, status and headers of an answer."""
Guard = Callable[[str, str, Mapping[str, str]], tuple[Any, Refusal | None]]
"""Says of a request's method, path and headers (names in lower case) who sends it, or how to refuse it."""
PRINCIPAL = "function_server.principal"
"""Where the application finds who sends a request: a key of the ASGI scope or WSGI environment."""

_GATEWAY_HEADERS = frozenset({b"x-call-id", b"x-forwarded-for", b"x-forwarded-host", b"forwarded"})

# A body that is too large is read and dropped up to this many times the limit, and at least so many bytes,
# before it is refused: a client that is cut off in the middle of sending would not see why.
_DISCARD_FACTOR = 16
_DISCARD_BYTES = 64 * 1024 * 1024
# Who is refused on the head has so many seconds to send what they are sending, as long as they are few.
_LINGER = 2.0
_MAX_LINGERING = 128
# At SIGTERM an application has this part of drain_timeout to end by itself what would take longer; the rest
# is for its answers.
_APPLICATION_SHARE = 0.8

_log = logging.getLogger(__name__)

# Named as of-watchdog names them, so that its dashboards fit.
_REQUESTS = prometheus_client.Counter("http_requests", "Requests answered, by status.", ["code"])
_DURATION = prometheus_client.Histogram("http_request_duration_seconds", "From head to last byte.")
_INFLIGHT = prometheus_client.Gauge("http_requests_in_flight", "Requests being worked on.")
_BODIES = prometheus_client.Gauge("http_bodies_under_way", "Requests whose body is not whole yet.")
_BODIES_BYTES = prometheus_client.Gauge("http_bodies_under_way_bytes", "What has come of these bodies.")


class _RefusedError(Exception):
    """A request that the edge answers itself."""

    def __init__(
        self, status: int, title: str, *headers: tuple[bytes, bytes], problem: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(title)
        self.status = status
        self.problem = problem or {"title": title, "status": status}
        self.headers = headers


class _GoneError(Exception):
    """The client hung up before it had sent its request."""


class _Body:
    """A body under way."""

    def __init__(self, patience: float | None) -> None:
        self.bound = asyncio.timeout(patience)
        self.size = 0
        self.made_room = False


class _Bodies:
    """The bodies under way. Where they are too many, or too large, the one that takes the longest makes room.

    So that who is slow, or stops, keeps nobody out who sends a whole request.
    """

    def __init__(self, max_bodies: int, max_bytes: int) -> None:
        self._max_bodies = max_bodies
        self._max_bytes = max_bytes
        self._bytes = 0
        self._under_way: dict[_Body, None] = {}  # the oldest first
        _BODIES.set_function(lambda: len(self._under_way))
        _BODIES_BYTES.set_function(lambda: self._bytes)

    def add(self, body: _Body) -> None:
        """Begin a body, within its bound."""
        self._under_way[body] = None
        while len(self._under_way) > self._max_bodies:
            self._make_room()

    def grow(self, body: _Body, size: int) -> None:
        """Count what came of it."""
        if body in self._under_way:
            body.size += size
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._make_room()

    def remove(self, body: _Body) -> None:
        """End a body, whole or not."""
        if body in self._under_way:
            del self._under_way[body]
            self._bytes -= body.size

    def _make_room(self) -> None:
        oldest = next(iter(self._under_way))
        self.remove(oldest)
        oldest.made_room = True
        oldest.bound.reschedule(0)


class Edge:
    """An ASGI application that guards another.

    The guarded application sees a request only once its body has arrived whole, in one message.
    `guard` is asked on a request's head, before its body is read; only whole requests count in max_inflight.
    `ready` is asked, in a thread, whether the application has what it needs. `drain` is told, when the
    function is stopped, in how many seconds the application should have ended what is under way.
    """

    def __init__(
        self,
        application: Application,
        settings: FunctionServerSettings,
        stopping: Callable[[], bool],
        ready: Callable[[], bool] = lambda: True,
        guard: Guard = lambda method, path, headers: (None, None),  # noqa: ARG005 - it lets everybody in
        drain: Callable[[float], None] = lambda within: None,  # noqa: ARG005 - it waits for all that it does
    ) -> None:
        self._application = application
        self._settings = settings
        self._stopping = stopping
        self._ready = ready
        self._guard = guard
        self._drain = drain
        self._under_way: set[asyncio.Timeout] = set()
        self._bodies = _Bodies(settings.max_bodies, settings.max_bodies_bytes)
        self._lingering = 0
        self.inflight = 0
        self.broke_off = False
        """Whether requests were under way when drain_timeout was over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a probe, refuse a request or let the application answer it."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"].startswith("/_/"):
            await self._probe("" if _came_through_a_gateway(scope) else scope["path"], send)
        else:
            await self._request(scope, receive, send)

    def drain(self) -> None:
        """Bound what is under way by drain_timeout; nothing new comes any more."""
        within = self._settings.drain_timeout
        if within is None:
            return
        self._drain(within * _APPLICATION_SHARE)
        ends = asyncio.get_running_loop().time() + within
        for bound in self._under_way:
            bound.reschedule(ends)

    def _full(self) -> bool:
        return 0 < self._settings.max_inflight <= self.inflight

    async def _probe(self, path: str, send: Send) -> None:
        """Answer a probe; health says that the process lives, readiness that it would take a request."""
        if path == "/_/health":
            await _answer(send, 200, b"OK")
        elif path == "/_/ready":
            if self._stopping():
                await _answer(send, 503, b"stopping")
            elif self._full():
                await _answer(send, 503, b"busy: max_inflight reached")
            elif not await asyncio.to_thread(self._ready):
                await _answer(send, 503, b"something that the function needs does not answer")
            else:
                await _answer(send, 200, b"OK")
        else:
            await _answer(send, 404, b"not found")

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        answer = _Answer(send)
        bound = asyncio.timeout(None)
        try:
            async with bound:
                self._under_way.add(bound)
                await self._serve(scope, receive, answer)
        except _GoneError:
            return
        except _RefusedError as refused:
            await answer.refuse(refused)
        except TimeoutError:
            if not bound.expired():
                raise
            self.broke_off = True
            if not answer.status:  # else half of it is out: the server closes the connection
                stopping = _RefusedError(503, "The function is being stopped", (b"retry-after", b"1"))
                await answer.refuse(stopping)
        finally:
            self._under_way.discard(bound)
            _DURATION.observe(time.perf_counter() - started)
            _REQUESTS.labels(answer.status).inc()

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        scope[PRINCIPAL], refusal = self._guard(scope["method"], scope["path"], headers)
        if refusal is not None:
            await self._turn_away(refusal, headers, receive, answer)
            return
        body = await self._read(headers, receive)
        await self._work(scope, _replay(body, receive), answer)

    async def _turn_away(
        self, refusal: Refusal, headers: Mapping[str, str], receive: Receive, answer: _Answer
    ) -> None:
        """Answer on the head; what comes of the body is dropped for a moment, so that the client can read."""
        problem, status, told = refusal
        refused = _RefusedError(status, "", *_encoded(told), problem=problem)
        length = headers.get("content-length", "0")
        if length == "0" and "transfer-encoding" not in headers:
            raise refused
        refused.headers = (*refused.headers, (b"connection", b"close"))
        if "expect" in headers or self._lingering >= _MAX_LINGERING:
            raise refused
        await answer.refuse(refused, whole=False)
        self._lingering += 1
        try:
            async with asyncio.timeout(_LINGER):
                await self._discard(receive)
        except (TimeoutError, _GoneError):
            pass
        finally:
            self._lingering -= 1
        await answer.send({"type": "http.response.body"})

    async def _discard(self, receive: Receive) -> None:
        size, more = 0, True
        while more and size <= _DISCARD_BYTES:
            chunk, more = await _chunk(receive)
            size += len(chunk)

    async def _read(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return the whole body; raise _RefusedError if the request is not to be served."""
        limit = self._settings.max_body_bytes
        too_large = _RefusedError(413, f"The body is larger than {limit} bytes")
        declared = headers.get("content-length", "")
        if "expect" in headers:  # the client waits for leave to send its body: it needs no reading
            if self._full():
                raise _too_many()
            if declared.isdigit() and int(declared) > limit:
                raise too_large
        chunks: list[bytes] = []
        size = 0
        patience = max(limit * _DISCARD_FACTOR, _DISCARD_BYTES)
        under_way = _Body(self._settings.read_timeout)
        try:
            async with under_way.bound:
                self._bodies.add(under_way)
                more = True
                while more and size <= patience:
                    chunk, more = await _chunk(receive)
                    size += len(chunk)
                    if size <= limit:
                        self._bodies.grow(under_way, len(chunk))
                        chunks.append(chunk)
                    else:
                        chunks.clear()
        except TimeoutError:
            if under_way.made_room:
                raise _too_many((b"connection", b"close")) from None
            raise _RefusedError(408, "The body did not arrive in time", (b"connection", b"close")) from None
        finally:
            self._bodies.remove(under_way)
        if more:
            too_large.headers = ((b"connection", b"close"),)
        if size > limit:
            raise too_large
        return b"".join(chunks)

    async def _work(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Let the application answer, unless it has enough to do."""
        if self._full():
            raise _too_many()
        self.inflight += 1
        _INFLIGHT.set(self.inflight)
        try:
            await self._run(scope, receive, answer)
        finally:
            self.inflight -= 1
            _INFLIGHT.set(self.inflight)

    async def _run(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Call the application within exec_timeout."""
        bound = asyncio.timeout(self._settings.exec_timeout)
        try:
            async with bound:
                await self._application(scope, receive, answer.send)
        except TimeoutError:
            if not bound.expired():
                raise
            _log.warning("exec_timeout (%g s) exceeded", self._settings.exec_timeout)
            if answer.status:
                raise  # half an answer is out: the server closes the connection
            raise _RefusedError(504, "The function did not answer in time") from None


class _Answer:
    """What a request is answered with; its status is 0 until the answer begins."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def refuse(self, refused: _RefusedError, *, whole: bool = True) -> None:
        await _answer(
            self.send,
            refused.status,
            json.dumps(refused.problem).encode(),
            "application/problem+json",
            *refused.headers,
            whole=whole,
        )


def _came_through_a_gateway(scope: Scope) -> bool:
    """Tell what OpenFaaS's gateway passes on: probes are for who reaches the function itself."""
    return any(name in _GATEWAY_HEADERS for name, _ in scope["headers"])


def _too_many(*headers: tuple[bytes, bytes]) -> _RefusedError:
    return _RefusedError(429, "Too many requests at once", (b"retry-after", b"1"), *headers)


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI has them, but for those that the edge writes itself."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in headers.items()
        if name.lower() not in {"content-type", "content-length"}
    ]


async def _chunk(receive: Receive) -> tuple[bytes, bool]:
    """Return what comes next of a body, and whether there is more."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _GoneError
    return message.get("body", b""), message.get("more_body", False)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body first and then whatever the client does."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    media_type: str = "text/plain",
    *headers: tuple[bytes, bytes],
    whole: bool = True,
) -> None:
    head = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": not whole})
