from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flownexus.operations.lifecycle import Status
from flownexus.operations.plan import Planned
from flownexus.operations.reconciliation import (
    FIRST_LOOK,
    LOOK_AGAIN,
    Row,
    changes,
    first_look,
    renewal,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
REFRESH = timedelta(hours=6)
OBSERVE = Planned("observe", "/3303/0/5700")
REPORTING = OBSERVE._replace(reports_within=60)
READ = Planned("read", "/3")
ATTRIBUTES = Planned("write-attributes", "/3303/0/5700", value={"pmax": 60})
COMPOSITE = Planned("observe-composite", paths=("/3303/0/5700", "/3304/0/5700"))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def row(
    status: Status = Status.CONFIRMED,
    finished: float = 9e4,
    value: float | None = 9e4,
    of: Planned = OBSERVE,
    **more: Any,
) -> Row:
    final = status not in {Status.QUEUED, Status.SENDING}
    value_at = None if value is None else ago(value)
    columns = Row(
        7,
        1,
        of.operation,
        of.path,
        of.paths,
        of.value,
        status,
        ago(finished) if final else None,
        False,
        value_at,
        False,
    )
    return columns._replace(**more)


def test_what_was_never_queued_for_the_registration_is_due_at_once() -> None:
    assert renewal(OBSERVE, None, NOW, REFRESH, None) == NOW
    assert renewal(READ, None, NOW, REFRESH, None) == NOW
    assert renewal(OBSERVE, row(withdrawn=True), NOW, REFRESH, None) == NOW


def test_twice_the_pmax_of_silence_is_too_long() -> None:
    assert renewal(REPORTING, row(value=119), NOW, REFRESH, None) == NOW + timedelta(seconds=1)
    assert renewal(REPORTING, row(value=121), NOW, REFRESH, None) == ago(1)


def test_without_a_pmax_the_refresh_interval_says_how_long_silence_may_be() -> None:
    assert renewal(OBSERVE, row(value=3600), NOW, REFRESH, None) == NOW + timedelta(hours=5)


def test_the_answer_to_an_observe_is_a_sign_of_life_as_a_value_is() -> None:
    later = NOW + timedelta(seconds=100)
    assert renewal(REPORTING, row(finished=20, value=500), NOW, REFRESH, None) == later
    assert renewal(REPORTING, row(finished=20, value=None), NOW, REFRESH, None) == later


def test_a_gap_in_what_leshan_heard_makes_earlier_observations_due_and_no_later_ones() -> None:
    assert renewal(OBSERVE, row(value=31), NOW, REFRESH, ago(30)) == NOW
    assert renewal(OBSERVE, row(value=29), NOW, REFRESH, ago(30)) == ago(29) + REFRESH


@pytest.mark.parametrize("status", [Status.QUEUED, Status.SENDING])
def test_what_is_queued_or_under_way_is_not_queued_twice(status: Status) -> None:
    assert renewal(REPORTING, row(status), NOW, REFRESH, NOW) == NOW + timedelta(seconds=120)


def test_what_failed_is_tried_anew_after_the_refresh_interval_only() -> None:
    assert renewal(REPORTING, row(Status.FAILED, finished=300), NOW, REFRESH, NOW) == ago(300) + REFRESH


def test_neither_a_read_nor_attributes_nor_what_a_user_took_back_is_done_anew() -> None:
    assert renewal(READ, row(of=READ), NOW, REFRESH, NOW) is None
    assert renewal(ATTRIBUTES, row(of=ATTRIBUTES), NOW, REFRESH, NOW) is None
    assert renewal(ATTRIBUTES, row(Status.FAILED, of=ATTRIBUTES), NOW, REFRESH, NOW) is None
    assert renewal(REPORTING, row(Status.CANCELLED), NOW, REFRESH, NOW) is None
    assert renewal(REPORTING, row(taken_back=True), NOW, REFRESH, NOW) is None


def test_other_attributes_are_written_at_once_or_when_those_under_way_have_ended() -> None:
    other = ATTRIBUTES._replace(value={"pmax": 30})
    for status in (Status.QUEUED, Status.CONFIRMED, Status.FAILED):
        assert renewal(other, row(status, of=ATTRIBUTES), NOW, REFRESH, None) == NOW
    assert renewal(other, row(Status.SENDING, of=ATTRIBUTES), NOW, REFRESH, None) == NOW + LOOK_AGAIN


def test_the_first_look_after_a_registration_comes_when_a_pmax_proves_silence_or_after_a_minute() -> None:
    assert first_look([READ, OBSERVE]) == FIRST_LOOK
    assert first_look([OBSERVE, OBSERVE._replace(reports_within=5)]) == timedelta(seconds=10)
    assert first_look([OBSERVE._replace(reports_within=3600)]) == FIRST_LOOK
    assert first_look([]) == FIRST_LOOK


def ended(*rows: Row, plan: tuple[Planned, ...] = ()) -> tuple[list[Planned], list[int]]:
    """Return what is queued and what withdrawn of these rows."""
    found = changes(plan, rows, NOW, REFRESH, None)
    return found.queue, found.withdraw


def test_an_observation_that_the_plan_leaves_out_is_ended_once() -> None:
    assert ended(row()) == ([Planned("cancel-observe", OBSERVE.path)], [1])
    several = [Planned("cancel-observe-composite", paths=COMPOSITE.paths)]
    assert ended(row(of=COMPOSITE, paths=list(COMPOSITE.paths or ()))) == (several, [1])
    assert ended(row(withdrawn=True)) == ([], [])


@pytest.mark.parametrize("status", [Status.QUEUED, Status.FAILED, Status.CANCELLED, Status.EXPIRED])
def test_an_observation_that_is_not_there_is_withdrawn_without_a_word_to_the_device(status: Status) -> None:
    assert ended(row(status)) == ([], [1])


def test_what_is_under_way_and_not_asked_for_any_more_is_looked_at_again() -> None:
    for each in (row(Status.SENDING), row(Status.SENDING, of=ATTRIBUTES)):
        assert changes((), [each], NOW, REFRESH, None) == ([], [], NOW + LOOK_AGAIN)


def test_an_end_that_is_queued_stays_until_what_it_ends_is_asked_for_again() -> None:
    end = row(Status.QUEUED, of=Planned("cancel-observe", OBSERVE.path), id=2)
    gone = row(withdrawn=True)
    assert ended(gone, end) == ([], [])
    assert ended(gone, end, plan=(OBSERVE,)) == ([OBSERVE], [2])


def test_attributes_that_the_plan_leaves_out_are_taken_back_once() -> None:
    back = ATTRIBUTES._replace(value={"pmax": None})
    assert ended(row(of=ATTRIBUTES)) == ([back], [])
    assert ended(row(of=back)) == ([], [])
    assert ended(row(Status.QUEUED, of=back)) == ([], [])
    assert ended(row(Status.QUEUED, of=ATTRIBUTES)) == ([], [1])


def test_a_read_that_waits_and_is_not_asked_for_any_more_is_withdrawn() -> None:
    assert ended(row(Status.QUEUED, of=READ)) == ([], [1])
    assert ended(row(of=READ)) == ([], [])


def test_the_next_look_is_the_first_that_anything_asks_for() -> None:
    found = changes((READ, OBSERVE, REPORTING._replace(path="/3304/0/5700")), [], NOW, REFRESH, None)
    assert [each.operation for each in found.queue] == ["read", "observe", "observe"]
    assert found.next_look == NOW + timedelta(seconds=120)
    assert changes((), [], NOW, REFRESH, None).next_look is None
