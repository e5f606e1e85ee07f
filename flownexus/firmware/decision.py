"""The update of one device: decide the next step from the state of the device and its operations.

The device's state machine is that of OMA LwM2M Core 1.1, appendix E.6: /5/0/3 (state) goes from 0 through 1
and 2 to 3, and /5/0/5 (result) reports the outcome. Ours is

    QUEUED -> ASKING -> (RESETTING ->) OFFERING -> DOWNLOADING -> (DOWNLOADED ->) INSTALLING
           -> (RETURNED ->) CONFIRMED

A transient failure leads through WAITING back to ASKING. A report from the device counts if it is newer than
the command before it; what the device does not report is read from it. All state of an update is in its row,
so decide() is deterministic.
"""

from __future__ import annotations

from typing import Final

from flownexus.firmware import asking, cancelling, downloading, installing
from flownexus.firmware.device import FIRMWARE, TIME_ZONE
from flownexus.firmware.state import ENDED, Failure, State
from flownexus.firmware.steps import failed, span_in_words
from flownexus.firmware.update import Step, Terms, Update
from flownexus.firmware.window import DEVICE
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue.one_path import Read


def decide(update: Update, terms: Terms) -> Step | None:
    """Return the next step of an update, or None if it waits."""
    state = State(update.state)
    if state in ENDED:
        return None
    is_asked_to_end = update.cancelled_by is not None and state is not State.CANCELLING
    if is_asked_to_end and cancelling.can_be_stopped(update):
        return cancelling.cancel(update)
    if _is_out_of_time(update, terms):
        return failed(Failure.TIMED_OUT, f"it did not end within {span_in_words(terms.patience.limit)}")
    return _RULES[state](update, terms)


def reads(update: Update) -> tuple[Read, ...]:
    """Return the reads for the device's state: its firmware object, and its version if that decides."""
    asked = [Read(path=FIRMWARE)]
    if update.by_version:
        asked.append(Read(path=Path.parse(update.version_path)))
    return tuple(asked)


def zone_read(update: Update) -> Read | None:
    """Return the read for the device's time zone, if its windows are in that zone."""
    schedule = update.schedule
    return Read(path=TIME_ZONE) if schedule is not None and schedule.time_zone == DEVICE else None


def _is_out_of_time(update: Update, terms: Terms) -> bool:
    """Say whether the update has taken too long; with windows, whether its last step has."""
    if update.install_in is None:
        return update.is_past(update.created_at, terms.patience.limit)
    return update.state != State.DOWNLOADED and update.is_past(update.since, terms.patience.limit)


_RULES: Final = {
    State.QUEUED: asking.begin,
    State.WAITING: asking.begin,
    State.ASKING: asking.answered,
    State.RESETTING: asking.forgotten,
    State.OFFERING: asking.offered,
    State.DOWNLOADING: downloading.downloading,
    State.DOWNLOADED: downloading.downloaded,
    State.INSTALLING: installing.told,
    State.DEFERRED: installing.told,
    State.RETURNED: installing.returned,
    State.CANCELLING: cancelling.told_to_forget,
}
