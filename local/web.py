"""Small synchronous HTTP requests to parts of the world."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from collections.abc import Mapping
from typing import Any

from local.servers.ports import LOOPBACK


def request(
    port: int,
    method: str,
    path: str,
    *,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    host: str = LOOPBACK,
) -> tuple[int, str]:
    """Send one request to a port of this machine; `body` goes as JSON. Raises OSError."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    with contextlib.closing(connection):
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, content, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from error


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """Return the header of a bearer token, the first word of a secret file; its holder's name may follow."""
    return {"Authorization": f"Bearer {token.split(maxsplit=1)[0]}"}
