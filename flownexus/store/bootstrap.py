"""Bootstrap: factory keys, what is handed out for them by profile, and the sessions of late.

A device that has shown its factory key begins a session: it gets a credential that counts at once, so that
nothing is lost where the session's end is not told. The factory key is used up when the session finishes,
or when the device has registered with what it was handed, whichever is known first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError
from flownexus.store import as_json, queries, send_for
from flownexus.store.audit import note
from flownexus.store.credential import Credential, NewCredential, add_within, note_credential, revoke_within
from flownexus.store.transaction import Transaction, transaction

SESSIONS_OF_ENDPOINT: Final = 20
SESSIONS: Final = 10_000
REPLACED: Final = "the device began another session"
USED_UP: Final = "its factory key is used up"


class Profile(NamedTuple):
    """What a bootstrapped device is told besides its key."""

    name: str
    server_uri: str | None
    short_server_id: int
    lifetime: int
    binding: str
    min_period: int | None
    max_period: int | None
    disable_timeout: int | None
    store_notifications: bool
    objects: dict[str, Any]
    changed_by: str
    changed_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return as_json(self)


class FactoryCredential(NamedTuple):
    """A factory key as administrators see it: all but the key."""

    id: int
    endpoint: str
    identity: str
    profile: str
    created_at: datetime
    created_by: str
    used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return as_json(self)


class NewFactoryCredential(NamedTuple):
    """What is to be kept of a factory key."""

    endpoint: str
    identity: str
    sealed_key: bytes
    profile: str


class Session(NamedTuple):
    """A session as it is shown."""

    id: int
    endpoint: str
    factory_credential_id: int | None
    credential_id: int | None
    address: str
    state: str
    detail: str | None
    times: int
    begun_at: datetime
    ended_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return as_json(self)


class FactoryKey(NamedTuple):
    """A factory key that counts, by its identity."""

    id: int
    endpoint: str
    sealed_key: bytes
    profile: str
    handed_id: int | None
    given_id: int | None
    is_used: bool


class Begun(NamedTuple):
    """A session that has begun: the device's new credential, and what it is told besides."""

    session: int
    credential: Credential
    profile: Profile


class Ending(NamedTuple):
    """What a session that ends is of."""

    factory_credential_id: int | None
    credential_id: int | None
    state: str


def list_profiles(pool: ConnectionPool) -> list[Profile]:
    """Return all profiles, by name."""
    return transaction(
        pool, lambda current: send_for(Profile, current.connection, queries.bootstrap_profiles).fetchall()
    )


def show_profile(pool: ConnectionPool, name: str) -> Profile:
    """Return a profile; raise NotFoundError where there is none of this name."""
    return transaction(pool, lambda current: _profile(current.connection, name))


def put_profile(pool: ConnectionPool, name: str, fields: Mapping[str, Any], by: str) -> tuple[Profile, bool]:
    """Add a profile or replace it; return it, and whether there was none."""

    def work(current: Transaction) -> tuple[Profile, bool]:
        connection = current.connection
        values = {**fields, "objects": Jsonb(fields["objects"])}
        added = queries.put_bootstrap_profile(connection, name=name, changed_by=by, **values)
        note(connection, by, "bootstrap-profile-changed", profile=name)
        return _profile(connection, name), added

    return transaction(pool, work)


def remove_profile(pool: ConnectionPool, name: str, by: str) -> Profile:
    """Delete a profile, and return it as it was; raise ConflictError where factory keys name it."""

    def work(current: Transaction) -> Profile:
        connection = current.connection
        profile = _profile(connection, name)
        if queries.bootstrap_profile_in_use(connection, name=name):
            raise ConflictError(
                f"factory keys name the profile {name!r}: it stays as long as they are listed"
            )
        queries.remove_bootstrap_profile(connection, name=name)
        note(connection, by, "bootstrap-profile-removed", profile=name)
        return profile

    return transaction(pool, work)


def add(pool: ConnectionPool, new: Sequence[NewFactoryCredential], by: str) -> list[FactoryCredential]:
    """Keep factory keys, all or none; raise ConflictError where endpoint or identity have one already."""

    def work(current: Transaction) -> list[FactoryCredential]:
        connection = current.connection
        for profile in {each.profile for each in new}:
            _profile(connection, profile)
        made = [_find(connection, _add(connection, each, by)) for each in new]
        for each in made:
            note(connection, by, "factory-key-added", each.endpoint, id=each.id)
        return made

    return transaction(pool, work)


def _add(connection: Connection, new: NewFactoryCredential, by: str) -> int:
    id_: int | None = queries.add_factory_credential(connection, created_by=by, **new._asdict())
    if id_ is None:
        taken = queries.taken_factory_credential(connection, endpoint=new.endpoint, identity=new.identity)
        whose = f"{taken[0]}, of {taken[1]!r} with the identity {taken[2]!r}" if taken else "another's"
        raise ConflictError(
            f"{new.endpoint!r} or the identity {new.identity!r} has a factory key already ({whose}); "
            "revoke that one first"
        )
    return id_


def show(pool: ConnectionPool, id_: int) -> FactoryCredential:
    """Return a factory key's row; raise NotFoundError where there is none of this id."""
    return transaction(pool, lambda current: _find(current.connection, id_))


def list_credentials(
    pool: ConnectionPool, cursor: int | None, limit: int, endpoint: str | None = None
) -> list[FactoryCredential]:
    """Return up to `limit` factory keys, the newest first, with ids below `cursor`."""
    return transaction(
        pool,
        lambda current: send_for(
            FactoryCredential,
            current.connection,
            queries.factory_credentials,
            cursor=cursor,
            limit=limit,
            endpoint=endpoint,
        ).fetchall(),
    )


def allow(pool: ConnectionPool, id_: int, by: str) -> FactoryCredential:
    """Let a device bootstrap again with a factory key that is used up.

    Raises NotFoundError, and ConflictError where the key is revoked.
    """

    def work(current: Transaction) -> FactoryCredential:
        connection = current.connection
        queries.lock_factory_credential(connection, id=id_)
        found = _find(connection, id_)
        if found.revoked_at is not None:
            raise ConflictError(f"factory key {id_} is revoked; add a new one for {found.endpoint!r}")
        queries.allow_factory_credential(connection, id=id_)
        note(connection, by, "factory-key-allowed-again", found.endpoint, id=id_)
        return _find(connection, id_)

    return transaction(pool, work)


def revoke(pool: ConnectionPool, id_: int, by: str) -> FactoryCredential:
    """Revoke a factory key, and forget it; credentials that were made for it stay. Raises NotFoundError."""

    def work(current: Transaction) -> FactoryCredential:
        connection = current.connection
        queries.lock_factory_credential(connection, id=id_)
        if _find(connection, id_).revoked_at is None:
            queries.revoke_factory_credential(connection, id=id_, revoked_by=by)
            note(connection, by, "factory-key-revoked", _find(connection, id_).endpoint, id=id_)
        return _find(connection, id_)

    return transaction(pool, work)


def list_sessions(
    pool: ConnectionPool, cursor: int | None, limit: int, endpoint: str | None = None
) -> list[Session]:
    """Return up to `limit` sessions, the newest first, with ids below `cursor`."""
    return transaction(
        pool,
        lambda current: send_for(
            Session,
            current.connection,
            queries.bootstrap_sessions,
            cursor=cursor,
            limit=limit,
            endpoint=endpoint,
        ).fetchall(),
    )


def key_of(pool: ConnectionPool, identity: str) -> FactoryKey | None:
    """Return the factory key of an identity, if its device may still bootstrap; note a refusal otherwise."""

    def work(current: Transaction) -> FactoryKey | None:
        found = _key(current.connection, identity)
        if found is not None and found.is_used:
            _refuse(current.connection, found.endpoint, found.id, "", USED_UP)
            return None
        return found

    return transaction(pool, work)


def begin(
    pool: ConnectionPool, identity: str, endpoint: str, address: str, new: NewCredential, by: str
) -> Begun | str:
    """Begin a session of who has shown a factory key: keep its new credential; or say why it is refused."""

    def work(current: Transaction) -> Begun | str:
        connection = current.connection
        queries.lock_factory_identity(connection, identity=identity)
        found = _key(connection, identity)
        refused = _refusal(found, endpoint)
        if found is None or refused is not None:
            detail = refused or "its factory key is revoked"
            _refuse(connection, endpoint, None if found is None else found.id, address, detail)
            return detail
        queries.end_bootstraps(connection, endpoint=endpoint, detail=REPLACED)
        if found.handed_id is not None:
            revoke_within(connection, [found.handed_id], by)
        [credential] = add_within(connection, [new], by)
        queries.hand_out(connection, id=found.id, credential_id=credential.id)
        session = queries.begin_bootstrap(
            connection,
            endpoint=endpoint,
            factory_credential_id=found.id,
            credential_id=credential.id,
            address=address,
        )
        _forget(connection, endpoint)
        note_credential(connection, by, "credential-made", credential)
        return Begun(session, credential, _profile(connection, found.profile))

    return transaction(pool, work)


def end(pool: ConnectionPool, session: int, failure: str | None, by: str) -> bool:
    """End a session, once; without a failure its factory key is used up, and what it gave before is revoked.

    Returns whether credentials were revoked. A session that is not known any more is none of ours.
    """

    def work(current: Transaction) -> bool:
        connection = current.connection
        ending = send_for(Ending, connection, queries.bootstrap_session_to_end, id=session).fetchone()
        if ending is None or ending.state != "begun":
            return False
        queries.lock_factory_credential(connection, id=ending.factory_credential_id)
        state = "finished" if failure is None else "failed"
        if queries.end_bootstrap(connection, id=session, state=state, detail=failure) != 1:
            return False  # another one has begun meanwhile
        if failure is not None:
            return False
        before = queries.given_before(connection, id=ending.factory_credential_id)
        queries.use_up_factory_credential(
            connection, id=ending.factory_credential_id, credential_id=ending.credential_id
        )
        if before is not None:
            revoke_within(connection, [before], by)
        return before is not None

    return transaction(pool, work)


def _refusal(found: FactoryKey | None, endpoint: str) -> str | None:
    if found is None:
        return "its factory key is revoked"
    if found.endpoint != endpoint:
        return f"the factory key is that of {found.endpoint!r}"
    return USED_UP if found.is_used else None


def _refuse(connection: Connection, endpoint: str, key: int | None, address: str, detail: str) -> None:
    same = {"endpoint": endpoint, "address": address, "detail": detail}
    if queries.refused_bootstrap_again(connection, **same) is None:
        queries.refuse_bootstrap(connection, factory_credential_id=key, **same)
        _forget(connection, endpoint)


def _forget(connection: Connection, endpoint: str) -> None:
    queries.forget_bootstraps(
        connection, endpoint=endpoint, of_endpoint=SESSIONS_OF_ENDPOINT, of_all=SESSIONS
    )


def _key(connection: Connection, identity: str) -> FactoryKey | None:
    return send_for(FactoryKey, connection, queries.factory_key, identity=identity).fetchone()


def _profile(connection: Connection, name: str) -> Profile:
    found = send_for(Profile, connection, queries.bootstrap_profile, name=name).fetchone()
    if found is None:
        raise NotFoundError(f"there is no bootstrap profile {name!r}")
    return found


def _find(connection: Connection, id_: int) -> FactoryCredential:
    found = send_for(FactoryCredential, connection, queries.factory_credential, id=id_).fetchone()
    if found is None:
        raise NotFoundError(f"there is no factory key {id_}")
    return found
