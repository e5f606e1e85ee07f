"""Record what attempts at operations ended as, and the values that devices answered with."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple

from psycopg import Connection, Cursor
from psycopg_pool import ConnectionPool

from flownexus.leshan.answers import readings_of
from flownexus.leshan.nodes import hidden
from flownexus.leshan.webhook import EventType, Item
from flownexus.operations.lifecycle import ANSWERED, Earlier, Settlement, Status
from flownexus.operations.redaction import without_secrets
from flownexus.store import queries, send
from flownexus.store.operation_claims import Claim
from flownexus.store.operation_settlement import write_settlement
from flownexus.store.telemetry import Telemetry
from flownexus.store.transaction import REFUSALS, Transaction, transaction

log = logging.getLogger(__name__)


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
    ends = [end._replace(settlement=without_secrets(end.claim.operation, end.settlement)) for end in ends]

    def work(current: Transaction) -> list[Recorded]:
        recorded = _end(current.connection, ends)
        newest = [end for end, what in zip(ends, recorded, strict=True) if what in _STORED]
        _store_values(current, telemetry, newest)
        return recorded

    try:
        return transaction(pool, work)
    except REFUSALS:
        if len(ends) > 1:
            raise
        log.exception("the values of operation %d cannot be stored", ends[0].claim.id)
        return transaction(pool, lambda current: _end_without_values(current.connection, ends[0]))


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
    settled = write_settlement(connection, claimed.id, claimed.fence, claimed.contact_count, end.settlement)
    if end.settlement.status is Status.CONFIRMED and claimed.formats and claimed.formats_refused:
        send(
            connection,
            queries.learn_write_format,
            endpoint_id=claimed.endpoint_id,
            format=str(claimed.formats[0]),
        )
    if end.settlement.device_is_absent:
        send(
            connection,
            queries.mark_unreachable,
            endpoint_id=claimed.endpoint_id,
            contact_count=claimed.contact_count,
        )
    if end.settlement.verdict in ANSWERED:
        send(connection, queries.see_answer, endpoint_id=claimed.endpoint_id)
    return settled, send(connection, queries.has_eligible_operation, endpoint_id=claimed.endpoint_id)


def _recorded(settled: int, more: tuple[bool] | None) -> Recorded:
    if settled != 1:
        return Recorded.LATE
    return Recorded.MORE if more == (True,) else Recorded.LAST


def _end_without_values(connection: Connection, end: End) -> list[Recorded]:
    recorded = _end(connection, [end._replace(settlement=replace(end.settlement, result=None))])
    if recorded[0] in _STORED:
        for content, _ in _answered(end):
            _reject(connection, end.claim, "PostgreSQL refuses the values", content)
    return recorded


def _store_values(current: Transaction, telemetry: Telemetry, ends: Iterable[End]) -> None:
    connection = current.connection
    items: list[Item] = []
    claims: list[Claim] = []
    for end in ends:
        claim_ = end.claim
        for content, time_ms in _answered(end):
            found = readings_of(claim_.operation, content)
            for rejection in map(hidden, found.rejected):
                _reject(connection, claim_, f"{rejection.path}: {rejection.reason}", rejection.node)
            if found.good:
                items.append(Item(claim_.endpoint, time_ms, EventType.READ, found.good))
                claims.append(claim_)
    if not items:
        return
    stored = telemetry.store(current, items)
    for place, told in stored.rejected:
        rejection = hidden(told)
        _reject(connection, claims[place], f"{rejection.path}: {rejection.reason}", rejection.node)


def _answered(end: End) -> list[Earlier]:
    """Return what the device answered, each with its own time, oldest first.

    What ended at other times is stored together. A notification of the same millisecond is newer than the
    answer that it follows, and is stored before it. A history's values without a time are of the receipt.
    """
    received_ms = round(end.received.timestamp() * 1000) - end.claim.operation.observes
    earlier = [
        each if each.time_ms is not None else each._replace(time_ms=received_ms)
        for each in end.settlement.history
    ]
    return [*earlier, Earlier(end.settlement.content, received_ms)]


def _reject(connection: Connection, claim_: Claim, reason: str, node: Any) -> None:
    path = ",".join(map(str, claim_.operation.targets))
    item = {"ep": claim_.endpoint, "operation": claim_.id, "path": path, "node": node}
    queries.add_dead_letters(
        connection,
        kind="read",
        source=None,
        lane=None,
        reasons=[reason.replace("\0", "\\0")],
        items=[json.dumps(item)],
        seqs=[None],
    )
