"""dispatch-op's own decisions, without any service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flownexus.dispatch import dispatcher as module
from flownexus.dispatch.dispatcher import Dispatcher
from flownexus.errors import LockedError, UnavailableError
from flownexus.leshan.answers import Answered, Exchange, NotSent
from flownexus.leshan.requests import Call
from flownexus.lwm2m.path import Path
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.operations.catalogue.one_path import Read, Write
from flownexus.operations.lifecycle import Settlement, Status
from flownexus.settings import Timeouts
from flownexus.store.operation_claims import HELD, Claim, Held, UnansweredClaimError
from flownexus.store.operation_results import End, Recorded
from flownexus.store.telemetry import Telemetry
from tests.fixtures.hints import Hints

CLAIM = Claim(
    id=7,
    fence=1,
    endpoint_id=1,
    endpoint="sim-0001",
    contact_count=1,
    operation=Read(path=Path(3, 0, 0)),
    attempts=1,
)
DONE = Answered(200, {"status": "CONTENT(205)", "success": True})


class Store:
    """Stands for the store and the pool: what it is asked, and what it answers."""

    max_size = 2

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.claims: list[Claim] = [CLAIM]
        self.failures: list[Exception] = []
        self.recorded: list[Settlement] = []
        self.answer = Recorded.LAST
        self.answers: list[Recorded] = []
        self.held = 0
        self.unanswered: list[Claim] = []
        monkeypatch.setattr(module, "claim", self.claim)
        monkeypatch.setattr(module, "record", self.record)
        monkeypatch.setattr(module, "RECORD_PAUSE_S", 0.01)

    def claim(self, pool: object, endpoints: Sequence[str], lease: float) -> list[Claim | Held | None]:
        if self.unanswered:
            raise UnansweredClaimError([self.unanswered.pop()])
        if self.held:
            self.held -= 1
            return [HELD for _ in endpoints]
        return [self.claims.pop() if self.claims else None for _ in endpoints]

    def record(self, pool: object, telemetry: object, ends: Sequence[End]) -> list[Recorded]:
        if self.failures:
            raise self.failures.pop()
        if self.answers:
            return [self.answers.pop() for _ in ends]
        self.recorded += [end.settlement for end in ends]
        return [self.answer for _ in ends]


class Leshan:
    def __init__(self, exchange: Exchange = DONE) -> None:
        self.exchange = exchange
        self.calls: list[Call] = []
        self.called = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    async def send(
        self, endpoint: str, call: Call, timeout_s: float | None = None, awake_s: int | None = None
    ) -> Exchange:
        self.calls.append(call)
        self.called.set()
        await self.hold.wait()
        return self.exchange


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(monkeypatch)


def dispatcher(store: Any, hints: Any, leshan: Any, long_poll: float = 0.3) -> Dispatcher:
    return Dispatcher(store, Telemetry(timedelta(1)), hints, leshan, Timeouts.of(long_poll))


async def test_nothing_to_send_is_no_error(store: Store, hints: Hints) -> None:
    store.claims.clear()
    leshan = Leshan()
    assert await dispatcher(store, hints, leshan).dispatch("sim-0001") == {"operation": None}
    assert leshan.calls == []


async def test_the_end_is_recorded_and_told(store: Store, hints: Hints) -> None:
    answer = await dispatcher(store, hints, Leshan()).dispatch("sim-0001")
    assert answer == {"operation": {"id": 7, "status": Status.CONFIRMED, "attempts": 1, "reason": None}}
    assert [settlement.status for settlement in store.recorded] == [Status.CONFIRMED]


async def test_the_next_one_gets_a_hint_where_there_is_one(store: Store, hints: Hints) -> None:
    store.answer = Recorded.MORE
    await dispatcher(store, hints, Leshan()).dispatch("sim-0001")
    assert hints.published == [Hint(HintKind.QUEUED, "sim-0001")]


async def test_nobody_gets_a_hint_for_a_leshan_that_is_away(store: Store, hints: Hints) -> None:
    store.answer = Recorded.MORE
    answer = await dispatcher(store, hints, Leshan(NotSent("refused"))).dispatch("sim-0001")
    assert (answer["operation"]["status"], answer["operation"]["attempts"]) == (Status.QUEUED, 0)
    assert hints.published == []


async def test_a_leshan_that_is_away_is_told_of_once(
    store: Store, hints: Hints, caplog: pytest.LogCaptureFixture
) -> None:
    store.claims = [CLAIM] * 4
    leshan = Leshan(NotSent("refused"))
    subject = dispatcher(store, hints, leshan)
    caplog.set_level("INFO")
    for exchange in (NotSent("refused"), NotSent("refused"), DONE, DONE):
        leshan.exchange = exchange
        await subject.dispatch("sim-0001")
    told = [entry.message for entry in caplog.records if entry.name == module.__name__]
    assert told == [
        "operations stay queued: refused", "Leshan takes requests again", "CONFIRMED", "CONFIRMED",
    ]  # fmt: skip


async def test_who_holds_the_endpoint_is_waited_for_and_then_the_hint_comes_again(
    store: Store, hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_PAUSES_S", (0.01,) * 3)
    store.held = 2
    answer = await dispatcher(store, hints, Leshan()).dispatch("sim-0001")
    assert (answer["operation"]["id"], store.held) == (7, 0)
    store.held = 4
    with pytest.raises(LockedError):
        await dispatcher(store, hints, Leshan()).dispatch("sim-0001")
    assert store.held == 1


async def test_what_was_perhaps_claimed_is_given_back_before_the_caller_comes_again(
    store: Store, hints: Hints
) -> None:
    store.unanswered = [CLAIM]
    store.failures = [UnavailableError()]
    store.answers = [Recorded.HELD]
    leshan = Leshan()
    with pytest.raises(UnansweredClaimError):
        await dispatcher(store, hints, leshan).dispatch("sim-0001")
    assert (leshan.calls, hints.published) == ([], [])
    assert [(each.status, each.attempt_counts) for each in store.recorded] == [(Status.QUEUED, False)]


async def test_and_only_what_was_claimed_of_its_own_endpoint(store: Store, hints: Hints) -> None:
    store.unanswered = [CLAIM]
    with pytest.raises(UnansweredClaimError):
        await dispatcher(store, hints, Leshan()).dispatch("sim-0002")
    assert store.recorded == []


async def test_an_end_waits_for_who_holds_the_endpoint(store: Store, hints: Hints) -> None:
    store.answers = [Recorded.HELD, Recorded.HELD]
    answer = await dispatcher(store, hints, Leshan()).dispatch("sim-0001")
    assert answer["operation"]["status"] is Status.CONFIRMED
    assert store.answers == []


async def test_a_late_end_is_thrown_away(store: Store, hints: Hints) -> None:
    store.answer = Recorded.LATE
    answer = await dispatcher(store, hints, Leshan()).dispatch("sim-0001")
    assert answer == {"operation": None}
    assert hints.published == []


async def test_an_absent_postgresql_is_waited_for_while_the_lease_holds(store: Store, hints: Hints) -> None:
    store.failures = [UnavailableError(), UnavailableError()]
    await dispatcher(store, hints, Leshan()).dispatch("sim-0001")
    assert len(store.recorded) == 1


async def test_and_no_longer(store: Store, hints: Hints) -> None:
    store.failures = [UnavailableError() for _ in range(1000)]
    with pytest.raises(UnavailableError):
        await dispatcher(store, hints, Leshan(), 0.1).dispatch("sim-0001")
    assert store.recorded == []


async def test_what_cannot_be_sent_fails_instead_of_staying(store: Store, hints: Hints) -> None:
    broken = Write(path=Path(3, 0, 0), value={"type": "NONSENSE", "value": 1})
    store.claims = [replace(CLAIM, operation=broken)]
    leshan = Leshan()
    await dispatcher(store, hints, leshan).dispatch("sim-0001")
    assert leshan.calls == []
    assert store.recorded[0].status is Status.FAILED


async def test_a_caller_that_goes_away_changes_nothing(store: Store, hints: Hints) -> None:
    leshan = Leshan()
    leshan.hold.clear()
    subject = dispatcher(store, hints, leshan)
    caller = asyncio.create_task(subject.dispatch("sim-0001"))
    await leshan.called.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    leshan.hold.set()
    await subject.close()
    assert len(store.recorded) == 1
