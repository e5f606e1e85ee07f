"""What a webhook says of a registration."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from flownexus.leshan.links import content_formats, iter_object_links, object_versions
from flownexus.leshan.nodes import Rejection
from flownexus.leshan.webhook_body import BadItemError
from flownexus.lwm2m.value import BadValueError, time_from_milliseconds

MAX_REGISTRATION_BYTES = 255
"""The longest text of a registration (id, address, binding, version), in bytes of UTF-8."""
MAX_OBJECTS = 1000
"""How many objects and object instances of one registration are taken."""


class Registration(NamedTuple):
    """Details of a registration; what the sender did not say is None."""

    id: str | None = None
    address: str | None = None
    lifetime: int | None = None
    binding: str | None = None
    version: str | None = None
    objects: tuple[str, ...] | None = None
    heard_since: datetime | None = None
    """Since when the server has heard devices without a gap that CoAP cannot bridge."""
    content_formats: tuple[int, ...] | None = None
    """The content formats that the device says it supports, as numbers of CoAP."""
    awake_s: float | None = None
    """Seconds for which a device of queue mode listens after a contact."""
    awake_told: bool = False
    """The device itself says so; else it is the server's setting."""
    object_versions: Mapping[str, str] | None = None
    """The versions that its objects say they have, by object id."""
    secure: bool | None = None
    """The device talks by CoAPS, and not by CoAP."""


class RawRegistration(msgspec.Struct):
    """Its keys; what they mean together is checked afterwards."""

    id: str | None = None
    address: str | None = None
    lifetime: int | None = None
    binding: str | None = None
    version: str | None = None
    links: Any = None
    heard_since: int | None = None
    awake: float | None = None
    awake_told: bool = False
    secure: bool | None = None


def registration_of(raw: RawRegistration | None) -> tuple[Registration, list[Rejection]]:
    """Read details of a registration; what is wrong with its links is a rejection, and the rest is taken."""
    if raw is None:
        return Registration(), []
    for name in ("id", "address", "binding", "version"):
        text: str = getattr(raw, name) or ""
        if "\0" in text:
            raise BadItemError(f"reg.{name} has a NUL character")
        if (length := len(text.encode())) > MAX_REGISTRATION_BYTES:
            raise BadItemError(f"reg.{name} has {length} bytes; at most {MAX_REGISTRATION_BYTES} are taken")
    if raw.lifetime is not None and not 0 <= raw.lifetime < 2**32:
        raise BadItemError(f"reg.lifetime {raw.lifetime} is not seconds of 32 bits")
    if raw.awake is not None and not 0 < raw.awake < 2**32:
        raise BadItemError(f"reg.awake {raw.awake} is not seconds above 0")
    objects, rejected = _objects(raw.links)
    heard_since = None
    if raw.heard_since is not None:
        try:
            heard_since = time_from_milliseconds(raw.heard_since)
        except BadValueError as error:
            raise BadItemError(f"reg.heard_since: {error}") from None
    registration = Registration(
        raw.id, raw.address, raw.lifetime, raw.binding, raw.version, objects, heard_since
    )
    told = registration._replace(
        content_formats=content_formats(raw.links),
        awake_s=raw.awake,
        awake_told=raw.awake_told,
        object_versions=object_versions(raw.links),
        secure=raw.secure,
    )
    return told, rejected


def _objects(links: Any) -> tuple[tuple[str, ...] | None, list[Rejection]]:
    """Return the objects and instances that links name, None where there are no links; and what is wrong."""
    if links is None:
        return None, []
    if not isinstance(links, list):
        return None, [Rejection("", "reg.links is not an array of links; it is left out", links)]
    objects = tuple(iter_object_links(links))
    if len(objects) <= MAX_OBJECTS:
        return objects, []
    reason = f"reg.links has {len(objects)} objects and instances; the first {MAX_OBJECTS} are taken"
    return objects[:MAX_OBJECTS], [Rejection("", reason, objects[MAX_OBJECTS : MAX_OBJECTS + 1])]
