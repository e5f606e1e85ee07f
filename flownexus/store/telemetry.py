"""Values as rows: resource, resource_latest, event, event_resource."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any, NamedTuple, TypeAlias

import msgspec
from psycopg import Connection, Cursor

from flownexus.leshan.nodes import Rejection, resource_node
from flownexus.leshan.webhook import Item
from flownexus.lwm2m.secret import SECRET_OBJECTS
from flownexus.lwm2m.value import BadValueError, DataType, Reading, converted, time_from_milliseconds
from flownexus.metrics import STORE_VALUES
from flownexus.store import queries, send
from flownexus.store.catalog import Catalog, ResourceType, TypeKey
from flownexus.store.device_log import LogResources, log_resources, store_log
from flownexus.store.transaction import Transaction, TryAgainError

log = logging.getLogger(__name__)

IDS_PER_BLOCK = 1000
"""What the sequences of ids rise by."""
MAX_INSERTED_VALUES = 20
"""Up to so many values are inserted by plain statements, which can go in one round trip; COPY cannot."""
MAX_CLOCK_SKEW = timedelta(minutes=5)
"""How far a device's clock, or Leshan's, may be ahead and still be believed.

A value from the future stays the latest until its time has come.
"""

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
    "time": "int8",  # as _microseconds() has it, which is how COPY (FORMAT binary) has a timestamptz
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
_RESOURCE = slice(2, 6)
"""Of a row: endpoint, resource type, object instance and resource instance."""
_DEVICE_TIME = 6
_EVENT_RESOURCE_TYPES = ("int8", "int8", "int8")

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL's (its manual, 8.5: timestamps are microseconds since 2000-01-01)."""
_EPOCH_MS = 946_684_800_000


def _microseconds(time: datetime) -> int:
    """Return a time as PostgreSQL has it inside: a hundred times cheaper to handle than a datetime."""
    return (time - _EPOCH) // timedelta(microseconds=1)


class Period(NamedTuple):
    """Which times of devices are believed: from `start` to `end`, in milliseconds since 1970."""

    start: int
    end: int

    @classmethod
    def at(cls, received: datetime, retention: timedelta) -> Period:
        """Return [retention ago, MAX_CLOCK_SKEW ahead]."""
        start, end = _microseconds(received - retention), _microseconds(received + MAX_CLOCK_SKEW)
        return cls(start // 1000 + _EPOCH_MS, end // 1000 + _EPOCH_MS)


def time_of(time_ms: int | None, received: datetime, retention: timedelta) -> datetime:
    """Return the time that something counts as having happened at: the device's, where it is believed."""
    start, end = Period.at(received, retention)
    if time_ms is None or not start <= time_ms <= end:
        return received
    return time_from_milliseconds(time_ms)


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
                block = range(first, first + IDS_PER_BLOCK)
            wanted = count - len(ids)
            ids.extend(block[:wanted])
            if rest := block[wanted:]:
                with self._lock:
                    self._free.append(rest)
        return ids


class _Known:
    """Ids that hold for one identity of the catalog: no foreign key would tell that they do not any more."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.resource_ids = IdBlocks(queries.next_resource_id_block)
        self.event_ids = IdBlocks(queries.next_event_id_block)
        self._lock = threading.Lock()
        self._identity: str | None = None
        self._logs: LogResources | None = None

    def logs(self, connection: Connection) -> LogResources:
        """Return which resources are lines of a log."""
        if self._logs is None:
            self._logs = log_resources(connection)
        return self._logs

    @property
    def identified(self) -> bool:
        """Say whether it is known of which catalog these ids are."""
        return self._identity is not None

    def holds_for(self, identity: str) -> bool:
        """Say whether these ids are of the catalog with this identity; the first to ask decides of which."""
        with self._lock:
            self._identity = self._identity or identity
            return self._identity == identity


class Stored(NamedTuple):
    """A batch that was written."""

    endpoints: Mapping[str, int]
    """The ids of its endpoints."""
    rejected: Sequence[tuple[int, Rejection]]
    """Values that are not of their model's type, by the place of their item in the batch."""


class Telemetry:
    """Writes values; keeps what it knows of ids between transactions."""

    def __init__(self, retention: timedelta) -> None:
        self.retention = retention
        self._known = _Known()

    def store(
        self, transaction: Transaction, batch: Sequence[Item], received: datetime | None = None
    ) -> Stored:
        """Write a batch in the caller's transaction.

        `received` (default: now) is the time of values that have none, or none to be believed.
        """
        connection = transaction.connection
        received = received or datetime.now(UTC)
        known = self._known
        if not known.identified:  # before the first ids are asked for, which may be deleted meanwhile
            known.holds_for(queries.catalog_identity(connection))
        endpoints = known.catalog.endpoints(connection, (item.endpoint for item in batch))
        wanted = _data_types(batch)
        logs = known.logs(connection)
        if any(key in logs or key[0] in SECRET_OBJECTS for key in wanted):
            batch = self._store_logs(connection, _without_secrets(batch), endpoints, logs, received)
            wanted = _data_types(batch)
        types = known.catalog.resource_types(connection, wanted)
        rows = _Rows(
            iter(known.resource_ids.take(connection, sum(len(item.readings) for item in batch))),
            iter(known.event_ids.take(connection, sum(item.event_type is not None for item in batch))),
        )
        rows.add(batch, endpoints, types, _microseconds(received), Period.at(received, self.retention))
        identity = rows.write(connection) or send(connection, queries.catalog_identity)
        # In a pipeline the identity is there at its end.
        transaction.before_commit(lambda: self._check_identity(known, identity))
        transaction.after_commit(lambda: known.catalog.keep(endpoints, types))
        transaction.after_commit(lambda: STORE_VALUES.inc(len(rows.resources)))
        if log.isEnabledFor(logging.DEBUG):
            transaction.after_commit(lambda: _tell(rows.resources, endpoints))
        return Stored(endpoints, rows.rejected)

    def _store_logs(
        self,
        connection: Connection,
        batch: Sequence[Item],
        endpoints: Mapping[str, int],
        logs: LogResources,
        received: datetime,
    ) -> Sequence[Item]:
        """Write what of a batch is lines of logs, and return the rest."""
        believed = (received - self.retention, received + MAX_CLOCK_SKEW)
        rest: list[Item] = []
        for item in batch:
            others: list[Reading] = []
            for reading in item.readings:
                path = reading.path
                cumulative = logs.get((path.object_id, path.resource_id))  # type: ignore[arg-type]  # it has three ids
                if cumulative is None:
                    others.append(reading)
                    continue
                store_log(
                    connection,
                    endpoints[item.endpoint],
                    reading,
                    time_of(item.time_ms, received, self.retention),
                    believed,
                    cumulative=cumulative,
                )
            rest.append(msgspec.structs.replace(item, readings=others))
        return rest

    def _check_identity(self, known: _Known, identity: Cursor) -> None:
        """Raise TryAgainError where the ids that were used are of another catalog."""
        row = identity.fetchone()
        assert row is not None  # noqa: S101  # catalog_identity has one row
        if known.holds_for(row[0]):
            return
        if self._known is known:
            log.warning(
                "the database is another one than before, or endpoints were deleted: ids are asked anew"
            )
            self._known = _Known()
        raise TryAgainError("the database is another one than before")


Row: TypeAlias = tuple[Any, ...]


class _Rows:
    """The rows that a batch becomes."""

    def __init__(self, resource_ids: Iterator[int], event_ids: Iterator[int]) -> None:
        self._resource_ids = resource_ids
        self._event_ids = event_ids
        self.resources: list[Row] = []
        self.events: list[tuple[int, int, int, str]] = []
        self.event_resources: list[tuple[int, int, int]] = []
        self.rejected: list[tuple[int, Rejection]] = []

    def add(
        self,
        batch: Sequence[Item],
        endpoints: Mapping[str, int],
        types: Mapping[TypeKey, ResourceType],
        received: int,
        believed: Period,
    ) -> None:
        """Make rows of items; `received` is the time of those without a time that is to be believed."""
        start, end = believed
        for place, item in enumerate(batch):
            endpoint_id = endpoints[item.endpoint]
            time_ms = item.time_ms
            if time_ms is not None and start <= time_ms <= end:
                time, device_time_ms = (time_ms - _EPOCH_MS) * 1000, None
            else:
                time, device_time_ms = received, time_ms
            event_id = None if item.event_type is None else next(self._event_ids)
            stored_before = len(self.resources)
            for reading in item.readings:
                path = reading.path
                type_id, data_type, by_model = types[path.object_id, path.resource_id]  # type: ignore[index]  # it has three ids
                value = reading.value
                if reading.data_type is not data_type:
                    if by_model:
                        try:
                            value = converted(data_type, reading.data_type, value)
                        except BadValueError as error:
                            node = resource_node(path, reading.data_type, value)
                            self.rejected.append((place, Rejection(str(path), str(error), node)))
                            continue
                    else:
                        data_type = reading.data_type
                before, after = _BEFORE_AND_AFTER[data_type]
                id_ = next(self._resource_ids)
                key = (endpoint_id, type_id, path.object_instance_id, path.resource_instance_id)
                self.resources.append((time, id_, *key, device_time_ms, *before, value, *after))
                if event_id is not None:
                    self.event_resources.append((time, event_id, id_))
            if event_id is not None and len(self.resources) > stored_before:
                self.events.append((time, event_id, endpoint_id, str(item.event_type)))

    def write(self, connection: Connection) -> Cursor | None:
        """Insert all of them; return the cursor that tells the catalog's identity, if one does."""
        if self.events:
            columns = ("time", "id", "endpoint_id", "event_type")
            queries.add_events(connection, **_arrays(columns, self.events))
        if len(self.resources) <= MAX_INSERTED_VALUES:
            return self._write_few(connection)
        return self._write_many(connection)

    def _write_few(self, connection: Connection) -> Cursor | None:
        identity = None
        if self.resources:
            identity = send(connection, queries.store_few, **_arrays(_COLUMNS, self.resources))
        if self.event_resources:
            columns = ("time", "event_id", "resource_id")
            queries.add_event_resources(connection, **_arrays(columns, self.event_resources))
        return identity

    def _write_many(self, connection: Connection) -> Cursor | None:
        _copy(connection, queries.copy_resources.sql, _COLUMN_TYPES, self.resources)
        _copy(connection, queries.copy_event_resources.sql, _EVENT_RESOURCE_TYPES, self.event_resources)
        if latest := _latest(self.resources):
            arrays = _arrays(_COLUMNS, latest)
            del arrays["device_time_ms"]  # believed, all of them
            return send(connection, queries.raise_latest, **arrays)
        return None


def _without_secrets(batch: Sequence[Item]) -> Sequence[Item]:
    """Return a batch without values of objects that hold keys, which are not kept."""
    return [
        msgspec.structs.replace(
            item, readings=[each for each in item.readings if each.path.object_id not in SECRET_OBJECTS]
        )
        for item in batch
    ]


def _tell(rows: Iterable[Row], endpoints: Mapping[str, int]) -> None:
    """Log each row by its key, so that a message of a device can be followed to it."""
    names = {id_: name for name, id_ in endpoints.items()}
    for time, id_, endpoint_id, *_ in rows:
        row = {"time": (_EPOCH + timedelta(microseconds=time)).isoformat(), "id": id_}
        log.debug("row stored", extra={"endpoint": names[endpoint_id], "row": row})


def _latest(rows: Iterable[Row]) -> Sequence[Row]:
    """Return the newest row of each resource (instance), the last of equals; only of times believed."""
    latest: dict[Row, Row] = {}
    for row in rows:
        if row[_DEVICE_TIME] is None:
            key = row[_RESOURCE]
            known = latest.get(key)
            if known is None or known[0] <= row[0]:
                latest[key] = row
    return list(latest.values())


def _data_types(batch: Sequence[Item]) -> dict[TypeKey, DataType]:
    """Return the first data type of each resource; OPAQUE only where there is no other."""
    wanted = _first_data_types(reading for item in batch for reading in item.readings)
    if DataType.OPAQUE in wanted.values():
        told = (r for item in batch for r in item.readings if r.data_type is not DataType.OPAQUE)
        wanted |= _first_data_types(told)
    return wanted


def _first_data_types(readings: Iterable[Reading]) -> dict[TypeKey, DataType]:
    wanted: dict[TypeKey, DataType] = {}
    for reading in readings:
        key = (reading.path.object_id, reading.path.resource_id)
        if key not in wanted:
            wanted[key] = reading.data_type  # type: ignore[index]  # a reading's path has three ids
    return wanted


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
