"""The kinds of operations for one path, each as OMA LwM2M Core 1.1 has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Self, TypeAlias

import msgspec

from flownexus.lwm2m import attributes
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue.base import OnePath, key_of
from flownexus.operations.catalogue.values import by_resource, typed_resources, wrong_resources, wrong_value
from flownexus.operations.known_resource import Access, KnownResources
from flownexus.operations.typed_value import is_typed, typed_value
from flownexus.operations.write_format import WriteFormat

MAX_ARGUMENTS: Final = 4096  # characters of an execute's arguments
_INSTANCE_DEPTH: Final = 2
_FORMATS_OF_NODES: Final = (WriteFormat.TLV, WriteFormat.SENML_CBOR, WriteFormat.SENML_JSON)
"""In which several resources of one object instance can go."""

# arglist = arg *( "," arg ); arg = DIGIT / DIGIT "=" "'" *CHAR "'"; CHAR = "!" / %x23-26 / %x28-5B / %x5D-7E
# (OMA LwM2M Core 1.1, 6.3.5).
_ARGUMENT: Final = r"([0-9])(?:='[!\x23-\x26\x28-\x5B\x5D-\x7E]*')?"
_ARGUMENTS: Final = re.compile(rf"{_ARGUMENT}(?:,{_ARGUMENT})*")


class Read(OnePath, frozen=True, tag="read"):
    """Read values (OMA LwM2M Core 1.1, 6.3.1)."""

    repetition_is_harmless: ClassVar = True
    access: ClassVar = Access.READ
    brings_values: ClassVar = True


class Write(OnePath, frozen=True, tag="write"):
    """Write a value, or those of an object instance (OMA LwM2M Core 1.1, 6.3.3).

    `value` is {"type", "value"}, or, before it is queued, the value alone: see typed_value(). Of an object
    instance it is {"resources": {<resource id>: <value>}, "replace"}. {"type": "OPAQUE", "package": <token>}
    stands for a firmware package; no request may say that.
    """

    depths: ClassVar = range(2, 5)
    repetition_is_harmless: ClassVar = True
    access: ClassVar = Access.WRITE

    value: Any

    @property
    def package(self) -> str | None:
        """Return the token of the firmware package that it writes; None: it writes a value.

        Only what has a type stands for one: with a type, a request that has it is refused.
        """
        return self.value.get("package") if is_typed(self.value) else None

    @property
    def formats(self) -> Sequence[WriteFormat]:
        """Return all; text only of a value, and none of a package, which goes as it is."""
        if self.package is not None:
            return ()
        return _FORMATS_OF_NODES if self.path.depth == _INSTANCE_DEPTH else tuple(WriteFormat)

    @property
    def written(self) -> Mapping[Path, Any]:
        """Return the values that it writes, by resource (instance)."""
        if self.path.depth == _INSTANCE_DEPTH:
            return by_resource(self.path, self.value)
        return {self.path: self.value}

    @property
    def may_supersede(self) -> bool:
        """Say whether it replaces all that its path holds."""
        return not (isinstance(self.value, Mapping) and self.value.get("replace") is False)

    def typed(self, known: KnownResources) -> Self:
        """Return it with the data type of each value; raise ValidationFailedError where that cannot be."""
        if self.package is not None:
            return self
        if self.path.depth == _INSTANCE_DEPTH:
            typed = typed_resources(self, known)
            return msgspec.structs.replace(self, value={**self.value, "resources": typed})
        return msgspec.structs.replace(self, value=typed_value(self.value, known.get(key_of(self.path))))

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        bad_path = list(super().faults(body))
        yield from bad_path
        value, path = body.get("value"), None if bad_path else cls._path(body)
        if path is not None and path.depth == _INSTANCE_DEPTH:
            wrong = wrong_resources(value, path, {"resources", "replace"})
        else:
            wrong = wrong_value(value, path)
        if wrong is not None:
            yield "value", wrong

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Make one of a request without faults."""
        path, value = cls._path(body), body["value"]
        return cls(path=path, value={"replace": True, **value} if path.depth == _INSTANCE_DEPTH else value)


class WriteAttributes(OnePath, frozen=True, tag="write-attributes"):
    """Say when to notify (OMA LwM2M Core 1.1, 6.3.4); `value` is {"pmin": 10, "gt": 25.5, "lt": null}."""

    repetition_is_harmless: ClassVar = True

    value: Mapping[str, Any]

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        bad_path = list(super().faults(body))
        yield from bad_path
        if not bad_path:
            try:
                attributes.check(body.get("value"), cls._path(body))
            except attributes.BadAttributeError as error:
                yield "value", str(error)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Make one of a request without faults."""
        return cls(path=cls._path(body), value=body["value"])


class Create(OnePath, frozen=True, tag="create"):
    """Create an object instance (OMA LwM2M Core 1.1, 6.3.6): of the path's id, or of one the device chooses.

    `value` is {"resources": {<resource id>: <value>}}; repeated, it may make a second one.
    """

    depths: ClassVar = range(1, 3)
    repetition_is_harmless: ClassVar = False

    value: Mapping[str, Any]

    @property
    def concerns(self) -> tuple[Path, ...]:
        """Return the object: the instance is not there yet, and one that the device chooses may be any."""
        return (Path(self.path.object_id),)

    @property
    def formats(self) -> Sequence[WriteFormat]:
        """Return those that several resources can go in."""
        return _FORMATS_OF_NODES

    @property
    def written(self) -> Mapping[Path, Any]:
        """Return the values that it writes, by resource; where the device chooses the instance, of 0."""
        return by_resource(self.path, self.value)

    def typed(self, known: KnownResources) -> Self:
        """Return it with the data type of each value; raise ValidationFailedError where that cannot be."""
        return msgspec.structs.replace(self, value={"resources": typed_resources(self, known)})

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        bad_path = list(super().faults(body))
        yield from bad_path
        path = None if bad_path else cls._path(body)
        wrong = wrong_resources(body.get("value"), path, {"resources"})
        if wrong is not None:
            yield "value", wrong

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Make one of a request without faults."""
        return cls(path=cls._path(body), value=body["value"])


class Delete(OnePath, frozen=True, tag="delete"):
    """Delete an object instance (OMA LwM2M Core 1.1, 6.3.7); repeated, it may find another one."""

    depths: ClassVar = range(2, 3)
    repetition_is_harmless: ClassVar = False


class Execute(OnePath, frozen=True, tag="execute"):
    """Execute a resource (OMA LwM2M Core 1.1, 6.3.5).

    `repeatable`: its user says that it may be sent again.
    """

    depths: ClassVar = range(3, 4)
    repetition_is_harmless: ClassVar = False
    access: ClassVar = Access.EXECUTE

    arguments: str | None = None
    repeatable: bool = False

    @property
    def may_repeat(self) -> bool:
        """Say whether its user said that it may be sent again, or it is harmless."""
        return self.repeatable or self.repetition_is_harmless

    @property
    def concerns(self) -> tuple[Path, ...]:
        """Return the object instance: what is written to it is there for what it does."""
        return (Path(*self.path.ids[:-1]),)

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        yield from super().faults(body)
        arguments = body.get("arguments")
        if arguments is not None and not (isinstance(arguments, str) and _are_arguments(arguments)):
            yield "arguments", "are digits, each once, with or without a text: 0='reboot',1"
        if not isinstance(body.get("repeatable", False), bool):
            yield "repeatable", "is true or false"

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Make one of a request without faults."""
        return cls(
            path=cls._path(body),
            arguments=body.get("arguments") or None,
            repeatable=body.get("repeatable", False),
        )


class Observe(OnePath, frozen=True, tag="observe"):
    """Read values, and be notified of new ones (OMA LwM2M Core 1.1, 6.4.1)."""

    repetition_is_harmless: ClassVar = True
    access: ClassVar = Access.READ
    brings_values: ClassVar = True
    observes: ClassVar = True


class CancelObserve(OnePath, frozen=True, tag="cancel-observe"):
    """End an observation (OMA LwM2M Core 1.1, 6.4.4)."""

    repetition_is_harmless: ClassVar = True


class Discover(OnePath, frozen=True, tag="discover"):
    """List instances, resources and their attributes (OMA LwM2M Core 1.1, 6.3.2)."""

    depths: ClassVar = range(1, 4)
    repetition_is_harmless: ClassVar = True


OnePathKind: TypeAlias = (
    Read | Write | Execute | Observe | CancelObserve | Discover | WriteAttributes | Create | Delete
)


def _are_arguments(text: str) -> bool:
    if not text:
        return True
    if len(text) > MAX_ARGUMENTS or not _ARGUMENTS.fullmatch(text):
        return False
    digits = [match[1] for match in re.finditer(rf"{_ARGUMENT}(?:,|$)", text)]
    return len(set(digits)) == len(digits)
