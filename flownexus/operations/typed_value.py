"""What a user writes: a value with its data type, or the value alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flownexus.errors import UnknownDataTypeError, ValidationFailedError
from flownexus.lwm2m.path import MAX_ID
from flownexus.lwm2m.value import BadValueError, DataType, from_json, to_json
from flownexus.lwm2m.value_range import Range
from flownexus.operations.known_resource import KnownResource


def is_typed(value: object) -> bool:
    """Say whether a value comes with its data type."""
    return isinstance(value, Mapping) and "type" in value


def is_id(text: object) -> bool:
    """Say whether a key of a JSON object is an id."""
    return (
        isinstance(text, str)
        and text.isascii()
        and text.isdigit()
        and len(text) <= len(str(MAX_ID))
        and str(int(text)) == text
        and int(text) <= MAX_ID
    )


def typed_value(value: object, known: KnownResource | None, where: str = "value") -> dict[str, Any]:
    """Return {"type", "value"} of what is to be written, in the JSON of flownexus.lwm2m.value.

    `value` is {"type", "value"}, or the value alone: its data type is then the one that is known. Of a
    multiple resource it is {"type", "values": {<instance id>: <value>}, "replace"?}, and so is what is
    returned. `where` names it in messages. Raises ValidationFailedError where the type is unknown or not the
    one of the resource's model, or the value does not fit it or is out of the model's range.
    """
    known_type, model = known or KnownResource(None)
    range_ = None if model is None else model.range
    if not is_typed(value):
        if known_type is None:
            raise UnknownDataTypeError(
                f"{where}: this resource is in no object model known here, and has not been seen yet; "
                'write the value as {"type": <data type>, "value": <value>}'
            )
        return _typed(known_type, value, where, range_)
    assert isinstance(value, Mapping)  # noqa: S101  # is_typed has seen to it
    if "values" not in value and set(value) != {"type", "value"}:
        raise ValidationFailedError(
            f'{where}: write it as {{"type": <data type>, "value": <value>}}, or, of a multiple resource, as'
            ' {"type": <data type>, "values": {"0": <value>}, "replace": true}'
        )
    name = value["type"]
    if not isinstance(name, str) or name not in list(DataType):
        raise ValidationFailedError(f"{where}: the type is one of {', '.join(DataType)}")
    data_type = DataType(name)
    if model is not None and known_type is not None and data_type is not known_type:
        raise ValidationFailedError(
            f"{where}: the type is {known_type}, as the object's model has it, not {data_type}"
        )
    if "values" in value:
        return _typed_values(data_type, value, where, range_)
    return _typed(data_type, value["value"], where, range_)


def _typed(data_type: DataType, raw: object, where: str, range_: Range | None) -> dict[str, Any]:
    try:
        value = from_json(data_type, raw)
    except BadValueError as error:
        raise ValidationFailedError(f"{where}: {error}") from None
    wrong = None if range_ is None else range_.wrong(data_type, value)
    if wrong is not None:
        raise ValidationFailedError(f"{where}: {wrong}, as the object's model has it")
    return {"type": str(data_type), "value": to_json(data_type, value)}


def _typed_values(
    data_type: DataType, value: Mapping[str, Any], where: str, range_: Range | None
) -> dict[str, Any]:
    values, replace = value["values"], value.get("replace", True)
    if set(value) - {"type", "values", "replace"} or not isinstance(values, Mapping):
        raise ValidationFailedError(
            f"{where}: write those of a multiple resource as"
            ' {"type": <data type>, "values": {"0": <value>}, "replace": true}'
        )
    if not isinstance(replace, bool):
        raise ValidationFailedError(
            f"{where}: replace is true, to have these instances only, or false, to keep those not named"
        )
    for key in values:
        if not is_id(key):
            raise ValidationFailedError(
                f"{where}: {key[:64]!r} is no instance id, a number from 0 to {MAX_ID}"
            )
    return {
        "type": str(data_type),
        "values": {key: _typed(data_type, raw, where, range_)["value"] for key, raw in values.items()},
        "replace": replace,
    }
