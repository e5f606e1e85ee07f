"""Fetch the scripts and styles of the console that others wrote, as its package-lock.json names them.

Each package comes from the npm registry (NPM_REGISTRY, where that is another one), and must have the
SHA-512 of the lock file. What is there already, of the same lock file, is not fetched again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import os
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
CONSOLE: Final = REPOSITORY / "functions" / "console"
LOCK: Final = CONSOLE / "package-lock.json"
VENDOR: Final = CONSOLE / "static" / "vendor"
FOR_TESTS: Final = REPOSITORY / "build" / "npm"
REGISTRY: Final = "https://registry.npmjs.org"
FILES: Final[Mapping[str, Mapping[str, Path]]] = {
    "htmx.org": {"dist/htmx.min.js": VENDOR / "htmx.js", "LICENSE": VENDOR / "htmx-LICENSE"},
    "uplot": {
        "dist/uPlot.iife.min.js": VENDOR / "uplot.js",
        "dist/uPlot.min.css": VENDOR / "uplot.css",
        "LICENSE": VENDOR / "uplot-LICENSE",
    },
    # Browsers have no SHA-256 that takes a file in parts, and none at all without TLS.
    "@noble/hashes": {
        **{f"{each}.js": VENDOR / "noble" / f"{each}.js" for each in ("sha2", "_md", "_u64", "utils")},
        "LICENSE": VENDOR / "noble" / "LICENSE",
    },
    "axe-core": {"axe.min.js": FOR_TESTS / "axe.js"},
}
"""Which files of a package are taken, and where they go."""
TIMEOUT_S: Final = 30
MAX_PACKAGE: Final = 20 * 1024 * 1024  # bytes


class AssetError(RuntimeError):
    """A package cannot be had as the lock file names it."""


def fetch(lock: Path = LOCK, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Fetch what is missing; return the names and versions of the packages that were fetched."""
    packages: dict[str, Any] = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    fetched = []
    for name, files in FILES.items():
        locked = packages[f"node_modules/{name}"]
        note = f"{locked['version']} {locked['integrity']}"
        marks = {path.with_name(f".{path.name}.of") for path in files.values()}
        there = all(path.exists() for path in files.values())
        if there and all(mark.exists() and mark.read_text() == note for mark in marks):
            continue
        archive = _download(environment.get("NPM_REGISTRY") or REGISTRY, name, locked["version"])
        check(archive, locked["integrity"], name)
        unpack(archive, files)
        for mark in marks:
            mark.write_text(note)
        fetched.append(f"{name} {locked['version']}")
    return fetched


def check(archive: bytes, integrity: str, name: str) -> None:
    """Raise AssetError unless this is the archive that the lock file means (W3C Subresource Integrity)."""
    algorithm, _, wanted = integrity.partition("-")
    found = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if algorithm != "sha512" or not hmac.compare_digest(found, wanted):
        raise AssetError(f"{name}: the package that came is not the one of {LOCK.name}: sha512-{found}")


def unpack(archive: bytes, files: Mapping[str, Path]) -> None:
    """Write the files of a package that are wanted, and nothing else of it."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as package:
        for inside, target in files.items():
            member = package.extractfile(f"package/{inside}")
            if member is None:
                raise AssetError(f"the package has no file {inside}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(member.read())


def _download(registry: str, name: str, version: str) -> bytes:
    if not registry.startswith("https://"):
        raise AssetError(f"NPM_REGISTRY must be a URL of https, not {registry!r}")
    url = f"{registry.rstrip('/')}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  # https, see above
            archive: bytes = answer.read(MAX_PACKAGE + 1)
    except (OSError, urllib.error.URLError) as error:
        raise AssetError(f"{url} cannot be fetched: {error}") from error
    if len(archive) > MAX_PACKAGE:
        raise AssetError(f"{url} is larger than {MAX_PACKAGE} bytes")
    return archive


def main() -> int:
    """Fetch what is missing; without it the console shows no chart, and nothing changes by itself."""
    try:
        for each in fetch():
            sys.stdout.write(f"fetched {each}\n")
    except AssetError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
