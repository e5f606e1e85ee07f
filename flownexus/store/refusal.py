"""Devices that Leshan did not let in: a row each endpoint, address and cause, the newest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.leshan.refusals import Refusal, remedy
from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, transaction

MAX_REFUSALS: Final = 10_000
"""How many rows are kept, the newest: whoever reaches a port can make up names."""


def note_refusals(connection: Connection, refusals: Sequence[Refusal]) -> None:
    """Count refusals in the caller's transaction."""
    if not refusals:
        return
    # In the order of their key, so that writers never wait for each other in a circle.
    endpoints, addresses, causes, counts, details = zip(*sorted(refusals, key=_key), strict=True)
    queries.note_refusals(
        connection,
        endpoints=list(endpoints),
        addresses=list(addresses),
        causes=list(causes),
        counts=list(counts),
        details=list(details),
    )
    queries.forget_refusals(connection, keep=MAX_REFUSALS)


def _key(refusal: Refusal) -> tuple[str, str, str]:
    return refusal.endpoint, refusal.address, refusal.cause


@dataclass(frozen=True)
class StoredRefusal:
    """A row, as people see it."""

    id: int
    endpoint: str | None
    address: str | None
    cause: str
    detail: str | None
    count: int
    first_at: datetime
    last_at: datetime

    COLUMNS: ClassVar = (
        *("endpoint", "address", "cause", "detail", "count", "first_at", "last_at", "remedy"),
    )

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        shown = {**asdict(self), "remedy": remedy(self.cause)}
        shown |= {"first_at": self.first_at.isoformat(), "last_at": self.last_at.isoformat()}
        return {name: shown[name] for name in self.COLUMNS}


def list_refusals(
    pool: ConnectionPool, endpoint: str | None, before: tuple[datetime, int] | None, limit: int
) -> list[StoredRefusal]:
    """Return up to `limit` refusals, of one endpoint or of all, the newest first, before a (time, id)."""

    def work(current: Transaction) -> list[StoredRefusal]:
        queries.only_read(current.connection)
        return send_for(
            StoredRefusal,
            current.connection,
            queries.refusals,
            endpoint=endpoint,
            before=before and before[0],
            before_id=before and before[1],
            limit=limit,
        ).fetchall()

    return transaction(pool, work)
