"""The HTTP edge that functions share: who may call, and errors as responses."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from flownexus.errors import BadRequestError, FlowNexusError, UnauthorizedError

log = logging.getLogger(__name__)

Response: TypeAlias = tuple[dict[str, Any], int, dict[str, str]]
"""Body, status, headers: what Flask takes for a response."""


def authenticate(presented: str | None, accepted: tuple[str, ...]) -> None:
    """Let a token pass that is one of the accepted; raise UnauthorizedError otherwise, in constant time."""
    given = (presented or "").encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(given, token.encode()) for token in accepted]
    if not presented or not any(matches):
        raise UnauthorizedError


def bearer(authorization: str | None) -> str | None:
    """Return the token of an Authorization header of the Bearer scheme (RFC 6750, 2.1)."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


HOOK = "/hook/"
"""Where the next part of the path is a token, for senders that cannot set headers."""


class Guard:
    """Says on the head of a request who may call a function; its server asks before it reads the body."""

    def __init__(self, accepted: tuple[str, ...], hook: tuple[str, ...] = ()) -> None:
        """Let in who has one of the bearer tokens, and below /hook/ who has one of `hook` in the path."""
        self._accepted = accepted
        self._hook = hook

    def admit(self, path: str, authorization: str | None) -> None:
        """Let a request in; raise UnauthorizedError."""
        if self._hook and path.startswith(HOOK):
            authenticate(path.removeprefix(HOOK).partition("/")[0], self._hook)
        else:
            authenticate(bearer(authorization), self._accepted)

    def __call__(self, path: str, headers: Mapping[str, str]) -> Response | None:
        """Return how to refuse a request, None if it is let in; as the template's server asks."""
        try:
            self.admit(path, headers.get("authorization"))
        except UnauthorizedError as error:
            return problem(error)
        return None


_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(r"[!#-+\--:<-\[\]-~]+")
MAX_IDEMPOTENCY_KEY = 255  # characters


def idempotency_key(header: str | None) -> str | None:
    """Return the key of an Idempotency-Key header, None where there is none.

    It is a string of RFC 8941, 3.3.3 (draft-ietf-httpapi-idempotency-key-header, 2.1), "8e03978e"; one
    without its quotes is taken too. Raises BadRequestError for anything else, and for one that is too long.
    """
    if header is None:
        return None
    text = header.strip()
    if quoted := _STRING.fullmatch(text):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    else:
        key = text if _BARE.fullmatch(text) else ""
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY:
        raise BadRequestError(
            f"Idempotency-Key: a string of 1 to {MAX_IDEMPOTENCY_KEY} ASCII characters in double quotes, "
            'such as "8e03978e-40d5-43e8-bc93-6894a57f9324"'
        )
    return key


def problem(error: Exception) -> Response:
    """Turn an error into application/problem+json (RFC 9457); one that is not ours is logged and not told."""
    if not isinstance(error, FlowNexusError):
        log.exception("unforeseen error", exc_info=error)
        return problem_of(500, "Internal error", "see the function's log")
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == UnauthorizedError.status:
        headers["WWW-Authenticate"] = "Bearer"
    return problem_of(error.status, error.title, error.detail, headers, error.type)


def problem_of(
    status: int,
    title: str,
    detail: str,
    headers: dict[str, str] | None = None,
    kind: str = "about:blank",
) -> Response:
    """Return the problem that these words make; `kind` is its type, a URI."""
    body = {"type": kind, "title": title, "status": status, "detail": detail}
    return body, status, {"Content-Type": "application/problem+json", **(headers or {})}
