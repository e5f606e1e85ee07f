"""What a user asks for: an operation on an endpoint, or on each that fits a filter, with a priority."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import KINDS, Known, Operation
from flownexus.operations.catalogue.base import OnePath, with_article
from flownexus.operations.filter import EVERYTHING, BadFilterError, Filter, parse_filter

USER_PRIORITY: Final = 100
"""The priority of a user's operation unless it says another; the observe plan's operations have 0."""
PRIORITIES: Final = range(1, 1001)
"""What a user may ask for; the higher goes first."""
Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
_TIMES: Final = ("not_before", "expires_at")
MAX_EXPIRES_IN_S: Final = 10 * 366 * 24 * 3600
_DEFAULTS: Final[Mapping[str, Any]] = {
    field.name: None if field.default is msgspec.NODEFAULT else field.default
    for kind in KINDS.values()
    for field in msgspec.structs.fields(kind)
}
"""The fields of all kinds, with what they have where nothing is said; null where something must be."""
_IN_EACH_FINGERPRINT: Final = ("path", "value", "arguments", "repeatable")
"""Those of the first version: a fingerprint is the same in each."""
_FIELDS: Final = ("operation", *_DEFAULTS, "priority", *_TIMES, "expires_in", "supersede")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """An operation as a user asks for it; all but the type of a plain value is checked."""

    operation: Operation
    priority: int = USER_PRIORITY
    not_before: datetime | None = None
    """It is not sent before."""
    expires_at: datetime | None = None
    """From then on it is not sent."""
    expires_in: float | None = None
    """The same, in seconds from when it is queued."""
    supersede: bool = False
    """It takes the place of an older one for the same path that waits."""

    def _fingerprint(self, target: Mapping[str, str]) -> bytes:
        """Return what only the same operation for the same target has: the SHA-256 of all that was asked."""
        asked = {
            **target,
            "operation": self.operation.kind,
            **{
                name: getattr(self.operation, name, default)
                for name, default in _DEFAULTS.items()
                if name in _IN_EACH_FINGERPRINT or hasattr(self.operation, name)
            },
            "priority": self.priority,
            # Keys that were used before there were these stand for the same.
            **{name: when for name in (*_TIMES, "expires_in") if (when := getattr(self, name)) is not None},
            **({"supersede": True} if self.supersede else {}),
        }
        return hashlib.sha256(
            msgspec.json.encode({name: _in_order(what) for name, what in asked.items()})
        ).digest()


@dataclass(frozen=True, kw_only=True)
class NewOperation(_Asked):
    """An operation that a user asks for, of one endpoint."""

    endpoint: str

    @property
    def fingerprint(self) -> bytes:
        """Return what only the same operation has: the SHA-256 of all that was asked for."""
        return self._fingerprint({"endpoint": self.endpoint})


@dataclass(frozen=True, kw_only=True)
class NewBatch(_Asked):
    """An operation that a user asks for, of each endpoint that fits a filter."""

    filter: Filter

    @property
    def fingerprint(self) -> bytes:
        """Return what only the same batch has: the SHA-256 of all that was asked for."""
        return self._fingerprint({"filter": str(self.filter)})


def _in_order(value: Any) -> Any:
    """Return a value with the keys of its objects in order, but a path with its own."""
    return value if isinstance(value, Path) else msgspec.to_builtins(value, order="deterministic")


def parse_operation(body: object) -> NewOperation:
    """Check the JSON body of a new operation.

    `body` is {"endpoint", "operation", "priority"?, "not_before"?, "expires_at"? or "expires_in"?,
    "supersede"?} and the fields of its kind, see flownexus.operations.catalogue. Raises
    ValidationFailedError naming each field that is not valid, and what would be.
    """
    if not isinstance(body, Mapping):
        raise ValidationFailedError("an operation is a JSON object with endpoint, operation and path")
    wrong: dict[str, str] = {}
    endpoint = body.get("endpoint")
    if not isinstance(endpoint, str) or not endpoint or "\0" in endpoint:
        wrong["endpoint"] = "is the endpoint client name of a device that has been seen, a non-empty text"
    return NewOperation(endpoint=str(endpoint), **_parse(body, "endpoint", wrong))


def parse_batch(body: object) -> NewBatch:
    """Check the JSON body of a batch: as that of an operation, with "filter" in place of "endpoint".

    Raises ValidationFailedError naming each field that is not valid, and what would be.
    """
    if not isinstance(body, Mapping):
        raise ValidationFailedError("a batch is a JSON object with filter, operation and path")
    wrong: dict[str, str] = {}
    text = body.get("filter")
    chosen: Filter = EVERYTHING
    if not isinstance(text, str) or not text.strip():
        wrong["filter"] = "says which endpoints: name==sim-*;tag.site==berlin, or name==* for all"
    else:
        try:
            chosen = parse_filter(text)
        except BadFilterError as error:
            wrong["filter"] = error.reason
    return NewBatch(filter=chosen, **_parse(body, "filter", wrong))


def _parse(body: Mapping[str, Any], target: str, wrong_target: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of what is asked for; raise ValidationFailedError, naming all that are not valid.

    `target` is the name of the field that says for which endpoints it is, and `wrong_target` what is wrong
    with it.
    """
    fields = (target, *_FIELDS)
    wrong: dict[str, str] = {
        str(name)[:64]: f"is unknown; the fields are {', '.join(fields)}"
        for name in body
        if name not in fields
    }
    wrong |= wrong_target
    name = body.get("operation")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        wrong["operation"] = f"is one of {', '.join(KINDS)}"
    priority = body.get("priority", USER_PRIORITY)
    if isinstance(priority, bool) or not isinstance(priority, int) or priority not in PRIORITIES:
        wrong["priority"] = (
            f"is a whole number from {PRIORITIES[0]} to {PRIORITIES[-1]}; the higher goes first"
        )
    times = {name: _time(body[name]) for name in _TIMES if body.get(name) is not None}
    wrong |= {
        name: "is a time with its offset, as RFC 3339 has it: 2026-01-02T03:04:05Z"
        for name, time in times.items()
        if time is None
    }
    not_before, expires_at, expires_in = (
        times.get("not_before"),
        times.get("expires_at"),
        body.get("expires_in"),
    )
    if not_before is not None and expires_at is not None and expires_at <= not_before:
        wrong["expires_at"] = "is after not_before, or it is never sent"
    if expires_in is not None and (
        isinstance(expires_in, bool)
        or not isinstance(expires_in, int | float)
        or not 0 < expires_in <= MAX_EXPIRES_IN_S
    ):
        wrong["expires_in"] = f"is a number of seconds, above 0 and up to {MAX_EXPIRES_IN_S}"
    elif expires_in is not None and "expires_at" in times:
        wrong["expires_in"] = "cannot be combined with expires_at"
    wrong |= dict((kind or OnePath).faults(body))
    if kind is not None:
        wrong |= {field: _belongs(field) for field in _foreign(body, kind)}
    operation = None if wrong or kind is None else kind.of(body)
    supersede = body.get("supersede", False)
    if not isinstance(supersede, bool):
        wrong["supersede"] = "is true or false"
    elif supersede and operation is not None and not operation.may_supersede:
        wrong["supersede"] = (
            "belongs to a write of all that its path holds: one without replace, or with replace true"
        )
    if wrong:
        raise ValidationFailedError("; ".join(f"{name}: {what}" for name, what in wrong.items()))
    return {
        "operation": operation,
        "priority": priority,
        "not_before": not_before,
        "expires_at": expires_at,
        "expires_in": expires_in,
        "supersede": supersede,
    }


def _time(value: object) -> datetime | None:
    """Return a time of a request in UTC; None where it is none that PostgreSQL has."""
    try:
        return msgspec.convert(value, Time).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        return None


def _foreign(body: Mapping[str, Any], kind: type[Known]) -> list[str]:
    """Return the fields of other kinds that say something."""
    return [
        name
        for name, default in _DEFAULTS.items()
        if name not in kind.__struct_fields__ and body.get(name) is not None and body[name] is not default
    ]


def _belongs(field: str) -> str:
    owners = [name for name, kind in KINDS.items() if field in kind.__struct_fields__]
    named = " or ".join(map(with_article, owners))
    return f"{'belong' if field.endswith('s') else 'belongs'} to {named} only"
