"""Operations as their users ask for them: queue, show, list, cancel."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import (
    ConflictError,
    NotFoundError,
    TooManyError,
    ValidationFailedError,
)
from flownexus.lwm2m.value import DataType
from flownexus.operations import catalogue
from flownexus.operations.lifecycle import Status
from flownexus.operations.new_operation import NewOperation
from flownexus.operations.typed_value import typed_value
from flownexus.store import queries
from flownexus.store.pool import transaction


class Operation(NamedTuple):
    """An operation as its user sees it."""

    id: int
    endpoint: str
    operation: str
    path: str | None
    paths: list[str] | None
    value: dict[str, Any] | None
    arguments: str | None
    repeatable: bool
    priority: int
    status: str
    attempts: int
    result: dict[str, Any] | None
    reason: str | None
    created_at: datetime
    last_attempt_at: datetime | None
    finished_at: datetime | None

    def as_queued(self) -> Operation:
        """Return the operation as it was when it was queued."""
        return self._replace(
            status=str(Status.QUEUED),
            attempts=0,
            result=None,
            reason=None,
            last_attempt_at=None,
            finished_at=None,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the operation as the REST API shows it; times are in ISO 8601, UTC."""
        without = "paths" if self.paths is None else "path"
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in self._asdict().items()
            if name != without
        }


MAX_QUEUED_OPERATIONS: Final = 1000
"""How many operations of its users may wait for one endpoint, unless a setting says otherwise."""


def create(
    pool: ConnectionPool, new: NewOperation, key: str | None = None, most: int = MAX_QUEUED_OPERATIONS
) -> Operation:
    """Queue an operation; `key` is the Idempotency-Key of its request.

    A key that was used for the same operation gives what was answered then. Raises NotFoundError where the
    endpoint was never seen, TooManyError where `most` of its operations wait already, and
    ValidationFailedError where a value came without its data type and the resource has not been seen either,
    or the key was used for another operation.
    """

    def work(connection: Connection) -> Operation:
        row = queries.add_operation(
            connection,
            endpoint=new.endpoint,
            operation=new.operation.kind,
            **_columns(connection, new.operation),
            priority=new.priority,
            idempotency_key=key,
            fingerprint=None if key is None else new.fingerprint,
            most=most,
        )
        if row is not None:
            return Operation(*row)
        used = None if key is None else queries.operation_of_key(connection, idempotency_key=key)
        if used is not None:
            id_, fingerprint = used
            if fingerprint != new.fingerprint:
                raise ValidationFailedError(
                    f"Idempotency-Key: operation {id_} was queued by this key, and was another one; "
                    "a new operation takes a new key"
                )
            return Operation(*queries.operation(connection, id=id_)).as_queued()
        if not list(queries.endpoint_ids(connection, names=[new.endpoint])):
            raise NotFoundError(f"no endpoint {new.endpoint!r} has been seen")
        raise TooManyError(
            f"{most} operations wait for {new.endpoint!r}, and no more may; "
            "queue this one when some have ended, or cancel some"
        )

    return transaction(pool, work)


def _columns(connection: Connection, operation: catalogue.Operation) -> dict[str, Any]:
    """Return the columns that a kind may have a field for."""
    path, paths = getattr(operation, "path", None), getattr(operation, "paths", None)
    value = getattr(operation, "value", None)
    if isinstance(operation, catalogue.Write):
        value = typed_value(value, _seen_type(connection, operation))
    return {
        "path": None if path is None else str(path),
        "paths": None if paths is None else list(map(str, paths)),
        "concerns": None if operation.concerns == operation.targets else list(map(str, operation.concerns)),
        "value": None if value is None else Jsonb(value),
        "arguments": getattr(operation, "arguments", None),
        "repeatable": getattr(operation, "repeatable", False),
    }


def _seen_type(connection: Connection, write: catalogue.Write) -> DataType | None:
    """Return the data type of the resource where the value came without one, if it is known."""
    if not write.needs_type:
        return None
    name = queries.seen_data_type(
        connection, object_id=write.path.object_id, resource_id=write.path.resource_id
    )
    return DataType(name) if name else None


def show(pool: ConnectionPool, id_: int) -> Operation:
    """Return an operation; raise NotFoundError where there is none of this id."""

    def work(connection: Connection) -> Operation:
        row = queries.operation(connection, id=id_)
        if row is None:
            raise NotFoundError(f"there is no operation {id_}")
        return Operation(*row)

    return transaction(pool, work)


def list_newest(
    pool: ConnectionPool, endpoint: str | None, status: Status | None, cursor: int | None, limit: int
) -> list[Operation]:
    """Return up to `limit` operations, the newest first, with ids below `cursor`."""

    def work(connection: Connection) -> list[Operation]:
        rows = queries.operations(
            connection, endpoint=endpoint, status=status and str(status), cursor=cursor, limit=limit
        )
        return [Operation(*row) for row in rows]

    return transaction(pool, work)


def cancel(pool: ConnectionPool, id_: int) -> Operation:
    """Cancel an operation that is QUEUED; raise NotFoundError, or ConflictError where it is not any more."""

    def work(connection: Connection) -> Operation:
        cancelled = queries.cancel_operation(connection, id=id_)
        row = queries.operation(connection, id=id_)
        if row is None:
            raise NotFoundError(f"there is no operation {id_}")
        operation = Operation(*row)
        if not cancelled:
            raise ConflictError(f"operation {id_} is {operation.status}; only a QUEUED one can be cancelled")
        return operation

    return transaction(pool, work)
