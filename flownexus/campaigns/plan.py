"""The plan of a campaign: its devices, its waves, and its rules for continuing and stopping."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from flownexus.errors import ValidationFailedError
from flownexus.firmware.state import Failure
from flownexus.firmware.window import SERVER, Schedule, Window, faults, zone_of
from flownexus.operations.filter import BadFilterError, Filter, parse_filter

MAX_NAME: Final = 255  # characters
MAX_WAVES: Final = 100
REST: Final = "rest"
MAX_ID: Final = 2**31 - 1
DAY_S: Final = 86_400.0
MAX_AHEAD: Final = timedelta(days=3653)
"""The latest start and end of a campaign: ten years from now."""
MAX_WINDOWS_AHEAD: Final = 100
"""How many windows an estimate looks ahead."""
UPDATE_S: Final = 300.0
"""The assumed duration of an update, for the estimate of a campaign's end."""
Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?%", re.ASCII)
MAX_DIGITS: Final = 10
"""The most digits of a number of devices given as text, as MAX_ID has."""
_ASKED: Final = (
    "name",
    "firmware",
    "endpoints",
    "filter",
    "model",
    "from_versions",
    "waves",
    "starts_at",
    "ends_at",
    "seed",
)


@dataclass(frozen=True)
class Rules:
    """When a campaign continues, waits and stops. Shares are in percent."""

    first_success: float = 100.0
    """Share of the first wave that must succeed before the second one opens."""
    success: float = 90.0
    """The same of each later wave."""
    soak: float = 3600.0
    """Seconds between the success of a wave and the next one."""
    approval: bool = False
    """Whether a person must open each later wave."""
    failures: float = 10.0
    """Failed share of the ended updates above which the campaign stops."""
    min_finished: int = 5
    """Updates that must have ended before failures can stop the campaign."""
    sleepers: float = 10.0
    """Share of a wave that may be unfinished when the next one opens; one device always may."""
    sleepers_after: float = 7 * DAY_S
    """Seconds after which the campaign continues without unfinished devices."""
    max_open: int = 50
    """Updates open at once."""
    starts_per_minute: int = 100
    joining: bool = False
    """Whether devices that match later join the last wave; then only `ends_at` or a person ends it."""
    failures_of: Mapping[str, float] = field(default_factory=dict)
    """By kind of failure: the share above which this kind alone stops the campaign."""
    windows: tuple[Window, ...] = ()
    """When devices may install; empty: at any time. They download at any time."""
    time_zone: str = SERVER
    """The time zone of `windows`: server, device, or the name of one."""


@dataclass(frozen=True)
class NewCampaign:
    """A requested campaign."""

    name: str
    firmware: int
    endpoints: tuple[str, ...] | None
    """None: all that match `filter`, `model` and `from_versions`."""
    model: str | None
    from_versions: tuple[str, ...] | None
    waves: tuple[str, ...]
    rules: Rules
    seed: int
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    filter: Filter | None = None


DEFAULT_WAVES: Final = ("1", "10 %", REST)


def wave_sizes(waves: Sequence[str], targets: int) -> list[int]:
    """Return the number of devices in each wave; the rest after the last one is one more wave.

    Each wave has at least one device, as long as there are devices.
    """
    sizes: list[int] = []
    left = targets
    for wave in waves:
        share = _SHARE.fullmatch(wave)
        if wave == REST:
            wanted = left
        elif share:
            wanted = max(1, round(targets * float(share[1]) / 100))
        else:
            wanted = int(wave)
        size = min(wanted, left)
        if size:
            sizes.append(size)
        left -= size
    return [*sizes, left] if left else sizes


def duration_s(sizes: Sequence[int], rules: Rules, begins: datetime) -> float:
    """Estimate the duration of a campaign in seconds if no device sleeps and none fails.

    Raises OverflowError if its end is beyond the last date.
    """
    time = begins
    for wave, size in enumerate(sizes):
        if wave:
            time += timedelta(seconds=rules.soak)
        running = max(size / rules.starts_per_minute * 60, -(-size // rules.max_open) * UPDATE_S)
        time += timedelta(seconds=running)
        if rules.windows and size:
            time = _installed(size, rules, time)
    return (time - begins).total_seconds()


def _installed(size: int, rules: Rules, downloaded: datetime) -> datetime:
    """Estimate when all devices of a wave have installed, in the windows after the first downloads."""
    schedule, zone = Schedule(rules.windows, rules.time_zone), zone_of(rules.time_zone) or UTC
    time, left = downloaded, size
    for _ in range(MAX_WINDOWS_AHEAD):
        span = schedule.span(time, zone)
        time = max(time, span.opens_at)
        rounds = max(1.0, (span.closes_at - time).total_seconds() // UPDATE_S)
        if left <= rounds * rules.max_open:
            return time + timedelta(seconds=-(-left // rules.max_open) * UPDATE_S)
        left -= int(rounds * rules.max_open)
        time = span.closes_at
    return time


def parse_campaign(body: object, seed: int) -> NewCampaign:
    """Check the JSON body of a new campaign; `seed` is the default.

    Raises ValidationFailedError naming each invalid field, with what is valid.
    """
    if not isinstance(body, Mapping):
        raise ValidationFailedError("a campaign is a JSON object with name and firmware")
    known = (*_ASKED, *(each.name for each in fields(Rules)))
    wrong = {
        str(name)[:64]: f"is unknown; the fields are {', '.join(known)}" for name in body if name not in known
    }
    wrong |= dict(_faults(body))
    chosen = _filter(body, wrong)
    rules = dict(_rules(body, wrong))
    times = dict(_times(body, wrong))
    if wrong:
        raise ValidationFailedError("; ".join(f"{name}: {what}" for name, what in wrong.items()))
    endpoints, versions = body.get("endpoints"), body.get("from_versions")
    return NewCampaign(
        body["name"],
        body["firmware"],
        None if endpoints is None else tuple(dict.fromkeys(endpoints)),
        body.get("model"),
        None if versions is None else tuple(versions),
        tuple(str(wave) for wave in body.get("waves", DEFAULT_WAVES)),
        Rules(**rules),
        body.get("seed", seed),
        filter=chosen,
        **times,
    )


def _filter(body: Mapping[str, Any], wrong: dict[str, str]) -> Filter | None:
    """Return the filter of a campaign, or None."""
    text = body.get("filter")
    if text is None:
        if body.get("joining") is True and body.get("endpoints") is not None:
            wrong["joining"] = "needs a filter; a campaign with endpoints has no other devices"
        return None
    if not isinstance(text, str) or not text.strip():
        wrong["filter"] = "selects devices, such as name==sim-*;tag.site==berlin, or is left out"
    elif body.get("endpoints") is not None:
        wrong["filter"] = "cannot be combined with endpoints"
    else:
        try:
            return parse_filter(text)
        except BadFilterError as error:
            wrong["filter"] = error.reason
    return None


def _faults(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not _is_text(body.get("name")):
        yield "name", f"is a text of 1 to {MAX_NAME} characters"
    if not _is_number(body.get("firmware"), 1, MAX_ID, whole=True):
        yield "firmware", "is the id of a package, a whole number"
    for name in ("endpoints", "from_versions"):
        value = body.get(name)
        if value is not None and not (isinstance(value, list) and value and all(map(_is_text, value))):
            yield name, "is a non-empty list of texts, or left out"
    if body.get("model") is not None and not _is_text(body["model"]):
        yield "model", "is the model number (3/0/1) of the devices, a text, or left out"
    waves = body.get("waves", list(DEFAULT_WAVES))
    if not isinstance(waves, list) or not 1 <= len(waves) <= MAX_WAVES or not all(map(_is_wave, waves)):
        yield "waves", 'are 1 to 100 numbers of devices, shares or "rest", such as [1, "10 %", "rest"]'
    if not _is_number(body.get("seed", 0), 0, MAX_ID, whole=True):
        yield "seed", f"is a whole number from 0 to {MAX_ID}"


_BOUNDS: Final[Mapping[str, tuple[float, float, str]]] = {
    "first_success": (0, 100, "a share in percent, 0 to 100"),
    "success": (0, 100, "a share in percent, 0 to 100"),
    "soak": (0, 366 * DAY_S, "a number of seconds"),
    "failures": (0, 100, "a share in percent, 0 to 100"),
    "min_finished": (1, MAX_ID, "a whole number, 1 or more"),
    "sleepers": (0, 100, "a share in percent, 0 to 100"),
    "sleepers_after": (0, 366 * DAY_S, "a number of seconds"),
    "max_open": (1, 10_000, "a whole number from 1 to 10000"),
    "starts_per_minute": (1, 100_000, "a whole number from 1 to 100000"),
}
_WHOLE: Final = frozenset({"min_finished", "max_open", "starts_per_minute"})


def _rules(body: Mapping[str, Any], wrong: dict[str, str]) -> Iterator[tuple[str, Any]]:
    for name, (least, most, right) in _BOUNDS.items():
        if name in body:
            if not _is_number(body[name], least, most, whole=name in _WHOLE):
                wrong[name] = f"is {right}"
            yield name, body[name]
    if "failures_of" in body:
        if not _is_by_kind(body["failures_of"]):
            wrong["failures_of"] = (
                'is a share in percent by kind of failure, such as {"rolled-back": 1}; the kinds are '
                + ", ".join(Failure)
            )
        yield "failures_of", body["failures_of"]
    if "windows" in body or "time_zone" in body:
        windows, zone = body.get("windows", []), body.get("time_zone", SERVER)
        reasons = dict(faults(windows, zone))
        wrong |= reasons
        yield "time_zone", zone
        yield "windows", () if reasons else tuple(Window(each["cron"], each["minutes"]) for each in windows)
    for name in ("approval", "joining"):
        if name in body:
            if not isinstance(body[name], bool):
                wrong[name] = "is true or false"
            yield name, body[name]


def _times(body: Mapping[str, Any], wrong: dict[str, str]) -> Iterator[tuple[str, datetime | None]]:
    found: dict[str, datetime] = {}
    for name in ("starts_at", "ends_at"):
        if body.get(name) is None:
            continue
        try:
            found[name] = msgspec.convert(body[name], Time).astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            wrong[name] = "is a time with an offset (RFC 3339), such as 2026-01-02T03:04:05Z"
        else:
            if found[name] > datetime.now(UTC) + MAX_AHEAD:
                wrong[name] = "is at most ten years from now"
    start, end = found.get("starts_at"), found.get("ends_at")
    if start is not None and end is not None and end <= start:
        wrong["ends_at"] = "is after starts_at"
    yield from found.items()


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_NAME and "\0" not in value


def _is_by_kind(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        kind in list(Failure) and _is_number(share, 0, 100, whole=False) for kind, share in value.items()
    )


def _is_number(value: Any, least: float, most: float, *, whole: bool) -> bool:
    kind = int if whole else int | float
    return not isinstance(value, bool) and isinstance(value, kind) and least <= value <= most


def _is_wave(value: Any) -> bool:
    if isinstance(value, str):
        share = _SHARE.fullmatch(value)
        return (
            value == REST
            or (share is not None and 0 < float(share[1]) <= 100)
            or (
                len(value) <= MAX_DIGITS and value.isascii() and value.isdigit() and 1 <= int(value) <= MAX_ID
            )
        )
    return _is_number(value, 1, MAX_ID, whole=True)
