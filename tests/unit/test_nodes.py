from typing import Any

import pytest

from flownexus.leshan.nodes import readings, readings_by_path, resource_node
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType, Reading


def single(resource_id: int, value: Any, data_type: str = "STRING") -> dict[str, Any]:
    return {"kind": "singleResource", "id": resource_id, "type": data_type, "value": value}


def test_an_object_gives_a_reading_for_each_resource_of_each_instance() -> None:
    node = {
        "kind": "obj",
        "id": 3,
        "instances": [
            {"kind": "instance", "id": 0, "resources": [single(0, "Zephyr"), single(17, "qemu_x86")]},
            {"kind": "instance", "id": 2, "resources": [single(9, "95", "INTEGER")]},
        ],
    }
    found = readings(node)
    assert found.rejected == []
    assert found.good == [
        Reading(Path(3, 0, 0), DataType.STRING, "Zephyr"),
        Reading(Path(3, 0, 17), DataType.STRING, "qemu_x86"),
        Reading(Path(3, 2, 9), DataType.INTEGER, 95),
    ]


def test_a_multiple_resource_gives_a_reading_for_each_of_its_instances() -> None:
    node = {"kind": "multiResource", "id": 7, "type": "INTEGER", "values": {"0": "3800", "1": "5000"}}
    assert readings(node, Path(3, 0, 7)).good == [
        Reading(Path(3, 0, 7, 0), DataType.INTEGER, 3800),
        Reading(Path(3, 0, 7, 1), DataType.INTEGER, 5000),
    ]


def test_what_is_bad_is_rejected_with_its_path_and_the_rest_is_kept() -> None:
    node = {
        "kind": "instance",
        "id": 0,
        "resources": [
            single(0, "Zephyr"),
            single(9, "many", "INTEGER"),
            single(1, "x", "WORD"),
            {"kind": "multiResource", "values": {"0": "1", "1": "5"}},
            {
                "kind": "multiResource",
                "id": 7,
                "type": "INTEGER",
                "values": {"0": "1", "x": "2", "70000": "3"},
            },
            {"kind": "singleResource", "id": 5, "type": "STRING"},
            {"kind": "instance", "id": 0, "resources": []},
            "what",
            single(70000, "x"),
        ],
    }
    found = readings(node, Path(3, 0))
    assert [reading.path for reading in found.good] == [Path(3, 0, 0), Path(3, 0, 7, 0)]
    assert [(rejection.path, rejection.reason) for rejection in found.rejected] == [
        ("/3/0/9", '"many" is not INTEGER: a whole number from -9223372036854775808 to 9223372036854775807'),
        ("/3/0/1", f'singleResource has type "WORD"; it must be one of {", ".join(DataType)}'),
        ("/3/0", "multiResource needs an id, a whole number from 0 to 65534"),
        ("/3/0/7/x", "resource instance id 'x' is not a number from 0 to 65534"),
        ("/3/0/7/70000", "resource instance id 70000 is outside 0..65534"),
        ("/3/0/5", 'singleResource needs a "value"'),
        ("/3/0/0", "a node of kind instance cannot stand below /3/0"),
        ("/3/0", "a node is a JSON object with kind and id"),
        ("/3/0/70000", "singleResource id 70000 is outside 0..65534"),
    ]


def test_leshans_own_composites_are_read_by_path() -> None:
    found = readings_by_path(
        {
            "/3/0": {"kind": "instance", "id": 0, "resources": [single(0, "Zephyr")]},
            "/3303/1/5700": single(5700, "24.9", "FLOAT"),
            "/3/0/7/1": {"kind": "resourceInstance", "id": 1, "type": "INTEGER", "value": "5000"},
            "/5/0/3": None,
            "/what": single(1, "x"),
            "/3/0/1": single(2, "x"),
        }
    )
    assert found.good == [
        Reading(Path(3, 0, 0), DataType.STRING, "Zephyr"),
        Reading(Path(3303, 1, 5700), DataType.FLOAT, 24.9),
        Reading(Path(3, 0, 7, 1), DataType.INTEGER, 5000),
    ]
    assert [rejection.path for rejection in found.rejected] == ["/what", "/3/0/2"]


@pytest.mark.parametrize(
    ("path", "kind", "own_id"), [("/3/0/15", "singleResource", 15), ("/3/0/7/1", "resourceInstance", 1)]
)
def test_a_value_becomes_the_node_to_write(path: str, kind: str, own_id: int) -> None:
    assert resource_node(Path.parse(path), DataType.INTEGER, 12) == {
        "kind": kind,
        "id": own_id,
        "type": "INTEGER",
        "value": "12",
    }
