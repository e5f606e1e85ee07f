"""Shows that ingest does not get slower with what is stored, what a row weighs, and how a month is dropped.

Two systems run side by side, each with PostgreSQL as it ships: in one the table is empty, in the other lie
20 million values of 1,000 endpoints with ten resources each, half of them in the partition being written.
The batches of ingest_path go to one and to the other in turn, each from a checkpoint on; the 200 endpoints
that they are of are among the 1,000. The values are made by INSERT ... SELECT in the order of their time,
with all indexes in place, so that heap and indexes lie as ingest would have left them; VACUUM ANALYZE then
does what autovacuum does over a month. The month that is dropped ended a month ago, since no retention is
shorter than a day.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import dashboards, reading
from benchmarks.ingest_path import empty, singles, stored_rate
from benchmarks.results import Result
from chaos.trial import assert_durable
from local import web
from local.options import Options, Ports
from local.world import World

ROWS = 10_000_000  # of each of the two months
ENDPOINTS = 1000
TYPES = (
    *((3303, resource, "FLOAT") for resource in (5700, 5601, 5602)),
    *((object_, 5700, "FLOAT") for object_ in (3304, 3315, 3323)),
    *((3, resource, "INTEGER") for resource in (9, 10)),
    (3311, 5850, "BOOLEAN"),
    (3303, 5701, "STRING"),
)
PAIRS = 5  # of measurements in each run; its ratio is their median
LOOK_UPS = 200
LOOK_UP = (
    b"SELECT value FROM telemetry_latest WHERE endpoint = 'sim-0100' AND object_id = 3303"
    b" AND object_instance_id = 0 AND resource_id = 5700"
)
YEAR_OF = 100  # devices that have a year of roll-ups
YEAR = (
    b"SELECT * FROM series(ARRAY['sim-0100'], ARRAY['/3303/0/5700'], now() - interval '1 year', now(), 1000)"
)
YEARS_ASKED = 50
PARTS = frozenset({"postgres", "nats", "gateway"})
RETENTION = "24h"  # the least there is: what ended a month ago is due

Database = psycopg.Connection[Any]


def run(runs: int) -> Sequence[Result]:
    """Fill one system, then measure so often in both; the month is dropped once."""
    with system() as (fresh, none), system() as (old, grown):
        weight = _weight(grown, fill(old.database_url, grown))
        found = [_run_once(fresh, none, old, grown) for _ in range(runs)]
        _assert_by_index(grown)
        beside = f"beside {2 * ROWS // 1_000_000} million values of {ENDPOINTS:,} devices"
        roll_up(grown)
        years = [_year(old.secrets.read("flownexus-grafana-database-url")) for _ in range(runs)]
        shown = dashboards.measure(old.secrets.read("flownexus-grafana-database-url"), beside)
        reading.know(grown, ENDPOINTS)
        read = reading.measure(old, ENDPOINTS, runs)
        looked_up = [(_look_up(grown), _look_up(none)) for _ in range(runs)]
        dropped = _drop_month(old)
    theirs, alone = (statistics.median(pair[n] for pairs in found for pair in pairs) for n in range(2))
    return [
        Result(
            "batches of single values: stored beside 20 million, of stored in an empty table",
            "times", [statistics.median(ours / theirs for ours, theirs in pairs) for pairs in found],
            0.9, "at least",
            f"{theirs:,.0f} values/s stored beside them, {alone:,.0f}/s in an empty table",
        ),
        Result(
            "look-up of a latest value, by index, beside 20 million",
            "ms", [ours for ours, _ in looked_up],
            ceiling=f"{statistics.median(theirs for _, theirs in looked_up):.2g} ms in an empty table",
        ),
        Result(
            "disk bytes a value", "B", [sum(weight.values()) / ROWS],
            ceiling=", ".join(f"{part} {size / ROWS:.1f}" for part, size in weight.items()),
        ),
        Result(
            "a year of one resource in 1,000 points, from roll-ups, 95 of 100 within",
            "ms", years, 100, "at most",
            f"of {YEAR_OF} devices with a year of hours, {beside}",
        ),
        *shown,
        *read,
        Result("housekeeping's round that drops a month of 10 million values", "s", [dropped]),
    ]  # fmt: skip


def _run_once(fresh: World, none: Database, old: World, grown: Database) -> Sequence[tuple[float, float]]:
    """Return pairs of values a second: stored beside what is there, and in an empty table."""
    pairs = []
    for _ in range(PAIRS):
        empty(none)
        into_empty = stored_rate(fresh, none, "ingest-single", singles)
        pairs.append((stored_rate(old, grown, "ingest-single", singles), into_empty))
    return pairs


@contextlib.contextmanager
def system() -> Iterator[tuple[World, Database]]:
    """Run a system of which PostgreSQL is as it ships; give it, and its database as the owner has it."""
    with (
        tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder,
        World(
            Options(
                home=Path(folder) / "home",
                ports=Ports.any_free(),
                parts=PARTS,
                stack_environment={"RETENTION": RETENTION},
            )
        ) as world,
        psycopg.connect(world.database_url, autocommit=True) as database,
    ):
        assert_durable(database)
        yield world, database


def fill(url: str, database: Database) -> str:
    """Store two months' values and return the partition of this one."""
    this, _, end_of_old, old = _months()
    past, present = (f"resource_y{month:%Y}m{month:%m}" for month in (old, this))
    bounds = f"FROM ('{old.isoformat()}') TO ('{end_of_old.isoformat()}')"
    database.execute(f"CREATE TABLE {past} PARTITION OF resource FOR VALUES {bounds}".encode())
    with database.cursor() as cursor:
        names = [(f"sim-{number:04}",) for number in range(ENDPOINTS)]
        cursor.executemany("INSERT INTO endpoint (name) VALUES (%s)", names)
        statement = "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (%s, %s, %s)"
        cursor.executemany(statement, TYPES)
    with ThreadPoolExecutor(2) as threads:
        filling = [
            threads.submit(_fill_month, url, past, old, end_of_old, 1),
            threads.submit(_fill_month, url, present, this, datetime.now(UTC), 1 + ROWS),
        ]
        for each in filling:
            each.result()
    database.execute("SELECT setval('resource_id_block', %s)", [1 + 2 * ROWS])
    columns = "endpoint_id, resource_type_id, object_instance_id, time"
    values = "boolean_value, integer_value, float_value, string_value"
    database.execute(
        f"INSERT INTO resource_latest ({columns}, resource_id, {values}) SELECT {columns}, id, {values}"
        f" FROM {present} ORDER BY time DESC LIMIT {ENDPOINTS * len(TYPES)}".encode()
    )
    return present


def _fill_month(url: str, partition: str, start: datetime, end: datetime, first_id: int) -> None:
    """Store values of all endpoints and resources in turn, evenly over the time."""
    with psycopg.connect(url, autocommit=True) as database:
        # Ids of endpoints and types count from 1 in a fresh database, in the order that they were given.
        database.execute(
            f"""
            INSERT INTO {partition} (time, id, stored_at, endpoint_id, resource_type_id, object_instance_id,
                                     boolean_value, integer_value, float_value, string_value)
            SELECT time, %(first_id)s + place, time + interval '5 ms', endpoint, type, 0,
                   CASE WHEN type = 9 THEN place %% 3 = 0 END,
                   CASE WHEN type IN (7, 8) THEN place %% 100 END,
                   CASE WHEN type <= 6 THEN 20 + place %% 1000 * 0.013::float END,
                   CASE WHEN type = 10 THEN 'Cel' END
            FROM (SELECT place, 1 + place / {len(TYPES)} %% {ENDPOINTS} AS endpoint,
                         1 + place %% {len(TYPES)} AS type,
                         date_trunc('milliseconds',
                                    %(start)s + place * (%(end)s - %(start)s) / {ROWS}) AS time
                  FROM (SELECT generate_series(0, {ROWS} - 1) AS place) AS places) AS made
            """.encode(),
            {"first_id": first_id, "start": start, "end": end},
        )
        database.execute(f"VACUUM ANALYZE {partition}".encode())


def roll_up(database: Database) -> None:
    """Roll up what was filled in, as if it had been stored in its time; add a year of hours around it."""
    this, _, end_of_old, old = _months()
    database.execute(
        "UPDATE roll_up_state SET rolled_until = %s, pending_until = clock_timestamp(),"
        " pending_xid = pg_snapshot_xmax(pg_current_snapshot())",
        [old],
    )
    while database.execute("SELECT roll_up('1 day')").fetchone() == (True,):
        pass
    database.execute(
        """
        INSERT INTO resource_hourly (time, endpoint_id, resource_type_id, object_instance_id,
                                     minimum, maximum, mean, last, last_at, count)
        SELECT hour, endpoint, 1, 0, 20, 33, 26.5, 21, hour, 60
        FROM generate_series(%(old)s - interval '1 year', %(this)s - interval '1 hour', '1 hour') AS hour,
             generate_series(100, 99 + %(devices)s) AS endpoint
        WHERE hour < %(old)s OR hour >= %(end_of_old)s
        """,
        {"old": old, "end_of_old": end_of_old, "this": this, "devices": YEAR_OF},
    )
    database.execute("VACUUM ANALYZE resource_hourly")


def _year(url: str) -> float:
    """Return the milliseconds within which 95 of 100 get a year of a resource."""
    took = []
    with psycopg.connect(url, autocommit=True) as grafana:
        for _ in range(YEARS_ASKED):
            began = time.perf_counter()
            rows = len(grafana.execute(YEAR).fetchall())
            took.append(time.perf_counter() - began)
            if not 900 <= rows <= 1000:
                raise RuntimeError(f"{rows} points of a year")
    return statistics.quantiles(took, n=20)[-1] * 1000


def _months() -> Sequence[datetime]:
    """Return when this month began, and the three before it."""
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    number = first.year * 12 + first.month - 1
    return [first.replace(year=n // 12, month=n % 12 + 1) for n in range(number, number - 4, -1)]


def _weight(database: Database, partition: str) -> dict[str, int]:
    """Return the bytes on disk of each part of a partition, the heaviest first."""
    rows = database.execute(
        """
        WITH part AS (SELECT oid, reltoastrelid AS toast FROM pg_class WHERE oid = %s::regclass)
        SELECT 'rows', pg_table_size(oid) - pg_total_relation_size(toast) FROM part
        UNION ALL
        SELECT 'TOAST', pg_total_relation_size(toast) FROM part
        UNION ALL
        SELECT 'index ' || parent.inhparent::regclass, pg_total_relation_size(indexrelid)
        FROM part JOIN pg_index ON indrelid = part.oid JOIN pg_inherits parent ON parent.inhrelid = indexrelid
        ORDER BY 2 DESC
        """,
        [partition],
    ).fetchall()
    return dict(rows)


def _assert_by_index(database: Database) -> None:
    """Raise RuntimeError unless a latest value is looked up by indexes alone."""
    plan = "\n".join(line for (line,) in database.execute(b"EXPLAIN " + LOOK_UP))
    if "Seq Scan" in plan:
        raise RuntimeError(f"not by index:\n{plan}")


def _look_up(database: Database) -> float:
    """Return milliseconds of a look-up of a latest value."""
    took = []
    for _ in range(LOOK_UPS):
        began = time.perf_counter()
        rows = database.execute(LOOK_UP).fetchall()
        took.append(time.perf_counter() - began)
        if len(rows) != 1:
            raise RuntimeError(f"{len(rows)} latest values")
    return statistics.median(took) * 1000


def _drop_month(world: World) -> float:
    """Return the seconds that housekeeping takes."""
    token = web.bearer(world.secrets.read("flownexus-connector-token"))
    began = time.perf_counter()
    status, text = web.request(world.ports.gateway, "POST", "/function/housekeeping", headers=token)
    took = time.perf_counter() - began
    if status != 200 or '"partitions_dropped":1' not in text:
        raise RuntimeError(f"{status} {text}")
    return took
