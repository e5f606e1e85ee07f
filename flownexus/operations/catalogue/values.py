"""The values that an operation writes: by resource, with their data types, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import MAX_ID, Path
from flownexus.operations.catalogue.base import OperationBase, key_of
from flownexus.operations.known_resource import KnownResources
from flownexus.operations.typed_value import is_id, is_typed, typed_value

MAX_PACKAGE_URI: Final = 255
"""The longest Package URI, in bytes (OMA LwM2M Core 1.1, appendix E.6: /5/*/1)."""
_RESOURCE_DEPTH: Final = 3


def by_resource(path: Path, value: Mapping[str, Any]) -> dict[Path, Any]:
    """Return the values of {"resources"} by the paths of their resources."""
    instance = path.object_instance_id or 0
    return {Path(path.object_id, instance, int(id_)): each for id_, each in value["resources"].items()}


def typed_resources(operation: OperationBase, known: KnownResources) -> dict[str, Any]:
    """Return what is written to each resource of one object instance, by its id, with its data type."""
    return {
        str(path.resource_id): typed_value(
            each, known.get(key_of(path)), f"value: resource {path.resource_id}"
        )
        for path, each in operation.written.items()
    }


def wrong_resources(value: object, path: Path | None, keys: set[str]) -> str | None:
    """Say what is wrong with {"resources"} of an object instance, beside `keys`."""
    if not isinstance(value, Mapping) or not isinstance(value.get("resources"), Mapping) or set(value) - keys:
        return 'is the values of its resources by their ids: {"resources": {"5700": 21.5}' + (
            ', "replace": false}' if "replace" in keys else "}"
        )
    if not isinstance(value.get("replace", True), bool):
        return "replace is true, to have these resources only, or false, to keep those not named"
    for id_, each in value["resources"].items():
        if not is_id(id_):
            return f"{id_[:64]!r} is no resource id, a number from 0 to {MAX_ID}"
        if isinstance(each, Mapping) and "replace" in each:
            return f"resource {id_}: replace stands beside resources, for all of them"
        resource = None if path is None else Path(path.object_id, path.object_instance_id or 0, int(id_))
        wrong = wrong_value(each, resource)
        if wrong is not None:
            return f"resource {id_}: {wrong}"
    return None


def wrong_value(value: object, path: Path | None) -> str | None:
    """Say what is wrong with what is written to a path, as far as that says by itself."""
    return _wrong_type(value, path) or _wrong_package_uri(value, path)


def _wrong_type(value: object, path: Path | None) -> str | None:
    if value is None:
        return 'is what to write: {"type": "STRING", "value": "UTC+2"}, or the value alone'
    if not is_typed(value):
        return None
    try:
        typed_value(value, None)
    except ValidationFailedError as error:
        return error.detail.removeprefix("value: ")
    assert isinstance(value, Mapping)  # noqa: S101  # it is typed
    if "values" in value and path is not None and path.depth != _RESOURCE_DEPTH:
        return f"has values, which are those of a resource such as /3/0/7, not of {path}"
    return None


def _wrong_package_uri(value: object, path: Path | None) -> str | None:
    uri = value.get("value") if isinstance(value, Mapping) and is_typed(value) else value
    if path is None or (path.object_id, path.resource_id) != (5, 1) or not isinstance(uri, str):
        return None
    length = len(uri.encode("utf-8", "surrogatepass"))
    if length <= MAX_PACKAGE_URI:
        return None
    return (
        f"has {length} bytes, and a Package URI (/5/0/1) at most {MAX_PACKAGE_URI} "
        "(OMA LwM2M Core, appendix E.6): write a shorter URL of the package"
    )
