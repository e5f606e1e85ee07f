"""What the rows say of operations, for who asks why they have not ended."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg_pool import ConnectionPool

from flownexus.errors import NotFoundError
from flownexus.operations.why import MAX_CONTACTS, Facts, why
from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, transaction


def facts_of(pool: ConnectionPool, id_: int) -> Facts:
    """Return what decides about an operation; raise NotFoundError where there is none of this id."""
    for found in _facts(pool, [id_]):
        return found
    raise NotFoundError(f"there is no operation {id_}")


def reasons_of(pool: ConnectionPool, ids: Iterable[int]) -> dict[int, str]:
    """Return the sentences that say why operations have not ended, by id; nothing is asked for none."""
    wanted = list(ids)
    return {each.id: why(each).sentence for each in _facts(pool, wanted)} if wanted else {}


def _facts(pool: ConnectionPool, ids: list[int]) -> list[Facts]:
    def work(current: Transaction) -> list[Facts]:
        return send_for(
            Facts, current.connection, queries.why_facts, ids=ids, max_contacts=MAX_CONTACTS
        ).fetchall()

    return transaction(pool, work)
