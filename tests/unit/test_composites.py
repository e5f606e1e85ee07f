"""Composite operations: several paths at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flownexus.errors import ValidationFailedError
from flownexus.leshan.answers import readings_of
from flownexus.leshan.requests import Call, call_of
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType, Reading
from flownexus.operations.catalogue.composite import ObserveComposite, ReadComposite
from flownexus.operations.known_resource import KnownResource, ModelOfResource
from flownexus.operations.new_operation import parse_operation
from flownexus.operations.write_format import WriteFormat, write_formats

PATHS = ["/3303/0/5700", "/3/0/9"]
IN_ORDER = (Path(3, 0, 9), Path(3303, 0, 5700))
READ = {"endpoint": "sim-0001", "operation": "read-composite", "paths": PATHS}
WRITE = {"endpoint": "sim-0001", "operation": "write-composite"}
MODEL = ModelOfResource("1.0", "Name", "RW")
KNOWN = {(3, 15): KnownResource(DataType.STRING, MODEL), (3442, 120): KnownResource(DataType.INTEGER, MODEL)}


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("read-composite", Call("GET", "/composite", {})),
        ("observe-composite", Call("POST", "/composite/observe", {})),
        ("cancel-observe-composite", Call("DELETE", "/composite/observe", {"active": "true"})),
    ],
)
def test_paths_go_in_an_order_of_their_own(operation: str, call: Call) -> None:
    """What was observed is found again by its paths, whichever order they are named in."""
    for paths in (PATHS, PATHS[::-1]):
        asked = parse_operation(READ | {"operation": operation, "paths": paths}).operation
        assert asked.targets == IN_ORDER
        expected = {"paths": "/3/0/9,/3303/0/5700", **call.query}
        assert call_of(asked) == Call(call.method, call.path, expected)


def test_paths_and_values_go_in_one_format() -> None:
    formats = {"pathformat": "SENML_CBOR", "nodeformat": "SENML_CBOR"}
    for kind in (ReadComposite, ObserveComposite):
        call = call_of(kind(paths=IN_ORDER), WriteFormat.SENML_CBOR)
        assert call.query == {"paths": "/3/0/9,/3303/0/5700", **formats}
    possible = ReadComposite(paths=IN_ORDER).formats
    assert write_formats(possible, None, {110}, ()) == [WriteFormat.SENML_JSON, WriteFormat.SENML_CBOR]
    assert write_formats(possible, "TLV", (), ["SENML_CBOR"]) == [WriteFormat.SENML_JSON]


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (None, "paths: are 1 to 100 LwM2M paths"),
        ("/3/0/9", "paths: are 1 to 100 LwM2M paths"),
        ([], "paths: are 1 to 100 LwM2M paths"),
        ([f"/3303/{instance}" for instance in range(101)], "paths: are 1 to 100 LwM2M paths"),
        ([3], "paths: is a LwM2M path"),
        (["3303//5700"], "paths: '3303//5700' is not a LwM2M path"),
        (["/3/0/9", "/3303", "/3"], "paths: /3 and /3/0/9 overlap: leave one of them out"),
        (["/3/0/9", "/3/0/9"], "paths: /3/0/9 and /3/0/9 overlap"),
    ],
)
def test_paths_that_are_not_valid_are_named(paths: Any, reason: str) -> None:
    with pytest.raises(ValidationFailedError, match=re.escape(reason)):
        parse_operation(READ | {"paths": paths})


def test_several_paths_are_not_one() -> None:
    with pytest.raises(ValidationFailedError, match="path: belongs to a read or"):
        parse_operation(READ | {"path": "/3"})
    with pytest.raises(ValidationFailedError, match="paths: belong to a read-composite or"):
        parse_operation({"endpoint": "x", "operation": "read", "path": "/3", "paths": PATHS})


def test_values_are_taken_out_by_their_paths_and_what_is_not_there_is_left_out() -> None:
    content = {
        "/3/0/9": {"kind": "singleResource", "id": 9, "type": "INTEGER", "value": "95"},
        "/3303/0/5700": None,
    }
    found = readings_of(ReadComposite(paths=IN_ORDER), content)
    assert found.good == [Reading(Path(3, 0, 9), DataType.INTEGER, 95)]
    assert found.rejected == []
    assert readings_of(ReadComposite(paths=IN_ORDER), None).good == []
    assert readings_of(ReadComposite(paths=IN_ORDER), "x").rejected[0].node == "x"


def test_a_write_goes_by_its_paths() -> None:
    value = {"/3442/0/120": 7, "/3/0/15": "UTC", "/9/0/1/2": {"type": "STRING", "value": "a"}}
    operation = parse_operation(WRITE | {"value": value}).operation.typed(KNOWN)
    assert operation.targets == (Path(3, 0, 15), Path(9, 0, 1, 2), Path(3442, 0, 120))
    assert call_of(operation, WriteFormat.SENML_JSON) == Call(
        "PUT",
        "/composite",
        {"nodeformat": "SENML_JSON"},
        json={
            "/3442/0/120": {"kind": "singleResource", "id": 120, "type": "INTEGER", "value": "7"},
            "/3/0/15": {"kind": "singleResource", "id": 15, "type": "STRING", "value": "UTC"},
            "/9/0/1/2": {"kind": "resourceInstance", "id": 2, "type": "STRING", "value": "a"},
        },
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "value: is the values by their paths"),
        ([], "value: is the values by their paths"),
        ({}, "value: its paths: are 1 to 100"),
        ({"/3/0": "x"}, "value: its paths: /3/0 is that of an object instance; write-composite takes"),
        ({"/3/0/7": 1, "/3/0/7/0": 1}, "value: its paths: /3/0/7 and /3/0/7/0 overlap"),
        ({"/3/0/15": None}, "value: /3/0/15: is what to write"),
        (
            {"/3/0/7": {"type": "INTEGER", "values": {"0": 1}}},
            "value: /3/0/7: write each instance by its own",
        ),
        ({"/5/0/1": "x" * 256}, "value: /5/0/1: has 256 bytes, and a Package URI"),
    ],
)
def test_a_write_that_is_not_valid_is_refused_with_what_would_be(value: Any, reason: str) -> None:
    with pytest.raises(ValidationFailedError, match=re.escape(reason)):
        parse_operation(WRITE | {"value": value})


def test_each_value_of_a_write_is_of_its_model_s_type() -> None:
    wrong = {"/3/0/15": "UTC", "/3442/0/120": {"type": "STRING", "value": "7"}}
    reason = "value: /3442/0/120: the type is INTEGER, as the object's model has it, not STRING"
    with pytest.raises(ValidationFailedError, match=re.escape(reason)):
        parse_operation(WRITE | {"value": wrong}).operation.typed(KNOWN)
