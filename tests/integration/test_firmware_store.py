"""Packages in an object store: a real one, which checks signatures; and what happens where it is away."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flownexus.errors import ConflictError, NotFoundError, UnavailableError
from flownexus.firmware.package import CHUNK_BYTES, NewPackage, chunk_count
from flownexus.housekeeping.rounds import Housekeeper
from flownexus.housekeeping.settings import HousekeepingSettings
from flownexus.store.firmware import (
    add_chunk,
    announce,
    complete,
    missing_chunks,
    read_part,
    remove_retired,
    retire,
)
from flownexus.store.pool import Pool, open_pool
from flownexus.store.update import start_update
from tests.fixtures.hints import Hints
from tests.fixtures.packages import CONTENT, REPOSITORY, SIZE, Server, token_of, upload
from tests.fixtures.replay import deliver_nothing
from tests.fixtures.s3proxy import Store
from tests.fixtures.world import World

NEW = NewPackage("2.0.1", "app.bin", SIZE, hashlib.sha256(CONTENT).digest())
MEGABYTE = 1024 * 1024


def chunk_of(number: int) -> bytes:
    return CONTENT[number * CHUNK_BYTES :][:CHUNK_BYTES]


@pytest.fixture
def housekeeping(world: World) -> Iterator[Pool]:
    with open_pool(world.database.housekeeping, 1, "housekeeping") as pool:
        yield pool


def keeper_of(pool: Pool, hints: Any, store: Store) -> Housekeeper:
    return Housekeeper(pool, hints, HousekeepingSettings(), deliver_nothing, bucket=store.bucket())


def test_the_row_of_a_chunk_names_the_object_that_has_it(world: World, store: Store) -> None:
    package = upload(world, bucket=store.bucket())
    rows = world.execute("SELECT content, object FROM firmware_chunk ORDER BY number")
    assert [row["content"] for row in rows] == [None] * 3
    assert [row["object"] for row in rows] == store.names()
    digest = hashlib.sha256(chunk_of(2)).hexdigest()
    assert rows[2]["object"] == f"firmware/{package.id}/2-{digest}"
    for start, length in ((0, 10), (CHUNK_BYTES - 3, 10), (CHUNK_BYTES, 256), (SIZE - 1, 64)):
        part = read_part(world.api_pool, package.id, start, length, store.bucket())
        assert CONTENT[start : start + length].startswith(part)
        assert part
    with pytest.raises(NotFoundError, match=f"has no byte {SIZE}"):
        read_part(world.api_pool, package.id, SIZE, 1, store.bucket())


def test_a_package_stays_where_it_is_when_the_setting_changes(world: World, store: Store) -> None:
    old = upload(world, b"in PostgreSQL", "old.bin")
    new = upload(world, b"in the store", "new.bin", store.bucket())
    assert read_part(world.api_pool, old.id, 0, 99, store.bucket()) == b"in PostgreSQL"
    assert read_part(world.api_pool, new.id, 0, 99, store.bucket()) == b"in the store"
    assert read_part(world.api_pool, old.id, 0, 99) == b"in PostgreSQL"
    with pytest.raises(UnavailableError, match="is in an object store: set FIRMWARE_STORE_URL"):
        read_part(world.api_pool, new.id, 0, 99)


def test_a_store_is_spoken_to_by_https_where_its_certificate_is_trusted(
    world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnavailableError, match=r"its certificate is not trusted: .*see SSL_CERT_FILE"):
        upload(world, bucket=store.bucket(url=store.https_url))
    assert store.names() == []
    monkeypatch.setenv("SSL_CERT_FILE", str(store.ca))
    bucket = store.bucket(url=store.https_url)
    package = upload(world, bucket=bucket)
    assert read_part(world.api_pool, package.id, CHUNK_BYTES, 256, bucket) == chunk_of(1)[:256]
    other = store.https_url.replace("127.0.0.1", "localhost")  # for which it has no certificate
    with pytest.raises(UnavailableError, match="its certificate is not trusted"):
        read_part(world.api_pool, package.id, 0, 10, store.bucket(url=other))


def test_an_upload_that_began_in_postgresql_ends_in_the_store(world: World, store: Store) -> None:
    package, _ = announce(world.api_pool, NEW, "ann")
    add_chunk(world.api_pool, package.id, 1, chunk_of(1))
    assert upload(world, bucket=store.bucket()).completed_at is not None
    assert [name.partition("-")[0] for name in store.names()] == [
        f"firmware/{package.id}/0",
        f"firmware/{package.id}/2",
    ]


def test_of_an_upload_that_the_store_did_not_take_nothing_is_left(world: World, store: Store) -> None:
    bucket = store.bucket()
    package, _ = announce(world.api_pool, NEW, "ann")
    add_chunk(world.api_pool, package.id, 0, chunk_of(0), bucket)
    store.stop()
    with pytest.raises(UnavailableError, match=r"object store at .* is away"):
        add_chunk(world.api_pool, package.id, 1, chunk_of(1), bucket)
    assert missing_chunks(world.api_pool, package.id) == [1, 2]
    store.start()
    assert len(store.names()) == 1
    assert upload(world, bucket=bucket).completed_at is not None
    assert len(store.names()) == 3


def test_what_an_upload_left_without_a_row_goes_with_its_package(
    world: World, store: Store, housekeeping: Pool
) -> None:
    """The chunk is in the store, and its row cannot be written: the package is retired in between."""
    bucket = store.bucket()
    package, _ = announce(world.api_pool, NEW, "ann")
    other = upload(world, b"of another package", "other.bin", bucket)
    write = bucket.write

    def written_late(name: str, content: bytes) -> None:
        write(name, content)
        retire(world.api_pool, package.id, "ann")

    bucket.write = written_late  # type: ignore[method-assign]
    with pytest.raises(ConflictError, match="was retired"):
        add_chunk(world.api_pool, package.id, 0, chunk_of(0), bucket)
    assert world.execute("SELECT number FROM firmware_chunk WHERE firmware_id = %s", package.id) == []
    assert len(store.names()) == 2
    assert remove_retired(housekeeping, bucket, after_s=3600) == 0
    assert remove_retired(housekeeping, bucket, after_s=0) == 1
    assert remove_retired(housekeeping, bucket, after_s=0) == 0
    [left] = store.names()
    assert left.startswith(f"firmware/{other.id}/")


def test_housekeeping_removes_objects_of_packages_that_were_retired_an_hour_ago(
    world: World, store: Store, housekeeping: Pool, hints: Hints
) -> None:
    package = upload(world, bucket=store.bucket())
    kept = upload(world, b"in PostgreSQL", "old.bin")
    for each in (package, kept):
        retire(world.api_pool, each.id, "ann")
    keeper = keeper_of(housekeeping, hints, store)
    assert keeper.do_round()["packages_emptied"] == 0
    world.execute("UPDATE firmware SET retired_at = retired_at - interval '61 minutes'")
    assert "packages_emptied" not in keeper.do_round()  # not in each round
    keeper = keeper_of(housekeeping, hints, store)
    assert keeper.do_round()["packages_emptied"] == 2
    assert store.names() == []
    assert [row["firmware_id"] for row in world.execute("SELECT firmware_id FROM firmware_chunk")] == [
        kept.id
    ]


def test_housekeeping_goes_on_where_the_store_is_away(
    world: World, store: Store, housekeeping: Pool, hints: Hints
) -> None:
    package = upload(world, b"x", bucket=store.bucket())
    retire(world.api_pool, package.id, "ann")
    world.execute("UPDATE firmware SET retired_at = retired_at - interval '61 minutes'")
    store.stop()
    keeper = keeper_of(housekeeping, hints, store)
    assert keeper.do_round()["packages_emptied"] is None
    assert len(world.execute("SELECT number FROM firmware_chunk")) == 1


def test_wrong_keys_and_a_bucket_that_is_not_there_are_told_with_the_setting_to_see(
    world: World, store: Store
) -> None:
    package, _ = announce(world.api_pool, NEW, "ann")
    for bucket, told in (
        (store.bucket(secret_key="another"), "SignatureDoesNotMatch: see the secrets flownexus-firmware-sto"),
        (store.bucket(name="nothing"), "NoSuchBucket: see the setting firmware_store_bucket"),
    ):
        with pytest.raises(UnavailableError, match=told):
            add_chunk(world.api_pool, package.id, 0, chunk_of(0), bucket)
    assert missing_chunks(world.api_pool, package.id) == [0, 1, 2]
    done = upload(world, bucket=store.bucket())
    with pytest.raises(UnavailableError, match="SignatureDoesNotMatch"):
        read_part(world.api_pool, done.id, 0, 9, store.bucket(secret_key="another"))


def test_a_store_that_answers_nothing_holds_nobody_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    monkeypatch.setattr("flownexus.objects.bucket.TIMEOUT_S", 0.3)
    bucket = store.bucket()
    package = upload(world, b"x", bucket=bucket)
    store.pause()
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="is away: timed out"):
        read_part(world.api_pool, package.id, 0, 1, store.bucket())
    assert time.monotonic() - began < 5
    store.stop()


def test_what_is_gone_from_the_store_is_told_and_another_content_fits_no_package(
    world: World, store: Store
) -> None:
    package, _ = announce(world.api_pool, NEW, "ann")
    for number in (0, 1):
        add_chunk(world.api_pool, package.id, number, chunk_of(number), store.bucket())
    add_chunk(world.api_pool, package.id, 2, bytes(len(chunk_of(2))), store.bucket())
    with pytest.raises(Exception, match="the SHA-256 of what came is"):
        complete(world.api_pool, package.id, store.bucket())
    for name in store.names():
        (store.folder / name).unlink()
    with pytest.raises(NotFoundError, match="the object store has no firmware/"):
        read_part(world.api_pool, package.id, 0, 9, store.bucket())


# ---------------------------------------------------------------------------------------------------------
# The server from which devices download


@pytest.fixture
def server(world: World, tmp_path: Path, store: Store) -> Iterator[Server]:
    running = Server(world, tmp_path, store)
    yield running
    running.stop()


def test_a_device_gets_a_package_of_the_store_and_goes_on_by_range_after_the_store_was_away(
    server: Server, world: World, store: Store
) -> None:
    package = upload(world, bucket=store.bucket())
    path = f"/{token_of(world, start_update(world.api_pool, world.endpoint(), package.id, 'ann').id)}"
    assert server.get(path)[:2] == (200, CONTENT)
    status, start, _ = server.get(path, Range="bytes=0-99999")
    assert status == 206
    store.stop()
    status, body, headers = server.get(path, Range="bytes=100000-")
    assert (status, headers["content-type"]) == (503, "application/problem+json")
    assert b"the object store at" in body
    assert b"is away" in body
    assert int(headers["retry-after"]) > 0
    store.start()
    assert start + server.get(path, Range="bytes=100000-")[1] == CONTENT


def test_the_server_serves_what_is_in_postgresql_while_the_store_is_away(
    server: Server, world: World, store: Store
) -> None:
    package = upload(world)
    path = f"/{token_of(world, start_update(world.api_pool, world.endpoint(), package.id, 'ann').id)}"
    store.stop()
    assert server.get(path)[:2] == (200, CONTENT)


def test_a_store_without_its_keys_keeps_the_server_from_starting(world: World, tmp_path: Path) -> None:
    (tmp_path / "flownexus-download-database-url").write_text(world.database.download)
    (tmp_path / "flownexus-firmware-store-access-key").write_text("off")
    ended = subprocess.run(
        [sys.executable, "-m", "downloads"],
        cwd=REPOSITORY,
        env={
            "secret_mount_path": str(tmp_path),
            "firmware_store_url": "https://s3.example.com",
            "firmware_store_bucket": "x",
        },
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 1
    assert (
        "secret flownexus-firmware-store-access-key: firmware_store_url needs it; it is off" in ended.stderr
    )


def test_a_hundred_megabytes_cost_no_memory_on_their_way_in_and_out(
    server: Server, world: World, store: Store
) -> None:
    chunk = random.Random(1).randbytes(CHUNK_BYTES)
    size, bucket, digest = 100 * MEGABYTE, store.bucket(), hashlib.sha256()
    for _ in range(chunk_count(size)):
        digest.update(chunk)
    package, _ = announce(world.api_pool, NewPackage("9", "large.bin", size, digest.digest()), "ann")
    before = peak_bytes()
    began = time.monotonic()
    for number in range(chunk_count(size)):
        add_chunk(world.api_pool, package.id, number, chunk, bucket)
    complete(world.api_pool, package.id, bucket)
    uploaded = time.monotonic()
    grown = peak_bytes() - before
    path = f"/{token_of(world, start_update(world.api_pool, world.endpoint(), package.id, 'ann').id)}"
    server.get(path, Range="bytes=0-99999")
    served_before, found = server.memory(), hashlib.sha256()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        while piece := response.read(MEGABYTE):
            found.update(piece)
    assert found.digest() == digest.digest()
    served = server.memory() - served_before
    print(
        f"100 MB up in {uploaded - began:.1f} s with {grown / MEGABYTE:.1f} MB more memory, down in "
        f"{time.monotonic() - uploaded:.1f} s with {served / MEGABYTE:.1f} MB"
    )
    assert grown < 30 * MEGABYTE
    assert served < 30 * MEGABYTE


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
