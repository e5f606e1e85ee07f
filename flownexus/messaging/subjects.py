"""The subjects of hints: what a hint is about, and endpoint names as subject tokens."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STREAM: Final = "LWM2M"
SUBJECTS: Final = "lwm2m.>"

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:")
_MAX_READABLE: Final = 400
_LONG: Final = "~"
MAX_SUBJECT_LENGTH: Final = 3500
"""A longer subject could exceed the server's max_control_line (4,096), for which it ends the connection."""


def token(ep: str) -> str:
    """Encode an endpoint name as one subject token.

    Letters, digits, '-', '_' and ':' stay as they are. Other characters become '%' and two hexadecimal
    digits for each byte of their UTF-8. Where that is longer than 400 characters the token is '~' and the
    base64url of the whole name. One name has one token, and the other way round.
    """
    # surrogatepass: what JSON can say (a lone surrogate) must not make this fail.
    raw = ep.encode("utf-8", "surrogatepass")
    readable = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw)
    if 0 < len(readable) <= _MAX_READABLE:
        return readable
    return _LONG + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def endpoint_name(token_: str) -> str:
    """Decode what token() made; raises ValueError for anything else."""
    try:
        if token_.startswith(_LONG):
            text = token_[len(_LONG) :]
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        else:
            raw = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), token_.encode())
        ep = raw.decode("utf-8", "surrogatepass")
    except (ValueError, binascii.Error) as error:
        raise ValueError(f"{token_!r} is not the token of an endpoint name: {error}") from None
    # One name has one token, so whatever slipped through above is found here.
    if token(ep) != token_:
        raise ValueError(f"{token_!r} is not how the endpoint name {ep!r} is written")
    return ep


class HintKind(StrEnum):
    """What a hint is about: the part of the subject between 'lwm2m.' and the endpoint's token."""

    REGISTERED = "registration.registered"
    UPDATED = "registration.updated"
    HEARD = "registration.heard"
    UNREGISTERED = "registration.unregistered"
    QUEUED = "operation.queued"


@dataclass(frozen=True, slots=True)
class Hint:
    """One hint for one endpoint."""

    kind: HintKind
    ep: str

    @property
    def subject(self) -> str:
        """Return the subject it is published to."""
        return f"lwm2m.{self.kind}.{token(self.ep)}"

    @property
    def payload(self) -> bytes:
        """Return the message's body."""
        return json.dumps({"ep": self.ep}).encode()
