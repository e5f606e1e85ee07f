from datetime import UTC, datetime, timedelta

import pytest

from flownexus.operations.lifecycle import Status
from flownexus.operations.plan import PlanRow
from flownexus.operations.reconciliation import FIRST_LOOK, Known, first_look, renewal

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
REFRESH = timedelta(hours=6)
OBSERVE = PlanRow("observe", 3303, None, 5700)
REPORTING = OBSERVE._replace(pmax=60)
READ = PlanRow("read", 3, None, None)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def known(
    status: Status | None = Status.CONFIRMED, finished: float = 9e4, value: float | None = 9e4
) -> Known:
    final = status not in {None, Status.QUEUED, Status.SENDING}
    return Known(status, ago(finished) if final else None, None if value is None else ago(value), False)


def test_what_was_never_queued_for_the_registration_is_due_at_once() -> None:
    assert renewal(OBSERVE, known(None), NOW, REFRESH, None) == NOW
    assert renewal(READ, known(None), NOW, REFRESH, None) == NOW


def test_twice_the_pmax_of_silence_is_too_long() -> None:
    assert renewal(REPORTING, known(value=119), NOW, REFRESH, None) == NOW + timedelta(seconds=1)
    assert renewal(REPORTING, known(value=121), NOW, REFRESH, None) == ago(1)


def test_without_a_pmax_the_refresh_interval_says_how_long_silence_may_be() -> None:
    assert renewal(OBSERVE, known(value=3600), NOW, REFRESH, None) == NOW + timedelta(hours=5)


def test_the_answer_to_an_observe_is_a_sign_of_life_as_a_value_is() -> None:
    later = NOW + timedelta(seconds=100)
    assert renewal(REPORTING, known(finished=20, value=500), NOW, REFRESH, None) == later
    assert renewal(REPORTING, known(finished=20, value=None), NOW, REFRESH, None) == later


def test_a_gap_in_what_leshan_heard_makes_earlier_observations_due_and_no_later_ones() -> None:
    assert renewal(OBSERVE, known(value=31), NOW, REFRESH, ago(30)) == NOW
    assert renewal(OBSERVE, known(value=29), NOW, REFRESH, ago(30)) == ago(29) + REFRESH


@pytest.mark.parametrize("status", [Status.QUEUED, Status.SENDING])
def test_what_is_queued_or_under_way_is_not_queued_twice(status: Status) -> None:
    assert renewal(REPORTING, known(status), NOW, REFRESH, NOW) == NOW + timedelta(seconds=120)


def test_what_failed_is_tried_anew_after_the_refresh_interval_only() -> None:
    assert renewal(REPORTING, known(Status.FAILED, finished=300), NOW, REFRESH, NOW) == ago(300) + REFRESH


def test_neither_a_read_nor_what_a_user_took_back_is_done_anew() -> None:
    assert renewal(READ, known(), NOW, REFRESH, NOW) is None
    assert renewal(REPORTING, known(Status.CANCELLED), NOW, REFRESH, NOW) is None
    assert renewal(REPORTING, known()._replace(taken_back=True), NOW, REFRESH, NOW) is None


def test_the_first_look_after_a_registration_comes_when_a_pmax_proves_silence_or_after_a_minute() -> None:
    assert first_look([READ, OBSERVE]) == FIRST_LOOK
    assert first_look([OBSERVE, OBSERVE._replace(pmax=5)]) == timedelta(seconds=10)
    assert first_look([OBSERVE._replace(pmax=3600)]) == FIRST_LOOK
    assert first_look([]) == FIRST_LOOK
