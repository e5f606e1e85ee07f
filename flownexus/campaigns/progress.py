"""Decide the next move of a campaign from the progress of its devices.

The share of failures is relative to the ended updates, so sleeping devices cannot hide a bad package. The
decision depends only on the counts, so it is deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from flownexus.campaigns.plan import Rules


class Status(StrEnum):
    """The status of a campaign."""

    PLANNED = "PLANNED"
    """Nobody has started it yet."""
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    """By a person: no update starts; open updates continue."""
    STOPPED = "STOPPED"
    """Automatically: too many updates failed, or a wave ended with too few successes."""
    CANCELLED = "CANCELLED"
    FINISHED = "FINISHED"


class Action(StrEnum):
    """An action of a person on a campaign."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    """Failures up to now no longer stop it."""
    CANCEL = "cancel"
    RETRY = "retry"
    """Failed updates are retried; in a paused campaign, once it is resumed."""
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
"""The states in which an action is allowed, and the state that it leads to."""


class Wave(NamedTuple):
    """The progress of a wave; devices that were left out before they started are not counted."""

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
        """Return the number of its devices."""
        return self.waiting + self.open + self.succeeded + self.failed + self.cancelled

    @property
    def unfinished(self) -> int:
        """Return the number of devices whose update has not ended."""
        return self.waiting + self.open


@dataclass(frozen=True)
class Progress:
    """The stored state of a campaign at `now`."""

    status: Status
    wave: int
    """The last open wave, from 1."""
    wave_opened_at: datetime | None
    wave_succeeded_at: datetime | None
    """When enough devices of this wave had succeeded."""
    starts_at: datetime | None
    ends_at: datetime | None
    now: datetime
    waves: Sequence[Wave]
    started_lately: int
    """Updates started within the last minute."""
    counted_succeeded: int
    """Successful updates since the counting of failures began."""
    counted_failed: int
    failures: Mapping[str, int] = field(default_factory=dict)
    """Failed updates by kind."""


@dataclass(frozen=True)
class Move:
    """A move of a campaign: its new status, the reason, and the number of updates to start."""

    status: Status
    wave: int
    start: int = 0
    words: str | None = None
    """The text of a row in the history; None: no row."""
    wave_succeeds: bool = False
    """Whether enough devices of the wave have succeeded, so that its soak time begins."""


def decide(rules: Rules, progress: Progress) -> Move | None:
    """Return the next move of a campaign, or None if it waits."""
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
            return None  # open updates continue to their end
        words = f"its end time has passed; {_summary(progress)}, {waiting} have not started"
        return Move(Status.FINISHED, progress.wave, words=words)
    return _next_wave(rules, progress) or _starts(rules, progress)


def _stop(rules: Rules, progress: Progress) -> Move | None:
    ended = progress.counted_succeeded + progress.counted_failed
    if ended < rules.min_finished:
        return None
    for kind, most in rules.failures_of.items():
        count = progress.failures.get(kind, 0)
        if count * 100 > most * ended:
            words = f"{count} of {ended} updates failed with {kind}, more than {most:g} %"
            return Move(Status.STOPPED, progress.wave, words=words)
    if progress.counted_failed * 100 <= rules.failures * ended:
        return None
    kinds = ", ".join(
        f"{kind} {count}" for kind, count in sorted(progress.failures.items(), key=lambda each: -each[1])
    )
    share = f"{progress.counted_failed} of {ended} updates failed, more than {rules.failures:g} %"
    return Move(Status.STOPPED, progress.wave, words=f"{share}: {kinds}")


def _next_wave(rules: Rules, progress: Progress) -> Move | None:
    """Open the next wave if this one has succeeded and soaked."""
    if progress.wave >= len(progress.waves):
        return None
    if progress.wave_succeeded_at is None:
        missing = _missing(rules, progress)
        if missing is None:
            return _stuck(rules, progress)
        without = "" if not missing else f"; unfinished devices: {missing}"
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
    """Stop if this wave has ended with too few successes and no retry waits."""
    wave = progress.waves[progress.wave - 1]
    if wave.unfinished or any(before.waiting for before in progress.waves[: progress.wave]):
        return None
    remedy = "retry the failed updates, or open the next wave" if wave.failed else "open the next wave"
    return Move(
        Status.STOPPED,
        progress.wave,
        words=f"wave {wave.wave} ended with {wave.succeeded} of {wave.targets} updates successful, less than "
        f"{_needed(rules, progress):g} %: {remedy}",
    )


def _needed(rules: Rules, progress: Progress) -> float:
    return rules.first_success if progress.wave == 1 else rules.success


def _missing(rules: Rules, progress: Progress) -> int | None:
    """Return how many unfinished devices the campaign skips, or None if it does not continue."""
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
    words = f"{succeeded} succeeded, {failed} failed"
    return f"{words}, {cancelled} cancelled" if cancelled else words
