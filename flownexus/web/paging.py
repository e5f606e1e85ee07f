"""Query parameters of lists that are read page by page, and their cursors."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from flask import request

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import MAX_ID, BadPathError, Path

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
MAX_CURSOR: Final = 4096
"""Characters of a cursor: one holds a key, of which an endpoint's name is the longest part."""
Key: TypeAlias = tuple[Any, ...]
"""What a list is ordered by, of one row: texts, numbers of 64 bits and times."""
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
LwM2mId: TypeAlias = Annotated[int, msgspec.Meta(ge=-1, le=MAX_ID)]
"""One of LwM2M, or -1 for none."""
Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class Cursors:
    """The cursors of one list under the filters that a request asks for.

    A cursor is the key of the last row of a page: the next page begins behind it, whatever rows have come
    meanwhile. It names its list and its filters, and holds for no others.
    """

    def __init__(self, of: str, filters: Mapping[str, object]) -> None:
        self._of = of
        told = msgspec.json.encode({name: str(value) for name, value in sorted(filters.items())})
        self._filters = hashlib.sha256(told).hexdigest()[:16]

    def write(self, key: Key) -> str:
        """Return the cursor of a key."""
        text = msgspec.json.encode([self._of, self._filters, *key])
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    def asked(self, *kinds: Any) -> Key | None:
        """Return the key of the request's cursor, whose parts are of these types; None where it has none.

        Raises ValidationFailedError where it is none, or of another list or of other filters.
        """
        text = request.args.get("cursor")
        if text is None:
            return None
        of, filters, *key = _members(text)
        if of != self._of:
            raise ValidationFailedError(
                f"cursor: it is of the list {of!r}, and this is {self._of!r}{_REMEDY}"
            )
        if filters != self._filters:
            raise ValidationFailedError(
                f"cursor: it is of the same list with other parameters; keep them as they were{_REMEDY}"
            )
        try:
            found: Key = msgspec.convert(key, tuple.__class_getitem__(kinds))
        except msgspec.ValidationError:
            raise _bad_cursor() from None
        if any("\0" in part for part in found if isinstance(part, str)):
            raise _bad_cursor()
        return found


_REMEDY: Final = "; or leave it out to begin anew"


def _bad_cursor() -> ValidationFailedError:
    return ValidationFailedError(f"cursor: none of ours; send `next` of the page before as it is{_REMEDY}")


def _members(text: str) -> list[Any]:
    """Return what a cursor holds: its list, its filters, and its key."""
    try:
        if len(text) > MAX_CURSOR:
            raise _bad_cursor()
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        members = msgspec.json.decode(raw, type=list[Any])
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        raise _bad_cursor() from None
    if len(members) < 2 or not all(isinstance(each, str) for each in members[:2]):
        raise _bad_cursor()
    return members


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


def path(name: str) -> Path | None:
    """Return a parameter that is a LwM2M path; raise ValidationFailedError."""
    text = request.args.get(name)
    try:
        return None if text is None else Path.parse(text)
    except BadPathError as error:
        raise ValidationFailedError(f"{name}: {error}") from None


def one_of(name: str, words: Sequence[str]) -> str | None:
    """Return a parameter that is one of these words; raise ValidationFailedError."""
    text = request.args.get(name)
    if text is not None and text not in words:
        raise ValidationFailedError(f"{name}: one of {', '.join(words)}")
    return text


def time(name: str) -> datetime | None:
    """Return a parameter that is a time; raise ValidationFailedError."""
    text = request.args.get(name)
    if text is None:
        return None
    try:
        # In a query, a plus sign that is not encoded stands for a space.
        return msgspec.convert(text.replace(" ", "+"), Time).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise ValidationFailedError(
            f"{name}: a time with its offset, as RFC 3339 has it: 2026-01-02T03:04:05Z"
        ) from None


def time_range(default: timedelta | None = None) -> tuple[datetime | None, datetime | None]:
    """Return `from` and `to` of the request; raise ValidationFailedError.

    With a default, `to` is now where it is not given, and `from` so long before it.
    """
    start, end = time("from"), time("to")
    if default is not None:
        end = end or datetime.now(UTC)
        try:
            start = start or end - default
        except OverflowError:
            raise ValidationFailedError("to: a time after the year 1") from None
    if start is not None and end is not None and start >= end:
        raise ValidationFailedError("to: a time after `from`")
    return start, end
