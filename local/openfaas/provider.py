"""An OpenFaaS gateway and provider in one process, the embedded default; not a production gateway.

It runs each function of stack.yml as processes of this machine, through the project's own template, and
speaks enough of the provider API for faas-cli and the connector.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import json
import logging
import os
import platform
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
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
    NAMESPACE,
    RESERVED_SECRETS,
    DeployError,
    Deployment,
    Functions,
    InstanceContext,
    NotFoundError,
)
from local.openfaas.proxy import Proxy, problem
from local.openfaas.runner import process_runner
from local.openfaas.stack import StackError
from local.openfaas.tls import context_of, to_tls, with_tls_only
from local.servers.ports import LOOPBACK
from local.supervise.logfile import Entry, Follower, read

FOLLOW_INTERVAL = 0.25
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger("local.openfaas.provider")


class Provider:
    """The provider API, /system/*, of the functions that run here."""

    def __init__(self, functions: Functions, secrets: SecretFolder) -> None:
        self._functions = functions
        self._secrets = secrets
        self._changes: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the API's routes."""
        return [
            web.get("/healthz", self.health),
            web.get("/system/info", self.info),
            web.get("/system/namespaces", self.namespaces),
            web.get("/system/functions", self.list_functions),
            web.post("/system/functions", self.deploy),
            web.put("/system/functions", self.update),
            web.delete("/system/functions", self.remove),
            web.get("/system/function/{name}", self.describe),
            web.post("/system/scale-function/{name}", self.scale),
            web.get("/system/secrets", self.list_secrets),
            web.post("/system/secrets", self.create_secret),
            web.put("/system/secrets", self.update_secret),
            web.delete("/system/secrets", self.remove_secret),
            web.get("/system/logs", self.logs),
            web.get("/system/replicas", self.replicas),
            web.get("/system/metrics-targets", self.metrics_targets),
        ]

    async def health(self, _: web.Request) -> web.StreamResponse:
        """Say that the gateway lives."""
        return web.Response(text="OK")

    async def info(self, _: web.Request) -> web.StreamResponse:
        """Say what this is."""
        version = {"release": "0.1.0", "sha": "", "commit_message": ""}
        provider = {"name": "flownexus-local", "provider": "flownexus-local", "orchestration": "processes"}
        return web.json_response(
            {"provider": {**provider, "version": version}, "version": version, "arch": platform.machine()}
        )

    async def namespaces(self, _: web.Request) -> web.StreamResponse:
        """List the one namespace."""
        return web.json_response([NAMESPACE])

    async def list_functions(self, _: web.Request) -> web.StreamResponse:
        """List the functions."""
        return web.json_response([status(d) for _, d in sorted(self._functions.deployed.items())])

    async def describe(self, request: web.Request) -> web.StreamResponse:
        """Describe one function."""
        return web.json_response(status(self._functions[request.match_info["name"]]))

    async def deploy(self, request: web.Request) -> web.StreamResponse:
        """Deploy a function, or restart it as it is described now."""
        asked = await body(request)
        text(asked, "service")
        await self._carry_through(self._functions.deploy(self._functions.described(asked)))
        return web.Response(status=202)

    async def update(self, request: web.Request) -> web.StreamResponse:
        """Restart a deployed function as it is described now."""
        asked = await body(request)
        _ = self._functions[text(asked, "service")]
        await self._carry_through(self._functions.deploy(self._functions.described(asked)))
        return web.Response(status=202)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """Stop a function."""
        await self._carry_through(self._functions.remove(text(await body(request), "functionName")))
        return web.Response(status=202)

    async def scale(self, request: web.Request) -> web.StreamResponse:
        """Set the number of replicas."""
        replicas = (await body(request)).get("replicas")
        if not isinstance(replicas, int):
            raise DeployError("replicas must be a number")
        await self._carry_through(self._functions[request.match_info["name"]].scale(replicas))
        return web.Response(status=202)

    async def _carry_through(self, change: Coroutine[Any, Any, None]) -> None:
        """Make a change to its end, even if its caller hangs up: half of one leaves no replica."""
        task = asyncio.create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        await asyncio.shield(task)

    async def list_secrets(self, _: web.Request) -> web.StreamResponse:
        """List the secrets' names."""
        names = [name for name in self._secrets.names() if not name.startswith(RESERVED_SECRETS)]
        return web.json_response([{"name": name, "namespace": NAMESPACE} for name in names])

    async def create_secret(self, request: web.Request) -> web.StreamResponse:
        """Set a secret."""
        asked = await body(request)
        value = asked.get("value")
        if not value and asked.get("rawValue"):
            value = base64.b64decode(asked["rawValue"]).decode()
        self._secrets.write(self._secret_name(asked), str(value or ""))
        return web.Response(status=201)

    async def update_secret(self, request: web.Request) -> web.StreamResponse:
        """Set a secret that exists."""
        if self._secret_name(await body(request)) not in self._secrets:
            raise NotFoundError("there is no such secret")
        await self.create_secret(request)
        return web.Response(status=202)

    async def remove_secret(self, request: web.Request) -> web.StreamResponse:
        """Remove a secret."""
        name = self._secret_name(await body(request))
        if name not in self._secrets:
            raise NotFoundError("there is no such secret")
        self._secrets.remove(name)
        return web.Response(status=202)

    def _secret_name(self, asked: dict[str, Any]) -> str:
        name = text(asked, "name")
        if name.startswith(RESERVED_SECRETS):
            raise SecretError(f"{name} is the gateway's own")
        return name

    async def replicas(self, _: web.Request) -> web.StreamResponse:
        """List the processes; of the local provider alone, not in OpenFaaS."""
        return web.json_response(
            [
                {
                    "function": deployment.function.name,
                    "name": replica.name,
                    "pid": replica.process.pid,
                    "port": replica.port,
                    "metrics_port": replica.metrics_port,
                    "ready": replica.ready,
                    "inflight": replica.inflight,
                    "crashes": replica.process.exits,
                    "last_exit": replica.process.last_exit,
                    "log": str(replica.log_path),
                }
                for _, deployment in sorted(self._functions.deployed.items())
                for replica in deployment.replicas
            ]
        )

    async def metrics_targets(self, _: web.Request) -> web.StreamResponse:
        """List where the functions' metrics are, as Prometheus's http_sd_configs has it.

        Functions are told apart by the label that they have in OpenFaaS's own Prometheus.
        """
        return web.json_response(
            [
                {
                    "targets": [f"{LOOPBACK}:{replica.metrics_port}" for replica in deployment.replicas],
                    "labels": {"faas_function": deployment.function.name},
                }
                for _, deployment in sorted(self._functions.deployed.items())
            ]
        )

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """Stream log lines, one JSON object each."""
        query = request.query
        deployment = self._functions[query.get("name", "")]
        since = datetime.fromisoformat(query["since"]) if query.get("since") else None
        tail = int(query["tail"]) if query.get("tail", "").isdigit() and int(query["tail"]) > 0 else None
        paths = {r.name: r.log_path for r in deployment.replicas if query.get("instance", "") in {"", r.name}}
        followers = {name: Follower(path) for name, path in paths.items()}
        lines = [(e, name) for name, path in paths.items() for e in read(path, tail, since)]
        lines.sort(key=lambda line: line[0].time)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)

        async def send(lines: list[tuple[Entry, str]]) -> None:
            for entry, instance in lines:
                message = {
                    "name": deployment.function.name,
                    "namespace": NAMESPACE,
                    "instance": instance,
                    "timestamp": entry.time.isoformat().replace("+00:00", "Z"),
                    "text": entry.text,
                }
                await response.write(json.dumps(message).encode() + b"\n")

        await send(lines[-tail:] if tail else lines)
        while query.get("follow") in {"1", "true"}:
            await asyncio.sleep(FOLLOW_INTERVAL)
            await send([(e, name) for name, follower in followers.items() for e in follower.read()])
        return response


def status(deployment: Deployment) -> dict[str, Any]:
    """Describe a function as the provider API does."""
    function = deployment.function
    return {
        "name": function.name,
        "image": function.image,
        "namespace": NAMESPACE,
        "envProcess": "python3 index.py",
        "envVars": dict(function.environment),
        "secrets": list(function.secrets),
        "labels": {"faas_function": function.name, **function.labels},
        "annotations": dict(function.annotations),
        "replicas": len(deployment.replicas),
        "availableReplicas": deployment.available,
        "invocationCount": deployment.invocations,
        "createdAt": datetime.fromtimestamp(deployment.created, UTC).isoformat().replace("+00:00", "Z"),
    }


async def body(request: web.Request) -> dict[str, Any]:
    """Return the request's JSON object."""
    try:
        parsed = json.loads(await request.text())
    except ValueError as error:
        raise DeployError(f"the body is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise DeployError("the body is not a JSON object")
    return parsed


def text(asked: dict[str, Any], key: str) -> str:
    """Return a text that the body must have."""
    value = asked.get(key)
    if not isinstance(value, str) or not value:
        raise DeployError(f"{key} is missing")
    return value


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
