"""The functions that are deployed: replicas, their ports, secrets and readiness."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from flownexus.credentials import SecretFolder
from local.openfaas.runner import Launch, Runner
from local.openfaas.stack import Function, read_stack
from local.servers.ports import LOOPBACK, free_port
from local.supervise.logfile import LogFile
from local.supervise.process import MARK, Command, Process

MAX_REPLICAS = 5  # as OpenFaaS Community Edition has it
NAMESPACE = "openfaas-fn"
PROBE_INTERVAL = 0.05
DRAIN_S = 6.0
"""How long a replica that is stopped may take to end what it has begun, in seconds."""
STOP_TIMEOUT_S = DRAIN_S + 3
"""Seconds after which it is killed: it records and answers what it has ended by then."""
RESERVED_SECRETS = "basic-auth-"


class DeployError(ValueError):
    """A function cannot be served as it is asked for."""


class NotFoundError(KeyError):
    """There is no such function."""


@dataclass(frozen=True)
class InstanceContext:
    """What all functions share."""

    stack: Path
    state: Path
    logs: Path
    secrets: SecretFolder
    environment: Mapping[str, str]
    runner: Runner


class Replica:
    """One running instance of a function."""

    def __init__(self, function: Function, number: int, context: InstanceContext) -> None:
        self.name = f"{function.name}-{number}"
        self.function = function
        self.port = 0
        self.metrics_port = 0
        self.ready = False
        self.inflight = 0
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._probing: asyncio.Task[None] | None = None
        self.log_path = context.logs / f"{self.name}.log"
        self.process = Process(
            self.name,
            self._command,
            LogFile(self.log_path),
            stop_timeout=STOP_TIMEOUT_S,
            on_change=self._tell,
        )

    def start(self) -> None:
        """Start it; it takes requests once it is ready."""
        self.process.start()

    async def stop(self) -> None:
        """Take it out of service, let it finish what it has begun, and end it."""
        self.ready = False
        await asyncio.to_thread(self.process.stop)
        if self._probing is not None:
            self._probing.cancel()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def _folder(self) -> Path:
        return self._context.state / self.name

    def _command(self) -> Command:
        """Return how to run it; asked at each start, on the process's thread."""
        self.port, self.metrics_port = free_port(), free_port()
        secrets = SecretFolder(self._folder / "secrets")
        for name in self.function.secrets:
            secrets.write(name, self._context.secrets.path(name).read_text(encoding="utf-8"))
        environment = {
            **self.function.environment,
            "host": LOOPBACK,
            "port": str(self.port),
            "metrics_port": str(self.metrics_port),
            "drain_timeout": f"{DRAIN_S:g}s",
            "OPENFAAS_NAME": self.function.name,
            "OPENFAAS_NAMESPACE": NAMESPACE,
        }
        if MARK in self._context.environment:
            environment[MARK] = self._context.environment[MARK]
        return self._context.runner(Launch(self.name, self.function, environment, secrets.folder))

    def _tell(self, _: Process) -> None:
        """Carry a change of the process from its thread to the event loop."""
        self._loop.call_soon_threadsafe(self._changed)

    def _changed(self) -> None:
        self.ready = False
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None
        if self.process.state == "running":
            self._probing = self._loop.create_task(self._probe(self.process.pid))

    async def _probe(self, pid: int | None) -> None:
        """Wait until the process that began just now answers that it is ready."""
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            while self.process.pid == pid:
                try:
                    async with client.get(f"{self.url}/_/ready") as response:
                        if response.status == 200:
                            self.ready = True
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(PROBE_INTERVAL)


class Deployment:
    """A function with its replicas."""

    def __init__(self, function: Function, context: InstanceContext) -> None:
        self.function = function
        self.replicas: list[Replica] = []
        self.invocations = 0
        self.created = time.time()
        self._context = context
        self._turn = itertools.count()
        self._scaling = asyncio.Lock()

    @property
    def available(self) -> int:
        """Return how many replicas take requests."""
        return sum(replica.ready for replica in self.replicas)

    async def scale(self, number: int) -> None:
        """Start or stop replicas until there are as many as asked for."""
        if not 1 <= number <= MAX_REPLICAS:
            raise DeployError(f"replicas must be 1 to {MAX_REPLICAS}, as in OpenFaaS Community Edition")
        async with self._scaling:
            while len(self.replicas) < number:
                taken = {replica.name for replica in self.replicas}
                free = next(n for n in itertools.count(1) if f"{self.function.name}-{n}" not in taken)
                replica = Replica(self.function, free, self._context)
                replica.start()
                self.replicas.append(replica)
            surplus, self.replicas = self.replicas[number:], self.replicas[:number]
            await asyncio.gather(*(replica.stop() for replica in surplus))

    async def replace(self, function: Function) -> None:
        """Restart all replicas, one at a time, as `function` describes them."""
        async with self._scaling:
            self.function = function
            self.created = time.time()
            for index, old in enumerate(self.replicas):
                await old.stop()
                number = int(old.name.rpartition("-")[2])
                self.replicas[index] = Replica(function, number, self._context)
                self.replicas[index].start()

    async def stop(self) -> None:
        """Stop all replicas."""
        replicas, self.replicas = self.replicas, []
        await asyncio.gather(*(replica.stop() for replica in replicas))

    async def choose(self, wait: float, avoid: Replica | None = None) -> Replica | None:
        """Return the replica whose turn it is; wait if none is ready; None if none becomes ready in time."""
        deadline = time.monotonic() + wait
        while True:
            ready = [r for r in self.replicas if r.ready and r is not avoid]
            if ready:
                return ready[next(self._turn) % len(ready)]
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(PROBE_INTERVAL)
            avoid = None


class Functions:
    """All functions that are deployed."""

    def __init__(self, context: InstanceContext) -> None:
        self.context = context
        self.deployed: dict[str, Deployment] = {}

    def __getitem__(self, name: str) -> Deployment:
        try:
            return self.deployed[name]
        except KeyError:
            raise NotFoundError(f"there is no function {name}") from None

    async def start(self) -> None:
        """Deploy every function of stack.yml."""
        for function in self.read().values():
            await self.deploy(function)

    async def stop(self) -> None:
        """Stop everything."""
        await asyncio.gather(*(deployment.stop() for deployment in self.deployed.values()))

    def read(self) -> dict[str, Function]:
        """Read stack.yml as it is now."""
        return read_stack(self.context.stack, self.context.environment)

    def described(self, asked: Mapping[str, Any]) -> Function:
        """Return the function that the provider API's request names, as stack.yml describes it now."""
        name = str(asked["service"])
        function = self.read().get(name)
        if function is None:
            raise DeployError(
                f"{name} is not in {self.context.stack}: the local provider serves the "
                "functions of that file from their folders, not images; add it there"
            )
        return function

    async def deploy(self, function: Function) -> None:
        """Start a function, or restart it as it is described now."""
        for secret in function.secrets:
            if secret.startswith(RESERVED_SECRETS) or secret not in self.context.secrets:
                raise DeployError(
                    f"function {function.name} asks for secret {secret}, which does not exist: "
                    f"faas-cli secret create {secret}"
                )
        if function.name in self.deployed:
            await self.deployed[function.name].replace(function)
        else:
            deployment = Deployment(function, self.context)
            await deployment.scale(function.scale_min)
            self.deployed[function.name] = deployment

    async def remove(self, name: str) -> None:
        """Stop a function; deploying it brings it back."""
        deployment = self[name]
        del self.deployed[name]
        await deployment.stop()
