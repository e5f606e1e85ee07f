"""Find free TCP and UDP ports on the loopback interface."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import random
import socket
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

LOOPBACK = "127.0.0.1"


FIRST = 10_000
BLOCK = 64
"""Ports that one process claims at once: their first one is held as the sign of it."""
MOST_TAKEN = 1000
"""So many ports are tried until one is free."""
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class _Claims:
    """The blocks of ports that this process has claimed, so that no other begins a server there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = itertools.count(random.randrange(2**16))  # noqa: S311 - not a secret
        self._left: Iterator[int] = iter(())
        # Servers of the block before may be about to start.
        self._held: deque[socket.socket] = deque()

    def next(self) -> int:
        """Return a port that was not returned before, in a block of this process."""
        with self._lock:
            port = next(self._left, None)
            if port is None:
                first = self._claim()
                self._left = iter(range(first + 1, first + BLOCK))
                port = next(self._left)
            return port

    def _claim(self) -> int:
        count = (int(_EPHEMERAL.read_text().split()[0]) - FIRST) // BLOCK
        for number in itertools.islice(self._blocks, max(count, 0)):
            first = FIRST + number % count * BLOCK
            claim = socket.socket()
            try:
                claim.bind((LOOPBACK, first))
            except OSError:
                claim.close()
                continue
            self._held.append(claim)
            if len(self._held) > 2:
                self._held.popleft().close()
            return first
        raise OSError(f"no block of {BLOCK} ports from {FIRST} up to where {_EPHEMERAL} begins is free")

    def close(self) -> None:
        while self._held:
            self._held.pop().close()


_claims = _Claims()
atexit.register(_claims.close)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that nobody holds, and that no other process which asks here is given.

    It is none of those that Linux gives to outgoing connections: a server that is restarted would find its
    port taken by one.
    """
    for _ in range(MOST_TAKEN):
        if is_free(port := _claims.next(), kind):
            return port
    raise OSError(f"{MOST_TAKEN} ports from {FIRST} on are taken by others")


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Say whether a server could bind the port now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            # As servers do: connections of an earlier run that linger in TIME_WAIT are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def holder(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> str:
    """Say which process holds a port, or that it is not known."""
    table = "tcp" if kind is socket.SOCK_STREAM else "udp"
    wanted = f":{port:04X}"
    inodes = set()
    for name in (table, f"{table}6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
                fields = line.split()
                # 0A is LISTEN; a datagram socket has no such state.
                if fields[1].endswith(wanted) and (table == "udp" or fields[3] == "0A"):
                    inodes.add(f"socket:[{fields[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(link.readlink()) in inodes:
                process = link.parent.parent
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                return f"process {process.name} ({command.strip()[:60]})"
    return "another process"
