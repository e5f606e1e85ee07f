"""Ask Leshan what it answers at once, without any device: the one synchronous client of it."""

from __future__ import annotations

import http.client
import json
from typing import Any, Final
from urllib.parse import urlsplit

from flownexus.errors import UnavailableError

TIMEOUT_S: Final = 4.0
MAX_ANSWER: Final = 1024 * 1024  # bytes


class LeshanQueries:
    """Leshan's REST API, for what no device is asked for."""

    def __init__(self, url: str, token: str) -> None:
        self._url = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and what its JSON says; raise UnavailableError where there is no answer."""
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)
        try:
            connection.request(
                method,
                self._url.path.rstrip("/") + path,
                None if body is None else json.dumps(body).encode(),
                self._headers,
            )
            response = connection.getresponse()
            raw = response.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"Leshan is away: {error or type(error).__name__}") from error
        finally:
            connection.close()
        try:
            return response.status, json.loads(raw or b"null")
        except ValueError as error:
            raise UnavailableError(f"Leshan answers {response.status}, and no JSON") from error
