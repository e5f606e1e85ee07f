"""The requests for operations as types, one of each kind of the catalogue, told apart by `operation`.

The description of the API is made of them, and they of the types that requests become: a kind's struct and
NewOperation. flownexus.operations.new_operation checks requests: of several faults it names each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Union, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta

from flownexus.fields import Time
from flownexus.operations.catalogue import KINDS, Known
from flownexus.operations.catalogue.base import LEVELS, MAX_PATHS, name_of, with_article
from flownexus.operations.filter import MAX_FILTER
from flownexus.operations.new_operation import MAX_EXPIRES_IN_S, PRIORITIES

_SAID: Final[Mapping[str, Any]] = {
    "filter": Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_FILTER,
            description="says which endpoints: name==sim-*;tag.site==berlin, or name==* for all",
        ),
    ],
    "endpoint": Annotated[
        str, Meta(min_length=1, pattern=r"^[^\x00]+$", description="a device that has been seen")
    ],
    "priority": Annotated[
        int,
        Meta(
            ge=PRIORITIES[0],
            le=PRIORITIES[-1],
            description=f"from {PRIORITIES[0]} to {PRIORITIES[-1]}; the higher goes first",
        ),
    ],
    "not_before": Annotated[Time, Meta(description="it is not sent before")] | None,
    "expires_at": Annotated[Time, Meta(description="from then on it is not sent")] | None,
    "expires_in": Annotated[
        float, Meta(gt=0, le=MAX_EXPIRES_IN_S, description="the same, in seconds from when it is queued")
    ]
    | None,
}
"""What a request may say for a field, where that is less than the field's type."""


def request_type(asked: type) -> Any:
    """Return the type of the requests that become `asked`, a dataclass with an `operation`."""
    return Union[tuple(_request_of(kind, asked) for kind in KINDS.values())]  # noqa: UP007  # a value


def _request_of(kind: type[Known], asked: type) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        f"{asked.__name__}{kind.__name__}",
        [*_of_kind(kind), *_of_all(asked)],
        tag_field="operation",
        tag=name_of(kind),
        kw_only=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": kind.__doc__},
    )


def _of_kind(kind: type[Known]) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, type and default of each field of a kind."""
    for field in msgspec.structs.fields(kind):
        if field.name == "path":
            path = _path(kind.depths)
            yield ("path", path, NODEFAULT) if kind.usual_path is None else ("path", path | None, None)
        elif field.name == "paths":
            several = Meta(min_length=1, max_length=MAX_PATHS, description="none of them at or below another")
            yield "paths", Annotated[list[_path(kind.depths)], several], NODEFAULT  # type: ignore[misc]
        else:
            yield field.name, field.type, field.default


def _of_all(asked: type) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, type and default of each field that requests of all kinds have."""
    hints = get_type_hints(asked)
    for field in dataclasses.fields(asked):
        if field.name != "operation":
            default = NODEFAULT if field.default is dataclasses.MISSING else field.default
            yield field.name, _SAID.get(field.name, hints[field.name]), default


def _path(depths: range) -> Any:
    """Return the type of a path with so many ids."""
    levels = " or ".join(with_article(LEVELS[depth]) for depth in depths)
    more = f"(/[0-9]{{1,5}}){{{depths[0] - 1},{depths[-1] - 1}}}"
    return Annotated[
        str, Meta(pattern=f"^/?[0-9]{{1,5}}{more}/?$", description=f"the LwM2M path of {levels}")
    ]
