"""Bodies of Leshan's webhooks: one item, an array of items, or an envelope with numbered items.

    single      {"ep": "...", "obj_id": 3303, "inst_id": 0, "ts": ms, "val": <node of a resource>}
    composite   {"ep": "...", "ts": ms, "val": <node of an object>} or {"ep": "...", "val": {"/3/0": <node>}}
    event       a single with obj_id 10240, resource 0 registered, 1 unregistered, 2 updated, 3 heard again;
                 "reg": details
    failure     {"ep": "...", "ts": ms, "failure": {"reason": "...", "path", "format", "payload", "size",
                 "suppressed"}}: what a device sent that gives no value, for the dead letters
    refusal     {"ep": "..." or "", "ts": ms, "refusal": {"cause", "address", "count", "detail"}}: a device
                 that was not let in
    envelope    {"source": "<uuid>", "lane": 3, "first_seq": 1201, "items": [...]}

A body that is none of these is refused as a whole; in an array or envelope a bad item is rejected alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from flownexus.errors import UnreadableDeliveryError
from flownexus.leshan.nodes import Rejection, readings, readings_by_path
from flownexus.leshan.refusals import MAX_ENDPOINT, Refusal, storable
from flownexus.leshan.webhook_body import UNREADABLE, BadItemError, Body, decode_array, reason_of
from flownexus.leshan.webhook_registration import RawRegistration, Registration, registration_of
from flownexus.lwm2m.path import MAX_ID, BadPathError, Path, check_id
from flownexus.lwm2m.value import CONVERTERS, DataType, Reading

REGISTRATION_OBJECT = 10240
"""This system's own object: its instance 0 tells when an endpoint registered, unregistered or updated."""
MAX_ENDPOINT_BYTES = 1024
"""The longest endpoint name taken, in bytes of UTF-8."""
MAX_REASON = 500
"""Characters kept of why a device's message gives no value, MAX_PATH of where, MAX_PAYLOAD_BYTES of it."""
MAX_PATH = 255
MAX_PAYLOAD_BYTES = 1024


class Kind(StrEnum):
    """The webhooks, each with numbers of its own."""

    SINGLE = "single"
    COMPOSITE = "composite"
    REGISTRATION = "registration"


class EventType(StrEnum):
    """What an event says, as event.event_type has it."""

    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    UPDATED = "updated"
    HEARD = "heard"
    """It can be reached again: it had slept, had not answered, or has another address."""
    COMPOSITE = "composite"
    READ = "read"


_EVENT_BY_RESOURCE = {
    0: EventType.REGISTERED,
    1: EventType.UNREGISTERED,
    2: EventType.UPDATED,
    3: EventType.HEARD,
}


class Item(msgspec.Struct, frozen=True, gc=False):
    """Values of one endpoint at one time, what event they are, if any, and what of them is no value."""

    endpoint: str
    time_ms: int | None
    event_type: EventType | None
    readings: Sequence[Reading]
    rejected: Sequence[Rejection] = ()
    registration: Registration | None = None
    refusal: Refusal | None = None
    """A device that was not let in; the item then holds nothing else."""


class Unforeseen(NamedTuple):
    """An item, as it came, whose reading meets a bug of ours."""

    error: Exception
    text: str


Entry: TypeAlias = Item | Rejection | Unforeseen
"""An item of a body; a Rejection stands for one that cannot be read."""


class _RawItem(msgspec.Struct):
    """The keys that items have; what they mean together is checked afterwards."""

    ep: str
    val: dict[str, Any] | None = None
    obj_id: int | None = None
    inst_id: int = 0
    ts: int | None = None
    reg: RawRegistration | None = None
    failure: _RawFailure | None = None
    refusal: _RawRefusal | None = None


class _RawFailure(msgspec.Struct):
    """What a device sent that gives no value; `format` is CoAP's number, `payload` at most its first KiB."""

    reason: str
    path: str = ""
    format: int | None = None
    payload: str = ""
    size: int = 0
    suppressed: int = 0


class _RawRefusal(msgspec.Struct):
    cause: str
    address: str = ""
    count: int = 1
    detail: str | None = None


class _PlainResource(msgspec.Struct, gc=False):
    kind: Literal["singleResource"]
    id: int
    type: DataType
    value: Any


class _PlainItem(msgspec.Struct, gc=False):
    """The commonest item, a value of a resource that is not multiple; all its keys are those of a single."""

    ep: str
    obj_id: int
    val: _PlainResource
    inst_id: int = 0
    ts: int | None = None


# float() reads what 64 bits cannot hold as infinite: the value is then rejected, not the whole item.
_decode_item = msgspec.json.Decoder(_RawItem, float_hook=float).decode
_decode_plain = msgspec.json.Decoder(list[_PlainItem], float_hook=float).decode


def parse_items(kind: Kind, body: Body) -> list[Entry]:
    """Read the items of a body; what is not an item of this webhook is a rejection in its place.

    Values that do not fit their type are in the item's `rejected`. Raises UnreadableDeliveryError where the
    body is one item by itself and not one.
    """
    if kind is Kind.SINGLE:
        try:
            return [_plain(item) for item in _decode_plain(body.items)]
        except Exception:  # noqa: BLE001, S110  # one of them, at least, wants the closer look below
            pass
    parsed: list[Entry] = []
    for raw in decode_array(body.items):
        try:
            parsed.append(_parse_item(kind, raw))
        except (BadItemError, RecursionError) as error:
            if body.alone:
                raise UnreadableDeliveryError(
                    f"not one of the documented shapes: {reason_of(error)}"
                ) from None
            parsed.append(Rejection("", reason_of(error), _text(raw)))
        except Exception as error:  # noqa: BLE001  # whoever stores the items tells it apart from them
            parsed.append(Unforeseen(error, _text(raw)))
    return parsed


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("utf-8", "backslashreplace")


def _plain(item: _PlainItem) -> Item:
    """Read an item without ado; raise where it is a registration event or anything is wrong."""
    _check(item.ep, item.ts)
    if item.obj_id == REGISTRATION_OBJECT:
        raise BadItemError("a registration event")
    if not (0 <= item.obj_id <= MAX_ID and 0 <= item.inst_id <= MAX_ID and 0 <= item.val.id <= MAX_ID):
        raise BadPathError("an id out of range")
    resource = item.val
    value = CONVERTERS[resource.type](resource.value)
    path = Path(item.obj_id, item.inst_id, resource.id)
    return Item(item.ep, item.ts, None, (Reading(path, resource.type, value),))


def _check(endpoint: str, time_ms: int | None) -> None:
    """Check what all items have in common."""
    if not endpoint or "\0" in endpoint or len(endpoint.encode()) > MAX_ENDPOINT_BYTES:
        raise BadItemError(f"ep is an endpoint name of 1 to {MAX_ENDPOINT_BYTES} bytes without NUL")
    if time_ms is not None and not -(2**63) <= time_ms < 2**63:
        raise BadItemError(f"ts {time_ms} is not epoch milliseconds")


def _parse_item(kind: Kind, raw: msgspec.Raw) -> Item:
    """Read one item of a webhook; raise BadItemError where it is not one."""
    try:
        item = _decode_item(raw)
    except UNREADABLE as error:
        raise BadItemError(reason_of(error)) from None
    if item.refusal is not None:
        return _refusal(item, item.refusal)
    _check(item.ep, item.ts)
    if item.failure is not None:
        return _failure(item, item.failure)
    if item.val is None:
        raise BadItemError("val is missing: the node of what the device sent")
    if kind is Kind.COMPOSITE:
        found = readings(item.val) if "kind" in item.val else readings_by_path(item.val)
        return Item(item.ep, item.ts, EventType.COMPOSITE, found.good, found.rejected)
    single = _single(item, item.val)
    if kind is Kind.REGISTRATION and single.event_type is None and single.readings:
        raise BadItemError(
            "not a registration event: obj_id must be 10240 and val.id 0 (registered), 1 (unregistered),"
            " 2 (updated) or 3 (heard)"
        )
    return single


def _refusal(item: _RawItem, raw: _RawRefusal) -> Item:
    """Return an item without values that tells of a device that was not let in."""
    if not raw.cause or not 0 < raw.count < 2**31:
        raise BadItemError("refusal needs a cause, and a count from 1 on")
    refusal = Refusal(
        storable(item.ep, MAX_ENDPOINT),
        storable(raw.address),
        storable(raw.cause),
        raw.count,
        None if raw.detail is None else storable(raw.detail),
    )
    return Item("", None, None, (), refusal=refusal)


def _failure(item: _RawItem, failure: _RawFailure) -> Item:
    """Return an item without values whose rejection is what its sender could not read."""
    node = {
        "format": failure.format,
        "payload": failure.payload[: 2 * MAX_PAYLOAD_BYTES],
        "size": failure.size,
        "suppressed": failure.suppressed,
    }
    rejection = Rejection(failure.path[:MAX_PATH], failure.reason[:MAX_REASON], node)
    return Item(item.ep, item.ts, None, (), (rejection,))


def _single(item: _RawItem, val: dict[str, Any]) -> Item:
    if item.obj_id is None:
        raise BadItemError("obj_id is missing; a single item names the object its resource belongs to")
    resource_id = val.get("id")
    if isinstance(resource_id, bool) or not isinstance(resource_id, int):
        raise BadItemError('val needs an "id": the resource id, a whole number from 0 to 65534')
    try:
        check_id("val id", resource_id)
        path = Path(check_id("obj_id", item.obj_id), check_id("inst_id", item.inst_id), resource_id)
    except BadPathError as error:
        raise BadItemError(str(error)) from None
    found = readings(val, path)
    event_type = _EVENT_BY_RESOURCE.get(resource_id) if item.obj_id == REGISTRATION_OBJECT else None
    if event_type is None or not found.good:
        return Item(item.ep, item.ts, None, found.good, found.rejected)
    registration, wrong = registration_of(item.reg)
    rejected = [*found.rejected, *wrong]
    return Item(item.ep, item.ts, event_type, found.good, rejected, registration)
