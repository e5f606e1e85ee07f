"""Shows how long an operation for 1,000 of 10,000 devices takes to queue, and its progress to be asked for.

Through the gateway and the function, on PostgreSQL as it ships, with NATS taking a hint for each device. Each
run queues a batch more: the last ones lie beside thousands of operations that wait.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.rest import Rest
from benchmarks.results import Result
from chaos.trial import assert_durable
from local.options import Options, Ports
from local.world import World

ENDPOINTS = 10_000
CHOSEN = 1000
FILTER = "tag.site==berlin;fw!=1.2"
PROGRESS_ASKED = 100
PARTS = frozenset({"postgres", "nats", "gateway"})


def run(runs: int) -> Sequence[Result]:
    """Measure so often."""
    with _system() as (world, database):
        _fill(database)
        queued, asked = zip(*(_run_once(world) for _ in range(runs)), strict=True)
    return [
        Result(f"an operation for {CHOSEN:,} of {ENDPOINTS:,} devices by a filter, queued", "s", queued, 2.0),
        Result(f"progress of a batch of {CHOSEN:,}, through the gateway, p95", "ms", asked, 20.0),
    ]


@contextlib.contextmanager
def _system() -> Iterator[tuple[World, psycopg.Connection[Any]]]:
    with (
        tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder,
        World(Options(home=Path(folder) / "home", ports=Ports.any_free(), parts=PARTS)) as world,
        psycopg.connect(world.database_url, autocommit=True) as database,
    ):
        assert_durable(database)
        yield world, database


def _fill(database: psycopg.Connection[Any]) -> None:
    database.execute(
        "INSERT INTO endpoint (name, registered, contact_count, last_seen_at, expires_at)"
        " SELECT 'd-' || n, n <= 1000, 1, now(), now() + interval '1 d' FROM generate_series(1, %s) n",
        [ENDPOINTS],
    )
    database.execute(
        "INSERT INTO endpoint_tag (endpoint_id, key, value, set_by)"
        " SELECT id, 'site', CASE WHEN id <= %s THEN 'berlin' ELSE 'bern' END, 'bench' FROM endpoint",
        [CHOSEN],
    )
    database.execute(b"VACUUM ANALYZE endpoint, endpoint_tag")


def _run_once(world: World) -> tuple[float, float]:
    """Return seconds until a batch is queued, and milliseconds in which its progress is told."""
    rest = Rest(world)
    body = {"filter": FILTER, "operation": "read", "path": "/3/0/9"}
    batch, took = rest.send("POST", "operations/batches", body)
    if batch["endpoints"] != CHOSEN:
        raise RuntimeError(f"a batch for {batch['endpoints']} devices, not for {CHOSEN}")
    path = f"operations/batches/{batch['id']}"
    times = [1000 * rest.send("GET", path).seconds for _ in range(PROGRESS_ASKED)]
    return took, statistics.quantiles(times, n=20)[-1]
