"""Sessions of the console, and attempts to sign in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.accounts.throttle import Limit, wait_s
from flownexus.accounts.tokens import digest, new_token
from flownexus.store import queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, transaction

MAX_BROWSER: Final = 200
"""Characters that are kept of what a browser says that it is."""


class Session(NamedTuple):
    """Whose a session is; complete once each factor was right."""

    user_id: int
    name: str
    role: str
    is_complete: bool


class Listed(NamedTuple):
    """A session as its user sees it."""

    token_hash: bytes
    created_at: datetime
    active_at: datetime
    address: str
    browser: str


class _Attempts(NamedTuple):
    bucket: str
    attempts: int
    ago_s: float
    blocked_s: float | None


def find_session(pool: ConnectionPool, token: str, idle_s: float, *, keep: bool) -> Session | None:
    """Return the session of a cookie, None where it is over; `keep`: its user has just done something."""

    def work(current: Transaction) -> Session | None:
        found = send_for(
            Session, current.connection, queries.session, token_hash=digest(token), idle_s=idle_s
        ).fetchone()
        if found is not None and keep:
            queries.keep_session(current.connection, token_hash=digest(token))
        return found

    return transaction(pool, work)


def begin_session(
    pool: ConnectionPool,
    user_id: int,
    name: str,
    *,
    complete: bool,
    lifetime_s: float,
    address: str,
    browser: str,
    instead_of: str | None,
    known_browser: str | None = None,
) -> str:
    """Begin a session; return the cookie's token, which is new.

    `instead_of` is the cookie of the session that it ends, `known_browser` that
    by which the browser is known from now on.
    """
    token = new_token()

    def work(current: Transaction) -> None:
        connection = current.connection
        _drop_stale(connection)
        if instead_of is not None:
            queries.drop_session(connection, token_hash=digest(instead_of))
        queries.add_session(
            connection,
            token_hash=digest(token),
            user_id=user_id,
            is_complete=complete,
            lifetime_s=lifetime_s,
            address=address,
            browser=browser[:MAX_BROWSER],
        )
        if complete:
            queries.note_sign_in(connection, user_id=user_id)
            if known_browser is not None:
                queries.keep_browser(connection, token_hash=digest(known_browser), user_id=user_id)
            note(connection, name, "signed-in", address=address)

    transaction(pool, work)
    return token


def end_session(pool: ConnectionPool, token: str) -> None:
    """End the session of a cookie."""
    transaction(pool, lambda current: queries.drop_session(current.connection, token_hash=digest(token)))


def list_sessions(pool: ConnectionPool, user_id: int) -> list[Listed]:
    """Return a user's sessions, the one that was active last first."""
    return transaction(
        pool,
        lambda current: send_for(Listed, current.connection, queries.sessions_of, user_id=user_id).fetchall(),
    )


def is_known_browser(pool: ConnectionPool, token: str, name: str) -> bool:
    """Say whether this user has signed in from the browser with this cookie."""
    known: bool = transaction(
        pool,
        lambda current: queries.is_known_browser(current.connection, token_hash=digest(token), name=name),
    )
    return known


def _drop_stale(connection: Connection) -> None:
    """Delete what is over: whoever signs in does it for all."""
    queries.drop_stale_sessions(connection)
    queries.drop_stale_links(connection)
    queries.drop_stale_attempts(connection)
    queries.drop_stale_browsers(connection)


def attempt(pool: ConnectionPool, buckets: Mapping[str, Limit]) -> float:
    """Count an attempt in each of these buckets; return 0, or the seconds to wait where it comes too soon.

    It is counted before it is known whether it is right, so that many at once are no way around. One that
    comes too soon does not count.
    """

    def work(current: Transaction) -> float:
        names = sorted(buckets)
        queries.begin_attempts(current.connection, buckets=names)
        found = send_for(_Attempts, current.connection, queries.lock_attempts, buckets=names).fetchall()
        blocked = max((each.blocked_s or 0.0 for each in found), default=0.0)
        if blocked > 0:
            return blocked
        for each in found:
            limit = buckets[each.bucket]
            attempts = 1 + (each.attempts if each.ago_s < limit.forget_s else 0)
            queries.note_attempt(
                current.connection, bucket=each.bucket, attempts=attempts, wait_s=wait_s(attempts, limit)
            )
        return 0.0

    return transaction(pool, work)


def forgive(pool: ConnectionPool, address: str, account: str | None = None) -> None:
    """Forget the last attempt of an address, and all of an account, or of its browser: it was right."""
    taken_back = {address: queries.take_back_attempt}
    if account is not None:
        taken_back[account] = queries.forget_attempts

    def work(current: Transaction) -> None:
        for bucket, query in sorted(taken_back.items()):
            query(current.connection, bucket=bucket)

    transaction(pool, work)
