"""Values, stored: resource, resource_latest, event, event_resource."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from psycopg import Connection, Cursor

from flownexus.leshan.nodes import Rejection
from flownexus.leshan.webhook import Item
from flownexus.lwm2m.secret import SECRET_OBJECTS
from flownexus.lwm2m.value import DataType, Reading
from flownexus.metrics import STORE_VALUES
from flownexus.store import queries, send
from flownexus.store.catalog import Catalog, TypeKey
from flownexus.store.device_log import LogResources, log_resources, store_log
from flownexus.store.transaction import Transaction, TryAgainError
from flownexus.store.value_rows import Row, Rows
from flownexus.store.value_time import EPOCH, MAX_CLOCK_SKEW, Period, microseconds, time_of

log = logging.getLogger(__name__)

IDS_PER_BLOCK = 1000
"""What the sequences of ids rise by."""


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
        rows = Rows(
            iter(known.resource_ids.take(connection, sum(len(item.readings) for item in batch))),
            iter(known.event_ids.take(connection, sum(item.event_type is not None for item in batch))),
        )
        rows.add(batch, endpoints, types, microseconds(received), Period.at(received, self.retention))
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
            log.info(
                "the catalog is another one than before: endpoints were deleted, models or logs declared, "
                "or the database restored; it is asked anew"
            )
            self._known = _Known()
        raise TryAgainError("the catalog is another one than before")


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
        row = {"time": (EPOCH + timedelta(microseconds=time)).isoformat(), "id": id_}
        log.debug("row stored", extra={"endpoint": names[endpoint_id], "row": row})


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
