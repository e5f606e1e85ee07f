"""Sign-ins by a provider of OpenID Connect: those that are under way, and whose they are."""

from __future__ import annotations

from typing import Final, NamedTuple

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.accounts.openid import Attempt, Identity
from flownexus.accounts.role import Role
from flownexus.accounts.tokens import digest
from flownexus.errors import FlowNexusError
from flownexus.store import queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, transaction
from flownexus.store.user import User, find_user, give_role

ATTEMPT_S: Final = 600.0
"""Seconds in which a browser is to come back from the provider."""


class NoUserError(FlowNexusError):
    """You are known to the provider, but no user here. Ask an administrator to invite you."""

    status = 403
    title = "Not invited"


class _Kept(NamedTuple):
    nonce: str
    verifier: str
    back: str
    is_valid: bool


def keep_attempt(pool: ConnectionPool, token: str, attempt: Attempt, back: str) -> None:
    """Keep a sign-in that the browser with this cookie begins; it is to go on to `back`."""

    def work(current: Transaction) -> None:
        queries.drop_stale_openid_attempts(current.connection)
        queries.keep_openid_attempt(
            current.connection,
            state_hash=digest(attempt.state),
            token_hash=digest(token),
            nonce=attempt.nonce,
            verifier=attempt.verifier,
            back=back,
            lifetime_s=ATTEMPT_S,
        )

    transaction(pool, work)


def take_attempt(pool: ConnectionPool, token: str, state: str) -> tuple[Attempt, str] | None:
    """Return the sign-in of this browser, once, with where it is to go on to; None where there is none."""
    found = transaction(
        pool,
        lambda current: send_for(
            _Kept,
            current.connection,
            queries.take_openid_attempt,
            state_hash=digest(state),
            token_hash=digest(token),
        ).fetchone(),
    )
    if found is None or not found.is_valid:
        return None
    return Attempt(state, found.nonce, found.verifier), found.back


def user_of_identity(pool: ConnectionPool, identity: Identity, *, adds_users: bool) -> User:
    """Return the user whom a provider has named: by its subject, else whom an administrator has invited.

    An invitation counts for who has its name as a verified address. Nobody gets the account of somebody with
    a password. With `adds_users` whoever is not there yet is added. Raises NoUserError.
    """

    def work(current: Transaction) -> User:
        connection = current.connection
        queries.lock_users(connection)
        id_ = queries.user_of_openid(connection, issuer=identity.issuer, subject=identity.subject)
        if id_ is None:
            id_ = _new_user(connection, identity, adds_users)
        user = find_user(connection, id_)
        if user.is_disabled:
            raise NoUserError("An administrator has disabled you.")
        if identity.role is not None and user.password_hash is None and user.role != identity.role:
            give_role(connection, user, identity.role, user.name)
        return find_user(connection, id_)

    return transaction(pool, work)


def _new_user(connection: Connection, identity: Identity, adds_users: bool) -> int:
    """Return the id of who signs in by a provider for the first time."""
    id_ = None
    if identity.email is not None:
        id_ = queries.invited_user(connection, name=identity.email)
    if id_ is None and adds_users:
        if identity.suggested_name is None:
            raise NoUserError("The provider tells neither a verified email nor a preferred_username for you.")
        role = str(identity.role or Role.VIEWER)
        id_ = queries.add_user(connection, name=identity.suggested_name, role=role)
        if id_ is None:
            raise NoUserError(
                f"There is another user {identity.suggested_name!r} here. Ask an administrator to remove it, "
                "or to invite you by your verified email."
            )
    if id_ is None:
        raise NoUserError
    queries.set_openid(connection, id=id_, issuer=identity.issuer, subject=identity.subject)
    queries.drop_links(connection, user_id=id_)
    user = find_user(connection, id_)
    note(connection, user.name, "openid-linked", user=user.name, role=user.role, issuer=identity.issuer)
    return user.id
