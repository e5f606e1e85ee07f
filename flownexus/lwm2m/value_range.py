"""What a model's RangeEnumeration lets a value be (OMA's schema of object models, LWM2M.xsd).

The element is free text. What is read of it: numbers and ranges of numbers, `0..100` or `0; 3.8..20.5`, each
number with or without a name, `0: off`; `0-7`; and lengths of texts and bytes, `0..255 bytes`. All else,
and a number by itself, restricts nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from flownexus.lwm2m.value import DataType, Value, in_json

_NUMBER: Final = r"[+-]?\d{1,20}(?:\.\d{1,20})?"
_POWER: Final = re.compile(r"2\^(\d{1,2})-1", re.ASCII)
_BETWEEN: Final = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})|(\d{{1,20}})\s*-\s*(\d{{1,20}})", re.ASCII)
_NAMED: Final = re.compile(rf"({_NUMBER})(?:\s*[:=]\s*\S.*)?", re.ASCII)
_LENGTH: Final = re.compile(
    r"(?:(\d{1,9})\s*\.\.\s*)?(\d{1,9})\s*(?:bytes?|b|characters?|chars?)", re.ASCII | re.IGNORECASE
)
_SEPARATOR: Final = re.compile(r"[;,\n]")
_NUMBERS: Final = frozenset({DataType.INTEGER, DataType.UNSIGNED_INTEGER, DataType.FLOAT})
_SIZED: Final = frozenset({DataType.STRING, DataType.OPAQUE})


class Bounds(NamedTuple):
    """From the one number to the other, both included."""

    least: float
    greatest: float


class Range(NamedTuple):
    """Numbers that a value may be, or how many bytes it may have; `text` is how the model says it."""

    text: str
    numbers: tuple[Bounds, ...] = ()
    bytes_: Bounds | None = None

    def wrong(self, data_type: DataType, value: Value) -> str | None:
        """Say what is wrong with a value of this type, and what would be right; None where it is allowed."""
        if self.numbers and data_type in _NUMBERS and isinstance(value, int | float):
            if not any(least <= value <= greatest for least, greatest in self.numbers):
                return f"{in_json(value)} is out of range: {self.text}"
        elif self.bytes_ is not None and data_type in _SIZED and isinstance(value, str | bytes):
            length = len(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value)
            least, greatest = self.bytes_
            if not least <= length <= greatest:
                return f"it has {length} bytes: {self.text}"
        return None


@lru_cache(maxsize=4096)
def parse_range(text: str | None) -> Range | None:
    """Read a RangeEnumeration; None where it restricts nothing that can be told."""
    said = _POWER.sub(lambda power: str(2 ** int(power[1]) - 1), " ".join((text or "").split(" ")).strip())
    if (length := _LENGTH.fullmatch(said)) is not None:
        greatest = int(length[2])
        # A length by itself is as often the longest as the only one.
        return Range(said, bytes_=Bounds(int(length[1] or 0), greatest))
    parts = [part.strip() for part in _SEPARATOR.split(said) if part.strip()]
    found = [_bounds(part) for part in parts]
    numbers = tuple(bounds for bounds in found if bounds is not None)
    # One number by itself may be a length, a number of bits or an example.
    if len(numbers) < len(found) or not numbers or (len(numbers) == 1 and _BETWEEN.fullmatch(said) is None):
        return None
    return Range("; ".join(parts), numbers)


def _bounds(part: str) -> Bounds | None:
    if (between := _BETWEEN.fullmatch(part)) is not None:
        bounds = Bounds(_number(between[1] or between[3]), _number(between[2] or between[4]))
        return bounds if bounds.least <= bounds.greatest else None
    named = _NAMED.fullmatch(part)
    return None if named is None else Bounds(_number(named[1]), _number(named[1]))


def _number(text: str) -> float:
    """Return a number, a whole one exactly."""
    return float(text) if "." in text else int(text)
