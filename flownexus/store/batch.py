"""Batches: one operation for each endpoint that fits a filter, queued, shown and cancelled together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import (
    ConflictError,
    NotFoundError,
    TooManyError,
    ValidationFailedError,
)
from flownexus.operations.lifecycle import ENDED, Status
from flownexus.operations.new_operation import NewBatch
from flownexus.store import as_json, queries, send_for
from flownexus.store.operation_requests import (
    MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
    SUPERSEDING_LOCK,
    columns,
)
from flownexus.store.transaction import Transaction, narrow_transaction, transaction

T = TypeVar("T")


class Batch(NamedTuple):
    """A batch as its user sees it; `progress` is how many of its operations are in each status."""

    id: int
    filter: str
    operation: str
    targets: list[str]
    endpoints: int
    left_out: int
    requested_by: str
    created_at: datetime
    cancelled_at: datetime | None
    cancelled_by: str | None
    progress: dict[str, int] | None

    @property
    def has_ended(self) -> bool:
        """Say whether all of its operations have."""
        return set(self.progress or ()) <= {str(status) for status in ENDED}

    def as_json(self) -> dict[str, Any]:
        """Return the batch as the REST API shows it; times are in ISO 8601, UTC."""
        counts = self.progress or {}
        return as_json(self) | {
            "progress": {status: counts.get(status, 0) for status in Status},
            "ended": self.has_ended,
        }


class Queued(NamedTuple):
    """A batch, and the endpoints for which something was queued just now."""

    batch: Batch
    endpoints: list[str]


class _KeyUse(NamedTuple):
    """The batch that a request with an Idempotency-Key has made."""

    id: int
    request_fingerprint: bytes


def create(
    pool: ConnectionPool,
    new: NewBatch,
    requested_by: str,
    key: str | None = None,
    max_queued: int = MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
) -> Queued:
    """Queue an operation for each endpoint that fits now; `key` is the Idempotency-Key of the request.

    A key that the caller used for the same batch gives this batch as it is, and queues nothing. Raises
    ValidationFailedError where no endpoint fits, a value has no type or a wrong one, the key was used for
    another batch, or it would be expired; TooManyError where `max_queued` operations wait for each of the
    endpoints; TooWideError where it takes PostgreSQL too long.
    """
    return narrowly(
        pool, lambda current: create_within(current.connection, new, requested_by, key, max_queued)
    )


def narrowly(pool: ConnectionPool, work: Callable[[Transaction], T]) -> T:
    """Run a transaction for all endpoints of a filter; raise TooWideError where PostgreSQL takes too long."""
    return narrow_transaction(pool, work, "queue it for all of these endpoints; narrow the filter")


def create_within(
    connection: Connection, new: NewBatch, requested_by: str, key: str | None, max_queued: int
) -> Queued:
    """Queue a batch as part of a transaction, as create() does."""
    id_ = queries.add_batch(
        connection,
        filter=str(new.filter),
        operation=new.operation.kind,
        targets=list(map(str, new.operation.targets)),
        requested_by=requested_by,
        idempotency_key=key,
        fingerprint=None if key is None else new.fingerprint,
    )
    if id_ is None:
        return Queued(_added_before(connection, new, requested_by, key), [])
    if new.expires_at is not None and queries.is_past(connection, time=new.expires_at):
        raise ValidationFailedError(f"expires_at: {new.expires_at.isoformat()} is over; give a time to come")
    added = _add_operations(connection, id_, new, requested_by, max_queued)
    batch = _find(connection, id_)
    if not added:
        raise _nothing_added(batch, max_queued)
    return Queued(batch, [name for _, name in added])


def _add_operations(
    connection: Connection, batch: int, new: NewBatch, requested_by: str, max_queued: int
) -> list[tuple[int, str]]:
    """Return id and endpoint of each operation that is queued."""
    if new.supersede:
        queries.lock_superseding_all(connection, lock=SUPERSEDING_LOCK)
    added = list(
        queries.add_operations_of_batch(
            connection,
            batch=batch,
            matching=Jsonb(new.filter.as_json()),
            operation=new.operation.kind,
            **columns(connection, new.operation),
            priority=new.priority,
            requested_by=requested_by,
            not_before=new.not_before,
            expires_at=new.expires_at,
            expires_in=new.expires_in,
            max_queued=max_queued,
        )
    )
    if new.supersede:
        queries.supersede_operations(connection, ids=[id_ for id_, _ in added])
    return added


def _nothing_added(batch: Batch, max_queued: int) -> TooManyError | ValidationFailedError:
    if batch.left_out:
        return TooManyError(
            f"{max_queued} operations wait for each of these {batch.left_out} endpoints, and no more may; "
            "queue this one when some have ended, or cancel some"
        )
    return ValidationFailedError(
        f"filter: no endpoint fits {batch.filter}; GET /function/api/v1/matching?filter= says which do"
    )


def _added_before(connection: Connection, new: NewBatch, requested_by: str, key: str | None) -> Batch:
    [used] = send_for(
        _KeyUse, connection, queries.batch_of_key, requested_by=requested_by, idempotency_key=key
    )
    if used.request_fingerprint != new.fingerprint:
        raise ValidationFailedError(
            f"Idempotency-Key: batch {used.id} was made by this key, and was another one; "
            "a new batch takes a new key"
        )
    return _find(connection, used.id)


def show(pool: ConnectionPool, id_: int) -> Batch:
    """Return a batch with its progress; raise NotFoundError where there is none of this id."""
    return transaction(pool, lambda current: _find(current.connection, id_))


def list_newest(pool: ConnectionPool, cursor: int | None, limit: int) -> list[Batch]:
    """Return up to `limit` batches, the newest first, with ids below `cursor`."""
    return transaction(
        pool,
        lambda current: send_for(
            Batch, current.connection, queries.batches, cursor=cursor, limit=limit
        ).fetchall(),
    )


def cancel(pool: ConnectionPool, id_: int, cancelled_by: str) -> Queued:
    """Cancel those of a batch's operations that are QUEUED; return their endpoints.

    Raises NotFoundError, or ConflictError where all have ended.
    """
    return transaction(pool, lambda current: cancel_within(current.connection, id_, cancelled_by))


def cancel_within(connection: Connection, id_: int, cancelled_by: str) -> Queued:
    """Cancel a batch as part of a transaction, as cancel() does."""
    before = _find(connection, id_)
    if before.has_ended:
        raise ConflictError(f"all operations of batch {id_} have ended; none is left to be cancelled")
    names = [
        name for (name,) in queries.cancel_operations_of_batch(connection, id=id_, cancelled_by=cancelled_by)
    ]
    queries.mark_batch_cancelled(connection, id=id_, cancelled_by=cancelled_by)
    return Queued(_find(connection, id_), names)


def _find(connection: Connection, id_: int) -> Batch:
    found = send_for(Batch, connection, queries.batch, id=id_).fetchone()
    if found is None:
        raise NotFoundError(f"there is no batch {id_}")
    return found
