"""The announcement of a firmware package, which is checked before the upload."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import BadPathError, Path

CHUNK_BYTES: Final = 512 * 1024
"""The size of the chunks in which a package is uploaded, stored and read; the last may be shorter."""
MAX_PACKAGE_BYTES: Final = 1024 * 1024 * 1024
"""The limit of CoAP's 20-bit block numbers with blocks of 1,024 bytes (RFC 7959, 2.2)."""
MAX_TEXT: Final = 255  # characters
MAX_URI: Final = 200
"""The most characters of a URI with its token, as some devices have small buffers."""
TOKEN: Final = "{token}"  # noqa: S105  # the placeholder
TOKEN_LENGTH: Final = 24
VERSION_PATH: Final = "/3/0/3"
"""Firmware Version (OMA LwM2M Core 1.1, appendix E.4)."""
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_RESOURCE_DEPTH: Final = 3
_FIELDS: Final = (
    "version",
    "file_name",
    "size",
    "sha256",
    "label",
    "model",
    "version_path",
    "success",
    "uri",
)


class Success(StrEnum):
    """What makes an update CONFIRMED."""

    VERSION = "version"
    """The device reports the package's version."""
    RESULT = "result"
    """/5/0/5 is 1; for devices that report no version."""


@dataclass(frozen=True)
class NewPackage:
    """A package to be uploaded."""

    version: str
    """The exact text that a device reports once it runs the package."""
    file_name: str
    size: int  # bytes
    sha256: bytes
    label: str | None = None
    model: str | None = None
    version_path: str = VERSION_PATH
    success: Success = Success.VERSION
    uri: str | None = None
    """The URI for /5/0/1 instead of ours; TOKEN in it is replaced by the update's token."""


def chunk_count(size: int) -> int:
    """Return the number of chunks of a package of this size."""
    return -(-size // CHUNK_BYTES)


def chunk_bytes(size: int, number: int) -> int:
    """Return the length of a chunk of a package of this size."""
    return min(CHUNK_BYTES, size - number * CHUNK_BYTES)


def parse_package(body: object) -> NewPackage:
    """Check the JSON announcement of a package; raise ValidationFailedError naming each invalid field."""
    if not isinstance(body, Mapping):
        raise ValidationFailedError("a package is a JSON object with version, file_name, size and sha256")
    wrong = {
        str(name)[:64]: f"is unknown; the fields are {', '.join(_FIELDS)}"
        for name in body
        if name not in _FIELDS
    }
    wrong |= {
        name: f"is a text of 1 to {MAX_TEXT} characters"
        for name in ("version", "file_name")
        if not _is_text(body.get(name))
    }
    wrong |= {
        name: f"is a text of 1 to {MAX_TEXT} characters, or left out"
        for name in ("label", "model")
        if body.get(name) is not None and not _is_text(body[name])
    }
    size, sha256 = body.get("size"), body.get("sha256")
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_PACKAGE_BYTES:
        wrong["size"] = f"is its size in bytes, 1 to {MAX_PACKAGE_BYTES}"
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        wrong["sha256"] = "is the SHA-256 of its content, in 64 hexadecimal digits"
    path = _version_path(body.get("version_path", VERSION_PATH))
    if path is None:
        wrong["version_path"] = f"is the path of the resource with the version, such as {VERSION_PATH}"
    success = body.get("success", Success.VERSION)
    if success not in list(Success):
        wrong["success"] = f"is one of {', '.join(Success)}"
    uri = body.get("uri")
    if uri is not None and not (
        _is_text(uri) and uri.isascii() and len(uri_for(uri, "")) + TOKEN_LENGTH <= MAX_URI
    ):
        wrong["uri"] = (
            f"is a URI of at most {MAX_URI} ASCII characters, such as /binaries/{TOKEN}, or left out"
        )
    if wrong:
        raise ValidationFailedError("; ".join(f"{name}: {what}" for name, what in wrong.items()))
    return NewPackage(
        body["version"],
        body["file_name"],
        body["size"],
        bytes.fromhex(body["sha256"]),
        body.get("label"),
        body.get("model"),
        str(path),
        Success(success),
        uri,
    )


def uri_for(uri: str, token: str) -> str:
    """Return the URI of one update."""
    return uri.replace(TOKEN, token)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_TEXT and value.isprintable()


def _version_path(text: object) -> Path | None:
    try:
        path = Path.parse(text) if isinstance(text, str) else None
    except BadPathError:
        return None
    return path if path is not None and path.depth == _RESOURCE_DEPTH else None
