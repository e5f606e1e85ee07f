"""What of a plan is to be queued anew, or ended, in a registration.

A device whose confirmable notification goes unanswered forgets its observer and stays registered (RFC 7641,
4.5): nothing tells of it but its silence. A client may register its interest again at any time (RFC 7641,
3.3.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from flownexus.operations.catalogue import KINDS
from flownexus.operations.lifecycle import Status
from flownexus.operations.plan import Planned, PlannedKey

FIRST_LOOK: Final = timedelta(seconds=60)
"""After a registration, unless it is known to report sooner."""
LOOK_AGAIN: Final = timedelta(seconds=10)
"""After which what stood in the way, for it was under way, is looked at again."""
_ENDS: Final[Mapping[str, str]] = {
    "observe": "cancel-observe",
    "observe-composite": "cancel-observe-composite",
}
"""What ends an observation, by what begins it."""
_BEGINS: Final[Mapping[str, str]] = {end: begin for begin, end in _ENDS.items()}


class Row(NamedTuple):
    """A planned operation of the current registration, as its row has it."""

    endpoint_id: int
    id: int
    operation: str
    path: str | None
    paths: Sequence[str] | None
    value: Mapping[str, Any] | None
    status: str
    finished_at: datetime | None
    withdrawn: bool
    """The plan did not ask for it any more when it was last looked at."""
    value_at: datetime | None
    """When the newest value at its paths was measured; not after it was stored."""
    taken_back: bool
    """A user cancelled the observation since."""

    @property
    def key(self) -> PlannedKey:
        """Return what tells it from the others of a registration."""
        return self.operation, self.path, None if self.paths is None else tuple(self.paths)


class Changes(NamedTuple):
    """What is to be done for a registration to be as the plan has it."""

    queue: list[Planned]
    """In this order; what has a row is queued anew."""
    withdraw: list[int]
    """The rows that the plan does not ask for any more."""
    next_look: datetime | None
    """When to look again; None: nothing asks for it."""


def longest_silence(reports_within: int | None, refresh: timedelta) -> timedelta:
    """Return after which silence an observation counts as given up.

    Within pmax each device reports (OMA LwM2M Core 1.1, 5.1.2), and one report may be on its way; without one
    it is `refresh`, for a value that does not change is silent, too.
    """
    return refresh if reports_within is None else timedelta(seconds=2 * reports_within)


def first_look(plan: Iterable[Planned]) -> timedelta:
    """Return how long after a registration its observations are first looked at."""
    return min([FIRST_LOOK, *(longest_silence(each.reports_within, FIRST_LOOK) for each in plan)])


def changes(
    plan: Sequence[Planned],
    rows: Iterable[Row],
    now: datetime,
    refresh: timedelta,
    heard_since: datetime | None,
) -> Changes:
    """Compare a registration's rows to what the plan asks of its device."""
    known = {row.key: row for row in rows}
    wanted = {each.key for each in plan}
    begin: list[Planned] = []
    looks: list[datetime] = []
    for each in plan:
        row = known.get(each.key)
        at = renewal(each, row, now, refresh, heard_since)
        if at is not None and at <= now:
            begin.append(each)
            at = now + longest_silence(each.reports_within, refresh) if _observes(each.operation) else None
        if at is not None:
            looks.append(at)
    end: list[Planned] = []
    withdraw: list[int] = []
    for key, row in known.items():
        if key in wanted or row.withdrawn:
            continue
        if _observes(row.operation):
            if row.status == Status.SENDING:
                looks.append(now + LOOK_AGAIN)
                continue
            withdraw.append(row.id)
            if row.status == Status.CONFIRMED:
                end.append(Planned(_ENDS[row.operation], *key[1:]))
        elif row.operation == "write-attributes":
            if row.status == Status.SENDING:
                looks.append(now + LOOK_AGAIN)
            elif row.status == Status.CONFIRMED and any(
                value is not None for value in (row.value or {}).values()
            ):
                end.append(Planned(row.operation, row.path, value=dict.fromkeys(row.value or {})))
            elif row.status == Status.QUEUED and not _takes_back(row):
                withdraw.append(row.id)
        elif row.status == Status.QUEUED and (
            row.operation not in _BEGINS or (_BEGINS[row.operation], *key[1:]) in wanted
        ):
            withdraw.append(row.id)
    return Changes([*end, *begin], withdraw, min(looks, default=None))


def renewal(
    planned: Planned, row: Row | None, now: datetime, refresh: timedelta, heard_since: datetime | None
) -> datetime | None:
    """Return when a planned operation is to be queued, or queued anew; None where never in this registration.

    What is queued or under way is not queued a second time: it is looked at again later. A read is done once,
    and so are attributes, unless they are others. What has failed is tried anew after `refresh`. An
    observation that brought nothing since Leshan could not hear its device, before `heard_since`, is asked
    for at once.
    """
    if row is None or row.withdrawn:
        return now
    if planned.value is not None and row.value != planned.value:
        return now + LOOK_AGAIN if row.status == Status.SENDING else now
    if not _observes(planned.operation) or row.taken_back:
        return None
    silence = longest_silence(planned.reports_within, refresh)
    match row.status:
        case Status.QUEUED | Status.SENDING:
            return now + silence
        case Status.CANCELLED | Status.EXPIRED:
            return None
        case Status.FAILED:
            return (row.finished_at or now) + refresh
    heard = max(time for time in (row.finished_at, row.value_at) if time is not None)
    if heard_since is not None and heard < heard_since:
        return now
    return heard + silence


def _observes(operation: str) -> bool:
    return KINDS[operation].observes


def _takes_back(row: Row) -> bool:
    """Say whether attributes are taken back by it, all of them."""
    return all(value is None for value in (row.value or {}).values())
