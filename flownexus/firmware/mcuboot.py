"""The header of a MCUboot image (MCUboot's design document, "Image format")."""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

MAGIC: Final = 0x96F3B83D
HEADER_BYTES: Final = 32
_HEADER: Final = struct.Struct("<IIHHIIBBHI")
_FLAGS: Final = {
    0x0001: "position independent",
    0x0004: "encrypted (AES-128)",
    0x0008: "encrypted (AES-256)",
    0x0010: "not bootable",
    0x0020: "loaded into RAM",
    0x0100: "fixed address in ROM",
}


class ImageHeader(NamedTuple):
    """The fields of the header: version as imgtool writes it, sizes in bytes, flags in words."""

    version: str
    header_bytes: int
    image_bytes: int
    flags: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it."""
        return {**self._asdict(), "flags": list(self.flags)}


def image_header(start: bytes) -> ImageHeader | None:
    """Read the header of a package, or return None if it is not an MCUboot image."""
    if len(start) < HEADER_BYTES:
        return None
    magic, _load, header_bytes, _tlv, image_bytes, flags, *version = _HEADER.unpack_from(start)
    if magic != MAGIC:
        return None
    major, minor, revision, build = version
    return ImageHeader(
        f"{major}.{minor}.{revision}" + (f"+{build}" if build else ""),
        header_bytes,
        image_bytes,
        tuple(words for bit, words in _FLAGS.items() if flags & bit),
    )
