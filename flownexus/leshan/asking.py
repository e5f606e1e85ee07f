"""Ask Leshan what it tells without asking any device: the one synchronous client of it."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from flownexus.errors import UnavailableError

TIMEOUT_S: Final = 4.0
MAX_ANSWER: Final = 1024 * 1024  # bytes
MAX_LINE: Final = 65536  # bytes


class LeshanQueries:
    """Leshan's REST API, for what no device is asked for."""

    def __init__(self, url: str, token: str) -> None:
        self._url = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and what its JSON says; raise UnavailableError where there is no answer."""
        connection = self._connection()
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
            raise _away(error) from error
        finally:
            connection.close()
        try:
            return response.status, json.loads(raw or b"null")
        except ValueError as error:
            raise UnavailableError(f"Leshan answers {response.status}, and no JSON") from error

    def follow(self, path: str, seconds: float) -> Lines:
        """Return the lines of an answer that goes on, for so many seconds; raise UnavailableError."""
        connection = self._connection()
        try:
            connection.connect()
            connected: socket.socket = connection.sock
            connection.request("GET", self._url.path.rstrip("/") + path, headers=self._headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _away(error) from error
        if response.status != HTTPStatus.OK:
            connection.close()
            raise UnavailableError(f"Leshan answers {response.status} to GET {path}")
        return Lines(connection, connected, response, time.monotonic() + seconds)

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)


class Lines(Iterator[bytes]):
    """Lines as they come, until their time is over, Leshan ends them, or they are closed."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        connected: socket.socket,
        response: http.client.HTTPResponse,
        ends: float,
    ) -> None:
        self._connection = connection
        self._socket = connected
        self._response = response
        self._ends = ends

    def __next__(self) -> bytes:
        """Return the next line, without its end."""
        left = self._ends - time.monotonic()
        try:
            if left <= 0:
                raise StopIteration
            self._socket.settimeout(left)
            line = self._response.readline(MAX_LINE)
        except (OSError, ValueError, http.client.HTTPException):
            raise StopIteration from None
        if not line:
            raise StopIteration
        return line.rstrip(b"\r\n")

    def close(self) -> None:
        """Read no more."""
        self._response.close()
        self._connection.close()


def _away(error: Exception) -> UnavailableError:
    return UnavailableError(f"Leshan is away: {error or type(error).__name__}")
