"""Shows what OpenFaaS's own gateway costs, and the functions' server beside that of the stock template.

Single values by 16 clients and batches of 500 by two, posted to ingest-single through the gateway, to the
same process without it, and to the same handler under Flask, waitress and four threads. The gateway, built
from its Go module, listens on 8080 and 8082 whatever it is told: `make bench-gateway` gives it a network
namespace. Its provider is the one of `make up`.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psycopg

from benchmarks.ingest_path import (
    BATCH,
    CLIENTS,
    ENVELOPES,
    PARTS,
    SINGLE_CLIENTS,
    SINGLES,
    empty,
    in_processes,
    in_threads,
    single_bodies,
    singles,
)
from benchmarks.results import Result
from chaos.trial import assert_durable, await_true
from local import REPOSITORY, web
from local.openfaas.stack import read_stack
from local.options import Options, Ports
from local.servers.ports import LOOPBACK, free_port, holder, is_free
from local.world import World
from tests.openfaas.places import PROGRAMS
from tests.openfaas.prepare import build_programs

FUNCTION = "ingest-single"
GATEWAY_PORT = 8080
STARTED_IN = 20.0
"""Seconds."""
ARRANGEMENTS = ("through the gateway", "without it", "stock")


def run(runs: int) -> Sequence[Result]:
    """Measure so often each arrangement, with single values and with batches."""
    build_programs("gateway")
    with (
        tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder,
        World(Options(home=Path(folder) / "home", ports=Ports.any_free(), parts=PARTS)) as world,
        psycopg.connect(world.database_url, autocommit=True) as database,
        gateway(world) as gateway_port,
        stock(world) as stock_port,
    ):
        assert_durable(database)
        [replica] = world.replicas(FUNCTION)
        places = dict(
            zip(
                ARRANGEMENTS,
                ((gateway_port, f"/function/{FUNCTION}"), (replica["port"], "/"), (stock_port, "/")),
                strict=True,
            )
        )
        token = world.secrets.read("flownexus-webhook-token")
        found = []
        for _ in range(runs):
            rates: dict[tuple[str, str], float] = {}
            for name, (port, path) in places.items():
                empty(database)
                database.execute(b"CHECKPOINT")
                rates["single values", name] = _singles(port, token, path)
                rates[f"batches of {BATCH}", name] = _batches(port, token, path)
            found.append(rates)
    return [result for kind in ("single values", f"batches of {BATCH}") for result in _results(kind, found)]


def _results(kind: str, found: Sequence[Mapping[tuple[str, str], float]]) -> Iterator[Result]:
    medians = {name: statistics.median(each[kind, name] for each in found) for name in ARRANGEMENTS}
    for name in ARRANGEMENTS:
        beside = ", ".join(f"{medians[other]:,.0f}/s {other}" for other in ARRANGEMENTS if other != name)
        yield Result(
            f"ingest-single, {kind}: {name}",
            "requests/s", [each[kind, name] for each in found], None, "at least", beside,
        )  # fmt: skip


def _singles(port: int, token: str, path: str) -> float:
    return SINGLES * SINGLE_CLIENTS / in_threads(port, token, single_bodies(), path)


def _batches(port: int, token: str, path: str) -> float:
    source = str(uuid.uuid4())
    bodies = [[singles(source, lane, number) for number in range(ENVELOPES)] for lane in range(CLIENTS)]
    return CLIENTS * ENVELOPES / in_processes([(port, token, own, path) for own in bodies])


@contextlib.contextmanager
def gateway(world: World) -> Iterator[int]:
    """Run OpenFaaS's gateway in front of the world's provider; yield its port."""
    for port in (GATEWAY_PORT, 8082):
        if not is_free(port):
            raise RuntimeError(f"port {port}, which the gateway needs, is taken by {holder(port)}")
    environment = {
        "functions_provider_url": f"{world.gateway_url}/",
        "basic_auth": "true",
        "secret_mount_path": str(world.secrets.folder),
        "faas_prometheus_host": LOOPBACK,
        "faas_prometheus_port": str(free_port()),
        **dict.fromkeys(("read_timeout", "write_timeout"), "65s"),
        "upstream_timeout": "60s",
    }
    with _process([str(PROGRAMS / "gateway")], environment, GATEWAY_PORT):
        yield GATEWAY_PORT


@contextlib.contextmanager
def stock(world: World) -> Iterator[int]:
    """Serve the function as the stock template does, with the settings of stack.yml; yield its port."""
    function = read_stack(world.options.stack, {})[FUNCTION]
    port = free_port()
    environment = {
        **function.environment,
        "port": str(port),
        "function_dir": str(function.handler),
        "secret_mount_path": str(world.secrets.folder),
        "PYTHONPATH": str(REPOSITORY),
    }
    with _process([sys.executable, "-m", "benchmarks.stock"], environment, port):
        yield port


@contextlib.contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_true(lambda: _answers(port), STARTED_IN, f"{command[-1]} does not answer")
        yield
    finally:
        process.terminate()
        process.wait(STARTED_IN)


def _answers(port: int) -> bool:
    try:
        web.request(port, "GET", "/healthz")
    except OSError:
        return False
    return True
