"""What users declare of their devices' data: the names of events, and which resources are logs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg_pool import ConnectionPool

from flownexus.errors import NotFoundError, ValidationFailedError
from flownexus.lwm2m.secret import SECRET_OBJECTS
from flownexus.lwm2m.value import DataType
from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, transaction

MAX_EVENT_TYPES: Final = 200
"""Each event that is read with its name is compared to all of them."""
MAX_LOG_RESOURCES: Final = 1000
LOG_TYPES: Final = frozenset({DataType.STRING, DataType.OPAQUE})


class EventType(NamedTuple):
    """The name of events that have values at or below all of these paths."""

    name: str
    paths: list[str]
    description: str | None
    set_by: str | None
    set_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {**self._asdict(), "set_at": self.set_at.isoformat()}


class LogResource(NamedTuple):
    """A resource whose values are lines of a log."""

    object_id: int
    resource_id: int
    cumulative: bool
    """Each value has all that the log still holds."""
    set_by: str | None
    set_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {**self._asdict(), "set_at": self.set_at.isoformat()}


def list_event_types(pool: ConnectionPool) -> list[EventType]:
    """Return all event types by name."""
    return transaction(
        pool, lambda current: send_for(EventType, current.connection, queries.event_types).fetchall()
    )


def put_event_type(
    pool: ConnectionPool, name: str, paths: Sequence[str], description: str | None, set_by: str
) -> tuple[EventType, bool]:
    """Declare an event type, and say whether it is new; raise ValidationFailedError: there are too many."""

    def work(current: Transaction) -> tuple[EventType, bool]:
        row = queries.put_event_type(
            current.connection,
            name=name,
            paths=list(paths),
            description=description,
            set_by=set_by,
            most=MAX_EVENT_TYPES,
        )
        if row is None:
            raise ValidationFailedError(f"there are {MAX_EVENT_TYPES} event types; remove one")
        *told, added = row
        return EventType(*told), added

    return transaction(pool, work)


def remove_event_type(pool: ConnectionPool, name: str) -> EventType:
    """Remove an event type, and return it as it was; raise NotFoundError."""

    def work(current: Transaction) -> EventType:
        row = queries.remove_event_type(current.connection, name=name)
        if row is None:
            raise NotFoundError(f"there is no event type {name!r}")
        return EventType(*row)

    return transaction(pool, work)


def list_log_resources(pool: ConnectionPool) -> list[LogResource]:
    """Return all resources that are logs, by their ids."""
    return transaction(
        pool,
        lambda current: send_for(LogResource, current.connection, queries.declared_log_resources).fetchall(),
    )


def put_log_resource(
    pool: ConnectionPool, object_id: int, resource_id: int, set_by: str, *, cumulative: bool
) -> tuple[LogResource, bool]:
    """Declare a resource to be a log, and say whether it is new.

    Raises ValidationFailedError where it holds keys, is known to be no text and no bytes, or there are too
    many.
    """
    if object_id in SECRET_OBJECTS:
        raise ValidationFailedError(f"object {object_id} holds keys, and its values are shown nowhere")

    def work(current: Transaction) -> tuple[LogResource, bool]:
        ids = {"object_id": object_id, "resource_id": resource_id}
        types = {type_ for (type_,) in queries.types_of_resource(current.connection, **ids)}
        if others := sorted(types - LOG_TYPES):
            raise ValidationFailedError(
                f"/{object_id}/*/{resource_id} is {others[0]}; a log is {' or '.join(sorted(LOG_TYPES))}"
            )
        row = queries.put_log_resource(
            current.connection, **ids, cumulative=cumulative, set_by=set_by, most=MAX_LOG_RESOURCES
        )
        if row is None:
            raise ValidationFailedError(f"there are {MAX_LOG_RESOURCES} log resources; remove one")
        *told, added = row
        return LogResource(*told), added

    return transaction(pool, work)


def remove_log_resource(pool: ConnectionPool, object_id: int, resource_id: int) -> LogResource:
    """Let a resource be a log no more, and return it as it was; raise NotFoundError."""

    def work(current: Transaction) -> LogResource:
        row = queries.remove_log_resource(current.connection, object_id=object_id, resource_id=resource_id)
        if row is None:
            raise NotFoundError(f"/{object_id}/*/{resource_id} is no log")
        return LogResource(*row)

    return transaction(pool, work)
