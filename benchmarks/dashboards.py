"""Shows what Grafana's panels and rules take beside what benchmarks/growth.py has stored.

Each statement is asked as the role that reads, over this month until now, for devices and a resource that
have values in all of it; its time is the median of several, the first of which finds nothing cached.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from benchmarks.results import Result, write_page
from deploy.grafana import statements

TIMES = 5
DEVICES = 10


@dataclass(frozen=True)
class Asked:
    """One statement: what it took (milliseconds), the rows it got, the partitions that it read whole."""

    name: str
    took: float
    rows: int
    whole: int


def measure(dsn: str, ceiling: str) -> Sequence[Result]:
    """Ask all statements of the database; return the slowest, and write all down."""
    now = datetime.now(UTC)
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    one = {"search": ["sim"], "endpoint": ["sim-0100"], "path": ["/3303/0/5700"]}
    many = {**one, "endpoint": [f"sim-{number:04}" for number in range(100, 100 + DEVICES)]}
    with psycopg.connect(dsn, autocommit=True) as grafana:
        found = [
            _ask(
                grafana,
                name,
                statements.expanded(sql, month, now, many if name.startswith("telemetry") else one),
            )
            for name, sql in (
                *((name, panel["targets"][0]["rawSql"]) for name, panel in statements.panels().items()),
                *((name, note["target"]["rawSql"]) for name, note in statements.notes().items()),
                *((name, variable["query"]) for name, variable in statements.variables().items()),
            )
        ]
        found += [
            _ask(grafana, f"rule: {rule['title']}", rule["data"][0]["model"]["rawSql"].encode())
            for rule in statements.rules().values()
        ]
    _write(found, ceiling)
    slowest = max(found, key=lambda asked: asked.took)
    return [
        Result(
            f"the slowest of {len(found)} panels, annotations, variables and rules of Grafana",
            "ms", [slowest.took], 100, "at most", f"{slowest.name}; {ceiling}",
        ),
        Result("rows of the panel that has most", "rows", [max(asked.rows for asked in found)], 2000),
        Result("statements that read a partition whole", "", [sum(a.whole > 0 for a in found)], 0),
    ]  # fmt: skip


def _ask(grafana: psycopg.Connection, name: str, sql: bytes) -> Asked:
    took = []
    rows = 0
    for _ in range(TIMES):
        began = time.perf_counter()
        rows = len(grafana.execute(sql).fetchall())
        took.append(time.perf_counter() - began)
    plan = "\n".join(line for (line,) in grafana.execute(b"EXPLAIN " + sql))
    whole = plan.count("Seq Scan on resource_y") + plan.count("Seq Scan on event_y")
    return Asked(name, statistics.median(took) * 1000, rows, whole)


def _write(found: Sequence[Asked], beside: str) -> None:
    rows = [(asked.name, f"{asked.took:.1f}", str(asked.rows)) for asked in found]
    what = (
        f"What Grafana's statements take: {beside},\n"
        f"over this month until now, as the role that reads; each the median of {TIMES}."
    )
    write_page("DASHBOARDS.md", "python -m benchmarks growth", [what], [("statement", "ms", "rows"), *rows])
