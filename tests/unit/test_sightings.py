"""When an endpoint that sends values is written as seen: seldom, and of a sleeper more often."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from flownexus.leshan.webhook import Item
from flownexus.store import sightings
from flownexus.store.sightings import SEE_EVERY_S, Sightings

RECEIVED = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
RECEIVED_MS = int(RECEIVED.timestamp() * 1000)
ENDPOINTS = {"one": 1, "two": 2}


class Recorder:
    """A transaction that commits at once, and what was written in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connection = None
        self.written: list[tuple[Sequence[int], Sequence[datetime]]] = []
        self.awake_times: dict[int, float | None] = {}
        monkeypatch.setattr(sightings, "send", self._send)

    def _send(self, connection: Any, query: Any, ids: Sequence[int], times: Sequence[datetime]) -> Any:
        self.written.append((ids, times))
        return iter([(id_, self.awake_times[id_]) for id_ in ids if id_ in self.awake_times])

    def after_commit(self, callback: Any) -> None:
        callback()


@pytest.fixture
def transaction(monkeypatch: pytest.MonkeyPatch) -> Any:
    return Recorder(monkeypatch)


def item(endpoint: str, time_ms: int | None) -> Item:
    return Item(endpoint, time_ms, None, ())


def test_an_endpoint_is_seen_at_its_newest_value_and_never_later_than_now(transaction: Any) -> None:
    items = [
        item("one", RECEIVED_MS - 5000), item("one", RECEIVED_MS - 9000),
        item("two", RECEIVED_MS + 5000), item("two", None),
    ]  # fmt: skip
    Sightings().note(transaction, ENDPOINTS, items, RECEIVED)
    [(ids, times)] = transaction.written
    assert (ids, [time.timestamp() for time in times]) == (
        [1, 2],
        [RECEIVED_MS / 1000 - 5, RECEIVED_MS / 1000],
    )


def test_a_value_from_before_time_began_is_no_error(transaction: Any) -> None:
    Sightings().note(transaction, {"one": 1}, [item("one", -(2**62))], RECEIVED)
    assert transaction.written[0][0] == [1]


def test_it_is_not_written_again_until_it_is_time(transaction: Any) -> None:
    now = [100.0]
    seen = Sightings(lambda: now[0])
    for passed in (0.0, 1.0, SEE_EVERY_S - 2, 2.0, 1.0):
        now[0] += passed
        seen.note(transaction, {"one": 1}, [item("one", None)], RECEIVED)
    assert len(transaction.written) == 2


def test_a_sleeper_is_seen_several_times_in_the_time_that_it_listens(transaction: Any) -> None:
    now = [100.0]
    seen = Sightings(lambda: now[0])
    transaction.awake_times = {1: 8.0, 2: None}
    for _ in range(5):
        seen.note(transaction, ENDPOINTS, [item("one", None), item("two", None)], RECEIVED)
        now[0] += 2.1
    assert [ids for ids, _ in transaction.written] == [[1, 2], [1], [1], [1], [1]]
