"""The second factor: a code by the clock (TOTP, RFC 6238), and recovery codes for who has lost it."""

from __future__ import annotations

import hmac
import secrets
from typing import Final

import pyotp

from flownexus.accounts.tokens import digest

STEP_S: Final = 30
_TOLERANCE: Final = 1
"""Steps by which a clock may be wrong (RFC 6238, 5.2)."""
RECOVERY_CODES: Final = 10
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS: Final = 4
_GROUP: Final = 4
ISSUER: Final = "Flow Nexus"


def new_secret() -> str:
    """Return 160 random bits in base32, as authenticator applications take them."""
    return pyotp.random_base32()


def uri(secret: str, name: str) -> str:
    """Return the otpauth: URI that a QR code shows to an authenticator application."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def step_of_code(secret: str, code: str, now_s: float, last_step: int | None) -> int | None:
    """Return the step of time that a code is of; None where it is wrong, or that step's was used before."""
    digits = "".join(code.split())
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return None
    totp, current = pyotp.TOTP(secret), int(now_s) // STEP_S
    steps = range(current - _TOLERANCE, current + _TOLERANCE + 1)
    # Each is compared, whichever fits: the time that it takes tells nothing.
    fitting = [step for step in steps if hmac.compare_digest(totp.generate_otp(step), digits)]
    return next((step for step in fitting if last_step is None or step > last_step), None)


def new_recovery_codes() -> list[str]:
    """Return codes of 79 bits each; every one of them works once."""
    return [
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
        for _ in range(RECOVERY_CODES)
    ]


def recovery_digest(code: str) -> bytes:
    """Return what is kept of a recovery code, however it was typed."""
    return digest("".join(each for each in code.lower() if each in _ALPHABET))
