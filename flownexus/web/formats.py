"""Lists as the request accepts them: a page of JSON, or all rows as CSV or NDJSON, streamed.

A page has `next`, the cursor of the page that follows, and a Link to it (RFC 8288). CSV (RFC 4180) and
NDJSON go on to the list's end, read page by page in transactions of their own, so that a list of any length
takes the memory of one page. With a `limit` they are one page too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec
from flask import Response, request
from werkzeug.datastructures import MIMEAccept

from flownexus.errors import NotAcceptableError
from flownexus.web import paging
from flownexus.web.described import Media
from flownexus.web.openapi import page_of
from flownexus.web.paging import Key

T = TypeVar("T")

ROWS_PER_READ: Final = 1000
"""How many rows of a streamed list are read, and held, at once."""


class ListCursors(Protocol):
    """Writes the cursor of a key."""

    def write(self, key: Key) -> str | int:
        """Return the cursor of a key."""


class Format(StrEnum):
    """The media types of a list."""

    JSON = "application/json"
    CSV = "text/csv"
    NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A list: its name, how it is read by key, and what is shown of a row."""

    name: str
    cursors: ListCursors
    after: Key | None
    """The key behind which the request's page begins."""
    read: Callable[[Key | None, int], Sequence[T]]
    """Returns up to so many rows behind a key."""
    key: Callable[[T], Key]
    as_json: Callable[[T], dict[str, Any]]
    columns: Sequence[str]
    """Of CSV: the keys of as_json, in their order."""

    def answer(self) -> Response:
        """Answer the request; raise NotAcceptableError, and what reading raises."""
        wanted = accepted()
        if wanted is Format.JSON or "limit" in request.args:
            return self._page(wanted, paging.limit())
        # What cannot be read is told before the answer begins.
        first = self.read(self.after, ROWS_PER_READ)
        return respond(self._stream(wanted, first), wanted)

    def _page(self, wanted: Format, limit: int) -> Response:
        found = self.read(self.after, limit + 1)
        rows = found[:limit]
        following = self.cursors.write(self.key(rows[-1])) if len(found) > limit else None
        if wanted is Format.JSON:
            shown = {self.name: [self.as_json(row) for row in rows], "next": following}
            response = respond(msgspec.json.encode(shown), wanted)
        else:
            response = respond(self._text(wanted, rows, head=True), wanted)
        if following is not None:
            query = {**request.args.to_dict(), "limit": str(limit), "cursor": following}
            response.headers["Link"] = f'<?{urlencode(query)}>; rel="next"'
        return response

    def _stream(self, wanted: Format, first: Sequence[T]) -> Iterator[bytes]:
        rows = first
        yield self._text(wanted, rows, head=True)
        while len(rows) == ROWS_PER_READ:
            rows = self.read(self.key(rows[-1]), ROWS_PER_READ)
            yield self._text(wanted, rows, head=False)

    def _text(self, wanted: Format, rows: Sequence[T], *, head: bool) -> bytes:
        shown = [self.as_json(row) for row in rows]
        return as_lines(wanted, self.columns, shown, head=head)


class _Ids:
    """The cursors of a list by one number: the number itself."""

    def write(self, key: Key) -> int:
        number: int = key[0]
        return number


def list_by_id(
    name: str,
    kind: type[msgspec.Struct],
    after: int | None,
    read: Callable[[int | None, int], Sequence[T]],
    as_json: Callable[[T], dict[str, Any]],
    key: Callable[[T], int] = attrgetter("id"),
) -> Response:
    """Answer the request with a list of `kind` that a number orders, those behind `after`.

    `read` returns up to so many behind such a number. Raises NotAcceptableError, and what reading raises.
    """

    def read_behind(behind: Key | None, limit: int) -> Sequence[T]:
        return read(None if behind is None else behind[0], limit)

    return Listing(
        name,
        _Ids(),
        None if after is None else (after,),
        read_behind,
        lambda row: (key(row),),
        as_json,
        columns_of(kind),
    ).answer()


def columns_of(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the columns of a list as CSV: the names of the fields that its rows have as JSON."""
    return tuple(field.encode_name for field in msgspec.structs.fields(kind))


def listed(name: str, item: type[msgspec.Struct], cursor: type = str) -> Media:
    """Return what a list answers with, for its description."""
    return either(page_of(name, item, cursor))


def either(kind: Any) -> Media:
    """Return what has this type as JSON, and comes as lines too, for its description."""
    return Media({Format.JSON: kind, Format.CSV: bytes, Format.NDJSON: bytes})


def accepted() -> Format:
    """Return the format that the request's Accept prefers; raise NotAcceptableError where it is none."""
    asked = request.accept_mimetypes
    if not asked:
        return Format.JSON
    # A parameter such as charset=utf-8 makes no other format of it.
    types = MIMEAccept([(media.partition(";")[0].strip(), quality) for media, quality in asked])
    best = types.best_match([str(each) for each in Format])
    if best is None:
        raise NotAcceptableError(f"Accept: there is {', '.join(Format)}")
    return Format(best)


def as_lines(wanted: Format, columns: Sequence[str], rows: Sequence[dict[str, Any]], *, head: bool) -> bytes:
    """Write rows as NDJSON, or as CSV (RFC 4180): null as nothing, a boolean or a list as in JSON."""
    if wanted is Format.NDJSON:
        return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    text = io.StringIO()
    writer = csv.writer(text)
    if head:
        writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, bool | list | dict):
        return msgspec.json.encode(value).decode()
    return value


def respond(content: bytes | Iterator[bytes], wanted: Format) -> Response:
    """Return a response of this format."""
    charset = "; charset=utf-8" if wanted is Format.CSV else ""
    response = Response(content, content_type=f"{wanted}{charset}")
    response.headers["Vary"] = "Accept"
    return response
