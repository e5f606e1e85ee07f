"""Where `make test-openfaas` keeps what it builds: in the repository's own ignored folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".flownexus" / "openfaas"
"""Kept from one run to the next: programs, base images, the layers of images."""
PROGRAMS = CACHE / "bin"
ARCHIVES = CACHE / "archives"
BUILD_TIMES = CACHE / "build-times.json"
TAG = "test"
ENABLED = "FLOWNEXUS_TEST_OPENFAAS"
"""Set by `make test-openfaas`, in whose network namespace the tests run."""


def unmount_storage() -> None:
    """Undo the mount of its own folder that buildah leaves, which would keep the cache from being removed."""
    subprocess.run(
        ["umount", "--quiet", str(CACHE / "graph" / "overlay")], capture_output=True, check=False, timeout=20
    )


def storage_environment() -> dict[str, str]:
    """Return the environment in which buildah keeps its images in the cache and nowhere else."""
    CACHE.mkdir(parents=True, exist_ok=True, mode=0o700)
    configuration = CACHE / "storage.conf"
    configuration.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{CACHE}/graph"\nrunroot = "{CACHE}/run"\n'
    )
    unset = {name: value for name, value in os.environ.items() if not name.startswith("STORAGE_")}
    return {
        **unset,
        "CONTAINERS_STORAGE_CONF": str(configuration),
        # A step of a build runs without a network and namespaces of its own: what a container in a
        # container can do, too.
        "BUILDAH_ISOLATION": "chroot",
        "TAG": TAG,
    }
