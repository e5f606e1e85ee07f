"""Bodies of Leshan's webhooks: one item, an array of items, or an envelope with numbered items.

    single      {"ep": "...", "obj_id": 3303, "inst_id": 0, "ts": ms, "val": <node of a resource>}
    composite   {"ep": "...", "ts": ms, "val": <node of an object>} or {"ep": "...", "val": {"/3/0": <node>}}
    event       a single with obj_id 10240, resource 0 registered, 1 unregistered, 2 updated; "reg": details
    envelope    {"source": "<uuid>", "lane": 3, "first_seq": 1201, "items": [...]}

A body that is none of these is refused as a whole; in an array or envelope a bad item is rejected alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from flownexus.errors import BadRequestError
from flownexus.lwm2m.node import (
    Rejection,
    iter_object_links,
    readings,
    readings_by_path,
    resource_readings,
)
from flownexus.lwm2m.path import BadPathError, check_id
from flownexus.lwm2m.value import Reading

REGISTRATION_OBJECT = 10240
"""This system's own object: its instance 0 tells when an endpoint registered, unregistered or updated."""
MAX_ENDPOINT_BYTES = 1024
"""The longest endpoint name taken, in bytes of UTF-8."""


class BadItemError(ValueError):
    """The item is not one of the documented shapes."""


class Envelope(NamedTuple):
    """Who sent a batch, on which lane, and the number of its first item."""

    source: UUID
    lane: int
    first_seq: int


class Body(NamedTuple):
    """A webhook body: its envelope, if it has one, and its items, each still JSON."""

    envelope: Envelope | None
    items: list[msgspec.Raw]
    alone: bool
    """The body is one item by itself: what is wrong with its shape is wrong with the request."""


class EventType(StrEnum):
    """What an event says, as event.event_type has it."""

    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    UPDATED = "updated"
    COMPOSITE = "composite"
    READ = "read"


_EVENT_BY_RESOURCE = {0: EventType.REGISTERED, 1: EventType.UNREGISTERED, 2: EventType.UPDATED}


class Registration(NamedTuple):
    """Details of a registration; what the sender did not say is None."""

    id: str | None = None
    address: str | None = None
    lifetime: int | None = None
    binding: str | None = None
    version: str | None = None
    objects: tuple[str, ...] | None = None


class Item(NamedTuple):
    """Values of one endpoint at one time, what event they are, if any, and what of them is no value."""

    endpoint: str
    time_ms: int | None
    event_type: EventType | None
    readings: Sequence[Reading]
    rejected: Sequence[Rejection] = ()
    registration: Registration | None = None


class _RawItem(msgspec.Struct):
    """The keys that items have; what they mean together is checked afterwards."""

    ep: str
    val: dict[str, Any]
    obj_id: int | None = None
    inst_id: int = 0
    ts: int | None = None
    reg: _RawRegistration | None = None


class _RawRegistration(msgspec.Struct):
    id: str | None = None
    address: str | None = None
    lifetime: int | None = None
    binding: str | None = None
    version: str | None = None
    links: Any = None


class _RawEnvelope(msgspec.Struct):
    source: UUID
    lane: int
    first_seq: int
    items: list[msgspec.Raw]


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_envelope = msgspec.json.Decoder(_RawEnvelope).decode
# float() reads what 64 bits cannot hold as infinite: the value is then rejected, not the whole item.
_decode_item = msgspec.json.Decoder(_RawItem, float_hook=float).decode


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)


def parse_body(body: bytes) -> Body:
    """Split a body into its items; raise BadRequestError where it is not JSON or none of the shapes."""
    first = body.lstrip()[:1]
    if not first:
        raise BadRequestError("the body is empty; send one item, a JSON array of items, or an envelope")
    if first not in b"{[":
        raise BadRequestError("the body is neither a JSON object nor an array of items")
    try:
        if first == b"[":
            return Body(None, _decode_array(body), alone=False)
        if "items" not in _decode_members(body):
            return Body(None, [msgspec.Raw(body)], alone=True)
        raw = _decode_envelope(body)
    except msgspec.ValidationError as error:
        raise BadRequestError(
            f"the envelope is not {{source: UUID, lane, first_seq, items}}: {error}"
        ) from None
    except _UNREADABLE as error:
        raise BadRequestError(f"the body is not JSON: {_reason(error)}") from None
    if not (0 <= raw.lane < 2**31 and 1 <= raw.first_seq < 2**62):
        raise BadRequestError("the envelope's lane counts from 0 and its first_seq from 1")
    return Body(Envelope(raw.source, raw.lane, raw.first_seq), raw.items, alone=False)


def parse_item(raw: msgspec.Raw, *, composite: bool) -> Item:
    """Read one item of the single or composite webhook; raise BadItemError where it is not one.

    Values that do not fit their type do not raise: they are in `rejected`.
    """
    try:
        item = _decode_item(raw)
    except _UNREADABLE as error:
        raise BadItemError(_reason(error)) from None
    if not item.ep or "\0" in item.ep or len(item.ep.encode()) > MAX_ENDPOINT_BYTES:
        raise BadItemError(f"ep is an endpoint name of 1 to {MAX_ENDPOINT_BYTES} bytes without NUL")
    if item.ts is not None and not -(2**63) <= item.ts < 2**63:
        raise BadItemError(f"ts {item.ts} is not epoch milliseconds")
    if composite:
        found = readings(item.val) if "kind" in item.val else readings_by_path(item.val)
        return Item(item.ep, item.ts, EventType.COMPOSITE, found.good, found.rejected)
    return _single(item)


def _single(item: _RawItem) -> Item:
    if item.obj_id is None:
        raise BadItemError("obj_id is missing; a single item names the object its resource belongs to")
    resource_id = item.val.get("id")
    if isinstance(resource_id, bool) or not isinstance(resource_id, int):
        raise BadItemError('val needs an "id": the resource id, a whole number from 0 to 65534')
    try:
        object_id = check_id("obj_id", item.obj_id)
        object_instance_id = check_id("inst_id", item.inst_id)
        check_id("val id", resource_id)
    except BadPathError as error:
        raise BadItemError(str(error)) from None
    found = resource_readings(item.val, object_id, object_instance_id)
    event_type = _EVENT_BY_RESOURCE.get(resource_id) if item.obj_id == REGISTRATION_OBJECT else None
    if event_type is None or not found.good:
        return Item(item.ep, item.ts, None, found.good, found.rejected)
    return Item(item.ep, item.ts, event_type, found.good, found.rejected, _registration(item.reg))


def _registration(raw: _RawRegistration | None) -> Registration:
    if raw is None:
        return Registration()
    for name in ("id", "address", "binding", "version"):
        if "\0" in (getattr(raw, name) or ""):
            raise BadItemError(f"reg.{name} has a NUL character")
    if raw.lifetime is not None and not 0 <= raw.lifetime < 2**32:
        raise BadItemError(f"reg.lifetime {raw.lifetime} is not seconds of 32 bits")
    objects = None if raw.links is None else tuple(iter_object_links(raw.links))
    return Registration(raw.id, raw.address, raw.lifetime, raw.binding, raw.version, objects)


def rejection_of(raw: msgspec.Raw, reason: str) -> Rejection:
    """Make the rejection of a whole item."""
    return Rejection("", reason, bytes(raw).decode("utf-8", "backslashreplace"))
