"""Pre-shared keys and pairs of keys on the curve P-256, which all of LwM2M's cipher suites take."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from flownexus.errors import ValidationFailedError

PSK_BYTES: Final = 16  # that of AES-128, which CCM_8 and CBC_SHA256 use (RFC 7925, 4.2)


def new_psk() -> bytes:
    """Return a pre-shared key."""
    return secrets.token_bytes(PSK_BYTES)


def new_pair() -> ec.EllipticCurvePrivateKey:
    """Return a new pair of keys."""
    return ec.generate_private_key(ec.SECP256R1())


def read_public(pem: str) -> ec.EllipticCurvePublicKey:
    """Read a public key in PEM; raise ValidationFailedError unless it is one of P-256."""
    try:
        return p256(load_pem_public_key(pem.encode()))
    except (ValueError, UnsupportedAlgorithm):
        raise ValidationFailedError(f"public_key: {_WANTED}") from None


_WANTED: Final = "a public key of the curve P-256 in PEM (-----BEGIN PUBLIC KEY-----)"


def p256(key: object) -> ec.EllipticCurvePublicKey:
    """Return a public key; raise ValueError unless it is of the curve P-256."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise ValueError(_WANTED)
    return key


def public_der(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_pem(key: ec.EllipticCurvePublicKey) -> str:
    """Return a public key in PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a private key in PEM (PKCS#8)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def private_der(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key in DER (PKCS#8)."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a key or certificate, in hex."""
    return hashlib.sha256(der).hexdigest()
