"""Errors as application/problem+json (RFC 9457)."""

from __future__ import annotations

import logging
from typing import Any, TypeAlias

from flownexus.errors import FlowNexusError, InsufficientScopeError, UnauthorizedError

log = logging.getLogger(__name__)

Response: TypeAlias = tuple[dict[str, Any], int, dict[str, str]]
"""Body, status, headers: what Flask takes for a response."""


def problem(error: Exception) -> Response:
    """Turn an error into application/problem+json (RFC 9457); one that is not ours is logged and not told."""
    if not isinstance(error, FlowNexusError):
        log.exception("unforeseen error", exc_info=error)
        return problem_of(500, "Internal error", "see the function's log")
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, InsufficientScopeError):
        headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
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
