"""What a route takes and answers, declared where its scope is, and read by the code that describes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec

from flownexus import fields
from flownexus.errors import FlowNexusError

JSON: Final = "application/json"


@dataclass(frozen=True)
class Media:
    """A body that may come as each of several media types, or that is no JSON."""

    kinds: Mapping[str, Any]
    """What each of them is, by media type; of what is no JSON this says nothing: bytes."""


@dataclass(frozen=True)
class OneOf:
    """JSON that is of one of several types, which nothing in it tells apart."""

    kinds: tuple[Any, ...]


@dataclass(frozen=True)
class Body:
    """The body that a request brings."""

    kind: Any
    """What its JSON is, or its Media, for the description."""
    read: Callable[[Any], Any] | None = None
    """Checks the JSON, and makes of it what the route is given; raises ValidationFailedError.

    Without it the route reads the body itself.
    """
    required: bool = True

    @classmethod
    def of(cls, kind: type[msgspec.Struct]) -> Body:
        """Return that of a struct, which describes and checks it."""
        return cls(kind, partial(fields.read_object, kind))


@dataclass(frozen=True)
class Described:
    """What a route takes and answers, besides the URL."""

    query: type[msgspec.Struct] | None = None
    """Its query parameters, a field each."""
    body: Body | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    """The type of each request header that it looks at, by name."""
    answers: Mapping[int, Any] = field(default_factory=dict)
    """The type of its JSON, or its Media, by status."""
    refusals: Collection[type[FlowNexusError]] = ()
    """What it raises besides what its scope, parameters and body make natural."""
