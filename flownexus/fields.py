"""Read typed structs out of what requests say.

The type of a field says what is valid, and the description of its msgspec.Meta says so in words. A refusal
has these words, and so has the OpenAPI description: neither can say something else than what is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta

from flownexus.errors import ValidationFailedError

T = TypeVar("T", bound=msgspec.Struct)

MAX_NAME_SHOWN = 64  # characters

Time: TypeAlias = Annotated[
    datetime, Meta(tz=True, description="a time with its offset, as RFC 3339 has it: 2026-01-02T03:04:05Z")
]


def read_query(kind: type[T], given: Mapping[str, Sequence[str]]) -> T:
    """Make a struct of the parameters of a query; one whose field is a list may be there several times.

    Raises ValidationFailedError as read() does.
    """
    lists = {field.encode_name for field in msgspec.structs.fields(kind) if _is_list(field.type)}
    if several := [name for name, values in given.items() if len(values) > 1 and name not in lists]:
        raise ValidationFailedError(f"{several[0][:MAX_NAME_SHOWN]}: give it once")
    return read(
        kind,
        {name: list(values) if name in lists else values[0] for name, values in given.items()},
        of_text=True,
    )


def _is_list(type_: Any) -> bool:
    return get_origin(type_) is list or any(map(_is_list, get_args(type_)))


def read(kind: type[T], given: Mapping[str, Any], *, of_text: bool = False) -> T:
    """Make a struct of what is given; `of_text`: values are text that is to be read as what they are.

    A time becomes one in UTC, and its year there is from 1 to 9999, too.
    Raises ValidationFailedError, which names each field that is not valid, and says what would be.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    wrong = [
        f"{name[:MAX_NAME_SHOWN]}: is unknown; there is {', '.join(fields) or 'nothing to give here'}"
        for name in map(str, given)
        if name not in fields
    ]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in given:
            if field.required:
                wrong.append(f"{name}: is missing; it is {words(field.type) or 'required'}")
            continue
        try:
            elements = _read_elements(name, field.type, given[name])
            value = msgspec.convert(elements, field.type, strict=not of_text)
            values[field.name] = value.astimezone(UTC) if isinstance(value, datetime) else value
        except ValidationFailedError as error:
            wrong.append(error.detail)
        except (msgspec.ValidationError, OverflowError) as error:
            wrong.append(f"{name}: {words(field.type) or error}")
    if wrong:
        raise ValidationFailedError("; ".join(wrong))
    return kind(**values)


def element(name: str, place: int) -> str:
    """Name an element of a list, the first with the place 1."""
    return f"{name}, number {place}"


def _read_elements(name: str, type_: Any, given: object) -> object:
    """Read each element of a list of structs; return all else as it is.

    Raises ValidationFailedError, which names the first element that is not valid.
    """
    kind = _element_kind(type_)
    if kind is None or not isinstance(given, list):
        return given
    found = []
    for place, each in enumerate(given, 1):
        try:
            found.append(_read_object(kind, each, "it"))
        except ValidationFailedError as error:
            raise ValidationFailedError(f"{element(name, place)}: {error.detail}") from None
    return found


def _element_kind(type_: Any) -> type[msgspec.Struct] | None:
    """Return of which struct a type is a list; None where it is none."""
    if get_origin(type_) is list:
        [kind] = get_args(type_)
        return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None
    return next(filter(None, map(_element_kind, get_args(type_))), None)


def read_object(kind: type[T], body: object) -> T:
    """Make a struct of the JSON that a request brings; raise ValidationFailedError as read() does."""
    return _read_object(kind, body, "the body")


def _read_object(kind: type[T], given: object, what: str) -> T:
    if not isinstance(given, Mapping):
        names = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
        raise ValidationFailedError(f"{what} is a JSON object with {names}")
    return read(kind, given)


def words(type_: Any) -> str | None:
    """Say what is valid for a type, where its description, or its being one of a few, says so."""
    return next(_words(type_), None)


def _words(type_: Any) -> Iterator[str]:
    """Yield what the type says, then what those say of which it is made."""
    for meta in getattr(type_, "__metadata__", ()):
        if isinstance(meta, Meta) and meta.description:
            yield meta.description
    if isinstance(type_, type) and issubclass(type_, Enum):
        yield f"one of {', '.join(str(each.value) for each in type_)}"
    elif get_origin(type_) is Literal:
        yield f"one of {', '.join(map(str, get_args(type_)))}"
    else:
        for each in get_args(type_):
            yield from _words(each)
