"""CBOR (RFC 8949) to plain values: what a device's log may be written in."""

from __future__ import annotations

import math
import struct
from typing import Any, Final

MAX_DEPTH: Final = 16
MAX_ITEMS: Final = 100_000
"""How many values one text of CBOR may have: a few bytes can claim any number."""

_FLOATS: Final = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_INDEFINITE: Final = 31
_SIMPLE: Final = {20: False, 21: True, 22: None, 23: None}


class BadCborError(ValueError):
    """The bytes are no CBOR, or more than is read."""


def decode(data: bytes) -> Any:
    """Return the one value that the bytes are; raise BadCborError.

    Maps give dicts, byte strings bytes, tags the value that they stand before; undefined is None.
    """
    reader = _Reader(data)
    value = reader.value(0)
    if reader.place != len(data):
        raise BadCborError("bytes are left after the value")
    return value


class _Break:
    """The end of what has no length."""


_BREAK: Final = _Break()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0
        self._items = 0

    def _take(self, count: int) -> bytes:
        taken = self._data[self.place : self.place + count]
        if len(taken) < count:
            raise BadCborError("the bytes end within a value")
        self.place += count
        return taken

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise BadCborError(f"additional information {info} has no meaning here")
        return int.from_bytes(self._take(1 << (info - 24)), "big")

    def value(self, depth: int) -> Any:
        """Read the next value, which stands so many values deep."""
        found = self._any(depth)
        if found is _BREAK:
            raise BadCborError("a break stands where a value is to be")
        return found

    def _any(self, depth: int) -> Any:
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise BadCborError(f"more than {MAX_DEPTH} values deep, or more than {MAX_ITEMS} of them")
        first = self._take(1)[0]
        major, info = first >> 5, first & 31
        if major == 7:
            return self._simple(info)
        if major >= 2 and major <= 5 and info == _INDEFINITE:
            return self._indefinite(major, depth)
        argument = self._argument(info)
        match major:
            case 0:
                return argument
            case 1:
                return -1 - argument
            case 2:
                return self._take(argument)
            case 3:
                return self._text(self._take(argument))
            case 4:
                return [self.value(depth + 1) for _ in self._counted(argument)]
            case 5:
                return {self._key(depth): self.value(depth + 1) for _ in self._counted(argument)}
            case _:
                return self.value(depth + 1)  # a tag says what the value stands for

    def _counted(self, count: int) -> range:
        if count > len(self._data) - self.place:  # each takes a byte at least
            raise BadCborError("the bytes end within a value")
        return range(count)

    def _simple(self, info: int) -> Any:
        if info in _FLOATS:
            form, size = _FLOATS[info]
            [number] = struct.unpack(form, self._take(size))
            return None if math.isnan(number) else number
        if info == _INDEFINITE:
            return _BREAK
        if info in _SIMPLE:
            return _SIMPLE[info]
        raise BadCborError(f"simple value {info} is not known")

    def _indefinite(self, major: int, depth: int) -> Any:
        parts: list[Any] = []
        while (part := self._any(depth + 1)) is not _BREAK:
            parts.append(part)
        match major:
            case 2 | 3:
                kind = bytes if major == 2 else str
                if not all(isinstance(part, kind) for part in parts):
                    raise BadCborError("a string is made of pieces of another kind")
                return b"".join(parts) if major == 2 else "".join(parts)
            case 4:
                return parts
            case _:
                if len(parts) % 2:
                    raise BadCborError("a map ends after a key")
                return {_hashable(key): value for key, value in zip(parts[::2], parts[1::2], strict=True)}

    def _key(self, depth: int) -> Any:
        return _hashable(self.value(depth + 1))

    @staticmethod
    def _text(raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise BadCborError("a text is not UTF-8") from None


def _hashable(key: Any) -> Any:
    if isinstance(key, list | dict):
        raise BadCborError("a key of a map is an array or a map")
    return key
