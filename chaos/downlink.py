"""The audit of downlink: what users asked for, what its rows say, and what devices received; no I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import KINDS
from flownexus.operations.lifecycle import MAX_ATTEMPTS

UNKNOWN: Final = "outcome unknown"
"""How the reason of an operation begins that may not be repeated, and that nobody knows to have run."""
NOT_REPEATED: Final = frozenset(name for name, kind in KINDS.items() if not kind.repetition_is_harmless)
"""Kinds of operations that a device must not receive twice."""
GONE: Final = "the device answered 4.04"
"""How the reason of a delete begins that found no instance."""


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
