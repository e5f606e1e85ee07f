"""An OpenFaaS gateway and provider in one process, the embedded default; not a production gateway.

It runs each function of stack.yml as processes of this machine, through the project's own template, and
speaks enough of the provider API for faas-cli and the connector.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from flownexus.credentials import SecretError, SecretFolder
from flownexus.logs import log_to_stderr
from flownexus.settings import Timeouts, duration
from local.openfaas.connections import follow, listen
from local.openfaas.functions import (
    DeployError,
    Functions,
    InstanceContext,
    NotFoundError,
)
from local.openfaas.provider_api import Provider
from local.openfaas.proxy import Proxy, problem
from local.openfaas.runner import process_runner
from local.openfaas.stack import StackError
from local.openfaas.tls import context_of, to_tls, with_tls_only
from local.servers.ports import LOOPBACK

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger("local.openfaas.provider")


def authentication(secrets: SecretFolder) -> Any:
    """Return the middleware that asks for the gateway's user and password at /system/*."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/system/"):
            expected = f"{secrets.read('basic-auth-user')}:{secrets.read('basic-auth-password')}"
            header = "Basic " + base64.b64encode(expected.encode()).decode()
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, header.encode()):
                return problem(401, "Log in", {"WWW-Authenticate": 'Basic realm="Restricted"'})
        return await handler(request)

    return authenticate


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into responses; faas-cli prints a body of plain text as it is."""
    try:
        return await handler(request)
    except (DeployError, StackError, SecretError) as error:
        return web.Response(status=400, text=str(error))
    except NotFoundError as error:
        return web.Response(status=404, text=str(error.args[0]))


class Unquoted(logging.Filter):
    """Keep what aiohttp cannot read of a request out of the log: the token of /hook/<token>/ may be in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without the exception that quotes the request."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg, record.args = "not HTTP: %s from %s", (type(error).__name__, *(record.args or ()))
            record.exc_info = record.exc_text = None
        return True


async def run(arguments: argparse.Namespace, make: Callable[[InstanceContext], Functions]) -> None:
    """Serve until a signal ends it; `make` makes the functions, which run here or elsewhere."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    timeouts = Timeouts.of(arguments.long_poll_timeout)
    secrets = SecretFolder(arguments.secrets)
    stack = arguments.stack.resolve()
    functions = make(
        InstanceContext(
            stack=stack,
            state=arguments.state,
            logs=arguments.logs,
            secrets=secrets,
            environment=os.environ,
            runner=process_runner(stack, os.environ),
        )
    )
    proxy = Proxy(functions, timeouts.upstream_s)
    tls = arguments.tls_port and context_of(arguments.tls_certificate, arguments.tls_key)
    application = web.Application(middlewares=[follow, errors, authentication(secrets)])
    if tls is not None:
        application.middlewares.insert(1, to_tls(arguments.tls_port))
        application.on_response_prepare.append(with_tls_only)
    application.add_routes(Provider(functions, secrets).routes())
    # A name in a path may have a line break in it, which a dot does not stand for.
    application.router.add_route("*", r"/{path:[\s\S]*}", proxy.handle)
    # Cancelling the handler of a caller that is gone closes the function's connection, and so on down to
    # the device's CoAP exchange.
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    await proxy.start()
    try:
        # First the port: two gateways must not start a set of functions each before one finds it taken.
        listeners = [await listen(runner, LOOPBACK, arguments.port)]
        if tls is not None:
            listeners.append(await listen(runner, LOOPBACK, arguments.tls_port, tls=tls))
        await functions.start()
        _log.info("listening on %s:%d", LOOPBACK, arguments.port)
        await stop.wait()
        for listener in listeners:
            listener.close()
    finally:
        await functions.stop()  # each finishes what it has begun, within its bound
        await proxy.stop()
        await runner.cleanup()


def main(make: Callable[[InstanceContext], Functions] = Functions) -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m local.openfaas.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--stack", type=Path, default=Path("stack.yml"))
    parser.add_argument("--secrets", type=Path, required=True, help="folder, one file a secret")
    parser.add_argument("--state", type=Path, required=True, help="folder for what functions mount")
    parser.add_argument("--logs", type=Path, required=True, help="folder for the functions' logs")
    parser.add_argument(
        "--long-poll-timeout", type=duration, default=30.0, help="such as 30s; all follows from it"
    )
    parser.add_argument("--tls-port", type=int, help="where it speaks TLS, too")
    parser.add_argument("--tls-certificate", type=Path, help="in PEM, with those between it and the CA's")
    parser.add_argument("--tls-key", type=Path, help="its private key, in PEM")
    log_to_stderr("info", "json")
    logging.getLogger("aiohttp.server").addFilter(Unquoted())
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(parser.parse_args(), make))
    except (OSError, DeployError, StackError) as error:
        sys.exit(f"cannot start: {error}")


if __name__ == "__main__":
    main()
