"""What the result of a call means for its message. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

TRANSIENT_STATUSES: Final = frozenset({408, 425, 429})
"""Of the 4xx those after which the same request may succeed later."""
MAX_REASON_LENGTH: Final = 200
"""How many characters of what a function says of a refusal are kept, and logged."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Done with."""


@dataclass(frozen=True, slots=True)
class Nak:
    """To be delivered again after `delay` seconds."""

    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class Term:
    """Never to be delivered again."""

    reason: str
    given_up: bool = False
    """Whether it was tried as often as may be, and not refused."""


Decision = Ack | Nak | Term


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call went: a status, or no answer for a reason such as a refused connection."""

    status: int | None
    reason: str = ""
    retry_after: float | None = None
    """Seconds, as the answer's Retry-After had it."""

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.status or ""), self.reason) if part)


def one_line(text: str) -> str:
    """Return the beginning of what a function says, in one line."""
    return " ".join(text[:MAX_REASON_LENGTH].split())


class _EachResult(msgspec.Struct):
    """What a function says of one of the messages that it was called with."""

    status: int
    detail: str = ""


_decode = msgspec.json.Decoder(list[_EachResult]).decode


def batch_results(whole: CallResult, answer: bytes, count: int) -> Sequence[CallResult] | None:
    """Return what became of each message of a call with `count` of them, by the call's result and answer.

    A function that takes several answers 2xx with a JSON array of {"status", "detail"}, one for each. None
    where it does not take these together: it refuses them as a whole, or answers anything else.
    """
    if isinstance(decision := RetryPolicy().decide(whole, 1, 0.0), Nak):
        return [whole] * count
    if isinstance(decision, Term):
        return None
    try:
        each = _decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return [CallResult(one.status, one_line(one.detail)) for one in each] if len(each) == count else None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon to try again. Delays are in seconds."""

    max_deliveries: int = 20
    base: float = 0.5
    cap: float = 30.0

    def delay(self, delivery: int, jitter: float) -> float:
        """Return the wait after delivery 1, 2, ...: doubling, bounded.

        `jitter` (0 to 1) takes up to a half off, so that many do not come again at the same moment.
        """
        return min(self.cap, self.base * 2.0 ** min(delivery - 1, 32)) * (1.0 - jitter / 2)

    def decide(self, result: CallResult, delivery: int, jitter: float) -> Decision:
        """Decide about a message's delivery number 1, 2, ... by the result of its call."""
        status = result.status
        if status is not None and 200 <= status < 300:
            return Ack()
        if status is not None and status < 500 and status not in TRANSIENT_STATUSES:
            return Term(f"refused: {result}")
        if delivery >= self.max_deliveries:
            return Term(f"given up after {delivery} deliveries: {result}", given_up=True)
        wait = self.delay(delivery, jitter)
        if result.retry_after is not None:
            wait = max(wait, min(result.retry_after, self.cap))
        return Nak(wait, str(result))


def retry_after(header: str | None) -> float | None:
    """Read a Retry-After header's seconds; a date, or nonsense, is None."""
    if header is None or not header.strip().isascii() or not header.strip().isdigit():
        return None
    return float(header.strip()[:9])
