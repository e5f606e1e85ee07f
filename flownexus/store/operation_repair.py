"""Repair operations that a worker has dropped, and find those that no hint has reached."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from psycopg import Connection

from flownexus.operations.catalogue import stored_operation
from flownexus.operations.lifecycle import Attempt, settle_expired
from flownexus.store import queries, send_for
from flownexus.store.operation_settlement import write_settlement

log = logging.getLogger(__name__)


class _Expired(NamedTuple):
    """An operation whose lease is over; its row is locked."""

    id: int
    fence: int
    operation: str
    path: str | None
    paths: list[str] | None
    value: dict[str, Any] | None
    arguments: str | None
    repeatable: bool
    attempts: int
    endpoint: str


def revive_expired(connection: Connection, limit: int) -> list[str]:
    """Settle up to `limit` operations whose lease is over; return the endpoint of each."""
    return _revive(connection, send_for(_Expired, connection, queries.expired_operations, limit=limit))


def revive_of_endpoints(connection: Connection, endpoints: Sequence[str]) -> list[str]:
    """Settle the operations of endpoints whose lease is over; return the endpoint of each."""
    if not endpoints:
        return []
    names = list(endpoints)
    return _revive(
        connection, send_for(_Expired, connection, queries.expired_operations_of_endpoints, names=names)
    )


def _revive(connection: Connection, expired: Iterable[_Expired]) -> list[str]:
    endpoints = []
    for each in list(expired):
        settlement = settle_expired(Attempt(stored_operation(each).may_repeat, each.attempts))
        write_settlement(connection, each.id, each.fence, None, settlement)
        log.warning("operation %d: %s; it is %s", each.id, settlement.reason, settlement.status)
        endpoints.append(each.endpoint)
    return endpoints


def end_expired(connection: Connection, limit: int) -> int:
    """End up to `limit` operations that are QUEUED and have expired; return how many."""
    return int(queries.end_expired_operations(connection, limit=limit))


def endpoints_to_hint(
    connection: Connection, untouched: float, but: Sequence[int], limit: int
) -> dict[str, list[int]]:
    """Return up to `limit` endpoints, and their operations that could have been sent for `untouched` seconds.

    Operations `but` these count; the endpoints come first that have waited longest.
    """
    rows = queries.endpoints_to_hint(connection, untouched=untouched, but=list(but), limit=limit)
    return dict(rows)
