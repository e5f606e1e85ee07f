"""Tokens of the REST API that administrators give out: made, listed, revoked, and looked up at each request.

A token is fnx_<prefix>_<secret>. The prefix is public: the row is found by it. Of the token itself only the
SHA-256 is kept. Its secret is 256 random bits, so nobody finds it by trying, however fast the hash is; a slow
one is for what people choose, and would cost each request its time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError, UnauthorizedError, ValidationFailedError
from flownexus.store import as_json, queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, TryAgainError, transaction

_PREFIX_BYTES: Final = 4
_SECRET_BYTES: Final = 32
_FORM: Final = re.compile(rf"fnx_([0-9a-f]{{{2 * _PREFIX_BYTES}}})_[0-9a-f]{{{2 * _SECRET_BYTES}}}")


class Token(NamedTuple):
    """A token as administrators see it: all but the token."""

    id: int
    name: str
    owner: str
    scopes: list[str]
    prefix: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return as_json(self)


class Holder(NamedTuple):
    """Who sends a token: its name, and what it may do."""

    name: str
    scopes: list[str]


class _Found(NamedTuple):
    """What decides whether a token is valid."""

    id: int
    name: str
    scopes: list[str]
    sha256: bytes
    expires_at: datetime | None
    revoked_at: datetime | None
    is_over: bool
    use_is_to_be_noted: bool


def has_form(token: str) -> bool:
    """Say whether a text looks like a token that was given out here."""
    return _FORM.fullmatch(token) is not None


def holder_of(pool: ConnectionPool, token: str) -> Holder:
    """Return who has the token; raise UnauthorizedError where it is none, is revoked, or is over.

    That it was used is noted at most once a minute.
    """
    form = _FORM.fullmatch(token)
    if form is None:
        raise UnauthorizedError

    def work(current: Transaction) -> Holder:
        found = send_for(_Found, current.connection, queries.token_of_prefix, prefix=form[1]).fetchone()
        if found is None or not hmac.compare_digest(found.sha256, _hash(token)):
            raise UnauthorizedError
        if found.revoked_at is not None:
            raise UnauthorizedError(f"the token {found.name!r} was revoked at {found.revoked_at.isoformat()}")
        if found.is_over and found.expires_at is not None:
            raise UnauthorizedError(f"the token {found.name!r} expired at {found.expires_at.isoformat()}")
        if found.use_is_to_be_noted:
            queries.note_use_of_token(current.connection, id=found.id)
        return Holder(found.name, found.scopes)

    return transaction(pool, work)


def issue(
    pool: ConnectionPool,
    name: str,
    owner: str,
    scopes: Sequence[str],
    created_by: str,
    expires_at: datetime | None = None,
    expires_in: float | None = None,
    user_id: int | None = None,
) -> tuple[Token, str]:
    """Make a token; return its row and the token, which is told this once. `expires_in` is in seconds.

    `user_id` is that of the console's user who makes it for themselves.

    Raises ConflictError where another valid one has the name, ValidationFailedError where it would be over.
    """

    def work(current: Transaction) -> tuple[Token, str]:
        if expires_at is not None and queries.is_past(current.connection, time=expires_at):
            raise ValidationFailedError(f"expires_at: {expires_at.isoformat()} is over; give a time to come")
        prefix = secrets.token_hex(_PREFIX_BYTES)
        token = f"fnx_{prefix}_{secrets.token_hex(_SECRET_BYTES)}"
        made = send_for(
            Token,
            current.connection,
            queries.add_token,
            name=name,
            owner=owner,
            scopes=list(scopes),
            prefix=prefix,
            sha256=_hash(token),
            created_by=created_by,
            expires_at=expires_at,
            expires_in=expires_in,
            user_id=user_id,
        ).fetchone()
        if made is not None:
            note(current.connection, created_by, "token-made", token=made.id, name=name, scopes=list(scopes))
            return made, token
        taken = queries.id_of_valid_token(current.connection, name=name)
        if taken is None:
            raise TryAgainError("the prefix is taken")
        raise ConflictError(
            f"token {taken} is named {name!r}, and is not revoked; give another name, or revoke it first"
        )

    return transaction(pool, work)


def list_tokens(pool: ConnectionPool, cursor: int | None, limit: int) -> list[Token]:
    """Return up to `limit` tokens, the newest first, with ids below `cursor`."""

    def work(current: Transaction) -> list[Token]:
        queries.only_read(current.connection)
        return send_for(Token, current.connection, queries.tokens, cursor=cursor, limit=limit).fetchall()

    return transaction(pool, work)


def show(pool: ConnectionPool, id_: int) -> Token:
    """Return a token; raise NotFoundError where there is none of this id."""
    return transaction(pool, lambda current: _find(current.connection, id_))


def revoke(pool: ConnectionPool, id_: int, revoked_by: str) -> Token:
    """Revoke a token, once: from the commit on nobody is let in with it. Raises NotFoundError."""

    def work(current: Transaction) -> Token:
        revoked = queries.revoke_token(current.connection, id=id_, revoked_by=revoked_by)
        token = _find(current.connection, id_)
        if revoked:
            note(current.connection, revoked_by, "token-revoked", token=id_, name=token.name)
        return token

    return transaction(pool, work)


def tokens_of_user(pool: ConnectionPool, user_id: int) -> list[Token]:
    """Return the tokens that a user of the console has made and nobody has revoked, the newest first."""
    return transaction(
        pool,
        lambda current: send_for(
            Token, current.connection, queries.tokens_of_user, user_id=user_id
        ).fetchall(),
    )


def revoke_own(pool: ConnectionPool, id_: int, user_id: int, by: str) -> None:
    """Revoke a token of a user; raise NotFoundError where they have none of this id."""

    def work(current: Transaction) -> None:
        if not queries.revoke_own_token(current.connection, id=id_, user_id=user_id, revoked_by=by):
            raise NotFoundError(f"you have no token {id_}")
        note(current.connection, by, "token-revoked", token=id_)

    transaction(pool, work)


def _find(connection: Connection, id_: int) -> Token:
    found = send_for(Token, connection, queries.token, id=id_).fetchone()
    if found is None:
        raise NotFoundError(f"there is no token {id_}")
    return found


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
