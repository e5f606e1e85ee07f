"""Windows in which devices may install: a cron expression, a length in minutes and a time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from flownexus.errors import ValidationFailedError

DEVICE: Final = "device"
"""The time zone of /3/0/15, or the offset of /3/0/14, as the device reports it."""
SERVER: Final = "server"
MAX_WINDOWS: Final = 10
MAX_MINUTES: Final = 7 * 24 * 60
MAX_CRON: Final = 100  # characters
_FIELDS: Final = 5
_OFFSET: Final = re.compile(r"(?:UTC)?([+-])(\d{1,2})(?::?(\d{2}))?", re.ASCII)


@dataclass(frozen=True)
class Window:
    """A recurring time span: a cron expression for its beginning, and its length."""

    cron: str
    minutes: int


class Span(NamedTuple):
    """One occurrence of a window."""

    opens_at: datetime
    closes_at: datetime

    def is_open(self, now: datetime) -> bool:
        """Say whether it is open."""
        return self.opens_at <= now < self.closes_at


@dataclass(frozen=True)
class Schedule:
    """Windows and their time zone: server, device, or a name of the tz database."""

    windows: tuple[Window, ...]
    time_zone: str = SERVER

    def span(self, now: datetime, zone: tzinfo) -> Span:
        """Return the open window that closes last, or the next one if none is open."""
        return _span(self.windows, now, zone)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo | None:
    """Return a time zone of the tz database by its name, or None."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # a device may report any text
        return None


def device_zone(name: str | None, offset: str | None) -> tzinfo | None:
    """Return the time zone that a device reports in /3/0/15 or /3/0/14, or None."""
    found = zone_of(name) if name else None
    if found is None and (parts := _OFFSET.fullmatch(offset or "")):
        minutes = int(parts[2]) * 60 + int(parts[3] or 0)
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=minutes if parts[1] == "+" else -minutes))
    return found


def faults(windows: Any, time_zone: Any) -> Iterator[tuple[str, str]]:
    """Yield the invalid fields of a schedule's JSON, each with what is valid."""
    right = f'are 1 to {MAX_WINDOWS} of {{"cron": "0 2 * * *", "minutes": 120}}'
    if not isinstance(windows, list) or not 1 <= len(windows) <= MAX_WINDOWS:
        yield "windows", right
    else:
        for window in windows:
            if reason := _fault(window):
                yield "windows", f"{right}: {reason}"
                break
    if time_zone not in (SERVER, DEVICE) and (not isinstance(time_zone, str) or zone_of(time_zone) is None):
        yield "time_zone", 'is "server", "device" or the name of a time zone, such as Europe/Berlin'


def schedule_of(windows: Any, time_zone: Any) -> Schedule | None:
    """Return a schedule from its JSON, or None without windows; raise ValidationFailedError."""
    if not windows and time_zone == SERVER:
        return None
    wrong = list(faults(windows, time_zone))
    if wrong:
        raise ValidationFailedError("; ".join(f"{name}: {what}" for name, what in wrong))
    return Schedule(tuple(Window(each["cron"], each["minutes"]) for each in windows), time_zone)


def _fault(window: Any) -> str | None:
    if not isinstance(window, Mapping) or set(window) != {"cron", "minutes"}:
        return "each has cron and minutes"
    cron, minutes = window["cron"], window["minutes"]
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= MAX_MINUTES:
        return f"minutes is a whole number from 1 to {MAX_MINUTES}"
    if not isinstance(cron, str) or len(cron) > MAX_CRON or len(cron.split()) != _FIELDS:
        return "cron has five fields: minute, hour, day, month, weekday"
    try:
        if next(CronSim(cron, datetime.now(UTC)), None) is None:
            return f"{cron!r} never occurs"
    except CronSimError as error:
        return f"{cron!r}: {error}"
    return None


def _span(windows: tuple[Window, ...], now: datetime, zone: tzinfo) -> Span:
    local = now.astimezone(zone)
    spans = [span for window in windows for span in _around(window, local)]
    open_ = [span for span in spans if span.is_open(now)]
    if open_:
        return max(open_, key=lambda span: span.closes_at)
    return min(span for span in spans if span.opens_at > now)


def _around(window: Window, local: datetime) -> Iterator[Span]:
    """Yield the last occurrence of a window, if there was one, and the next one.

    A clock time that occurs twice, at the end of summer time, means the first: it may be in the past.
    """
    length = timedelta(minutes=window.minutes)
    # The reverse iterator starts before the given minute; the current minute counts as past.
    minute = local.replace(second=0, microsecond=0)
    last = islice(CronSim(window.cron, minute + timedelta(minutes=1), reverse=True), 1)
    for begins in chain(last, CronSim(window.cron, local)):
        opens_at = begins.astimezone(UTC)
        yield Span(opens_at, opens_at + length)
        if opens_at > local:
            break
