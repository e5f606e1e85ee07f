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
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import LockedError, StatementTimeoutError, UnavailableError
from flownexus.operations.catalogue import Operation, stored_operation
from flownexus.operations.lifecycle import Attempt
from flownexus.operations.write_format import WriteFormat, write_formats
from flownexus.store import queries, send
from flownexus.store.operation_repair import revive
from flownexus.store.pool import transaction

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """An operation that one worker holds, for the time of its lease."""

    id: int
    fence: int
    endpoint_id: int
    endpoint: str
    presence: int
    operation: Operation
    attempts: int
    formats: Sequence[WriteFormat] = ()
    """Of a write: the format it is to go in, and then those in which it has not gone yet."""
    formats_refused: Sequence[str] = ()

    @property
    def attempt(self) -> Attempt:
        """Return what of it decides about its end."""
        return Attempt(self.operation.may_repeat, self.attempts, self.formats)


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
        revived = revive(connection, expired)
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
    id_, fence, endpoint_id, presence, *columns, attempts, learned, supported, refused = row
    operation = stored_operation(*columns)
    return Claim(
        id=id_,
        fence=fence,
        endpoint_id=endpoint_id,
        endpoint=endpoint,
        presence=presence,
        operation=operation,
        attempts=attempts,
        formats=write_formats(learned, supported or (), refused) if operation.has_content else (),
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
