"""Typed values of LwM2M resources, and how Leshan writes them in JSON.

Data types are those of OMA LwM2M Core 1.1, appendix C. Leshan writes INTEGER, UNSIGNED_INTEGER and FLOAT as
strings, TIME as epoch milliseconds, BOOLEAN as JSON has it, OPAQUE in hex, OBJLNK as an object of two ids
and CORELINK as link text.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from flownexus.lwm2m.path import Path

Value: TypeAlias = int | float | str | bool | bytes | datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,4})?", re.ASCII)
_OBJECT_LINK = re.compile(r"(\d{1,5}):(\d{1,5})", re.ASCII)


class BadValueError(ValueError):
    """The value does not fit its data type."""


class DataType(StrEnum):
    """The data types of LwM2M, as Leshan names them."""

    INTEGER = "INTEGER"
    UNSIGNED_INTEGER = "UNSIGNED_INTEGER"
    FLOAT = "FLOAT"
    STRING = "STRING"
    BOOLEAN = "BOOLEAN"
    TIME = "TIME"
    OPAQUE = "OPAQUE"
    OBJLNK = "OBJLNK"
    CORELINK = "CORELINK"


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One value of one resource (instance): its path, of three or four ids, its data type and value."""

    path: Path
    data_type: DataType
    value: Value


def in_json(raw: object) -> str:
    """Write what was received for a message of an error, as its sender wrote it, in 64 characters at most."""
    return json.dumps(raw, default=repr)[:64]


def time_from_milliseconds(milliseconds: int) -> datetime:
    """Turn epoch milliseconds into a time; raise BadValueError outside the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise BadValueError(
            f"TIME {milliseconds} is outside the years 1 to 9999, in epoch milliseconds"
        ) from None


def _wrong(data_type: str, raw: object, right: str) -> BadValueError:
    return BadValueError(f"{in_json(raw)} is not {data_type}: {right}")


def _integer(data_type: str, raw: object, low: int, high: int) -> int:
    if isinstance(raw, str) and _INTEGER.fullmatch(raw):
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
        raise _wrong(data_type, raw, f"a whole number from {low} to {high}")
    return raw


def _signed(raw: object) -> int:
    return _integer("INTEGER", raw, -(2**63), 2**63 - 1)


def _unsigned(raw: object) -> int:
    return _integer("UNSIGNED_INTEGER", raw, 0, 2**64 - 1)


def _float(raw: object) -> float:
    if type(raw) in (str, int, float):  # not bool, which is an int too
        try:
            value = float(raw)  # type: ignore[arg-type]  # one of the three
        except (ValueError, OverflowError):
            value = math.nan
        if math.isfinite(value):
            return value
    raise _wrong("FLOAT", raw, "a finite number of 64 bits")


def _text(data_type: str) -> Callable[[object], str]:
    def convert(raw: object) -> str:
        if not isinstance(raw, str):
            raise _wrong(data_type, raw, "a JSON string")
        if "\0" in raw:
            raise _wrong(data_type, raw, "text without NUL characters")
        return raw

    return convert


def _boolean(raw: object) -> bool:
    if raw is True or raw == "true":
        return True
    if raw is False or raw == "false":
        return False
    raise _wrong("BOOLEAN", raw, "true or false")


def _time(raw: object) -> datetime:
    try:
        milliseconds = _integer("TIME", raw, -(2**63), 2**63 - 1)
    except BadValueError:
        raise _wrong("TIME", raw, "epoch milliseconds, a whole number such as 1795344335807") from None
    return time_from_milliseconds(milliseconds)


def _opaque(raw: object) -> bytes:
    if isinstance(raw, str):
        try:
            return bytes.fromhex(raw)
        except ValueError:
            pass
    raise _wrong("OPAQUE", raw, "bytes in hex, two digits each")


def _object_link(raw: object) -> str:
    ids: tuple[object, object] = (None, None)
    if isinstance(raw, dict):
        ids = (raw.get("objectId"), raw.get("objectInstanceId"))
    elif isinstance(raw, str) and (match := _OBJECT_LINK.fullmatch(raw)):
        ids = (int(match[1]), int(match[2]))
    # 65535:65535 is the null link (OMA LwM2M Core 1.1, appendix C).
    if all(isinstance(part, int) and not isinstance(part, bool) and 0 <= part <= 65535 for part in ids):
        return f"{ids[0]}:{ids[1]}"
    raise _wrong("OBJLNK", raw, 'such as {"objectId": 3, "objectInstanceId": 0}')


CONVERTERS: dict[DataType, Callable[[object], Value]] = {
    DataType.INTEGER: _signed,
    DataType.UNSIGNED_INTEGER: _unsigned,
    DataType.FLOAT: _float,
    DataType.STRING: _text("STRING"),
    DataType.BOOLEAN: _boolean,
    DataType.TIME: _time,
    DataType.OPAQUE: _opaque,
    DataType.OBJLNK: _object_link,
    DataType.CORELINK: _text("CORELINK"),
}
"""What turns Leshan's JSON of a value into the value, see from_json."""


def from_json(data_type: DataType, raw: object) -> Value:
    """Turn Leshan's JSON of a value into the value; raise BadValueError saying what would be right.

    INTEGER and UNSIGNED_INTEGER give int, FLOAT float, STRING and CORELINK str, BOOLEAN bool, TIME a datetime
    in UTC, OPAQUE bytes, OBJLNK the text "object:instance".
    """
    return CONVERTERS[data_type](raw)


def to_json(data_type: DataType, value: Value) -> Any:
    """Turn a value into Leshan's JSON of it, the reverse of from_json."""
    match data_type, value:
        case DataType.TIME, datetime():
            return (value - _EPOCH) // timedelta(milliseconds=1)
        case DataType.OPAQUE, bytes():
            return value.hex()
        case DataType.OBJLNK, str():
            object_id, _, object_instance_id = value.partition(":")
            return {"objectId": int(object_id), "objectInstanceId": int(object_instance_id)}
        case ((DataType.INTEGER | DataType.UNSIGNED_INTEGER | DataType.FLOAT), _):
            return repr(value)
        case _:
            return value


def converted(wanted: DataType, given: DataType, value: Value) -> Value:
    """Turn a value of the type `given` into one of the type `wanted`, another one, where that loses nothing.

    OPAQUE is read as TLV has its types (OMA LwM2M Core 1.1, appendix C), a whole number for a TIME as seconds
    (the same), STRING as the text of a number. Raises BadValueError saying what would be right.
    """
    convert, right = _CONVERSIONS[wanted]
    result = convert(given, value)
    if result is None:
        shown = in_json(to_json(given, value))
        raise BadValueError(
            f"{shown} of the type {given} is not {wanted}, the type in the object's model: {right}"
        )
    return result


def _whole(given: DataType, value: Any, *, signed: bool = True) -> int | None:
    match given:
        case DataType.INTEGER | DataType.UNSIGNED_INTEGER:
            return int(value)
        case DataType.FLOAT if value.is_integer():
            return int(value)
        case DataType.STRING if _INTEGER.fullmatch(value):
            return int(value)
        case DataType.OPAQUE if len(value) in {1, 2, 4, 8}:
            return int.from_bytes(value, "big", signed=signed)
    return None


def _to_integer(given: DataType, value: Any) -> int | None:
    whole = _whole(given, value)
    return whole if whole is not None and -(2**63) <= whole < 2**63 else None


def _to_unsigned(given: DataType, value: Any) -> int | None:
    whole = _whole(given, value, signed=False)
    return whole if whole is not None and 0 <= whole < 2**64 else None


def _to_float(given: DataType, value: Any) -> float | None:
    number: float | None = None
    if given is DataType.OPAQUE:
        if len(value) in {4, 8}:
            [number] = struct.unpack(">f" if len(value) == 4 else ">d", value)
    elif (whole := _whole(given, value)) is not None:
        number = float(whole) if int(float(whole)) == whole else None
    elif given is DataType.STRING and _DECIMAL.fullmatch(value):
        number = float(value)
    return number if number is not None and math.isfinite(number) else None


def _to_boolean(given: DataType, value: Any) -> bool | None:
    if given is DataType.STRING and value in {"true", "false"}:
        return bool(value == "true")
    if given is DataType.OPAQUE and len(value) != 1:
        return None
    return {0: False, 1: True}.get(_whole(given, value))  # type: ignore[arg-type]  # None is no key


def _to_time(given: DataType, value: Any) -> datetime | None:
    seconds = _whole(given, value)
    try:
        return None if seconds is None else time_from_milliseconds(seconds * 1000)
    except BadValueError:
        return None


def _to_string(given: DataType, value: Any) -> str | None:
    if given in {DataType.INTEGER, DataType.UNSIGNED_INTEGER}:
        return str(value)
    return str(value) if given is DataType.CORELINK else _utf8(given, value)


def _to_core_link(given: DataType, value: Any) -> str | None:
    return str(value) if given is DataType.STRING else _utf8(given, value)


def _utf8(given: DataType, value: Any) -> str | None:
    if given is not DataType.OPAQUE or b"\0" in value:
        return None
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        return None


def _to_object_link(given: DataType, value: Any) -> str | None:
    if given is DataType.OPAQUE and len(value) == 4:
        object_id, object_instance_id = struct.unpack(">HH", value)
        return f"{object_id}:{object_instance_id}"
    try:
        return _object_link(value) if given is DataType.STRING else None
    except BadValueError:
        return None


def _to_opaque(_given: DataType, _value: Any) -> None:
    """Convert nothing: text may be the bytes, or base64 of them, and a number does not tell its width."""


_CONVERSIONS: dict[DataType, tuple[Callable[[DataType, Any], Value | None], str]] = {
    DataType.INTEGER: (_to_integer, "a whole number from -2^63 to 2^63 - 1, or 1, 2, 4 or 8 bytes"),
    DataType.UNSIGNED_INTEGER: (_to_unsigned, "a whole number from 0 to 2^64 - 1, or 1, 2, 4 or 8 bytes"),
    DataType.FLOAT: (_to_float, "a finite number that 64 bits hold exactly, or 4 or 8 bytes of IEEE 754"),
    DataType.STRING: (_to_string, "text without NUL characters, its bytes in UTF-8, or a whole number"),
    DataType.BOOLEAN: (_to_boolean, "true, false, 1 or 0, or one such byte"),
    DataType.TIME: (_to_time, "whole seconds since 1970 in the years 1 to 9999, or their 1, 2, 4 or 8 bytes"),
    DataType.OPAQUE: (_to_opaque, "bytes"),
    DataType.OBJLNK: (_to_object_link, "an object link such as 3:0, or its 4 bytes"),
    DataType.CORELINK: (_to_core_link, "link text, or its bytes in UTF-8"),
}
"""What turns another type's value into one of this type, or returns None, and what would be right."""
