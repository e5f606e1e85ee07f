"""Run a WSGI application behind the edge, in a pool of threads.

A response that says how long it is goes whole. One that does not is streamed: each piece goes when the
application has it, and waits for the client to have read what came before.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from function_server.edge import PRINCIPAL, Receive, Scope, Send

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class Pieces:
    """A body that is not whole: its pieces, and what ends it."""

    iterator: Iterator[bytes]
    close: Callable[[], None]


Response = tuple[int, list[tuple[bytes, bytes]], bytes | Pieces]


class WsgiAdapter:
    """A WSGI application as an ASGI one.

    A request reaches its thread whole and, as a rule, its response is collected whole: the event loop and a
    thread meet once a request. An adapter that streams all (a2wsgi) meets three times or more, and served
    less than half as many requests a second. Of what is streamed, each piece is a meeting, and holds a thread
    while the application waits for it.
    """

    def __init__(self, application: Wsgi, threads: int) -> None:
        self._application = application
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="wsgi")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = (await receive())["body"]
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        status, headers, content = await loop.run_in_executor(
            self._executor, context.run, call, self._application, environ(scope, body)
        )
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if isinstance(content, Pieces):
            await self._stream(content, context, receive, send)
        else:
            await send({"type": "http.response.body", "body": content})

    async def _stream(
        self, pieces: Pieces, context: contextvars.Context, receive: Receive, send: Send
    ) -> None:
        """Send pieces until there are no more, or the client has gone."""
        gone = asyncio.ensure_future(receive())
        taking: Future[bytes | None] | None = None
        try:
            while True:
                taking = self._executor.submit(context.run, _next_of, pieces.iterator)
                taken = asyncio.wrap_future(taking)
                await asyncio.wait((taken, gone), return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    taken.cancel()
                    return
                piece = taken.result()
                if piece is None:
                    break
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            # In the thread that is still at the next piece, if one is: an iterator has one user at a time.
            if taking is None:
                pieces.close()
            else:
                taking.add_done_callback(lambda _: pieces.close())


def _next_of(pieces: Iterator[bytes]) -> bytes | None:
    """Return the next piece; None where there is none any more."""
    return next(pieces, None)


def environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return the WSGI environment (PEP 3333) of a request."""
    server_host, server_port = scope.get("server") or ("localhost", 80)
    client_host, client_port = scope.get("client") or ("", 0)
    values: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": scope.get("root_path", ""),
        # The bytes the client sent, not text made of them: the application decodes.
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server_host,
        "SERVER_PORT": str(server_port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client_host,
        "REMOTE_PORT": str(client_port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        PRINCIPAL: scope.get(PRINCIPAL),
    }
    for raw_name, raw_value in scope["headers"]:
        # An underscore would let a header pass for another one that has a dash there.
        if b"_" in raw_name or raw_name == b"transfer-encoding":
            continue
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        values[key] = f"{values[key]},{value}" if key in values else value
    values.pop("HTTP_CONTENT_LENGTH", None)
    values["CONTENT_LENGTH"] = str(len(body))  # known also when the body came chunked
    return values


def call(application: Wsgi, values: dict[str, Any]) -> Response:
    """Call the application; collect its response, or return it in pieces where it has no length."""
    head: list[tuple[int, list[tuple[bytes, bytes]]]] = []
    content: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], _exc_info: object = None
    ) -> Callable[[bytes], None]:
        head.append(
            (
                int(status.split(" ", 1)[0]),
                [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            )
        )
        return content.append

    result = application(values, start_response)
    close = getattr(result, "close", lambda: None)
    if head and not content and _is_streamed(values["REQUEST_METHOD"], *head[-1], result):
        return *head[-1], Pieces(iter(result), close)
    try:
        content.extend(result)
    finally:
        close()
    if not head:
        raise RuntimeError("the WSGI application did not call start_response")
    return *head[-1], b"".join(content)


_WITHOUT_BODY = frozenset({204, 304})


def _is_streamed(
    method: str, status: int, headers: list[tuple[bytes, bytes]], result: Iterable[bytes]
) -> bool:
    """Say whether a response comes piece by piece: it has a body whose length nobody has said."""
    return (
        method != "HEAD"
        and status not in _WITHOUT_BODY
        and not isinstance(result, (list, tuple))
        and all(name != b"content-length" for name, _ in headers)
    )
