"""Query parameters of lists that are read page by page."""

from __future__ import annotations

from typing import Final

from flask import request

from flownexus.errors import ValidationFailedError

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500


def limit() -> int:
    """Return how many the request's page may hold; raise ValidationFailedError."""
    return number("limit", MAX_LIMIT) or DEFAULT_LIMIT


def number(name: str, maximum: int) -> int | None:
    """Return a parameter that is a whole number from 1 to `maximum`; raise ValidationFailedError."""
    text = request.args.get(name)
    if text is None:
        return None
    if not (
        text.isascii() and text.isdigit() and len(text) <= len(str(maximum)) and 1 <= int(text) <= maximum
    ):
        raise ValidationFailedError(f"{name}: a whole number from 1 to {maximum}")
    return int(text)


def endpoint_name(name: str) -> str | None:
    """Return a parameter that is an endpoint's name; raise ValidationFailedError."""
    text = request.args.get(name)
    if text is not None and "\0" in text:
        raise ValidationFailedError(f"{name}: an endpoint name has no NUL characters")
    return text
