"""The body of a webhook: its envelope, and its items, which are not read yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from flownexus.errors import TooMuchError, UnreadableDeliveryError

MAX_ITEMS = 100_000
"""How many items one body may have."""


class BadItemError(ValueError):
    """The item is not one of the documented shapes."""


class Envelope(NamedTuple):
    """Who sent a batch, on which lane, and the number of its first item."""

    source: UUID
    lane: int
    first_seq: int


class Body(NamedTuple):
    """A webhook body: its envelope, if it has one, and its items, still JSON: an array."""

    envelope: Envelope | None
    items: msgspec.Raw
    alone: bool
    """The body is one item by itself: what is wrong with its shape is wrong with the request."""


class _RawEnvelope(msgspec.Struct):
    source: UUID
    lane: int
    first_seq: int
    items: msgspec.Raw


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_envelope = msgspec.json.Decoder(_RawEnvelope).decode


def reason_of(error: Exception) -> str:
    """Say why a text could not be read."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)


def parse_body(body: bytes) -> Body:
    """Split a body into its items.

    Raises UnreadableDeliveryError where it is not JSON or none of the shapes, and TooMuchError where it has
    more than MAX_ITEMS.
    """
    first = body.lstrip()[:1]
    if not first:
        raise UnreadableDeliveryError(
            "the body is empty; send one item, a JSON array of items, or an envelope"
        )
    if first not in b"{[":
        raise UnreadableDeliveryError("the body is neither a JSON object nor an array of items")
    try:
        if first == b"[":
            _check_count(decode_array(body))
            return Body(None, msgspec.Raw(body), alone=False)
        if "items" not in _decode_members(body):
            return Body(None, msgspec.Raw(b"[%b]" % body), alone=True)
        raw = _decode_envelope(body)
        _check_count(decode_array(raw.items))
    except msgspec.ValidationError as error:
        raise UnreadableDeliveryError(
            f"the envelope is not {{source: UUID, lane, first_seq, items}}: {error}"
        ) from None
    except UNREADABLE as error:
        raise UnreadableDeliveryError(f"the body is not JSON: {reason_of(error)}") from None
    if not (0 <= raw.lane < 2**31 and 1 <= raw.first_seq < 2**62):
        raise UnreadableDeliveryError("the envelope's lane counts from 0 and its first_seq from 1")
    return Body(Envelope(raw.source, raw.lane, raw.first_seq), raw.items, alone=False)


def _check_count(items: Sequence[object]) -> None:
    if len(items) > MAX_ITEMS:
        raise TooMuchError(f"the body has {len(items)} items; send at most {MAX_ITEMS} at once")
