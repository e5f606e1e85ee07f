"""Shows that the REST API reads back quickly beside what benchmarks/growth.py has stored.

10,000 endpoints are known, and 1,000 of them have values. Each kind of request goes to the function api
through the gateway, one after the other, for another endpoint each time. No plan reads a partition whole.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from urllib.parse import quote

import psycopg

from benchmarks.rest import Rest
from benchmarks.results import Result
from flownexus.operations.why import MAX_CONTACTS
from flownexus.store import queries
from local.world import World

KNOWN: Final = 10_000
REQUESTS: Final = 200  # of each kind in a run
PATH: Final = "/3303/0/5700"
SEED: Final = 7
FILLED: Final = (
    b"SELECT relname FROM pg_class WHERE relkind = 'r' AND relpages > 0"
    b" AND relnamespace = 'public'::regnamespace AND relname ~ '^(resource|event)(_latest$|_hourly|_y)'"
)
"""The tables with values and events in them: of an empty one, to read it whole is right."""


def know(database: psycopg.Connection[Any], online: int) -> None:
    """Make endpoints that are known, besides those that have values, and let these be online."""
    database.execute(
        "INSERT INTO endpoint (name) SELECT 'other-' || n FROM generate_series(1, %s) AS n", [KNOWN - online]
    )
    database.execute(
        b"UPDATE endpoint SET registered = true, last_seen_at = now(), expires_at = now() + interval '1 day'"
        b" WHERE name LIKE 'sim-%'"
    )
    database.execute(b"VACUUM ANALYZE endpoint")
    database.execute(b"VACUUM ANALYZE resource_latest")


def measure(world: World, online: int, runs: int) -> Sequence[Result]:
    """Ask for each kind of answer, and return its p95."""
    assert_by_index(world.secrets.read("flownexus-api-database-url"))
    rest = Rest(world)
    random = Random(SEED)
    now = datetime.now(UTC)
    year = f"from={quote((now - timedelta(days=365)).isoformat())}&to={quote(now.isoformat())}"

    def one() -> str:
        return f"/endpoints/sim-{random.randrange(online):04}"

    kinds: Sequence[tuple[str, Callable[[], str], float]] = (
        ("a page of 50 of 10,000 endpoints", lambda: "/endpoints", 50),
        ("endpoints by a part of their name", lambda: f"/endpoints?q={random.randrange(1000):03}", 50),
        ("the newest values of an endpoint", lambda: f"{one()}/values", 50),
        ("the newest value of a resource", lambda: f"{one()}{PATH}", 50),
        ("a year of a resource at 1,000 points", lambda: f"{one()}{PATH}/history?{year}&points=1000", 100),
    )
    found: dict[str, list[float]] = {name: [] for name, _, _ in kinds}
    for _ in range(runs):
        for name, url, _ in kinds:
            took = [1000 * rest.send("GET", f"api/v1{url()}").seconds for _ in range(REQUESTS)]
            found[name].append(statistics.quantiles(took, n=20)[-1])
    return [
        Result(f"REST: {name}, beside 20 million values", "ms p95", found[name], goal)
        for name, _, goal in kinds
    ]


def assert_by_index(dsn: str) -> None:
    """Raise RuntimeError where a statement would read a partition of values or events whole."""
    now = datetime.now(UTC)
    resource = {"object_id": 3303, "object_instance_id": 0, "resource_id": 5700, "resource_instance_id": None}
    span = {"start": now - timedelta(days=365), "end": now}
    asked: Sequence[tuple[Any, dict[str, Any]]] = (
        (
            queries.endpoints,
            {"part": None, "filter": None, "cursor": None, "max_contacts": MAX_CONTACTS, "limit": 51},
        ),
        (
            queries.newest_values,
            {"endpoint": "sim-0100", "limit": 51, **dict.fromkeys(resource)}
            | {f"after_{name}": None for name in resource},
        ),
        (queries.series, {"endpoint": "sim-0100", "path": PATH, "points": 1000, **span}),
        (
            queries.past_values,
            {"endpoint": "sim-0100", **resource, **span, "after_time": None, "after_id": None, "limit": 501},
        ),
        (
            queries.changes,
            {"endpoints": None, "after_at": now - timedelta(seconds=1), "after_kind": 0, "after_id": 0}
            | {"until": now, "limit": 2000},
        ),
    )
    with psycopg.connect(dsn, autocommit=True) as api:
        filled = [name for (name,) in api.execute(FILLED)]
        for query, parameters in asked:
            plan = "\n".join(line for (line,) in api.execute(b"EXPLAIN " + query.sql.encode(), parameters))
            for name in filled:
                if f"Seq Scan on {name} " in plan:
                    raise RuntimeError(f"{name} is read whole:\n{plan}")
