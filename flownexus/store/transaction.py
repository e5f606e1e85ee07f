"""Transactions: tried again where that helps, with hooks at their end; PostgreSQL's errors become ours."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from flownexus.errors import (
    FlowNexusError,
    LockedError,
    StatementTimeoutError,
    TooWideError,
    UnavailableError,
)
from flownexus.metrics import STORE_TRANSACTION_SECONDS

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_TRIES: Final = 4
"""How often a transaction is tried when PostgreSQL asks for it (deadlock, serialization failure)."""
REFUSALS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    # SQLSTATE class 54: operational errors to psycopg, but they come again with the same rows.
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.TooManyColumns,
    psycopg.errors.TooManyArguments,
)
"""What PostgreSQL says of rows that it will never take."""


class TryAgainError(Exception):
    """What the transaction went by does not hold any more; it helps to run it again."""


OF_NO_ROW = (
    FlowNexusError,
    TryAgainError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    OSError,
    MemoryError,
)
"""What says nothing of the rows at hand, unless it is one of REFUSALS. Any other error is a bug of ours."""


class Transaction:
    """A transaction under way: its connection, and what is to be done before its commit and after it.

    Hooks of a savepoint that is rolled back, or of a transaction that is, are never called.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._before: list[Callable[[], None]] = []
        self._after: list[Callable[[], None]] = []

    def before_commit(self, check: Callable[[], None]) -> None:
        """Have this called at the end of the transaction's work; it may raise TryAgainError."""
        self._before.append(check)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Have this called once the transaction is committed."""
        self._after.append(callback)

    @contextmanager
    def savepoint(self, *, rehearsal: bool = False) -> Iterator[None]:
        """Take back what is done inside, hooks too, where it raises; in a rehearsal always."""
        before, after = len(self._before), len(self._after)
        kept = False
        try:
            with self.connection.transaction(force_rollback=rehearsal):
                yield
            kept = not rehearsal
        finally:
            if not kept:
                del self._before[before:], self._after[after:]

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Do the work, and what is to be done before the commit."""
        result = work(self)
        for check in self._before:
            check()
        return result

    def committed(self) -> None:
        """Do what is to be done after the commit; a bug there must not deny what is stored."""
        for callback in self._after:
            try:
                callback()
            except Exception:
                log.exception("unforeseen error after a commit")


@STORE_TRANSACTION_SECONDS.time()
def transaction(pool: ConnectionPool, work: Callable[[Transaction], T]) -> T:
    """Run `work` in one transaction and return what it returns.

    Tries again, boundedly and with jitter, where PostgreSQL or `work` (TryAgainError) says that this helps;
    `work` must be safe to run again after a rollback. Raises UnavailableError where PostgreSQL is away,
    LockedError where a lock is not to be had, StatementTimeoutError where a statement was cancelled, and
    REFUSALS as they are.
    """
    for attempt in range(1, MAX_TRIES + 1):
        try:
            with pool.connection() as connection:
                current = Transaction(connection)
                result = current.run(work)
        except (
            psycopg.errors.DeadlockDetected,
            psycopg.errors.SerializationFailure,
            TryAgainError,
        ) as error:
            if attempt == MAX_TRIES:
                raise UnavailableError(f"given up after {MAX_TRIES} tries: {error}") from error
            time.sleep(random.uniform(0.2, 1.0) * 0.02 * 2**attempt)  # noqa: S311  # jitter, not a secret
        except REFUSALS:
            raise
        except psycopg.errors.QueryCanceled as error:
            log.warning("PostgreSQL cancelled a statement: %s", error.diag.message_primary)
            raise StatementTimeoutError from error
        except psycopg.errors.LockNotAvailable as error:
            raise LockedError from error
        except (PoolTimeout, TooManyRequests) as error:
            raise UnavailableError("no connection to PostgreSQL") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            log.warning("PostgreSQL failed: %s", str(error).strip())
            raise UnavailableError("PostgreSQL is away") from error
        else:
            current.committed()
            return result
    raise AssertionError("unreachable: the last try returns or raises")


def narrow_transaction(pool: ConnectionPool, work: Callable[[Transaction], T], narrower: str) -> T:
    """Run `work` as transaction() does; raise TooWideError where it takes PostgreSQL too long.

    `narrower` says what it does, and how to ask for less.
    """
    try:
        return transaction(pool, work)
    except StatementTimeoutError as error:
        raise TooWideError(f"it takes PostgreSQL too long to {narrower}") from error
