"""The program that builds, saves and pushes images: docker, podman or buildah."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

BUILD_TIMEOUT_S = 1800
PUSH_TIMEOUT_S = 1800
PROBE_TIMEOUT_S = 20

_ENGINES = ("docker", "podman", "buildah")


class EngineError(RuntimeError):
    """There is no engine, or it failed."""


class Engine:
    """One of docker, podman and buildah, by its command line."""

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def find(cls, wanted: str = "") -> Engine:
        """Return the engine wanted, or else the first that is installed and works."""
        if wanted and wanted not in _ENGINES:
            raise EngineError(f"ENGINE is one of {', '.join(_ENGINES)}, not {wanted!r}")
        refused = []
        for name in (wanted,) if wanted else _ENGINES:
            if shutil.which(name) is None:
                refused.append(f"{name} is not installed")
            elif (reason := _refusal(name)) is not None:
                refused.append(f"{name} is installed, but {reason}")
            else:
                return cls(name)
        raise EngineError(f"no engine builds images: {'; '.join(refused)}")

    def build(
        self,
        reference: str,
        context: Path,
        containerfile: Path,
        arguments: Mapping[str, str],
        flags: Sequence[str] = (),
        stage: str = "",
    ) -> None:
        """Build an image and name it; `arguments` are the Containerfile's, `flags` the engine's."""
        self._run(
            *(("build",) if self.name == "docker" else ("build", "--layers")),
            *("--tag", reference, "--file", str(containerfile)),
            *(word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")),
            *(("--target", stage) if stage else ()),
            *flags,
            str(context),
            timeout=BUILD_TIMEOUT_S,
        )

    def push(self, reference: str, flags: Sequence[str] = ()) -> None:
        """Push an image to the registry that its reference names."""
        self._run("push", *flags, reference, timeout=PUSH_TIMEOUT_S)

    def save(self, reference: str, archive: Path) -> None:
        """Write an image to an archive that `ctr images import` takes."""
        archive.unlink(missing_ok=True)
        if self.name == "buildah":
            self._run("push", reference, f"docker-archive:{archive}:{reference}", timeout=BUILD_TIMEOUT_S)
        else:
            self._run("save", "--output", str(archive), reference, timeout=BUILD_TIMEOUT_S)

    def _run(self, *arguments: str, timeout: float) -> None:
        try:
            done = subprocess.run(
                [self.name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            raise EngineError(f"{self.name} {arguments[0]} took more than {timeout:.0f} s") from None
        if done.returncode != 0:
            lines = "\n".join(f"  {line}" for line in done.stdout.strip().splitlines()[-15:])
            raise EngineError(f"{self.name} {arguments[0]} failed with status {done.returncode}:\n{lines}")


def _refusal(name: str) -> str | None:
    """Return why an engine that is installed does not work; None if it does."""
    try:
        done = subprocess.run(
            [name, "info"], capture_output=True, text=True, check=False, timeout=PROBE_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"`{name} info` does not answer"
    if done.returncode == 0:
        return None
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return said[-1] if said else f"`{name} info` ends with status {done.returncode}"
