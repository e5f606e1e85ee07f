"""Write how an operation that was claimed goes on."""

from __future__ import annotations

from psycopg import Connection, Cursor
from psycopg.types.json import Jsonb

from flownexus.operations.lifecycle import Settlement, Status, Wait
from flownexus.store import queries, send


def write_settlement(
    connection: Connection, id_: int, fence: int, contact_count: int | None, settlement: Settlement
) -> Cursor:
    """Send a settlement, which counts only for the newest claim; the cursor's rowcount is 1 where it did.

    `contact_count` is the endpoint's at the claim.
    """
    newer_than_claim = settlement.wait is Wait.NEWER_THAN_CLAIM and contact_count is not None
    return send(
        connection,
        queries.settle_operation,
        id=id_,
        fence=fence,
        status=str(settlement.status),
        finished=settlement.status is not Status.QUEUED,
        given_back=0 if settlement.attempt_counts else 1,
        newer_than_now=settlement.wait is Wait.NEWER_THAN_NOW,
        retry_after_contact=contact_count + 1 if newer_than_claim and contact_count is not None else None,
        delay=settlement.delay_s,
        refused_format=settlement.refused_format and str(settlement.refused_format),
        result=None if settlement.result is None else Jsonb(settlement.result),
        reason=settlement.reason,
        verdict=settlement.verdict and str(settlement.verdict),
    )
