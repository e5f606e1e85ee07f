"""What the outcome of a call means for its message. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

TRANSIENT: Final = frozenset({408, 425, 429})
"""Of the 4xx those after which the same request may succeed later."""
SHOWN: Final = 200
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
class Outcome:
    """How a call went: a status, or no answer for a reason such as a refused connection."""

    status: int | None
    reason: str = ""
    retry_after: float | None = None
    """Seconds, as the answer's Retry-After had it."""

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.status or ""), self.reason) if part)


def shown(text: str) -> str:
    """Return the beginning of what a function says, in one line."""
    return " ".join(text[:SHOWN].split())


class _Each(msgspec.Struct):
    """What a function says of one of the messages that it was called with."""

    status: int
    detail: str = ""


_decode = msgspec.json.Decoder(list[_Each]).decode


def outcomes(outcome: Outcome, answer: bytes, count: int) -> Sequence[Outcome] | None:
    """Return what became of each message of a call with `count` of them, by the call's outcome and answer.

    A function that takes several answers 2xx with a JSON array of {"status", "detail"}, one for each. None
    where it does not take these together: it refuses them as a whole, or answers anything else.
    """
    if isinstance(decision := Policy().decide(outcome, 1, 0.0), Nak):
        return [outcome] * count
    if isinstance(decision, Term):
        return None
    try:
        each = _decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return [Outcome(one.status, shown(one.detail)) for one in each] if len(each) == count else None


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how soon to try again. Delays are in seconds."""

    max_deliveries: int = 20
    base: float = 0.5
    cap: float = 30.0

    def delay(self, delivery: int, luck: float) -> float:
        """Return the wait after delivery 1, 2, ...: doubling, bounded.

        `luck` (0 to 1) takes up to a half off, so that many do not come again at the same moment.
        """
        return min(self.cap, self.base * 2.0 ** min(delivery - 1, 32)) * (1.0 - luck / 2)

    def decide(self, outcome: Outcome, delivery: int, luck: float) -> Decision:
        """Decide about a message's delivery number 1, 2, ... by the outcome of its call."""
        status = outcome.status
        if status is not None and 200 <= status < 300:
            return Ack()
        if status is not None and status < 500 and status not in TRANSIENT:
            return Term(f"refused: {outcome}")
        if delivery >= self.max_deliveries:
            return Term(f"given up after {delivery} deliveries: {outcome}", given_up=True)
        wait = self.delay(delivery, luck)
        if outcome.retry_after is not None:
            wait = max(wait, min(outcome.retry_after, self.cap))
        return Nak(wait, str(outcome))


def retry_after(header: str | None) -> float | None:
    """Read a Retry-After header's seconds; a date, or nonsense, is None."""
    if header is None or not header.strip().isascii() or not header.strip().isdigit():
        return None
    return float(header.strip()[:9])
