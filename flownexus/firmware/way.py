"""Which way a package goes to a device. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Final

from flownexus.operations.firmware_way import FirmwareWay

SCHEMES: Final[Mapping[int, str]] = {0: "coap", 1: "coaps", 2: "http", 3: "https"}
"""/5/0/8 (OMA LwM2M Core 1.1, appendix E.6); CoAP over TCP is not served."""


class Delivery(IntEnum):
    """/5/0/9: how a device takes packages."""

    PULL = 0
    PUSH = 1
    BOTH = 2


def is_pushed(way: str | None, delivery: int | None) -> bool:
    """Say whether a package is written to a device, by its profile's word, else by /5/0/9."""
    return way == FirmwareWay.PUSH or (way is None and delivery == Delivery.PUSH)


def may_be_pushed(way: str | None, delivery: int | None) -> bool:
    """Say whether a package may be written to a device that can use no URL."""
    return is_pushed(way, delivery) or (way is None and delivery == Delivery.BOTH)


def link_for(
    way: str | None, protocols: Sequence[int] | None, secure: bool | None, links: Mapping[str, str]
) -> str | None:
    """Return the best of the URLs by which packages are served, by scheme; None where none fits.

    `way` is what the device's profile says, `protocols` is /5/0/8, `secure` whether it registered by CoAPS;
    None where that is not known. Of several ways HTTP comes first, since only HTTP goes on where it was
    interrupted; then the scheme that the device registered by, which is known to work. That is also what a
    device without /5/0/8 gets. The profile's word counts for more than /5/0/8, which some devices tell wrong.
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
    """Return what a device takes, in words."""
    return ", ".join(SCHEMES.get(each, f"protocol {each}") for each in protocols or ()) or "none"


def _first(schemes: Iterable[str], links: Mapping[str, str]) -> str | None:
    return next((links[scheme] for scheme in schemes if scheme in links), None)
