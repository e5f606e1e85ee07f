"""The composite kinds of operations: for several paths at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import msgspec

from flownexus.lwm2m.path import BadPathError, Path
from flownexus.operations.catalogue.base import (
    FORMATS_OF_COMPOSITES,
    OperationBase,
    SeveralPaths,
    key_of,
    several_paths,
)
from flownexus.operations.catalogue.values import wrong_value
from flownexus.operations.known_resource import Access, KnownResources
from flownexus.operations.typed_value import is_typed, typed_value
from flownexus.operations.write_format import WriteFormat


class ReadComposite(SeveralPaths, frozen=True, tag="read-composite"):
    """Read values of several paths at once (OMA LwM2M Core 1.1, 6.3.8)."""

    repetition_is_harmless: ClassVar = True
    access: ClassVar = Access.READ
    brings_values: ClassVar = True


class WriteComposite(OperationBase, frozen=True, tag="write-composite"):
    """Write values of several paths at once (OMA LwM2M Core 1.1, 6.3.9); `value` is {<path>: <value>}."""

    depths: ClassVar = range(3, 5)
    """How many ids each path may have."""
    repetition_is_harmless: ClassVar = True
    access: ClassVar = Access.WRITE

    value: Mapping[str, Any]

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the paths of the values, in their order."""
        return several_paths(type(self), list(self.value), self.depths)

    @property
    def targets(self) -> tuple[Path, ...]:
        """Return its paths."""
        return self.paths

    @property
    def formats(self) -> Sequence[WriteFormat]:
        """Return those that values of several objects can go in."""
        return FORMATS_OF_COMPOSITES

    @property
    def written(self) -> Mapping[Path, Any]:
        """Return the values that it writes, by resource (instance)."""
        return {Path.parse(path): value for path, value in self.value.items()}

    def typed(self, known: KnownResources) -> Self:
        """Return it with the data type of each value; raise ValidationFailedError where that cannot be."""
        typed = {
            str(path): typed_value(value, known.get(key_of(path)), f"value: {path}")
            for path, value in self.written.items()
        }
        return msgspec.structs.replace(self, value=typed)

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        value = body.get("value")
        if not isinstance(value, Mapping):
            yield "value", 'is the values by their paths: {"/3/0/14": "+02:00", "/3/0/15": "Europe/Berlin"}'
            return
        try:
            several_paths(cls, list(value), cls.depths)
        except BadPathError as error:
            yield "value", f"its paths: {error}"
            return
        for path, each in value.items():
            if is_typed(each) and "values" in each:
                yield "value", f"{path}: write each instance by its own path, such as {path}/0"
                return
            wrong = wrong_value(each, Path.parse(path))
            if wrong is not None:
                yield "value", f"{path}: {wrong}"
                return

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Make one of a request without faults."""
        return cls(value=body["value"])


class ObserveComposite(SeveralPaths, frozen=True, tag="observe-composite"):
    """Read values of several paths, and be notified of those that follow (OMA LwM2M Core 1.1, 6.4.2)."""

    repetition_is_harmless: ClassVar = True
    access: ClassVar = Access.READ
    brings_values: ClassVar = True
    observes: ClassVar = True


class CancelObserveComposite(SeveralPaths, frozen=True, tag="cancel-observe-composite"):
    """End the observation of several paths (OMA LwM2M Core 1.1, 6.4.5)."""

    repetition_is_harmless: ClassVar = True

    @property
    def formats(self) -> Sequence[WriteFormat]:
        """Return none: it goes as the observation went."""
        return ()


CompositeKind: TypeAlias = ReadComposite | WriteComposite | ObserveComposite | CancelObserveComposite
