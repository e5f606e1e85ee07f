"""Events with their values, and registrations, as users read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg_pool import ConnectionPool

from flownexus.leshan.webhook import EventType
from flownexus.store import queries, send_for
from flownexus.store.endpoint_values import endpoint_id
from flownexus.store.transaction import Transaction, narrow_transaction

REGISTRATION_TYPES = (EventType.REGISTERED, EventType.UPDATED, EventType.UNREGISTERED, EventType.HEARD)


class Event(NamedTuple):
    """Values that arrived together; `values` has the path and the text of each."""

    time: datetime
    id: int
    stored_at: datetime
    endpoint: str
    type: str
    name: str | None
    """Of the event type that it fits."""
    values: list[dict[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {**self._asdict(), "time": self.time.isoformat(), "stored_at": self.stored_at.isoformat()}

    def as_registration(self) -> dict[str, Any]:
        """Return what it tells of a registration, as the REST API shows it."""
        return {
            "time": self.time.isoformat(),
            "endpoint": self.endpoint,
            "event": self.type,
            "stored_at": self.stored_at.isoformat(),
        }


EVENT_COLUMNS: Final = ("time", "id", "endpoint", "type", "name", "stored_at", "values")
REGISTRATION_COLUMNS: Final = ("time", "endpoint", "event", "stored_at")


def list_events(
    pool: ConnectionPool,
    endpoint: str | None,
    types: Sequence[EventType],
    start: datetime | None,
    end: datetime | None,
    after: tuple[datetime, int] | None,
    limit: int,
) -> list[Event]:
    """Return up to `limit` events of these types, the newest first, those after a key.

    They are from `start` until before `end`. Raises NotFoundError where the endpoint was never seen, and
    TooWideError where it takes PostgreSQL too long.
    """
    before_time, before_id = after or (None, None)

    def work(current: Transaction) -> list[Event]:
        queries.only_read(current.connection)
        return send_for(
            Event,
            current.connection,
            queries.events,
            endpoint_id=None if endpoint is None else endpoint_id(current.connection, endpoint),
            types=[str(each) for each in types],
            start=start,
            end=end,
            before_time=before_time,
            before_id=before_id,
            limit=limit,
        ).fetchall()

    return narrow_transaction(
        pool, work, "look for these events; ask for those of one endpoint, or give `from` and `to`"
    )
