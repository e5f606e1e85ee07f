"""Values as rows: resource, resource_latest, event, event_resource."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any, NamedTuple

from psycopg import Connection

from flownexus.lwm2m.value import BadValueError, DataType, Reading, time_from_milliseconds
from flownexus.lwm2m.webhook import Item
from flownexus.store import queries
from flownexus.store.catalog import Catalog, TypeKey

ID_BLOCK = 1000
"""What the sequences of ids rise by."""
AHEAD = timedelta(days=1)
"""How far a device's clock may be ahead and still be believed."""

_COLUMN_OF = {
    DataType.BOOLEAN: ("boolean_value", "bool"),
    DataType.INTEGER: ("integer_value", "int8"),
    DataType.FLOAT: ("float_value", "float8"),
    DataType.TIME: ("time_value", "timestamptz"),
    DataType.UNSIGNED_INTEGER: ("unsigned_value", "numeric"),
    DataType.STRING: ("string_value", "text"),
    DataType.OPAQUE: ("opaque_value", "bytea"),
    DataType.OBJLNK: ("object_link_value", "text"),
    DataType.CORELINK: ("core_link_value", "text"),
}
"""The column of each data type and PostgreSQL's type of it, in the order of the statements."""
_KEY = {
    "time": "timestamptz",
    "id": "int8",
    "endpoint_id": "int4",
    "resource_type_id": "int4",
    "object_instance_id": "int4",
    "resource_instance_id": "int4",
    "device_time_ms": "int8",
}
_COLUMNS = (*_KEY, *(name for name, _ in _COLUMN_OF.values()))
_COLUMN_TYPES = (*_KEY.values(), *(type_ for _, type_ in _COLUMN_OF.values()))
_BEFORE_AND_AFTER = {
    data_type: ((None,) * place, (None,) * (len(_COLUMN_OF) - place - 1))
    for place, data_type in enumerate(_COLUMN_OF)
}
_EVENT_RESOURCE_TYPES = ("timestamptz", "int8", "int8")


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
        self, connection: Connection, batch: Sequence[Item], received: datetime | None = None
    ) -> Callable[[], None]:
        """Write a batch in the caller's transaction.

        `received` (default: now) is the time of values that have none, or none to be believed. Returns what
        the caller is to call once the transaction is committed.
        """
        received = received or datetime.now(UTC)
        endpoints = self.catalog.endpoints(connection, (item.endpoint for item in batch))
        types = self.catalog.resource_types(connection, _data_types(batch))
        filed = [file_under(item.time_ms, received, self.retention) for item in batch]
        resource_ids = iter(self._resource_ids.take(connection, sum(len(item.readings) for item in batch)))
        event_ids = iter(self._event_ids.take(connection, sum(item.event_type is not None for item in batch)))
        rows: list[tuple[Any, ...]] = []
        events: list[tuple[datetime, int, int, str]] = []
        event_resources: list[tuple[datetime, int, int]] = []
        latest: dict[tuple[int, int, int, int], tuple[Any, ...]] = {}
        for item, filing in zip(batch, filed, strict=True):
            endpoint_id = endpoints[item.endpoint]
            if item.event_type is not None:
                event_id = next(event_ids)
                events.append((filing.time, event_id, endpoint_id, str(item.event_type)))
            for reading in item.readings:
                row = _row(reading, next(resource_ids), endpoint_id, types, filing)
                rows.append(row)
                if item.event_type is not None:
                    event_resources.append((filing.time, event_id, row[1]))
                if filing.device_time_ms is None:
                    instance = -1 if row[5] is None else row[5]
                    key = (endpoint_id, row[3], row[4], instance)
                    if key not in latest or latest[key][0] <= row[0]:
                        latest[key] = row
        _copy(connection, queries.copy_resources.sql, _COLUMN_TYPES, rows)
        if latest:
            arrays = _arrays(_COLUMNS, latest.values())
            del arrays["device_time_ms"]  # believed, all of them
            queries.raise_latest(connection, **arrays)
        if events:
            queries.add_events(connection, **_arrays(("time", "id", "endpoint_id", "event_type"), events))
            _copy(connection, queries.copy_event_resources.sql, _EVENT_RESOURCE_TYPES, event_resources)
        return lambda: self.catalog.keep(endpoints, types)


def _data_types(batch: Sequence[Item]) -> dict[TypeKey, DataType]:
    wanted: dict[TypeKey, DataType] = {}
    for item in batch:
        for path, data_type, _ in item.readings:
            wanted.setdefault((path[0], path[2]), data_type)  # type: ignore[arg-type]  # a reading's path has it
    return wanted


def _row(
    reading: Reading, id_: int, endpoint_id: int, types: dict[TypeKey, int], filing: Filing
) -> tuple[Any, ...]:
    path, data_type, value = reading
    before, after = _BEFORE_AND_AFTER[data_type]
    return (
        filing.time,
        id_,
        endpoint_id,
        types[path[0], path[2]],  # type: ignore[index]  # a reading's path has three ids or four
        path[1],
        path[3],
        filing.device_time_ms,
        *before,
        value,
        *after,
    )


def _copy(
    connection: Connection, statement: str, types: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Send rows the fastest way there is: COPY, binary."""
    if not rows:
        return
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _arrays(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """Turn rows into an array for each column, as unnest takes them."""
    return {name: _array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _array(column: Sequence[Any]) -> Any:
    """Return a column as psycopg takes an array, numbers as PostgreSQL writes one, which is faster.

    A column of nulls is empty: unnest fills up shorter arrays with null.
    """
    kinds = set(map(type, column))
    if kinds == {NoneType}:
        return []
    if kinds <= {int, float}:
        return "{" + ",".join(map(repr, column)) + "}"
    return list(column)
