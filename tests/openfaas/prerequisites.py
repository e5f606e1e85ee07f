"""What `make test-openfaas` needs of the machine: root, Debian packages, Go."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "prometheus": "prometheus",
    "ip": "iproute2",
    "unshare": "util-linux",
}
"""Which Debian package has a program."""
MINIMUM_GO = (1, 24)


def missing() -> list[str]:
    """Return a line for each thing that is missing, all at once."""
    found = []
    if os.geteuid() != 0:
        found.append("root: containers, network namespaces and debootstrap need it; sudo make test-openfaas")
    programs = [program for program in PACKAGES if shutil.which(program) is None]
    if programs:
        packages = " ".join(sorted({PACKAGES[program] for program in programs}))
        found.append(f"{', '.join(programs)}: sudo apt-get install {packages}")
    if (reason := _go()) is not None:
        found.append(f"Go {'.'.join(map(str, MINIMUM_GO))} or newer, for gateway and faas-cli: {reason}")
    return found


def _go() -> str | None:
    """Return what is wrong with Go; None if it is new enough."""
    if shutil.which("go") is None:
        return "go is not on the PATH"
    said = subprocess.run(
        ["go", "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    ).stdout.strip()
    version = re.match(r"go(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < MINIMUM_GO:
        return f"{shutil.which('go')} is {said or 'of an unknown version'}"
    return None
