"""The gateway's connections: a bound on the time of a head, and on how many there are."""

from __future__ import annotations

import asyncio
import ssl
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_response import StreamResponse

HEAD_TIMEOUT = 10.0
"""Seconds in which the head of a request has to come, from the connection's or its own first byte on."""
MAX_CONNECTIONS = 10_000
"""Beyond these, the one that has had no request under way for the longest is closed."""


class Connections:
    """Makes the protocol of each connection."""

    def __init__(self, server: web.Server, head_timeout: float, max_connections: int) -> None:
        self.head_timeout = head_timeout
        self._server = server
        self._max_connections = max_connections
        self._count = 0
        self._idle: dict[_Connection, None] = {}  # the longest first

    def __call__(self) -> _Connection:
        """Make the protocol of a new connection."""
        return _Connection(self, self._server)

    def opened(self, connection: _Connection) -> None:
        """Take a connection in, and close another where they are too many."""
        self._count += 1
        self._idle[connection] = None
        if self._count > self._max_connections:
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.abort()

    def closed(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._count -= 1
        self._idle.pop(connection, None)

    def busy(self, connection: _Connection) -> None:
        """Note that a connection has a request under way."""
        self._idle.pop(connection, None)

    def idle(self, connection: _Connection) -> None:
        """Note that a connection has none any more."""
        self._idle[connection] = None


class _Connection(RequestHandler):
    """A connection that is closed where a head does not come in time."""

    def __init__(self, connections: Connections, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # there is none; its hint does not say so
            # A body is passed on as it came, with the length and the coding that its sender gave it.
            auto_decompress=False,
        )
        self._connections = connections
        self._under_way = False
        self._head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.opened(self)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting()
        self._connections.closed(self)
        self._under_way = True  # what is left of a request's handling does not come back
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._under_way and self._head is None:
            self._await_head()
        super().data_received(data)

    def began(self) -> None:
        """Note that a whole head has come."""
        self._stop_waiting()
        self._under_way = True
        self._connections.busy(self)

    def ended(self) -> None:
        """Note that its request has been handled."""
        if self.transport is not None:
            self._under_way = False
            self._connections.idle(self)

    def abort(self) -> None:
        """Close the connection at once."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # it quotes the request, in which a token may be
    ) -> StreamResponse:
        return super().handle_error(request, status, exc, HTTPStatus(status).phrase)

    def _await_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head = loop.call_later(self._connections.head_timeout, self.abort)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


@web.middleware
async def follow(request: web.Request, handler: Any) -> web.StreamResponse:
    """Tell a request's connection when it begins and ends; the outermost middleware."""
    connection = request.protocol
    if not isinstance(connection, _Connection):
        raise TypeError("the application is served by another protocol than Connections makes")
    connection.began()
    try:
        response: web.StreamResponse = await handler(request)
        return response
    finally:
        connection.ended()


async def listen(
    runner: web.AppRunner,
    host: str,
    port: int,
    head_timeout: float = HEAD_TIMEOUT,
    max_connections: int = MAX_CONNECTIONS,
    *,
    tls: ssl.SSLContext | None = None,
) -> asyncio.Server:
    """Listen for an application that has been set up and has `follow`; raises OSError."""
    if runner.server is None:
        raise RuntimeError("the runner is not set up")
    connections = Connections(runner.server, head_timeout, max_connections)
    return await asyncio.get_running_loop().create_server(
        connections, host, port, backlog=4096, ssl=tls, ssl_handshake_timeout=head_timeout if tls else None
    )
