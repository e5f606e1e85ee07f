"""Endpoints: who is registered, and what the observe plan asks of those who register."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb

from flownexus.leshan.webhook import EventType, Registration
from flownexus.operations.plan import PlanRow, planned_operations
from flownexus.operations.reconciliation import first_look
from flownexus.store import queries, send_for

log = logging.getLogger(__name__)

DEFAULT_LIFETIME_S: Final = 86_400
"""Seconds that a registration lasts whose lifetime nobody told (OMA LwM2M Core 1.1, 6.2.1)."""
MAX_PLANNED_OPERATIONS_PER_REGISTRATION: Final = 1000
"""How many operations the observe plan may queue for one registration."""


class RegistrationEvent(NamedTuple):
    """A registration event of one endpoint, and the date that it tells, by its sender's clock."""

    endpoint_id: int
    event_type: EventType
    registration: Registration
    date: datetime | None


def apply_registration_events(connection: Connection, events: Sequence[RegistrationEvent]) -> None:
    """Bring endpoints up to date with registration events, in their order, and queue the observe plan."""
    if not events:
        return
    queries.lock_endpoints(connection, ids=sorted({event.endpoint_id for event in events}))
    plan: list[PlanRow] | None = None
    for endpoint_id, event_type, registration, date in events:
        if event_type is EventType.UNREGISTERED:
            queries.unregister(
                connection, endpoint_id=endpoint_id, registration_id=registration.id, date=date
            )
            continue
        if event_type is EventType.HEARD:
            queries.hear(
                connection,
                endpoint_id=endpoint_id,
                registration_id=registration.id,
                address=registration.address,
                heard_since=registration.heard_since,
            )
            continue
        registered = event_type is EventType.REGISTERED
        if registered and plan is None:
            plan = enabled_plan(connection)
        (queries.register if registered else queries.update_registration)(
            connection,
            endpoint_id=endpoint_id,
            registration_id=registration.id,
            address=registration.address,
            lifetime=registration.lifetime,
            binding=registration.binding,
            version=registration.version,
            objects=None if registration.objects is None else list(registration.objects),
            content_formats=(
                None if registration.content_formats is None else list(registration.content_formats)
            ),
            object_versions=(
                None if registration.object_versions is None else Jsonb(registration.object_versions)
            ),
            default_lifetime=DEFAULT_LIFETIME_S,
            heard_since=registration.heard_since,
            awake_s=registration.awake_s,
            awake_told=registration.awake_told,
            **({"look_after": first_look(plan), "date": date} if registered and plan is not None else {}),
        )
        if registered and registration.id is not None and plan is not None:
            _queue_plan(connection, endpoint_id, registration, plan)


def enabled_plan(connection: Connection) -> list[PlanRow]:
    """Return the rows of the observe plan that are enabled."""
    return send_for(PlanRow, connection, queries.enabled_plan).fetchall()


def _queue_plan(
    connection: Connection, endpoint_id: int, registration: Registration, plan: Sequence[PlanRow]
) -> None:
    queries.drop_older_plan(connection, endpoint_id=endpoint_id, registration_id=registration.id)
    planned = planned_operations(plan, registration.objects or ())
    operations = list(islice(planned, MAX_PLANNED_OPERATIONS_PER_REGISTRATION))
    if next(planned, None) is not None:
        log.warning(
            "the observe plan asks more of endpoint %d than %d operations; the rest is left out",
            endpoint_id, MAX_PLANNED_OPERATIONS_PER_REGISTRATION,
        )  # fmt: skip
    if operations:
        operation_types, paths = zip(*operations, strict=True)
        queries.add_planned_operations(
            connection,
            endpoint_id=endpoint_id,
            registration_id=registration.id,
            operation_types=list(operation_types),
            paths=list(paths),
        )
