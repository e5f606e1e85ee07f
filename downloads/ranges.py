"""The Range header (RFC 9110, 14): which part of a package is asked for. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_ONE_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Part(NamedTuple):
    """The bytes from `start` to before `end`."""

    start: int
    end: int


class NotSatisfiableError(ValueError):
    """The range begins behind the last byte."""


def asked_part(header: str | None, if_range: str | None, etag: str, size: int) -> Part | None:
    """Return the part that a request asks for; None for all of it.

    Several ranges, and what is no range of bytes, stand for all of it, as RFC 9110, 14.2 allows. So does a
    range of another version, as If-Range has it. Raises NotSatisfiableError.
    """
    if header is None or (if_range is not None and if_range != etag):
        return None
    found = _ONE_RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        length = int(found[2])
        if length == 0:
            raise NotSatisfiableError
        return Part(max(0, size - length), size)
    start = int(found[1])
    end = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return None
    if start >= size:
        raise NotSatisfiableError
    return Part(start, end)
