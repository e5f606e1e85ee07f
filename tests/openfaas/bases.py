"""Base images for a machine that reaches Debian's packages but no image registry: debootstrap and buildah."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.openfaas.places import storage_environment

PYTHON_BASE = "localhost/flownexus-python-base:bookworm"
JAVA_BASE = "localhost/flownexus-java-base:bookworm"
SUITE = "bookworm"
PACKAGES = {
    PYTHON_BASE: ("ca-certificates", "python3", "python3-pip"),
    JAVA_BASE: ("ca-certificates", "openjdk-17-jre-headless"),
}
DEBOOTSTRAP_TIMEOUT_S = 600
BUILDAH_TIMEOUT_S = 300
LEFT_OVER = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man", "tmp")


class PrepareError(RuntimeError):
    """Something of what the tests run cannot be built."""


def make_base(reference: str, scratch: Path, environment: Mapping[str, str]) -> None:
    """Make a base image of Debian's packages, unless the store that `environment` names has it."""
    if buildah(environment, "images", "--quiet", reference, check=False).strip():
        return
    root = scratch / "root"
    shutil.rmtree(root, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    _run(
        [
            *("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES[reference])}"),
            *(SUITE, str(root)),
        ],
        environment,
        DEBOOTSTRAP_TIMEOUT_S,
    )
    for name in LEFT_OVER:
        for path in (root / name).iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    container = buildah(environment, "from", "scratch").strip()
    try:
        buildah(environment, "add", "--quiet", container, str(root), "/")
        buildah(environment, "commit", "--quiet", container, reference)
    finally:
        buildah(environment, "rm", container)
        shutil.rmtree(root)


def buildah(environment: Mapping[str, str], *arguments: str, check: bool = True) -> str:
    """Run buildah and return what it prints."""
    return _run(["buildah", *arguments], environment, BUILDAH_TIMEOUT_S, check=check)


def inspect(reference: str) -> dict[str, Any]:
    """Return an image's description: config, rootfs."""
    said = buildah(storage_environment(), "inspect", "--type", "image", reference)
    found: dict[str, Any] = json.loads(said)["OCIv1"]
    return found


def _run(command: list[str], environment: Mapping[str, str], timeout: float, check: bool = True) -> str:
    done = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, timeout=timeout, check=False
    )
    if check and done.returncode != 0:
        raise PrepareError(f"{' '.join(command[:3])} ... failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
