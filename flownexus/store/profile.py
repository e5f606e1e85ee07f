"""Profiles as people change them, and what of the plan of an endpoint is done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import NotFoundError, ValidationFailedError
from flownexus.operations.plan import Planned, planned, stored_plan
from flownexus.operations.plan_state import PlanRow, PlanState, states
from flownexus.operations.profile import NewProfile
from flownexus.store import queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, transaction

MAX_PROFILES: Final = 100


class Profile(NamedTuple):
    """A profile as its user sees it; `applies_to` is to how many registered endpoints."""

    name: str
    filter: str
    priority: int
    plan: list[Any]
    awake_time_s: int | None
    request_timeout_s: int | None
    content_format: str | None
    firmware_way: str | None
    enabled: bool
    changed_by: str
    changed_at: datetime
    applies_to: int

    def as_json(self) -> dict[str, Any]:
        """Return the profile as the REST API shows it; times are in ISO 8601, UTC."""
        return {**self._asdict(), "changed_at": self.changed_at.isoformat()}


class Put(NamedTuple):
    """A profile that was put, and whether there was none of its name."""

    profile: Profile
    added: bool


class EndpointPlan(NamedTuple):
    """The profile that applies to an endpoint, and what became of each thing that it asks for."""

    profile: str | None
    registered: bool
    states: Sequence[PlanState]


class _Stored(NamedTuple):
    id: int
    added: bool


class _Endpoint(NamedTuple):
    id: int
    registered: bool
    registration_id: str | None
    objects: list[str] | None
    reconcile_at: datetime | None
    profile: str | None
    plan: Any


def list_profiles(pool: ConnectionPool) -> list[Profile]:
    """Return all profiles, in the order in which they are tried."""
    return transaction(
        pool, lambda current: send_for(Profile, current.connection, queries.profiles).fetchall()
    )


def show(pool: ConnectionPool, name: str) -> Profile:
    """Return a profile; raise NotFoundError where there is none of this name."""
    return transaction(pool, lambda current: _find(current.connection, name))


def put(pool: ConnectionPool, new: NewProfile, changed_by: str) -> Put:
    """Add a profile or replace it, and have its endpoints looked at.

    Raises ValidationFailedError where there are too many.
    """

    def work(current: Transaction) -> Put:
        connection = current.connection
        tree = Jsonb(new.filter.as_json())
        stored = send_for(
            _Stored,
            connection,
            queries.put_profile,
            name=new.name,
            filter=str(new.filter),
            tree=tree,
            priority=new.priority,
            plan=Jsonb(msgspec.to_builtins(new.plan)),
            awake_time_s=new.awake_time_s,
            request_timeout_s=new.request_timeout_s,
            content_format=new.content_format and str(new.content_format),
            firmware_way=new.firmware_way and str(new.firmware_way),
            enabled=new.enabled,
            changed_by=changed_by,
            max_profiles=MAX_PROFILES,
        ).fetchone()
        if stored is None:
            raise ValidationFailedError(f"there are {MAX_PROFILES} profiles, and no more may; delete one")
        queries.look_at_endpoints_of_profile(connection, id=stored.id, tree=tree)
        note(connection, changed_by, "profile-changed", profile=new.name)
        return Put(_find(connection, new.name), stored.added)

    return transaction(pool, work)


def remove(pool: ConnectionPool, name: str, by: str) -> Profile:
    """Delete a profile, have its endpoints looked at, and return it as it was; raise NotFoundError."""

    def work(current: Transaction) -> Profile:
        connection = current.connection
        profile = _find(connection, name)
        id_, tree = queries.profile_id(connection, name=name)
        queries.look_at_endpoints_of_profile(connection, id=id_, tree=Jsonb(tree))
        queries.remove_profile(connection, name=name)
        note(connection, by, "profile-removed", profile=name)
        return profile

    return transaction(pool, work)


def plan_of(pool: ConnectionPool, endpoint: str) -> EndpointPlan:
    """Say what the profile of an endpoint asks for and what became of it; raise NotFoundError."""

    def work(current: Transaction) -> EndpointPlan:
        connection = current.connection
        queries.only_read(connection)
        found = send_for(_Endpoint, connection, queries.plan_of_endpoint, endpoint=endpoint).fetchone()
        if found is None:
            raise NotFoundError(f"no endpoint {endpoint!r} has been seen")
        rows = (
            send_for(
                PlanRow,
                connection,
                queries.rows_of_plan,
                endpoint_id=found.id,
                registration_id=found.registration_id,
            ).fetchall()
            if found.registration_id is not None
            else []
        )
        return EndpointPlan(found.profile, found.registered, states(_asked(found), rows))

    return transaction(pool, work)


def _asked(endpoint: _Endpoint) -> Sequence[Planned]:
    return planned(stored_plan(endpoint.plan), endpoint.objects or ())


def _find(connection: Connection, name: str) -> Profile:
    found = send_for(Profile, connection, queries.profile, name=name).fetchone()
    if found is None:
        raise NotFoundError(f"there is no profile {name!r}")
    return found
