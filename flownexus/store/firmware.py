"""Firmware packages: announced, filled chunk by chunk, completed, shown, retired; and read for devices."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError, UnavailableError, ValidationFailedError
from flownexus.firmware.mcuboot import HEADER_BYTES, image_header
from flownexus.firmware.package import CHUNK_BYTES, NewPackage, chunk_bytes, chunk_count
from flownexus.lwm2m.path import Path
from flownexus.objects.bucket import Bucket
from flownexus.operations.catalogue.one_path import Read
from flownexus.store import as_json, queries, send_for
from flownexus.store.audit import note
from flownexus.store.model import known_resources
from flownexus.store.transaction import Transaction, transaction

MAX_MISSING_TOLD: Final = 100
"""How many chunks that are missing an answer names."""
CHUNKS_AHEAD: Final = 4
"""How many chunks are read at once where all of a package are: an object store takes its time for each."""
MAX_PACKAGES_EMPTIED: Final = 10
"""Of how many packages objects are removed at once, at most."""


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


def _check_version_path(connection: Connection, path: str) -> None:
    read = Read(path=Path.parse(path))
    try:
        read.checked(known_resources(connection, None, read.resources))
    except ValidationFailedError as error:
        raise ValidationFailedError(f"version_path: {error.detail.removeprefix('path: ')}") from None


def announce(pool: ConnectionPool, new: NewPackage, by: str) -> tuple[Package, bool]:
    """Make a package that is to be filled, and say whether it is new: the same one again gives what is there.

    Raises ConflictError where the version and file name are those of another content, or of a package that
    was retired, ValidationFailedError where no device can be asked for the version.
    """

    def work(current: Transaction) -> tuple[Package, bool]:
        connection = current.connection
        _check_version_path(connection, new.version_path)
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
        if there.retired_at is not None:
            raise ConflictError(
                f"package {there.id} with version {new.version!r} and file name {new.file_name!r} was "
                "retired; give this one another version or file name"
            )
        return there, False

    return transaction(pool, work)


def add_chunk(
    pool: ConnectionPool, id_: int, number: int, content: bytes, bucket: Bucket | None = None
) -> None:
    """Keep a chunk of a package, in `bucket` if there is one; the same again changes nothing.

    Raises NotFoundError, ValidationFailedError where it is not as long as this chunk is, ConflictError where
    the package is complete or retired, and UnavailableError where the bucket is away.
    """

    def is_wanted(current: Transaction) -> bool:
        package = _find(current.connection, id_)
        if package.completed_at is not None:
            raise ConflictError(f"package {id_} is complete")
        if package.retired_at is not None:
            raise ConflictError(f"package {id_} was retired")
        if not 0 <= number < chunk_count(package.size):
            raise ValidationFailedError(f"package {id_} has the chunks 0 to {chunk_count(package.size) - 1}")
        wanted = chunk_bytes(package.size, number)
        if len(content) != wanted:
            raise ValidationFailedError(f"chunk {number} has {wanted} bytes, and {len(content)} came")
        return not queries.has_chunk(current.connection, id=id_, number=number)

    object_ = None
    if bucket is not None:  # before its row, and without a connection to PostgreSQL
        if not transaction(pool, is_wanted):
            return
        object_ = f"{_objects_of(id_)}{number}-{hashlib.sha256(content).hexdigest()}"
        bucket.write(object_, content)

    def keep(current: Transaction) -> None:
        if is_wanted(current):
            kept = content if object_ is None else None
            queries.add_chunk(current.connection, id=id_, number=number, content=kept, object=object_)

    transaction(pool, keep)


def _objects_of(id_: int) -> str:
    """Return how the names of a package's objects begin.

    The number of a chunk and the SHA-256 of its content follow: whoever sends a chunk once more writes the
    same object, and nobody another content over it.
    """
    return f"firmware/{id_}/"


def missing_chunks(pool: ConnectionPool, id_: int) -> list[int]:
    """Return the numbers of the chunks that have not come; raise NotFoundError."""

    def work(current: Transaction) -> list[int]:
        package = _find(current.connection, id_)
        rows = queries.missing_chunks(current.connection, id=id_, count=chunk_count(package.size))
        return [number for (number,) in rows]

    return transaction(pool, work)


def complete(pool: ConnectionPool, id_: int, bucket: Bucket | None = None) -> Package:
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
    for part in _chunks(pool, package, bucket):
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


def _chunks(pool: ConnectionPool, package: Package, bucket: Bucket | None) -> Iterator[bytes]:
    """Yield the chunks of a package in their order, of which CHUNKS_AHEAD are in memory."""
    with ThreadPoolExecutor(CHUNKS_AHEAD, thread_name_prefix="chunks") as threads:

        def begin(number: int) -> Future[bytes]:
            return threads.submit(read_part, pool, package.id, number * CHUNK_BYTES, CHUNK_BYTES, bucket)

        numbers = iter(range(chunk_count(package.size)))
        begun = deque(map(begin, islice(numbers, CHUNKS_AHEAD)))
        while begun:
            yield begun.popleft().result()
            begun.extend(map(begin, islice(numbers, 1)))


def read_part(pool: ConnectionPool, id_: int, start: int, length: int, bucket: Bucket | None = None) -> bytes:
    """Return up to `length` bytes from `start`, as far as their chunk goes, from where its row says.

    Raises NotFoundError, and UnavailableError where that is an object store that is away or not set.
    """
    number, offset = divmod(start, CHUNK_BYTES)
    most = min(length, CHUNK_BYTES - offset)
    row = transaction(
        pool,
        lambda current: queries.chunk_part(
            current.connection, id=id_, number=number, start=offset, length=most
        ),
    )
    if row is None:
        raise NotFoundError(f"package {id_} has no byte {start}")
    part, object_, size = row
    if object_ is not None:
        if bucket is None:
            raise UnavailableError(f"package {id_} is in an object store: set FIRMWARE_STORE_URL to it")
        part = bucket.read(object_, offset, min(most, size - start)) if start < size else b""
    if not part:
        raise NotFoundError(f"package {id_} has no byte {start}")
    return bytes(part)


def remove_retired(pool: ConnectionPool, bucket: Bucket, after_s: float) -> int | None:
    """Remove the objects of packages that were retired `after_s` seconds ago; return of how many packages.

    What an upload left without a row goes, too: it is found by its name. None: more of it waits, for one
    time removes MAX_LISTED objects at most of a package. Raises UnavailableError.
    """
    retired = transaction(
        pool,
        lambda current: [
            id_
            for (id_,) in queries.packages_to_empty(
                current.connection, after=after_s, limit=MAX_PACKAGES_EMPTIED
            )
        ],
    )
    for id_ in retired:
        if not bucket.remove(_objects_of(id_)):
            return None
        transaction(pool, partial(_note_removed, id_))
    return None if len(retired) == MAX_PACKAGES_EMPTIED else len(retired)


def _note_removed(id_: int, current: Transaction) -> None:
    queries.forget_objects(current.connection, id=id_)
    queries.note_objects_removed(current.connection, id=id_)


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
