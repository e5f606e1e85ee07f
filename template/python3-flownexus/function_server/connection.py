"""What uvicorn leaves open: clients that do not send their request or do not read their answer."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connection(HttpToolsProtocol):
    """One client's connection, closed when the client stalls."""

    read_timeout: ClassVar[float | None] = None
    write_timeout: ClassVar[float | None] = None
    max_connections: ClassVar[int] = 10_000
    _count: ClassVar[int] = 0
    _idle: ClassVar[dict[Connection, None]] = {}
    """The connections without a request under way, the one that has been so for the longest first."""

    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; where there are too many connections, close the longest idle one."""
        super().connection_made(transport)
        Connection._count += 1
        self._idle[self] = None
        if self._count > self.max_connections:
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.transport.abort()
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Begin to wait for the rest of the next request's head."""
        if self._reading is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Stop waiting: from here on the edge watches the body."""
        self._stop_reading_timer()
        self._idle.pop(self, None)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Be idle, unless the next request is there already."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._idle[self] = None

    def pause_writing(self) -> None:
        """Begin to wait until the client reads."""
        super().pause_writing()
        if self.write_timeout is not None and self._writing is None:
            # Not close(), which would wait for the very client that does not read.
            self._writing = self.loop.call_later(self.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting: the client reads."""
        self._stop_writing_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all waiting."""
        Connection._count -= 1
        self._idle.pop(self, None)
        self._stop_reading_timer()
        self._stop_writing_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self.read_timeout is not None:
            self._reading = self.loop.call_later(self.read_timeout, self.transport.abort)

    def _stop_reading_timer(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _stop_writing_timer(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
