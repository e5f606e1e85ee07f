"""Devices as the console shows them: in a list, and one with what it told and what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import NotFoundError
from flownexus.lwm2m.path import Path
from flownexus.operations.filter import EVERYTHING, Filter
from flownexus.store import queries, send_for
from flownexus.store.endpoint import DEFAULT_LIFETIME_S
from flownexus.store.transaction import Transaction, narrow_transaction, transaction

SLOTS: Final = 48
"""Of how many lifetimes it is told whether a device was heard of."""
LONGEST_SLOT_S: Final = 30 * 86_400
"""A longer lifetime counts as so many seconds."""
_NARROWER: Final = "look for these; give the devices a tag, and filter by it"


class Order(StrEnum):
    """What a list of devices is sorted by."""

    NAME = "name"
    NAME_DOWN = "-name"
    CONTACT = "contact"
    """The one that was heard of last first."""
    CONTACT_DOWN = "-contact"
    """The one that was silent for the longest time first."""


class Place(NamedTuple):
    """Where a page of a list begins: behind, or if it goes `back` before, the row with this key."""

    last_seen_at: datetime | None
    name: str
    back: bool = False


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
    tags: Mapping[str, str]

    def place(self, *, back: bool = False) -> Place:
        """Return where the page behind this row begins, or the one before it."""
        return Place(self.last_seen_at, self.name, back)


class Page(NamedTuple):
    """A page of the list by the ids of its devices, and how many devices the whole list has."""

    total: int
    ids: Sequence[int]
    has_previous: bool
    has_next: bool


class Contacts(NamedTuple):
    """Whether a device was heard of in each of its last lifetimes, the oldest first.

    Of each `slots` has a character: 1, 0, or - before the device was there.
    """

    name: str
    every_s: float
    slots: str


class Cell(NamedTuple):
    """The newest value of a resource of a device in a list."""

    endpoint: str
    path: str
    value: str
    time: datetime
    name: str | None
    units: str | None


class Found(NamedTuple):
    """A device that was looked for by a text."""

    name: str
    presence: str
    address: str | None
    tags: Mapping[str, str]


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


class Bucket(NamedTuple):
    """The values of a part of a chart's time."""

    time: datetime
    minimum: float
    maximum: float
    mean: float


def find_page(pool: ConnectionPool, filter_: Filter, order: Order, place: Place | None, limit: int) -> Page:
    """Return a page of the devices that fit; raise TooWideError where that takes PostgreSQL too long."""
    by_contact = order in (Order.CONTACT, Order.CONTACT_DOWN)
    back = place is not None and place.back

    def work(current: Transaction) -> Page:
        queries.only_read_by_filter(current.connection)
        total, ids = queries.fleet_page(
            current.connection,
            filter=None if filter_ == EVERYTHING else Jsonb(filter_.as_json()),
            by_contact=by_contact,
            down=(order in (Order.NAME_DOWN, Order.CONTACT)) != back,
            begins=place is None,
            seen=place.last_seen_at if place is not None and by_contact else None,
            name=place.name if place is not None else None,
            limit=limit + 1,
        )
        is_cut, ids = len(ids) > limit, ids[:limit]
        return Page(total, ids[::-1] if back else ids, is_cut if back else place is not None, back or is_cut)

    return narrow_transaction(pool, work, _NARROWER)


def rows_of(pool: ConnectionPool, ids: Sequence[int]) -> list[Row]:
    """Return these devices as a list shows them, in this order."""
    return transaction(
        pool,
        lambda current: send_for(Row, current.connection, queries.fleet_rows, ids=list(ids)).fetchall(),
    )


def contacts_of(pool: ConnectionPool, ids: Sequence[int]) -> list[Contacts]:
    """Return of each device in which of its last 48 lifetimes it was heard of."""
    return narrow_transaction(
        pool,
        lambda current: send_for(
            Contacts,
            current.connection,
            queries.fleet_contacts,
            ids=list(ids),
            slots=SLOTS,
            default_lifetime=DEFAULT_LIFETIME_S,
            longest=LONGEST_SLOT_S,
        ).fetchall(),
        _NARROWER,
    )


def cells_of(pool: ConnectionPool, names: Sequence[str], paths: Sequence[Path]) -> list[Cell]:
    """Return the newest values of these resources of these devices."""

    def work(current: Transaction) -> list[Cell]:
        queries.only_read(current.connection)
        return send_for(
            Cell,
            current.connection,
            queries.fleet_values,
            names=list(names),
            object_ids=[path.object_id for path in paths],
            object_instance_ids=[path.object_instance_id for path in paths],
            resource_ids=[path.resource_id for path in paths],
        ).fetchall()

    return transaction(pool, work)


def devices_with(pool: ConnectionPool, text: str, limit: int) -> list[Found]:
    """Return devices with a text in name, address or tags, whatever the case; the best fit first."""

    def work(current: Transaction) -> list[Found]:
        queries.only_read(current.connection)
        pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        return send_for(
            Found, current.connection, queries.devices_with, text=text, pattern=pattern, limit=limit
        ).fetchall()

    return narrow_transaction(pool, work, _NARROWER)


def find_device(pool: ConnectionPool, endpoint: str) -> Device:
    """Return a device; raise NotFoundError where it was never seen."""
    found = transaction(
        pool,
        lambda current: send_for(Device, current.connection, queries.device, endpoint=endpoint).fetchone(),
    )
    if found is None:
        raise NotFoundError(f"no endpoint {endpoint!r} has been seen")
    return found


def series_of(
    pool: ConnectionPool, endpoint: str, path: Path, begin: datetime, end: datetime, buckets: int
) -> list[Bucket]:
    """Return the numbers of a resource over a time, in at most so many buckets.

    Raises TooWideError where that takes PostgreSQL too long.
    """
    return narrow_transaction(
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
        "read so many values; choose a shorter time",
    )
