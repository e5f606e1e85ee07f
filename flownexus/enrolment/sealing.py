"""Pre-shared keys at rest: encrypted by AES-256-GCM under a secret, for the endpoint that they are of."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flownexus.errors import MissingSettingError

MIN_SECRET_CHARACTERS: Final = 32
_CONTEXT: Final = b"flownexus pre-shared key 1"
_NONCE_BYTES: Final = 12  # NIST SP 800-38D, 8.2


class Sealer:
    """Seals keys by the first of some secrets, and opens them by any (rotation).

    Raises MissingSettingError where one is too short to be random.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if short := [len(each) for each in secrets if len(each) < MIN_SECRET_CHARACTERS]:
            raise MissingSettingError(
                f"secret flownexus-credential-key: {short[0]} characters are too few; it is at least "
                f"{MIN_SECRET_CHARACTERS} random ones"
            )
        self._ciphers = [AESGCM(hashlib.sha256(_CONTEXT + each.encode()).digest()) for each in secrets]

    def seal(self, key: bytes, endpoint: str) -> bytes:
        """Return a key as it is kept; nobody can take it for that of another endpoint."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, key, endpoint.encode())

    def open(self, sealed: bytes, endpoint: str) -> bytes:
        """Return the key; raise MissingSettingError where none of the secrets has sealed it."""
        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, text, endpoint.encode())
            except InvalidTag:
                continue
        raise MissingSettingError(
            f"the key of {endpoint!r} was sealed by another secret than those of flownexus-credential-key; "
            "add the one that it was sealed by as a line"
        )
