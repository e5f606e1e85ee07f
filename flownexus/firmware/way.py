"""The choice of how a package gets to a device. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Final

from flownexus.operations.firmware_way import FirmwareWay

SCHEMES: Final[Mapping[int, str]] = {0: "coap", 1: "coaps", 2: "http", 3: "https"}
"""/5/0/8 (OMA LwM2M Core 1.1, appendix E.6); CoAP over TCP is not served."""


class Delivery(IntEnum):
    """/5/0/9: the delivery methods that a device supports."""

    PULL = 0
    PUSH = 1
    BOTH = 2


def is_pushed(way: str | None, delivery: int | None) -> bool:
    """Say whether a package is pushed to a device, by its profile, else by /5/0/9."""
    return way == FirmwareWay.PUSH or (way is None and delivery == Delivery.PUSH)


def may_be_pushed(way: str | None, delivery: int | None) -> bool:
    """Say whether a package may be pushed to a device that cannot use any URL."""
    return is_pushed(way, delivery) or (way is None and delivery == Delivery.BOTH)


def link_for(
    way: str | None, protocols: Sequence[int] | None, secure: bool | None, links: Mapping[str, str]
) -> str | None:
    """Return the best URL for a device, or None if it supports none of the schemes of `links`.

    `way` is from the device's profile, `protocols` is /5/0/8, and `secure` says whether the device registered
    over CoAPS; None means unknown. HTTP is preferred, because only HTTP resumes an interrupted download. Next
    is the scheme of the registration, which is known to work; a device without /5/0/8 gets that one, too. The
    profile takes precedence over /5/0/8, which some devices report wrongly.
    """
    own, web = ("coaps", "coap") if secure else ("coap", "coaps"), ("https", "http")
    taken = {SCHEMES.get(each) for each in protocols or ()}
    if way is not None:
        schemes = web if way == FirmwareWay.HTTP else own
        return _first((*(each for each in schemes if each in taken), *schemes), links)
    if protocols is None:
        return _first((*own, "http", "https"), links)
    return _first((scheme for scheme in (*web, *own) if scheme in taken), links)


def named(protocols: Sequence[int] | None) -> str:
    """Return the names of a device's protocols."""
    return ", ".join(SCHEMES.get(each, f"protocol {each}") for each in protocols or ()) or "none"


def _first(schemes: Iterable[str], links: Mapping[str, str]) -> str | None:
    return next((links[scheme] for scheme in schemes if scheme in links), None)
