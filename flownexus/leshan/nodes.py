"""Leshan's JSON of LwM2M nodes: objects, instances and resources to readings, and a value to a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flownexus.lwm2m.path import MAX_ID, BadPathError, Path, below, check_id
from flownexus.lwm2m.secret import is_secret
from flownexus.lwm2m.value import (
    CONVERTERS,
    BadValueError,
    DataType,
    Reading,
    Value,
    from_json,
    in_json,
    to_json,
)

_DEPTH = {"obj": 1, "instance": 2, "singleResource": 3, "multiResource": 3, "resourceInstance": 4}
"""How many ids the path of each kind of node has."""
_DATA_TYPES = {str(data_type): (data_type, CONVERTERS[data_type]) for data_type in DataType}


class BadNodeError(ValueError):
    """The JSON is not a node as Leshan writes them."""


class Rejection(NamedTuple):
    """A part of a node that cannot be stored: where it stood, why, and itself."""

    path: str
    reason: str
    node: Any


def hidden(rejection: Rejection) -> Rejection:
    """Return a rejection that may be kept and told: of an object that holds keys without what it was."""
    if not is_secret(rejection.path):
        return rejection
    return Rejection(rejection.path, "it cannot be stored, and is of an object that holds keys", None)


class Readings(NamedTuple):
    """The readings of a node, and its parts that cannot be stored."""

    good: list[Reading]
    rejected: list[Rejection]


def readings(node: object, path: Path | None = None) -> Readings:
    """Take the readings out of a node, good ones and bad ones apart.

    `path` is the node's own (/3/0 of an instance), or None where the node is an object and knows its id.
    """
    found = Readings([], [])
    ids = path.ids if path else ()
    _collect(node, ids[:-1], ids[-1] if ids else None, found)
    return found


def readings_by_path(nodes: Mapping[str, Any]) -> Readings:
    """Take the readings out of Leshan's own composites: {"/3/0": node, "/3303/0/5700": node, ...}."""
    found = Readings([], [])
    for key, node in nodes.items():
        try:
            ids = Path.parse(key).ids
        except BadPathError as error:
            found.rejected.append(Rejection(key[:64], str(error), node))
            continue
        if node is not None:  # the device has nothing at this path
            _collect(node, ids[:-1], ids[-1], found)
    return found


def _collect(node: object, above: tuple[int, ...], own_id: int | None, found: Readings) -> None:
    """Add the readings of a node that stands below the ids `above`."""
    if len(above) == 2 and (reading := _plain_resource(node, above, own_id)):
        found.good.append(reading)
        return
    try:
        kind, path = _place(node, above, own_id)
        assert isinstance(node, Mapping)  # noqa: S101  # _place has seen to it
        match kind:
            case "obj":
                children = _children(node, "instances")
            case "instance":
                children = _children(node, "resources")
            case "singleResource" | "resourceInstance":
                found.good.append(Reading(path, _data_type(node), _value(node)))
                return
            case _:
                _collect_resource_instances(node, path, found)
                return
    except (BadNodeError, BadPathError, BadValueError) as error:
        found.rejected.append(Rejection(_where(above, node), str(error), node))
        return
    for child in children:
        _collect(child, path.ids, None, found)


def _plain_resource(node: Any, above: tuple[int, ...], own_id: int | None) -> Reading | None:
    """Read the commonest node without ado; return None where any of it wants the closer look of _collect."""
    try:
        resource_id = node["id"]
        data_type, convert = _DATA_TYPES[node["type"]]
        value = convert(node["value"])
    except (KeyError, TypeError, BadValueError):
        return None
    if node.get("kind") != "singleResource" or type(resource_id) is not int or not 0 <= resource_id <= MAX_ID:
        return None
    if own_id is not None and own_id != resource_id:
        return None
    return Reading(Path(above[0], above[1], resource_id), data_type, value)


def _collect_resource_instances(node: Mapping[str, Any], path: Path, found: Readings) -> None:
    data_type = _data_type(node)
    values = node.get("values")
    if not isinstance(values, Mapping):
        raise BadNodeError('multiResource needs "values": {"<resource instance id>": <value>, ...}')
    for key, raw in values.items():
        try:
            # A resource instance may stand there with its id and type beside its value, or the value alone.
            if isinstance(raw, Mapping) and raw.get("kind") == "resourceInstance":
                raw = raw.get("value")
            instance = _instance_id(key)
            found.good.append(Reading(below(path.ids, instance), data_type, from_json(data_type, raw)))
        except (BadPathError, BadValueError) as error:
            found.rejected.append(Rejection(f"{path}/{key[:64]}", str(error), raw))


def _instance_id(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) <= 5):
        raise BadPathError(f"resource instance id {key[:64]!r} is not a number from 0 to 65534")
    return check_id("resource instance id", int(key))


def _place(node: object, above: tuple[int, ...], own_id: int | None) -> tuple[str, Path]:
    """Return a node's kind and path."""
    if not isinstance(node, Mapping):
        raise BadNodeError("a node is a JSON object with kind and id")
    kind = node.get("kind")
    if not isinstance(kind, str) or kind not in _DEPTH:
        raise BadNodeError(f"kind {in_json(kind)} is not one of {', '.join(_DEPTH)}")
    depth = _DEPTH[kind]
    if depth != len(above) + 1:
        raise BadNodeError(f"a node of kind {kind} cannot stand below {_where(above, None)}")
    given = node.get("id", own_id)
    if isinstance(given, bool) or not isinstance(given, int):
        raise BadNodeError(f"{kind} needs an id, a whole number from 0 to 65534")
    if own_id is not None and given != own_id:
        raise BadNodeError(f"{kind} has the id {given} where its path says {own_id}")
    return kind, below(above, check_id(f"{kind} id", given))


def _where(above: tuple[int, ...], node: object) -> str:
    own = node.get("id") if isinstance(node, Mapping) else None
    return "/" + "/".join(map(str, above if own is None else (*above, own)))


def _children(node: Mapping[str, Any], key: str) -> list[Any]:
    children = node.get(key)
    if not isinstance(children, list):
        raise BadNodeError(f'{node.get("kind")} needs "{key}": a JSON array of nodes')
    if len(children) > MAX_ID + 1:
        raise BadNodeError(f"{len(children)} {key}: there are no more ids than {MAX_ID + 1}")
    return children


def _data_type(node: Mapping[str, Any]) -> DataType:
    name = node.get("type")
    if not isinstance(name, str) or name not in _DATA_TYPES:
        raise BadNodeError(
            f"{node.get('kind')} has type {in_json(name)}; it must be one of {', '.join(DataType)}"
        )
    return _DATA_TYPES[name][0]


def _value(node: Mapping[str, Any]) -> Value:
    if "value" not in node:
        raise BadNodeError(f'{node.get("kind")} needs a "value"')
    return from_json(_data_type(node), node["value"])


def resource_node(path: Path, data_type: DataType, value: Value) -> dict[str, Any]:
    """Write the node of one resource, or of one resource instance where the path has four ids."""
    if path.resource_id is None:
        raise BadPathError(f"{path} is not the path of a resource; write it like /3/0/15")
    if path.resource_instance_id is not None:
        kind, own_id = "resourceInstance", path.resource_instance_id
    else:
        kind, own_id = "singleResource", path.resource_id
    return {"kind": kind, "id": own_id, "type": str(data_type), "value": to_json(data_type, value)}


def multiple_node(path: Path, data_type: DataType, values: Mapping[str, Value]) -> dict[str, Any]:
    """Write the node of a multiple resource from the values of its instances by id."""
    return {
        "kind": "multiResource",
        "id": path.resource_id,
        "type": str(data_type),
        "values": {key: to_json(data_type, value) for key, value in values.items()},
    }


def instance_node(id_: int | None, resources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write the node of an object instance; None is the id of one that is not there yet."""
    own_id = {} if id_ is None else {"id": id_}
    return {"kind": "instance", **own_id, "resources": list(resources)}
