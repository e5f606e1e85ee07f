"""housekeeping's own decisions, without any service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from flownexus.errors import MissingSettingError, UnavailableError
from flownexus.messaging.subjects import Hint, HintKind
from tests.fixtures.handler import load_handler

handler = load_handler("housekeeping")
YEAR = 365 * 24 * 3600.0
REFRESH = 6 * 3600.0


class Publisher:
    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.published: list[Hint] = []

    def publish(self, hints: Iterable[Hint], timeout: float) -> int:
        self.published += hints
        return self.failures


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the store answer at once; gives what it was asked, in order."""
    asked: list[str] = []

    def answer(name: str, value: Any) -> Callable[..., Any]:
        def call(*_: Any) -> Any:
            asked.append(name)
            if isinstance(value, Exception):
                raise value
            return value

        return call

    class Queries:
        @staticmethod
        def try_housekeeping_lock(connection: object, lock: int, step: int) -> bool:
            return True

    monkeypatch.setattr(handler, "queries", Queries)
    monkeypatch.setattr(handler, "transaction", lambda pool, work: work(None))
    for name, value in {
        "revive_expired": ["a", "b"],
        "forget_expired": 3,
        "reconcile": {"d": 2},
        "endpoints_to_wake": {"a": [1], "c": [2, 3]},
        "make_partitions": 0,
        "drop_partitions": 1,
        "forget_finished": 4,
        "forget_marks": 2,
        "forget_endpoints": 5,
        "forget_dead_letters": 6,
    }.items():
        monkeypatch.setattr(handler, name, answer(name, value))
    monkeypatch.setattr(handler, "answer_with", answer, raising=False)
    return asked


def test_a_round_says_what_it_did(asked: list[str]) -> None:
    publisher = Publisher(failures=1)
    assert handler.Housekeeper(None, publisher, YEAR, REFRESH, YEAR, handler.Forgetting()).do_round() == {
        "revived": 2,
        "forgotten": 3,
        "renewed": 2,
        "hinted": 1,
        "hints_failed": 1,
        "operations_forgotten": 4,
        "partitions_made": 0,
        "partitions_dropped": 1,
        "marks_forgotten": 2,
        "endpoints_forgotten": 5,
        "dead_letters_forgotten": 6,
    }
    assert publisher.published == [Hint(HintKind.QUEUED, each) for each in "dac"]


def test_leases_come_before_hints_and_maintenance_comes_last_and_hourly(asked: list[str]) -> None:
    housekeeper = handler.Housekeeper(None, Publisher(), YEAR, REFRESH, YEAR, handler.Forgetting())
    housekeeper.do_round()
    first = len(asked)
    housekeeper.do_round()
    often = ["revive_expired", "forget_expired", "reconcile", "endpoints_to_wake", "forget_finished"]
    seldom = ["make_partitions", "drop_partitions", "forget_marks", "forget_endpoints", "forget_dead_letters"]
    assert asked[:first] == [*often, *seldom]
    assert asked[first:] == often


def test_maintenance_that_was_left_is_tried_again(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    housekeeper = handler.Housekeeper(None, Publisher(), YEAR, REFRESH, YEAR, handler.Forgetting())
    monkeypatch.setattr(
        handler, "make_partitions", handler.answer_with("make_partitions", UnavailableError("held"))
    )
    summary = housekeeper.do_round()
    assert (summary["partitions_made"], summary["partitions_dropped"]) == (None, 1)
    housekeeper.do_round()
    assert asked.count("make_partitions") == 2


def test_what_another_round_is_at_is_left_to_it(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler.queries, "try_housekeeping_lock", lambda connection, lock, step: False)
    summary = handler.Housekeeper(None, Publisher(), YEAR, REFRESH, YEAR, handler.Forgetting()).do_round()
    assert (summary["revived"], summary["forgotten"], summary["marks_forgotten"]) == (None, None, None)
    assert asked == ["endpoints_to_wake"]


def test_a_retention_below_a_day_is_a_refusal_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("retention", "operation_retention"):
        monkeypatch.setenv(name, "23h")
        with pytest.raises(MissingSettingError, match=f"variable {name}: at least 24h"):
            handler._retention(name, "8760h")


@pytest.mark.parametrize(
    ("name", "least"),
    [("mark_retention", 720), ("endpoint_retention", 24), ("dead_letter_retention", 24)],
)
def test_a_retention_that_is_too_short_is_a_refusal_to_start(
    monkeypatch: pytest.MonkeyPatch, name: str, least: int
) -> None:
    assert handler.Forgetting.from_environment() == handler.Forgetting()
    monkeypatch.setenv(name, f"{least - 1}h")
    with pytest.raises(MissingSettingError, match=f"{name}: at least {least}h"):
        handler.Forgetting.from_environment()
