"""Devices as the console shows them: in a list, and one with what it told and what was asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from psycopg_pool import ConnectionPool

from flownexus.errors import NotFoundError, StatementTimeoutError, TooWideError
from flownexus.lwm2m.path import Path
from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, transaction


class Order(StrEnum):
    """What a list of devices is sorted by."""

    NAME = "name"
    CONTACT = "contact"
    """The one that was heard of last first."""


class Presence(StrEnum):
    """Whether a device can be reached, as the database's function presence() has it, or was never there."""

    REGISTERED = "registered"
    """It always listens."""
    AWAKE = "awake"
    ASLEEP = "asleep"
    OFFLINE = "offline"
    NEVER = "never"
    """It has never registered."""


class Row(NamedTuple):
    """A device in a list."""

    name: str
    presence: str
    last_seen_at: datetime | None
    manufacturer: str | None
    model: str | None
    firmware: str | None
    battery: int | None
    """Percent."""
    waiting: int
    """How many operations of users are queued."""


class Fleet(NamedTuple):
    """A page of the list, and how many devices the whole list has."""

    total: int
    rows: Sequence[Row]


class Device(NamedTuple):
    """A device and its registration."""

    name: str
    presence: str
    last_seen_at: datetime | None
    first_seen_at: datetime
    registered_at: datetime | None
    expires_at: datetime | None
    address: str | None
    lifetime: int | None
    binding: str | None
    lwm2m_version: str | None
    objects: Sequence[str] | None


class Activity(NamedTuple):
    """What a device told of itself, or, with `operation`, what was asked of it."""

    time: datetime
    what: str
    operation: int | None
    path: str | None
    status: str | None
    by: str | None
    reason: str | None
    attempts: int


class Bucket(NamedTuple):
    """The values of a part of a chart's time."""

    time: datetime
    minimum: float
    maximum: float
    mean: float


def list_fleet(pool: ConnectionPool, search: str, order: Order, limit: int, offset: int) -> Fleet:
    """Return a page of the devices whose name contains `search`, whatever the case."""
    pattern = f"%{_literally(search)}%" if search else None
    ids_in_order = queries.fleet_by_name if order is Order.NAME else queries.fleet_by_contact

    def work(current: Transaction) -> Fleet:
        connection = current.connection
        queries.only_read(connection)
        total = queries.fleet_count(connection, pattern=pattern)
        ids = [id_ for (id_,) in ids_in_order(connection, pattern=pattern, limit=limit, offset=offset)]
        return Fleet(total, send_for(Row, connection, queries.fleet_rows, ids=ids).fetchall())

    return transaction(pool, work)


def _literally(text: str) -> str:
    r"""Return a text for LIKE in which %, _ and \ stand for themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def find_device(pool: ConnectionPool, endpoint: str) -> Device:
    """Return a device; raise NotFoundError where it was never seen."""
    found = transaction(
        pool,
        lambda current: send_for(Device, current.connection, queries.device, endpoint=endpoint).fetchone(),
    )
    if found is None:
        raise NotFoundError(f"no endpoint {endpoint!r} has been seen")
    return found


def activity_of(pool: ConnectionPool, endpoint: str, limit: int) -> list[Activity]:
    """Return what happened last with a device, the newest first."""
    return transaction(
        pool,
        lambda current: send_for(
            Activity, current.connection, queries.activity, endpoint=endpoint, limit=limit
        ).fetchall(),
    )


def series_of(
    pool: ConnectionPool, endpoint: str, path: Path, begin: datetime, end: datetime, buckets: int
) -> list[Bucket]:
    """Return the numbers of a resource over a time, in at most so many buckets.

    Raises TooWideError where that takes PostgreSQL too long.
    """
    try:
        return transaction(
            pool,
            lambda current: send_for(
                Bucket,
                current.connection,
                queries.series_of,
                endpoint=endpoint,
                path=str(path),
                from_time=begin,
                to_time=end,
                buckets=buckets,
            ).fetchall(),
        )
    except StatementTimeoutError as error:
        raise TooWideError(
            "it takes PostgreSQL too long to read so many values; choose a shorter time"
        ) from error
