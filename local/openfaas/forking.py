"""Replicas that are forked from one process, which has imported the library that they share.

Nine functions of the same library then hold its modules in memory once, and a replica starts without
importing them. Each is a process of its own, as one that is started afresh is.
"""

from __future__ import annotations

import ast
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from local.supervise.process import Child, Command, ProcessError, tethered

LIBRARY = "flownexus"
START_TIMEOUT = 60.0  # seconds; the first replica waits for the imports
UNKNOWN_STATUS = 255
_SERVER = Path(__file__).with_name("fork_server.py")


class ForkedChild:
    """A process that is the fork server's child: what Popen would have of it."""

    def __init__(self, pid: int, pidfd: int, output: IO[bytes], report: socket.socket) -> None:
        self.pid = pid
        self.stdout = output
        self._pidfd = pidfd
        self._report = report
        self._status: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return its status if it has ended: what it exited with, or minus the signal that ended it."""
        with self._lock:
            if self._status is None and select.select([self._pidfd], [], [], 0)[0]:
                self._status = self._reported()
            return self._status

    def wait(self) -> int:
        """Wait until it has ended, and return its status."""
        while (status := self.poll()) is None:
            select.select([self._pidfd], [], [])
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        with self._lock:
            if self._status is None:
                try:
                    signal.pidfd_send_signal(self._pidfd, number)
                except ProcessLookupError:
                    return

    def _reported(self) -> int:
        """Return what the fork server reports of its end."""
        with self._report:
            text = self._report.recv(1024)
        os.close(self._pidfd)
        return int(json.loads(text)["status"]) if text else UNKNOWN_STATUS  # the server has ended, too


class ForkServer:
    """Starts replicas by fork, from a server that is started when the first one is, and anew when need be.

    It is replaced after it has ended, and after a source of the library has changed: replicas that are
    started from then on have the new code, and those that run keep theirs.
    """

    def __init__(self, command: Command, index: Path, handlers: Callable[[], Iterable[Path]]) -> None:
        """Prepare a server of `command`'s environment and folder; `index` is the template's server.

        `handlers` are the folders of the functions, whose imports are made before they are forked.
        """
        self._command = command
        self._index = index
        self._handlers = handlers
        self._lock = threading.Lock()
        # A tethered process ends with the thread that started it: this one lasts.
        self._thread = ThreadPoolExecutor(1, "fork server")
        self._servers: list[subprocess.Popen[bytes]] = []
        self._requests: socket.socket | None = None
        self._sources = (0, 0)

    def start(self, name: str, environment: Mapping[str, str], folder: Path) -> Child:
        """Start a replica; raise ProcessError if it does not begin in time."""
        request = {"name": name, "environment": environment, "folder": str(folder)}
        output, write = os.pipe()
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        ours.settimeout(START_TIMEOUT)
        try:
            with theirs:
                self._ask(json.dumps(request).encode(), [write, theirs.fileno()])
            pid, pidfd = _begun(ours)
        except OSError as error:
            os.close(output)
            ours.close()
            raise ProcessError(f"{name} cannot be forked: {error}") from error
        finally:
            os.close(write)
        ours.settimeout(None)
        return ForkedChild(pid, pidfd, os.fdopen(output, "rb", 0), ours)

    def close(self) -> None:
        """Fork no more; the server ends with the last replica, which is waited for."""
        with self._lock:
            if self._requests is not None:
                self._requests.close()
                self._requests = None
        for server in self._servers:
            server.wait()
        self._thread.shutdown()

    def _ask(self, request: bytes, descriptors: Sequence[int]) -> None:
        with self._lock:
            sources = _newest(self._command.folder / LIBRARY, self._index.parent)
            if self._requests is None or sources != self._sources:
                self._sources = sources
                self._requests = self._thread.submit(self._begin).result()
            try:
                socket.send_fds(self._requests, [request], descriptors)
            except (BrokenPipeError, ConnectionResetError):
                self._requests = self._thread.submit(self._begin).result()
                socket.send_fds(self._requests, [request], descriptors)

    def _begin(self) -> socket.socket:
        """Start a server; the one before ends with its last replica."""
        if self._requests is not None:
            self._requests.close()
        self._servers = [server for server in self._servers if server.poll() is None]
        program = [sys.executable, str(_SERVER), str(self._index.parent), *imports(self._handlers())]
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            self._servers.append(
                subprocess.Popen(
                    tethered(program, signal.SIGTERM),
                    env=self._command.full_environment(),
                    cwd=self._command.folder,
                    stdin=theirs.fileno(),
                    start_new_session=True,
                )
            )
        return ours


@dataclass(frozen=True)
class ForkedCommand(Command):
    """A command whose program is the template's server, forked instead of executed."""

    name: str = field(kw_only=True)
    server: ForkServer = field(kw_only=True)

    def start(self, stop_signal: signal.Signals) -> Child:
        """Fork it; it gets SIGTERM, as each replica does to stop, when the fork server is gone."""
        assert stop_signal is signal.SIGTERM  # noqa: S101
        return self.server.start(self.name, self.full_environment(), self.folder)


def _begun(report: socket.socket) -> tuple[int, int]:
    """Wait until a replica reports that it has begun; return its process id and the pidfd that it sends."""
    text, descriptors, _, _ = socket.recv_fds(report, 1024, 1)
    begun = json.loads(text or "{}")
    if "pid" not in begun:
        raise OSError(f"it ended before it had begun, or the fork server did: {begun}")
    return begun["pid"], descriptors[0]


def imports(handlers: Iterable[Path]) -> Sequence[str]:
    """Return the modules of the library that handlers import, read from their source."""
    found: set[str] = set()
    for handler in handlers:
        for node in ast.walk(ast.parse((handler / "handler.py").read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module)
            elif isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
    return sorted(name for name in found if name.partition(".")[0] == LIBRARY)


def _newest(*folders: Path) -> tuple[int, int]:
    """Return the time of the newest source, and how many there are."""
    times = [path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*.py")]
    return max(times, default=0), len(times)
