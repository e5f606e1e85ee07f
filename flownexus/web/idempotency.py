"""The Idempotency-Key header."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from flownexus.errors import BadRequestError

_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(r"[!#-+\--:<-\[\]-~]+")
MAX_IDEMPOTENCY_KEY: Final = 255  # characters
Key: TypeAlias = Annotated[
    str,
    Meta(
        description=f"a string of 1 to {MAX_IDEMPOTENCY_KEY} ASCII characters in double quotes: the same "
        "request again with it is answered the same, and queues nothing",
    ),
]


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
