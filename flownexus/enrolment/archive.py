"""The files of credentials as they are put on a disk or into a ZIP archive: a folder for each device."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

_PRIVATE: Final = 0o600 << 16
"""The mode of a file for its owner alone, as ZIP has it."""


def folder_of(endpoint: str) -> str:
    """Return the name of the folder of a device's files."""
    return quote(endpoint, safe="")


def content_of(name: str, text: str) -> bytes:
    """Return the content of a file, whose text is base64 where its name ends in .der."""
    return base64.b64decode(text) if name.endswith(".der") else text.encode()


def archive(files: Mapping[str, Mapping[str, str]]) -> bytes:
    """Return the files of devices, by their endpoint names, as a ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for endpoint, texts in files.items():
            for name, text in texts.items():
                entry = zipfile.ZipInfo(f"{folder_of(endpoint)}/{name}")
                entry.external_attr, entry.compress_type = _PRIVATE, zipfile.ZIP_DEFLATED
                zipped.writestr(entry, content_of(name, text))
    return out.getvalue()
