"""housekeeping's own decisions, without any service."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flownexus.errors import MissingSettingError, UnavailableError
from flownexus.housekeeping import rounds
from flownexus.housekeeping.rounds import Housekeeper
from flownexus.housekeeping.settings import HousekeepingSettings
from flownexus.messaging.subjects import Hint, HintKind
from tests.fixtures.hints import Hints
from tests.fixtures.replay import deliver_nothing

SETTINGS = HousekeepingSettings()


class Store:
    """Stands for the store: what its functions answer, and in which order they were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.locked = False
        self.answers: dict[str, Any] = {
            "revive_expired": ["a", "b"],
            "end_expired": 7,
            "forget_expired": 3,
            "reconcile": {"d": 2},
            "endpoints_to_hint": {"a": [1], "c": [2, 3]},
            "make_partitions": 0,
            "drop_partitions": 1,
            "forget_finished": 4,
            "remove_remains": 3,
            "forget_marks": 2,
            "forget_endpoints": 5,
            "forget_dead_letters": 6,
            "drop_roll_ups": 8,
            "roll_up": False,
            "drop_logs": 9,
            "forget_batches": 8,
            "replay_asked": 1,
        }

    def function(self, name: str) -> Callable[..., Any]:
        def call(*_: Any) -> Any:
            self.asked.append(name)
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def try_housekeeping_lock(self, connection: object, lock: int, step: int) -> bool:
        return not self.locked


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(rounds, "queries", store)
    monkeypatch.setattr(rounds, "transaction", lambda pool, work: work(SimpleNamespace(connection=None)))
    for name in store.answers:
        monkeypatch.setattr(rounds, name, store.function(name))
    return store


def housekeeper_with(publisher: Any, carry: Callable[[], int] | None = None) -> Housekeeper:
    pool: Any = None
    return Housekeeper(pool, publisher, SETTINGS, deliver_nothing, carry)


def test_what_keeps_credentials_from_leshan_is_logged_once_and_holds_nothing_up(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: list[Exception | int] = [
        UnavailableError("away"),
        UnavailableError("away"),
        2,
        UnavailableError("away"),
    ]

    def carry() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    housekeeper = housekeeper_with(Hints(), carry)
    assert [housekeeper.do_round()["credentials_carried"] for _ in range(4)] == [None, None, 2, None]
    assert caplog.messages.count("credentials are not carried to Leshan: away") == 2


def test_a_round_says_what_it_did(store: Store) -> None:
    publisher = Hints(fail=1)
    assert housekeeper_with(publisher).do_round() == {
        "revived": 2,
        "expired": 7,
        "forgotten": 3,
        "renewed": 2,
        "hinted": 1,
        "hints_failed": 1,
        "operations_forgotten": 4,
        "remains_removed": 3,
        "partitions_made": 0,
        "partitions_dropped": 1,
        "marks_forgotten": 2,
        "endpoints_forgotten": 5,
        "dead_letters_forgotten": 6,
        "roll_ups_dropped": 8,
        "logs_dropped": 9,
        "rolled_up": 1,
        "batches_forgotten": 8,
        "replayed": 1,
    }
    assert publisher.published == [Hint(HintKind.QUEUED, each) for each in "dac"]


def test_leases_come_before_hints_and_maintenance_comes_last_and_hourly(store: Store) -> None:
    housekeeper = housekeeper_with(Hints())
    housekeeper.do_round()
    first = len(store.asked)
    housekeeper.do_round()
    often = [
        "revive_expired",
        "forget_expired",
        "end_expired",
        "reconcile",
        "endpoints_to_hint",
        "forget_finished",
        "remove_remains",
    ]
    seldom = [
        "roll_up",
        "make_partitions",
        "drop_partitions",
        "forget_marks",
        "forget_endpoints",
        "forget_dead_letters",
        "drop_roll_ups",
        "drop_logs",
        "forget_batches",
    ]
    assert store.asked[:first] == [*often, *seldom, "replay_asked"]
    assert store.asked[first:] == [*often, "replay_asked"]


def test_maintenance_that_was_left_is_tried_again(store: Store) -> None:
    housekeeper = housekeeper_with(Hints())
    store.answers["make_partitions"] = UnavailableError("held")
    summary = housekeeper.do_round()
    assert (summary["partitions_made"], summary["partitions_dropped"]) == (None, 1)
    housekeeper.do_round()
    assert store.asked.count("make_partitions") == 2


def test_what_is_left_to_roll_up_is_rolled_up_in_steps_and_then_not_for_a_while(store: Store) -> None:
    housekeeper = housekeeper_with(Hints())
    more = [True, True, False]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "roll_up", lambda *_: more.pop(0))
        assert housekeeper.do_round()["rolled_up"] == 3
        assert "rolled_up" not in housekeeper.do_round()


def test_a_backlog_of_roll_ups_does_not_hold_up_the_round(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    housekeeper = housekeeper_with(Hints())
    store.answers["roll_up"] = True
    monkeypatch.setattr(rounds, "ROLL_UP_PATIENCE_S", 0.01)
    for _ in range(2):
        steps = housekeeper.do_round()["rolled_up"]
        assert steps is not None
        assert steps >= 1


def test_what_another_round_is_at_is_left_to_it(store: Store) -> None:
    store.locked = True
    summary = housekeeper_with(Hints()).do_round()
    assert (summary["revived"], summary["forgotten"], summary["marks_forgotten"]) == (None, None, None)
    assert store.asked == ["endpoints_to_hint", "replay_asked"]


def test_a_retention_below_a_day_is_a_refusal_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("retention", "operation_retention"):
        monkeypatch.setenv(name, "23h")
        with pytest.raises(MissingSettingError, match=f"variable {name}: at least 24h"):
            HousekeepingSettings.from_environment()
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "minimum"),
    [
        ("mark_retention", 720),
        ("endpoint_retention", 24),
        ("dead_letter_retention", 24),
        ("roll_up_retention", 24),
        ("log_retention", 24),
    ],
)
def test_a_retention_that_is_too_short_is_a_refusal_to_start(
    monkeypatch: pytest.MonkeyPatch, name: str, minimum: int
) -> None:
    assert HousekeepingSettings.from_environment() == SETTINGS
    monkeypatch.setenv(name, f"{minimum - 1}h")
    with pytest.raises(MissingSettingError, match=f"{name}: at least {minimum}h"):
        HousekeepingSettings.from_environment()
