"""HTTP requests to the REST API."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

OPERATIONS = "/operations"
"""Path of the function that queues operations, below FLOWNEXUS_URL."""
API = "/api/v1"
"""Path of the function that reads everything back."""
TIMEOUT_S = 20.0
PAGE_SIZE = 500
"""The largest page that the API allows."""


class ClientError(Exception):
    """A request failed or was refused; the text says what to do.

    `problem` is the problem type of the refusal (RFC 9457), about:blank if it has no specific one.
    """

    def __init__(self, text: str, problem: str = "about:blank") -> None:
        super().__init__(text)
        self.problem = problem


class Client:
    """A client of the REST API below the gateway's URL, with a bearer token."""

    def __init__(self, url: str, token: str, token_file: str, tls: ssl.SSLContext | None = None) -> None:
        # In the previous version the URL included the function `operations`.
        self._url = url.rstrip("/").removesuffix(OPERATIONS)
        self._token = token
        self._token_file = token_file
        self._tls = tls

    @classmethod
    def from_environment(cls) -> Client:
        """Read FLOWNEXUS_URL, the token from FLOWNEXUS_API_TOKEN_FILE, and FLOWNEXUS_CA_FILE if it is set.

        Raises ClientError.
        """
        url, file = os.environ.get("FLOWNEXUS_URL"), os.environ.get("FLOWNEXUS_API_TOKEN_FILE")
        if not url or not file:
            raise ClientError(
                "FLOWNEXUS_URL and FLOWNEXUS_API_TOKEN_FILE must be set; `. .flownexus/env` sets both"
            )
        try:
            lines = Path(file).read_text(encoding="utf-8").split()
        except OSError as error:
            raise ClientError(f"cannot read the token from {file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ClientError(f"{file} is not UTF-8; it must contain a token") from None
        if not lines:
            raise ClientError(f"{file} is empty; it must contain a token")
        return cls(url, lines[0], file, _trust())

    def request(self, method: str, path: str, body: Any = None, *, content: bytes | None = None) -> Any:
        """Return the answer's JSON; raise ClientError. `content` is sent unchanged, `body` as JSON."""
        data = content if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json" if content is None else "application/octet-stream",
        }
        try:
            request = urllib.request.Request(self._url + path, data, headers, method=method)  # noqa: S310  # the user's own URL
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self._tls) as response:  # noqa: S310
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                refusal = _refusal(error.code, error.read())
            if error.code == HTTPStatus.UNAUTHORIZED:
                refusal = ClientError(f"{refusal}; the token is from {self._token_file}", refusal.problem)
            raise refusal from None
        except (OSError, ValueError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ClientError(f"no answer from {self._url}: {reason}; is Flow Nexus running?") from None
        if answer is None:
            raise ClientError(f"no answer from {self._url}: it sent null; is it Flow Nexus?")
        return answer

    def pages(self, path: str, name: str, query: Mapping[str, str]) -> list[Any]:
        """Return the items under `name` of all pages of a list; raise ClientError."""
        found: list[Any] = []
        asked = {**query, "limit": str(PAGE_SIZE)}
        while True:
            answer = self.request("GET", f"{path}?{urlencode(asked)}")
            found += answer[name]
            if answer["next"] is None:
                return found
            asked["cursor"] = answer["next"]


def segment(name: str) -> str:
    """Return a name as one segment of a URL's path; raise ClientError if it is empty."""
    if not name:
        raise ClientError("a name is empty; is a variable of the shell not set?")
    return quote(name, safe="")


def without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the entries that are None."""
    return {name: value for name, value in body.items() if value is not None}


def _trust() -> ssl.SSLContext | None:
    """Return a context that also trusts the CA of FLOWNEXUS_CA_FILE; None if that is unset."""
    file = os.environ.get("FLOWNEXUS_CA_FILE")
    if not file:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(file)
    except OSError as error:  # includes ssl.SSLError: not a certificate
        raise ClientError(f"FLOWNEXUS_CA_FILE: {file} must be a CA's certificate in PEM: {error}") from None
    return context


def _refusal(status: int, body: bytes) -> ClientError:
    """Return the error of a problem response (RFC 9457)."""
    try:
        problem = json.loads(body)
        return ClientError(str(problem.get("detail") or problem["title"]), str(problem.get("type")))
    except (ValueError, KeyError, AttributeError):
        return ClientError(f"refused with HTTP status {status}")
