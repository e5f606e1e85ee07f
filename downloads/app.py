"""GET /<token>: the package of one update of one device, with Range and ETag. GET /healthz: 200.

Leshan asks for parts of 16 KiB, for devices that download by CoAP.

An ASGI application. Of a package one piece is in memory for each device, whatever its size: the next one is
read when the socket has taken this one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import unquote_plus

from downloads.ranges import NotSatisfiableError, Part, asked_part
from flownexus.errors import FlowNexusError, NotFoundError, TemporaryError
from flownexus.objects.bucket import Bucket
from flownexus.store.firmware import Served, note_download, read_part, served_by_token
from flownexus.store.pool import Pool

log = logging.getLogger(__name__)

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
T = TypeVar("T")

PIECE_BYTES: Final = 64 * 1024
"""How much of a package is read at once."""
NOTE_EVERY_S: Final = 1.0
"""How often it is written down how far a device is; then it is asked, too, whether it may go on."""
ENDPOINT: Final = "x-endpoint"
"""The header in which Leshan names the device that asks by CoAP, percent-encoded."""
STALL_S: Final = 60.0
"""A device that takes no byte for so long is let go."""
_TOKEN: Final = re.compile(r"/([A-Za-z0-9_-]{20,60})")


class Downloads:
    """Serves what tokens stand for."""

    def __init__(self, pool: Pool, threads: ThreadPoolExecutor, bucket: Bucket | None) -> None:
        self._pool = pool
        self._bucket = bucket
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        if path == "/healthz":
            await _answer(send, 200, b'{"status": "ok"}', {"content-type": "application/json"})
            return
        token = _TOKEN.fullmatch(path)
        try:
            headers = _headers(scope)
            endpoint = None if ENDPOINT not in headers else unquote_plus(headers[ENDPOINT])
            served = await self._run(served_by_token, self._pool, token[1], endpoint) if token else None
            if served is None:
                raise NotFoundError("there is nothing here: no package, or not any more")
            if method not in ("GET", "HEAD"):
                await _problem(send, 405, "Method not allowed", "GET or HEAD", {"allow": "GET, HEAD"})
                return
            await self._serve(served, path[1:], method, headers, receive, send)
        except TemporaryError as error:
            await _problem(send, 503, error.title, error.detail, {"retry-after": str(error.retry_after)})
        except FlowNexusError as error:
            await _problem(send, error.status, error.title, error.detail)

    async def _serve(
        self,
        served: Served,
        token: str,
        method: str,
        headers: Mapping[str, str],
        receive: Receive,
        send: Send,
    ) -> None:
        etag = f'"{served.sha256.hex()}"'
        about = {"accept-ranges": "bytes", "etag": etag, "content-type": "application/octet-stream"}
        if headers.get("if-none-match") == etag:
            await _answer(send, 304, b"", about)
            return
        try:
            part = asked_part(headers.get("range"), headers.get("if-range"), etag, served.size)
        except NotSatisfiableError:
            unsatisfied = {**about, "content-range": f"bytes */{served.size}"}
            await _problem(send, 416, "Range not satisfiable", f"it has {served.size} bytes", unsatisfied)
            return
        start, end = part or Part(0, served.size)
        about["content-length"] = str(end - start)
        if part is not None:
            about["content-range"] = f"bytes {start}-{end - 1}/{served.size}"
        status = 200 if part is None else 206
        if method == "HEAD":
            await _answer(send, status, b"", about)
            return
        first = await self._read(served, start, end)  # before the head: it may fail
        await send({"type": "http.response.start", "status": status, "headers": _raw(about)})
        gone = asyncio.create_task(_gone(receive))
        try:
            await self._stream(served, token, first, Part(start, end), send, gone)
        finally:
            gone.cancel()

    async def _stream(
        self, served: Served, token: str, piece: bytes, part: Part, send: Send, gone: asyncio.Task[None]
    ) -> None:
        at, noted_at, noted = part.start, time.monotonic(), part.start
        try:
            while not gone.done():  # to who is gone everything can be sent at once
                last = at + len(piece) >= part.end
                async with asyncio.timeout(STALL_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": not last})
                at += len(piece)
                if last:
                    return
                if time.monotonic() - noted_at >= NOTE_EVERY_S:
                    await self._run(note_download, self._pool, served.update_id, at, at - noted)
                    noted_at, noted = time.monotonic(), at
                    if await self._run(served_by_token, self._pool, token) is None:
                        log.info("update %d ended, or its package was retired", served.update_id)
                        return
                piece = await self._read(served, at, part.end)
        except (TimeoutError, OSError, FlowNexusError) as error:
            # The head is sent: all that can be told is that the connection ends before its length.
            log.info("update %d: the download ended at byte %d: %r", served.update_id, at, error)
        finally:
            if at > noted:
                self._threads.submit(self._note, served.update_id, at, at - noted)

    def _note(self, update_id: int, reached: int, served: int) -> None:
        try:
            note_download(self._pool, update_id, reached, served)
        except FlowNexusError as error:
            log.warning("update %d: how far it is was not written down: %s", update_id, error)

    async def _read(self, served: Served, at: int, end: int) -> bytes:
        most = min(end - at, PIECE_BYTES)
        return await self._run(read_part, self._pool, served.firmware_id, at, most, self._bucket)

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *arguments))


async def _gone(receive: Receive) -> None:
    """Return when the device has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def _answer(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    length = {} if "content-length" in headers or status == 304 else {"content-length": str(len(body))}
    await send({"type": "http.response.start", "status": status, "headers": _raw({**headers, **length})})
    await send({"type": "http.response.body", "body": body})


async def _problem(
    send: Send, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> None:
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
    await _answer(send, status, body, {**(headers or {}), "content-type": "application/problem+json"})
