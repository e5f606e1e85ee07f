"""What Leshan knows of devices' credentials: its entries, and how a database of them is carried to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from flownexus.errors import UnavailableError
from flownexus.leshan.asking import LeshanQueries

PATH: Final = "/api/security/carried"


class Carried(NamedTuple):
    """How far a database of credentials has been carried; an empty source is none."""

    source: str
    revision: int


class Secret(NamedTuple):
    """A valid credential: a PSK's identity and key, a public key, or a certificate's SHA-256."""

    mode: str
    identity: str | None
    key: bytes | None
    fingerprint: str | None
    expires_at: datetime | None

    def entry(self) -> dict[str, Any]:
        """Return it as Leshan has it."""
        details: dict[str, Any]
        if self.mode == "psk":
            details = {"identity": self.identity, "key": (self.key or b"").hex()}
        elif self.mode == "rpk":
            details = {"key": (self.key or b"").hex()}
        else:
            details = {"sha256": self.fingerprint}
        until = {} if self.expires_at is None else {"until": int(self.expires_at.timestamp())}
        return {"mode": self.mode, "details": details, **until}


def entry(endpoint: str, secrets: Sequence[Secret]) -> dict[str, Any]:
    """Return an endpoint's entry: any of its credentials will do, and without any it is denied."""
    tls = [secret.entry() for secret in secrets] or {"mode": "denied"}
    return {"endpoint": endpoint, "tls": tls}


class SecurityClient:
    """Leshan's /api/security/carried."""

    def __init__(self, leshan: LeshanQueries) -> None:
        self._leshan = leshan

    def carried(self) -> Carried:
        """Ask how far a database has been carried; raise UnavailableError."""
        status, found = self._leshan.ask("GET", PATH)
        if status != HTTPStatus.OK:
            raise UnavailableError(f"Leshan answers {status} to GET {PATH}: is it the one of this version?")
        return Carried(str(found["source"]), int(found["revision"]))

    def carry(self, expected: Carried, change: Mapping[str, Any]) -> bool:
        """Carry a part; False where Leshan has something else than expected. Raises UnavailableError."""
        status, found = self._leshan.ask("PUT", PATH, {"expected": expected._asdict(), **change})
        if status not in {HTTPStatus.OK, HTTPStatus.CONFLICT}:
            message = found.get("message") if isinstance(found, dict) else None
            raise UnavailableError(f"Leshan answers {status} to PUT {PATH}: {message}")
        return status == HTTPStatus.OK
