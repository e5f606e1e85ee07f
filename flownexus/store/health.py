"""How the system is: how late values come, what waits, what could not be stored."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from psycopg_pool import ConnectionPool

from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, transaction


class Health(NamedTuple):
    """What the database says of the way from devices and back to them, at `now`; durations in seconds."""

    now: datetime
    devices: int
    registered: int
    lag_median_s: float | None
    """From the device's time of a value to its row: of the newest values of five minutes. None: none came."""
    lag_99_s: float | None
    values: int
    """How many values that is of."""
    last_batch_at: datetime | None
    missing_numbers: int
    """Items that Leshan numbered and that never came."""
    waiting: int
    """Operations that are queued."""
    under_way: int
    oldest_waiting_at: datetime | None
    """The oldest of a registered device."""
    failed: int
    """Operations that failed within an hour."""
    dead_letters: int
    """Those that wait for somebody, up to a thousand."""
    updates: int
    """Firmware updates that are open."""


def health(pool: ConnectionPool) -> Health:
    """Return how the system is."""

    def work(current: Transaction) -> Health:
        queries.only_read(current.connection)
        [found] = send_for(Health, current.connection, queries.health).fetchall()
        return found

    return transaction(pool, work)
