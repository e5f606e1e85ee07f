"""A containerd of the tests' own, and how ctr runs a container as Kubernetes would run it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from local.supervise.process import Command, end_child, tethered

NAMESPACE = "flownexus-test"
SECRETS = "/var/openfaas/secrets"
START_TIMEOUT_S = 20
CTR_TIMEOUT_S = 180


class Containerd:
    """A containerd whose images, snapshots and sockets are gone when it has stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A socket's path is short: 107 bytes at most.
        self._state = Path(tempfile.mkdtemp(prefix="flownexus-", dir="/run"))
        self.address = self._state / "containerd.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Return what ctr has to know."""
        return {"CONTAINERD_ADDRESS": str(self.address), "CONTAINERD_NAMESPACE": NAMESPACE}

    def __enter__(self) -> Containerd:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        configuration = self._folder / "config.toml"
        configuration.write_text(
            f'version = 2\nroot = "{self._folder}/root"\nstate = "{self._state}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\n  address = "{self.address}"\n'
        )
        log = (self._folder / "containerd.log").open("wb")
        with log:
            self._process = subprocess.Popen(
                tethered(["containerd", "--config", str(configuration)], signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._ctr("version", check=False).returncode != 0:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError((self._folder / "containerd.log").read_text()[-2000:])
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self.tasks():
            self._ctr("tasks", "delete", "--force", task, check=False)
        for container in self.ctr("containers", "list", "--quiet").split():
            self._ctr("containers", "delete", container, check=False)
        if self._process is not None:
            end_child(self._process, signal.SIGTERM, 20)
        shutil.rmtree(self._state, ignore_errors=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def ctr(self, *arguments: str) -> str:
        """Run ctr; return what it prints."""
        return self._ctr(*arguments).stdout

    def _ctr(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["ctr", *arguments],
            env={**_path(), **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=CTR_TIMEOUT_S,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"ctr {' '.join(arguments)}: {done.stderr[-2000:]}")
        return done

    def import_image(self, archive: Path) -> None:
        """Take an image from an archive, as `k3s ctr images import` does."""
        self.ctr("images", "import", str(archive))

    def tasks(self) -> dict[str, int]:
        """Return the process id of each running container, by its id."""
        lines = self.ctr("tasks", "list").splitlines()[1:]
        return {
            fields[0]: int(fields[1])
            for line in lines
            if len(fields := line.split()) == 3 and fields[2] == "RUNNING"
        }

    def info(self, container: str) -> dict[str, Any]:
        """Return what containerd knows of a container."""
        found: dict[str, Any] = json.loads(self.ctr("containers", "info", container))
        return found


def run(
    reference: str,
    name: str,
    environment: Mapping[str, str],
    *,
    secrets: Path,
    containerd: Mapping[str, str],
    writable: Mapping[Path, str] | None = None,
    command: Sequence[str] = (),
) -> Command:
    """Return the command that runs a container until it ends; signals go on to it.

    Its root file system is read-only, /tmp is its own and empty, `secrets` is mounted where OpenFaaS mounts
    them, and `writable` says which folders of ours are mounted where. It has the network of its caller.
    `command` stands for the image's entry point and command, which ctr does not join to arguments.
    """
    open_to_others(secrets)
    volumes = [
        (str(secrets), SECRETS, "rbind:ro"),
        *((str(k), v, "rbind:rw") for k, v in (writable or {}).items()),
    ]
    return Command(
        [
            *("ctr", "run", "--rm", "--net-host", "--read-only"),
            *("--mount", "type=tmpfs,src=tmpfs,dst=/tmp,options=mode=1777:nosuid:nodev"),
            *(word for s, d, o in volumes for word in ("--mount", f"type=bind,src={s},dst={d},options={o}")),
            *(word for key, value in environment.items() for word in ("--env", f"{key}={value}")),
            *(reference, name, *command),
        ],
        dict(containerd),
    )


def open_to_others(secrets: Path) -> None:
    """Let a container's user read a folder of secrets, as Kubernetes does; its parent keeps others out."""
    secrets.chmod(0o755)
    for path in secrets.iterdir():
        path.chmod(0o644)


def _path() -> dict[str, str]:
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
