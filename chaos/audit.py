"""Compare what devices and users were told to what is in the database; all from values alone.

An auditor does not ask the system how it fared. Devices keep a ledger of what was acknowledged to them and a
log of what they were asked; users keep the answers to what they queued. Everything else must follow.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import KINDS
from flownexus.operations.lifecycle import MAX_ATTEMPTS

EXAMPLES: Final = 5
"""How many of what was found are shown."""
UNKNOWN: Final = "outcome unknown"
"""How the reason of an operation begins that may not be repeated, and that nobody knows to have run."""
NOT_REPEATED: Final = frozenset(name for name, kind in KINDS.items() if not kind.repetition_is_harmless)
"""Kinds of operations that a device must not receive twice."""
GONE: Final = "the device answered 4.04"
"""How the reason of a delete begins that found no instance."""


@dataclass(frozen=True)
class Finding:
    """One thing that must not be: how many were looked at, and those that it is true of."""

    what: str
    among: int
    found: Sequence[Any]

    @property
    def clean(self) -> bool:
        """Say whether there is none."""
        return not self.found

    @property
    def examples(self) -> str:
        """Return the first few as text."""
        shown = ", ".join(str(each) for each in self.found[:EXAMPLES])
        return shown + (f" and {len(self.found) - EXAMPLES} more" if len(self.found) > EXAMPLES else "")


# ---------------------------------------------------------------------------------------------------------
# Uplink


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


# ---------------------------------------------------------------------------------------------------------
# Downlink


@dataclass(frozen=True)
class Asked:
    """An operation that a user asked for, and what came of asking: an id, or what was said instead.

    `mark` tells what changes a device from all others; other kinds have none. Times are seconds of one clock.
    """

    endpoint: str
    operation: str
    mark: str
    began: float
    ended: float
    id: int | None
    answer: str
    concerns: tuple[Path, ...] = ()
    """Of two that overlap in this the younger one waits for the older one."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what finds it again where its id is not known."""
        return self.endpoint, self.operation, self.mark

    def must_wait_for(self, other: Asked) -> bool:
        """Say whether the other one was queued before this one was asked for, and has to do with the same."""
        return other.ended < self.began and any(
            _overlap(own.ids, theirs.ids) for own in self.concerns for theirs in other.concerns
        )

    @property
    def refused(self) -> bool:
        """Say whether the user was told that the request is wrong, which it never is."""
        return self.answer.startswith("4") and self.answer != "429"

    def __str__(self) -> str:
        return f"{self.operation} {self.mark} of {self.endpoint}: {self.answer}"


@dataclass(frozen=True)
class Operation:
    """An operation as its row has it; `asked` by a user, not by the observe plan or a firmware update."""

    id: int
    endpoint: str
    operation: str
    mark: str
    asked: bool
    status: str
    attempts: int
    reason: str | None
    has_content: bool
    eligible: bool
    """Whether it could be sent now, or its lease is over."""
    path: str | None = None
    of_update: bool = False
    """Whether a firmware update asked for it: what becomes of it is the update's affair."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what finds it again where its id is not known."""
        return self.endpoint, self.operation, self.mark

    def __str__(self) -> str:
        return f"{self.id} {self.operation} of {self.endpoint}: {self.status} {self.attempts} {self.reason}"


@dataclass(frozen=True)
class Request:
    """A request that a device received."""

    endpoint: str
    operation: str
    mark: str
    at: float

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what tells it from others."""
        return self.endpoint, self.operation, self.mark


def operations_lost(asked: Iterable[Asked], operations: Iterable[Operation]) -> list[Asked]:
    """Return what a user was given an id for, and is no row of that id."""
    keys = {operation.id: operation.key for operation in operations}
    return [each for each in asked if each.id is not None and keys.get(each.id) != each.key]


def operations_unasked(asked: Sequence[Asked], operations: Iterable[Operation]) -> list[Operation]:
    """Return users' operations that nobody asked for, or that became two."""
    known = {each.id for each in asked}
    # Who got no id does not know whether it is queued: once at most.
    uncertain = Counter(each.key for each in asked if each.id is None)
    unasked = []
    for operation in operations:
        if not operation.asked or operation.id in known:
            continue
        uncertain[operation.key] -= 1
        if uncertain[operation.key] < 0:
            unasked.append(operation)
    return unasked


def ended_badly(operations: Sequence[Operation]) -> list[Operation]:
    """Return operations that ended, or were tried, as none should."""
    not_made = {
        (each.endpoint, each.path)
        for each in operations
        if each.operation == "create" and each.status != "CONFIRMED"
    }
    return [each for each in operations if _ended_badly(each, not_made)]


def _ended_badly(operation: Operation, not_made: Container[tuple[str, str | None]]) -> bool:
    """Say whether it did; `not_made` are the instances of which nobody knows that they were created."""
    reason = operation.reason or ""
    match operation.status:
        case "FAILED" if operation.of_update:
            return operation.attempts > MAX_ATTEMPTS
        case "FAILED" if operation.operation == "delete" and reason.startswith(GONE):
            return (operation.endpoint, operation.path) not in not_made
        case "FAILED":
            unknown = operation.operation in NOT_REPEATED and reason.startswith(UNKNOWN)
            return operation.attempts > MAX_ATTEMPTS or not (unknown or operation.attempts == MAX_ATTEMPTS)
        case "CANCELLED" | "EXPIRED":
            return operation.asked
        case "CONFIRMED":
            return not 1 <= operation.attempts <= MAX_ATTEMPTS
        case _:
            return operation.attempts > MAX_ATTEMPTS


def done_twice(requests: Iterable[Request]) -> list[tuple[str, str, str]]:
    """Return what reached its device more than once, and may not be repeated."""
    received = Counter(
        request.key for request in requests if request.operation in NOT_REPEATED and request.mark
    )
    return [key for key, times in received.items() if times > 1]


def received_wrongly(operations: Iterable[Operation], requests: Iterable[Request]) -> list[str]:
    """Return operations that devices received otherwise than their rows say."""
    received = Counter(request.key for request in requests)
    rows: dict[tuple[str, str, str], list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.mark:
            rows[operation.key].append(operation)  # a firmware update offers the same URI again
    wrong = []
    for key, alike in rows.items():
        times = received.pop(key, 0)
        confirmed = sum(operation.status == "CONFIRMED" for operation in alike)
        if not confirmed <= times <= sum(operation.attempts for operation in alike):
            wrong.append(f"{', '.join(map(str, alike))}: received {times} times")
    wrong += [f"{key}: received, and no row" for key in received if key[2]]
    return wrong


def delivered_out_of_order(asked: Iterable[Asked], requests: Iterable[Request]) -> list[str]:
    """Return operations that reached a device before one that had been queued before they were asked for."""
    first: dict[tuple[str, str, str], float] = {}
    for request in requests:
        first[request.key] = min(request.at, first.get(request.key, request.at))
    by_endpoint: dict[str, list[Asked]] = defaultdict(list)
    for each in asked:
        if each.id is not None and each.key in first:
            by_endpoint[each.endpoint].append(each)
    return [
        f"{later}, before {earlier}"
        for all_asked in by_endpoint.values()
        for earlier in all_asked
        for later in all_asked
        if first[later.key] < first[earlier.key] and later.must_wait_for(earlier)
    ]


def _overlap(one: Sequence[int], other: Sequence[int]) -> bool:
    return all(a == b for a, b in zip(one, other, strict=False))


def results_miscounted(operations: Iterable[Operation], events: Mapping[str, int]) -> list[str]:
    """Return endpoints with more or fewer recorded results than operations that ended with one."""
    expected = Counter(
        operation.endpoint
        for operation in operations
        if operation.status == "CONFIRMED" and operation.has_content
    )
    return [
        f"{endpoint}: {expected[endpoint]} results, {events.get(endpoint, 0)} events"
        for endpoint in sorted({*expected, *events})
        if expected[endpoint] != events.get(endpoint, 0)
    ]
