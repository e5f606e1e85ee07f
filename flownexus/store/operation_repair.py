"""Repair operations that a worker has dropped, and find those that no hint has reached."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import Connection

from flownexus.operations.catalogue import Operation, stored_operation
from flownexus.operations.lifecycle import Attempt, Settlement, settle_expired
from flownexus.store import queries
from flownexus.store.operation_settlement import write_settlement

log = logging.getLogger(__name__)


def _revive_one(
    connection: Connection, id_: int, fence: int, operation: Operation, attempts: int
) -> Settlement:
    """Settle an operation whose lease is over; its row is locked."""
    settlement = settle_expired(Attempt(operation.may_repeat, attempts))
    write_settlement(connection, id_, fence, None, settlement)
    log.warning("operation %d: %s; it is %s", id_, settlement.reason, settlement.status)
    return settlement


def revive(connection: Connection, expired: Iterable[tuple[Any, ...]]) -> list[str]:
    """Settle operations whose lease is over; their rows are locked. Return the endpoint of each."""
    endpoints = []
    for id_, fence, *columns, attempts, endpoint in list(expired):
        _revive_one(connection, id_, fence, stored_operation(*columns), attempts)
        endpoints.append(endpoint)
    return endpoints


def revive_expired(connection: Connection, limit: int) -> list[str]:
    """Settle up to `limit` operations whose lease is over; return the endpoint of each."""
    return revive(connection, queries.expired_operations(connection, limit=limit))


def endpoints_to_hint(
    connection: Connection, untouched: float, but: Sequence[int], limit: int
) -> dict[str, list[int]]:
    """Return up to `limit` endpoints, and their operations that could have been sent for `untouched` seconds.

    Operations `but` these count; the endpoints come first that have waited longest.
    """
    rows = queries.endpoints_to_hint(connection, untouched=untouched, but=list(but), limit=limit)
    return dict(rows)
