"""What became of each thing that a profile asks of a device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from flownexus.operations.catalogue import KINDS
from flownexus.operations.lifecycle import Status
from flownexus.operations.plan import Planned, PlannedKey


class State(StrEnum):
    """Where a thing that a profile asks for stands."""

    TO_BE_QUEUED = "to-be-queued"
    """It is asked for since the endpoint was last looked at, which is within seconds."""
    QUEUED = "queued"
    UNDER_WAY = "under-way"
    OBSERVED = "observed"
    DONE = "done"
    """It was read, or its attributes are written."""
    REFUSED = "refused"
    """The device refused it, has no room for it, or did not answer: `reason` says which."""
    CANCELLED = "cancelled"
    """A user cancelled it; it comes back when the device registers anew."""
    ENDING = "ending"
    """It is not asked for any more, and the device is to be told."""


class PlanRow(NamedTuple):
    """An operation of a profile in the current registration, as its row has it."""

    id: int
    operation: str
    path: str | None
    paths: Sequence[str] | None
    value: Mapping[str, Any] | None
    status: str
    reason: str | None
    withdrawn: bool
    created_at: datetime
    last_attempt_at: datetime | None
    finished_at: datetime | None
    value_at: datetime | None

    @property
    def key(self) -> PlannedKey:
        """Return what tells it from the others of a registration."""
        return self.operation, self.path, None if self.paths is None else tuple(self.paths)


@dataclass(frozen=True)
class PlanState:
    """What a profile asks for, and what became of it: since when, why, and its newest value."""

    planned: Planned
    state: State
    row: PlanRow | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        row = self.row
        since = None if row is None else row.finished_at or row.last_attempt_at or row.created_at
        value_at = None if row is None or not KINDS[row.operation].brings_values else row.value_at
        return {
            "operation": self.planned.operation,
            **(
                {"path": self.planned.path}
                if self.planned.paths is None
                else {"paths": list(self.planned.paths)}
            ),
            "attributes": self.planned.value,
            "state": str(self.state),
            "since": since and since.isoformat(),
            "reason": row and row.reason,
            "last_value_at": value_at and value_at.isoformat(),
            "operation_id": row and row.id,
        }


def states(asked: Iterable[Planned], rows: Iterable[PlanRow]) -> list[PlanState]:
    """Say of each thing that is asked for what became of it; then what is being ended."""
    known = {row.key: row for row in rows}
    wanted = list(asked)
    found = [_state(each, known.get(each.key)) for each in wanted]
    keys = {each.key for each in wanted}
    ending = [
        PlanState(Planned(row.operation, row.path, key[2], row.value), State.ENDING, row)
        for key, row in known.items()
        if key not in keys and row.status in (Status.QUEUED, Status.SENDING)
    ]
    return [*found, *ending]


def _state(planned: Planned, row: PlanRow | None) -> PlanState:
    if row is None or row.withdrawn or (planned.value is not None and planned.value != row.value):
        return PlanState(planned, State.TO_BE_QUEUED, None)
    match row.status:
        case Status.QUEUED:
            state = State.QUEUED
        case Status.SENDING:
            state = State.UNDER_WAY
        case Status.CONFIRMED:
            state = State.OBSERVED if KINDS[planned.operation].observes else State.DONE
        case Status.FAILED:
            state = State.REFUSED
        case _:
            state = State.CANCELLED
    return PlanState(planned, state, row)
