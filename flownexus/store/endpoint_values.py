"""Endpoints and their newest values, as users read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import NotFoundError
from flownexus.lwm2m.path import Path
from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, transaction


class Endpoint(NamedTuple):
    """An endpoint: whether its registration is current, and when it last registered or updated."""

    name: str
    registered: bool
    last_seen: datetime | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {**self._asdict(), "last_seen": self.last_seen and self.last_seen.isoformat()}


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

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        shown = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in self._asdict().items()
        }
        # The binding of a device that sleeps has a Q (OMA LwM2M Core 1.1, 6.2.1.2).
        return {**shown, "queue_mode": None if self.binding is None else "Q" in self.binding}


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


VALUE_COLUMNS: Final = ("path", "value", "time", "age_s", "type", "name", "units")


def list_endpoints(pool: ConnectionPool, part: str | None, after: str | None, limit: int) -> list[Endpoint]:
    """Return up to `limit` endpoints by name, those after a name, whose name has this part."""

    def work(current: Transaction) -> list[Endpoint]:
        queries.only_read(current.connection)
        return send_for(
            Endpoint, current.connection, queries.endpoints, part=part, cursor=after, limit=limit
        ).fetchall()

    return transaction(pool, work)


def show_endpoint(pool: ConnectionPool, name: str) -> EndpointDetails:
    """Return an endpoint; raise NotFoundError where it was never seen."""

    def work(current: Transaction) -> EndpointDetails:
        queries.only_read(current.connection)
        found = send_for(
            EndpointDetails, current.connection, queries.endpoint_details, endpoint=name
        ).fetchone()
        if found is None:
            raise never_seen(name)
        return found

    return transaction(pool, work)


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


def endpoint_id(connection: Connection, name: str) -> int:
    """Return the id of an endpoint; raise NotFoundError where it was never seen."""
    for _, id_ in queries.endpoint_ids(connection, names=[name]):
        found: int = id_
        return found
    raise never_seen(name)


def never_seen(name: str) -> NotFoundError:
    """Return what is raised of an endpoint that was never seen."""
    return NotFoundError(f"no endpoint {name!r} has been seen")
