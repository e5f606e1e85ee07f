"""The kinds of operations: one struct each, which says what is particular to it.

A new kind is a struct in the module of its like, with its line in the module's union; its request in
flownexus.leshan.requests; and a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol, TypeAlias, get_args

from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue.base import OperationBase, name_of
from flownexus.operations.catalogue.composite import CompositeKind
from flownexus.operations.catalogue.named import NamedKind
from flownexus.operations.catalogue.one_path import OnePathKind


class Unknown(OperationBase, frozen=True, tag="unknown"):
    """An operation of a kind that this version does not know, queued by a newer one. It is never sent."""

    repetition_is_harmless: ClassVar = False

    name: str

    @property
    def kind(self) -> str:
        """Return the name that the row has."""
        return self.name


Known: TypeAlias = OnePathKind | CompositeKind | NamedKind
Operation: TypeAlias = Known | Unknown

KINDS: Final[Mapping[str, type[Known]]] = {name_of(kind): kind for kind in get_args(Known)}
"""All kinds, by their names."""


class OperationRow(Protocol):
    """The columns of a row that an operation is made of; `operation` is the name of its kind."""

    @property
    def operation(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> str | None: ...  # noqa: D102
    @property
    def paths(self) -> Sequence[str] | None: ...  # noqa: D102
    @property
    def value(self) -> Any: ...  # noqa: D102
    @property
    def arguments(self) -> str | None: ...  # noqa: D102
    @property
    def repeatable(self) -> bool: ...  # noqa: D102


def stored_operation(row: OperationRow) -> Operation:
    """Make an operation of the columns of its row."""
    kind = KINDS.get(row.operation)
    if kind is None:
        return Unknown(name=row.operation)
    columns = {
        "path": None if row.path is None else Path.parse(row.path),
        "paths": None if row.paths is None else tuple(map(Path.parse, row.paths)),
        "value": row.value,
        "arguments": row.arguments,
        "repeatable": row.repeatable,
    }
    return kind(**{field: columns[field] for field in kind.__struct_fields__})
