"""Endpoints and their newest values, as users read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError
from flownexus.lwm2m.path import Path
from flownexus.operations.filter import Filter, Presence
from flownexus.operations.why import MAX_CONTACTS, next_contact
from flownexus.store import queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, narrow_transaction, transaction


class Endpoint(NamedTuple):
    """An endpoint: whether it can be reached, and when it was last heard."""

    name: str
    registered: bool
    presence: str
    """registered, awake, asleep or offline, as presence() in PostgreSQL says it."""
    awake_until: datetime | None
    """Until when it listens, of one that is awake."""
    offline_since: datetime | None
    last_seen: datetime | None
    registered_until: datetime | None
    contacts: list[datetime]
    """Its last registered, updated and heard events, the newest first."""

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return _shown(self)


class EndpointDetails(NamedTuple):
    """An endpoint with what its newest registration said."""

    name: str
    registered: bool
    first_seen: datetime
    last_seen: datetime | None
    registration_id: str | None
    registered_at: datetime | None
    registered_until: datetime | None
    address: str | None
    lwm2m_version: str | None
    lifetime: int | None
    """Seconds, as the device registered."""
    binding: str | None
    content_formats: list[int] | None
    objects: list[str] | None
    presence: str
    awake_until: datetime | None
    offline_since: datetime | None
    made_by: str | None
    """Who made it before it first registered."""
    contacts: list[datetime]
    """As an Endpoint has it."""

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        # The binding of a device that sleeps has a Q (OMA LwM2M Core 1.1, 6.2.1.2).
        return {**_shown(self), "queue_mode": None if self.binding is None else "Q" in self.binding}


def _shown(told: Endpoint | EndpointDetails) -> dict[str, Any]:
    """Return what a row tells, with when the device is expected in place of its last contacts."""
    shown = {name: _time(value) for name, value in told._asdict().items() if name != "contacts"}
    reachable = told.presence != OFFLINE
    expected = next_contact(told.contacts, told.last_seen, told.registered_until) if reachable else None
    return shown | {
        "expected": expected and {name: _time(value) for name, value in expected._asdict().items()}
    }


def _time(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


class Value(NamedTuple):
    """The newest value of a resource (instance), as text; its name and units by the object model."""

    path: str
    value: str
    time: datetime
    age_s: float
    """Seconds from its time to the answer; below zero where a device's clock is ahead."""
    type: str
    name: str | None
    units: str | None

    @property
    def key(self) -> tuple[int, ...]:
        """Return what lists of values are ordered by: its ids, -1 for no resource instance."""
        ids = Path.parse(self.path).ids
        return ids if len(ids) == _KEY_PARTS else (*ids, -1)

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {**self._asdict(), "time": self.time.isoformat()}


_KEY_PARTS = 4


OFFLINE: Final = Presence.OFFLINE
ENDPOINT_COLUMNS: Final = (
    *("name", "registered", "presence", "awake_until", "offline_since", "last_seen", "registered_until"),
    "expected",
)
VALUE_COLUMNS: Final = ("path", "value", "time", "age_s", "type", "name", "units")


def list_endpoints(
    pool: ConnectionPool, part: str | None, filter_: Filter, after: str | None, limit: int
) -> list[Endpoint]:
    """Return up to `limit` endpoints by name, those after a name, whose name has this part and that fit.

    Raises TooWideError where it takes PostgreSQL too long.
    """

    def work(current: Transaction) -> list[Endpoint]:
        only_read = queries.only_read_by_filter if str(filter_) else queries.only_read
        only_read(current.connection)
        return send_for(
            Endpoint,
            current.connection,
            queries.endpoints,
            part=part,
            filter=Jsonb(filter_.as_json()) if str(filter_) else None,
            cursor=after,
            max_contacts=MAX_CONTACTS,
            limit=limit,
        ).fetchall()

    return narrow_transaction(pool, work, "look for these; give the endpoints a tag")


def add_endpoint(pool: ConnectionPool, name: str, tags: Mapping[str, str], made_by: str) -> EndpointDetails:
    """Make an endpoint before it first registers; raise ConflictError where there is one of this name."""

    def work(current: Transaction) -> EndpointDetails:
        if not queries.add_endpoint(current.connection, name=name, made_by=made_by):
            raise ConflictError(f"there is an endpoint {name!r} already")
        for key, value in tags.items():
            queries.set_tag(
                current.connection, endpoint=name, key=key, value=value, set_by=made_by, max_tags=len(tags)
            )
        return _details(current.connection, name)

    return transaction(pool, work)


OBSTACLES: Final = {
    "enrolled": "has a valid credential: revoke it first, or the device is let in again",
    "registered": "is registered, and comes back with its next message: stop the device first, or delete the "
    "endpoint by force (force=true, --force)",
    "updating": "gets new firmware: cancel the update first",
    "sending": "is being sent an operation: try again when that has ended",
}
"""Why an endpoint is not deleted, by the codes of delete_endpoint() in PostgreSQL."""


def delete_endpoint(pool: ConnectionPool, name: str, by: str, *, even_registered: bool = False) -> None:
    """Delete an endpoint with its operations, tags, firmware updates and values.

    Housekeeping removes the history of its values later; nothing shows it any more. Raises NotFoundError
    where it was never seen, and ConflictError where it is in use, see OBSTACLES.
    """

    def work(current: Transaction) -> None:
        obstacle = queries.delete_endpoint(current.connection, name=name, even_registered=even_registered)
        if obstacle == "unknown":
            raise never_seen(name)
        if obstacle is not None:
            raise ConflictError(f"{name!r} {OBSTACLES[obstacle]}")
        note(current.connection, by, "endpoint-deleted", name)

    transaction(pool, work)


def show_endpoint(pool: ConnectionPool, name: str) -> EndpointDetails:
    """Return an endpoint; raise NotFoundError where it was never seen."""

    def work(current: Transaction) -> EndpointDetails:
        queries.only_read(current.connection)
        return _details(current.connection, name)

    return transaction(pool, work)


def _details(connection: Connection, name: str) -> EndpointDetails:
    found = send_for(
        EndpointDetails, connection, queries.endpoint_details, endpoint=name, max_contacts=MAX_CONTACTS
    ).fetchone()
    if found is None:
        raise never_seen(name)
    return found


def newest_values(
    pool: ConnectionPool, endpoint: str, within: Path | None, after: tuple[int, ...] | None, limit: int
) -> list[Value]:
    """Return up to `limit` values of an endpoint by path, those after a key, at or below `within`.

    Raises NotFoundError where the endpoint was never seen.
    """
    after_ids = after or (None,) * _KEY_PARTS

    def work(current: Transaction) -> list[Value]:
        queries.only_read(current.connection)
        endpoint_id(current.connection, endpoint)
        return send_for(
            Value,
            current.connection,
            queries.newest_values,
            endpoint=endpoint,
            **{name: getattr(within, name, None) for name in Path.__struct_fields__},
            **{f"after_{name}": id_ for name, id_ in zip(Path.__struct_fields__, after_ids, strict=True)},
            limit=limit,
        ).fetchall()

    return transaction(pool, work)


def known_endpoint(pool: ConnectionPool, name: str) -> int:
    """Return the id of an endpoint; raise NotFoundError where it was never seen."""
    return transaction(pool, lambda current: endpoint_id(current.connection, name))


def endpoint_id(connection: Connection, name: str) -> int:
    """Return the id of an endpoint; raise NotFoundError where it was never seen."""
    for _, id_ in queries.endpoint_ids(connection, names=[name]):
        found: int = id_
        return found
    raise never_seen(name)


def never_seen(name: str) -> NotFoundError:
    """Return what is raised of an endpoint that was never seen."""
    return NotFoundError(f"no endpoint {name!r} has been seen")
