"""Credentials of devices: made, listed, revoked, replaced, and read in the order of their changes.

A change holds the one row of `enrolment` until its commit, so what a revision names is committed before
what a later one does. Whoever has read up to a revision misses nothing that is at or before it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError, ValidationFailedError
from flownexus.store import as_json, queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, transaction

MAX_IDENTITY_BYTES: Final = 128
"""Of a PSK identity, that every device can hold (LwM2M 1.1, E.1.1)."""


class Credential(NamedTuple):
    """A credential as administrators see it: all but the key."""

    id: int
    endpoint: str
    mode: str
    identity: str | None
    fingerprint: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return as_json(self)


class NewCredential(NamedTuple):
    """What is to be kept of a credential; an identity of None is made of the endpoint's name."""

    endpoint: str
    mode: str
    identity: str | None = None
    sealed_key: bytes | None = None
    public_key: bytes | None = None
    fingerprint: str | None = None
    expires_at: datetime | None = None


class Enrolment(NamedTuple):
    """How far credentials have changed, and the rule for who has none."""

    source: str
    revision: int
    unenrolled: str
    any_enrolled: bool

    @property
    def refuses_unenrolled(self) -> bool:
        """Say whether who has no credentials may do nothing now."""
        return self.unenrolled == "refused" and self.any_enrolled


class Kept(NamedTuple):
    """A valid credential as Leshan has to know it."""

    endpoint: str
    mode: str
    identity: str | None
    sealed_key: bytes | None
    public_key: bytes | None
    fingerprint: str | None
    expires_at: datetime | None


class Part(NamedTuple):
    """Endpoints whose credentials have changed since a revision, in the order of revisions."""

    enrolment: Enrolment
    revision: int
    """That of the last of them, or of the enrolment where there is no more."""
    endpoints: Mapping[str, Sequence[Kept]]
    """Their valid credentials, by name; without any the endpoint is refused."""
    is_last: bool


def add(pool: ConnectionPool, new: Sequence[NewCredential], by: str) -> list[Credential]:
    """Keep new credentials, all or none; raise ConflictError where an identity or key is another's."""

    def work(current: Transaction) -> list[Credential]:
        made = add_within(current.connection, new, by)
        for each in made:
            note_credential(current.connection, by, "credential-made", each)
        return made

    return transaction(pool, work)


def replace(
    pool: ConnectionPool, id_: int, new: NewCredential, overlap_s: float, by: str
) -> tuple[Credential, Credential]:
    """Keep a credential in place of another, which ends in so many seconds; return the new one, and the old.

    Raises NotFoundError, and ConflictError where the old one is revoked.
    """

    def work(current: Transaction) -> tuple[Credential, Credential]:
        old = _find(current.connection, id_)
        if old.revoked_at is not None:
            raise ConflictError(f"credential {id_} is revoked; make a new one for {old.endpoint!r}")
        [made] = add_within(current.connection, [new], by)
        queries.end_credential(current.connection, id=id_, after_s=overlap_s)
        note_credential(current.connection, by, "credential-replaced", made, replaces=id_)
        return made, _find(current.connection, id_)

    return transaction(pool, work)


def revoke(pool: ConnectionPool, ids: Sequence[int], by: str) -> list[Credential]:
    """Revoke credentials, once each, and forget their keys; raise NotFoundError where one is none."""
    return transaction(pool, lambda current: revoke_within(current.connection, ids, by))


def revoke_within(connection: Connection, ids: Sequence[int], by: str) -> list[Credential]:
    """Revoke credentials as a part of a transaction; raise NotFoundError where one is none."""
    concerned = {_find(connection, id_).endpoint for id_ in ids}
    _touch(connection, sorted(concerned))
    ended = [id_ for id_ in ids if queries.revoke_credential(connection, id=id_, revoked_by=by)]
    revoked = [_find(connection, id_) for id_ in ids]
    for each in revoked:
        if each.id in ended:
            note_credential(connection, by, "credential-revoked", each)
    return revoked


def show(pool: ConnectionPool, id_: int) -> Credential:
    """Return a credential; raise NotFoundError where there is none of this id."""
    return transaction(pool, lambda current: _find(current.connection, id_))


def list_credentials(
    pool: ConnectionPool,
    cursor: int | None,
    limit: int,
    endpoint: str | None = None,
    valid: bool | None = None,
) -> list[Credential]:
    """Return up to `limit` credentials, the newest first, with ids below `cursor`."""

    def work(current: Transaction) -> list[Credential]:
        queries.only_read(current.connection)
        return send_for(
            Credential,
            current.connection,
            queries.credentials,
            cursor=cursor,
            limit=limit,
            endpoint=endpoint,
            valid=valid,
        ).fetchall()

    return transaction(pool, work)


def enrolment(pool: ConnectionPool) -> Enrolment:
    """Return how far credentials have changed, and the rule for who has none."""
    return transaction(pool, lambda current: _enrolment(current.connection))


def set_unenrolled(pool: ConnectionPool, unenrolled: str, by: str) -> Enrolment:
    """Set the rule for who has no credentials: refused or admitted."""

    def work(current: Transaction) -> Enrolment:
        if queries.set_unenrolled(current.connection, unenrolled=unenrolled):
            note(current.connection, by, "unenrolled-changed", unenrolled=unenrolled)
        return _enrolment(current.connection)

    return transaction(pool, work)


def part(pool: ConnectionPool, after: int, limit: int) -> Part:
    """Return up to `limit` endpoints whose credentials have changed after a revision."""

    def work(current: Transaction) -> Part:
        connection = current.connection
        now = _enrolment(connection)  # first: what is committed meanwhile comes again, and is not missed
        changed = list(queries.endpoints_changed(connection, after=after, limit=limit))
        kept: dict[str, list[Kept]] = {name: [] for name, _ in changed}
        for each in send_for(Kept, connection, queries.valid_credentials, endpoints=list(kept)):
            kept[each.endpoint].append(each)
        is_last = len(changed) < limit
        reached = changed[-1][1] if changed else after
        return Part(now, max(now.revision, reached) if is_last else reached, kept, is_last)

    return transaction(pool, work)


def note_credential(
    connection: Connection, by: str, action: str, credential: Credential, **more: int
) -> None:
    """Tell the audit log of a credential; put it last."""
    note(connection, by, action, credential.endpoint, credential=credential.id, mode=credential.mode, **more)


def _enrolment(connection: Connection) -> Enrolment:
    found = send_for(Enrolment, connection, queries.enrolment).fetchone()
    if found is None:
        raise NotFoundError("the table enrolment has lost its row; restore it from a backup")
    return found


def _touch(connection: Connection, names: Sequence[str]) -> None:
    """Give endpoints new revisions; from here to the commit nobody else changes credentials."""
    after = queries.next_revision(connection, count=len(names))
    queries.enrol_endpoints(connection, names=list(names), after=after)


def add_within(connection: Connection, new: Sequence[NewCredential], by: str) -> list[Credential]:
    """Keep new credentials as a part of a transaction, which the audit log is not told; as `add` does."""
    _touch(connection, sorted({each.endpoint for each in new}))
    wanted = [each.identity or _short(each.endpoint) for each in new if each.mode == "psk"]
    taken = dict(queries.taken_identities(connection, identities=wanted))
    prints = [each.fingerprint for each in new if each.fingerprint is not None]
    used = {row[0]: row[1:] for row in queries.taken_fingerprints(connection, fingerprints=prints)}
    made = []
    for each in new:
        if each.fingerprint in used:
            endpoint, id_ = used[each.fingerprint]
            raise ConflictError(f"this key or certificate is credential {id_ or 'above'}, of {endpoint!r}")
        identity = _identity(each, taken) if each.mode == "psk" else None
        if identity is not None:
            taken[identity] = each.endpoint
        elif each.fingerprint is not None:
            used[each.fingerprint] = (each.endpoint, None)
        made.append(_insert(connection, each._replace(identity=identity), by))
    return made


def _insert(connection: Connection, new: NewCredential, by: str) -> Credential:
    row = send_for(Credential, connection, queries.add_credential, created_by=by, **new._asdict()).fetchone()
    if row is None:
        raise AssertionError("INSERT ... RETURNING returns a row")
    return row


def _identity(new: NewCredential, taken: Mapping[str, str]) -> str:
    """Return the PSK identity of a new credential: its own, or one that nobody has."""
    if new.identity is None:
        short = _short(new.endpoint)
        return short if short not in taken else f"{short}.{secrets.token_hex(4)}"
    if new.identity in taken:
        raise ConflictError(
            f"the PSK identity {new.identity!r} is that of {taken[new.identity]!r}; give another one, or none"
        )
    if len(new.identity.encode()) > MAX_IDENTITY_BYTES:
        raise ValidationFailedError(f"identity: at most {MAX_IDENTITY_BYTES} bytes of UTF-8")
    return new.identity


def _short(endpoint: str) -> str:
    """Return an endpoint's name as an identity, which may not be as long."""
    return endpoint.encode()[: MAX_IDENTITY_BYTES - 16].decode(errors="ignore")


def _find(connection: Connection, id_: int) -> Credential:
    found = send_for(Credential, connection, queries.credential, id=id_).fetchone()
    if found is None:
        raise NotFoundError(f"there is no credential {id_}")
    return found
