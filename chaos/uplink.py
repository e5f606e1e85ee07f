"""The audit of uplink: what devices sent, and what is stored; no I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.finding import Finding


@dataclass(frozen=True)
class Value:
    """A value that its device never sends twice."""

    endpoint: str
    value: float

    @classmethod
    def of(cls, endpoint: str, value: float) -> Value:
        """Return a value as both sides write it."""
        return cls(endpoint, round(value, 10))

    def __str__(self) -> str:
        return f"{self.endpoint} {self.value}"


@dataclass(frozen=True)
class Telemetry:
    """Values of one resource of many devices, each list in the order of its side."""

    acknowledged: Sequence[Value]
    unacknowledged: Sequence[Value]
    """Those that were sent, and of which the device never learnt whether they arrived."""
    stored: Sequence[Value]

    @property
    def lost(self) -> list[Value]:
        """Return what was acknowledged and is no row."""
        return list((Counter(self.acknowledged) - Counter(self.stored)).elements())

    @property
    def doubled(self) -> list[Value]:
        """Return what is more than one row."""
        return [value for value, rows in Counter(self.stored).items() if rows > 1]

    @property
    def unexplained(self) -> list[Value]:
        """Return rows of what no device has sent."""
        sent = {*self.acknowledged, *self.unacknowledged}
        return [value for value in self.stored if value not in sent]

    @property
    def disordered(self) -> list[Value]:
        """Return acknowledged values that are rows before one that was acknowledged before them."""
        place = {value: number for number, value in enumerate(self.acknowledged)}
        rows: dict[str, list[Value]] = defaultdict(list)
        for value in self.stored:
            if value in place:
                rows[value.endpoint].append(value)
        return [
            later
            for values in rows.values()
            for earlier, later in pairwise(values)
            if place[later] < place[earlier]
        ]

    def findings(self, what: str) -> list[Finding]:
        """Return what must not be, for values that came by `what`."""
        return [
            Finding(f"{what} acknowledged and lost", len(self.acknowledged), self.lost),
            Finding(f"{what} stored twice", len(self.stored), self.doubled),
            Finding(f"{what} stored that no device sent", len(self.stored), self.unexplained),
        ]


class Balance:
    """Compares as Telemetry does while values come, and keeps those alone that are not on both sides yet."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.stored = 0
        self._open: Counter[Value] = Counter()

    def add(self, acknowledged: Iterable[Value] = (), stored: Iterable[Value] = ()) -> None:
        """Take what came on each side since the last time."""
        for value in acknowledged:
            self.acknowledged += 1
            self._move(value, 1)
        for value in stored:
            self.stored += 1
            self._move(value, -1)

    def _move(self, value: Value, by: int) -> None:
        self._open[value] += by
        if not self._open[value]:
            del self._open[value]

    @property
    def open(self) -> int:
        """Return how many values are kept."""
        return len(self._open)

    def findings(self, unacknowledged: Iterable[Value]) -> list[Finding]:
        """Return what must not be, once both sides are complete; `unacknowledged` as Telemetry has it."""
        return [
            Finding("acknowledged and lost", self.acknowledged, list((+self._open).elements())),
            Finding(
                "stored twice, or that no device sent",
                self.stored,
                list((-self._open - Counter(unacknowledged)).elements()),
            ),
        ]


@dataclass(frozen=True)
class _Numbered:
    """A lane of a sender."""

    kind: str
    number: int

    @property
    def key(self) -> tuple[str, int]:
        """Return what is the same of a lane and its marks."""
        return self.kind, self.number

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


@dataclass(frozen=True)
class Lane(_Numbered):
    """A lane as its sender has it: how many items it gave in all its lives, and how many were taken."""

    given: int
    taken: int


@dataclass(frozen=True)
class Mark(_Numbered):
    """How far a lane is stored of one source, whose numbers begin with 1: a life of the sender has one."""

    source: str
    mark: int
    gaps: int


def _stored(marks: Iterable[Mark]) -> Counter[tuple[str, int]]:
    """Return how many items are stored of each lane."""
    stored: Counter[tuple[str, int]] = Counter()
    for mark in marks:
        stored[mark.key] += mark.mark
    return stored


def not_stored(lanes: Iterable[Lane], marks: Iterable[Mark]) -> list[str]:
    """Return lanes of which not all is stored that had been given when they were looked at."""
    stored = _stored(marks)
    reached = [(lane, stored[lane.key]) for lane in lanes]
    return [f"{lane}: {lane.given} given, {count} stored" for lane, count in reached if count < lane.given]


def marks_astray(lanes: Iterable[Lane], marks: Iterable[Mark]) -> list[str]:
    """Return where what the sender gave and the stored marks differ."""
    marks = list(marks)
    stored = _stored(marks)
    astray = []
    for lane in lanes:
        reached = stored.pop(lane.key, 0)
        if not lane.given == lane.taken == reached:
            astray.append(f"{lane}: {lane.given} given, {lane.taken} taken, {reached} stored")
    astray += [f"{mark}: {mark.gaps} numbers of {mark.source} missing" for mark in marks if mark.gaps]
    astray += [f"{kind} {number}: a lane that nobody has" for kind, number in stored]
    return astray


def longest_gap(moments: Iterable[float], began: float, ended: float) -> float:
    """Return the longest time between `began` and `ended` without one of the moments, given in order."""
    inside = (moment for moment in moments if began < moment < ended)
    return max(later - earlier for earlier, later in pairwise([began, *inside, ended]))
