"""Operations as requests to Leshan's REST API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flownexus.leshan.nodes import multiple_node, resource_node
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType, from_json
from flownexus.operations.catalogue import OperationType
from flownexus.operations.write_format import WriteFormat


@dataclass(frozen=True)
class Call:
    """The HTTP request that an operation becomes, below /api/clients/{endpoint}."""

    method: str
    path: str
    query: Mapping[str, str]
    json: Mapping[str, Any] | None = None
    text: str | None = None


def call_of(
    operation: OperationType,
    path: Path,
    value: Any,
    arguments: str | None,
    write_format: WriteFormat = WriteFormat.TLV,
) -> Call:
    """Return the request of an operation, in the form that Leshan's demo gave it.

    `value` is what typed_value() made of a write's. It replaces: for one value LwM2M knows nothing else (OMA
    LwM2M Core 1.1, 6.3.3); instances of a multiple resource may be added or updated instead.
    """
    match operation:
        case OperationType.READ:
            return Call("GET", str(path), {})
        case OperationType.WRITE:
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
        case OperationType.EXECUTE:
            return Call("POST", str(path), {}, text=arguments)
        case OperationType.OBSERVE:
            return Call("POST", f"{path}/observe", {})
        case OperationType.CANCEL_OBSERVE:
            # Active: the device is told, and does not learn it from a reset of its next notification.
            return Call("DELETE", f"{path}/observe", {"active": "true"})
