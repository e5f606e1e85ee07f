"""Values as rows: resource, resource_latest, event, event_resource."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from psycopg import Connection

from flownexus.lwm2m.value import BadValueError, DataType, Reading, time_from_milliseconds
from flownexus.lwm2m.webhook import EventType
from flownexus.store import queries
from flownexus.store.catalog import Catalog, TypeKey

ID_BLOCK = 1000
"""What the sequences of ids rise by."""
AHEAD = timedelta(days=1)
"""How far a device's clock may be ahead and still be believed."""

_COLUMN = {
    DataType.BOOLEAN: 7,
    DataType.INTEGER: 8,
    DataType.FLOAT: 9,
    DataType.TIME: 10,
    DataType.UNSIGNED_INTEGER: 11,
    DataType.STRING: 12,
    DataType.OPAQUE: 13,
    DataType.OBJLNK: 14,
    DataType.CORELINK: 15,
}
_COLUMNS = (
    "time", "id", "endpoint_id", "resource_type_id", "object_instance_id", "resource_instance_id",
    "device_time_ms", "boolean_value", "integer_value", "float_value", "time_value", "unsigned_value",
    "string_value", "opaque_value", "object_link_value", "core_link_value",
)  # fmt: skip
"""Of a row as it is built here; _COLUMN points into it."""


class Values(NamedTuple):
    """Values of one endpoint at one time, and what kind of event they are, if any."""

    endpoint: str
    time_ms: int | None
    event_type: EventType | None
    readings: Sequence[Reading]


class Filing(NamedTuple):
    """When a value counts as measured, and the device's own time where that is not to be believed."""

    time: datetime
    device_time_ms: int | None


def file_under(time_ms: int | None, received: datetime, retention: timedelta) -> Filing:
    """Decide a value's time: the device's where it lies in [retention, now + 1 day], else the receipt."""
    if time_ms is None:
        return Filing(received, None)
    try:
        time = time_from_milliseconds(time_ms)
    except BadValueError:
        return Filing(received, time_ms)
    if received - retention <= time <= received + AHEAD:
        return Filing(time, None)
    return Filing(received, time_ms)


class IdBlocks:
    """Ids taken from a sequence in blocks of 1,000; what a rollback leaves unused is never used."""

    def __init__(self, next_block: Callable[[Connection], int]) -> None:
        self._next_block = next_block
        self._lock = threading.Lock()
        self._free: list[range] = []

    def take(self, connection: Connection, count: int) -> list[int]:
        """Return `count` ids that nobody else has."""
        ids: list[int] = []
        while len(ids) < count:
            with self._lock:
                block = self._free.pop() if self._free else None
            if block is None:
                first = self._next_block(connection)
                block = range(first, first + ID_BLOCK)
            wanted = count - len(ids)
            ids.extend(block[:wanted])
            if rest := block[wanted:]:
                with self._lock:
                    self._free.append(rest)
        return ids


class Telemetry:
    """Writes values; keeps what it knows of ids between transactions."""

    def __init__(self, retention: timedelta) -> None:
        self.retention = retention
        self.catalog = Catalog()
        self._resource_ids = IdBlocks(queries.next_resource_id_block)
        self._event_ids = IdBlocks(queries.next_event_id_block)

    def store(
        self, connection: Connection, batch: Sequence[Values], received: datetime | None = None
    ) -> Callable[[], None]:
        """Write a batch in the caller's transaction.

        `received` (default: now) is the time of values that have none, or none to be believed. Returns what
        the caller is to call once the transaction is committed.
        """
        received = received or datetime.now(UTC)
        endpoints = self.catalog.endpoints(connection, (values.endpoint for values in batch))
        types = self.catalog.resource_types(connection, _data_types(batch))
        filed = [file_under(values.time_ms, received, self.retention) for values in batch]
        resource_ids = iter(
            self._resource_ids.take(connection, sum(len(values.readings) for values in batch))
        )
        event_ids = iter(
            self._event_ids.take(connection, sum(values.event_type is not None for values in batch))
        )
        rows: list[tuple[Any, ...]] = []
        events: list[tuple[datetime, int, int, str]] = []
        event_resources: list[tuple[datetime, int, int]] = []
        latest: dict[tuple[int, int, int, int], tuple[Any, ...]] = {}
        for values, filing in zip(batch, filed, strict=True):
            endpoint_id = endpoints[values.endpoint]
            if values.event_type is not None:
                event_id = next(event_ids)
                events.append((filing.time, event_id, endpoint_id, str(values.event_type)))
            for reading in values.readings:
                row = _row(reading, next(resource_ids), endpoint_id, types, filing)
                rows.append(row)
                if values.event_type is not None:
                    event_resources.append((filing.time, event_id, row[1]))
                if filing.device_time_ms is None:
                    instance = -1 if row[5] is None else row[5]
                    key = (endpoint_id, row[3], row[4], instance)
                    if key not in latest or latest[key][0] <= row[0]:
                        latest[key] = row
        _insert(queries.add_resources, connection, _COLUMNS, rows)
        _insert(queries.raise_latest, connection, _COLUMNS, latest.values(), leave_out="device_time_ms")
        _insert(queries.add_events, connection, ("time", "id", "endpoint_id", "event_type"), events)
        _insert(queries.add_event_resources, connection, ("time", "event_id", "resource_id"), event_resources)
        return lambda: self.catalog.keep(endpoints, types)


def _data_types(batch: Sequence[Values]) -> dict[TypeKey, DataType]:
    wanted: dict[TypeKey, DataType] = {}
    for values in batch:
        for path, data_type, _ in values.readings:
            wanted.setdefault((path[0], path[2]), data_type)  # type: ignore[arg-type]  # a reading's path has it
    return wanted


def _row(
    reading: Reading, id_: int, endpoint_id: int, types: dict[TypeKey, int], filing: Filing
) -> tuple[Any, ...]:
    object_id, object_instance_id, resource_id, resource_instance_id = reading.path
    row: list[Any] = [None] * len(_COLUMNS)
    row[:7] = (
        filing.time,
        id_,
        endpoint_id,
        types[object_id, resource_id],  # type: ignore[index]  # a reading's path has three ids or four
        object_instance_id,
        resource_instance_id,
        filing.device_time_ms,
    )
    row[_COLUMN[reading.data_type]] = reading.value
    return tuple(row)


def _insert(
    query: Callable[..., object],
    connection: Connection,
    names: Sequence[str],
    rows: Any,
    leave_out: str | None = None,
) -> None:
    """Run a query that takes each column as an array."""
    if not rows:
        return
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    if leave_out:
        del columns[leave_out]
    query(connection, **columns)
