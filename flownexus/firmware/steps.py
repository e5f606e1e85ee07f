"""Steps that several states of an update share: its end, a retry, a question to the device."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from flownexus.firmware.device import MAY_PASS, RESULTS
from flownexus.firmware.state import Failure, State
from flownexus.firmware.update import Step, Terms, Update
from flownexus.operations.lifecycle import Status, Verdict

MAX_TRIES: Final = 3
"""How often a package is offered to a device before the update fails."""
SETTLING_S: Final = 5.0
"""Seconds after a command during which a device may report idle because it has not started yet."""
MAX_ASK_DOUBLINGS: Final = 5


def confirmed(update: Update) -> Step:
    """Return the end of a successful update."""
    if update.by_version:
        return Step(State.CONFIRMED, f"the device reports version {update.version}")
    return Step(State.CONFIRMED, "the device reports success (result 1)")


def unsuccessful(update: Update, terms: Terms, result: int) -> Step:
    """Return the step after a device reported a failure as its result."""
    failure, words = RESULTS.get(result, (Failure.GIVEN_UP, "the device reports an unknown result"))
    words = f"{words} (result {result})"
    return retry(update, terms, failure, words) if result in MAY_PASS else failed(failure, words)


def refused(update: Update, terms: Terms, what: str) -> Step:
    """Return the step after a failed command."""
    if update.command_status in (Status.CANCELLED, Status.EXPIRED):
        return retry(
            update,
            terms,
            Failure.NO_ANSWER,
            f"operation {update.command} was {str(update.command_status).lower()}",
        )
    if update.command_verdict == Verdict.REFUSED:
        return retry(update, terms, Failure.REFUSED, f"the device refused {what}: {update.command_reason}")
    return retry(
        update,
        terms,
        Failure.NO_ANSWER,
        f"the device was not told {what}: {update.command_reason}",
    )


def refused_once_asked(update: Update, terms: Terms, what: str) -> Step | None:
    """Ask the device for its state before its refusal counts.

    If the first answer was lost, the device got the command twice and refuses what it already does.
    """
    if update.command_verdict not in (Verdict.REFUSED, Verdict.FAILED):
        return refused(update, terms, what)
    unanswered = update.state_ask_status in (Status.FAILED, Status.EXPIRED, Status.CANCELLED)
    if is_after(update.device_state_at, update.command_ended_at) or (
        unanswered and is_after(update.state_ask_ended_at, update.command_ended_at)
    ):
        return refused(update, terms, what)
    return ask_when_due(update, terms, SETTLING_S)


def retry(update: Update, terms: Terms, failure: Failure, words: str) -> Step:
    """Retry later, or give up after the third try; a try that failed before the offer counts, too."""
    unoffered = State(update.state) in (State.ASKING, State.RESETTING)
    tries = update.tries + unoffered
    if tries >= MAX_TRIES:
        return failed(failure, f"{words}; given up after {MAX_TRIES} tries")
    wait = terms.patience.retry * 2 ** (tries - 1)
    return Step(
        State.WAITING,
        f"{words}; the next try comes in {span_in_words(wait)}",
        failure=failure,
        wait=wait,
        is_try=unoffered,
    )


def failed(failure: Failure, words: str) -> Step:
    """Return the end of a failed update."""
    return Step(State.FAILED, words, failure=failure)


def ask_when_due(update: Update, terms: Terms, after: float | None = None) -> Step | None:
    """Ask a device that is silent or has registered again since the last question, or return None."""
    if update.ask_is_open:
        return None
    anew = update.registration_id != update.registration_seen
    silence = (after or terms.patience.ask) * (1 if after else 2 ** min(update.asks, MAX_ASK_DOUBLINGS))
    if anew or update.is_past(update.heard_at, silence):
        return Step(State(update.state), asks=True)
    return None


def has_settled(update: Update) -> bool:
    """Say whether the device reported its state long enough after the last command to have started."""
    return (
        update.device_state_at is not None
        and update.command_ended_at is not None
        and update.device_state_at - update.command_ended_at >= timedelta(seconds=SETTLING_S)
    )


def is_after(time: datetime | None, other: datetime | None) -> bool:
    """Say whether a time is known and later than another."""
    return time is not None and other is not None and time > other


def span_in_words(seconds: float) -> str:
    """Write a span of time in words."""
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
