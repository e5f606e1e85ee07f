"""The provider API of OpenFaaS, /system/*, as far as faas-cli and the connector ask for it."""

from __future__ import annotations

import asyncio
import base64
import json
import platform
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from flownexus.credentials import SecretError, SecretFolder
from local.openfaas.functions import (
    NAMESPACE,
    RESERVED_SECRETS,
    DeployError,
    Deployment,
    Functions,
    NotFoundError,
)
from local.servers.ports import LOOPBACK
from local.supervise.logfile import Entry, Follower, read

FOLLOW_INTERVAL = 0.25


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
