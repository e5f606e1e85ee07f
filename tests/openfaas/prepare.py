"""Build all that the tests run, with a network: gateway and faas-cli, base images, the project's images."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.openfaas.bases import JAVA_BASE, PYTHON_BASE, PrepareError, make_base
from tests.openfaas.places import ARCHIVES, BUILD_TIMES, CACHE, PROGRAMS, REPOSITORY, storage_environment

MODULES = {
    "gateway": (REPOSITORY / "tests" / "openfaas" / "gateway", "github.com/openfaas/faas/gateway"),
    "faas-cli": (REPOSITORY / "tests" / "manifests" / "tools", "github.com/openfaas/faas-cli"),
}
"""Of each program the folder whose go.mod has its version, and its Go package."""
CERTIFICATES = Path("/etc/ssl/certs")
GO_TIMEOUT_S = 900


def prepare() -> None:
    """Build what is not there yet, and the project's images in any case."""
    build_programs(*MODULES)
    environment = storage_environment()
    for base in (PYTHON_BASE, JAVA_BASE):
        began = time.monotonic()
        make_base(base, CACHE / "base", environment)
        _say(f"{base} made in {time.monotonic() - began:.1f} s")
    _build_images({**environment, "PATH": f"{PROGRAMS}:{environment['PATH']}"})


def build_programs(*programs: str) -> None:
    """Build programs of OpenFaaS from their Go modules, of the versions and hashes written down here."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    for program in programs:
        began = time.monotonic()
        folder, package = MODULES[program]
        done = subprocess.run(
            ["go", "build", "-mod=readonly", "-trimpath", "-o", str(PROGRAMS / program), package],
            cwd=folder,
            env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""},
            check=False,
            timeout=GO_TIMEOUT_S,
        )
        if done.returncode != 0:
            raise PrepareError(f"{program} could not be built: go build ended with status {done.returncode}")
        _say(f"{program} built in {time.monotonic() - began:.1f} s")


def _build_images(environment: dict[str, str]) -> None:
    # pip in a build trusts whom this machine trusts.
    flags = f"--volume {CERTIFICATES}:{CERTIFICATES}:ro"
    command = [
        *(sys.executable, "-m", "deploy.images", "build", "--engine", "buildah"),
        *("--base", PYTHON_BASE, "--java-base", JAVA_BASE),
        *("--flags", flags, "--archives", str(ARCHIVES)),
    ]
    times = {}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as building:
        assert building.stdout is not None
        for line in building.stdout:
            _say(line.rstrip())
            if found := re.match(r"\S+/flownexus-([a-z-]+):\S+ built in ([\d.]+) s", line):
                times[found[1]] = float(found[2])
    if building.returncode != 0:
        raise PrepareError(f"make images ended with status {building.returncode}")
    BUILD_TIMES.write_text(json.dumps(times))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
