"""What the model of a resource lets operations do: a table of all kinds."""

from __future__ import annotations

from typing import Any

import pytest

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.value import DataType
from flownexus.operations.catalogue import KINDS
from flownexus.operations.known_resource import KnownResource, ModelOfResource
from flownexus.operations.new_operation import parse_operation

KNOWN = {
    (3, 0): KnownResource(DataType.STRING, ModelOfResource("1.2", "Manufacturer", "R")),
    (3, 4): KnownResource(None, ModelOfResource("1.2", "Reboot", "E")),
    (3, 5): KnownResource(None, ModelOfResource("1.2", "Factory Reset", "E")),
    (3, 13): KnownResource(DataType.TIME, ModelOfResource("1.2", "Current Time", "RW")),
    (3, 15): KnownResource(DataType.STRING, ModelOfResource("1.2", "Timezone", "RW")),
    (1, 4): KnownResource(None, ModelOfResource("1.1", "Disable", "E")),
    (1, 8): KnownResource(None, ModelOfResource("1.1", "Registration Update Trigger", "E")),
    (5, 0): KnownResource(DataType.OPAQUE, ModelOfResource("1.1", "Package", "W")),
    (0, 5): KnownResource(DataType.OPAQUE, ModelOfResource("1.1", "Secret Key", "")),
    (9999, 1): KnownResource(DataType.INTEGER),
}
KEY = {"type": "OPAQUE", "value": "abcd"}

ALLOWED: list[dict[str, Any]] = [
    {"operation": "read", "path": "/3/0/0"},
    {"operation": "read", "path": "/3/0"},
    {"operation": "observe", "path": "/3/0/15/0"},
    {"operation": "cancel-observe", "path": "/3/0/4"},
    {"operation": "discover", "path": "/3/0/4"},
    {"operation": "write", "path": "/3/0/15", "value": "UTC"},
    {"operation": "write", "path": "/3/0", "value": {"resources": {"15": "UTC"}}},
    {"operation": "write", "path": "/9999/0/1", "value": 7},
    {"operation": "write", "path": "/0/0/5", "value": KEY},
    {"operation": "write-attributes", "path": "/3/0/4", "value": {"pmin": 1}},
    {"operation": "create", "path": "/3", "value": {"resources": {"0": "Flow Nexus"}}},
    {"operation": "delete", "path": "/3/0"},
    {"operation": "execute", "path": "/3/0/4"},
    {"operation": "execute", "path": "/9999/0/1"},
    {"operation": "read-composite", "paths": ["/3/0/0", "/3/0/15", "/4"]},
    {"operation": "observe-composite", "paths": ["/3/0/0", "/9999/0/1"]},
    {"operation": "cancel-observe-composite", "paths": ["/3/0/4"]},
    {"operation": "write-composite", "value": {"/3/0/15": "UTC"}},
    {"operation": "reboot"},
    {"operation": "factory-reset"},
    {"operation": "registration-update-trigger"},
    {"operation": "disable"},
    {"operation": "set-clock"},
]
READ_ONLY = "/3/0/0 (Manufacturer) cannot be {}: by the model of object 3, version 1.2, it is only read"
EXECUTED = (
    "/3/0/4 (Reboot) cannot be {}: by the model of object 3, version 1.2, it is only executed (execute)"
)
WRITTEN = "/5/0/0 (Package) cannot be {}: by the model of object 5, version 1.1, it is only written (write)"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"operation": "read", "path": "/3/0/4"}, "path: " + EXECUTED.format("read")),
    ({"operation": "read", "path": "/5/0/0"}, "path: " + WRITTEN.format("read")),
    ({"operation": "observe", "path": "/3/0/4"}, "path: " + EXECUTED.format("read")),
    ({"operation": "write", "path": "/3/0/0", "value": "x"}, "path: " + READ_ONLY.format("written")),
    ({"operation": "write", "path": "/3/0/4", "value": KEY}, "path: " + EXECUTED.format("written")),
    (
        {"operation": "write", "path": "/3/0", "value": {"resources": {"0": "x"}}},
        "value: " + READ_ONLY.format("written"),
    ),
    ({"operation": "execute", "path": "/3/0/0"}, "path: " + READ_ONLY.format("executed")),
    ({"operation": "read-composite", "paths": ["/4", "/3/0/4"]}, "paths: " + EXECUTED.format("read")),
    ({"operation": "observe-composite", "paths": ["/3/0/4"]}, "paths: " + EXECUTED.format("read")),
    ({"operation": "write-composite", "value": {"/3/0/0": "x"}}, "value: " + READ_ONLY.format("written")),
]


def asked(body: dict[str, Any]) -> Any:
    return parse_operation({"endpoint": "sim-0001", **body}).operation


def test_each_kind_has_a_row() -> None:
    assert {body["operation"] for body in ALLOWED} == set(KINDS)


@pytest.mark.parametrize("body", ALLOWED, ids=str)
def test_what_the_model_allows_or_does_not_know_is_taken(body: dict[str, Any]) -> None:
    operation = asked(body)
    assert operation.checked(KNOWN).kind == body["operation"]


@pytest.mark.parametrize(("body", "refusal"), REFUSED, ids=str)
def test_what_the_model_does_not_allow_is_refused_with_what_it_allows(
    body: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(ValidationFailedError) as error:
        asked(body).checked(KNOWN)
    assert error.value.detail.startswith(refusal)
