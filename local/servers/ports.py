"""Find free TCP and UDP ports on the loopback interface."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"


FIRST = 10_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_tries = itertools.count(random.randrange(2**16))  # noqa: S311 - not a secret, only elsewhere than others begin


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that nobody holds at this moment, and not one that this process had lately.

    It is none of those that Linux gives to outgoing connections: a server that is restarted would find its
    port taken by one.
    """
    count = int(_EPHEMERAL.read_text().split()[0]) - FIRST
    for number in itertools.islice(_tries, max(count, 0)):
        if is_free(port := FIRST + number % count, kind):
            return port
    raise OSError(f"no port from {FIRST} up to where {_EPHEMERAL} begins is free")


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
