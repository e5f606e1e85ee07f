"""The kinds of operations: one struct each, which says what is particular to it.

A new kind is a struct here, its request in flownexus.leshan.requests, and a test.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol, Self, TypeAlias, get_args

import msgspec

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m import attributes
from flownexus.lwm2m.path import MAX_ID, BadPathError, Path
from flownexus.operations.known_resource import Access, KnownResources, require_allowed
from flownexus.operations.typed_value import is_id, is_typed, typed_value
from flownexus.operations.write_format import WriteFormat

MAX_ARGUMENTS: Final = 4096  # characters of an execute's arguments
MAX_PATHS: Final = 100  # of a composite operation
MAX_PACKAGE_URI: Final = 255
"""The longest Package URI, in bytes (OMA LwM2M Core 1.1, appendix E.6: /5/*/1)."""
LEVELS: Final = ("", "object", "object instance", "resource", "resource instance")
"""What a path names, by the number of its ids."""
_INSTANCE_DEPTH: Final = 2
_RESOURCE_DEPTH: Final = 3
_FORMATS_OF_NODES: Final = (WriteFormat.TLV, WriteFormat.SENML_CBOR, WriteFormat.SENML_JSON)
"""In which several resources of one object instance can go."""
_FORMATS_OF_COMPOSITES: Final = (WriteFormat.SENML_CBOR, WriteFormat.SENML_JSON)
"""In which resources of several objects can go (OMA LwM2M Core 1.1, 7.4)."""

# arglist = arg *( "," arg ); arg = DIGIT / DIGIT "=" "'" *CHAR "'"; CHAR = "!" / %x23-26 / %x28-5B / %x5D-7E
# (OMA LwM2M Core 1.1, 6.3.5).
_ARGUMENT: Final = r"([0-9])(?:='[!\x23-\x26\x28-\x5B\x5D-\x7E]*')?"
_ARGUMENTS: Final = re.compile(rf"{_ARGUMENT}(?:,{_ARGUMENT})*")


class OperationBase(msgspec.Struct, frozen=True, kw_only=True, tag_field="operation"):
    """What all kinds of operations have.

    The fields of a kind are those that a request for it may have; they are columns of endpoint_operation too.
    """

    repetition_is_harmless: ClassVar[bool]
    """To do it twice does what doing it once does."""
    brings_values: ClassVar[bool] = False
    """The content of its answer is values of resources, which are stored."""
    observes: ClassVar[bool] = False
    """Notifications may follow its answer."""
    access: ClassVar[Access | None] = None
    """What it does with each resource that it names, which a model allows or not."""
    usual_path: ClassVar[Path | None] = None
    """Of a kind for one resource: that of object instance 0, which it is for unless another is named."""

    @property
    def kind(self) -> str:
        """Return the name of its kind."""
        return name_of(type(self))

    @property
    def may_repeat(self) -> bool:
        """Say whether it may be sent again when nobody knows whether it was done."""
        return self.repetition_is_harmless

    @property
    def targets(self) -> tuple[Path, ...]:
        """Return the paths that it is for."""
        return ()

    @property
    def concerns(self) -> tuple[Path, ...]:
        """Return what it has to do with: of two that overlap, the younger one waits for the older one."""
        return self.targets

    @property
    def formats(self) -> Sequence[WriteFormat]:
        """Return the formats in which its request's content may go, if it has content."""
        return ()

    @property
    def written(self) -> Mapping[Path, Any]:
        """Return the values that it writes, by resource (instance)."""
        return {}

    @property
    def may_supersede(self) -> bool:
        """Say whether it makes an older one of its kind, for the same path, needless."""
        return False

    @property
    def resources(self) -> frozenset[Path]:
        """Return the paths of the resources (instances) that it names or writes."""
        return frozenset(path for path in (*self.targets, *self.written) if path.resource_id is not None)

    def checked(self, known: KnownResources) -> Self:
        """Return it with the data type of each value; raise ValidationFailedError where a model forbids."""
        if self.access is not None:
            named = next(name for name in ("path", "paths", "value") if name in self.__struct_fields__)
            field = named if self.resources <= {*self.targets} else "value"
            require_allowed(self.access, sorted(self.resources, key=lambda path: path.ids), known, field)
        return self.typed(known)

    def typed(self, known: KnownResources) -> Self:  # noqa: ARG002  # most have no value
        """Return it with the data type of each value; raise ValidationFailedError where that cannot be."""
        return self


def name_of(kind: type[OperationBase]) -> str:
    """Return the name of a kind."""
    return str(kind.__struct_config__.tag)


def with_article(noun: str) -> str:
    """Write a noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


class OnePath(OperationBase, frozen=True, kw_only=True):
    """What the kinds have that are for one path."""

    depths: ClassVar = range(1, 5)
    """How many ids the path may have."""
    path: Path

    @property
    def targets(self) -> tuple[Path, ...]:
        """Return its path."""
        return (self.path,)

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        try:
            cls._path(body)
        except BadPathError as error:
            yield "path", str(error)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Make one of a request without faults."""
        return cls(path=cls._path(body))

    @classmethod
    def _path(cls, body: Mapping[str, Any]) -> Path:
        """Return the path of a request; raise BadPathError where there is none that this kind takes."""
        text, usual = body.get("path"), cls.usual_path
        if text is None and usual is not None:
            return usual
        path = _path_of(cls, text, cls.depths)
        if usual is not None and _key(path) != _key(usual):
            raise BadPathError(
                f"{path} is not what {name_of(cls)} is for; it is {usual}, or that of another instance"
            )
        return path


class SeveralPaths(OperationBase, frozen=True, kw_only=True):
    """What the kinds have that are for several paths: sorted, none of them below another."""

    depths: ClassVar = range(1, 5)
    """How many ids each path may have."""

    paths: tuple[Path, ...]

    @property
    def targets(self) -> tuple[Path, ...]:
        """Return its paths."""
        return self.paths

    @property
    def formats(self) -> Sequence[WriteFormat]:
        """Return those that paths can go in."""
        return _FORMATS_OF_COMPOSITES

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        try:
            _several(cls, body.get("paths"), cls.depths)
        except BadPathError as error:
            yield "paths", str(error)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Make one of a request without faults."""
        return cls(paths=_several(cls, body["paths"], cls.depths))


def _path_of(kind: type[OperationBase], text: object, depths: range) -> Path:
    """Return the path that a text is; raise BadPathError where it is none that this kind takes."""
    if not isinstance(text, str):
        raise BadPathError("is a LwM2M path, such as /3303/0/5700")
    path = Path.parse(text)
    if path.depth not in depths:
        allowed = " or ".join(with_article(LEVELS[depth]) for depth in depths)
        own = with_article(LEVELS[path.depth])
        raise BadPathError(f"{path} is that of {own}; {name_of(kind)} takes that of {allowed}")
    return path


def _several(kind: type[OperationBase], texts: object, depths: range) -> tuple[Path, ...]:
    """Return paths in their order; raise BadPathError where they are none that this kind takes."""
    if not isinstance(texts, Sequence) or isinstance(texts, str) or not 1 <= len(texts) <= MAX_PATHS:
        raise BadPathError(f'are 1 to {MAX_PATHS} LwM2M paths, such as ["/3/0/9", "/3303/0/5700"]')
    paths = sorted((_path_of(kind, text, depths) for text in texts), key=lambda path: path.ids)
    for above, path in itertools.pairwise(paths):
        if path.ids[: above.depth] == above.ids:
            raise BadPathError(f"{above} and {path} overlap: leave one of them out")
    return tuple(paths)


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
            return _by_resource(self.path, self.value)
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
            typed = _typed_resources(self, known)
            return msgspec.structs.replace(self, value={**self.value, "resources": typed})
        return msgspec.structs.replace(self, value=typed_value(self.value, known.get(_key(self.path))))

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        bad_path = list(super().faults(body))
        yield from bad_path
        value, path = body.get("value"), None if bad_path else cls._path(body)
        if path is not None and path.depth == _INSTANCE_DEPTH:
            wrong = _wrong_resources(value, path, {"resources", "replace"})
        else:
            wrong = _wrong_value(value, path) or _wrong_package_uri(value, path)
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
        return _by_resource(self.path, self.value)

    def typed(self, known: KnownResources) -> Self:
        """Return it with the data type of each value; raise ValidationFailedError where that cannot be."""
        return msgspec.structs.replace(self, value={"resources": _typed_resources(self, known)})

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        bad_path = list(super().faults(body))
        yield from bad_path
        path = None if bad_path else cls._path(body)
        wrong = _wrong_resources(body.get("value"), path, {"resources"})
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
        return _several(type(self), list(self.value), self.depths)

    @property
    def targets(self) -> tuple[Path, ...]:
        """Return its paths."""
        return self.paths

    @property
    def formats(self) -> Sequence[WriteFormat]:
        """Return those that values of several objects can go in."""
        return _FORMATS_OF_COMPOSITES

    @property
    def written(self) -> Mapping[Path, Any]:
        """Return the values that it writes, by resource (instance)."""
        return {Path.parse(path): value for path, value in self.value.items()}

    def typed(self, known: KnownResources) -> Self:
        """Return it with the data type of each value; raise ValidationFailedError where that cannot be."""
        typed = {
            str(path): typed_value(value, known.get(_key(path)), f"value: {path}")
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
            _several(cls, list(value), cls.depths)
        except BadPathError as error:
            yield "value", f"its paths: {error}"
            return
        for path, each in value.items():
            if is_typed(each) and "values" in each:
                yield "value", f"{path}: write each instance by its own path, such as {path}/0"
                return
            wrong = _wrong_value(each, Path.parse(path)) or _wrong_package_uri(each, Path.parse(path))
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


class Reboot(Execute, frozen=True, tag="reboot"):
    """Reboot the device: execute /3/0/4 (OMA LwM2M Core 1.1, appendix E.4)."""

    usual_path: ClassVar = Path(3, 0, 4)


class FactoryReset(Execute, frozen=True, tag="factory-reset"):
    """Give the device its factory settings again: execute /3/0/5 (OMA LwM2M Core 1.1, appendix E.4)."""

    usual_path: ClassVar = Path(3, 0, 5)


class RegistrationUpdateTrigger(Execute, frozen=True, tag="registration-update-trigger"):
    """Let the device update its registration: execute /1/0/8 (OMA LwM2M Core 1.1, appendix E.2)."""

    usual_path: ClassVar = Path(1, 0, 8)
    repetition_is_harmless: ClassVar = True


class Disable(Execute, frozen=True, tag="disable"):
    """Let the device leave for its disable timeout: execute /1/0/4 (OMA LwM2M Core 1.1, appendix E.2)."""

    usual_path: ClassVar = Path(1, 0, 4)


class SetClock(OnePath, frozen=True, tag="set-clock"):
    """Set the device's clock: write the time of sending to /3/0/13 (OMA LwM2M Core 1.1, appendix E.4)."""

    usual_path: ClassVar = Path(3, 0, 13)
    depths: ClassVar = range(3, 4)
    repetition_is_harmless: ClassVar = True
    access: ClassVar = Access.WRITE

    @property
    def formats(self) -> Sequence[WriteFormat]:
        """Return all."""
        return tuple(WriteFormat)


class Unknown(OperationBase, frozen=True, tag="unknown"):
    """An operation of a kind that this version does not know, queued by a newer one. It is never sent."""

    repetition_is_harmless: ClassVar = False

    name: str

    @property
    def kind(self) -> str:
        """Return the name that the row has."""
        return self.name


Known: TypeAlias = (
    Read
    | Write
    | Execute
    | Observe
    | CancelObserve
    | Discover
    | WriteAttributes
    | Create
    | Delete
    | ReadComposite
    | WriteComposite
    | ObserveComposite
    | CancelObserveComposite
    | Reboot
    | FactoryReset
    | RegistrationUpdateTrigger
    | Disable
    | SetClock
)
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


def _key(path: Path) -> tuple[int, int]:
    assert path.resource_id is not None  # noqa: S101  # a value is that of a resource
    return path.object_id, path.resource_id


def _by_resource(path: Path, value: Mapping[str, Any]) -> dict[Path, Any]:
    """Return the values of {"resources"} by the paths of their resources."""
    instance = path.object_instance_id or 0
    return {Path(path.object_id, instance, int(id_)): each for id_, each in value["resources"].items()}


def _typed_resources(operation: OperationBase, known: KnownResources) -> dict[str, Any]:
    """Return what is written to each resource of one object instance, by its id, with its data type."""
    return {
        str(path.resource_id): typed_value(each, known.get(_key(path)), f"value: resource {path.resource_id}")
        for path, each in operation.written.items()
    }


def _wrong_resources(value: object, path: Path | None, keys: set[str]) -> str | None:
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
        wrong = _wrong_value(each, resource) or _wrong_package_uri(each, resource)
        if wrong is not None:
            return f"resource {id_}: {wrong}"
    return None


def _wrong_value(value: object, path: Path | None) -> str | None:
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


def _are_arguments(text: str) -> bool:
    if not text:
        return True
    if len(text) > MAX_ARGUMENTS or not _ARGUMENTS.fullmatch(text):
        return False
    digits = [match[1] for match in re.finditer(rf"{_ARGUMENT}(?:,|$)", text)]
    return len(set(digits)) == len(digits)
