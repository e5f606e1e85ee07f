"""Campaigns: how they are planned, and what they do next, from their counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.campaigns.plan import (
    DAY_S,
    DEFAULT_WAVES,
    Rules,
    duration_s,
    parse_campaign,
    wave_sizes,
)
from flownexus.campaigns.progress import ALLOWED, Action, Move, Progress, Status, Wave, decide
from flownexus.errors import ValidationFailedError
from flownexus.firmware.window import Window

NOW = datetime(2026, 11, 22, 13, 27, 27, tzinfo=UTC)
ASKED = {"name": "spring", "firmware": 5}


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def wave(number: int, **counts: int) -> Wave:
    return Wave(number, **{"waiting": 0, "open": 0, "succeeded": 0, "failed": 0, "cancelled": 0, **counts})


def progress(*waves: Wave, **more: Any) -> Progress:
    """Return a running campaign whose counts of failures are those of its waves."""
    succeeded, failed = sum(w.succeeded for w in waves), sum(w.failed for w in waves)
    return Progress(
        **{
            "status": Status.RUNNING,
            "wave": 1,
            "wave_opened_at": ago(60),
            "wave_succeeded_at": None,
            "starts_at": None,
            "ends_at": None,
            "now": NOW,
            "waves": waves,
            "started_lately": 0,
            "counted_succeeded": succeeded,
            "counted_failed": failed,
            "failures": {"connection-lost": failed} if failed else {},
            **more,
        }
    )


# ---------------------------------------------------------------------------------------------------------
# The plan


@pytest.mark.parametrize(
    ("waves", "targets", "sizes"),
    [
        (DEFAULT_WAVES, 412, [1, 41, 370]),
        (DEFAULT_WAVES, 1, [1]),
        (DEFAULT_WAVES, 2, [1, 1]),
        (("10", "50%"), 100, [10, 50, 40]),
        (("1000",), 7, [7]),
        (("0.5 %", "rest"), 1000, [5, 995]),
        (("rest", "5"), 9, [9]),
    ],
)
def test_waves_are_numbers_shares_and_the_rest(
    waves: tuple[str, ...], targets: int, sizes: list[int]
) -> None:
    assert wave_sizes(waves, targets) == sizes


WAVES = st.lists(
    st.integers(1, 200).map(str) | st.integers(1, 100).map("{} %".format) | st.just("rest"),
    min_size=1,
    max_size=9,
)


@given(WAVES, st.integers(1, 10_000))
def test_every_device_is_in_one_wave_and_no_wave_is_empty(waves: list[str], targets: int) -> None:
    sizes = wave_sizes(waves, targets)
    assert sum(sizes) == targets
    assert min(sizes) >= 1
    assert duration_s(sizes, Rules(), NOW) > 0


def test_a_campaign_is_asked_for_with_its_rules() -> None:
    campaign = parse_campaign(
        {**ASKED, "endpoints": ["a", "b", "a"], "failures": 3, "waves": [2, "rest"], "approval": True}, 7
    )
    assert (campaign.endpoints, campaign.waves, campaign.seed) == (("a", "b"), ("2", "rest"), 7)
    assert campaign.rules == Rules(failures=3, approval=True)
    assert parse_campaign({**ASKED, "seed": 3}, 7).seed == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("firmware", "5"),
        ("firmware", 0),
        ("endpoints", []),
        ("endpoints", ["a", 7]),
        ("model", 7),
        ("from_versions", "1.0.0"),
        ("waves", []),
        ("waves", ["half"]),
        ("waves", ["0 %"]),
        ("waves", ["101 %"]),
        ("waves", [0]),
        ("waves", ["1" * 5000]),
        ("waves", ["\u0661\u0660 %"]),
        ("failures", 101),
        ("failures", "10"),
        ("max_open", 0.5),
        ("approval", "yes"),
        ("seed", -1),
        ("starts_at", "tomorrow"),
        ("starts_at", "9999-12-31T23:00:00Z"),
        ("ends_at", "2099-01-01T00:00:00Z"),
        ("colour", "red"),
        ("filter", " "),
        ("filter", ["name==a"]),
        ("filter", "colour==red"),
        ("joining", 1),
        ("failures_of", {"rolled-back": "1"}),
        ("failures_of", {"bad luck": 1}),
        ("windows", []),
        ("windows", [{"cron": "0 25 * * *", "minutes": 5}]),
        ("time_zone", "Mars"),
    ],
)
def test_what_is_not_valid_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValidationFailedError, match=f"{field}: "):
        parse_campaign({**ASKED, field: value}, 7)


def test_a_campaign_ends_after_it_starts() -> None:
    times = {"starts_at": "2026-01-02T03:04:05Z", "ends_at": "2026-01-02T03:04:05+01:00"}
    with pytest.raises(ValidationFailedError, match="ends_at: is after starts_at"):
        parse_campaign({**ASKED, **times}, 7)


def test_a_campaign_chooses_by_a_filter_or_by_names_and_those_that_are_named_are_not_joined() -> None:
    chosen = parse_campaign({**ASKED, "filter": "tag.site==berlin", "joining": True}, 7)
    assert (str(chosen.filter), chosen.rules.joining) == ("tag.site==berlin", True)
    with pytest.raises(ValidationFailedError, match="filter: cannot be combined with endpoints"):
        parse_campaign({**ASKED, "filter": "name==a", "endpoints": ["a"]}, 7)
    with pytest.raises(ValidationFailedError, match="joining: needs a filter"):
        parse_campaign({**ASKED, "joining": True, "endpoints": ["a"]}, 7)


def test_an_estimate_goes_by_windows_where_there_are_some() -> None:
    nightly = Rules(soak=0, windows=(Window("0 2 * * *", 60),))
    at_two = NOW.replace(day=23, hour=2, minute=0, second=0)
    assert NOW + timedelta(seconds=duration_s([1], nightly, NOW)) == at_two + timedelta(minutes=5)
    # A wave each night, since the second one is downloaded only when the first one is done.
    many = Rules(soak=87_000, windows=(Window("0 2 * * *", 60),), max_open=1)
    third_night = at_two + timedelta(days=2)
    assert NOW + timedelta(seconds=duration_s([12, 1], many, NOW)) == third_night + timedelta(minutes=5)
    never_done = Rules(windows=(Window("0 2 * * *", 1),), max_open=1)
    assert duration_s([10_000], never_done, NOW) > 90 * DAY_S


# ---------------------------------------------------------------------------------------------------------
# What it does next


def test_the_first_wave_starts_alone() -> None:
    move = decide(Rules(), progress(wave(1, waiting=1), wave(2, waiting=41), wave(3, waiting=370)))
    assert move == Move(Status.RUNNING, 1, start=1)


def test_so_many_are_open_and_start_a_minute_at_most() -> None:
    many = wave(1, waiting=1000, open=30)
    assert decide(Rules(), progress(many)) == Move(Status.RUNNING, 1, start=20)
    assert decide(Rules(), progress(many, started_lately=95)) == Move(Status.RUNNING, 1, start=5)
    assert decide(Rules(), progress(many, started_lately=100)) is None
    assert decide(Rules(max_open=30), progress(many)) is None


def test_the_next_wave_opens_after_success_and_a_soak() -> None:
    waves = wave(1, succeeded=1), wave(2, waiting=9)
    reached = decide(Rules(), progress(*waves))
    assert reached == Move(Status.RUNNING, 1, words="wave 1 has succeeded", wave_succeeds=True)
    soaking = {"wave_succeeded_at": ago(3599)}
    assert decide(Rules(), progress(*waves, **soaking)) is None
    opened = decide(Rules(), progress(*waves, wave_succeeded_at=ago(3600)))
    assert opened == Move(Status.RUNNING, 2, words="wave 2 is open")
    assert decide(Rules(approval=True), progress(*waves, wave_succeeded_at=ago(9999))) is None


def test_the_first_wave_must_succeed_wholly_and_later_ones_nearly() -> None:
    waves = wave(1, succeeded=9, failed=1, open=1), wave(2, waiting=9)
    lenient = Rules(failures=100)
    assert decide(lenient, progress(*waves)) is None
    second = wave(1, succeeded=1), wave(2, succeeded=9, failed=1), wave(3, waiting=9)
    move = decide(lenient, progress(*second, wave=2))
    assert move is not None
    assert move.wave_succeeds


def test_it_stops_where_its_wave_has_ended_without_enough_success() -> None:
    """It stayed RUNNING, and said nothing."""
    waves = wave(1, failed=1), wave(2, waiting=1)
    assert decide(Rules(), progress(*waves)) == Move(
        Status.STOPPED,
        1,
        words="wave 1 ended with 0 of 1 updates successful, less than 100 %: retry the failed updates, or "
        "open the next wave",
    )
    taken_back = decide(Rules(), progress(wave(1, succeeded=1, cancelled=1), wave(2, waiting=1)))
    assert taken_back is not None
    assert str(taken_back.words).endswith("less than 100 %: open the next wave")


def test_what_begins_again_in_an_earlier_wave_is_waited_for() -> None:
    waves = wave(1, waiting=1), wave(2, cancelled=1), wave(3, waiting=1)
    assert decide(Rules(), progress(*waves, wave=2)) == Move(Status.RUNNING, 2, start=1)


@pytest.mark.parametrize("asleep", [1, 10])
def test_devices_that_sleep_do_not_hold_a_wave_for_ever(asleep: int) -> None:
    waves = wave(1, succeeded=100 - asleep, open=asleep), wave(2, waiting=9)
    assert decide(Rules(), progress(*waves, wave_opened_at=ago(7 * DAY_S - 1))) is None
    move = decide(Rules(), progress(*waves, wave_opened_at=ago(7 * DAY_S)))
    assert move is not None
    assert (move.wave_succeeds, move.words) == (
        True,
        f"wave 1 has succeeded; unfinished devices: {asleep}",
    )


def test_a_first_wave_of_one_that_sleeps_does_not_hold_it_either() -> None:
    waves = wave(1, open=1), wave(2, waiting=9)
    move = decide(Rules(sleepers_after=DAY_S), progress(*waves, wave_opened_at=ago(DAY_S)))
    assert move is not None
    assert move.wave_succeeds


def test_too_many_that_sleep_hold_it() -> None:
    waves = wave(1, succeeded=89, open=11), wave(2, waiting=9)
    assert decide(Rules(), progress(*waves, wave_opened_at=ago(30 * DAY_S))) is None


def test_it_stops_by_the_share_of_those_that_have_ended_whoever_sleeps() -> None:
    waves = (wave(1, succeeded=8, failed=1, open=50, waiting=400),)
    move = decide(Rules(), progress(*waves))
    assert move is not None
    assert (move.status, move.start) == (Status.STOPPED, 0)
    assert move.words == "1 of 9 updates failed, more than 10 %: connection-lost 1"


def test_it_does_not_stop_before_enough_have_ended_nor_at_the_share_itself() -> None:
    few = decide(Rules(), progress(wave(1, succeeded=2, failed=2, waiting=5)))
    assert few == Move(Status.RUNNING, 1, start=5)
    just = decide(Rules(), progress(wave(1, succeeded=9, failed=1, waiting=5)))
    assert just == Move(Status.RUNNING, 1, start=5)


def test_it_stops_by_one_kind_of_failure_alone() -> None:
    by_kind = Rules(failures=50, failures_of={"rolled-back": 1})
    few = progress(wave(1, succeeded=98, failed=2), failures={"rolled-back": 1, "no-space": 1})
    assert decide(by_kind, few) == Move(Status.FINISHED, 1, words="98 succeeded, 2 failed")
    many = progress(wave(1, succeeded=98, failed=2, waiting=1), failures={"rolled-back": 2})
    assert decide(by_kind, many) == Move(
        Status.STOPPED, 1, words="2 of 100 updates failed with rolled-back, more than 1 %"
    )
    early = progress(wave(1, succeeded=1, failed=2, waiting=1), failures={"rolled-back": 2})
    move = decide(by_kind, early)
    assert move is not None
    assert move.status is Status.RUNNING


def test_the_kinds_of_failures_are_told_the_most_first() -> None:
    failures = {"no-space": 1, "rolled-back": 4}
    move = decide(Rules(), progress(wave(1, succeeded=5, failed=5, waiting=5), failures=failures))
    assert move is not None
    assert str(move.words).endswith("rolled-back 4, no-space 1")


def test_what_somebody_resumed_is_not_stopped_by_old_failures() -> None:
    waves = (wave(1, succeeded=5, failed=5, waiting=5),)
    move = decide(Rules(), progress(*waves, counted_succeeded=0, counted_failed=0))
    assert move == Move(Status.RUNNING, 1, start=5)


def test_it_is_finished_when_all_have_ended() -> None:
    waves = wave(1, succeeded=1), wave(2, succeeded=18, failed=1, cancelled=1)
    move = decide(Rules(), progress(*waves, wave=2))
    assert move is not None
    assert (move.status, move.words) == (
        Status.FINISHED,
        "19 succeeded, 1 failed, 1 cancelled",
    )


def test_one_that_devices_may_join_goes_on_until_its_end() -> None:
    open_to_others = Rules(joining=True)
    assert decide(open_to_others, progress(wave(1, succeeded=9))) is None
    assert decide(open_to_others, progress()) is None
    over = decide(open_to_others, progress(wave(1, succeeded=9), ends_at=ago(1)))
    assert over == Move(Status.FINISHED, 1, words="9 succeeded, 0 failed")


def test_at_its_end_nothing_is_started_any_more() -> None:
    waves = (wave(1, succeeded=1, open=2, waiting=3),)
    move = decide(Rules(), progress(*waves, ends_at=NOW))
    assert move is not None
    assert move.status is Status.FINISHED
    assert str(move.words).endswith("3 have not started")
    assert decide(Rules(), progress(wave(1, open=2), ends_at=NOW)) is None


def test_before_its_start_and_while_paused_nothing_is_started() -> None:
    waves = (wave(1, waiting=3),)
    assert decide(Rules(), progress(*waves, starts_at=NOW + timedelta(seconds=1))) is None
    for status in set(Status) - {Status.RUNNING}:
        assert decide(Rules(), progress(*waves, status=status)) is None


def test_what_has_ended_is_only_ever_tried_again() -> None:
    assert [action for action in Action if Status.FINISHED in ALLOWED[action][0]] == [Action.RETRY]
    assert [action for action in Action if Status.CANCELLED in ALLOWED[action][0]] == []


COUNTS = st.builds(
    Wave,
    st.just(0),
    *(st.integers(0, 300) for _ in range(5)),
)


@given(
    st.lists(COUNTS, min_size=1, max_size=5),
    st.integers(1, 5),
    st.integers(0, 200),
    st.integers(1, 100),
    st.integers(1, 100),
    st.floats(0, 100),
    st.floats(0, 20 * DAY_S),
)
def test_never_more_are_open_than_may_be_and_no_later_wave_starts(
    waves: list[Wave],
    current: int,
    lately: int,
    max_open: int,
    per_minute: int,
    failures: float,
    opened: float,
) -> None:
    numbered = [each._replace(wave=number) for number, each in enumerate(waves, start=1)]
    rules = Rules(max_open=max_open, starts_per_minute=per_minute, failures=failures)
    now = progress(
        *numbered, wave=min(current, len(waves)), started_lately=lately, wave_opened_at=ago(opened)
    )
    move = decide(rules, now)
    if move is None:
        return
    assert move.start <= sum(each.waiting for each in numbered[: now.wave])
    if move.start:
        assert sum(each.open for each in numbered) + move.start <= max_open
        assert lately + move.start <= per_minute
        assert move.status is Status.RUNNING
    ended = now.counted_succeeded + now.counted_failed
    if ended >= rules.min_finished and now.counted_failed * 100 > failures * ended:
        assert move.status is Status.STOPPED
    assert move.wave - now.wave in (0, 1)
