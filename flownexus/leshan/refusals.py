"""Why Leshan does not let a device in, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

MAX_TEXT: Final = 500  # characters
MAX_ENDPOINT: Final = 255  # characters
MAX_IDENTITY: Final = 250  # characters; it is part of an index


class Refusal(NamedTuple):
    """How often a device was not let in since Leshan last told of it; an empty name is not known."""

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
    "credentials-revoked": "make new credentials for the endpoint (flownexus credentials add), if it may "
    "come again",
    "not-enrolled": "enrol the device (flownexus credentials add), or let those in that have no credentials "
    "(flownexus credentials unenrolled admitted)",
    "wrong-credentials": "give the device its own credentials, or its own endpoint name: "
    "the identity or certificate that it used is not that of this name",
    "came-over-dtls-before": "let the device use CoAPS again; if it never will, and is the same one, "
    "register it under another name",
    "too-many-new-endpoints": "the device tries again after 60 s; for a fleet that is new, raise "
    "NEW_ENDPOINTS (of Leshan itself: --new-endpoints and --new-endpoints-per-address)",
    "unsupported-version": "let the device register with lwm2m=1.1 or 1.0: Leshan speaks no other version",
    "malformed-registration": "mend the registration: the detail says what would be right",
    "wrong-key": "give the device the key that was made for it (psk-key.hex); if that is lost, make another "
    "(flownexus credentials rotate)",
    "unknown-identity": "compare the device's PSK identity to those of flownexus credentials list --valid: "
    "it is none of them, was revoked, or is over",
    "handshake-failed": "see the detail; a certificate must be of the CA of --ca-cert, be valid now, not "
    "revoked, and have the endpoint name as its common name; a raw public key must be an endpoint's",
}
"""What to do, by cause."""


def remedy(cause: str) -> str:
    """Return what to do about a cause; a newer Leshan may know causes that this does not."""
    return REMEDIES.get(cause, "see Leshan's log")


def storable(text: str, most: int = MAX_TEXT) -> str:
    """Return what a device said as PostgreSQL can hold it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:most]
