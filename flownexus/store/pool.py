"""Connections to PostgreSQL."""

from __future__ import annotations

import select
import threading
import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg_pool import ConnectionPool, PoolTimeout

from flownexus.settings import integer_setting, secret
from flownexus.store import queries

T = TypeVar("T")

LOCK_TIMEOUT_S = 5.0
"""Seconds that a statement waits for a lock: below the sender's own timeout, so that it hears why."""
STATEMENT_TIMEOUT_S = 10.0
"""Seconds that a statement may take."""
ANSWER_TIMEOUT_S = 12.0
"""Seconds that the client waits for an answer: more than the statement's own timeout, which a server keeps.

TCP's keepalive (11 s) finds a host that is gone, this anything that swallows packets.
"""
CONNECTION_TIMEOUT_S = 3.0
READY_TIMEOUT_S = 0.5


class _Connection(psycopg.Connection):
    """A connection that is closed when it is not answered within ANSWER_TIMEOUT_S."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for one exchange with the server: a statement, a part of COPY, a commit."""
        until = time.monotonic() + ANSWER_TIMEOUT_S
        try:
            return super().wait(gen, interval, ANSWER_TIMEOUT_S if timeout is None else timeout)
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
        super().__init__(database_url, connection_class=_Connection, check=_check, **how)
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
            with self.connection(READY_TIMEOUT_S) as connection:
                connection.execute("SELECT 1")
        except (PoolTimeout, psycopg.Error):
            return False
        finally:
            self._asking.release()
        return True


def _check(connection: psycopg.Connection) -> None:
    """Raise OperationalError where an idle connection was lost, at the cost of one poll where it was not.

    A server says nothing to who asks nothing, but that it ends the connection.
    """
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    if socket.poll(0):
        ConnectionPool.check_connection(connection)


def open_pool(database_url: str, size: int, name: str) -> Pool:
    """Open a pool of up to `size` connections; it fills in the background, also while PostgreSQL is away."""
    pool = Pool(
        database_url,
        min_size=1,
        max_size=size,
        open=False,
        timeout=CONNECTION_TIMEOUT_S,
        # The next request asks again: a longer backoff would outlast PostgreSQL's absence.
        reconnect_timeout=CONNECTION_TIMEOUT_S,
        kwargs={
            "application_name": f"flownexus {name}",
            "connect_timeout": 5,
            "options": f"-c lock_timeout={LOCK_TIMEOUT_S}s -c statement_timeout={STATEMENT_TIMEOUT_S}s"
            " -c timezone=UTC",
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
    )
    pool.open(wait=False)
    return pool


def pool_from_environment(name: str, url_secret: str) -> Pool:
    """Open the pool of function `name`, as database_pool_size and the secret with its role's URL have it."""
    return open_pool(secret(url_secret), integer_setting("database_pool_size", 8), name)


def hurry(connection: psycopg.Connection) -> None:
    """Give each statement of this transaction a quarter of the time: it is tried a second time."""
    queries.set_statement_timeout(connection, timeout=f"{STATEMENT_TIMEOUT_S / 4 * 1000:.0f}ms")
