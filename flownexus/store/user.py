"""Users of the console: their roles, passwords, second factors, and the links by which they choose one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.accounts.role import SCOPES, Role
from flownexus.accounts.tokens import digest, new_token
from flownexus.errors import ConflictError, NotFoundError
from flownexus.store import queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, transaction

T = TypeVar("T")

LINK_LIFETIME_S: Final = 24 * 3600.0
"""Seconds in which a link to choose a password is to be used."""


class User(NamedTuple):
    """A user with what decides about a sign-in."""

    id: int
    name: str
    role: str
    password_hash: str | None
    totp_secret: str | None
    totp_step: int | None
    is_disabled: bool
    passkeys: int

    @property
    def has_second_factor(self) -> bool:
        """Say whether a password alone does not let this user in."""
        return self.totp_secret is not None or self.passkeys > 0


class Listed(NamedTuple):
    """A user as administrators see them."""

    id: int
    name: str
    role: str
    is_disabled: bool
    has_password: bool
    has_second_factor: bool
    signed_in_at: datetime | None
    link_until: datetime | None
    sessions: int


class Link(NamedTuple):
    """A link that can be used: whose it is; both None for the first administrator's."""

    user_id: int | None
    name: str | None


def user_of_name(pool: ConnectionPool, name: str) -> User | None:
    """Return a user; None where there is none of this name."""
    return transaction(
        pool, lambda current: send_for(User, current.connection, queries.user_of_name, name=name).fetchone()
    )


def user_of_id(pool: ConnectionPool, id_: int) -> User:
    """Return a user; raise NotFoundError where there is none of this id."""
    return transaction(pool, lambda current: find_user(current.connection, id_))


def find_user(connection: Connection, id_: int) -> User:
    """Return a user within a transaction; raise NotFoundError where there is none of this id."""
    found = send_for(User, connection, queries.user_of_id, id=id_).fetchone()
    if found is None:
        raise NotFoundError(f"there is no user {id_}")
    return found


def list_users(pool: ConnectionPool) -> list[Listed]:
    """Return all users by name."""
    return transaction(pool, lambda current: send_for(Listed, current.connection, queries.users).fetchall())


# ---------------------------------------------------------------------------------------------------------
# What administrators do


def invite(pool: ConnectionPool, by: str, name: str, role: Role) -> str:
    """Add a user; return the token of the link by which they choose a password.

    Raises ConflictError where the name is taken.
    """

    def work(current: Transaction) -> str:
        id_ = queries.add_user(current.connection, name=name, role=str(role))
        if id_ is None:
            raise ConflictError(f"there is a user {name!r} already; give the new one another name")
        note(current.connection, by, "user-invited", user=name, role=str(role))
        return _new_link(current.connection, id_)

    return transaction(pool, work)


def reset(pool: ConnectionPool, by: str, id_: int) -> str:
    """Take a user's password, second factors and sessions; return the token of a link for a new password."""

    def work(connection: Connection, user: User) -> str:
        queries.set_password_hash(connection, id=user.id, password_hash=None)
        _with_password_alone(connection, user.id)
        end_sessions(connection, user.id)
        _revoke_tokens(connection, user.id, by)
        note(connection, by, "user-reset", user=user.name)
        return _new_link(connection, user.id)

    return _changing(pool, id_, work)


def change_role(pool: ConnectionPool, by: str, id_: int, role: Role) -> None:
    """Give a user another role."""
    _changing(pool, id_, lambda connection, user: give_role(connection, user, role, by))


def give_role(connection: Connection, user: User, role: Role, by: str) -> None:
    """Give a user another role, within a transaction."""
    queries.set_role(connection, id=user.id, role=str(role))
    _revoke_tokens(connection, user.id, by, SCOPES[role])
    note(connection, by, "user-role-changed", user=user.name, role=str(role))


def set_disabled(pool: ConnectionPool, by: str, id_: int, *, disabled: bool) -> None:
    """Keep a user out, and end their sessions and links; or let them in again."""

    def work(connection: Connection, user: User) -> None:
        queries.set_disabled(connection, id=user.id, is_disabled=disabled)
        if disabled:
            end_sessions(connection, user.id)
            queries.drop_links(connection, user_id=user.id)
            _revoke_tokens(connection, user.id, by)
        note(connection, by, "user-disabled" if disabled else "user-enabled", user=user.name)

    _changing(pool, id_, work)


def sign_out_everywhere(pool: ConnectionPool, by: str, id_: int, except_hash: bytes | None = None) -> None:
    """End all sessions of a user, but for one where that is named."""

    def work(current: Transaction) -> None:
        user = find_user(current.connection, id_)
        end_sessions(current.connection, id_, except_hash)
        note(current.connection, by, "user-signed-out", user=user.name)

    transaction(pool, work)


def _revoke_tokens(connection: Connection, id_: int, by: str, left: Sequence[str] = ()) -> None:
    """Revoke the tokens of a user that may more than what is left to them."""
    queries.revoke_tokens_beyond(connection, user_id=id_, scopes=list(left), revoked_by=by)


def _changing(pool: ConnectionPool, id_: int, work: Callable[[Connection, User], T]) -> T:
    """Change a user, and see to it that an administrator stays who can sign in; else raise ConflictError."""

    def changed(current: Transaction) -> T:
        queries.lock_users(current.connection)
        result = work(current.connection, find_user(current.connection, id_))
        if not queries.has_admin(current.connection, except_id=None):
            raise ConflictError("this is the last administrator who can sign in; make another one first")
        return result

    return transaction(pool, changed)


def end_sessions(connection: Connection, id_: int, except_hash: bytes | None = None) -> None:
    """End the sessions of a user, and forget the browsers that were known."""
    queries.drop_sessions(connection, user_id=id_, except_hash=except_hash)
    if except_hash is None:
        queries.drop_browsers(connection, user_id=id_)


# ---------------------------------------------------------------------------------------------------------
# Links


def _new_link(connection: Connection, user_id: int) -> str:
    """Return the token of a link of a user; it ends the one before."""
    token = new_token()
    queries.drop_links(connection, user_id=user_id)
    queries.add_link(connection, token_hash=digest(token), user_id=user_id, lifetime_s=LINK_LIFETIME_S)
    return token


def first_admin_link(connection: Connection) -> str | None:
    """Return the token of a link that makes the first administrator, as the database's owner may.

    None where an administrator can sign in.
    """
    token: str | None = queries.first_admin_link(connection)
    return token


def find_link(pool: ConnectionPool, token: str) -> Link | None:
    """Return whose link it is; None where it was used, is over, or is none."""
    return transaction(pool, lambda current: _link(current.connection, token))


def _link(connection: Connection, token: str) -> Link | None:
    return send_for(Link, connection, queries.link, token_hash=digest(token)).fetchone()


def use_link(pool: ConnectionPool, token: str, name: str | None, password_hash: str) -> User:
    """Give the user of a link this password, or make the first administrator of this name; the link is used.

    Sessions of the user end. Raises NotFoundError where the link cannot be used (any more).
    """

    def work(current: Transaction) -> User:
        connection = current.connection
        queries.lock_users(connection)
        link = _link(connection, token)
        if link is None or queries.use_link(connection, token_hash=digest(token)) != 1:
            raise NotFoundError("this link was used, or is over")
        id_ = link.user_id
        if id_ is None:
            id_ = _first_admin(connection, str(name))
        queries.set_password_hash(connection, id=id_, password_hash=password_hash)
        end_sessions(connection, id_)
        user = find_user(connection, id_)
        note(connection, user.name, "password-chosen", user=user.name, role=user.role)
        return user

    return transaction(pool, work)


def _first_admin(connection: Connection, name: str) -> int:
    """Return the id of the first administrator, who may have been a user without being able to sign in."""
    added: int | None = queries.add_user(connection, name=name, role=str(Role.ADMIN))
    if added is not None:
        return added
    found = send_for(User, connection, queries.user_of_name, name=name).fetchone()
    assert found is not None  # noqa: S101  # the name is taken
    queries.set_role(connection, id=found.id, role=str(Role.ADMIN))
    queries.set_disabled(connection, id=found.id, is_disabled=False)
    _with_password_alone(connection, found.id)
    return found.id


# ---------------------------------------------------------------------------------------------------------
# What users do themselves


def change_password(pool: ConnectionPool, user: User, password_hash: str, except_hash: bytes) -> None:
    """Give a user another password; their other sessions end."""

    def work(current: Transaction) -> None:
        queries.set_password_hash(current.connection, id=user.id, password_hash=password_hash)
        end_sessions(current.connection, user.id, except_hash)
        queries.drop_links(current.connection, user_id=user.id)
        note(current.connection, user.name, "password-changed", user=user.name)

    transaction(pool, work)


def renew_hash(pool: ConnectionPool, id_: int, password_hash: str) -> None:
    """Keep the same password by today's parameters."""
    transaction(
        pool,
        lambda current: queries.set_password_hash(current.connection, id=id_, password_hash=password_hash),
    )


def set_second_factor(
    pool: ConnectionPool, user: User, secret: str, step: int, hashes: Sequence[bytes]
) -> None:
    """Give a user codes by the clock with these recovery codes; `step` is that of the code just used."""

    def work(current: Transaction) -> None:
        queries.set_second_factor(current.connection, id=user.id, secret=secret, step=step)
        renew_recovery_codes(current.connection, user.id, hashes)
        note(current.connection, user.name, "second-factor-added", user=user.name)

    transaction(pool, work)


def remove_second_factor(pool: ConnectionPool, user: User) -> None:
    """Take a user's codes by the clock; recovery codes stay with who has a passkey."""

    def work(current: Transaction) -> None:
        queries.set_second_factor(current.connection, id=user.id, secret=None, step=None)
        drop_needless_codes(current.connection, user.id)
        note(current.connection, user.name, "second-factor-removed", user=user.name)

    transaction(pool, work)


def renew_recovery_codes(connection: Connection, id_: int, hashes: Sequence[bytes]) -> None:
    """Give a user these recovery codes in place of those before."""
    queries.drop_recovery_codes(connection, id=id_)
    queries.add_recovery_codes(connection, id=id_, hashes=list(hashes))


def drop_needless_codes(connection: Connection, id_: int) -> None:
    """Take the recovery codes of who has no second factor that they could stand for."""
    if not find_user(connection, id_).has_second_factor:
        queries.drop_recovery_codes(connection, id=id_)


def _with_password_alone(connection: Connection, id_: int) -> None:
    queries.set_second_factor(connection, id=id_, secret=None, step=None)
    queries.set_openid(connection, id=id_, issuer=None, subject=None)
    queries.drop_passkeys(connection, user_id=id_)
    queries.drop_recovery_codes(connection, id=id_)


def use_code(pool: ConnectionPool, id_: int, step: int) -> bool:
    """Take the code of this step of time; say whether nobody else has."""
    taken: int = transaction(pool, lambda current: queries.use_code(current.connection, id=id_, step=step))
    return taken == 1


def use_recovery_code(pool: ConnectionPool, user: User, code_hash: bytes) -> bool:
    """Take a recovery code; say whether there was one."""

    def work(current: Transaction) -> bool:
        used: int = queries.use_recovery_code(current.connection, id=user.id, code_hash=code_hash)
        if used:
            note(current.connection, user.name, "recovery-code-used", user=user.name)
        return used == 1

    return transaction(pool, work)


def recovery_codes_left(pool: ConnectionPool, id_: int) -> int:
    """Return how many recovery codes a user has not used."""
    left: int = transaction(pool, lambda current: queries.recovery_codes_left(current.connection, id=id_))
    return left
