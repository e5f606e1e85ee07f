"""What all kinds of operations have, and those of one path or of several."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import msgspec

from flownexus.lwm2m.path import BadPathError, Path
from flownexus.operations.known_resource import Access, KnownResources, require_allowed
from flownexus.operations.write_format import WriteFormat

MAX_PATHS: Final = 100  # of a composite operation
LEVELS: Final = ("", "object", "object instance", "resource", "resource instance")
"""What a path names, by the number of its ids."""
FORMATS_OF_COMPOSITES: Final = (WriteFormat.SENML_CBOR, WriteFormat.SENML_JSON)
"""In which resources of several objects can go (OMA LwM2M Core 1.1, 7.4)."""


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
        if usual is not None and key_of(path) != key_of(usual):
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
        return FORMATS_OF_COMPOSITES

    @classmethod
    def faults(cls, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each of its fields that is not valid in a request, and what would be."""
        try:
            several_paths(cls, body.get("paths"), cls.depths)
        except BadPathError as error:
            yield "paths", str(error)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Make one of a request without faults."""
        return cls(paths=several_paths(cls, body["paths"], cls.depths))


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


def several_paths(kind: type[OperationBase], texts: object, depths: range) -> tuple[Path, ...]:
    """Return paths in their order; raise BadPathError where they are none that this kind takes."""
    if not isinstance(texts, Sequence) or isinstance(texts, str) or not 1 <= len(texts) <= MAX_PATHS:
        raise BadPathError(f'are 1 to {MAX_PATHS} LwM2M paths, such as ["/3/0/9", "/3303/0/5700"]')
    paths = sorted((_path_of(kind, text, depths) for text in texts), key=lambda path: path.ids)
    for above, path in itertools.pairwise(paths):
        if path.ids[: above.depth] == above.ids:
            raise BadPathError(f"{above} and {path} overlap: leave one of them out")
    return tuple(paths)


def key_of(path: Path) -> tuple[int, int]:
    """Return the ids by which a resource is known."""
    assert path.resource_id is not None  # noqa: S101  # a value is that of a resource
    return path.object_id, path.resource_id
