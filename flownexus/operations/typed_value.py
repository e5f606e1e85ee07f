"""What a user writes: a value with its data type, or the value alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flownexus.errors import UnknownDataTypeError, ValidationFailedError
from flownexus.lwm2m.path import MAX_ID
from flownexus.lwm2m.value import BadValueError, DataType, from_json, to_json


def is_typed(value: object) -> bool:
    """Say whether a value comes with its data type."""
    return isinstance(value, Mapping) and "type" in value


def typed_value(value: object, seen: DataType | None) -> dict[str, Any]:
    """Return {"type", "value"} of what is to be written, in the JSON of flownexus.lwm2m.value.

    `value` is {"type", "value"}, or the value alone: its data type is then `seen`, the one of the resource's
    model, or without a model the one that it was seen with. Of a multiple resource it is
    {"type", "values": {<instance id>: <value>}, "replace"?}, and so is what is returned. Raises
    ValidationFailedError where the type is unknown or the value does not fit.
    """
    if is_typed(value):
        assert isinstance(value, Mapping)  # noqa: S101  # is_typed has seen to it
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
        raise UnknownDataTypeError(
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
