"""A small server for a measurement: a clean Debian 12 under systemd, with so many cores and so much memory.

It is a container of systemd-nspawn in a network namespace of its own, which reaches the internet through
slirp4netns. The limits are those of cgroup v1; devices that are no part of the server run outside of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
RELEASE = "bookworm"
PACKAGES = ("systemd-sysv", "dbus", "ca-certificates")
CGROUPS = Path("/sys/fs/cgroup")
CA_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
NAMESERVER = "10.0.2.3"  # slirp4netns's
TOOLS = ("debootstrap", "systemd-nspawn", "slirp4netns", "ip", "nsenter")
ENVIRONMENT = {
    "HOME": "/root",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "UV_SYSTEM_CERTS": "1",
}
BOOT_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 180.0
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)


class MachineError(RuntimeError):
    """The server cannot be made, or a command in it failed."""


@dataclass(frozen=True)
class Memory:
    """What a server's processes hold, in bytes; the kernel's cache of files does not count."""

    held: int
    swap: int
    killed: int
    """How many processes were ended for want of memory."""


def check() -> None:
    """Raise MachineError where this machine cannot run such a server."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise MachineError(
            f"missing: {', '.join(missing)}: "
            "apt-get install debootstrap systemd-container slirp4netns iproute2"
        )
    if os.geteuid() != 0:
        raise MachineError("only root can run a container with systemd")
    for controller in ("memory", "cpu", "cpuacct"):
        if not (CGROUPS / controller / "cgroup.procs").exists():
            raise MachineError(f"there is no controller {controller} of cgroup v1 in {CGROUPS}")


def bootstrap(root: Path) -> None:
    """Make a clean Debian 12, which trusts whom this machine trusts."""
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", RELEASE]
    run([*command, str(root), MIRROR], timeout=1200)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (root / "etc/resolv.conf").write_text(f"nameserver {NAMESERVER}\n")
    ours, theirs = (_CERTIFICATE.findall((folder / CA_BUNDLE).read_text()) for folder in (Path("/"), root))
    for number, certificate in enumerate(set(ours) - set(theirs)):
        (root / f"usr/local/share/ca-certificates/extra-{number}.crt").write_text(certificate)
    run(["chroot", str(root), "update-ca-certificates"])


def copy(root: Path, target: Path) -> None:
    """Copy a server's disk, its device nodes as such."""
    run(["cp", "--archive", "--reflink=auto", str(root), str(target)])


def run(command: Sequence[str], *, timeout: float = 600.0) -> str:
    """Run a command; return what it printed. Raises MachineError with its last words."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"{command[0]} takes more than {timeout:.0f} s") from error
    if done.returncode != 0:
        words = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise MachineError(f"{' '.join(command)[:200]}: exit status {done.returncode}\n{words}")
    return done.stdout


class Machine:
    """A server that can be switched on and off; `root` is its disk."""

    def __init__(self, root: Path, *, cores: float = 1.0, memory_bytes: int = 2**30) -> None:
        self.root = root
        self.name = f"flownexus-{os.getpid()}-{root.name}"
        self._groups = [CGROUPS / controller / self.name for controller in ("memory", "cpu", "cpuacct")]
        self._limits = {
            CGROUPS / "memory" / self.name / "memory.limit_in_bytes": memory_bytes,
            CGROUPS / "memory" / self.name / "memory.memsw.limit_in_bytes": memory_bytes,
            CGROUPS / "cpu" / self.name / "cpu.cfs_period_us": 100_000,
            CGROUPS / "cpu" / self.name / "cpu.cfs_quota_us": round(cores * 100_000),
        }
        self._uplink: subprocess.Popen[bytes] | None = None
        self._container: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Machine:
        run(["ip", "netns", "add", self.name])
        try:
            run(["ip", "-n", self.name, "link", "set", "lo", "up"])
            self._uplink = subprocess.Popen(
                [
                    *("slirp4netns", "--netns-type=path", "--configure", "--mtu=65520"),
                    *("--disable-host-loopback", f"/run/netns/{self.name}", "tap0"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for group in self._groups:
                group.mkdir()
            for file, value in self._limits.items():
                file.write_text(str(value))
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.switch_off()
        finally:
            self._clean()

    def switch_on(self) -> None:
        """Boot, and wait until systemd is up."""
        log = self.root.with_name(f"{self.root.name}.log").open("ab")
        with log:
            self._container = subprocess.Popen(
                self._limited(
                    "systemd-nspawn",
                    *("--quiet", "--boot", f"--directory={self.root}", f"--machine={self.name}"),
                    *("--register=no", "--keep-unit", "--resolv-conf=off"),
                    f"--network-namespace-path=/run/netns/{self.name}",
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(lambda: self._state() in {"running", "degraded", "starting"}, BOOT_TIMEOUT, "it does not boot")

    def switch_off(self) -> None:
        """Shut down in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End all of it at once; what was written and is not on the disk is not lost by that."""
        if self._container is not None:
            os.kill(self._init(), signal.SIGKILL)
        self._end(signal.SIGKILL)

    def run(self, script: str, *, timeout: float = 600.0) -> str:
        """Run a shell script on the server, within its limits; return what it printed."""
        return run(
            self._limited(*self._entered("-a"), "bash", "-euo", "pipefail", "-c", script), timeout=timeout
        )

    def beside(self, *command: str) -> list[str]:
        """Return the command line of a program on the server's network, without the server's limits."""
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *command]

    def memory(self) -> Memory:
        """Return what its processes hold."""
        folder = CGROUPS / "memory" / self.name
        counted = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        oom = dict(line.split() for line in (folder / "memory.oom_control").read_text().splitlines())
        return Memory(
            int(counted["total_rss"]) + int(counted["total_shmem"]),
            int(counted["total_swap"]),
            int(oom["oom_kill"]),
        )

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        return int((CGROUPS / "cpuacct" / self.name / "cpuacct.usage").read_text()) / 1e9

    def _state(self) -> str:
        with contextlib.suppress(MachineError, OSError):
            return self.run("systemctl is-system-running || true", timeout=10).strip()
        return ""

    def _limited(self, *command: str) -> list[str]:
        """Return the command line of a program that joins the control groups first."""
        join = "".join(f"echo $$ > {group}/cgroup.procs; " for group in self._groups)
        return ["sh", "-c", f'{join}exec "$@"', "sh", *command]

    def _entered(self, *namespaces: str) -> list[str]:
        environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return ["nsenter", f"--target={self._init()}", *namespaces, "--", "env", "-i", *environment]

    def _init(self) -> int:
        """Return the process id of its systemd."""
        if self._container is None:
            raise MachineError("the server is switched off")
        nspawn = self._container.pid
        children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
        if not children:
            raise MachineError("the server has not started")
        return int(children[0])

    def _end(self, how: signal.Signals) -> None:
        container, self._container = self._container, None
        if container is None:
            return
        container.send_signal(how)
        try:
            container.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            container.kill()
            container.wait()

    def _clean(self) -> None:
        if self._uplink is not None:
            self._uplink.terminate()
            self._uplink.wait()
        for group in self._groups:
            until(lambda group=group: _removed(group), 10, f"{group} cannot be removed")  # type: ignore[misc]
        run(["ip", "netns", "delete", self.name])


def _removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


def until(condition: Callable[[], object], timeout: float, otherwise: str, interval: float = 0.1) -> float:
    """Wait until something is so; return the seconds it took. Raises MachineError if it takes too long."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise MachineError(otherwise)
        time.sleep(interval)
    return time.monotonic() - began


@contextlib.contextmanager
def switched_on(machine: Machine) -> Iterator[Machine]:
    """Have a server on, and off again."""
    with machine:
        machine.switch_on()
        yield machine
