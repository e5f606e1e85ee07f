"""Devices that Leshan refused: one row for each endpoint, address and cause.

Each unknown identity has its own row, because many devices may share an address.
"""

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
"""The number of newest rows that are kept: anybody who reaches a port can invent names."""


def note_refusals(connection: Connection, refusals: Sequence[Refusal]) -> None:
    """Count refusals in the caller's transaction."""
    if not refusals:
        return
    # Sorted by key, so that writers cannot deadlock.
    rows = [row for _, row in sorted(_merged(refusals).items())]
    queries.note_refusals(
        connection,
        endpoints=[row.endpoint for row in rows],
        addresses=[row.address for row in rows],
        causes=[row.cause for row in rows],
        identities=[row.identity for row in rows],
        counts=[row.times for row in rows],
        details=[row.detail for row in rows],
    )
    queries.forget_refusals(connection, keep=MAX_REFUSALS)


def _merged(refusals: Sequence[Refusal]) -> dict[tuple[str, str, str, str], Refusal]:
    """Return them by the key of their row, with what was said last."""
    merged: dict[tuple[str, str, str, str], Refusal] = {}
    for each in refusals:
        key = each.endpoint, each.address, each.cause, each.identity
        before = merged.get(key)
        merged[key] = (
            each
            if before is None
            else each._replace(times=before.times + each.times, detail=each.detail or before.detail)
        )
    return merged


@dataclass(frozen=True)
class StoredRefusal:
    """A refusal as shown to users."""

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
