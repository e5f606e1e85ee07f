"""Bodies of webhooks, as the documents and Leshan write them, and as nobody should."""

import contextlib
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.errors import BadRequestError
from flownexus.leshan.nodes import Rejection
from flownexus.leshan.webhook import Entry, EventType, Item, Kind, Unforeseen, parse_items
from flownexus.leshan.webhook_body import BadItemError, Envelope, parse_body
from flownexus.leshan.webhook_registration import Registration
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType, Reading

SINGLE: dict[str, Any] = {
    "ep": "qemu_x86",
    "obj_id": 3303,
    "val": {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "24.899181214836236"},
}
SOURCE = "0d1f6a3e-6f0e-4b7c-9a55-7a1c9d1f0001"


def item(given: Any, *, composite: bool = False) -> Item:
    body = parse_body(json.dumps([given]).encode())
    [entry] = parse_items(Kind.COMPOSITE if composite else Kind.SINGLE, body)
    if isinstance(entry, Rejection):
        raise BadItemError(entry.reason)
    assert isinstance(entry, Item)
    return entry


def test_a_body_is_one_item_an_array_or_an_envelope() -> None:
    alone = parse_body(json.dumps(SINGLE).encode())
    assert (alone.envelope, len(parse_items(Kind.SINGLE, alone)), alone.alone) == (None, 1, True)
    array = parse_body(json.dumps([SINGLE, SINGLE]).encode())
    assert (array.envelope, len(parse_items(Kind.SINGLE, array)), array.alone) == (None, 2, False)
    envelope = {"source": SOURCE, "lane": 3, "first_seq": 1201, "items": [SINGLE]}
    body = parse_body(json.dumps(envelope).encode())
    assert body.envelope == Envelope(UUID(SOURCE), 3, 1201)
    assert len(parse_items(Kind.SINGLE, body)) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"hello", "neither a JSON object nor an array"),
        (b"5", "neither a JSON object nor an array"),
        (b'{"ep": ', "not JSON"),
        (b"[1,]", "not JSON"),
        (b'[{"ep":"\xff"}', "not JSON"),
        (b"[" * 10000 + b"]" * 10000, "nested too deeply"),
        (b'{"a":' * 10000 + b"1" + b"}" * 10000, "nested too deeply"),
        (b'{"items": []}', "envelope"),
        (b'{"source": "me", "lane": 0, "first_seq": 1, "items": []}', "envelope"),
        (b'{"source": "%s", "lane": -1, "first_seq": 1, "items": []}' % SOURCE.encode(), "counts from"),
        (b'{"source": "%s", "lane": 0, "first_seq": 0, "items": []}' % SOURCE.encode(), "counts from"),
        (b'{"source": "%s", "lane": 0, "first_seq": 1, "items": {}}' % SOURCE.encode(), "envelope"),
    ],
)
def test_a_body_that_is_none_of_the_shapes_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadRequestError, match=reason):
        parse_body(body)


@given(st.binary())
def test_any_bytes_are_read_or_refused(given_body: bytes) -> None:
    for kind in Kind:
        with contextlib.suppress(BadRequestError):
            entries = parse_items(kind, parse_body(given_body))
            assert not any(isinstance(entry, Unforeseen) for entry in entries)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["ep", "val", "kind"]), inner)
    ),
    max_leaves=20,
)


@given(st.fixed_dictionaries({"ep": JSON, "obj_id": JSON, "val": JSON}, optional={"ts": JSON, "reg": JSON}))
def test_any_json_is_an_item_or_refused(given_item: Any) -> None:
    for composite in (False, True):
        with contextlib.suppress(BadItemError, BadRequestError):
            item([given_item], composite=composite)


def test_a_single_value_keeps_its_object_instance() -> None:
    found = item(SINGLE | {"inst_id": 2, "ts": 1795344335807})
    assert found.endpoint == "qemu_x86"
    assert found.time_ms == 1795344335807
    assert found.event_type is None
    assert list(found.readings) == [Reading(Path(3303, 2, 5700), DataType.FLOAT, 24.899181214836236)]


def test_a_composite_is_one_event_of_all_its_values() -> None:
    node: dict[str, Any] = {
        "kind": "obj",
        "id": 3303,
        "instances": [{"kind": "instance", "id": 0, "resources": [SINGLE["val"]]}],
    }
    for val in (node, {"/3303": node}, {"/3303/0": node["instances"][0]}, {"/3303/0/5700": SINGLE["val"]}):
        found = item({"ep": "qemu_x86", "val": val}, composite=True)
        assert found.event_type is EventType.COMPOSITE
        assert [reading.path for reading in found.readings] == [Path(3303, 0, 5700)]


@pytest.mark.parametrize(
    ("resource_id", "event_type"),
    [(0, EventType.REGISTERED), (1, EventType.UNREGISTERED), (2, EventType.UPDATED)],
)
def test_object_10240_is_a_registration_event(resource_id: int, event_type: EventType) -> None:
    event = {
        "ep": "sim-0001",
        "obj_id": 10240,
        "val": {"kind": "singleResource", "id": resource_id, "type": "TIME", "value": 1795344335807},
    }
    bare = item(event)
    assert (bare.event_type, bare.registration) == (event_type, Registration())
    told = item(
        event
        | {
            "reg": {
                "id": "aBc",
                "address": "127.0.0.1:40000",
                "secure": True,
                "lifetime": 300,
                "binding": "U",
                "version": "1.1",
                "links": [{"url": "/3/0", "attributes": {}}],
            }
        }
    )
    assert told.registration == Registration(
        "aBc", "127.0.0.1:40000", 300, "U", "1.1", ("/3/0",), object_versions={}, secure=True
    )


def test_another_resource_of_object_10240_is_a_plain_value() -> None:
    event = {
        "ep": "x",
        "obj_id": 10240,
        "val": {"kind": "singleResource", "id": 4, "type": "STRING", "value": ""},
    }
    assert item(event).event_type is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ep": ""}, "ep is an endpoint name"),
        ({"ep": None}, "str"),
        ({"ep": "a\0b"}, "without NUL"),
        ({"ep": "x" * 1025}, "1024 bytes"),
        ({"obj_id": -1}, "obj_id -1 is outside"),
        ({"obj_id": 70000}, "obj_id 70000 is outside"),
        ({"obj_id": "3"}, "obj_id"),
        ({"obj_id": None}, "obj_id is missing"),
        ({"inst_id": 65535}, "inst_id 65535 is outside"),
        ({"val": []}, "object"),
        ({"val": {}}, 'val needs an "id"'),
        ({"ts": "now"}, "ts"),
        ({"ts": 2**63}, "ts"),
        ({"ts": 1.5}, "ts"),
    ],
)
def test_an_item_with_a_bad_key_is_refused_with_the_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadItemError, match=reason):
        item(SINGLE | change)


@pytest.mark.parametrize(
    "name", ["x" * 300, "it's", "a.b", "a*", "a>b", "a b", "🛰️", "urn:imei:1", "x" * 1024]
)
def test_endpoint_names_are_anybodys(name: str) -> None:
    assert item(SINGLE | {"ep": name}).endpoint == name


def test_a_number_too_large_for_64_bits_is_refused_alone() -> None:
    body = (
        b'{"ep":"x","val":{"/3303/0/5700":{"kind":"singleResource","id":5700,"type":"FLOAT","value":1e400},'
    )
    body += b'"/3303/0/5701":{"kind":"singleResource","id":5701,"type":"STRING","value":"Cel"}}}'
    [found] = parse_items(Kind.COMPOSITE, parse_body(body))
    assert isinstance(found, Item)
    assert [reading.value for reading in found.readings] == ["Cel"]
    assert [rejection.path for rejection in found.rejected] == ["/3303/0/5700"]


def test_the_short_way_of_plain_values_leads_where_the_long_way_does() -> None:
    """A batch of plain values is read at one go; one item that is not plain sends all of it the long way."""
    types = {"FLOAT": "1.5", "INTEGER": "7", "STRING": "x", "BOOLEAN": True, "TIME": 5, "OPAQUE": "00"}
    plain = [
        SINGLE
        | {"ts": 5, "inst_id": 1, "val": {"kind": "singleResource", "id": 1, "type": name, "value": value}}
        for name, value in types.items()
    ]
    odd = SINGLE | {"val": {"kind": "multiResource", "id": 7, "type": "INTEGER", "values": {"0": "1"}}}
    short = parse_items(Kind.SINGLE, parse_body(json.dumps(plain).encode()))
    long = parse_items(Kind.SINGLE, parse_body(json.dumps([*plain, odd]).encode()))

    def what(entry: Entry) -> Any:
        assert isinstance(entry, Item)
        return entry.endpoint, entry.time_ms, entry.event_type, list(entry.readings), list(entry.rejected)

    assert list(map(what, short)) == list(map(what, long[:-1]))


@pytest.mark.parametrize(
    "val",
    [
        {"id": 1, "type": "FLOAT", "value": "1"},
        {"kind": "singleResource", "id": 1, "type": "FLOAT"},
        {"kind": "singleResource", "id": 1, "type": "WORD", "value": "1"},
        {"kind": "singleResource", "id": 1, "type": "FLOAT", "value": "nan"},
    ],
)
def test_a_bad_value_of_a_plain_item_is_rejected_with_its_path(val: dict[str, Any]) -> None:
    for batch in ([SINGLE | {"val": val}], [SINGLE | {"val": val}, SINGLE]):
        entry = parse_items(Kind.SINGLE, parse_body(json.dumps(batch).encode()))[0]
        assert isinstance(entry, Item)
        assert entry.readings == []
        assert [rejection.path for rejection in entry.rejected] == ["/3303/0/1"]


def test_what_a_device_sent_that_gives_no_value_is_an_item_with_a_rejection_and_no_values() -> None:
    failure = {
        "reason": "it cannot be read: warm",
        "path": "/3303/0/5700",
        "format": 0,
        "payload": "7761726d",
        "size": 4,
    }
    for composite in (False, True):
        parsed = item({"ep": "x", "ts": 7, "failure": failure}, composite=composite)
        assert (parsed.endpoint, parsed.time_ms, parsed.event_type, parsed.readings) == ("x", 7, None, ())
        [rejection] = parsed.rejected
        assert rejection == Rejection(
            "/3303/0/5700",
            "it cannot be read: warm",
            {"format": 0, "payload": "7761726d", "size": 4, "suppressed": 0},
        )


def test_what_is_told_of_a_failure_is_bounded() -> None:
    failure = {"reason": "r" * 9000, "path": "/" * 9000, "payload": "0" * 9000}
    [rejection] = item({"ep": "x", "failure": failure}).rejected
    assert (len(rejection.reason), len(rejection.path), len(rejection.node["payload"])) == (500, 255, 2048)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"ep": "x"}, "val is missing"),
        ({"ep": "x", "failure": {}}, "reason"),
        ({"ep": "x", "failure": {"reason": 5}}, "reason"),
        ({"ep": "", "failure": {"reason": "no"}}, "ep is an endpoint name"),
    ],
)
def test_an_item_without_a_value_or_a_whole_failure_is_none(bad: Any, reason: str) -> None:
    with pytest.raises(BadItemError, match=reason):
        item(bad)
