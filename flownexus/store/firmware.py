"""Firmware packages: announced, filled chunk by chunk, completed, shown, retired; and read for devices."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError, ValidationFailedError
from flownexus.firmware.mcuboot import HEADER_BYTES, image_header
from flownexus.firmware.package import CHUNK_BYTES, NewPackage, chunk_bytes, chunk_count
from flownexus.store import as_json, queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, transaction

MAX_MISSING_TOLD: Final = 100
"""How many chunks that are missing an answer names."""


class Package(NamedTuple):
    """A package as its user sees it; sizes in bytes."""

    id: int
    version: str
    file_name: str
    label: str | None
    model: str | None
    version_path: str
    success: str
    uri: str | None
    size: int
    sha256: bytes
    mcuboot: dict[str, Any] | None
    uploaded_by: str | None
    created_at: datetime
    completed_at: datetime | None
    retired_at: datetime | None
    retired_by: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        shown = as_json(self)
        return {**shown, "sha256": self.sha256.hex(), "chunk_size": CHUNK_BYTES}

    def is_announced_by(self, new: NewPackage) -> bool:
        """Say whether it is what this announces."""
        return (self.size, self.sha256) == (new.size, new.sha256)


def announce(pool: ConnectionPool, new: NewPackage, by: str) -> tuple[Package, bool]:
    """Make a package that is to be filled, and say whether it is new: the same one again gives what is there.

    Raises ConflictError where the version and file name are those of another content.
    """

    def work(current: Transaction) -> tuple[Package, bool]:
        connection = current.connection
        added = send_for(
            Package,
            connection,
            queries.add_package,
            version=new.version,
            file_name=new.file_name,
            label=new.label,
            model=new.model,
            version_path=new.version_path,
            success=str(new.success),
            uri=new.uri,
            size=new.size,
            sha256=new.sha256,
            uploaded_by=by,
        ).fetchone()
        if added is not None:
            note(connection, by, "firmware-added", firmware=added.id, version=added.version)
            return added, True
        there = send_for(
            Package, connection, queries.package_of_name, version=new.version, file_name=new.file_name
        ).fetchone()
        if there is None or not there.is_announced_by(new):
            raise ConflictError(
                f"there is a package with version {new.version!r} and file name {new.file_name!r}, and its "
                "content is another; give this one another version or file name"
            )
        return there, False

    return transaction(pool, work)


def add_chunk(pool: ConnectionPool, id_: int, number: int, content: bytes) -> None:
    """Keep a chunk of a package; the same again changes nothing.

    Raises NotFoundError, ValidationFailedError where it is not as long as this chunk is, and ConflictError
    where the package is complete.
    """

    def work(current: Transaction) -> None:
        package = _find(current.connection, id_)
        if package.completed_at is not None:
            raise ConflictError(f"package {id_} is complete")
        if not 0 <= number < chunk_count(package.size):
            raise ValidationFailedError(f"package {id_} has the chunks 0 to {chunk_count(package.size) - 1}")
        wanted = chunk_bytes(package.size, number)
        if len(content) != wanted:
            raise ValidationFailedError(f"chunk {number} has {wanted} bytes, and {len(content)} came")
        queries.add_chunk(current.connection, id=id_, number=number, content=content)

    transaction(pool, work)


def missing_chunks(pool: ConnectionPool, id_: int) -> list[int]:
    """Return the numbers of the chunks that have not come; raise NotFoundError."""

    def work(current: Transaction) -> list[int]:
        package = _find(current.connection, id_)
        rows = queries.missing_chunks(current.connection, id=id_, count=chunk_count(package.size))
        return [number for (number,) in rows]

    return transaction(pool, work)


def complete(pool: ConnectionPool, id_: int) -> Package:
    """Check what has come and let the package be used.

    Raises NotFoundError, ConflictError where chunks are missing, and ValidationFailedError where the SHA-256
    is another than announced.
    """
    package = show_package(pool, id_)
    if package.completed_at is not None:
        return package
    if missing := missing_chunks(pool, id_):
        named = ", ".join(map(str, missing[:MAX_MISSING_TOLD]))
        raise ConflictError(f"package {id_} lacks {len(missing)} chunks: {named}")
    digest, start = hashlib.sha256(), b""
    for part in parts(pool, id_, 0, package.size):
        start = start or part[:HEADER_BYTES]
        digest.update(part)
    if digest.digest() != package.sha256:
        raise ValidationFailedError(
            f"the SHA-256 of what came is {digest.hexdigest()}, not {package.sha256.hex()}: announce the "
            "package with another file name, and upload it again"
        )
    header = image_header(start)

    def work(current: Transaction) -> Package:
        shown = None if header is None else Jsonb(header.as_json())
        queries.complete_package(current.connection, id=id_, mcuboot=shown)
        return _find(current.connection, id_)

    return transaction(pool, work)


def parts(pool: ConnectionPool, id_: int, start: int, end: int, most: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the bytes from `start` to before `end` in pieces of at most `most`, each a statement of its own.

    Whoever reads slowly holds no connection meanwhile. Raises NotFoundError where a chunk is gone.
    """
    at = start
    while at < end:
        part = read_part(pool, id_, at, min(end - at, most))
        yield part
        at += len(part)


def read_part(pool: ConnectionPool, id_: int, start: int, length: int) -> bytes:
    """Return up to `length` bytes from `start`, as far as their chunk goes; raise NotFoundError."""
    number, offset = divmod(start, CHUNK_BYTES)

    def work(current: Transaction) -> bytes:
        found = queries.chunk_part(
            current.connection, id=id_, number=number, start=offset, length=min(length, CHUNK_BYTES - offset)
        )
        if not found:
            raise NotFoundError(f"package {id_} has no byte {start}")
        return bytes(found)

    return transaction(pool, work)


def show_package(pool: ConnectionPool, id_: int) -> Package:
    """Return a package; raise NotFoundError."""
    return transaction(pool, lambda current: _find(current.connection, id_))


def list_packages(pool: ConnectionPool, cursor: int | None, limit: int) -> list[Package]:
    """Return up to `limit` packages, the newest first, with ids below `cursor`."""
    return transaction(
        pool,
        lambda current: send_for(
            Package, current.connection, queries.packages, cursor=cursor, limit=limit
        ).fetchall(),
    )


def retire(pool: ConnectionPool, id_: int, by: str) -> Package:
    """Let nobody be served a package any more; raise NotFoundError."""

    def work(current: Transaction) -> Package:
        retired = queries.retire_package(current.connection, id=id_, retired_by=by)
        package = _find(current.connection, id_)
        if retired:
            note(current.connection, by, "firmware-retired", firmware=id_, version=package.version)
        return package

    return transaction(pool, work)


def usable_package(connection: Connection, id_: int) -> Package:
    """Return a package by which devices can be updated; raise NotFoundError or ConflictError."""
    found = _find(connection, id_)
    if found.completed_at is None:
        raise ConflictError(f"package {id_} is still being uploaded")
    if found.retired_at is not None:
        raise ConflictError(f"package {id_} was retired")
    return found


def _find(connection: Connection, id_: int) -> Package:
    found = send_for(Package, connection, queries.package, id=id_).fetchone()
    if found is None or found.size is None:
        raise NotFoundError(f"there is no package {id_}")
    return found


class Served(NamedTuple):
    """What the device of an update is served."""

    update_id: int
    firmware_id: int
    size: int
    sha256: bytes


def served_by_token(pool: ConnectionPool, token: str, endpoint: str | None = None) -> Served | None:
    """Return what a token stands for; None where that is nothing, or nothing any more.

    `endpoint` is the name of the device that asks, where somebody knows it: for another device the token
    stands for nothing.
    """
    return transaction(
        pool,
        lambda current: send_for(
            Served, current.connection, queries.package_of_token, token=token, endpoint=endpoint
        ).fetchone(),
    )


def note_download(pool: ConnectionPool, update_id: int, reached: int, served: int) -> None:
    """Write down up to which byte a device was served, and how many bytes were served since the last time."""
    transaction(
        pool,
        lambda current: queries.note_download(
            current.connection, update_id=update_id, reached=reached, served=served
        ),
    )
