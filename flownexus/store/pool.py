"""Connections to PostgreSQL, and the one place where its errors become ours."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from flownexus.errors import LockedError, StatementTimeoutError, UnavailableError
from flownexus.settings import integer_setting, secret
from flownexus.store import queries

log = logging.getLogger(__name__)
T = TypeVar("T")

LOCK_TIMEOUT = 5.0
"""Seconds that a statement waits for a lock: below the sender's own timeout, so that it hears why."""
STATEMENT_TIMEOUT = 10.0
"""Seconds that a statement may take."""
PATIENCE = 12.0
"""Seconds that the client waits for an answer: more than the statement's own timeout, which a server keeps.

TCP's keepalive (11 s) finds a host that is gone, this anything that swallows packets.
"""
WAIT_FOR_CONNECTION = 3.0
WAIT_TO_BE_READY = 0.5
TRIES = 4
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


class _Connection(psycopg.Connection):
    """A connection that is closed when it is not answered within PATIENCE."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for one exchange with the server: a statement, a part of COPY, a commit."""
        until = time.monotonic() + PATIENCE
        try:
            return super().wait(gen, interval, PATIENCE if timeout is None else timeout)
        except psycopg.OperationalError:
            if time.monotonic() >= until:
                self.close()  # what comes late would be taken for the next statement's answer
            raise


class Pool(ConnectionPool[psycopg.Connection]):
    """A pool that knows whether PostgreSQL answered the last one who asked.

    A connection that was lost takes those that wait in the pool with it: they led to the same server, and
    each would cost another request its patience.
    """

    def __init__(self, database_url: str, **how: Any) -> None:
        super().__init__(database_url, connection_class=_Connection, **how)
        self._answered = True
        self._asking = threading.Lock()

    def getconn(self, timeout: float | None = None) -> psycopg.Connection:
        """Take a connection from the pool; raise PoolTimeout where there is none."""
        try:
            return super().getconn(timeout)
        except PoolTimeout:
            self._answered = False
            raise

    def putconn(self, conn: psycopg.Connection) -> None:
        """Give a connection back."""
        self._answered = not conn.closed
        super().putconn(conn)
        if not self._answered:
            self.drain()

    def ready(self) -> bool:
        """Say whether PostgreSQL answers; asks it only where it did not answer the last time.

        So that who is asked for nothing because of it can become ready again.
        """
        if self._answered:
            return True
        if not self._asking.acquire(blocking=False):
            return False  # somebody is asking, and waits
        try:
            with self.connection(WAIT_TO_BE_READY) as connection:
                connection.execute("SELECT 1")
        except (PoolTimeout, psycopg.Error):
            return False
        finally:
            self._asking.release()
        return True


def open_pool(database_url: str, size: int, name: str) -> Pool:
    """Open a pool of up to `size` connections; it fills in the background, also while PostgreSQL is away."""
    pool = Pool(
        database_url,
        min_size=1,
        max_size=size,
        open=False,
        timeout=WAIT_FOR_CONNECTION,
        # The next request asks again: a longer backoff would outlast PostgreSQL's absence.
        reconnect_timeout=WAIT_FOR_CONNECTION,
        kwargs={
            "application_name": f"flownexus {name}",
            "connect_timeout": 5,
            "options": f"-c lock_timeout={LOCK_TIMEOUT}s -c statement_timeout={STATEMENT_TIMEOUT}s"
            " -c timezone=UTC",
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
    )
    pool.open(wait=False)
    return pool


def pool_from_environment(name: str, secret_name: str = "flownexus-database-url") -> Pool:  # noqa: S107
    """Open the pool that the function's secret and database_pool_size describe."""
    return open_pool(secret(secret_name), integer_setting("database_pool_size", 8), name)


def transaction(pool: ConnectionPool, work: Callable[[psycopg.Connection], T]) -> T:
    """Run `work` in one transaction and return what it returns.

    Tries again, boundedly and with jitter, where PostgreSQL or `work` (TryAgainError) says that this helps;
    `work` must be safe to run again after a rollback. Raises UnavailableError where PostgreSQL is away,
    LockedError where a lock is not to be had, StatementTimeoutError where a statement was cancelled, and
    REFUSALS as they are.
    """
    for attempt in range(1, TRIES + 1):
        try:
            with pool.connection() as connection:
                return work(connection)
        except (
            psycopg.errors.DeadlockDetected,
            psycopg.errors.SerializationFailure,
            TryAgainError,
        ) as error:
            if attempt == TRIES:
                raise UnavailableError(f"given up after {TRIES} tries: {error}") from error
            time.sleep(random.uniform(0.2, 1.0) * 0.02 * 2**attempt)  # noqa: S311  # jitter, not a secret
        except REFUSALS:
            raise
        except psycopg.errors.QueryCanceled as error:
            log.warning("PostgreSQL cancelled a statement: %s", error.diag.message_primary)
            raise StatementTimeoutError from error
        except psycopg.errors.LockNotAvailable as error:
            raise LockedError("another writer holds the same rows; try again") from error
        except (PoolTimeout, TooManyRequests) as error:
            raise UnavailableError("no connection to PostgreSQL") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            log.warning("PostgreSQL failed: %s", str(error).strip())
            raise UnavailableError("PostgreSQL is away") from error
    raise AssertionError("unreachable: the last try returns or raises")


def hurry(connection: psycopg.Connection) -> None:
    """Give each statement of this transaction a quarter of the time: it is tried a second time."""
    queries.set_statement_timeout(connection, timeout=f"{STATEMENT_TIMEOUT / 4 * 1000:.0f}ms")
