"""Operations on devices: queue, claim, settle, and what housekeeping repairs.

At most one operation of an endpoint is SENDING. A claim is a lease by PostgreSQL's clock, with a fencing
token: what a worker brings when its lease is over and another has settled or claimed the operation is thrown
away. No two claims have the same token, whether they were committed or not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Connection, Cursor
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import (
    ConflictError,
    LockedError,
    NotFoundError,
    StatementTimeoutError,
    TooManyError,
    UnavailableError,
    ValidationFailedError,
)
from flownexus.leshan.nodes import readings
from flownexus.leshan.webhook import EventType, Item
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType
from flownexus.operations.catalogue import NewOperation, OperationType, typed_value
from flownexus.operations.lifecycle import Attempt, Settlement, Status, Wait, settle_expired
from flownexus.operations.write_format import WriteFormat, write_formats
from flownexus.store import queries, send
from flownexus.store.pool import REFUSALS, transaction
from flownexus.store.telemetry import Telemetry

log = logging.getLogger(__name__)

_WITH_VALUES = frozenset({OperationType.READ, OperationType.OBSERVE})


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
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in self._asdict().items()
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
            operation=str(new.operation),
            path=str(new.path),
            value=_value(connection, new),
            arguments=new.arguments,
            repeatable=new.repeatable,
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
    formats: Sequence[WriteFormat] = ()
    """Of a write: the format it is to go in, and then those in which it has not gone yet."""
    formats_refused: Sequence[str] = ()

    @property
    def attempt(self) -> Attempt:
        """Return what of it decides about its end."""
        return Attempt(self.operation, self.repeatable, self.attempts, self.formats)


def concerns_all(error: Exception) -> bool:
    """Say whether all that are claimed or recorded together suffer from it, and not one that may go alone."""
    alone = (LockedError, StatementTimeoutError)
    return isinstance(error, UnavailableError) and not isinstance(error, alone)


class UnansweredClaimError(UnavailableError):
    """PostgreSQL was lost at the commit of a claim: nobody knows whether it was done; try again soon."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        super().__init__()
        self.claims = claims
        """What was claimed if it was done; to be given back by record(), which settles it only then."""


class Held(Enum):
    """What a claim has of an endpoint whose row somebody else holds."""

    HELD = "somebody else holds the endpoint's row: it is to be asked for again soon"


HELD: Final = Held.HELD


def claim(pool: ConnectionPool, endpoints: Sequence[str], lease: float) -> list[Claim | Held | None]:
    """Claim of each endpoint the operation that is to be sent now, for `lease` seconds, in one transaction.

    There is None for an endpoint without one: while it is offline, another of its operations is under way, or
    all wait for its next registered or updated event, or for a delay to end; HELD for one whose row somebody
    else holds, which is not waited for. Raises what concerns_all() tells apart, and UnansweredClaimError.
    """
    uncommitted: list[Claim] = []

    def work(connection: Connection) -> list[Claim | Held | None]:
        uncommitted.clear()
        locked = {
            name: id_ for id_, name in queries.try_lock_endpoints_named(connection, names=list(endpoints))
        }
        free = [endpoint for endpoint in endpoints if endpoint in locked]
        claims = _claim(connection, locked, free, lease)
        without = [endpoint for endpoint, claimed in zip(free, claims, strict=True) if claimed is None]
        expired = queries.expired_operations_of_endpoints(connection, names=without) if without else ()
        revived = _revive_all(connection, expired)
        if revived:
            again = dict(zip(revived, _claim(connection, locked, revived, lease), strict=True))
            claims = [
                claimed or again.pop(endpoint, None) for endpoint, claimed in zip(free, claims, strict=True)
            ]
        held = _held(connection, [endpoint for endpoint in endpoints if endpoint not in locked])
        uncommitted.extend(claimed for claimed in claims if claimed is not None)
        of_free = iter(claims)
        return [
            next(of_free) if endpoint in locked else HELD if endpoint in held else None
            for endpoint in endpoints
        ]

    try:
        return transaction(pool, work)
    except psycopg.errors.UniqueViolation:
        if len(endpoints) > 1:
            raise
        # The index lets only one be SENDING, whatever else goes wrong.
        log.warning("another operation of %r is under way", endpoints[0])
        return [None]
    except UnavailableError as error:
        if uncommitted:
            raise UnansweredClaimError(uncommitted) from error
        raise


def _claim(
    connection: Connection, ids: Mapping[str, int], endpoints: Sequence[str], lease: float
) -> list[Claim | None]:
    """Claim of each endpoint, whose lock is held and whose id is given, its next operation."""
    with connection.pipeline():
        cursors = [
            send(connection, queries.claim_operation, endpoint_id=ids[endpoint], lease=lease)
            for endpoint in endpoints
        ]
    return [
        _claim_of(endpoint, cursor.fetchone()) for endpoint, cursor in zip(endpoints, cursors, strict=True)
    ]


def _held(connection: Connection, not_locked: Sequence[str]) -> set[str]:
    """Return those of the endpoints that are there: their rows are held."""
    return (
        {name for name, _ in queries.endpoint_ids(connection, names=list(not_locked))}
        if not_locked
        else set()
    )


def _claim_of(endpoint: str, row: tuple[Any, ...] | None) -> Claim | None:
    if row is None:
        return None
    id_, fence, endpoint_id, presence, operation, path, value, arguments, repeatable, attempts, *formats = row
    learned, supported, refused = formats
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
        formats=write_formats(learned, supported or (), refused) if operation == OperationType.WRITE else (),
        formats_refused=refused,
    )


def renew(pool: ConnectionPool, claims: Sequence[Claim], lease: float) -> set[tuple[int, int]]:
    """Let claims hold for `lease` seconds from now; return id and fence of each that does.

    One that is not the newest of its operation does not, nor one whose row somebody else holds.
    """
    ids, fences = [claimed.id for claimed in claims], [claimed.fence for claimed in claims]
    return transaction(
        pool,
        lambda connection: set(queries.renew_leases(connection, ids=ids, fences=fences, lease=lease)),
    )


class End(NamedTuple):
    """How an attempt ended: to be recorded."""

    claim: Claim
    settlement: Settlement
    received: datetime


class Recorded(Enum):
    """What became of the record of an attempt's end."""

    HELD = "nothing was stored: somebody else holds the endpoint's row"
    LATE = "nothing was stored: the claim is not the newest any more"
    LAST = "stored; no other operation of the endpoint could be sent now"
    MORE = "stored; another one could be sent"


_STORED: Final = (Recorded.LAST, Recorded.MORE)


def record(pool: ConnectionPool, telemetry: Telemetry, ends: Sequence[End]) -> list[Recorded]:
    """Record the ends of attempts and the values that came with them, in one transaction.

    Values that cannot be stored end in dead_letter and do not change what the operation ends as. An endpoint
    whose row somebody else holds is not waited for. Raises what concerns_all() tells apart.
    """

    def work(connection: Connection) -> tuple[list[Recorded], Callable[[], None]]:
        recorded = _end(connection, ends)
        current = [end for end, what in zip(ends, recorded, strict=True) if what in _STORED]
        return recorded, _store_values(connection, telemetry, current)

    try:
        recorded, committed = transaction(pool, work)
    except REFUSALS:
        if len(ends) > 1:
            raise
        log.exception("the values of operation %d cannot be stored", ends[0].claim.id)
        return transaction(pool, lambda connection: _end_without_values(connection, ends[0]))
    committed()
    return recorded


def _end(connection: Connection, ends: Sequence[End]) -> list[Recorded]:
    """Settle, and look for what is next, in one round trip; the endpoints stay locked until the commit."""
    wanted = [end.claim.endpoint_id for end in ends]
    locked = {id_ for (id_,) in queries.try_lock_endpoints(connection, ids=wanted)}
    with connection.pipeline():
        cursors = [_send_end(connection, end) if end.claim.endpoint_id in locked else None for end in ends]
    return [
        _recorded(found[0].rowcount, found[1].fetchone()) if found else Recorded.HELD for found in cursors
    ]


def _send_end(connection: Connection, end: End) -> tuple[Cursor, Cursor]:
    claimed = end.claim
    settled = _settle(connection, claimed.id, claimed.fence, claimed.presence, end.settlement)
    if end.settlement.status is Status.CONFIRMED and claimed.formats and claimed.formats_refused:
        send(
            connection,
            queries.learn_write_format,
            endpoint_id=claimed.endpoint_id,
            format=str(claimed.formats[0]),
        )
    if end.settlement.device_is_absent:
        send(connection, queries.mark_absent, endpoint_id=claimed.endpoint_id, presence=claimed.presence)
    return settled, send(connection, queries.has_eligible_operation, endpoint_id=claimed.endpoint_id)


def _recorded(settled: int, more: tuple[bool] | None) -> Recorded:
    if settled != 1:
        return Recorded.LATE
    return Recorded.MORE if more == (True,) else Recorded.LAST


def _end_without_values(connection: Connection, end: End) -> list[Recorded]:
    recorded = _end(connection, [end._replace(settlement=replace(end.settlement, result=None))])
    if recorded[0] in _STORED:
        _reject(connection, end.claim, "PostgreSQL refuses the values", end.settlement.content)
    return recorded


def _nothing() -> None:
    """Do nothing after a commit."""


def _store_values(connection: Connection, telemetry: Telemetry, ends: Iterable[End]) -> Callable[[], None]:
    items: list[Item] = []
    claims: list[Claim] = []
    for claim_, settlement, received in ends:
        if settlement.content is None or claim_.operation not in _WITH_VALUES:
            continue
        found = readings(settlement.content, claim_.path)
        for rejection in found.rejected:
            _reject(connection, claim_, f"{rejection.path}: {rejection.reason}", rejection.node)
        if found.good:
            # The answer's own time: what ended at other times is stored together. A notification of the same
            # millisecond is newer than the answer that it follows, and is stored before it.
            time_ms = round(received.timestamp() * 1000) - (claim_.operation is OperationType.OBSERVE)
            items.append(Item(claim_.endpoint, time_ms, EventType.READ, found.good))
            claims.append(claim_)
    if not items:
        return _nothing
    stored = telemetry.store(connection, items)
    for place, rejection in stored.rejected:
        _reject(connection, claims[place], f"{rejection.path}: {rejection.reason}", rejection.node)
    stored.check()
    return stored.committed


def _reject(connection: Connection, claim_: Claim, reason: str, node: Any) -> None:
    item = {"ep": claim_.endpoint, "operation": claim_.id, "path": str(claim_.path), "node": node}
    queries.add_dead_letters(
        connection,
        kind="read",
        source=None,
        lane=None,
        reasons=[reason.replace("\0", "\\0")],
        items=[json.dumps(item)],
        seqs=[None],
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
        delay=settlement.delay_s,
        refused_format=settlement.refused_format and str(settlement.refused_format),
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


def _revive_all(connection: Connection, expired: Iterable[tuple[Any, ...]]) -> list[str]:
    """Settle operations whose lease is over; their rows are locked. Return the endpoint of each."""
    endpoints = []
    for *operation, endpoint in list(expired):
        _revive(connection, *operation)
        endpoints.append(endpoint)
    return endpoints


def revive_expired(connection: Connection, limit: int) -> list[str]:
    """Settle up to `limit` operations whose lease is over; return the endpoint of each."""
    return _revive_all(connection, queries.expired_operations(connection, limit=limit))


def endpoints_to_wake(
    connection: Connection, untouched: float, but: Sequence[int], limit: int
) -> dict[str, list[int]]:
    """Return up to `limit` endpoints, and their operations that could have been sent for `untouched` seconds.

    Operations `but` these count; the endpoints come first that have waited longest.
    """
    rows = queries.endpoints_to_wake(connection, untouched=untouched, but=list(but), limit=limit)
    return dict(rows)


def forget_expired(connection: Connection, grace: float, limit: int) -> int:
    """Mark up to `limit` endpoints as not registered whose lifetime ended over `grace` seconds ago."""
    return int(queries.forget_expired_endpoints(connection, grace=grace, limit=limit))


def forget_finished(connection: Connection, retention: float, limit: int) -> int:
    """Delete up to `limit` operations that ended over `retention` seconds ago; return how many."""
    return int(queries.forget_operations(connection, retention=retention, limit=limit))
