"""Shows whether ingest suffers from operations that wait for their devices.

Single values come at a steady rate through the gateway, in turn without operations and while many are queued,
open all at once to devices that answer after 10 s, and confirmed; what the waiting costs is told apart from
what the work before and after it costs, by what devices write down of when they were asked and answered. A
latency counts from the moment at which the value was due, so that one that is late delays no other.

500 are queued at a steady rate: as fast as possible would measure how a full machine shares its cores. That
is not to be avoided with 5,000, which have to begin within the 10 s after which the first of them answers.
They are queued while the connector stands still, and all sent when it goes on, as after an outage.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import multiprocessing
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
import psycopg

from benchmarks.fleet import wait
from benchmarks.processes import Group
from benchmarks.results import Result
from chaos.evidence import read_lines
from chaos.trial import assert_durable
from local import web
from local.options import Options, Ports
from local.world import World

ANSWER_TIME = 10.0  # seconds
RATE = 100  # values a second
ENDPOINTS = 200
QUEUED_IN = 8.0  # seconds: less than a device takes to answer
QUIET = 18.0  # seconds without operations, of each round: about as many as with them
WARM_UP = 5.0
ROUNDS = 2  # of each run
USERS = 4
FLUSHED = 1.0  # seconds after which devices have written down what they were asked
PAUSE = 0.05  # seconds before a value that was not taken is posted again
PATIENCE = 600.0  # seconds for the observe plans of all devices
GOAL = 1.2


@dataclass(frozen=True)
class Case:
    """So many operations; paced, or held back and sent all at once."""

    operations: int
    all_confirmed_in: float
    """Seconds."""
    held: bool = False


CASES = (Case(500, 20.0), Case(5000, 60.0, held=True))


@dataclass(frozen=True)
class Sample:
    """When a value was due, by the wall clock, and seconds until it was answered."""

    due: float
    took: float


Window = tuple[float, float]


@dataclass
class Found:
    """What the runs of a case gave: latencies and durations in seconds."""

    without: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    open_at_once: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def run(runs: int) -> Sequence[Result]:
    """Measure each case so often; each run has both figures."""
    return [result for case in CASES for result in _results(case, _measure(case, runs))]


def _results(case: Case, found: Found) -> Sequence[Result]:
    name = f"{case.operations:,} operations"
    compared = f"{statistics.median(found.without) * 1000:.3g} ms without them"
    return [
        Result(
            f"ingest p99 while {name} are open",
            "times", _ratios(found.waiting, found.without), GOAL, ceiling=compared,
        ),
        Result(
            f"ingest p99 while {name} are {'' if case.held else 'queued, '}sent, open and confirmed",
            "times", _ratios(found.busy, found.without), GOAL, ceiling=compared,
        ),
        Result(f"{name} open at once", "", found.open_at_once, case.operations, "at least"),
        Result(f"{name} confirmed", "s", found.took, case.all_confirmed_in),
        Result(f"memory of dispatch-op with {name} open", "MB", found.memory),
    ]  # fmt: skip


def _ratios(some: Sequence[float], others: Sequence[float]) -> Sequence[float]:
    return [one / other for one, other in zip(some, others, strict=True)]


def _measure(case: Case, runs: int) -> Found:
    groups = (f"prefix=slow-,count={case.operations},notify=0,lifetime=36000",)
    found = Found()
    with (
        tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder,
        World(Options(home=Path(folder) / "home", ports=Ports.any_free(), groups=groups)) as world,
        psycopg.connect(world.database_url, autocommit=True) as database,
    ):
        _prepare(world, database, case.operations)
        for _ in range(runs):
            _run_once(world, database, case, found)
    return found


def _prepare(world: World, database: psycopg.Connection[Any], devices: int) -> None:
    """Wait until the devices' observe plan is done; only then let them be slow."""
    assert_durable(database)
    wait(lambda: _count(database, "endpoint", "registered") == devices, timeout=PATIENCE)
    wait(lambda: _count(database, "endpoint_operation", "finished_at IS NULL") == 0, timeout=PATIENCE)
    for number in range(1, devices + 1):
        path = f"/devices/slow-{number:04d}/slow?seconds={ANSWER_TIME:g}"
        status, text = web.request(world.simulator_port, "POST", path)
        if status != 200:
            raise RuntimeError(text)


def _run_once(world: World, database: psycopg.Connection[Any], case: Case, found: Found) -> None:
    quiet: list[Window] = []
    rounds: list[Round] = []
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
            rounds.append(_open_operations(world, database, case))
            time.sleep(1)
        ours.send(None)
        samples: list[Sample] = ours.recv()
    finally:
        load.join(10)
        load.terminate()
    found.without.append(_p99(samples, quiet))
    found.busy.append(_p99(samples, [each.whole for each in rounds]))
    found.waiting.append(_p99(samples, [each.waiting for each in rounds]))
    found.took.append(max(end - begin for begin, end in (each.whole for each in rounds)))
    found.open_at_once.append(min(each.open_at_once for each in rounds))
    found.memory.append(max(each.memory for each in rounds))


@dataclass(frozen=True)
class Round:
    """What became of the operations once."""

    whole: Window
    waiting: Window
    """From when the last device was asked to the first answer; the whole where not all waited at once."""
    open_at_once: int
    memory: float
    """MB."""


def _open_operations(world: World, database: psycopg.Connection[Any], case: Case) -> Round:
    """Queue the operations and wait for their end."""
    [replica] = world.replicas("dispatch-op")
    connector = world.parts["connector"].process.pid
    assert connector is not None  # for the type checker: it runs
    began = time.time()
    if case.held:
        os.kill(connector, signal.SIGSTOP)
        try:
            _queue(world, case.operations, 0.0)
        finally:
            os.kill(connector, signal.SIGCONT)
        began = time.time()
    else:
        _queue(world, case.operations, QUEUED_IN)
    memory = 0

    def all_ended() -> bool:
        nonlocal memory
        memory = max(memory, Group([replica["pid"]]).pss())
        # Not by finished_at: reading all the operations that there ever were would be felt by values.
        waiting, sent = (
            _count(database, "endpoint_operation", f"status = '{s}'") for s in ("QUEUED", "SENDING")
        )
        return waiting + sent == 0

    wait(all_ended, 1.0)
    row = database.execute(
        "WITH newest AS (SELECT * FROM endpoint_operation ORDER BY id DESC LIMIT %s)"
        " SELECT extract(epoch FROM max(finished_at))::float, count(*) FILTER (WHERE status = 'CONFIRMED')"
        " FROM newest",
        [case.operations],
    ).fetchone()
    assert row is not None  # for the type checker: an aggregate has a row
    last_end, confirmed = row
    time.sleep(FLUSHED)
    requests = [line for line in read_lines(world.requests) if line["t"] >= began * 1000]
    first_answer = min(line["answered"] for line in requests) / 1000
    asked = sorted(line["t"] / 1000 for line in requests)
    open_at_once = bisect.bisect_left(asked, first_answer)
    if confirmed != case.operations or (open_at_once < case.operations and not case.held):
        raise RuntimeError(f"{confirmed} were confirmed, {open_at_once} of them were open at once: not all")
    whole = (began, last_end)
    waiting = (asked[-1], first_answer) if asked[-1] < first_answer else whole
    return Round(whole, waiting, open_at_once, memory / 1e6)


def _queue(world: World, operations: int, seconds: float) -> None:
    """Queue an operation for each device, in so many seconds at least."""
    token = web.bearer(world.secrets.read("flownexus-api-token"))
    began = time.time()

    def queue(number: int) -> None:
        time.sleep(max(0.0, began + number * seconds / operations - time.time()))
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
        list(users.map(queue, range(1, operations + 1)))


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
