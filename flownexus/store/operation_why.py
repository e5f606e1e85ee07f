"""What the rows say of an operation, for who asks why it has not ended."""

from __future__ import annotations

from psycopg_pool import ConnectionPool

from flownexus.errors import NotFoundError
from flownexus.operations.why import MAX_CONTACTS, Facts
from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, transaction


def facts_of(pool: ConnectionPool, id_: int) -> Facts:
    """Return what decides about an operation; raise NotFoundError where there is none of this id."""

    def work(current: Transaction) -> Facts:
        found = send_for(
            Facts, current.connection, queries.why_facts, id=id_, max_contacts=MAX_CONTACTS
        ).fetchone()
        if found is None:
            raise NotFoundError(f"there is no operation {id_}")
        return found

    return transaction(pool, work)
