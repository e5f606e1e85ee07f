"""Who may call a function."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from flownexus.errors import UnauthorizedError
from flownexus.web.problem import Response, problem


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
