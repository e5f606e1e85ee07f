"""A provider of OpenID Connect, asked over HTTP: its metadata, its keys, an ID token for a code."""

from __future__ import annotations

import http.client
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from flownexus.accounts.openid import (
    Attempt,
    Client,
    Identity,
    OpenIdRefusedError,
    Provider,
    as_json,
    authorization_url,
    identity_of,
    key_id_of,
    read_provider,
    token_request,
)
from flownexus.accounts.tokens import new_token
from flownexus.errors import FlowNexusError

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 256 * 1024
KEPT_S: Final = 3600.0
"""Seconds for which metadata and keys are kept."""
ASK_AGAIN_S: Final = 60.0
"""Seconds after which keys are asked for anew when one is missing: the provider may have changed it."""


class ProviderAwayError(FlowNexusError):
    """The provider does not answer as it should. Try again, or sign in with a password."""

    status = 503
    title = "The sign-in provider is away"
    retry_after = 5


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Nobody is sent on: the secret and the code are for this address alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


class OpenId:
    """How people sign in by a provider; it is asked when somebody does, and not before."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._provider: tuple[float, Provider] | None = None
        self._keys: tuple[float, dict[str, Any]] | None = None

    def begin(self) -> tuple[Attempt, str]:
        """Return a new sign-in, and where the browser is sent for it; raise ProviderAwayError."""
        attempt = Attempt(new_token(), new_token(), new_token())
        return attempt, authorization_url(self.client, self.provider(), attempt)

    def identity(self, code: str, attempt: Attempt) -> Identity:
        """Return whom a code is of that a browser came back with.

        Raises OpenIdRefusedError where the answer is not right, and ProviderAwayError.
        """
        provider = self.provider()
        headers, body = token_request(self.client, provider, code, attempt)
        answer = _ask(provider.token_endpoint, headers, body.encode())
        token = answer.get("id_token") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            raise OpenIdRefusedError("the provider's answer has no ID token")
        return identity_of(self.client, self._keys_with(key_id_of(token)), token, attempt, time.time())

    def end_url(self, back: str) -> str | None:
        """Return where a browser is sent to sign out at the provider; None where there is no such place."""
        place = self.provider().end_session_endpoint
        if place is None:
            return None
        query = urlencode({"client_id": self.client.id, "post_logout_redirect_uri": back})
        return f"{place}{'&' if '?' in place else '?'}{query}"

    def provider(self) -> Provider:
        """Return what the provider says of itself, kept for a time."""
        with self._lock:
            if self._provider is None or self._clock() - self._provider[0] > KEPT_S:
                url = f"{self.client.issuer.rstrip('/')}/.well-known/openid-configuration"
                try:
                    self._provider = (self._clock(), read_provider(self.client.issuer, _ask(url)))
                except OpenIdRefusedError as error:
                    log.warning("the provider of OpenID Connect cannot be used", extra={"reason": str(error)})
                    raise ProviderAwayError from None
            return self._provider[1]

    def _keys_with(self, key_id: str | None) -> dict[str, Any]:
        """Return the provider's keys, asked for anew where this one is missing: once a minute at most."""
        uri = self.provider().jwks_uri
        with self._lock:
            age = None if self._keys is None else self._clock() - self._keys[0]
            there = [] if self._keys is None else [each.get("kid") for each in self._keys[1]["keys"]]
            missing = key_id is not None and key_id not in there
            if age is None or age > KEPT_S or (missing and age > ASK_AGAIN_S):
                answer = _ask(uri)
                if not isinstance(answer, dict) or not isinstance(answer.get("keys"), list):
                    raise OpenIdRefusedError("the provider's keys are no key set (RFC 7517)")
                keys = [each for each in answer["keys"] if isinstance(each, dict)]
                self._keys = (self._clock(), {"keys": keys})
            assert self._keys is not None  # noqa: S101  # for the type checker
            return self._keys[1]


def _ask(url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Any:
    """Return the JSON of an answer; raise ProviderAwayError, or OpenIdRefusedError where it refuses."""
    request = urllib.request.Request(url, body, dict(headers or {"Accept": "application/json"}))  # noqa: S310  # checked_url
    try:
        with _opener.open(request, timeout=TIMEOUT_S) as response:
            content = response.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            if error.code < 500:
                raise OpenIdRefusedError(f"{url} answers {error.code}") from None
        raise ProviderAwayError from None
    except (OSError, http.client.HTTPException) as error:
        log.warning("the provider of OpenID Connect is away", extra={"url": url, "reason": str(error)})
        raise ProviderAwayError from None
    if len(content) > MAX_BYTES:
        raise OpenIdRefusedError(f"{url} answers more than {MAX_BYTES} bytes")
    return as_json(content)
