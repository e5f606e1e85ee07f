"""Claims: the operation that a worker is to send now, as a lease of it.

At most one operation of an endpoint is SENDING. A claim is a lease by PostgreSQL's clock, with a fencing
token: what a worker brings when its lease is over and another has settled or claimed the operation is thrown
away. No two claims have the same token, whether they were committed or not.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import UnavailableError
from flownexus.operations.catalogue import Operation, stored_operation
from flownexus.operations.lifecycle import Attempt
from flownexus.operations.write_format import WriteFormat, write_formats
from flownexus.store import queries, send_for
from flownexus.store.operation_repair import revive_of_endpoints
from flownexus.store.transaction import Transaction, transaction

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """An operation that one worker holds, for the time of its lease."""

    id: int
    fence: int
    endpoint_id: int
    endpoint: str
    contact_count: int
    operation: Operation
    attempts: int
    formats: Sequence[WriteFormat] = ()
    """Of a write: the format it is to go in, and then those in which it has not gone yet."""
    formats_refused: Sequence[str] = ()
    request_timeout_s: int | None = None
    """How long the answer is waited for at most, as the endpoint's profile has it."""
    awake_time_s: int | None = None
    """How long the device listens after a contact, as its profile has it."""

    @property
    def attempt(self) -> Attempt:
        """Return what of it decides about its end."""
        return Attempt(self.operation.may_repeat, self.attempts, self.formats)


class _Claimed(NamedTuple):
    """The row of a claim."""

    id: int
    fence: int
    endpoint_id: int
    contact_count: int
    operation: str
    path: str | None
    paths: list[str] | None
    value: dict[str, Any] | None
    arguments: str | None
    repeatable: bool
    attempts: int
    write_format: str | None
    content_formats: Sequence[int] | None
    formats_refused: Sequence[str]
    request_timeout_s: int | None
    awake_time_s: int | None

    def of(self, endpoint: str) -> Claim:
        """Return the claim of this endpoint."""
        operation = stored_operation(self)
        formats = write_formats(
            operation.formats, self.write_format, self.content_formats or (), self.formats_refused
        )
        return Claim(
            id=self.id,
            fence=self.fence,
            endpoint_id=self.endpoint_id,
            endpoint=endpoint,
            contact_count=self.contact_count,
            operation=operation,
            attempts=self.attempts,
            formats=formats,
            formats_refused=self.formats_refused,
            request_timeout_s=self.request_timeout_s,
            awake_time_s=self.awake_time_s,
        )


def concerns_all(error: Exception) -> bool:
    """Say whether all that are claimed or recorded together suffer from it, and not one that may go alone."""
    return isinstance(error, UnavailableError)


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

    def work(current: Transaction) -> list[Claim | Held | None]:
        uncommitted.clear()
        found = _claim_free(current.connection, endpoints, lease)
        uncommitted.extend(each for each in found if isinstance(each, Claim))
        return found

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


def _claim_free(connection: Connection, endpoints: Sequence[str], lease: float) -> list[Claim | Held | None]:
    """Claim of each endpoint whose row nobody holds its next operation; what has expired is revived first."""
    ids = {name: id_ for id_, name in queries.try_lock_endpoints_named(connection, names=list(endpoints))}
    claims = _claim_locked(connection, ids, list(ids), lease)
    revived = revive_of_endpoints(connection, [endpoint for endpoint in ids if endpoint not in claims])
    claims |= _claim_locked(connection, ids, revived, lease)
    held = _held(connection, [endpoint for endpoint in endpoints if endpoint not in ids])
    # An endpoint that is asked for twice has one operation to be sent.
    return [claims.pop(endpoint, HELD if endpoint in held else None) for endpoint in endpoints]


def _claim_locked(
    connection: Connection, ids: Mapping[str, int], endpoints: Sequence[str], lease: float
) -> dict[str, Claim]:
    """Claim of each endpoint, whose lock is held and whose id is given, its next operation."""
    with connection.pipeline():
        cursors = {
            endpoint: send_for(
                _Claimed, connection, queries.claim_operation, endpoint_id=ids[endpoint], lease=lease
            )
            for endpoint in endpoints
        }
    rows = {endpoint: cursor.fetchone() for endpoint, cursor in cursors.items()}
    return {endpoint: row.of(endpoint) for endpoint, row in rows.items() if row is not None}


def _held(connection: Connection, not_locked: Sequence[str]) -> set[str]:
    """Return those of the endpoints that are there: their rows are held."""
    return (
        {name for name, _ in queries.endpoint_ids(connection, names=list(not_locked))}
        if not_locked
        else set()
    )


def renew(pool: ConnectionPool, claims: Sequence[Claim], lease: float) -> set[tuple[int, int]]:
    """Let claims hold for `lease` seconds from now; return id and fence of each that does.

    One that is not the newest of its operation does not, nor one whose row somebody else holds.
    """
    ids, fences = [claimed.id for claimed in claims], [claimed.fence for claimed in claims]
    return transaction(
        pool,
        lambda current: set(queries.renew_leases(current.connection, ids=ids, fences=fences, lease=lease)),
    )
