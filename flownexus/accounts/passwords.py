"""Passwords after NIST SP 800-63B-4, 3.1.1: which are taken, and what is kept of them."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from flownexus.errors import TooManyError

MIN_PASSWORD: Final = 15
"""Characters of a password, which may be the only factor (NIST SP 800-63B-4, 3.1.1.2)."""
MAX_PASSWORD: Final = 256
"""A longer one is refused; none is cut off."""
MAX_HASHES_AT_ONCE: Final = 2
"""Each takes 64 MiB (RFC 9106, 4, the second recommendation)."""
MAX_HASHES_WAITING: Final = 6
"""How many may wait or be made: who signs in does not take all threads of who is signed in."""
_UNCOMMON: Final = 6
"""Characters that must be left of a password without its common words, and how many different ones."""
_DIFFERENT: Final = 4
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
)
_MIN_RUN: Final = 3
_COMMON: Final = (
    *("password", "passwort", "passphrase", "passw0rd", "p@ssword", "p@ssw0rd", "motdepasse", "contraseña"),
    *(
        "letmein",
        "welcome",
        "willkommen",
        "admin",
        "administrator",
        "root",
        "user",
        "guest",
        "login",
        "secret",
    ),
    *("changeme", "default", "master", "monkey", "dragon", "sunshine", "princess", "football", "baseball"),
    *("iloveyou", "trustno1", "superman", "batman", "shadow", "michael", "jordan", "hunter", "whatever"),
    *("correcthorsebatterystaple", "thequickbrownfoxjumpsoverthelazydog", "loremipsumdolorsitamet"),
    *("tobeornottobe", "thisismypassword", "mypassword", "openfaas", "kubernetes", "postgres", "postgresql"),
    *(
        "flownexus",
        "flow",
        "nexus",
        "lwm2m",
        "leshan",
        "grafana",
        "console",
        "device",
        "sensor",
        "temperature",
    ),
    *("january", "february", "march", "april", "june", "july", "august", "september", "october", "november"),
    *(
        "december",
        "summer",
        "winter",
        "spring",
        "autumn",
        "monday",
        "friday",
        "company",
        "computer",
        "internet",
    ),
)


class Fault(StrEnum):
    """Why a password is not taken."""

    SHORT = "short"
    LONG = "long"
    COMMON = "common"
    """It is made of common words, runs of the keyboard, repetitions or the user's own names."""


def fault_of(password: str, names: Iterable[str] = ()) -> Fault | None:
    """Say why a password is not taken, None where it is; `names` are those of the user and the service."""
    text = _normal(password)
    if len(text) < MIN_PASSWORD:
        return Fault.SHORT
    if len(text) > MAX_PASSWORD:
        return Fault.LONG
    left = _without_common(text, names)
    return Fault.COMMON if len(left) < _UNCOMMON or len(set(left)) < _DIFFERENT else None


def _without_common(text: str, names: Iterable[str]) -> str:
    """Return what of a password a list of common ones would not have."""
    left = "".join(each for each in text.lower() if not each.isspace() and each not in "-_.,!?@#$*+&")
    own = {part for name in names for part in [name.lower(), *_parts(name)] if len(part) >= _MIN_RUN}
    for word in sorted({*_COMMON, *own}, key=len, reverse=True):
        left = left.replace(word, "")
    for row in (*_ROWS, *(row[::-1] for row in _ROWS)):
        for length in range(len(row), _MIN_RUN - 1, -1):
            for start in range(len(row) - length + 1):
                left = left.replace(row[start : start + length], "")
    return left


def _parts(name: str) -> list[str]:
    return "".join(each if each.isalnum() else " " for each in name.lower()).split()


def _normal(password: str) -> str:
    """Return the form in which the same characters are always the same (Unicode, NFKC)."""
    return unicodedata.normalize("NFKC", password)


class PasswordHashes:
    """Argon2id; few at once, so that many who sign in do not take all memory."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._few = threading.BoundedSemaphore(MAX_HASHES_AT_ONCE)
        self._waiting = threading.BoundedSemaphore(MAX_HASHES_WAITING)
        self._nobody_s = ""

    def of(self, password: str) -> str:
        """Return what is kept of a password; raise TooManyError where too many are made at once."""
        with self._turn():
            return self._hasher.hash(_normal(password))

    def fits(self, password: str, kept: str | None) -> bool:
        """Say whether this is the password; without one that is kept it takes as long, and is not.

        Raises TooManyError where too many are made at once.
        """
        of = kept or self._nobody()
        # An attempt of any length takes the same time: no password that is kept is longer.
        text = _normal(password[: 2 * MAX_PASSWORD])
        with self._turn():
            try:
                fits = self._hasher.verify(of, text)
            except (VerificationError, InvalidHashError):
                return False
        return fits and kept is not None and len(_normal(password)) <= MAX_PASSWORD

    def is_weaker(self, kept: str) -> bool:
        """Say whether what is kept was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._waiting.acquire(blocking=False):
            raise TooManyError("too many people sign in at once; try again in a few seconds")
        try:
            with self._few:
                yield
        finally:
            self._waiting.release()

    def _nobody(self) -> str:
        if not self._nobody_s:
            self._nobody_s = self.of("of nobody at all")
        return self._nobody_s
