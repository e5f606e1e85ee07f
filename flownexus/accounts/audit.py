"""The audit log: each entry names the hash of the one before, so that none can be changed unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple


class Entry(NamedTuple):
    """An entry as it is kept: its number, its JSON as text, and the SHA-256 of that."""

    id: int
    text: str
    hash: bytes


class Chain(NamedTuple):
    """How far a chain is whole: number and hash of its last good entry, and the first that does not fit."""

    length: int = 0
    head: bytes = b""
    broken_at: int | None = None


def follow(entries: Iterable[Entry], chain: Chain = Chain()) -> Chain:  # noqa: B008  # it is immutable
    """Follow a chain over more entries, in their order; it stops at the first one that does not fit."""
    for entry in entries:
        if chain.broken_at is not None:
            break
        fits = (
            entry.id == chain.length + 1
            and hashlib.sha256(entry.text.encode()).digest() == entry.hash
            and _says(entry) == (entry.id, chain.head.hex())
        )
        chain = Chain(entry.id, entry.hash) if fits else chain._replace(broken_at=entry.id)
    return chain


def _says(entry: Entry) -> tuple[object, object]:
    told = json.loads(entry.text)
    return told.get("id"), told.get("previous")
