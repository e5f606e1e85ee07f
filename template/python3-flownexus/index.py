"""Serve the function's `handler.app`, a WSGI (Flask) or ASGI (Starlette) application.

An application may have three attributes more.

`app.guard(method, path, headers)` is asked once, on a request's head, before its body is read, and must not
block; the headers' names are in lower case. It returns (who, None) to let a request in; (None, (JSON, status,
headers)) has it refused with that answer. The application finds `who` in the WSGI environment, or the ASGI
scope, as "function_server.principal".

`app.ready()` is asked for /_/ready, in a thread: whether the function has what it needs.

`app.drain(within)` is called at SIGTERM: what would take longer than so many seconds is best ended by the
application itself, which knows how.

The environment holds the settings, see function_server/settings.py. On SIGTERM no connection is taken any
more, requests under way are finished within drain_timeout, and the process ends with status 0.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
import math
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import prometheus_client
import uvicorn
from function_server.connection import Connection
from function_server.edge import Application, Edge
from function_server.logs import log_to_stderr
from function_server.settings import FunctionServerSettings, SettingError
from function_server.wsgi import WsgiAdapter

BACKLOG = 4096
"""Connections that wait to be accepted: as many as the kernel lets wait by default (somaxconn)."""
ACCEPTED_AT_ONCE = 32
"""How many connections are accepted in one turn of the event loop.

libuv accepts one from each listening socket. On a busy loop that is few a second, and callers give up.
"""

_log = logging.getLogger("index")


class Server(uvicorn.Server):
    """A server for which SIGTERM is an ordinary end; `drain` is called when it begins."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way, within its bound."""
        self._drain()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT; uvicorn would kill itself with the signal in the end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def load(settings: FunctionServerSettings) -> Any:
    """Import the function's handler and return its application."""
    sys.path.insert(0, str(settings.function_dir))
    try:
        return importlib.import_module("handler").app
    except Exception as error:  # noqa: BLE001 - whatever it is, one clear line and no half-open server
        _log.debug("the handler cannot be imported", exc_info=True)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        sys.exit(f"cannot start: {type(error).__name__}: {error} ({frame.filename}:{frame.lineno})")


def adapt(application: Any, settings: FunctionServerSettings) -> Application:
    """Return an ASGI application, whichever kind the handler has."""
    if is_asgi(application):
        asgi: Application = application
        return asgi
    return WsgiAdapter(application, settings.threads)


def is_asgi(application: Any) -> bool:
    """Tell an ASGI application from a WSGI one."""
    return inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(application.__call__)


def serve(application: Any, settings: FunctionServerSettings) -> None:
    """Serve until a signal ends it."""
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=BACKLOG)
    except OSError as error:
        sys.exit(f"cannot start: port {settings.port} of {settings.host}: {error.strerror}")
    _serve_metrics(settings)
    Connection.read_timeout = settings.read_timeout
    Connection.write_timeout = settings.write_timeout
    Connection.max_connections = settings.max_connections
    edge = Edge(
        adapt(application, settings),
        settings,
        stopping=lambda: server.should_exit,
        **{
            hook: getattr(application, hook)
            for hook in ("ready", "guard", "drain")
            if hasattr(application, hook)
        },
    )
    server = Server(
        uvicorn.Config(
            edge,
            http=Connection,
            loop="uvloop",
            lifespan="on" if is_asgi(application) else "off",
            log_config=None,
            access_log=False,  # a token may stand in a URL
            server_header=False,
            proxy_headers=False,  # handlers do not ask who called
            # Longer than any proxy keeps a connection that it does not use: the proxy closes it, not we
            # in the moment in which it sends the next request.
            timeout_keep_alive=180,
            # A client that does not take its answer is not waited for either.
            timeout_graceful_shutdown=math.ceil(settings.drain_timeout) + 1
            if settings.drain_timeout
            else None,
        ),
        edge.drain,
    )
    _log.info("listening on %s:%d", settings.host, settings.port)
    server.run(sockets=[listener, *(listener.dup() for _ in range(ACCEPTED_AT_ONCE - 1))])
    _log.info("stopped")
    if edge.broke_off:
        os._exit(0)  # a thread of a WSGI application ends with the process, and else would be waited for


def _serve_metrics(settings: FunctionServerSettings) -> None:
    """Serve /metrics in a thread, on a port that no gateway passes requests to, as of-watchdog does."""
    try:
        prometheus_client.start_http_server(settings.metrics_port, settings.host)
    except OSError as error:
        sys.exit(f"cannot start: metrics_port {settings.metrics_port} of {settings.host}: {error.strerror}")


def main() -> None:
    """Read the settings, load the handler, serve it."""
    try:
        settings = FunctionServerSettings.from_environment(os.environ)
    except SettingError as error:
        sys.exit(f"cannot start: {error}")
    log_to_stderr(settings)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    serve(load(settings), settings)


if __name__ == "__main__":
    main()
