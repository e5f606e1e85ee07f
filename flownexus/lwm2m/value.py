"""Typed values of LwM2M resources, and how Leshan writes them in JSON.

Data types are those of OMA LwM2M Core 1.1, appendix C. Leshan writes INTEGER, UNSIGNED_INTEGER and FLOAT as
strings, TIME as epoch milliseconds, BOOLEAN as JSON has it, OPAQUE in hex, OBJLNK as an object of two ids
and CORELINK as link text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from flownexus.lwm2m.path import Path

Value: TypeAlias = int | float | str | bool | bytes | datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
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
        raise BadValueError(f"TIME {milliseconds} is outside the years 1 to 9999") from None


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
    return time_from_milliseconds(_integer("TIME", raw, -(2**63), 2**63 - 1))


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
