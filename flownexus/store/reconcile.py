"""Compare what registered devices are observed for to their profiles, and queue what is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from psycopg import Connection

from flownexus.operations.reconciliation import Changes, Row, changes
from flownexus.store import queries, send_for
from flownexus.store.planned import Asked, plans_of, queue_planned


class _Endpoint(NamedTuple):
    id: int
    name: str
    registration_id: str
    heard_since: datetime | None


def reconcile(connection: Connection, refresh: timedelta, limit: int) -> dict[str, int]:
    """Look at up to `limit` endpoints that are due; queue what profiles ask for and nothing proves alive.

    What a profile does not ask for any more is ended. `refresh` is the silence after which an observation
    that is not known to report is asked for again. Returns how many operations were queued, by the name of
    the endpoint. Takes the same few statements however many are due.
    """
    due = send_for(_Endpoint, connection, queries.endpoints_to_reconcile, limit=limit).fetchall()
    if not due:
        return {}
    now = datetime.now(UTC)
    plans = plans_of(connection, [endpoint.id for endpoint in due])
    rows = _rows(connection, due)
    compared = {
        endpoint: changes(plans[endpoint.id], rows[endpoint.id], now, refresh, endpoint.heard_since)
        for endpoint in due
    }
    _carry_out(connection, compared)
    queries.reconcile_next(
        connection,
        ids=[endpoint.id for endpoint in due],
        times=[min(each.next_look or now + refresh, now + refresh) for each in compared.values()],
    )
    return {endpoint.name: len(each.queue) for endpoint, each in compared.items() if each.queue}


def _rows(connection: Connection, due: Sequence[_Endpoint]) -> Mapping[int, list[Row]]:
    """Return the planned operations of each endpoint's registration, by its id."""
    rows: defaultdict[int, list[Row]] = defaultdict(list)
    for row in send_for(
        Row,
        connection,
        queries.planned_rows,
        endpoint_ids=[endpoint.id for endpoint in due],
        registration_ids=[endpoint.registration_id for endpoint in due],
    ):
        rows[row.endpoint_id].append(row)
    return rows


def _carry_out(connection: Connection, compared: Mapping[_Endpoint, Changes]) -> None:
    withdrawn = [id_ for each in compared.values() for id_ in each.withdraw]
    if withdrawn:
        queries.withdraw_planned(connection, ids=withdrawn)
    queue_planned(
        connection,
        (
            Asked(endpoint.id, endpoint.registration_id, operation)
            for endpoint, each in compared.items()
            for operation in each.queue
        ),
        again=True,
    )
