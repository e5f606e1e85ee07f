"""Run a WSGI application behind the edge, in a pool of threads."""

from __future__ import annotations

import asyncio
import contextvars
import io
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_to_bytes

from function_server.edge import PRINCIPAL, Receive, Scope, Send

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Response = tuple[int, list[tuple[bytes, bytes]], bytes]


class WsgiAdapter:
    """A WSGI application as an ASGI one.

    A request reaches its thread whole and its response is collected whole: the event loop and a thread
    meet once a request. An adapter that streams (a2wsgi) meets three times or more, and served less
    than half as many requests a second.
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
        await send({"type": "http.response.body", "body": content})


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
    """Call the application and collect its response."""
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
    try:
        content.extend(result)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    if not head:
        raise RuntimeError("the WSGI application did not call start_response")
    status, headers = head[-1]
    return status, headers, b"".join(content)
