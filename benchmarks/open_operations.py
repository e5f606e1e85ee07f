"""Shows whether ingest suffers from operations that wait for their devices.

Single values come at a steady rate through the gateway, in turn without operations and while 500 are queued,
open all at once to devices that answer after 10 s, and confirmed; what the waiting costs is told apart from
what the work before and after it costs. They are queued at a steady rate, too: as fast as possible would
measure how a full machine shares its cores. A latency counts from the moment at which the value was due, so
that one that is late delays no other.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
import psycopg

from benchmarks.fleet import wait
from benchmarks.ingest_path import assert_durable
from benchmarks.results import Result
from local import web
from local.options import Options, Ports
from local.world import World

OPEN = 500
ANSWER_TIME = 10.0  # seconds
RATE = 100  # values a second
ENDPOINTS = 200
QUEUED_IN = 8.0  # seconds: less than a device takes to answer
QUIET = 18.0  # seconds without operations, of each round: about as many as with them
WARM_UP = 5.0
ROUNDS = 2  # of each run
USERS = 4
PAUSE = 0.05  # seconds before a value that was not taken is posted again
GOAL = 1.2


@dataclass(frozen=True)
class Sample:
    """When a value was due, by the wall clock, and seconds until it was answered."""

    due: float
    took: float


Window = tuple[float, float]


def run(runs: int) -> Sequence[Result]:
    """Measure so often; each run has both figures."""
    groups = (f"prefix=slow-,count={OPEN},notify=0,lifetime=3600",)
    with (
        tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder,
        World(Options(home=Path(folder) / "home", ports=Ports.any_free(), groups=groups)) as world,
        psycopg.connect(world.database_url, autocommit=True) as database,
    ):
        _prepare(world, database)
        found = [_run_once(world, database) for _ in range(runs)]
    without = statistics.median(each["without"] for each in found)
    compared = f"{without * 1000:.3g} ms without them"
    return [
        Result(
            f"ingest p99 while {OPEN} operations are open",
            "times", [each["open"] / each["without"] for each in found], GOAL, ceiling=compared,
        ),
        Result(
            f"ingest p99 while {OPEN} operations are queued, open and confirmed",
            "times", [each["with"] / each["without"] for each in found], GOAL, ceiling=compared,
        ),
        Result(f"{OPEN} operations queued and confirmed", "s", [each["took"] for each in found], 20.0),
    ]  # fmt: skip


def _prepare(world: World, database: psycopg.Connection[Any]) -> None:
    """Wait until the devices' observe plan is done; only then let them be slow."""
    assert_durable(database)
    wait(lambda: _count(database, "endpoint", "registered") == OPEN)
    wait(lambda: _count(database, "endpoint_operation", "finished_at IS NULL") == 0)
    for number in range(1, OPEN + 1):
        path = f"/devices/slow-{number:04d}/slow?seconds={ANSWER_TIME:g}"
        status, text = web.request(world.simulator_port, "POST", path)
        if status != 200:
            raise RuntimeError(text)


def _run_once(world: World, database: psycopg.Connection[Any]) -> dict[str, float]:
    quiet: list[Window] = []
    busy: list[Window] = []
    waiting: list[Window] = []
    ours, theirs = multiprocessing.Pipe()
    load = multiprocessing.get_context("spawn").Process(
        target=_load, args=(world.gateway_url, world.secrets.read("flownexus-webhook-token"), theirs)
    )
    load.start()
    try:
        ours.recv()  # it has begun
        time.sleep(WARM_UP)
        for _ in range(ROUNDS):
            began = time.time()
            time.sleep(QUIET)
            quiet.append((began, time.time()))
            whole, while_open = _open_operations(world, database)
            busy.append(whole)
            waiting.append(while_open)
            time.sleep(1)
        ours.send(None)
        samples: list[Sample] = ours.recv()
    finally:
        load.join(10)
        load.terminate()
    return {
        "without": _p99(samples, quiet),
        "with": _p99(samples, busy),
        "open": _p99(samples, waiting),
        "took": max(end - begin for begin, end in busy),
    }


def _open_operations(world: World, database: psycopg.Connection[Any]) -> tuple[Window, Window]:
    """Queue the operations; return from when to when there were any, and when all were open."""
    token = web.bearer(world.secrets.read("flownexus-api-token"))

    began = time.time()

    def queue(number: int) -> None:
        time.sleep(max(0.0, began + number * QUEUED_IN / OPEN - time.time()))
        body = {
            "endpoint": f"slow-{number:04d}",
            "operation": "write",
            "path": "/3/0/15",
            "value": {"type": "STRING", "value": "UTC"},
        }
        status, text = web.request(
            world.ports.gateway, "POST", "/function/operations", body=body, headers=token
        )
        if status != 201:
            raise RuntimeError(f"{status} {text}")

    with ThreadPoolExecutor(USERS) as users:
        list(users.map(queue, range(1, OPEN + 1)))
    wait(lambda: _count(database, "endpoint_operation", "finished_at IS NULL") == 0, 0.25)
    row = database.execute(
        "SELECT extract(epoch FROM max(last_attempt_at))::float, extract(epoch FROM min(finished_at))::float,"
        " extract(epoch FROM max(finished_at))::float, count(*) FILTER (WHERE status = 'CONFIRMED')"
        " FROM (SELECT * FROM endpoint_operation ORDER BY id DESC LIMIT %s) newest",
        [OPEN],
    ).fetchone()
    assert row is not None  # for the type checker: an aggregate has a row
    last_sent, first_end, last_end, confirmed = row
    if confirmed != OPEN or last_sent >= first_end:
        raise RuntimeError(f"{confirmed} of {OPEN} were confirmed, or not all of them were open at once")
    return (began, last_end), (last_sent, first_end)


def _count(database: psycopg.Connection[Any], table: str, condition: str) -> int:
    row = database.execute(f"SELECT count(*) FROM {table} WHERE {condition}".encode()).fetchone()
    assert row is not None  # for the type checker: an aggregate has a row
    count: int = row[0]
    return count


def _p99(samples: Sequence[Sample], windows: Sequence[Window]) -> float:
    took = [each.took for each in samples if any(begin <= each.due < end for begin, end in windows)]
    return statistics.quantiles(took, n=100)[98]


# ---------------------------------------------------------------------------------------------------------
# The load, in a process of its own


def _load(gateway: str, token: str, pipe: Connection) -> None:
    """Post values until something comes through the pipe; then send it the samples."""
    asyncio.run(_post_steadily(gateway, token, pipe))


async def _post_steadily(gateway: str, token: str, pipe: Connection) -> None:
    samples: list[Sample] = []
    headers = {"Authorization": f"Bearer {token}"}
    pending: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(headers=headers) as session:

        async def is_taken(item: dict[str, Any]) -> bool:
            async with session.post(f"{gateway}/leshan_api/resource/single", json=item) as answer:
                if answer.status not in {200, 429, 503}:
                    raise RuntimeError(f"{answer.status} {await answer.text()}")
                await answer.read()
                return answer.status == 200

        async def post(number: int, due: float) -> None:
            value = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": f"{number / 100}"}
            item = {"ep": f"bench-{number % ENDPOINTS:04d}", "obj_id": 3303, "val": value}
            while not await is_taken(item):  # noqa: ASYNC110  # nothing tells when it would be
                await asyncio.sleep(PAUSE)
            samples.append(Sample(due, time.time() - due))

        pipe.send(None)
        start = time.time()
        for number in itertools.count():
            due = start + number / RATE
            await asyncio.sleep(max(0.0, due - time.time()))
            task = asyncio.create_task(post(number, due))
            pending.add(task)
            task.add_done_callback(pending.discard)
            if number % RATE == 0 and pipe.poll():
                break
        await asyncio.gather(*pending)
    pipe.send(samples)
