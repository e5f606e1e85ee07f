"""Operations as requests to Leshan's REST API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flownexus.leshan.nodes import multiple_node, resource_node
from flownexus.lwm2m.value import DataType, from_json
from flownexus.operations.catalogue import (
    CancelObserve,
    Discover,
    Execute,
    Observe,
    Operation,
    Read,
    Unknown,
    Write,
)
from flownexus.operations.write_format import WriteFormat


@dataclass(frozen=True)
class Call:
    """The HTTP request that an operation becomes, below /api/clients/{endpoint}."""

    method: str
    path: str
    query: Mapping[str, str]
    json: Mapping[str, Any] | None = None
    text: str | None = None


def call_of(operation: Operation, write_format: WriteFormat = WriteFormat.TLV) -> Call:
    """Return the request of an operation, in the form that Leshan's demo gave it.

    Raises ValueError, TypeError or KeyError where there is none: what did not come through the operations API
    is not checked.
    """
    match operation:
        case Read(path=path):
            return Call("GET", str(path), {})
        case Write():
            return _write(operation, write_format)
        case Execute(path=path, arguments=arguments):
            return Call("POST", str(path), {}, text=arguments)
        case Observe(path=path):
            return Call("POST", f"{path}/observe", {})
        case CancelObserve(path=path):
            # Active: the device is told, and does not learn it from a reset of its next notification.
            return Call("DELETE", f"{path}/observe", {"active": "true"})
        case Discover(path=path):
            return Call("GET", f"{path}/discover", {})
        case Unknown(name=name):
            raise ValueError(f"this version knows no operation {name!r}")


def _write(operation: Write, write_format: WriteFormat) -> Call:
    """Return the request of a write, whose value is what typed_value() made.

    It replaces: for one value LwM2M knows nothing else (OMA LwM2M Core 1.1, 6.3.3); instances of a multiple
    resource may be added or updated instead.
    """
    path, value = operation.path, operation.value
    data_type = DataType(value["type"])
    query = {"replace": "true"}
    if "values" in value:
        values = {key: from_json(data_type, raw) for key, raw in value["values"].items()}
        node = multiple_node(path, data_type, values)
        query["replace"] = "true" if value["replace"] else "false"
    else:
        node = resource_node(path, data_type, from_json(data_type, value["value"]))
    if write_format is not WriteFormat.TLV:  # which is what Leshan takes by itself
        query["format"] = write_format
    return Call("PUT", str(path), query, json=node)
