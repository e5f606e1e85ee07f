"""Shows how fast the webhook functions store, beside what PostgreSQL and their own server can do at most.

Batches: envelopes of 500 values over 200 endpoints, posted by two clients to the function's own server, with
authentication, marks and latest values; then the very rows that they became, by psycopg's COPY from one
connection into the same table, in the same transactions of 500. Single items: by 16 clients, beside a
function that answers without doing anything.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import nothing
from benchmarks.results import Result
from chaos.trial import assert_durable
from local.options import Options, Ports
from local.servers.ports import LOOPBACK
from local.world import World

ENDPOINTS = 200
BATCH = 500  # values in an envelope
RESOURCES = 10  # values in a composite
ENVELOPES = 100  # of each client
CLIENTS = 2
SINGLES = 400  # of each client
SINGLE_CLIENTS = 16
PARTS = frozenset({"postgres", "nats", "gateway"})
FIRST = 5800  # of the resources of a composite, none of which the object's model types
TABLES = "resource, resource_latest, event, event_resource, delivery_mark"

Body = Callable[[str, int, int], bytes]
"""Makes the envelope of a source, a lane and a number within it."""


def run(runs: int) -> Sequence[Result]:
    """Measure so often; each run has the figures and their ceilings."""
    with (
        tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder,
        World(Options(home=Path(folder) / "home", ports=Ports.any_free(), parts=PARTS)) as world,
        psycopg.connect(world.database_url, autocommit=True) as database,
    ):
        assert_durable(database)
        found: list[dict[str, tuple[float, ...]]] = [
            {"single": _batches(world, database, "ingest-single", singles)}
            | {"composite": _batches(world, database, "ingest-composite", _composites)}
            | {"one": _one_by_one(world)}
            for _ in range(runs)
        ]
    results = []
    for kind in ("single", "composite"):
        rate, copy, whole = (statistics.median(each[kind][n] for each in found) for n in range(3))
        results += [
            Result(
                f"batches of {kind} values: stored, of COPY in the same batches",
                "times", [each[kind][0] / each[kind][1] for each in found], 0.6, "at least",
                f"{rate:,.0f} values/s stored, {copy:,.0f}/s by COPY",
            ),
            Result(
                f"batches of {kind} values: stored, of one single COPY",
                "times", [each[kind][0] / each[kind][2] for each in found], None, "at least",
                f"{whole:,.0f} values/s by COPY",
            ),
        ]  # fmt: skip
    stored, answered = (statistics.median(each["one"][n] for each in found) for n in range(2))
    results.append(
        Result(
            "single values, one a request: of requests that do nothing",
            "times", [each["one"][0] / each["one"][1] for each in found], 0.35, "at least",
            f"{stored:,.0f} values/s stored, {answered:,.0f}/s answered",
        )
    )  # fmt: skip
    return results


def _node(number: int, resource: int = 5700) -> dict[str, Any]:
    return {"kind": "singleResource", "id": resource, "type": "FLOAT", "value": f"{20 + number * 0.013:.3f}"}


def singles(source: str, lane: int, number: int) -> bytes:
    """Make an envelope of values, over all the endpoints."""
    now, first = time.time_ns() // 1_000_000, number * BATCH
    items = [
        {
            "ep": f"sim-{(first + n) % ENDPOINTS:04}",
            "obj_id": 3303,
            "inst_id": 0,
            "ts": now + n,
            "val": _node(n),
        }
        for n in range(BATCH)
    ]
    return _envelope(source, lane, first + 1, items)


def _composites(source: str, lane: int, number: int) -> bytes:
    now, count = time.time_ns() // 1_000_000, BATCH // RESOURCES
    items = [
        {
            "ep": f"sim-{(number * count + n) % ENDPOINTS:04}",
            "ts": now + n,
            "val": {f"/3303/0/{FIRST + r}": _node(n + r, FIRST + r) for r in range(RESOURCES)},
        }
        for n in range(count)
    ]
    return _envelope(source, lane, number * count + 1, items)


def _envelope(source: str, lane: int, first_seq: int, items: list[Any]) -> bytes:
    head = {"source": source, "lane": lane, "first_seq": first_seq}
    return json.dumps(head | {"items": items}).encode()


def _batches(
    world: World, database: psycopg.Connection[Any], function: str, body: Body
) -> tuple[float, float, float]:
    """Return values a second: stored by the function, by COPY in batches, by one COPY."""
    empty(database)
    rate = stored_rate(world, database, function, body)
    rows = {
        table: database.execute(f"SELECT * FROM {table} ORDER BY {id_}".encode()).fetchall()
        for table, id_ in (("resource", "id"), ("event", "id"), ("event_resource", "resource_id"))
    }
    warm_up = CLIENTS * BATCH
    if len(rows["resource"]) - warm_up != CLIENTS * ENVELOPES * BATCH:
        raise RuntimeError(f"{len(rows['resource']) - warm_up} rows were stored")
    return rate, _copy(database, rows, BATCH), _copy(database, rows, len(rows["resource"]))


def empty(database: psycopg.Connection[Any]) -> None:
    """Forget all values."""
    database.execute(f"TRUNCATE {TABLES}".encode())


def stored_rate(world: World, database: psycopg.Connection[Any], function: str, body: Body) -> float:
    """Return values a second that a function stores of two clients' envelopes, from a checkpoint on."""
    [replica] = world.replicas(function)
    token, source = world.secrets.read("flownexus-webhook-token"), str(uuid.uuid4())
    bodies = [[body(source, lane, number) for number in range(ENVELOPES)] for lane in range(CLIENTS)]
    # Ids and connections are there before the clock runs, as they are in a function that has run a while.
    for lane, own in enumerate(bodies):
        post_all(
            replica["port"], token, [own[0].replace(b'"lane": %d' % lane, b'"lane": %d' % (lane + CLIENTS))]
        )
    database.execute(b"CHECKPOINT")
    return CLIENTS * ENVELOPES * BATCH / in_processes([(replica["port"], token, own, "/") for own in bodies])


def _copy(database: psycopg.Connection[Any], tables: Mapping[str, Sequence[Any]], batch: int) -> float:
    """Return values a second by COPY into the emptied tables, in transactions of so many values.

    A composite is rows of `event` and `event_resource`, too: these go with its values.
    """
    empty(database)
    database.execute(b"CHECKPOINT")
    values = len(tables["resource"])
    began = time.perf_counter()
    for first in range(0, values, batch):
        with database.transaction(), database.cursor() as cursor:
            for table, rows in tables.items():
                begin, end = (len(rows) * place // values for place in (first, first + batch))
                if begin == end:
                    continue
                with cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
                    for row in rows[begin:end]:
                        copy.write_row(row)
    return values / (time.perf_counter() - began)


def _one_by_one(world: World) -> tuple[float, float]:
    """Return requests a second: of single values stored, of a function that does nothing."""
    token = world.secrets.read("flownexus-webhook-token")
    bodies = single_bodies()
    [replica] = world.replicas("ingest-single")
    count = SINGLES * SINGLE_CLIENTS
    with nothing.served() as port:
        return tuple(count / in_threads(each, token, bodies) for each in (replica["port"], port))  # type: ignore[return-value]


def single_bodies() -> list[list[bytes]]:
    """Make the single values of each client."""
    return [
        [
            json.dumps({"ep": f"sim-{n % ENDPOINTS:04}", "obj_id": 3303, "val": _node(n)}).encode()
            for n in range(client * SINGLES, (client + 1) * SINGLES)
        ]
        for client in range(SINGLE_CLIENTS)
    ]


def post_all(port: int, token: str, bodies: Sequence[bytes], path: str = "/") -> None:
    """Post one after the other on one connection; raise RuntimeError where one is not taken whole."""
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=60)) as connection:
        for body in bodies:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200 or b'"rejected":[{' in text:
                raise RuntimeError(f"{answer.status} {text.decode()}")


def in_processes(clients: Sequence[tuple[int, str, Sequence[bytes], str]]) -> float:
    """Return the seconds that clients take together, each a process of its own."""
    spawning = multiprocessing.get_context("spawn")
    barrier = spawning.Barrier(len(clients) + 1)
    processes = [spawning.Process(target=_client, args=(barrier, *client)) for client in clients]
    for process in processes:
        process.start()
    barrier.wait(60)
    began = time.perf_counter()
    for process in processes:
        process.join()
    took = time.perf_counter() - began
    if any(process.exitcode for process in processes):
        raise RuntimeError("a client failed")
    return took


def _client(barrier: Any, port: int, token: str, bodies: Sequence[bytes], path: str) -> None:
    barrier.wait(60)
    post_all(port, token, bodies, path)


def in_threads(port: int, token: str, bodies: Sequence[Sequence[bytes]], path: str = "/") -> float:
    """Return the seconds that clients take together, each a thread and a connection, once warm."""
    with ThreadPoolExecutor(len(bodies)) as threads:
        list(threads.map(lambda own: post_all(port, token, own[:20], path), bodies))
        began = time.perf_counter()
        list(threads.map(lambda own: post_all(port, token, own, path), bodies))
        return time.perf_counter() - began
