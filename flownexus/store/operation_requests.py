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
from flownexus.operations import catalogue
from flownexus.operations.lifecycle import Status
from flownexus.operations.new_operation import NewOperation
from flownexus.operations.redaction import redacted
from flownexus.store import queries, send_for
from flownexus.store.model import known_resources
from flownexus.store.transaction import Transaction, narrow_transaction, transaction


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
    requested_by: str | None
    not_before: datetime | None
    expires_at: datetime | None
    superseded_by: int | None
    batch: int | None

    def as_queued(self, new: NewOperation) -> Operation:
        """Return the operation as it was when it was queued, as `new` asked for it."""
        return self._replace(
            status=str(Status.QUEUED),
            attempts=0,
            result=None,
            reason=None,
            last_attempt_at=None,
            finished_at=None,
            not_before=new.not_before,
            superseded_by=None,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the operation as the REST API shows it; times are in ISO 8601, UTC."""
        without = "paths" if self.paths is None else "path"
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in self._asdict().items()
            if name != without
        }


class _KeyUse(NamedTuple):
    """The operation that a request with an Idempotency-Key has queued."""

    id: int
    request_fingerprint: bytes


SUPERSEDING_LOCK: Final = 0x53555045
"""First number of the advisory locks of who supersedes operations; the second is the endpoint's id, or 0."""
MAX_QUEUED_OPERATIONS_PER_ENDPOINT: Final = 1000
"""How many operations of its users may wait for one endpoint, unless a setting says otherwise."""


def create(
    pool: ConnectionPool,
    new: NewOperation,
    requested_by: str,
    key: str | None = None,
    max_queued: int = MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
) -> Operation:
    """Queue an operation for the caller `requested_by`; `key` is the Idempotency-Key of the request.

    A key that the caller used for the same operation gives what was answered then. Raises NotFoundError where
    the endpoint was never seen, TooManyError where `max_queued` of its operations wait already, and
    ValidationFailedError where the resource's model does not allow it, a value is not of the model's type or
    out of its range, or came without a type and the resource has not been seen either, the key was used for
    another operation, or it would be expired.
    """
    return transaction(
        pool, lambda current: create_within(current.connection, new, requested_by, key, max_queued)
    )


def create_within(
    connection: Connection,
    new: NewOperation,
    requested_by: str,
    key: str | None = None,
    max_queued: int = MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
) -> Operation:
    """Do the same as part of a transaction."""
    asked = (connection, new, requested_by, key, max_queued)
    if new.supersede:
        queries.lock_superseding(connection, endpoint=new.endpoint, lock=SUPERSEDING_LOCK)
    added = _add(*asked)
    if added is None:
        return _added_before(*asked)
    if new.supersede:
        queries.supersede_operations(connection, ids=[added.id])
    return added


def _add(
    connection: Connection, new: NewOperation, requested_by: str, key: str | None, max_queued: int
) -> Operation | None:
    return send_for(
        Operation,
        connection,
        queries.add_operation,
        endpoint=new.endpoint,
        operation=new.operation.kind,
        **columns(connection, new.operation, new.endpoint),
        priority=new.priority,
        requested_by=requested_by,
        idempotency_key=key,
        fingerprint=None if key is None else new.fingerprint,
        not_before=new.not_before,
        expires_at=new.expires_at,
        expires_in=new.expires_in,
        max_queued=max_queued,
    ).fetchone()


def _added_before(
    connection: Connection, new: NewOperation, requested_by: str, key: str | None, max_queued: int
) -> Operation:
    """Return what was queued by the same key; raise why the operation was not added where there is none."""
    used = send_for(
        _KeyUse, connection, queries.operation_of_key, requested_by=requested_by, idempotency_key=key
    ).fetchone()
    if used is not None:
        if used.request_fingerprint != new.fingerprint:
            raise ValidationFailedError(
                f"Idempotency-Key: operation {used.id} was queued by this key, and was another one; "
                "a new operation takes a new key"
            )
        return _find(connection, used.id).as_queued(new)
    if not list(queries.endpoint_ids(connection, names=[new.endpoint])):
        raise NotFoundError(f"no endpoint {new.endpoint!r} has been seen")
    if new.expires_at is not None and queries.is_past(connection, time=new.expires_at):
        raise ValidationFailedError(f"expires_at: {new.expires_at.isoformat()} is over; give a time to come")
    raise TooManyError(
        f"{max_queued} operations wait for {new.endpoint!r}, and no more may; "
        "queue this one when some have ended, or cancel some"
    )


def columns(
    connection: Connection, operation: catalogue.Operation, endpoint: str | None = None
) -> dict[str, Any]:
    """Return the columns that a kind may have a field for, checked by the object models.

    The versions of objects are those that the endpoint has; without one, the newest.
    """
    operation = operation.checked(known_resources(connection, endpoint, operation.resources))
    shown = redacted(operation)
    path, paths = getattr(operation, "path", None), getattr(operation, "paths", None)
    value = getattr(shown, "value", None)
    return {
        "path": None if path is None else str(path),
        "paths": None if paths is None else list(map(str, paths)),
        "concerns": None if operation.concerns == operation.targets else list(map(str, operation.concerns)),
        "value": None if value is None else Jsonb(value),
        "secret": None if shown is operation else Jsonb(getattr(operation, "value", None)),
        "arguments": getattr(operation, "arguments", None),
        "repeatable": getattr(operation, "repeatable", False),
    }


def show(pool: ConnectionPool, id_: int) -> Operation:
    """Return an operation; raise NotFoundError where there is none of this id."""
    return transaction(pool, lambda current: _find(current.connection, id_))


def _find(connection: Connection, id_: int) -> Operation:
    found = send_for(Operation, connection, queries.operation, id=id_).fetchone()
    if found is None:
        raise NotFoundError(f"there is no operation {id_}")
    return found


def list_newest(
    pool: ConnectionPool,
    endpoint: str | None,
    status: Status | None,
    cursor: int | None,
    limit: int,
    batch: int | None = None,
) -> list[Operation]:
    """Return up to `limit` operations, of an endpoint, in a status, of a batch: the newest below `cursor`.

    Raises TooWideError where that takes PostgreSQL too long.
    """

    def work(current: Transaction) -> list[Operation]:
        return send_for(
            Operation,
            current.connection,
            queries.operations,
            endpoint=endpoint,
            status=status and str(status),
            batch=batch,
            cursor=cursor,
            limit=limit,
        ).fetchall()

    return narrow_transaction(pool, work, "look for these operations; ask for those of an endpoint or batch")


def cancel(pool: ConnectionPool, id_: int) -> Operation:
    """Cancel an operation that is QUEUED; raise NotFoundError, or ConflictError where it is not any more."""
    return transaction(pool, lambda current: cancel_within(current.connection, id_))


def cancel_within(connection: Connection, id_: int) -> Operation:
    """Do the same as part of a transaction."""
    cancelled = queries.cancel_operation(connection, id=id_)
    operation = _find(connection, id_)
    if not cancelled:
        raise ConflictError(f"operation {id_} is {operation.status}; only a QUEUED one can be cancelled")
    return operation
