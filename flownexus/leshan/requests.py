"""Operations as requests to Leshan's REST API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from flownexus.leshan.nodes import instance_node, multiple_node, resource_node
from flownexus.lwm2m.attributes import in_query
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType, from_json
from flownexus.operations.catalogue import Operation, Unknown
from flownexus.operations.catalogue.composite import (
    CancelObserveComposite,
    ObserveComposite,
    ReadComposite,
    WriteComposite,
)
from flownexus.operations.catalogue.named import SetClock
from flownexus.operations.catalogue.one_path import (
    CancelObserve,
    Create,
    Delete,
    Discover,
    Execute,
    Observe,
    Read,
    Write,
    WriteAttributes,
)
from flownexus.operations.write_format import WriteFormat

PUSH_POLL_S: Final = 2.0
"""Seconds for which a push is waited for at once: nothing else is sent to the device meanwhile."""


@dataclass(frozen=True)
class Call:
    """The HTTP request that an operation becomes, below /api/clients/{endpoint}."""

    method: str
    path: str
    query: Mapping[str, str | None]
    """None is the value of a parameter that stands alone."""
    json: Mapping[str, Any] | None = None
    text: str | None = None
    longest_s: float | None = None
    """For so long it is waited for at most; None: as long as for any."""


def segment(endpoint: str) -> str:
    """Write an endpoint name as one segment of a path, also one that paths know as a step up."""
    return quote(endpoint, safe="") if endpoint not in (".", "..") else endpoint.replace(".", "%2E")


def call_of(
    operation: Operation,
    write_format: WriteFormat | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> Call:
    """Return the request of an operation, in the form that Leshan's demo gave it.

    `write_format` is that of its content, if it has any; None leaves it to Leshan. `clock` tells seconds of
    the epoch.
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
        case WriteAttributes(path=path, value=value):
            return Call("PUT", f"{path}/attributes", in_query(value))
        case Create():
            return _create(operation, write_format)
        case Delete(path=path):
            return Call("DELETE", str(path), {})
        case ReadComposite(paths=paths):
            return Call("GET", "/composite", _paths(paths) | _composite_formats(write_format))
        case WriteComposite():
            nodes = {str(path): _node(path, value) for path, value in operation.written.items()}
            return Call("PUT", "/composite", _format(write_format, "nodeformat"), json=nodes)
        case ObserveComposite(paths=paths):
            return Call("POST", "/composite/observe", _paths(paths) | _composite_formats(write_format))
        case CancelObserveComposite(paths=paths):
            return Call("DELETE", "/composite/observe", _paths(paths) | {"active": "true"})
        case SetClock(path=path):
            now = {"type": DataType.TIME, "value": int(clock() * 1000)}
            return _write(Write(path=path, value=now), write_format)
        case Unknown(name=name):
            raise ValueError(f"this version knows no operation {name!r}")


def _write(operation: Write, write_format: WriteFormat | None) -> Call:
    """Return the request of a write, whose values are what typed_value() made.

    It replaces: for one value LwM2M knows nothing else (OMA LwM2M Core 1.1, 6.3.3); instances of a multiple
    resource and resources of an object instance may be added or updated instead. A firmware package, which
    Leshan fetches by its token, goes by a call that answers before it has ended, and is then repeated.
    """
    path, value = operation.path, operation.value
    if operation.package is not None:
        return Call("PUT", f"{path}/push", {"token": operation.package}, longest_s=PUSH_POLL_S)
    query = {"replace": "true" if value.get("replace", True) else "false"} | _format(write_format)
    if "resources" in value:
        return Call("PUT", str(path), query, json=instance_node(path.object_instance_id, _nodes(operation)))
    return Call("PUT", str(path), query, json=_node(path, value))


def _create(operation: Create, write_format: WriteFormat | None) -> Call:
    """Return the request of a create: the id of the instance, if one is asked for, is in its node."""
    node = instance_node(operation.path.object_instance_id, _nodes(operation))
    return Call("POST", f"/{operation.path.object_id}", _format(write_format), json=node)


def _paths(paths: Iterable[Path]) -> dict[str, str]:
    return {"paths": ",".join(map(str, paths))}


def _composite_formats(write_format: WriteFormat | None) -> dict[str, str]:
    """Return in which format the paths go, and the values are to come."""
    return _format(write_format, "pathformat") | _format(write_format, "nodeformat")


def _format(write_format: WriteFormat | None, parameter: str = "format") -> dict[str, str]:
    # TLV is Leshan's own choice.
    return {} if write_format in {None, WriteFormat.TLV} else {parameter: str(write_format)}


def _nodes(operation: Operation) -> list[dict[str, Any]]:
    return [_node(path, value) for path, value in operation.written.items()]


def _node(path: Path, value: Mapping[str, Any]) -> dict[str, Any]:
    data_type = DataType(value["type"])
    if "values" in value:
        values = {key: from_json(data_type, raw) for key, raw in value["values"].items()}
        return multiple_node(path, data_type, values)
    return resource_node(path, data_type, from_json(data_type, value["value"]))
