"""Values as rows, and the fastest ways to insert them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, TypeAlias

from psycopg import Connection, Cursor

from flownexus.leshan.nodes import Rejection, resource_node
from flownexus.leshan.webhook import Item
from flownexus.lwm2m.value import BadValueError, DataType, converted
from flownexus.store import queries, send
from flownexus.store.catalog import ResourceType, TypeKey
from flownexus.store.value_time import EPOCH_MS, Period

MAX_INSERTED_VALUES = 20
"""Up to so many values are inserted by plain statements, which can go in one round trip; COPY cannot."""
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
    "time": "int8",  # as microseconds() has it, which is how COPY (FORMAT binary) has a timestamptz
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

Row: TypeAlias = tuple[Any, ...]


class Rows:
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
                time, device_time_ms = (time_ms - EPOCH_MS) * 1000, None
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
