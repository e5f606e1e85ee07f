"""What profiles ask of endpoints: which applies to each, and its operations, queued."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb

from flownexus.operations.plan import Planned, planned, stored_plan
from flownexus.store import queries, send_for

log = logging.getLogger(__name__)

MAX_PLANNED_OPERATIONS_PER_REGISTRATION: Final = 1000
"""How many operations a profile may queue for one registration."""


class Asked(NamedTuple):
    """An operation that a profile asks of an endpoint, in a registration."""

    endpoint_id: int
    registration_id: str
    operation: Planned


class _Applied(NamedTuple):
    """An endpoint, the profile that applies to it now, and the one that did before."""

    endpoint_id: int
    registration_id: str | None
    objects: list[str] | None
    assigned: int | None
    profile_id: int | None
    plan: Any


def plans_of(connection: Connection, endpoint_ids: Sequence[int]) -> dict[int, list[Planned]]:
    """Say what the profile that applies to each endpoint asks of it; keep which one that is."""
    applied = send_for(_Applied, connection, queries.profiles_of, ids=list(endpoint_ids)).fetchall()
    changed = [(each.endpoint_id, each.profile_id) for each in applied if each.profile_id != each.assigned]
    if changed:
        ids, profile_ids = zip(*changed, strict=True)
        queries.assign_profiles(connection, ids=list(ids), profile_ids=list(profile_ids))
    plans = {each.profile_id: stored_plan(each.plan) for each in applied}
    return {
        each.endpoint_id: _bounded(each.endpoint_id, planned(plans[each.profile_id], each.objects or ()))
        for each in applied
    }


def _bounded(endpoint_id: int, asked: list[Planned]) -> list[Planned]:
    if len(asked) > MAX_PLANNED_OPERATIONS_PER_REGISTRATION:
        log.warning(
            "the profile asks more of endpoint %d than %d operations; the rest is left out",
            endpoint_id, MAX_PLANNED_OPERATIONS_PER_REGISTRATION,
        )  # fmt: skip
    return asked[:MAX_PLANNED_OPERATIONS_PER_REGISTRATION]


def queue_planned(connection: Connection, asked: Iterable[Asked], *, again: bool) -> None:
    """Queue operations; those that their registration has are left alone, or queued anew with `again`."""
    rows = list(asked)
    if not rows:
        return
    queries.queue_planned(
        connection,
        endpoint_ids=[each.endpoint_id for each in rows],
        registration_ids=[each.registration_id for each in rows],
        operation_types=[each.operation.operation for each in rows],
        single_paths=[each.operation.path for each in rows],
        several_paths=[
            None if each.operation.paths is None else Jsonb(list(each.operation.paths)) for each in rows
        ],
        attributes=[
            None if each.operation.value is None else Jsonb(dict(each.operation.value)) for each in rows
        ],
        again=again,
    )
