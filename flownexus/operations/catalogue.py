"""The kinds of operations: one struct each, which says what is particular to it.

A new kind is a struct here, its request in flownexus.leshan.requests, and a test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol, Self, TypeAlias, get_args

import msgspec

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import BadPathError, Path
from flownexus.operations.typed_value import is_typed, typed_value

MAX_ARGUMENTS: Final = 4096  # characters of an execute's arguments
MAX_PACKAGE_URI: Final = 255
"""The longest Package URI, in bytes (OMA LwM2M Core 1.1, appendix E.6: /5/*/1)."""
LEVELS: Final = ("", "object", "object instance", "resource", "resource instance")
"""What a path names, by the number of its ids."""
_RESOURCE_DEPTH: Final = 3

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
    has_content: ClassVar[bool] = False
    """Its request has content, in a format that the device may refuse."""
    observes: ClassVar[bool] = False
    """Notifications may follow its answer."""

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
        text = body.get("path")
        if not isinstance(text, str):
            raise BadPathError("is a LwM2M path, such as /3303/0/5700")
        path = Path.parse(text)
        if path.depth not in cls.depths:
            allowed = " or ".join(with_article(LEVELS[depth]) for depth in cls.depths)
            own = with_article(LEVELS[path.depth])
            raise BadPathError(f"{path} is that of {own}; {name_of(cls)} takes that of {allowed}")
        return path


class Read(OnePath, frozen=True, tag="read"):
    """Read values (OMA LwM2M Core 1.1, 6.3.1)."""

    repetition_is_harmless: ClassVar = True
    brings_values: ClassVar = True


class Write(OnePath, frozen=True, tag="write"):
    """Write a value (OMA LwM2M Core 1.1, 6.3.3).

    `value` is {"type", "value"}, or, before it is queued, the value alone: see typed_value().
    """

    depths: ClassVar = range(3, 5)
    repetition_is_harmless: ClassVar = True
    has_content: ClassVar = True

    value: Any

    @property
    def needs_type(self) -> bool:
        """Say whether the value came without its data type."""
        return not is_typed(self.value)

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        bad_path = list(super().faults(body))
        yield from bad_path
        path = None if bad_path else cls._path(body)
        wrong = _wrong_value(body.get("value"), path) or _wrong_package_uri(body.get("value"), path)
        if wrong is not None:
            yield "value", wrong

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Make one of a request without faults."""
        return cls(path=cls._path(body), value=body["value"])


class Execute(OnePath, frozen=True, tag="execute"):
    """Let a resource do what it does (OMA LwM2M Core 1.1, 6.3.5); `repeatable` is its user's word on that."""

    depths: ClassVar = range(3, 4)
    repetition_is_harmless: ClassVar = False

    arguments: str | None = None
    repeatable: bool = False

    @property
    def may_repeat(self) -> bool:
        """Say whether its user said that it may be sent again."""
        return self.repeatable

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
    """Read values, and be notified of those that follow (OMA LwM2M Core 1.1, 6.4.1)."""

    repetition_is_harmless: ClassVar = True
    brings_values: ClassVar = True
    observes: ClassVar = True


class CancelObserve(OnePath, frozen=True, tag="cancel-observe"):
    """End an observation (OMA LwM2M Core 1.1, 6.4.4)."""

    repetition_is_harmless: ClassVar = True


class Discover(OnePath, frozen=True, tag="discover"):
    """Ask which instances and resources there are, and for their attributes (OMA LwM2M Core 1.1, 6.3.2)."""

    depths: ClassVar = range(1, 4)
    repetition_is_harmless: ClassVar = True


class Unknown(OperationBase, frozen=True, tag="unknown"):
    """What a row asks for that this version does not know: a newer one has queued it. It is never sent."""

    repetition_is_harmless: ClassVar = False

    name: str

    @property
    def kind(self) -> str:
        """Return the name that the row has."""
        return self.name


Known: TypeAlias = Read | Write | Execute | Observe | CancelObserve | Discover
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
