"""Endpoints and their newest values, as users read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

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


class Value(NamedTuple):
    """The newest value of a resource (instance), as text; its name and units by the object model."""

    path: str
    value: str
    time: datetime
    type: str
    name: str | None
    units: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {**self._asdict(), "time": self.time.isoformat()}


def list_endpoints(pool: ConnectionPool, cursor: str | None, limit: int) -> list[Endpoint]:
    """Return up to `limit` endpoints by name, those after the cursor."""

    def work(current: Transaction) -> list[Endpoint]:
        queries.only_read(current.connection)
        return send_for(
            Endpoint, current.connection, queries.endpoints, cursor=cursor, limit=limit
        ).fetchall()

    return transaction(pool, work)


def newest_values(
    pool: ConnectionPool, endpoint: str, within: Path | None, cursor: Path | None, limit: int
) -> list[Value]:
    """Return up to `limit` values of an endpoint by path, those after the cursor, at or below `within`.

    Raises NotFoundError where the endpoint was never seen.
    """

    def work(current: Transaction) -> list[Value]:
        queries.only_read(current.connection)
        ids = dict(queries.endpoint_ids(current.connection, names=[endpoint]))
        if endpoint not in ids:
            raise NotFoundError(f"no endpoint {endpoint!r} has been seen")
        return send_for(
            Value,
            current.connection,
            queries.newest_values,
            endpoint=endpoint,
            **_ids("", within),
            **_ids("after_", cursor),
            limit=limit,
        ).fetchall()

    return transaction(pool, work)


def _ids(prefix: str, path: Path | None) -> dict[str, int | None]:
    return {f"{prefix}{name}": getattr(path, name, None) for name in Path.__struct_fields__}
