"""What a user asks for: an operation on an endpoint, with a priority."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import KINDS, Known, OnePath, Operation, with_article

USER_PRIORITY: Final = 100
"""The priority of a user's operation unless it says another; the observe plan's operations have 0."""
PRIORITIES: Final = range(1, 1001)
"""What a user may ask for; the higher goes first."""
_DEFAULTS: Final[Mapping[str, Any]] = {
    field.name: None if field.default is msgspec.NODEFAULT else field.default
    for kind in KINDS.values()
    for field in msgspec.structs.fields(kind)
}
"""The fields of all kinds, with what they have where nothing is said; null where something must be."""
_IN_EACH_FINGERPRINT: Final = ("path", "value", "arguments", "repeatable")
"""Those of the first version: a fingerprint is the same in each."""
_FIELDS: Final = ("endpoint", "operation", *_DEFAULTS, "priority")


@dataclass(frozen=True)
class NewOperation:
    """An operation that a user asks for; all but the type of a plain value is checked."""

    endpoint: str
    operation: Operation
    priority: int = USER_PRIORITY

    @property
    def fingerprint(self) -> bytes:
        """Return what only the same operation has: the SHA-256 of all that was asked for."""
        asked = {
            "endpoint": self.endpoint,
            "operation": self.operation.kind,
            **{
                name: getattr(self.operation, name, default)
                for name, default in _DEFAULTS.items()
                if name in _IN_EACH_FINGERPRINT or hasattr(self.operation, name)
            },
            "priority": self.priority,
        }
        return hashlib.sha256(
            msgspec.json.encode({name: _in_order(what) for name, what in asked.items()})
        ).digest()


def _in_order(value: Any) -> Any:
    """Return a value with the keys of its objects in order, but a path with its own."""
    return value if isinstance(value, Path) else msgspec.to_builtins(value, order="deterministic")


def parse_operation(body: object) -> NewOperation:
    """Check the JSON body of a new operation.

    `body` is {"endpoint", "operation", "priority"?} and the fields of its kind, see flownexus.operations
    .catalogue. Raises ValidationFailedError naming each field that is not valid, and what would be.
    """
    if not isinstance(body, Mapping):
        raise ValidationFailedError("an operation is a JSON object with endpoint, operation and path")
    wrong: dict[str, str] = {
        str(name)[:64]: f"is unknown; the fields are {', '.join(_FIELDS)}"
        for name in body
        if name not in _FIELDS
    }
    endpoint = body.get("endpoint")
    if not isinstance(endpoint, str) or not endpoint or "\0" in endpoint:
        wrong["endpoint"] = "is the endpoint client name of a device that has been seen, a non-empty text"
    name = body.get("operation")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        wrong["operation"] = f"is one of {', '.join(KINDS)}"
    priority = body.get("priority", USER_PRIORITY)
    if isinstance(priority, bool) or not isinstance(priority, int) or priority not in PRIORITIES:
        wrong["priority"] = (
            f"is a whole number from {PRIORITIES[0]} to {PRIORITIES[-1]}; the higher goes first"
        )
    wrong |= dict((kind or OnePath).faults(body))
    if kind is not None:
        wrong |= {field: _belongs(field) for field in _foreign(body, kind)}
    if wrong or kind is None:
        raise ValidationFailedError("; ".join(f"{name}: {what}" for name, what in wrong.items()))
    return NewOperation(str(endpoint), kind.of(body), int(priority))


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
