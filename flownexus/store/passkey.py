"""Passkeys of the console's users, and the challenges that they are to sign."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

from psycopg_pool import ConnectionPool

from flownexus.accounts.passkeys import CHALLENGE_S, MAX_PASSKEYS, NewPasskey, new_challenge
from flownexus.accounts.tokens import digest
from flownexus.errors import ConflictError, NotFoundError
from flownexus.store import queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, transaction
from flownexus.store.user import User, drop_needless_codes, find_user, renew_recovery_codes

Purpose: TypeAlias = Literal["add", "use"]


class Passkey(NamedTuple):
    """A passkey of a user."""

    id: int
    credential_id: bytes
    public_key: bytes
    transports: list[str]
    name: str
    created_at: datetime
    used_at: datetime | None


class _Challenge(NamedTuple):
    challenge: bytes
    is_valid: bool


def begin_challenge(pool: ConnectionPool, token: str, purpose: Purpose) -> bytes:
    """Return a new challenge for the session with this cookie; the one before stands no longer."""
    challenge = new_challenge()
    transaction(
        pool,
        lambda current: queries.keep_challenge(
            current.connection,
            token_hash=digest(token),
            purpose=purpose,
            challenge=challenge,
            lifetime_s=CHALLENGE_S,
        ),
    )
    return challenge


def take_challenge(pool: ConnectionPool, token: str, purpose: Purpose) -> bytes | None:
    """Return the challenge of the session with this cookie, once; None where there is none or it is over."""
    found = transaction(
        pool,
        lambda current: send_for(
            _Challenge, current.connection, queries.take_challenge, token_hash=digest(token), purpose=purpose
        ).fetchone(),
    )
    return found.challenge if found is not None and found.is_valid else None


def passkeys_of(pool: ConnectionPool, user_id: int) -> list[Passkey]:
    """Return a user's passkeys, the oldest first."""
    return transaction(
        pool,
        lambda current: send_for(
            Passkey, current.connection, queries.passkeys_of, user_id=user_id
        ).fetchall(),
    )


def add_passkey(
    pool: ConnectionPool, user_id: int, name: str, passkey: NewPasskey, hashes: Sequence[bytes]
) -> bool:
    """Give a user a passkey; say whether it is the first second factor, which these recovery codes come with.

    Raises ConflictError where the passkey is somebody's already, or the user has enough of them.
    """

    def work(current: Transaction) -> bool:
        connection = current.connection
        queries.lock_users(connection)
        user = find_user(connection, user_id)
        if user.passkeys >= MAX_PASSKEYS:
            raise ConflictError(f"you have {MAX_PASSKEYS} passkeys, which is the most; remove one first")
        if queries.add_passkey(connection, user_id=user_id, name=name, **passkey._asdict()) is None:
            raise ConflictError("this passkey is there already")
        if not user.has_second_factor:
            renew_recovery_codes(connection, user_id, hashes)
        note(connection, user.name, "passkey-added", user=user.name, passkey=name)
        return not user.has_second_factor

    return transaction(pool, work)


def use_passkey(pool: ConnectionPool, user: User, passkey: Passkey, sign_count: int) -> bool:
    """Keep what a passkey has counted; say whether that has risen, as it does unless there is a copy."""

    def work(current: Transaction) -> bool:
        counted: int = queries.count_passkey(current.connection, id=passkey.id, sign_count=sign_count)
        if not counted:
            note(current.connection, user.name, "passkey-refused", user=user.name, passkey=passkey.name)
        return counted == 1

    return transaction(pool, work)


def remove_passkey(pool: ConnectionPool, user: User, id_: int) -> None:
    """Take a passkey of a user, and with the last second factor the recovery codes.

    Raises NotFoundError where the user has none of this id.
    """

    def work(current: Transaction) -> None:
        connection = current.connection
        name = queries.drop_passkey(connection, id=id_, user_id=user.id)
        if name is None:
            raise NotFoundError(f"you have no passkey {id_}")
        drop_needless_codes(connection, user.id)
        note(connection, user.name, "passkey-removed", user=user.name, passkey=name)

    transaction(pool, work)
