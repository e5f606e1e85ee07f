"""Decide what the end of an attempt means for its operation.

An operation goes QUEUED -> SENDING -> CONFIRMED | FAILED | back to QUEUED. This module is pure; the store
persists the decision, and flownexus.leshan sends the operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from flownexus.operations.write_format import WriteFormat

MAX_ATTEMPTS: Final = 3
"""An operation fails after this many attempts with an unknown outcome."""
RETRY_DELAYS_S: Final = (5.0, 30.0, 120.0)
"""The back-off, in seconds, after a transient error of the device."""
MAX_ANSWERED_ATTEMPTS: Final = 1 + len(RETRY_DELAYS_S)
"""An operation fails after this many attempts if the last one was answered."""
ONGOING_DELAY_S: Final = 1.0
"""The polling interval of an ongoing operation, in seconds; other operations may be sent in between."""
MAX_REASON: Final = 500  # characters


class Status(StrEnum):
    """The status of an operation; those in ENDED are final."""

    QUEUED = "QUEUED"
    SENDING = "SENDING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


ENDED: Final = frozenset(Status) - {Status.QUEUED, Status.SENDING}


class Verdict(StrEnum):
    """What an exchange means, for any kind of operation."""

    CONFIRMED = "confirmed"
    """The device executed it."""
    ONGOING = "ongoing"
    """The device is still executing it; Leshan reports the progress when polled."""
    REFUSED = "refused"
    """The device refused it permanently, or its answer cannot be decoded; a retry is pointless."""
    INVALID = "invalid"
    """Leshan refused it permanently, before anything was sent."""
    ABSENT = "absent"
    """Nothing was sent: the device sleeps or is not registered."""
    AWAY = "away"
    """Nothing was sent: Leshan is away, or does not accept our requests."""
    FAILED = "failed"
    """The device answered with a transient error."""
    UNKNOWN = "unknown"
    """It was sent, and the outcome is unknown."""
    INTERRUPTED = "interrupted"
    """The same, because the device registered again meanwhile: Leshan then abandons earlier requests."""


ANSWERED: Final = frozenset({Verdict.CONFIRMED, Verdict.REFUSED, Verdict.FAILED})
"""Verdicts that imply an answer from the device."""


class Earlier(NamedTuple):
    """An older value in an answer: its content, and its time if the device sent one."""

    content: Any
    time_ms: int | None


@dataclass(frozen=True)
class Outcome:
    """A verdict, its reason, the CoAP status as Leshan writes it, and the content from the device.

    `time_ms` is the time of the content in epoch milliseconds: the device's own, or else the time of receipt
    at Leshan, if known. `history` contains the older values of the answer, oldest first.
    """

    verdict: Verdict
    reason: str | None = None
    coap_status: str | None = None
    content: Any = None
    time_ms: int | None = None
    history: Sequence[Earlier] = ()


class Wait(StrEnum):
    """What a requeued operation waits for."""

    NOTHING = "nothing"
    NEWER_THAN_CLAIM = "newer than the claim"
    """A registered or updated event after the claim."""
    NEWER_THAN_NOW = "newer than now"
    """A registered or updated event after the failure was recorded."""


@dataclass(frozen=True)
class Attempt:
    """The facts of an attempt that decide what follows; `attempts` includes this one."""

    may_repeat: bool
    """Whether it is idempotent, so that it may be sent again when the outcome is unknown."""
    attempts: int
    formats: Sequence[WriteFormat] = ()
    """Of a write: the format that was sent, then the formats that were not tried yet."""


@dataclass(frozen=True)
class Settlement:
    """What follows for an operation after an attempt."""

    status: Status
    reason: str | None = None
    result: dict[str, Any] | None = None
    content: Any = None
    history: Sequence[Earlier] = ()
    attempt_counts: bool = True
    wait: Wait = Wait.NOTHING
    refused_format: WriteFormat | None = None
    """The format that the device does not support; the operation is sent again in another one."""
    delay_s: float | None = None
    """Seconds until it may be sent again."""
    verdict: Verdict | None = None
    """What the exchange meant; None without an exchange."""
    device_is_absent: bool = False
    """Whether nothing else may be sent to the device before its next registered or updated event."""
    leshan_is_away: bool = False


def settle(attempt: Attempt, outcome: Outcome) -> Settlement:
    """Decide what follows for an operation after an attempt with this outcome.

    An attempt counts unless nothing was sent. A device that answered is awake, so the retry follows after a
    growing delay. Without an answer, the retry waits for the device's next contact, up to the third attempt.
    An operation with an unknown outcome is not repeated unless it is idempotent.
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
