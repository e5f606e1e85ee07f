"""What happened with a device: what it told, what was asked of it, and who or what caused it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from psycopg_pool import ConnectionPool

from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, transaction


class Activity(NamedTuple):
    """One thing that happened."""

    time: datetime
    kind: str
    """event: of its registration; operation; log: a grave line; audit: what somebody did in the console."""
    what: str
    """The type of the event or operation, the severity of the line, the action."""
    id: int | None
    path: str | None
    status: str | None
    by: str | None
    """Who asked for it, or the part of the device that wrote the line."""
    words: str | None
    answer: str | None
    """The CoAP code of an operation's last answer."""
    attempts: int

    def as_json(self) -> dict[str, Any]:
        """Return it as files have it; times are in ISO 8601, UTC."""
        return {**self._asdict(), "time": self.time.isoformat()}


def activity_of(pool: ConnectionPool, endpoint: str, limit: int) -> list[Activity]:
    """Return what happened last with a device, the newest first."""

    def work(current: Transaction) -> list[Activity]:
        queries.only_read(current.connection)
        return send_for(
            Activity, current.connection, queries.activity, endpoint=endpoint, limit=limit
        ).fetchall()

    return transaction(pool, work)
