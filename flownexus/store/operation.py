"""Operations on devices: queue, claim, settle, and what housekeeping repairs.

At most one operation of an endpoint is SENDING. A claim is a lease by PostgreSQL's clock, with a fencing
token: what a worker brings when its lease is over and another has settled or claimed the operation is thrown
away.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection, Cursor
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError
from flownexus.lwm2m.node import readings
from flownexus.lwm2m.operation import (
    Attempt,
    NewOperation,
    OperationType,
    Settlement,
    Status,
    Wait,
    settle_expired,
    typed_value,
)
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType
from flownexus.lwm2m.webhook import EventType, Item
from flownexus.store import queries, send
from flownexus.store.pool import transaction
from flownexus.store.telemetry import Telemetry

log = logging.getLogger(__name__)


class Operation(NamedTuple):
    """An operation as its user sees it."""

    id: int
    endpoint: str
    operation: str
    path: str
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

    def as_json(self) -> dict[str, Any]:
        """Return the operation as the REST API shows it; times are in ISO 8601, UTC."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in self._asdict().items()
        }


def create(pool: ConnectionPool, new: NewOperation) -> Operation:
    """Queue an operation.

    Raises NotFoundError where the endpoint was never seen, and ValidationFailedError where a value came
    without its data type and the resource has not been seen either.
    """

    def work(connection: Connection) -> Operation:
        row = queries.add_operation(
            connection,
            endpoint=new.endpoint,
            operation=str(new.operation),
            path=str(new.path),
            value=_value(connection, new),
            arguments=new.arguments,
            repeatable=new.repeatable,
            priority=new.priority,
        )
        if row is None:
            raise NotFoundError(f"no endpoint {new.endpoint!r} has been seen")
        return Operation(*row)

    return transaction(pool, work)


def _value(connection: Connection, new: NewOperation) -> Jsonb | None:
    if new.operation is not OperationType.WRITE:
        return None
    seen: DataType | None = None
    if new.needs_type:
        name = queries.seen_data_type(
            connection, object_id=new.path.object_id, resource_id=new.path.resource_id
        )
        seen = DataType(name) if name else None
    return Jsonb(typed_value(new.value, seen))


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


# ---------------------------------------------------------------------------------------------------------
# Dispatch


@dataclass(frozen=True)
class Claim:
    """An operation that one worker holds, for the time of its lease."""

    id: int
    fence: int
    endpoint_id: int
    endpoint: str
    presence: int
    operation: OperationType
    path: Path
    value: dict[str, Any] | None
    arguments: str | None
    repeatable: bool
    attempts: int

    @property
    def attempt(self) -> Attempt:
        """Return what of it decides about its end."""
        return Attempt(self.operation, self.repeatable, self.attempts)


def claim(pool: ConnectionPool, endpoint: str, lease: float) -> Claim | None:
    """Claim the operation of an endpoint that is to be sent now, for `lease` seconds.

    Returns None where there is none: while the endpoint is offline, another of its operations is under way,
    or all wait for its next registered or updated event.
    """

    def work(connection: Connection) -> Claim | None:
        with connection.pipeline():
            send(connection, queries.lock_endpoint, name=endpoint)
            row = queries.claim_operation(connection, name=endpoint, lease=lease)
        if row is None:
            expired = list(queries.expired_operations_of_endpoint(connection, name=endpoint))
            if not expired:
                return None
            for each in expired:
                _revive(connection, *each)
            row = queries.claim_operation(connection, name=endpoint, lease=lease)
            if row is None:
                return None
        id_, fence, endpoint_id, presence, operation, path, value, arguments, repeatable, attempts = row
        return Claim(
            id=id_,
            fence=fence,
            endpoint_id=endpoint_id,
            endpoint=endpoint,
            presence=presence,
            operation=OperationType(operation),
            path=Path.parse(path),
            value=value,
            arguments=arguments,
            repeatable=repeatable,
            attempts=attempts,
        )

    try:
        return transaction(pool, work)
    except psycopg.errors.UniqueViolation:
        # The index lets only one be SENDING, whatever else goes wrong.
        log.warning("another operation of %r is under way", endpoint)
        return None


class Recorded(Enum):
    """What became of the record of an attempt's end."""

    LATE = "nothing was stored: the claim is not the newest any more"
    LAST = "stored; no other operation of the endpoint could be sent now"
    MORE = "stored; another one could be sent"


def record(
    pool: ConnectionPool, telemetry: Telemetry, claim_: Claim, settlement: Settlement, received: datetime
) -> Recorded:
    """Record the end of an attempt and the values that came with it, in one transaction.

    Values that cannot be stored end in dead_letter and do not change what the operation ends as.
    """

    def work(connection: Connection) -> tuple[Recorded, Callable[[], None]]:
        recorded = _end(connection, claim_, settlement)
        if recorded is Recorded.LATE:
            return recorded, _nothing
        return recorded, _store_values(connection, telemetry, claim_, settlement.content, received)

    def work_without_values(connection: Connection) -> tuple[Recorded, Callable[[], None]]:
        recorded = _end(connection, claim_, replace(settlement, result=None))
        if recorded is not Recorded.LATE:
            _reject(connection, claim_, "PostgreSQL refuses the values", settlement.content)
        return recorded, _nothing

    try:
        recorded, committed = transaction(pool, work)
    except (psycopg.DataError, psycopg.IntegrityError):
        log.exception("the values of operation %d cannot be stored", claim_.id)
        recorded, committed = transaction(pool, work_without_values)
    committed()
    return recorded


def _end(connection: Connection, claim_: Claim, settlement: Settlement) -> Recorded:
    """Settle, and look for the next one, in one round trip; the endpoint stays locked until the commit."""
    with connection.pipeline():
        settled = _settle(connection, claim_.id, claim_.fence, claim_.presence, settlement)
        more = queries.has_eligible_operation(connection, endpoint_id=claim_.endpoint_id)
    if settled.rowcount != 1:
        return Recorded.LATE
    return Recorded.MORE if more else Recorded.LAST


def _nothing() -> None:
    """Do nothing after a commit."""


def _store_values(
    connection: Connection, telemetry: Telemetry, claim_: Claim, content: Any, received: datetime
) -> Callable[[], None]:
    if content is None or claim_.operation not in (OperationType.READ, OperationType.OBSERVE):
        return _nothing
    found = readings(content, claim_.path)
    for rejection in found.rejected:
        _reject(connection, claim_, f"{rejection.path}: {rejection.reason}", rejection.node)
    if not found.good:
        return _nothing
    item = Item(claim_.endpoint, None, EventType.READ, found.good)
    return telemetry.store(connection, [item], received)


def _reject(connection: Connection, claim_: Claim, reason: str, node: Any) -> None:
    queries.add_dead_letter(
        connection,
        kind="read",
        reason=reason.replace("\0", "\\0"),
        item=json.dumps(
            {"ep": claim_.endpoint, "operation": claim_.id, "path": str(claim_.path), "node": node}
        ),
        source=None,
        lane=None,
        seq=None,
    )


def _settle(
    connection: Connection, id_: int, fence: int, presence: int | None, settlement: Settlement
) -> Cursor:
    newer_than_claim = settlement.wait is Wait.NEWER_THAN_CLAIM and presence is not None
    return send(
        connection,
        queries.settle_operation,
        id=id_,
        fence=fence,
        status=str(settlement.status),
        finished=settlement.status is not Status.QUEUED,
        given_back=0 if settlement.attempt_counts else 1,
        newer_than_now=settlement.wait is Wait.NEWER_THAN_NOW,
        waits_for_presence=presence + 1 if newer_than_claim and presence is not None else None,
        result=None if settlement.result is None else Jsonb(settlement.result),
        reason=settlement.reason,
    )


# ---------------------------------------------------------------------------------------------------------
# Housekeeping


def _revive(
    connection: Connection, id_: int, fence: int, operation: str, repeatable: bool, attempts: int
) -> Settlement:
    """Settle an operation whose lease is over; its row is locked."""
    settlement = settle_expired(Attempt(OperationType(operation), repeatable, attempts))
    _settle(connection, id_, fence, None, settlement)
    log.warning("operation %d: %s; it is %s", id_, settlement.reason, settlement.status)
    return settlement


def revive_expired(connection: Connection, limit: int) -> list[str]:
    """Settle up to `limit` operations whose lease is over; return the endpoint of each."""
    endpoints = []
    for *expired, endpoint in list(queries.expired_operations(connection, limit=limit)):
        _revive(connection, *expired)
        endpoints.append(endpoint)
    return endpoints


def endpoints_to_wake(connection: Connection, untouched: float, limit: int) -> list[str]:
    """Return up to `limit` endpoints to which an operation could have been sent for `untouched` seconds.

    Those come first that have waited longest.
    """
    return [name for (name,) in queries.endpoints_to_wake(connection, untouched=untouched, limit=limit)]


def forget_expired(connection: Connection, grace: float, limit: int) -> int:
    """Mark up to `limit` endpoints as not registered whose lifetime ended over `grace` seconds ago."""
    return int(queries.forget_expired_endpoints(connection, grace=grace, limit=limit))
