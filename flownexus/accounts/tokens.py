"""Random tokens of cookies, links and forms. Each has 256 bits, so that a fast hash of one tells nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

_BYTES: Final = 32


def new_token() -> str:
    """Return 256 random bits, as a cookie or URL may hold them."""
    return secrets.token_urlsafe(_BYTES)


def digest(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def form_token(session: str) -> str:
    """Return a token for a form of the session with this cookie, another one at each call.

    A page that is compressed and repeats what its reader typed would give one away that stays the same
    (BREACH).
    """
    mask = secrets.token_bytes(_BYTES)
    return base64.urlsafe_b64encode(mask + _xor(mask, _of_session(session))).decode()


def is_form_token(presented: str, session: str) -> bool:
    """Say whether a form came from a page of this session."""
    try:
        both = base64.b64decode(presented.encode("ascii", "replace"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(both) == 2 * _BYTES and hmac.compare_digest(
        _xor(both[:_BYTES], both[_BYTES:]), _of_session(session)
    )


def _of_session(session: str) -> bytes:
    # By its hash: HMAC pads a short key, so that "" and "\0" would be one session (RFC 2104, section 2).
    return hmac.digest(digest(session), b"form", "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
