"""The kinds of operations, and what a user may ask for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import MAX_ID, BadPathError, Path
from flownexus.lwm2m.value import BadValueError, DataType, from_json, to_json

USER_PRIORITY: Final = 100
"""The priority of a user's operation unless it says another; the observe plan's operations have 0."""
PRIORITIES: Final = range(1, 1001)
"""What a user may ask for; the higher goes first."""
MAX_ARGUMENTS: Final = 4096  # characters of an execute's arguments
MAX_PACKAGE_URI: Final = 255
"""The longest Package URI, in bytes (OMA LwM2M Core 1.1, appendix E.6: /5/*/1)."""


class OperationType(StrEnum):
    """What is done to the device (OMA LwM2M Core 1.1, 6.3 and 6.4)."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    OBSERVE = "observe"
    CANCEL_OBSERVE = "cancel-observe"


_DEPTHS: Final[Mapping[OperationType, range]] = {
    OperationType.READ: range(1, 5),
    OperationType.WRITE: range(3, 5),
    OperationType.EXECUTE: range(3, 4),
    OperationType.OBSERVE: range(1, 5),
    OperationType.CANCEL_OBSERVE: range(1, 5),
}
_RESOURCE_DEPTH: Final = 3
_KINDS: Final = ("", "object", "object instance", "resource", "resource instance")
_FIELDS: Final = ("endpoint", "operation", "path", "value", "arguments", "repeatable", "priority")

# arglist = arg *( "," arg ); arg = DIGIT / DIGIT "=" "'" *CHAR "'"; CHAR = "!" / %x23-26 / %x28-5B / %x5D-7E
# (OMA LwM2M Core 1.1, 6.3.5).
_ARGUMENT: Final = r"([0-9])(?:='[!\x23-\x26\x28-\x5B\x5D-\x7E]*')?"
_ARGUMENTS: Final = re.compile(rf"{_ARGUMENT}(?:,{_ARGUMENT})*")


@dataclass(frozen=True)
class NewOperation:
    """An operation that a user asks for; all but the type of a plain value is checked."""

    endpoint: str
    operation: OperationType
    path: Path
    value: Any = None
    arguments: str | None = None
    repeatable: bool = False
    priority: int = USER_PRIORITY

    @property
    def fingerprint(self) -> bytes:
        """Return what only the same operation has: the SHA-256 of all that was asked for."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).digest()

    @property
    def needs_type(self) -> bool:
        """Say whether the value came without its data type."""
        return self.operation is OperationType.WRITE and not _is_typed(self.value)


def parse_operation(body: object) -> NewOperation:
    """Check the JSON body of a new operation.

    `body` is {"endpoint", "operation", "path", "value"?, "arguments"?, "repeatable"?, "priority"?}. Raises
    ValidationFailedError naming each field that is not valid, and what would be.
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
    kind = body.get("operation")
    operation = OperationType(kind) if isinstance(kind, str) and kind in list(OperationType) else None
    if operation is None:
        wrong["operation"] = f"is one of {', '.join(OperationType)}"
    path = _path(body.get("path"), operation, wrong)
    priority = body.get("priority", USER_PRIORITY)
    if isinstance(priority, bool) or not isinstance(priority, int) or priority not in PRIORITIES:
        wrong["priority"] = (
            f"is a whole number from {PRIORITIES[0]} to {PRIORITIES[-1]}; the higher goes first"
        )
    if operation is not None:
        _check_value(operation, path, body, wrong)
        _check_package_uri(operation, path, body.get("value"), wrong)
        _check_execute(operation, body, wrong)
    if wrong or operation is None or path is None:
        raise ValidationFailedError("; ".join(f"{name}: {what}" for name, what in wrong.items()))
    return NewOperation(
        endpoint=str(endpoint),
        operation=operation,
        path=path,
        value=body.get("value"),
        arguments=body.get("arguments") or None,
        repeatable=bool(body.get("repeatable", False)),
        priority=int(priority),
    )


def _path(text: object, operation: OperationType | None, wrong: dict[str, str]) -> Path | None:
    if not isinstance(text, str):
        wrong["path"] = "is a LwM2M path, such as /3303/0/5700"
        return None
    try:
        path = Path.parse(text)
    except BadPathError as error:
        wrong["path"] = str(error)
        return None
    if operation is not None and path.depth not in _DEPTHS[operation]:
        allowed = " or ".join(_KINDS[depth] for depth in _DEPTHS[operation])
        wrong["path"] = f"{path} is that of an {_KINDS[path.depth]}; {operation} takes that of a {allowed}"
        return None
    return path


def _check_value(
    operation: OperationType, path: Path | None, body: Mapping[str, Any], wrong: dict[str, str]
) -> None:
    if operation is not OperationType.WRITE:
        if body.get("value") is not None:
            wrong["value"] = "belongs to a write only"
        return
    value = body.get("value")
    if value is None:
        wrong["value"] = 'is what to write: {"type": "STRING", "value": "UTC+2"}, or the value alone'
    elif _is_typed(value):
        try:
            typed_value(value, None)
        except ValidationFailedError as error:
            wrong["value"] = error.detail.removeprefix("value: ")
        else:
            if "values" in value and path is not None and path.depth != _RESOURCE_DEPTH:
                wrong["value"] = f"has values, which are those of a resource such as /3/0/7, not of {path}"


def _check_package_uri(
    operation: OperationType, path: Path | None, value: object, wrong: dict[str, str]
) -> None:
    if operation is not OperationType.WRITE or path is None or "value" in wrong:
        return
    uri = value.get("value") if isinstance(value, Mapping) and _is_typed(value) else value
    if (path.object_id, path.resource_id) == (5, 1) and isinstance(uri, str):
        length = len(uri.encode("utf-8", "surrogatepass"))
        if length > MAX_PACKAGE_URI:
            wrong["value"] = (
                f"has {length} bytes, and a Package URI (/5/0/1) at most {MAX_PACKAGE_URI} "
                "(OMA LwM2M Core, appendix E.6): write a shorter URL of the package"
            )


def _check_execute(operation: OperationType, body: Mapping[str, Any], wrong: dict[str, str]) -> None:
    arguments = body.get("arguments")
    if arguments is not None:
        if operation is not OperationType.EXECUTE:
            wrong["arguments"] = "belong to an execute only"
        elif not isinstance(arguments, str) or not _are_arguments(arguments):
            wrong["arguments"] = "are digits, each once, with or without a text: 0='reboot',1"
    repeatable = body.get("repeatable", False)
    if not isinstance(repeatable, bool):
        wrong["repeatable"] = "is true or false"
    elif repeatable and operation is not OperationType.EXECUTE:
        wrong["repeatable"] = "belongs to an execute only; any other operation may be repeated anyway"


def _are_arguments(text: str) -> bool:
    if not text:
        return True
    if len(text) > MAX_ARGUMENTS or not _ARGUMENTS.fullmatch(text):
        return False
    digits = [match[1] for match in re.finditer(rf"{_ARGUMENT}(?:,|$)", text)]
    return len(set(digits)) == len(digits)


def _is_typed(value: object) -> bool:
    return isinstance(value, Mapping) and "type" in value


def typed_value(value: object, seen: DataType | None) -> dict[str, Any]:
    """Return {"type", "value"} of what is to be written, as Leshan writes values in JSON.

    `value` is {"type", "value"}, or the value alone: its data type is then `seen`, the one of the resource's
    model, or without a model the one that it was seen with. Of a multiple resource it is
    {"type", "values": {<instance id>: <value>}, "replace"?}, and so is what is returned. Raises
    ValidationFailedError where the type is unknown or the value does not fit.
    """
    if _is_typed(value):
        assert isinstance(value, Mapping)  # noqa: S101  # _is_typed has seen to it
        if "values" in value:
            return _typed_values(value)
        if set(value) != {"type", "value"}:
            raise ValidationFailedError(
                'value: write it as {"type": <data type>, "value": <value>}, or, of a multiple resource, as'
                ' {"type": <data type>, "values": {"0": <value>}, "replace": true}'
            )
        name, raw = value["type"], value["value"]
        if not isinstance(name, str) or name not in list(DataType):
            raise ValidationFailedError(f"value: the type is one of {', '.join(DataType)}")
        data_type = DataType(name)
    elif seen is None:
        raise ValidationFailedError(
            "value: this resource is in no object model known here, and has not been seen yet; "
            'write the value as {"type": <data type>, "value": <value>}'
        )
    else:
        data_type, raw = seen, value
    try:
        return {"type": str(data_type), "value": to_json(data_type, from_json(data_type, raw))}
    except BadValueError as error:
        raise ValidationFailedError(f"value: {error}") from None


def _typed_values(value: Mapping[str, Any]) -> dict[str, Any]:
    values, replace = value["values"], value.get("replace", True)
    if set(value) - {"type", "values", "replace"} or not isinstance(values, Mapping):
        raise ValidationFailedError(
            'value: write those of a multiple resource as {"type": <data type>, "values": {"0": <value>},'
            ' "replace": true}'
        )
    if not isinstance(replace, bool):
        raise ValidationFailedError(
            "value: replace is true, to have these instances only, or false, to keep those not named"
        )
    for key in values:
        if not (key.isascii() and key.isdigit() and str(int(key)) == key and int(key) <= MAX_ID):
            raise ValidationFailedError(f"value: {key[:64]!r} is no instance id, a number from 0 to {MAX_ID}")
    typed = {key: typed_value({"type": value["type"], "value": raw}, None) for key, raw in values.items()}
    return {
        "type": value["type"],
        "values": {key: one["value"] for key, one in typed.items()},
        "replace": replace,
    }
