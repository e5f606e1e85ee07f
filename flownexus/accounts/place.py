"""Where people reach the console, which passkeys are bound to."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from flownexus.errors import MissingSettingError


class Place(NamedTuple):
    """Where passkeys hold: they are of a host, and are used on the pages of one origin."""

    host: str
    origin: str


def place_of(url: str) -> Place:
    """Return where passkeys hold of a console at this URL; raise MissingSettingError where none can."""
    such_as = "it must be like https://console.example or http://localhost:8080"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise MissingSettingError(f"{url!r}: {error}; {such_as}") from None
    if parts.scheme not in ("http", "https") or not host or not host.isascii():
        raise MissingSettingError(f"{url!r} has no scheme and host in ASCII; {such_as}")
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise MissingSettingError(f"{url!r} has more than scheme, host and port; {such_as}")
    if _is_address(host):
        raise MissingSettingError(f"{url!r} has an IP address, to which no passkey can be bound; {such_as}")
    if parts.scheme == "http" and host != "localhost" and not host.endswith(".localhost"):
        raise MissingSettingError(f"{url!r}: browsers use passkeys over TLS and on localhost only; {such_as}")
    is_default = port in (None, {"http": 80, "https": 443}[parts.scheme])
    return Place(host, f"{parts.scheme}://{host}" + ("" if is_default else f":{port}"))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
