"""The ASGI edge in front of a function's application: probes, metrics and limits."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import prometheus_client

from function_server.settings import Settings

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# A body that is too large is read and dropped up to this many times the limit, and at least so many bytes,
# before it is refused: a client that is cut off in the middle of sending would not see why.
_DISCARD_FACTOR = 16
_DISCARD_BYTES = 64 * 1024 * 1024

_log = logging.getLogger(__name__)

# Named as of-watchdog names them, so that its dashboards fit.
_REQUESTS = prometheus_client.Counter("http_requests", "Requests answered, by status.", ["code"])
_DURATION = prometheus_client.Histogram("http_request_duration_seconds", "From head to last byte.")
_INFLIGHT = prometheus_client.Gauge("http_requests_in_flight", "Requests being worked on.")


class _RefusedError(Exception):
    """A request that the edge answers itself."""

    def __init__(self, status: int, title: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.headers = headers


class _GoneError(Exception):
    """The client hung up before it had sent its request."""


class Edge:
    """An ASGI application that guards another.

    The guarded application sees a request only once its body has arrived whole, in one message.
    `ready` is asked, in a thread, whether the application has what it needs.
    """

    def __init__(
        self,
        application: Application,
        settings: Settings,
        stopping: Callable[[], bool],
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._application = application
        self._settings = settings
        self._stopping = stopping
        self._ready = ready
        self.inflight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a probe, refuse a request or let the application answer it."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"].startswith("/_/"):
            await self._probe(scope["path"], send)
        else:
            await self._request(scope, receive, send)

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
        elif path == "/_/metrics":
            await _answer(
                send, 200, prometheus_client.generate_latest(), prometheus_client.CONTENT_TYPE_LATEST
            )
        else:
            await _answer(send, 404, b"not found")

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        answer = _Answer(send)
        full = self._full()
        self.inflight += 1
        _INFLIGHT.set(self.inflight)
        try:
            body = await self._read(scope, receive, 0 if full else self._settings.max_body_bytes, full=full)
            await self._run(scope, _replay(body, receive), answer)
        except _GoneError:
            return
        except _RefusedError as refused:
            await answer.refuse(refused)
        finally:
            self.inflight -= 1
            _INFLIGHT.set(self.inflight)
            _DURATION.observe(time.perf_counter() - started)
            _REQUESTS.labels(answer.status).inc()

    async def _read(self, scope: Scope, receive: Receive, limit: int, *, full: bool) -> bytes:
        """Return the whole body; raise _RefusedError if the request is not to be served."""
        refusal = (
            _RefusedError(429, "Too many requests at once", (b"retry-after", b"1"))
            if full
            else _RefusedError(413, f"The body is larger than {limit} bytes")
        )
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        if b"expect" in headers and (full or (declared.isdigit() and int(declared) > limit)):
            raise refusal  # the client waits for leave to send its body: it needs no reading
        chunks: list[bytes] = []
        size = 0
        patience = max(self._settings.max_body_bytes * _DISCARD_FACTOR, _DISCARD_BYTES)
        try:
            async with asyncio.timeout(self._settings.read_timeout):
                more = True
                while more and size <= patience:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    chunk = message.get("body", b"")
                    more = message.get("more_body", False)
                    size += len(chunk)
                    if size <= limit:
                        chunks.append(chunk)
                    else:
                        chunks.clear()
        except TimeoutError:
            raise _RefusedError(408, "The body did not arrive in time", (b"connection", b"close")) from None
        if more:
            refusal.headers = (*refusal.headers, (b"connection", b"close"))
        if full or size > limit:
            raise refusal
        return b"".join(chunks)

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

    async def refuse(self, refused: _RefusedError) -> None:
        problem = {"title": refused.title, "status": refused.status}
        await _answer(
            self.send,
            refused.status,
            json.dumps(problem).encode(),
            "application/problem+json",
            *refused.headers,
        )


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body first and then whatever the client does."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _answer(
    send: Send, status: int, body: bytes, media_type: str = "text/plain", *headers: tuple[bytes, bytes]
) -> None:
    head = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
