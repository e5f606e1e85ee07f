"""Compare what registered devices are observed for to the plan, and queue what is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from psycopg import Connection

from flownexus.lwm2m.path import Path
from flownexus.operations.lifecycle import Status
from flownexus.operations.plan import PlanRow, planned
from flownexus.operations.reconciliation import Known, renewal
from flownexus.store import queries, send_for
from flownexus.store.endpoint import enabled_plan


class _Endpoint(NamedTuple):
    id: int
    name: str
    registration_id: str
    objects: list[str] | None
    heard_since: datetime | None


class _Wanted(NamedTuple):
    endpoint: _Endpoint
    row: PlanRow
    path: Path


def reconcile(connection: Connection, refresh: timedelta, limit: int) -> dict[str, int]:
    """Look at up to `limit` endpoints that are due; queue anew what the plan wants and nothing proves alive.

    `refresh` is the silence after which an observation without a pmax is asked for again. Returns how many
    operations were queued, by the name of the endpoint. Takes the same few statements however many are due.
    """
    due = send_for(_Endpoint, connection, queries.endpoints_to_reconcile, limit=limit).fetchall()
    if not due:
        return {}
    now = datetime.now(UTC)
    plan = enabled_plan(connection)
    wanted = [
        _Wanted(endpoint, row, path)
        for endpoint in due
        for row, path in planned(plan, endpoint.objects or ())
    ]
    next_looks = {endpoint.id: now + refresh for endpoint in due}
    renewed: list[_Wanted] = []
    for each, known in zip(wanted, _known(connection, wanted), strict=True):
        at = renewal(each.row, known, now, refresh, each.endpoint.heard_since)
        if at is not None and at <= now:
            renewed.append(each)
            at = renewal(each.row, known._replace(status=Status.QUEUED), now, refresh, None)
        if at is not None:
            next_looks[each.endpoint.id] = min(next_looks[each.endpoint.id], at)
    if renewed:
        queries.renew_planned(connection, **_keys(renewed))
    queries.reconcile_next(connection, ids=list(next_looks), times=list(next_looks.values()))
    queued: dict[str, int] = {}
    for each in renewed:
        queued[each.endpoint.name] = queued.get(each.endpoint.name, 0) + 1
    return queued


def _known(connection: Connection, wanted: list[_Wanted]) -> list[Known]:
    if not wanted:
        return []
    rows = queries.known_of_planned(
        connection,
        **_keys(wanted),
        object_ids=[each.path.object_id for each in wanted],
        object_instance_ids=[each.path.object_instance_id for each in wanted],
        resource_ids=[each.path.resource_id for each in wanted],
    )
    return [Known(None if status is None else Status(status), *rest) for status, *rest in rows]


def _keys(wanted: list[_Wanted]) -> dict[str, list[object]]:
    return {
        "endpoint_ids": [each.endpoint.id for each in wanted],
        "registration_ids": [each.endpoint.registration_id for each in wanted],
        "operation_types": [each.row.operation_type for each in wanted],
        "paths": [str(each.path) for each in wanted],
    }
