"""Why Leshan refuses a device, and the remedy. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

MAX_TEXT: Final = 500  # characters
MAX_ENDPOINT: Final = 255  # characters
MAX_IDENTITY: Final = 250  # characters; it is part of an index


class Refusal(NamedTuple):
    """How often a device was refused since Leshan's last report; an empty name is unknown."""

    endpoint: str
    address: str
    cause: str
    times: int
    detail: str | None = None

    @property
    def identity(self) -> str:
        """What tells it apart where its endpoint is not known: an unknown identity; else empty."""
        return (self.detail or "")[:MAX_IDENTITY] if self.cause == "unknown-identity" else ""


REMEDIES: Final[Mapping[str, str]] = {
    "plain-coap-not-allowed": "let the device use CoAPS (flownexus credentials add), or name it in "
    "PLAIN_COAP (of Leshan itself: --plain-coap)",
    "credentials-revoked": "if the endpoint may register again, create new credentials for it (flownexus "
    "credentials add)",
    "not-enrolled": "enrol the device (flownexus credentials add), or admit devices without credentials "
    "(flownexus credentials unenrolled admitted)",
    "wrong-credentials": "give the device its own credentials, or its own endpoint name: "
    "the identity or certificate that it used belongs to another name",
    "came-over-dtls-before": "let the device use CoAPS again; if it cannot, register it under another name",
    "too-many-new-endpoints": "the device retries after 60 s; for a new fleet, raise "
    "NEW_ENDPOINTS (of Leshan itself: --new-endpoints and --new-endpoints-per-address)",
    "unsupported-version": "let the device register with lwm2m=1.1 or 1.0: Leshan speaks no other version",
    "malformed-registration": "correct the registration: the detail says what would be valid",
    "wrong-key": "give the device its own key (psk-key.hex); if that is lost, create another one "
    "(flownexus credentials rotate)",
    "unknown-identity": "compare the device's PSK identity with flownexus credentials list --valid: "
    "it is unknown, revoked or expired",
    "handshake-failed": "see the detail; a certificate must be signed by the CA of --ca-cert, valid now, not "
    "revoked, and have the endpoint name as its common name; a raw public key must belong to an endpoint",
}
"""The remedy for each cause."""


def remedy(cause: str) -> str:
    """Return the remedy for a cause; a newer Leshan may report causes that are unknown here."""
    return REMEDIES.get(cause, "see Leshan's log")


def storable(text: str, most: int = MAX_TEXT) -> str:
    """Return a device's text in a form that PostgreSQL can store."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:most]
