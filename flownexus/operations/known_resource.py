"""What is known of a resource that an operation is for, and what its model lets operations do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType
from flownexus.lwm2m.value_range import Range


class Access(StrEnum):
    """What an operation does with a resource, by the letter that a model allows it with."""

    READ = "R"
    WRITE = "W"
    EXECUTE = "E"


_DONE: Final = {Access.READ: "read", Access.WRITE: "written", Access.EXECUTE: "executed"}
_ALLOWED: Final = {
    "R": "only read (read, observe)",
    "W": "only written (write)",
    "RW": "read and written (read, observe, write)",
    "E": "only executed (execute)",
}


class ModelOfResource(NamedTuple):
    """What the model of an object says of the resource."""

    version: str
    name: str
    operations: str
    """R, W, RW or E; nothing where only a bootstrap server writes it: then the device says what it allows."""
    range: Range | None = None


class KnownResource(NamedTuple):
    """The data type of a resource, and its model.

    Without a model the type is the one that was seen; it is None of a resource never seen, and of one that
    is only executed.
    """

    data_type: DataType | None
    model: ModelOfResource | None = None


KnownResources: TypeAlias = Mapping[tuple[int, int], KnownResource]
"""By object and resource."""


def require_allowed(access: Access, resources: Iterable[Path], known: KnownResources, field: str) -> None:
    """Raise ValidationFailedError, naming `field`, where a model does not let a resource be used so."""
    for path in resources:
        if path.resource_id is None:
            continue
        found = known.get((path.object_id, path.resource_id))
        model = None if found is None else found.model
        if model is not None and model.operations and access not in model.operations:
            raise ValidationFailedError(
                f"{field}: {path} ({model.name}) cannot be {_DONE[access]}: by the model of object "
                f"{path.object_id}, version {model.version}, it is {_ALLOWED[model.operations]}"
            )
