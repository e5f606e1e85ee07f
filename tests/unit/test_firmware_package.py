"""A package as it is announced, and what its first bytes say."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from downloads.ranges import NotSatisfiableError, Part, asked_part
from flownexus.errors import ValidationFailedError
from flownexus.firmware.mcuboot import image_header
from flownexus.firmware.package import CHUNK_BYTES, Success, chunk_bytes, chunk_count, parse_package, uri_for

ANNOUNCED = {"version": "2.0.1", "file_name": "app.bin", "size": 5, "sha256": "AB" * 32}
ETAG = '"abc"'


def test_a_package_is_announced_with_what_it_must_have() -> None:
    package = parse_package(ANNOUNCED)
    assert (package.version, package.size, package.sha256) == ("2.0.1", 5, bytes.fromhex("ab" * 32))
    assert (package.version_path, package.success, package.label) == ("/3/0/3", Success.VERSION, None)


def test_label_and_reported_version_are_two_things() -> None:
    package = parse_package({**ANNOUNCED, "label": "spring", "version_path": "/5/0/7", "success": "result"})
    assert (package.version, package.label, package.version_path) == ("2.0.1", "spring", "/5/0/7")
    assert package.success is Success.RESULT


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", ""),
        ("version", 2),
        ("version", "a\0"),
        ("file_name", "x" * 256),
        ("size", 0),
        ("size", True),
        ("size", 2**30 + 1),
        ("sha256", "ab"),
        ("sha256", None),
        ("label", ""),
        ("model", 7),
        ("version_path", "/3/0"),
        ("version_path", "firmware"),
        ("version_path", 3),
        ("success", "luck"),
        ("uri", "x" * 177),
        ("uri", "/é"),
        ("uri", 7),
        ("colour", "red"),
    ],
)
def test_what_is_not_valid_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValidationFailedError, match=f"^{field}: "):
        parse_package({**ANNOUNCED, field: value})


def test_a_package_may_have_a_uri_of_its_own_with_the_token_somewhere() -> None:
    """Firmware whose host is built in takes a path."""
    package = parse_package({**ANNOUNCED, "uri": "/binaries/{token}.bin"})
    assert package.uri is not None
    assert uri_for(package.uri, "abc") == "/binaries/abc.bin"


def test_a_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValidationFailedError, match="JSON object"):
        parse_package([ANNOUNCED])


@pytest.mark.parametrize(
    ("size", "lengths"),
    [(1, [1]), (CHUNK_BYTES, [CHUNK_BYTES]), (CHUNK_BYTES + 3, [CHUNK_BYTES, 3])],
)
def test_a_package_is_of_chunks_of_which_the_last_may_be_short(size: int, lengths: list[int]) -> None:
    assert [chunk_bytes(size, number) for number in range(chunk_count(size))] == lengths


def image(magic: int = 0x96F3B83D, flags: int = 0, build: int = 0) -> bytes:
    return struct.pack("<IIHHIIBBHI", magic, 0, 0x200, 0, 1000, flags, 1, 2, 300, build) + b"code"


def test_the_header_of_a_mcuboot_image_is_read() -> None:
    header = image_header(image(flags=0x14, build=7))
    assert header is not None
    assert header.as_json() == {
        "version": "1.2.300+7",
        "header_bytes": 512,
        "image_bytes": 1000,
        "flags": ["encrypted (AES-128)", "not bootable"],
    }
    plain = image_header(image())
    assert plain is not None
    assert plain.version == "1.2.300"


@pytest.mark.parametrize("start", [b"", b"\x3d\xb8\xf3\x96", image(magic=0x96F3B83C), b"x" * 100])
def test_another_package_has_no_such_header(start: bytes) -> None:
    assert image_header(start) is None


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-", Part(0, 100)),
        ("bytes=10-19", Part(10, 20)),
        ("bytes=90-1000", Part(90, 100)),
        ("bytes=99-99", Part(99, 100)),
        ("bytes=-10", Part(90, 100)),
        ("bytes=-1000", Part(0, 100)),
        ("bytes=0-1,5-6", None),
        ("bytes=20-10", None),
        ("bytes=-", None),
        ("bytes=x-", None),
        ("lines=0-1", None),
        ("bytes=0-99999999999999999999999", None),
    ],
)
def test_a_range_is_a_part(header: str | None, part: Part | None) -> None:
    assert asked_part(header, None, ETAG, 100) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(NotSatisfiableError):
        asked_part(header, None, ETAG, 100)


def test_a_range_of_another_version_stands_for_all_of_it() -> None:
    assert asked_part("bytes=10-", ETAG, ETAG, 100) == Part(10, 100)
    assert asked_part("bytes=10-", '"old"', ETAG, 100) is None
