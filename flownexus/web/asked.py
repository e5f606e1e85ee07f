"""What query parameters of several routes say, as the types that read and describe them."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from flownexus.web.paging import DEFAULT_LIMIT, MAX_LIMIT

MAX_ROW_ID: Final = 2**63 - 1
"""The largest id of a row (PostgreSQL's bigint)."""
Limit: TypeAlias = Annotated[
    int, Meta(ge=1, le=MAX_LIMIT, description=f"a whole number from 1 to {MAX_LIMIT}")
]
Id: TypeAlias = Annotated[
    int, Meta(ge=1, le=MAX_ROW_ID, description=f"a whole number from 1 to {MAX_ROW_ID}")
]
EndpointName: TypeAlias = Annotated[
    str, Meta(pattern=r"^[^\x00]*$", description="an endpoint name has no NUL characters")
]


PathText: TypeAlias = Annotated[
    str,
    Meta(
        description="a LwM2M path, such as /3303/0/5700",
        extra_json_schema={
            "pattern": "^/?[0-9]{1,5}(/[0-9]{1,5}){0,3}/?$"
        },  # paging.path() says what is wrong
    ),
]
TimeText: TypeAlias = Annotated[
    str,
    Meta(
        description="a time with its offset, as RFC 3339 has it: 2026-01-02T03:04:05Z",
        extra_json_schema={"format": "date-time"},  # paging.time() reads it
    ),
]
CursorText: TypeAlias = Annotated[str, Meta(description="`next` of the page before, as it is")]
SomeText: TypeAlias = Annotated[
    str, Meta(pattern=r"^[^\x00]+$", description="at least one character, without NUL")
]

Flag: TypeAlias = Annotated[bool, Meta(description="true or false")]


class OfList(msgspec.Struct, frozen=True):
    """Which page of a list by key is asked for; without `limit`, CSV and NDJSON go on to the list's end."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorText | None = None


class Page(msgspec.Struct, frozen=True):
    """Which page of a list is asked for: how many, and from where on, as `next` of the page before has it."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Id | None = None
