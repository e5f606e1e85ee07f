"""Read what the audit compares: the devices' files, the rows, Leshan's spool."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import psycopg

from chaos.downlink import Operation, Request
from chaos.load import MARK, TEMPERATURE
from chaos.uplink import Lane, Mark, Telemetry, Value
from flownexus.firmware.device import PACKAGE
from local import web
from local.layout import Layout

Row = dict[str, Any]
Reading = tuple[str, float, str | None]
TIMEOUT: Final = 30.0
CHANGES: Final = frozenset({"write", "write-composite", "execute", "create", "delete"})
"""What devices are asked to do that changes something: these have marks."""

TEMPERATURES: Final = """
SELECT e.name, r.float_value, v.event_type
FROM resource r
JOIN endpoint e ON e.id = r.endpoint_id
JOIN resource_type t ON t.id = r.resource_type_id
LEFT JOIN event_resource x ON x.resource_id = r.id AND x.time = r.time
LEFT JOIN event v ON v.id = x.event_id AND v.time = x.time
WHERE t.object_id = 3303 AND t.resource_id = 5700 AND starts_with(e.name, %s)
ORDER BY r.time, r.stored_at, r.id
"""
"""The temperatures of endpoints of a prefix; those without an event are notifications."""

STORED_OUT_OF_ORDER: Final = """
SELECT e.name || ' ' || r.time
FROM (SELECT r.endpoint_id, r.time,
             lag(r.time) OVER (PARTITION BY r.endpoint_id ORDER BY r.stored_at, r.id) AS time_before
      FROM resource r
      JOIN resource_type t ON t.id = r.resource_type_id
      WHERE t.object_id = 3303 AND t.resource_id = 5700
        AND NOT EXISTS (SELECT FROM event_resource x WHERE x.resource_id = r.id AND x.time = r.time)) r
JOIN endpoint e ON e.id = r.endpoint_id
WHERE r.time < r.time_before
"""
"""Notifications that were stored after a later one of their device."""

OPERATIONS: Final = """
SELECT o.id, e.name, o.operation_type,
       CASE WHEN o.operation_type = 'delete' THEN o.path
            WHEN o.operation_type IN ('create', 'write-composite')
            THEN coalesce(substring(o.value::text FROM %s::text), '')
            ELSE coalesce(o.value ->> 'value', o.arguments, '') END,
       o.registration_id IS NULL AND o.requested_by IS DISTINCT FROM 'firmware',
       o.status, o.attempts, o.reason, coalesce(o.result ? 'content', false),
       coalesce(o.lease_expires_at < clock_timestamp(), false)
       OR o.status = 'QUEUED' AND o.id = (SELECT next.id FROM next_operation(o.endpoint_id) AS next),
       o.path, o.requested_by IS NOT DISTINCT FROM 'firmware'
FROM endpoint_operation o JOIN endpoint e ON e.id = o.endpoint_id
WHERE o.finished_at IS NULL OR %s
ORDER BY o.id
"""

RESULTS: Final = """
SELECT e.name, count(*) FROM event v JOIN endpoint e ON e.id = v.endpoint_id
WHERE v.event_type = 'read' GROUP BY e.name
"""

EVENTS_TWICE: Final = """
SELECT format('%s %s %s', e.name, v.event_type, v.time)
FROM event v JOIN endpoint e ON e.id = v.endpoint_id
WHERE v.event_type <> 'read'
GROUP BY e.name, v.event_type, v.time HAVING count(*) > 1
"""

NOT_THE_LATEST: Final = """
SELECT e.name || ' ' || l.resource_type_id
FROM resource_latest l JOIN endpoint e ON e.id = l.endpoint_id
WHERE l.time <> (SELECT max(r.time) FROM resource r
                 WHERE r.endpoint_id = l.endpoint_id AND r.resource_type_id = l.resource_type_id
                   AND r.object_instance_id = l.object_instance_id
                   AND r.resource_instance_id IS NOT DISTINCT FROM l.resource_instance_id)
"""


def read_lines(path: Path) -> list[Row]:
    """Read JSON lines; the last one may be under way."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.split("\n") if line]


def temperatures(
    layout: Layout, rows: Callable[[], Iterable[Reading]], prefix: str, *, sent: bool = False
) -> Telemetry:
    """Set the rows of TEMPERATURES beside the devices' files: notifications, or what devices sent unasked."""
    kind, event_type = ("send", "composite") if sent else (None, None)

    def lines(path: Path) -> list[Value]:
        return [
            Value.of(line["ep"], line["value"])
            for line in read_lines(path)
            if line["path"] == TEMPERATURE and line["ep"].startswith(prefix) and line.get("kind") == kind
        ]

    # The rows come last: they may only know more.
    acknowledged, unacknowledged = lines(layout.ledger), lines(layout.unacknowledged)
    stored = [Value.of(name, value) for name, value, event in rows() if event == event_type]
    return Telemetry(acknowledged, unacknowledged, stored)


def operations(connection: psycopg.Connection[Any], *, ended: bool = True) -> list[Operation]:
    """Read the operations, the observe plan's too: all, or those that have not ended."""
    return [Operation(*row) for row in connection.execute(OPERATIONS.encode(), [MARK, ended])]


def requests(layout: Layout) -> list[Request]:
    """Read what devices were asked to change."""
    return [
        Request(line["ep"], line["operation"], _mark(line), line["t"] / 1000)
        for line in read_lines(layout.requests)
        if line["operation"] in CHANGES
    ]


def _mark(line: Row) -> str:
    """Return what a request is known by, as OPERATIONS has it."""
    match line["operation"]:
        case "delete":
            return str(line["path"])
        case "write" if line["path"] == str(PACKAGE):
            return ""  # a package that was pushed: what became of it is the update's affair
        case "create" | "write-composite":
            found = re.search(MARK, str(line["value"]))
            return found[0] if found else ""
        case _:
            return str(line["value"] or "")


def installs(layout: Layout) -> list[str]:
    """Return the device of each install of firmware that one began."""
    return [
        line["ep"]
        for line in read_lines(layout.requests)
        if (line["operation"], line["path"], line["result"]) == ("execute", "/5/0/2", "2.04")
    ]


def results(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Count the results of reads, by endpoint."""
    return dict(connection.execute(RESULTS.encode()).fetchall())


def texts(connection: psycopg.Connection[Any], query: str) -> list[str]:
    """Return the one column of a query."""
    return [str(row[0]) for row in connection.execute(query.encode())]


def count(connection: psycopg.Connection[Any], table: str) -> int:
    """Count the rows of a table."""
    return int(texts(connection, f"SELECT count(*) FROM {table}")[0])


def stored_items(connection: psycopg.Connection[Any]) -> int:
    """Count the single items that are stored."""
    query = "SELECT coalesce(sum(mark), 0)::bigint FROM delivery_mark WHERE kind = 'single'"
    return int(texts(connection, query)[0])


def marks(connection: psycopg.Connection[Any]) -> list[Mark]:
    """Read how far each lane is stored."""
    rows = connection.execute("SELECT kind, lane, source::text, mark, gaps FROM delivery_mark")
    return [Mark(*row) for row in rows]


def lanes(layout: Layout) -> list[Lane]:
    """Read the lanes of Leshan's spool."""
    with closing(_spool(layout)) as spool:
        return [
            Lane(kind.lower(), number, given, taken)
            for kind, number, given, taken in spool.execute("SELECT kind, number, committed, done FROM lane")
        ]


def left_in_spool(layout: Layout) -> list[str]:
    """Return what waits in Leshan's spool, or was set aside."""
    with closing(_spool(layout)) as spool:
        waiting = spool.execute("SELECT 'lane ' || lane || ' from ' || first_seq FROM chunk").fetchall()
        aside = spool.execute("SELECT 'set aside: ' || reason FROM aside").fetchall()
    return [text for (text,) in waiting + aside]


def _spool(layout: Layout) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{layout.home / 'leshan' / 'spool.db'}?mode=ro", uri=True, timeout=TIMEOUT)


def devices(layout: Layout) -> list[Row]:
    """Return what devices say of themselves."""
    found: list[Row] = _simulator(layout, "/devices")
    return found


def values(layout: Layout, device: str) -> dict[str, Any]:
    """Return the values that a device has, by their paths."""
    found: dict[str, Any] = _simulator(layout, f"/devices/{device}")["values"]
    return found


def _simulator(layout: Layout, path: str) -> Any:
    status, text = web.request(layout.simulator_port, "GET", path, timeout=TIMEOUT)
    if status != 200:
        raise OSError(f"the simulator answers {status}")
    return json.loads(text)


def registered_otherwise(connection: psycopg.Connection[Any], says: Iterable[Row]) -> list[str]:
    """Return devices that are not registered, or that the database knows by another registration."""
    rows = connection.execute("SELECT name, registration_id FROM endpoint WHERE registered")
    known: dict[str, str] = dict(rows.fetchall())
    return [
        f"{name} is {device['state']} as {id_}, known as {known.get(name)}"
        for device in says
        for name, id_ in [(device["ep"], (device["registration_id"] or "").removeprefix("/rd/"))]
        if not id_ or known.get(name) != id_
    ]
