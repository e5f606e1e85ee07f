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


class Page(msgspec.Struct, frozen=True):
    """Which page of a list is asked for: how many, and from where on, as `next` of the page before has it."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Id | None = None
