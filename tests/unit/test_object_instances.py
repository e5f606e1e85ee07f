"""Object instances: created, deleted, and written as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from flownexus.errors import UnknownDataTypeError, ValidationFailedError
from flownexus.leshan.answers import Answered, Lost, judge, readings_of
from flownexus.leshan.requests import Call, call_of
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType
from flownexus.operations.catalogue.one_path import Create, Delete, Write
from flownexus.operations.known_resource import KnownResource, ModelOfResource
from flownexus.operations.lifecycle import Attempt, Status, settle, settle_expired
from flownexus.operations.new_operation import parse_operation
from flownexus.operations.write_format import WriteFormat

CREATE = {"endpoint": "sim-0001", "operation": "create", "path": "/3442", "value": {"resources": {"120": 7}}}
WRITE = CREATE | {"operation": "write", "path": "/3442/1"}
MODEL = ModelOfResource("1.0", "Name", "RW")
KNOWN = {
    (3442, 120): KnownResource(DataType.INTEGER, MODEL),
    (3442, 1110): KnownResource(DataType.STRING, MODEL),
}
SEVEN = {"kind": "singleResource", "id": 120, "type": "INTEGER", "value": "7"}


@pytest.mark.parametrize(("path", "own_id"), [("/3442", {}), ("/3442/9", {"id": 9})])
def test_a_create_asks_for_an_instance_of_its_id_or_of_one_that_the_device_chooses(
    path: str, own_id: dict[str, int]
) -> None:
    operation = parse_operation(CREATE | {"path": path}).operation.typed(KNOWN)
    node = {"kind": "instance", **own_id, "resources": [SEVEN]}
    assert call_of(operation) == Call("POST", "/3442", {}, json=node)
    assert call_of(operation, WriteFormat.SENML_CBOR).query == {"format": "SENML_CBOR"}
    assert WriteFormat.TEXT not in operation.formats


@pytest.mark.parametrize("location", ["3442/3", "/3442/3"])
def test_where_an_instance_was_created_is_the_result(location: str) -> None:
    operation = Create(path=Path(3442), value={"resources": {}})
    answer = Answered(200, {"status": "CREATED(201)", "success": True, "location": location})
    settled = settle(Attempt(operation.may_repeat, 1), judge(answer))
    assert (settled.status, settled.result) == (
        Status.CONFIRMED,
        {"status": "CREATED(201)", "content": "/3442/3"},
    )
    assert readings_of(operation, settled.content).good == []


@pytest.mark.parametrize(
    "operation", [Create(path=Path(3442), value={"resources": {}}), Delete(path=Path(3442, 1))]
)
def test_what_nobody_knows_to_have_happened_is_neither_success_nor_done_again(
    operation: Create | Delete,
) -> None:
    attempt = Attempt(operation.may_repeat, 1)
    for settled in (settle(attempt, judge(Lost("no answer"))), settle_expired(attempt)):
        assert settled.status is Status.FAILED
        assert settled.reason is not None
        assert settled.reason.startswith("outcome unknown: ")


def test_a_delete_is_of_an_object_instance() -> None:
    body = {"endpoint": "sim-0001", "operation": "delete", "path": "/3442/1"}
    assert call_of(parse_operation(body).operation) == Call("DELETE", "/3442/1", {})
    for path in ("/3442", "/3442/1/120"):
        with pytest.raises(ValidationFailedError, match=r"delete takes that of an object instance$"):
            parse_operation(body | {"path": path})


@pytest.mark.parametrize(("more", "replace"), [({}, "true"), ({"replace": False}, "false")])
def test_an_object_instance_is_written_by_its_resources(more: dict[str, bool], replace: str) -> None:
    values = {"type": "STRING", "values": {"0": "a"}}
    body = WRITE | {"value": {"resources": {"120": 7, "1110": values}, **more}}
    operation = parse_operation(body).operation.typed(KNOWN)
    assert call_of(operation) == Call(
        "PUT",
        "/3442/1",
        {"replace": replace},
        json={
            "kind": "instance",
            "id": 1,
            "resources": [
                SEVEN,
                {"kind": "multiResource", "id": 1110, "type": "STRING", "values": {"0": "a"}},
            ],
        },
    )
    assert WriteFormat.TEXT not in operation.formats
    assert WriteFormat.TEXT in Write(path=Path(3, 0, 15), value="x").formats


@pytest.mark.parametrize("body", [CREATE, WRITE])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (7, "value: is the values of its resources"),
        ({"120": 7}, "value: is the values of its resources"),
        ({"resources": [7]}, "value: is the values of its resources"),
        ({"resources": {}, "id": 3}, "value: is the values of its resources"),
        ({"resources": {"x": 7}}, "value: 'x' is no resource id"),
        ({"resources": {"1" * 5000: 7}}, "value: '111"),
        ({"resources": {"120": None}}, "value: resource 120: is what to write"),
        ({"resources": {"120": {"type": "NUMBER", "value": 7}}}, "value: resource 120: the type is one of"),
        (
            {"resources": {"1110": {"type": "STRING", "values": {}, "replace": True}}},
            "value: resource 1110: replace stands beside resources",
        ),
    ],
)
def test_what_is_no_object_instance_is_refused_with_what_would_be(
    body: dict[str, Any], value: Any, reason: str
) -> None:
    with pytest.raises(ValidationFailedError) as caught:
        parse_operation(body | {"value": value})
    assert caught.value.detail.startswith(reason)


def test_only_a_write_says_whether_it_replaces() -> None:
    with pytest.raises(ValidationFailedError, match="value: is the values of its resources"):
        parse_operation(CREATE | {"value": {"resources": {}, "replace": True}})
    with pytest.raises(ValidationFailedError, match="value: replace is true"):
        parse_operation(WRITE | {"value": {"resources": {}, "replace": "no"}})


def test_a_package_uri_in_an_object_instance_has_255_bytes_at_most() -> None:
    body = WRITE | {"path": "/5/0", "value": {"resources": {"1": "x" * 256}}}
    with pytest.raises(ValidationFailedError, match="value: resource 1: has 256 bytes, and a Package URI"):
        parse_operation(body)


def test_a_resource_of_an_object_instance_that_nobody_knows_is_named() -> None:
    operation = parse_operation(CREATE | {"value": {"resources": {"120": 7, "9": 1}}}).operation
    with pytest.raises(UnknownDataTypeError, match="value: resource 9: this resource is in no object model"):
        operation.typed(KNOWN)
    with pytest.raises(ValidationFailedError, match='value: resource 120: "warm" is not INTEGER'):
        parse_operation(CREATE | {"value": {"resources": {"120": "warm"}}}).operation.typed(KNOWN)
