"""The CoAP messages of a device, as Leshan tells them while they pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeAlias
from urllib.parse import quote

import msgspec


class Message(msgspec.Struct, frozen=True, rename={"time_ms": "timestamp", "mid": "mId"}):
    """A message; Leshan leaves out a payload that may hold a key, and says so in its place."""

    time_ms: int
    incoming: bool
    type: str
    mid: int
    code: str | None = None
    """None where the message is empty."""
    token: str = ""
    options: str | None = None
    payload: str | None = None


class Lines(Protocol):
    """Lines as they come, until they end or are closed."""

    def __iter__(self) -> Iterator[bytes]:
        """Return the lines."""

    def close(self) -> None:
        """Read no more."""


Follow: TypeAlias = Callable[[str, float], Lines]
"""LeshanQueries.follow: the path of a request, and for how many seconds."""
_EVENT: Final = b"event: COAPLOG"
_DATA: Final = b"data: "
_decode = msgspec.json.Decoder(Message).decode


def follow_messages(follow: Follow, endpoint: str, seconds: float) -> Lines:
    """Ask for the lines of the messages of a device; raise UnavailableError where Leshan is away."""
    return follow(f"/api/event?ep={quote(endpoint, safe='')}", seconds)


def messages(lines: Lines) -> Iterator[Message | None]:
    """Yield the messages in these lines, and None where Leshan only says that it is there."""
    is_message = False
    for line in lines:
        if is_message and line.startswith(_DATA):
            try:
                yield _decode(line.removeprefix(_DATA))
            except (msgspec.DecodeError, UnicodeDecodeError):
                yield None  # cut, for it was too long
        elif line.startswith(b":"):
            yield None
        is_message = line == _EVENT
