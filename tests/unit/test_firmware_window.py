"""Windows of installs: which one is open, which comes next, and in whose time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.firmware.window import Schedule, Window, device_zone, faults, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = Schedule((Window("0 2 * * *", 120),))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "opens_at", "is_open"),
    [
        ("2026-11-29T00:59:59", "2026-11-29T01:00:00", False),
        ("2026-11-29T01:00:00", "2026-11-29T01:00:00", True),
        ("2026-11-29T02:59:59", "2026-11-29T01:00:00", True),
        ("2026-11-29T03:00:00", "2026-11-30T01:00:00", False),
        # Summer time: two in the morning is another time of UTC.
        ("2026-07-01T12:00:00", "2026-07-02T00:00:00", False),
        # On 29 March half past two does not come; the window opens where the clock goes on.
        ("2026-03-28T12:00:00", "2026-03-29T01:00:00", False),
    ],
)
def test_a_window_opens_at_its_time_of_day_in_its_time_zone(now: str, opens_at: str, is_open: bool) -> None:
    span = NIGHTLY.span(utc(now), BERLIN)
    assert (span.opens_at, span.is_open(utc(now))) == (utc(opens_at), is_open)
    assert span.closes_at - span.opens_at == timedelta(hours=2)


def test_of_two_windows_that_are_open_the_one_that_closes_last_counts_and_else_the_one_that_comes_first() -> (
    None
):
    both = Schedule((Window("0 2 * * *", 60), Window("30 2 * * 0", 240)))
    sunday = utc("2026-11-29T02:45:00")
    assert both.span(sunday, UTC).closes_at == utc("2026-11-29T06:30:00")
    assert both.span(utc("2026-11-28T12:00:00"), UTC).opens_at == utc("2026-11-29T02:00:00")


def test_a_window_of_a_whole_day_is_never_closed() -> None:
    always = Schedule((Window("0 0 * * *", 1440),))
    for moment in ("2026-11-29T00:00:00", "2026-11-28T23:59:59.999999", "2026-11-29T12:00:00"):
        assert always.span(utc(moment), UTC).is_open(utc(moment))


@given(
    st.sampled_from(["0 2 * * *", "*/15 8-17 * * 1-5", "30 2 29 2 *", "0 0 1 * *", "5 4 * * sun"]),
    st.integers(1, 10_000),
    st.floats(0, 1.3e8),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC"]),
)
def test_a_span_is_open_now_or_opens_later(cron: str, minutes: int, seconds: float, name: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    zone = zone_of(name)
    assert zone is not None
    span = Schedule((Window(cron, minutes),)).span(now, zone)
    assert span.is_open(now) or span.opens_at > now


@pytest.mark.parametrize(
    ("zone", "cron", "second_pass", "opened"),
    [
        ("Europe/Berlin", "30 2 * * *", "2027-10-31T01:00:00", "2027-10-31T00:30:00"),
        ("America/New_York", "30 1 * * *", "2027-11-07T06:00:00", "2027-11-07T05:30:00"),
        ("Australia/Sydney", "30 2 * * *", "2027-04-03T16:00:00", "2027-04-03T15:30:00"),
    ],
)
def test_in_the_hour_that_comes_twice_a_window_opens_once(
    zone: str, cron: str, second_pass: str, opened: str
) -> None:
    begins = utc(second_pass)
    for minute in range(-35, 65, 5):
        now = begins + timedelta(minutes=minute)
        span = Schedule((Window(cron, 30),)).span(now, ZoneInfo(zone))
        assert span.is_open(now) is (-30 <= minute < 0)
        assert (span.opens_at == utc(opened)) is (minute < 0)
    longer = Schedule((Window(cron, 60),)).span(begins + timedelta(minutes=10), ZoneInfo(zone))
    assert (longer.opens_at, longer.is_open(begins + timedelta(minutes=10))) == (utc(opened), True)


@pytest.mark.parametrize(
    ("name", "offset", "zone"),
    [
        ("Europe/Berlin", "+05:00", BERLIN),
        ("nowhere", "+05:30", timezone(timedelta(hours=5, minutes=30))),
        (None, "UTC-3", timezone(timedelta(hours=-3))),
        ("../../etc/passwd", None, None),
        ("Europe", "noon", None),
        (None, "+99", None),
    ],
)
def test_a_device_tells_its_time_zone_by_name_or_by_its_offset(
    name: str | None, offset: str | None, zone: Any
) -> None:
    assert device_zone(name, offset) == zone


@pytest.mark.parametrize(
    ("windows", "time_zone", "words"),
    [
        ([], "server", "are 1 to 10 of"),
        ([{"cron": "0 2 * * *"}], "server", "each has cron and minutes"),
        ([{"cron": "0 2 * * *", "minutes": True}], "server", "minutes is a whole number from 1 to 10080"),
        ([{"cron": "0 2 * *", "minutes": 5}], "server", "cron has five fields"),
        ([{"cron": "0 0 2 * * *", "minutes": 5}], "server", "cron has five fields"),
        ([{"cron": "0 25 * * *", "minutes": 5}], "server", "'0 25 * * *': Bad hour"),
        ([{"cron": "0 2 31 2 *", "minutes": 5}], "server", "Bad day-of-month"),
        ([{"cron": "0 2 * * *", "minutes": 5}], "Mars/Base", "or the name of a time zone"),
    ],
)
def test_a_schedule_that_is_not_valid_is_told_what_would_be(windows: Any, time_zone: Any, words: str) -> None:
    [(_, reason)] = faults(windows, time_zone)
    assert words in reason


def test_a_schedule_that_is_valid_has_no_faults() -> None:
    for zone in ("server", "device", "Europe/Berlin"):
        assert list(faults([{"cron": "0 2 * * 1-5", "minutes": 120}], zone)) == []
