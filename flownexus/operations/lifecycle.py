"""What an attempt's end means for the operation.

An operation goes QUEUED -> SENDING -> CONFIRMED | FAILED | back to QUEUED. Everything here is decided from
values alone; the store keeps it, flownexus.leshan sends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from flownexus.operations.write_format import WriteFormat

MAX_ATTEMPTS: Final = 3
"""An operation has failed after so many attempts of which nobody knows how they ended."""
RETRY_DELAYS_S: Final = (5.0, 30.0, 120.0)
"""Seconds after which a device that answered with an error that may pass is asked again."""
MAX_ANSWERED_ATTEMPTS: Final = 1 + len(RETRY_DELAYS_S)
"""An operation has failed after so many attempts, the last of which was answered."""
ONGOING_DELAY_S: Final = 1.0
"""Seconds after which it is asked again how far the device is: meanwhile others may ask it something."""
MAX_REASON: Final = 500  # characters


class Status(StrEnum):
    """Where an operation stands; those in ENDED are final."""

    QUEUED = "QUEUED"
    SENDING = "SENDING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


ENDED: Final = frozenset(Status) - {Status.QUEUED, Status.SENDING}


class Verdict(StrEnum):
    """What an exchange means, whatever the operation."""

    CONFIRMED = "confirmed"
    """The device did it."""
    ONGOING = "ongoing"
    """The device is at it: asked again, Leshan says how far it is."""
    REFUSED = "refused"
    """The device refuses it for good, or answered what nobody can read: asked again, it does the same."""
    INVALID = "invalid"
    """Leshan refuses it for good, before anything was sent."""
    ABSENT = "absent"
    """Nothing was sent: the device sleeps or is not registered."""
    AWAY = "away"
    """Nothing was sent: Leshan is away, or does not take our requests."""
    FAILED = "failed"
    """The device answered that it failed at it; soon it may not."""
    UNKNOWN = "unknown"
    """It was sent, and nobody knows what the device made of it."""
    INTERRUPTED = "interrupted"
    """The same, for the device registered anew meanwhile: Leshan then gives up what it had asked before."""


ANSWERED: Final = frozenset({Verdict.CONFIRMED, Verdict.REFUSED, Verdict.FAILED})
"""Verdicts by which the device was heard."""


class Earlier(NamedTuple):
    """What an answer has of a time before its newest: the content, and its time where the device says it."""

    content: Any
    time_ms: int | None


@dataclass(frozen=True)
class Outcome:
    """A verdict, why, the CoAP status as Leshan writes it, and the content the device sent.

    `time_ms` is the time of the content, in epoch milliseconds: the device's own, or when Leshan received the
    answer, where it tells one of them. `history` is what the answer has of earlier times, oldest first.
    """

    verdict: Verdict
    reason: str | None = None
    coap_status: str | None = None
    content: Any = None
    time_ms: int | None = None
    history: Sequence[Earlier] = ()


class Wait(StrEnum):
    """What an operation that is QUEUED again waits for."""

    NOTHING = "nothing"
    NEWER_THAN_CLAIM = "newer than the claim"
    """A registered or updated event that came after the claim."""
    NEWER_THAN_NOW = "newer than now"
    """A registered or updated event after the failure was recorded."""


@dataclass(frozen=True)
class Attempt:
    """What of an operation under way decides about its end; `attempts` counts this one."""

    may_repeat: bool
    """It may be sent again when nobody knows whether it was done."""
    attempts: int
    formats: Sequence[WriteFormat] = ()
    """Of a write: the format it went in, and then those in which it has not gone yet."""


@dataclass(frozen=True)
class Settlement:
    """What becomes of an operation after an attempt."""

    status: Status
    reason: str | None = None
    result: dict[str, Any] | None = None
    content: Any = None
    history: Sequence[Earlier] = ()
    attempt_counts: bool = True
    wait: Wait = Wait.NOTHING
    refused_format: WriteFormat | None = None
    """The format that the device does not take; it is to be sent again in another."""
    delay_s: float | None = None
    """Seconds before which it is not to be sent again."""
    verdict: Verdict | None = None
    """What the exchange meant; None where there was none."""
    device_is_absent: bool = False
    """Nothing else is to be sent to the device before its next registered or updated event either."""
    leshan_is_away: bool = False


def settle(attempt: Attempt, outcome: Outcome) -> Settlement:
    """Decide what becomes of an operation whose attempt ended so.

    An attempt counts unless nothing left for the device. A device that answered is awake: it is asked again
    after a growing delay. One that did not is asked again after its next sign of life, and for the third time
    in vain. What nobody knows to have happened is not done twice, unless it may be.
    """
    return replace(_settle(attempt, outcome), verdict=outcome.verdict)


def _settle(attempt: Attempt, outcome: Outcome) -> Settlement:
    reason = _reason(outcome.reason)
    result: dict[str, Any] | None = {"status": outcome.coap_status} if outcome.coap_status else None
    if result is not None and outcome.content is not None:
        result["content"] = outcome.content
        if outcome.history:
            result["history"] = history_json(outcome.history)
    match outcome.verdict:
        case Verdict.CONFIRMED:
            return Settlement(Status.CONFIRMED, None, result, outcome.content, outcome.history)
        case Verdict.ONGOING:
            return Settlement(Status.QUEUED, reason, attempt_counts=False, delay_s=ONGOING_DELAY_S)
        case Verdict.REFUSED if len(attempt.formats) > 1 and (outcome.coap_status or "").endswith("(415)"):
            return Settlement(Status.QUEUED, reason, result, refused_format=attempt.formats[0])
        case Verdict.REFUSED:
            return Settlement(Status.FAILED, reason, result, outcome.content, outcome.history)
        case Verdict.INVALID:
            return Settlement(Status.FAILED, reason, attempt_counts=False)
        case Verdict.ABSENT:
            return Settlement(
                Status.QUEUED,
                reason,
                attempt_counts=False,
                wait=Wait.NEWER_THAN_CLAIM,
                device_is_absent=True,
            )
        case Verdict.AWAY:
            return Settlement(Status.QUEUED, reason, attempt_counts=False, leshan_is_away=True)
        case Verdict.UNKNOWN | Verdict.INTERRUPTED if not attempt.may_repeat:
            return Settlement(Status.FAILED, _reason(f"outcome unknown: {outcome.reason}"))
        case Verdict.FAILED:
            if attempt.attempts >= MAX_ANSWERED_ATTEMPTS:
                return Settlement(Status.FAILED, reason, result)
            return Settlement(Status.QUEUED, reason, result, delay_s=RETRY_DELAYS_S[attempt.attempts - 1])
        case Verdict.UNKNOWN | Verdict.INTERRUPTED:
            if attempt.attempts >= MAX_ATTEMPTS:
                return Settlement(Status.FAILED, reason, result)
            # The registration that interrupted it is the sign of life that it would wait for.
            interrupted = outcome.verdict is Verdict.INTERRUPTED
            wait = Wait.NEWER_THAN_CLAIM if interrupted else Wait.NEWER_THAN_NOW
            return Settlement(Status.QUEUED, reason, result, wait=wait)


def history_json(history: Sequence[Earlier]) -> list[dict[str, Any]]:
    """Return what an answer has of earlier times as the result of an operation tells it."""
    return [
        {"content": content} if time_ms is None else {"timestamp": time_ms, "content": content}
        for content, time_ms in history
    ]


def settle_unanswered() -> Settlement:
    """Decide what becomes of an operation whose claim was perhaps committed: PostgreSQL did not answer.

    Nothing was sent, since the worker did not know that the operation was its own: the attempt is given back.
    """
    reason = "PostgreSQL did not answer the claim; nothing was sent"
    return Settlement(Status.QUEUED, reason, attempt_counts=False)


def settle_unsent() -> Settlement:
    """Decide what becomes of an operation that was claimed by a worker that sends nothing any more."""
    return Settlement(Status.QUEUED, "the worker was stopped before it was sent", attempt_counts=False)


def settle_stopped(attempt: Attempt) -> Settlement:
    """Decide what becomes of an operation whose worker was stopped before its device answered."""
    return _settle_abandoned(attempt, "the worker was stopped before the device answered")


def settle_expired(attempt: Attempt) -> Settlement:
    """Decide what becomes of an operation whose worker never came back: its lease is over."""
    return _settle_abandoned(attempt, "the worker that sent it did not come back")


def _settle_abandoned(attempt: Attempt, reason: str) -> Settlement:
    """Decide what becomes of an operation that its worker left.

    The attempt counts, since the request may have left. It goes out again without waiting for the device: the
    failure was not the device's.
    """
    if not attempt.may_repeat:
        return Settlement(Status.FAILED, f"outcome unknown: {reason}")
    if attempt.attempts >= MAX_ATTEMPTS:
        return Settlement(Status.FAILED, reason)
    return Settlement(Status.QUEUED, reason)


def _reason(text: str | None) -> str | None:
    """Return a reason as the database can keep it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_REASON] if text else None
