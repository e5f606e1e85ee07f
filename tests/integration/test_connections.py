"""The local gateway's connections: heads that never end, and more of them than there may be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from local.openfaas.connections import follow, listen
from local.servers.ports import LOOPBACK

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def status(self) -> int:
        """Read one answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        await self.reader.readexactly(len(b"OK"))
        return int(head.split(b" ")[1])

    async def closed(self) -> bool:
        """Wait until the other side closes it without an answer."""
        try:
            return await asyncio.wait_for(self.reader.read(), 10) == b""
        except ConnectionError:
            return True


class Gateway:
    """An application whose GET /held waits until it is released, and its clients."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.port = 0
        self._clients: list[Client] = []

    async def answer(self, request: web.Request) -> web.Response:
        await request.read()
        if request.path == "/held":
            await self.release.wait()
        return web.Response(text="OK")

    async def open(self, first: bytes = b"") -> Client:
        """Open a connection and send what it begins with."""
        client = Client(*await asyncio.open_connection(LOOPBACK, self.port))
        self._clients.append(client)
        client.writer.write(first)
        return client

    async def close(self) -> None:
        for client in self._clients:
            client.writer.close()
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()


@contextlib.asynccontextmanager
async def served(head_timeout: float = 0.3, max_connections: int = 100) -> AsyncIterator[Gateway]:
    gateway = Gateway()
    application = web.Application(middlewares=[follow])
    application.router.add_route("*", "/{path:.*}", gateway.answer)
    runner = web.AppRunner(application, shutdown_timeout=1.0)
    await runner.setup()
    listener = await listen(runner, LOOPBACK, 0, head_timeout, max_connections)
    gateway.port = listener.sockets[0].getsockname()[1]
    try:
        yield gateway
    finally:
        await gateway.close()
        listener.close()
        await runner.cleanup()


@pytest.mark.parametrize("first", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_does_not_come_is_hung_up_on(first: bytes) -> None:
    async with served() as gateway:
        client = await gateway.open(first)
        assert await client.closed()


async def test_a_head_that_trickles_is_hung_up_on() -> None:
    async with served() as gateway:
        client = await gateway.open(b"GET / HTTP/1.1\r\n")
        for _ in range(500):
            client.writer.write(b"x")
            await asyncio.sleep(0.01)
            if client.reader.at_eof() or client.writer.transport.is_closing():
                break
        else:
            pytest.fail("it may go on for ever")


async def test_a_kept_connection_may_be_idle_for_longer_but_its_next_head_may_not() -> None:
    async with served() as gateway:
        client = await gateway.open(GET)
        assert await client.status() == 200
        await asyncio.sleep(0.6)
        client.writer.write(GET)
        assert await client.status() == 200
        client.writer.write(b"GET /")
        assert await client.closed()


async def test_neither_a_slow_answer_nor_a_slow_body_counts_as_a_head() -> None:
    async with served() as gateway:
        held = await gateway.open(GET.replace(b"/ ", b"/held ", 1))
        posted = await gateway.open(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
        for part in (b"1", b"2", b"3", b"4", b"5", b"6"):
            await asyncio.sleep(0.1)
            posted.writer.write(part)
        assert await posted.status() == 200
        gateway.release.set()
        assert await held.status() == 200


async def test_above_the_bound_the_longest_idle_connection_is_closed_and_none_with_a_request() -> None:
    async with served(head_timeout=60, max_connections=10) as gateway:
        held = await gateway.open(GET.replace(b"/ ", b"/held ", 1))
        kept = await gateway.open(GET)
        assert await kept.status() == 200
        idle = [await gateway.open(b"GET / HT") for _ in range(30)]
        for client in (kept, *idle[:21]):
            assert await client.closed()
        idle[-1].writer.write(b"TP/1.1\r\nHost: x\r\n\r\n")
        assert await idle[-1].status() == 200
        gateway.release.set()
        assert await held.status() == 200
