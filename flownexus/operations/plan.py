"""The plan of a profile: what of an endpoint is read and observed when it registers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m import attributes
from flownexus.lwm2m.path import BadPathError, Path

MAX_ENTRIES: Final = 100
MAX_PATTERNS: Final = 100  # of an entry
MAX_PATHS_OF_COMPOSITE: Final = 50
MAX_REPORTS_WITHIN_S: Final = 366 * 24 * 3600
_PATTERN: Final = re.compile(r"/\d{1,5}(?:/(?:\d{1,5}|\*)(?:/\d{1,5})?)?", re.ASCII)

Group: TypeAlias = Literal["each", "object", "all"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is read or observed: of each path that a pattern stands for, where the device has it."""

    operation: Literal["observe", "read"]
    paths: tuple[str, ...]
    """Of an object, object instance or resource; * stands for each instance of the object that there is."""
    group: Group = "each"
    """A request of its own for each path, or a composite of those of an object, or of all."""
    attributes: Mapping[str, Any] = {}
    """Notification attributes, which are written before; of an observation."""
    reports_within: int | None = None
    """Seconds within which each device is known to report, where no attribute pmax makes it so."""


Plan: TypeAlias = Sequence[Entry]


class Planned(NamedTuple):
    """An operation that a plan asks of a device; `value` is that of a write-attributes."""

    operation: str
    path: str | None = None
    paths: tuple[str, ...] | None = None
    value: Mapping[str, Any] | None = None
    reports_within: int | None = None

    @property
    def key(self) -> PlannedKey:
        """Return what tells it from the others of a registration."""
        return self.operation, self.path, self.paths


PlannedKey: TypeAlias = tuple[str, str | None, tuple[str, ...] | None]


def parse_plan(given: object) -> tuple[Entry, ...]:
    """Check the JSON of a plan; raise ValidationFailedError saying which entry is not valid, and why."""
    try:
        plan = msgspec.convert(given, tuple[Entry, ...])
    except msgspec.ValidationError as error:
        raise ValidationFailedError(
            f'plan: {error}; an entry is {{"operation": "observe" or "read", "paths": ["/3303/*/5700"], '
            '"group"?: "each", "object" or "all", "attributes"?: {"pmax": 60}, "reports_within"?: 120}'
        ) from None
    if len(plan) > MAX_ENTRIES:
        raise ValidationFailedError(f"plan: has {len(plan)} entries, and at most {MAX_ENTRIES} are taken")
    for place, entry in enumerate(plan):
        wrong = _wrong(entry)
        if wrong is not None:
            raise ValidationFailedError(f"plan[{place}].{wrong}")
    return plan


def stored_plan(column: object) -> tuple[Entry, ...]:
    """Read a plan of its row, which parse_plan() has checked."""
    return msgspec.convert(column, tuple[Entry, ...])


def _wrong(entry: Entry) -> str | None:
    if not 1 <= len(entry.paths) <= MAX_PATTERNS:
        return f"paths: are 1 to {MAX_PATTERNS}"
    for pattern in entry.paths:
        if not _PATTERN.fullmatch(pattern):
            return (
                f"paths: {pattern[:64]!r} is no path of an object, object instance or resource, "
                "such as /3, /3303/0, /3303/*/5700"
            )
        try:
            path = Path.parse(pattern.replace("*", "0"))
            if entry.attributes:
                attributes.check(entry.attributes, path)
        except BadPathError as error:
            return f"paths: {error}"
        except attributes.BadAttributeError as error:
            return f"attributes: {error}"
    if entry.attributes and entry.operation == "read":
        return "attributes: belong to an observation"
    if any(value is None for value in entry.attributes.values()):
        return "attributes: leave one out that is not to be set"
    if entry.reports_within is not None and not 1 <= entry.reports_within <= MAX_REPORTS_WITHIN_S:
        return f"reports_within: is seconds from 1 to {MAX_REPORTS_WITHIN_S}"
    return None


def planned(plan: Plan, objects: Collection[str]) -> list[Planned]:
    """Return what a plan asks of a device, observations first, each with its attributes before it.

    What is observed comes by itself from then on: a device that waits for a read sends nothing meanwhile. No
    path is observed twice, nor one below another. `objects` are the paths of the registration: /3/0 for an
    instance, /5 for an object without one.
    """
    has = {Path.parse(path) for path in objects}
    taken = _Taken()
    asked: list[Planned] = []
    reads: list[Planned] = []
    for entry in plan:
        paths = sorted({path for pattern in entry.paths for path in _expanded(pattern, has)}, key=_ids)
        if entry.operation == "read":
            reads += _grouped(entry, paths, None)
            continue
        paths = [path for path in paths if taken.take(path)]
        if entry.attributes:
            asked += [Planned("write-attributes", str(path), value=dict(entry.attributes)) for path in paths]
        asked += _grouped(entry, paths, entry.reports_within or entry.attributes.get("pmax") or None)
    return list({each.key: each for each in (*asked, *reads)}.values())


class _Taken:
    """The paths that are observed."""

    def __init__(self) -> None:
        self._paths: set[tuple[int, ...]] = set()
        self._above: set[tuple[int, ...]] = set()

    def take(self, path: Path) -> bool:
        """Take a path, unless it, one above it or one below it is taken; say whether it was."""
        ids = path.ids
        above = [ids[:depth] for depth in range(1, len(ids))]
        if ids in self._paths or ids in self._above or not self._paths.isdisjoint(above):
            return False
        self._paths.add(ids)
        self._above.update(above)
        return True


def _ids(path: Path) -> tuple[int, ...]:
    return path.ids


def _expanded(pattern: str, has: Collection[Path]) -> Iterator[Path]:
    """Yield the paths that a pattern stands for at a device."""
    object_id, instance, resource = (*pattern.removeprefix("/").split("/"), None, None)[:3]
    assert object_id is not None  # noqa: S101  # for the type checker
    of_object = [path for path in has if path.object_id == int(object_id)]
    if instance is None:
        if of_object:
            yield Path(int(object_id))
        return
    for path in of_object:
        if path.object_instance_id is not None and instance in ("*", str(path.object_instance_id)):
            yield Path(*path.ids[:2], *(() if resource is None else (int(resource),)))


def _grouped(entry: Entry, paths: Iterable[Path], reports_within: int | None) -> Iterator[Planned]:
    """Yield the requests for paths, which are in their order."""
    if entry.group == "each":
        for path in paths:
            yield Planned(entry.operation, str(path), reports_within=reports_within)
        return
    for _, group in itertools.groupby(
        paths, lambda path: path.object_id if entry.group == "object" else None
    ):
        texts = [str(path) for path in group]
        for first in range(0, len(texts), MAX_PATHS_OF_COMPOSITE):
            several = tuple(texts[first : first + MAX_PATHS_OF_COMPOSITE])
            yield Planned(f"{entry.operation}-composite", paths=several, reports_within=reports_within)
