"""The audit log: who did what to which device."""

from __future__ import annotations

import logging
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.accounts.audit import Chain, Entry, follow
from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, transaction

log = logging.getLogger(__name__)

ENTRIES_A_TIME: Final = 5_000
"""How many entries are read at once to follow the chain."""


class Listed(NamedTuple):
    """An entry as people read it."""

    id: int
    at: str
    by: str
    action: str
    endpoint: str | None
    detail: dict[str, Any]


def note(connection: Connection, by: str, action: str, endpoint: str | None = None, **detail: Any) -> None:
    """Add an entry, as part of the transaction that does what it tells: neither is there without the other.

    Put it last, for the next entry waits for this transaction's end.
    """
    hash_ = queries.append_audit(
        connection,
        by=by,
        action=action,
        endpoint=None if endpoint is None else endpoint,
        detail=Jsonb(detail),
    )
    # Outside the database, where who has changed it may not reach.
    log.info("audit: %s by %s", action, by, extra={"endpoint": endpoint, "audit_hash": bytes(hash_).hex()})


def list_entries(pool: ConnectionPool, endpoint: str | None, cursor: int | None, limit: int) -> list[Listed]:
    """Return up to `limit` entries, the newest first, with ids below `cursor`."""
    return transaction(
        pool,
        lambda current: send_for(
            Listed,
            current.connection,
            queries.audit_entries,
            endpoint=endpoint,
            cursor=cursor,
            limit=limit,
        ).fetchall(),
    )


def check(pool: ConnectionPool) -> Chain:
    """Follow the whole chain, part by part."""
    chain = Chain()
    while chain.broken_at is None:
        after = chain.length

        def part(current: Transaction, after: int = after) -> list[Entry]:
            return send_for(
                Entry, current.connection, queries.audit_chain, after=after, limit=ENTRIES_A_TIME
            ).fetchall()

        entries = transaction(pool, part)
        if not entries:
            break
        chain = follow(entries, chain)
    return chain
