"""Endpoints: who is registered, and what profiles ask of those who register."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb

from flownexus.leshan.webhook import EventType
from flownexus.leshan.webhook_registration import Registration
from flownexus.operations.reconciliation import FIRST_LOOK, first_look
from flownexus.store import queries
from flownexus.store.planned import Asked, plans_of, queue_planned

DEFAULT_LIFETIME_S: Final = 86_400
"""Seconds that a registration lasts whose lifetime nobody told (OMA LwM2M Core 1.1, 6.2.1)."""


class RegistrationEvent(NamedTuple):
    """A registration event of one endpoint, and the date that it tells, by its sender's clock."""

    endpoint_id: int
    event_type: EventType
    registration: Registration
    date: datetime | None


def apply_registration_events(connection: Connection, events: Sequence[RegistrationEvent]) -> None:
    """Bring endpoints up to date with registration events, in their order, and queue what profiles ask."""
    if not events:
        return
    queries.lock_endpoints(connection, ids=sorted({event.endpoint_id for event in events}))
    registered: dict[int, str] = {}
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
        is_new = event_type is EventType.REGISTERED
        (queries.register if is_new else queries.update_registration)(
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
            secure=registration.secure,
            **({"look_after": FIRST_LOOK, "date": date} if is_new else {}),
        )
        if is_new and registration.id is not None:
            registered[endpoint_id] = registration.id
    if registered:
        _queue_plans(connection, registered)


def _queue_plans(connection: Connection, registered: Mapping[int, str]) -> None:
    """Queue what the profiles of endpoints ask for in these registrations."""
    plans = plans_of(connection, list(registered))
    queries.drop_older_plans(
        connection, endpoint_ids=list(registered), registration_ids=list(registered.values())
    )
    queue_planned(
        connection,
        (Asked(id_, registered[id_], operation) for id_, plan in plans.items() for operation in plan),
        again=False,
    )
    looks = {id_: first_look(plan) for id_, plan in plans.items()}
    sooner = {id_: look for id_, look in looks.items() if look < FIRST_LOOK}
    if sooner:
        queries.look_sooner(connection, ids=list(sooner), looks=list(sooner.values()))
