"""Numbers for people."""

from __future__ import annotations

import argparse
import math
import struct
from collections.abc import Callable
from typing import Final

FLOAT32_DIGITS: Final = 9
"""This many digits distinguish every 32-bit number from all others."""


def row_number(whose: str, listed_by: str, otherwise: str = "") -> Callable[[str], int]:
    """Return a parser for the number of a row; `listed_by` is the command that lists the numbers."""

    def read(text: str) -> int:
        if text.isascii() and text.isdigit():
            return int(text)
        more = f"; {otherwise}" if otherwise else ""
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the number of {whose}, such as 17; `{listed_by}` lists them{more}"
        )

    return read


def seconds(text: str) -> float:
    """Read a number of seconds from an argument."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, such as 60")
    return value


def shortest(number: str) -> str:
    """Return the shortest text for a FLOAT that keeps the device's value.

    Many devices send 32 bits. Their 20.7 is stored as 20.700000762939453 in 64 bits.
    """
    value = float(number)
    if not math.isfinite(value) or _in_32_bits(value) != value:
        return number
    short = (f"{value:.{digits}g}" for digits in range(1, FLOAT32_DIGITS + 1))
    return next((text for text in short if "e" not in text and _in_32_bits(float(text)) == value), number)


def _in_32_bits(value: float) -> float | None:
    """Return the nearest 32-bit number, or None if it overflows."""
    try:
        [nearest] = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        return None
    return float(nearest)
