"""Forms that count once, however often they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg_pool import ConnectionPool

from flownexus.accounts.tokens import digest
from flownexus.errors import FlowNexusError
from flownexus.store import queries
from flownexus.store.transaction import Transaction, transaction


class SentBeforeError(FlowNexusError):
    """The form was sent already, and counts once. What it made is there; its files were shown then."""

    status = 409
    title = "Sent already"


@contextmanager
def once(pool: ConnectionPool, key: str, lifetime_s: float) -> Iterator[None]:
    """Do what the form with this key is for; raise SentBeforeError where that was done.

    It is kept for `lifetime_s` that the form was sent. What is refused may be sent again.
    """
    if not _claim(pool, key, lifetime_s):
        raise SentBeforeError
    try:
        yield
    except FlowNexusError as error:
        if error.status < 500:  # else nobody knows whether it was done
            _release(pool, key)
        raise


def _claim(pool: ConnectionPool, key: str, lifetime_s: float) -> bool:
    def work(current: Transaction) -> bool:
        queries.drop_stale_forms(current.connection)
        claimed = queries.claim_form(current.connection, key_hash=digest(key), lifetime_s=lifetime_s)
        return claimed is not None

    return transaction(pool, work)


def _release(pool: ConnectionPool, key: str) -> None:
    transaction(pool, lambda current: queries.release_form(current.connection, key_hash=digest(key)))
