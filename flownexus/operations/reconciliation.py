"""When an operation of the observe plan is to be queued anew.

A device whose confirmable notification goes unanswered forgets its observer and stays registered (RFC 7641,
4.5): nothing tells of it but its silence. A client may register its interest again at any time (RFC 7641,
3.3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from flownexus.operations.catalogue import KINDS
from flownexus.operations.lifecycle import Status
from flownexus.operations.plan import PlanRow

FIRST_LOOK: Final = timedelta(seconds=60)
"""After a registration, unless a pmax proves silence sooner."""


class Known(NamedTuple):
    """What is known of a planned operation in the current registration."""

    status: Status | None
    """None: it was never queued, for the device or the plan did not have it then."""
    finished_at: datetime | None
    value_at: datetime | None
    """When the newest value at its path was measured; not after it was stored."""
    taken_back: bool
    """A user cancelled the observation since."""


def longest_silence(row: PlanRow, refresh: timedelta) -> timedelta:
    """Return after which silence an observation counts as given up.

    Within pmax each device reports (OMA LwM2M Core 1.1, 5.1.2), and one report may be on its way; without one
    it is `refresh`, for a value that does not change is silent, too.
    """
    return refresh if row.pmax is None else timedelta(seconds=2 * row.pmax)


def first_look(plan: Sequence[PlanRow]) -> timedelta:
    """Return how long after a registration its observations are first looked at."""
    return min([FIRST_LOOK, *(longest_silence(row, FIRST_LOOK) for row in plan)])


def renewal(
    row: PlanRow, known: Known, now: datetime, refresh: timedelta, heard_since: datetime | None
) -> datetime | None:
    """Return when a planned operation is to be queued anew; None where never in this registration.

    What is queued or under way is not queued a second time: it is looked at again later. A read is done once.
    What has failed is tried anew after `refresh`. An observation that brought nothing since Leshan could not
    hear its device, before `heard_since`, is asked for at once.
    """
    if known.status is None:
        return now
    if not KINDS[row.operation_type].observes or known.taken_back:
        return None
    silence = longest_silence(row, refresh)
    match known.status:
        case Status.QUEUED | Status.SENDING:
            return now + silence
        case Status.CANCELLED | Status.EXPIRED:
            return None
        case Status.FAILED:
            return (known.finished_at or now) + refresh
    heard = max(time for time in (known.finished_at, known.value_at) if time is not None)
    if heard_since is not None and heard < heard_since:
        return now
    return heard + silence
