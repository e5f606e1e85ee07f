"""The activity of a device as its page shows it: what is repeated is told once, what waits says why."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby, islice
from typing import Final, NamedTuple

from flownexus.operations.lifecycle import ENDED
from flownexus.store.activity import Activity, activity_of
from flownexus.store.operation_why import reasons_of
from flownexus.store.pool import Pool

LOOKED_AT: Final = 120
"""How many things are looked up: of those that are told once there may be many."""
SHOWN: Final = 40
MAX_REASONS: Final = 5
"""Of so many operations that wait it is told why."""


class Entry(NamedTuple):
    """What the page tells of once: the newest of `times` that are alike."""

    activity: Activity
    times: int
    why: str | None


def timeline(pool: Pool, endpoint: str) -> list[Entry]:
    """Return what happened last with a device, the newest first."""
    shown = list(islice(once(activity_of(pool, endpoint, LOOKED_AT)), SHOWN))
    waiting = [id_ for each in shown if (id_ := _waiting(each.activity)) is not None][:MAX_REASONS]
    reasons = reasons_of(pool, waiting)
    return [each._replace(why=reasons.get(_waiting(each.activity) or 0)) for each in shown]


def once(activity: Iterable[Activity]) -> Iterable[Entry]:
    """Yield updates of a registration that follow one another as one; all else by itself."""
    for is_update, run in groupby(activity, key=lambda each: (each.kind, each.what) == ("event", "updated")):
        alike = list(run)
        if is_update:
            yield Entry(alike[0], len(alike), None)
        else:
            yield from (Entry(each, 1, None) for each in alike)


def _waiting(activity: Activity) -> int | None:
    """Return the id of an operation that waits."""
    return activity.id if activity.kind == "operation" and activity.status not in ENDED else None
