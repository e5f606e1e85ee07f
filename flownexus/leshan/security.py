"""What Leshan knows of devices' credentials: its entries, and how a database of them is carried to it.

This is the one synchronous client of Leshan: what it asks is answered at once, without any device.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from flownexus.errors import UnavailableError

PATH: Final = "/api/security/carried"
TIMEOUT_S: Final = 4.0
MAX_ANSWER: Final = 65536  # bytes


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

    def __init__(self, url: str, token: str) -> None:
        self._url = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def carried(self) -> Carried:
        """Ask how far a database has been carried; raise UnavailableError."""
        status, found = self._ask("GET")
        if status != HTTPStatus.OK:
            raise UnavailableError(f"Leshan answers {status} to GET {PATH}: is it the one of this version?")
        return Carried(str(found["source"]), int(found["revision"]))

    def carry(self, expected: Carried, change: Mapping[str, Any]) -> bool:
        """Carry a part; False where Leshan has something else than expected. Raises UnavailableError."""
        status, found = self._ask("PUT", {"expected": expected._asdict(), **change})
        if status not in {HTTPStatus.OK, HTTPStatus.CONFLICT}:
            raise UnavailableError(f"Leshan answers {status} to PUT {PATH}: {found.get('message')}")
        return status == HTTPStatus.OK

    def _ask(self, method: str, body: Any = None) -> tuple[int, Mapping[str, Any]]:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)
        try:
            connection.request(
                method,
                self._url.path.rstrip("/") + PATH,
                None if body is None else json.dumps(body).encode(),
                self._headers,
            )
            response = connection.getresponse()
            content = json.loads(response.read(MAX_ANSWER) or b"{}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise UnavailableError(f"Leshan is away: {error or type(error).__name__}") from error
        finally:
            connection.close()
        return response.status, content if isinstance(content, dict) else {}
