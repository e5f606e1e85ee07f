"""Packages in PostgreSQL, and the server from which devices download them."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from flownexus.errors import ConflictError, NotFoundError
from flownexus.firmware.package import CHUNK_BYTES, NewPackage, chunk_count
from flownexus.store.firmware import (
    add_chunk,
    announce,
    complete,
    missing_chunks,
    read_part,
    retire,
    served_by_token,
)
from flownexus.store.update import cancel_update, start_update
from tests.fixtures.nexus import wait_for
from tests.fixtures.packages import CONTENT, SIZE, Server, token_of, upload
from tests.fixtures.world import World

MEGABYTE = 1024 * 1024


def test_a_package_comes_in_any_order_and_twice_and_goes_on_where_it_was_interrupted(world: World) -> None:
    new = NewPackage("2.0.1", "app.bin", SIZE, hashlib.sha256(CONTENT).digest())
    package, is_new = announce(world.api_pool, new, "ann")
    for number in (2, 0, 2):
        add_chunk(world.api_pool, package.id, number, CONTENT[number * CHUNK_BYTES :][:CHUNK_BYTES])
    again, is_new_again = announce(world.api_pool, new, "bob")
    assert (is_new, is_new_again, again.id) == (True, False, package.id)
    assert missing_chunks(world.api_pool, package.id) == [1]
    with pytest.raises(ConflictError, match="lacks 1 chunks: 1"):
        complete(world.api_pool, package.id)
    add_chunk(world.api_pool, package.id, 1, CONTENT[CHUNK_BYTES:][:CHUNK_BYTES])
    done = complete(world.api_pool, package.id)
    assert done.completed_at is not None
    assert complete(world.api_pool, package.id) == done
    with pytest.raises(ConflictError, match="is complete"):
        add_chunk(world.api_pool, package.id, 0, CONTENT[:CHUNK_BYTES])


def test_a_retired_package_is_not_announced_again(world: World) -> None:
    package = upload(world)
    retire(world.api_pool, package.id, "ann")
    again = NewPackage(package.version, package.file_name, package.size, package.sha256, label="new")
    with pytest.raises(ConflictError, match=r"was retired; give this one another version or file name"):
        announce(world.api_pool, again, "ann")
    other, is_new = announce(world.api_pool, replace(again, file_name="other.bin"), "ann")
    assert (is_new, other.label) == (True, "new")


@pytest.mark.parametrize(
    ("start", "length"), [(0, 10), (CHUNK_BYTES - 3, 10), (CHUNK_BYTES, 256), (SIZE - 1, 64)]
)
def test_a_part_is_read_by_its_offset_as_far_as_its_chunk_goes(world: World, start: int, length: int) -> None:
    package = upload(world)
    part = read_part(world.api_pool, package.id, start, length)
    assert CONTENT[start : start + length].startswith(part)
    assert part


def test_a_token_stands_for_one_open_update_of_a_package_that_is_ready(world: World) -> None:
    package = upload(world)
    first, second = world.endpoint("sim-0001"), world.endpoint("sim-0002")
    update = start_update(world.api_pool, first, package.id, "ann")
    other = start_update(world.api_pool, second, package.id, "ann")
    token = token_of(world, update.id)
    served = served_by_token(world.api_pool, token)
    assert served is not None
    assert (served.update_id, served.firmware_id, served.size) == (update.id, package.id, SIZE)
    assert token != token_of(world, other.id)
    world.execute("UPDATE firmware_update SET state = 'FAILED', finished_at = now() WHERE id = %s", update.id)
    assert served_by_token(world.api_pool, token) is None
    retire(world.api_pool, package.id, "ann")
    assert served_by_token(world.api_pool, token_of(world, other.id)) is None


def test_of_two_updates_of_one_device_that_come_at_once_one_begins(world: World) -> None:
    package, endpoint = upload(world), world.endpoint()

    def start(_: int) -> int | None:
        try:
            return start_update(world.api_pool, endpoint, package.id, "ann").id
        except ConflictError:
            return None

    with ThreadPoolExecutor(4) as pool:
        begun = [id_ for id_ in pool.map(start, range(8)) if id_ is not None]
    assert len(begun) == 1
    with pytest.raises(NotFoundError, match="has been seen"):
        start_update(world.api_pool, "nobody", package.id, "ann")
    assert cancel_update(world.api_pool, begun[0], "ann").cancelled_by == "ann"


# ---------------------------------------------------------------------------------------------------------
# The server


@pytest.fixture
def server(world: World, tmp_path: Path) -> Iterator[Server]:
    running = Server(world, tmp_path)
    yield running
    running.stop()


@pytest.fixture
def path(world: World) -> str:
    """Return the path from which a device downloads CONTENT."""
    update = start_update(world.api_pool, world.endpoint(), upload(world).id, "ann")
    return f"/{token_of(world, update.id)}"


def test_a_device_gets_its_package_whole_or_in_parts(server: Server, path: str) -> None:
    status, body, headers = server.get(path)
    etag = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert (status, hashlib.sha256(body).digest()) == (200, hashlib.sha256(CONTENT).digest())
    assert (headers["etag"], headers["accept-ranges"]) == (etag, "bytes")
    assert headers["content-length"] == str(SIZE)

    status, body, headers = server.get(path, Range=f"bytes={SIZE // 2}-", If_Range=etag)
    assert (status, body == CONTENT[SIZE // 2 :]) == (206, True)
    assert headers["content-range"] == f"bytes {SIZE // 2}-{SIZE - 1}/{SIZE}"
    assert server.get(path, Range="bytes=0-9", If_Range='"old"')[0] == 200
    assert server.get(path, Range=f"bytes={SIZE}-")[0] == 416
    assert server.get(path, If_None_Match=etag)[:2] == (304, b"")
    status, body, headers = server.get(path, "HEAD")
    assert (status, body, headers["content-length"]) == (200, b"", str(SIZE))
    assert server.get(path, "POST")[0] == 405


def test_who_lost_the_connection_goes_on_where_it_was(server: Server, path: str) -> None:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    with contextlib.closing(connection):
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        start = b""
        while len(start) < SIZE // 2:
            start += connection.recv(65536)
    got = start.partition(b"\r\n\r\n")[2]
    rest = server.get(path, Range=f"bytes={len(got)}-")[1]
    assert got + rest == CONTENT


def test_how_far_a_device_is_stands_in_a_row(server: Server, path: str, world: World) -> None:
    server.get(path, Range="bytes=0-99999")

    def row() -> list[dict[str, object]]:
        return world.execute("SELECT reached, served FROM firmware_download")

    wait_for(row, 5)
    assert row() == [{"reached": 100_000, "served": 100_000}]
    server.get(path, Range="bytes=50000-199999")
    wait_for(lambda: row() == [{"reached": 200_000, "served": 250_000}], 5, "the second part's row")


@pytest.mark.parametrize(
    "wrong",
    ["/", "/x", f"/{'A' * 24}", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", f"/{'A' * 24}/..", "/metrics"],
)
def test_elsewhere_there_is_nothing(server: Server, path: str, wrong: str) -> None:
    status, body, headers = server.get(wrong)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert b"no package, or not any more" in body
    assert server.get(f"{path}/")[0] == 404
    assert server.get(f"{path}?a=b")[0] == 200


def test_a_device_that_is_known_to_be_another_one_gets_nothing(server: Server, path: str) -> None:
    """As Leshan tells of devices that are registered."""
    assert server.get(path, "HEAD", X_Endpoint="sim-0001")[0] == 200
    for other in ("sim-0002", "sim%2D0001+", ""):
        assert server.get(path, "HEAD", X_Endpoint=other)[0] == 404


def test_a_package_that_was_retired_is_served_to_nobody(server: Server, path: str, world: World) -> None:
    assert server.get(path, "HEAD")[0] == 200
    retire(world.api_pool, 1, "ann")
    assert server.get(path)[0] == 404


def test_ten_devices_that_download_a_hundred_megabytes_each_cost_no_memory(
    server: Server, world: World
) -> None:
    """Each download is compared by its SHA-256 while it comes; the half of them goes on by Range."""
    chunk = random.Random(1).randbytes(CHUNK_BYTES)
    size = 100 * MEGABYTE
    digest = hashlib.sha256()
    for _ in range(chunk_count(size)):
        digest.update(chunk)
    package, _ = announce(world.api_pool, NewPackage("9", "large.bin", size, digest.digest()), "ann")
    for number in range(chunk_count(size)):
        add_chunk(world.api_pool, package.id, number, chunk)
    complete(world.api_pool, package.id)
    paths = []
    for number in range(10):
        update = start_update(world.api_pool, world.endpoint(f"sim-{number:04}"), package.id, "ann")
        paths.append(f"/{token_of(world, update.id)}")

    def download(number: int) -> bytes:
        found = hashlib.sha256()
        parts = [(0, size // 2), (size // 2, size)] if number % 2 else [(0, size)]
        for start, end in parts:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            with contextlib.closing(connection):
                connection.request("GET", paths[number], headers={"Range": f"bytes={start}-{end - 1}"})
                response = connection.getresponse()
                assert response.status == 206
                while piece := response.read(MEGABYTE):
                    found.update(piece)
        return found.digest()

    server.get(paths[0], Range="bytes=0-9")
    before = server.memory()
    began = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(download, range(10))) == {digest.digest()}
    grown = server.memory() - before
    print(f"1,000 MB in {time.monotonic() - began:.1f} s, {grown / MEGABYTE:.1f} MB more memory")
    assert grown < 30 * MEGABYTE
