"""Says whether a quantity stays level: the last third of a run beside the first, its beginning left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

WARMING = 0.1
"""The part of a run that is left out: caches fill, heaps take the size that they will have."""


def thirds(count: int) -> tuple[range, range]:
    """Return which samples of so many are the first third and which the last; none of too few."""
    settled = count - round(count * WARMING)
    return range(count - settled, count - settled + settled // 3), range(count - settled // 3, count)


@dataclass(frozen=True)
class Limits:
    """How far the last third's mean may be from the first's, as a factor of it and beyond that."""

    factor: float = 1.0
    more: float = 0.0
    minimum: float = 0.0
    """A factor, too."""

    def hold(self, first: float, last: float) -> bool:
        """Say whether a quantity is level."""
        return self.minimum * first <= last <= self.factor * first + self.more

    def __str__(self) -> str:
        if not self.factor:
            return f"up to {self.more:,.0f}"
        if self.factor == 1 and not self.minimum:
            return f"up to {self.more:g} more"
        factor = f"{self.minimum:g} to {self.factor:g}" if self.minimum else f"up to {self.factor:g}"
        return f"{factor} times" + (f" and {self.more:g} more" if self.more else "")


@dataclass(frozen=True)
class Series:
    """A quantity's samples in the order of time, and what makes it level."""

    name: str
    samples: Sequence[float]
    limits: Limits
    unit: str = ""

    @property
    def first(self) -> float:
        """Return the mean of the first third."""
        return self._mean(thirds(len(self.samples))[0])

    @property
    def last(self) -> float:
        """Return the mean of the last third."""
        return self._mean(thirds(len(self.samples))[1])

    @property
    def level(self) -> bool:
        """Say whether it is level; what has too few samples is not known to be."""
        return bool(thirds(len(self.samples))[0]) and self.limits.hold(self.first, self.last)

    def cells(self) -> tuple[str, ...]:
        """Return it for people, as TITLES names it."""
        ratio = f"{self.last / self.first:.3f}" if self.first else ""
        means = [f"{mean:,.1f} {self.unit}".strip() for mean in (self.first, self.last)]
        return (self.name, *means, ratio, str(self.limits), "yes" if self.level else "NO")

    def _mean(self, which: range) -> float:
        return fmean(self.samples[which.start : which.stop]) if which else 0.0


TITLES = ("what", "first third", "last third", "ratio", "allowed", "level")
