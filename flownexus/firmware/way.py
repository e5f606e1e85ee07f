"""Which way a package goes to a device. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Final

SCHEMES: Final[Mapping[int, str]] = {0: "coap", 1: "coaps", 2: "http", 3: "https"}
"""/5/0/8 (OMA LwM2M Core 1.1, appendix E.6); CoAP over TCP is not served."""


class Delivery(IntEnum):
    """/5/0/9: how a device takes packages."""

    PULL = 0
    PUSH = 1
    BOTH = 2


def link_for(protocols: Sequence[int] | None, secure: bool | None, links: Mapping[str, str]) -> str | None:
    """Return the best of the URLs by which packages are served, by scheme; None where none fits.

    `protocols` is /5/0/8, `secure` whether the device registered by CoAPS; None where that is not known. Of
    several ways HTTP comes first, since only HTTP goes on where it was interrupted; then the scheme that the
    device registered by, which is known to work. That is also what a device without /5/0/8 gets.
    """
    own = ("coaps", "coap") if secure else ("coap", "coaps")
    if protocols is None:
        return _first((*own, "http", "https"), links)
    taken = {SCHEMES.get(each) for each in protocols}
    return _first((scheme for scheme in ("https", "http", *own) if scheme in taken), links)


def named(protocols: Sequence[int] | None) -> str:
    """Return what a device takes, in words."""
    return ", ".join(SCHEMES.get(each, f"protocol {each}") for each in protocols or ()) or "none"


def _first(schemes: Iterable[str], links: Mapping[str, str]) -> str | None:
    return next((links[scheme] for scheme in schemes if scheme in links), None)
