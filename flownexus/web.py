"""The HTTP edge that functions share: who may call, and errors as responses."""

from __future__ import annotations

import hmac
import logging
from typing import Any, TypeAlias

from flask import Flask
from werkzeug.exceptions import HTTPException

from flownexus.errors import FlowNexusError, UnauthorizedError

log = logging.getLogger(__name__)

Response: TypeAlias = tuple[dict[str, Any], int, dict[str, str]]
"""Body, status, headers: what Flask and Quart both take for a response."""


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


def problem(error: Exception) -> Response:
    """Turn an error into application/problem+json (RFC 9457)."""
    headers = {"Content-Type": "application/problem+json"}
    if isinstance(error, FlowNexusError):
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        if error.status == UnauthorizedError.status:
            headers["WWW-Authenticate"] = "Bearer"
        return _problem_body(error.title, error.status, error.detail), error.status, headers
    if isinstance(error, HTTPException) and error.code is not None:
        headers |= {
            name: value for name, value in error.get_headers() if name.lower() in {"allow", "location"}
        }
        return _problem_body(error.name, error.code, error.description or ""), error.code, headers
    log.exception("unforeseen error", exc_info=error)
    return _problem_body("Internal error", 500, "see the function's log"), 500, headers


def _problem_body(title: str, status: int, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": title, "status": status, "detail": detail}


def flask_app(name: str) -> Flask:
    """Make a function's Flask app, in which every error becomes a problem."""
    app = Flask(name, static_folder=None)
    app.register_error_handler(Exception, problem)
    return app
