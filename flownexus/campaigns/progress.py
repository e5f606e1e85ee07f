"""What a campaign does next, from how far its devices are.

Shares are of devices, and failures are counted of the updates that have ended: devices that sleep do not hide
that a package is bad. What is decided depends on the counts alone, so that whoever looks next says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from flownexus.campaigns.plan import Rules


class Status(StrEnum):
    """Where a campaign stands."""

    PLANNED = "PLANNED"
    """Nobody has started it yet."""
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    """By a person: nothing is started; updates that are open go on."""
    STOPPED = "STOPPED"
    """By itself: too many updates failed, or a wave has ended without enough success."""
    CANCELLED = "CANCELLED"
    FINISHED = "FINISHED"


class Action(StrEnum):
    """What a person does with a campaign."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    """Failures so far do not stop it any more."""
    CANCEL = "cancel"
    RETRY = "retry"
    """What has failed begins again; in a campaign that is paused, once that is resumed."""
    NEXT_WAVE = "next-wave"


ALLOWED: Final[Mapping[Action, tuple[frozenset[Status], Status]]] = {
    Action.START: (frozenset({Status.PLANNED}), Status.RUNNING),
    Action.PAUSE: (frozenset({Status.RUNNING}), Status.PAUSED),
    Action.RESUME: (frozenset({Status.PAUSED, Status.STOPPED}), Status.RUNNING),
    Action.CANCEL: (frozenset(Status) - {Status.CANCELLED, Status.FINISHED}, Status.CANCELLED),
    Action.RETRY: (
        frozenset({Status.RUNNING, Status.PAUSED, Status.STOPPED, Status.FINISHED}),
        Status.RUNNING,
    ),
    Action.NEXT_WAVE: (frozenset({Status.RUNNING, Status.STOPPED}), Status.RUNNING),
}
"""In which states an action is possible, and the one it leads to."""


class Wave(NamedTuple):
    """How far the devices of a wave are; those that were left out before they began are not counted."""

    wave: int
    waiting: int
    """Not begun."""
    open: int
    succeeded: int
    """CONFIRMED or SKIPPED."""
    failed: int
    cancelled: int

    @property
    def targets(self) -> int:
        """Return how many devices it has."""
        return self.waiting + self.open + self.succeeded + self.failed + self.cancelled

    @property
    def unfinished(self) -> int:
        """Return how many have not ended."""
        return self.waiting + self.open


@dataclass(frozen=True)
class Progress:
    """What the rows of a campaign say, at `now`."""

    status: Status
    wave: int
    """The wave that was opened last, from 1."""
    wave_opened_at: datetime | None
    wave_succeeded_at: datetime | None
    """When enough of this wave had succeeded."""
    starts_at: datetime | None
    ends_at: datetime | None
    now: datetime
    waves: Sequence[Wave]
    started_lately: int
    """Updates started within the last minute."""
    counted_succeeded: int
    """Updates that have ended since failures are counted."""
    counted_failed: int
    failures: Mapping[str, int] = field(default_factory=dict)
    """Of these by their kind."""


@dataclass(frozen=True)
class Move:
    """What a campaign does: where it stands then, why, and how many updates it starts."""

    status: Status
    wave: int
    start: int = 0
    words: str | None = None
    """None: nothing that is worth a row."""
    wave_succeeds: bool = False
    """Enough of the wave have succeeded: it soaks from now on."""


def decide(rules: Rules, progress: Progress) -> Move | None:
    """Return what a campaign does next; None where it waits."""
    if progress.status is not Status.RUNNING:
        return None
    if progress.starts_at is not None and progress.now < progress.starts_at:
        return None
    if (stop := _stop(rules, progress)) is not None:
        return stop
    is_over = progress.ends_at is not None and progress.now >= progress.ends_at
    if all(wave.unfinished == 0 for wave in progress.waves) and (is_over or not rules.joining):
        return Move(Status.FINISHED, progress.wave, words=_summary(progress))
    if is_over:
        waiting = sum(wave.waiting for wave in progress.waves)
        if waiting == 0:
            return None  # what is open goes on to its end
        words = f"its end has come; {_summary(progress)}, {waiting} have not begun"
        return Move(Status.FINISHED, progress.wave, words=words)
    return _next_wave(rules, progress) or _starts(rules, progress)


def _stop(rules: Rules, progress: Progress) -> Move | None:
    ended = progress.counted_succeeded + progress.counted_failed
    if ended < rules.min_finished:
        return None
    for kind, most in rules.failures_of.items():
        count = progress.failures.get(kind, 0)
        if count * 100 > most * ended:
            words = f"{count} of {ended} updates have failed by {kind}, more than {most:g} %"
            return Move(Status.STOPPED, progress.wave, words=words)
    if progress.counted_failed * 100 <= rules.failures * ended:
        return None
    kinds = ", ".join(
        f"{kind} {count}" for kind, count in sorted(progress.failures.items(), key=lambda each: -each[1])
    )
    share = f"{progress.counted_failed} of {ended} updates have failed, more than {rules.failures:g} %"
    return Move(Status.STOPPED, progress.wave, words=f"{share}: {kinds}")


def _next_wave(rules: Rules, progress: Progress) -> Move | None:
    """Open the next wave where this one has succeeded and soaked."""
    if progress.wave >= len(progress.waves):
        return None
    if progress.wave_succeeded_at is None:
        missing = _missing(rules, progress)
        if missing is None:
            return _stuck(rules, progress)
        without = "" if not missing else f" without {missing} that have not ended"
        return Move(
            Status.RUNNING,
            progress.wave,
            start=_room(rules, progress),
            words=f"wave {progress.wave} has succeeded{without}",
            wave_succeeds=True,
        )
    if rules.approval or progress.now - progress.wave_succeeded_at < timedelta(seconds=rules.soak):
        return None
    return Move(Status.RUNNING, progress.wave + 1, words=f"wave {progress.wave + 1} is open")


def _stuck(rules: Rules, progress: Progress) -> Move | None:
    """Stop where this wave has ended without enough success; what is yet to begin again may bring it."""
    wave = progress.waves[progress.wave - 1]
    if wave.unfinished or any(before.waiting for before in progress.waves[: progress.wave]):
        return None
    remedy = "retry what has failed, or open the next wave" if wave.failed else "open the next wave"
    return Move(
        Status.STOPPED,
        progress.wave,
        words=f"wave {wave.wave} has ended with {wave.succeeded} of {wave.targets} that succeeded, less than "
        f"{_needed(rules, progress):g} %: {remedy}",
    )


def _needed(rules: Rules, progress: Progress) -> float:
    return rules.first_success if progress.wave == 1 else rules.success


def _missing(rules: Rules, progress: Progress) -> int | None:
    """Return how many devices a wave goes on without; None where it does not go on."""
    wave, needed = progress.waves[progress.wave - 1], _needed(rules, progress)
    if wave.succeeded * 100 >= needed * wave.targets:
        return 0
    waited = progress.wave_opened_at is not None and progress.now - progress.wave_opened_at >= timedelta(
        seconds=rules.sleepers_after
    )
    may_be_missing = max(1, int(wave.targets * rules.sleepers / 100))
    ended = wave.targets - wave.unfinished
    if waited and wave.unfinished <= may_be_missing and wave.succeeded * 100 >= needed * ended:
        return wave.unfinished
    return None


def _starts(rules: Rules, progress: Progress) -> Move | None:
    start = _room(rules, progress)
    return Move(Status.RUNNING, progress.wave, start=start) if start else None


def _room(rules: Rules, progress: Progress) -> int:
    """Return how many updates may start now."""
    waiting = sum(wave.waiting for wave in progress.waves[: progress.wave])
    open_ = sum(wave.open for wave in progress.waves)
    return max(0, min(waiting, rules.max_open - open_, rules.starts_per_minute - progress.started_lately))


def _summary(progress: Progress) -> str:
    succeeded = sum(wave.succeeded for wave in progress.waves)
    failed = sum(wave.failed for wave in progress.waves)
    cancelled = sum(wave.cancelled for wave in progress.waves)
    words = f"{succeeded} have succeeded, {failed} have failed"
    return f"{words}, {cancelled} were cancelled" if cancelled else words
