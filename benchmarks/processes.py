"""What the processes of a world use, as the kernel counts it."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.world import World

WITH_CHILDREN = frozenset({"postgres", "gateway"})
"""Parts that have processes of their own: PostgreSQL's, and the one that replicas are forked from."""
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Group:
    """Processes that are one part of the system; of a server with children, all of them."""

    pids: Sequence[int]
    with_children: bool = False

    def live(self) -> Sequence[int]:
        """Return the processes that there are now."""
        if not self.with_children:
            return self.pids
        return [*self.pids, *(child for parent in self.pids for child in _children(parent))]

    def threads(self) -> int:
        """Return how many threads there are."""
        return sum(_count(pid, "task") for pid in self.live())

    def descriptors(self) -> int:
        """Return how many files and sockets that process has open that has most."""
        return max((_count(pid, "fd") for pid in self.live()), default=0)

    def cpu(self) -> float:
        """Return the seconds of CPU used so far, by children that have ended, too."""
        total = sum(sum(_stat(pid)[11:13]) for pid in self.live())
        if self.with_children:
            total += sum(sum(_stat(pid)[13:15]) for pid in self.pids)
        return total / TICK

    def pss(self) -> int:
        """Return the bytes of memory that are theirs, and their share of those that others use, too."""
        return sum(map(_pss, self.live()))


def groups(world: World) -> Mapping[str, Group]:
    """Return the parts of a world and its functions with all their replicas, by name."""
    pids = {name: part.process.pid for name, part in world.parts.items()}
    found = {name: Group([pid]) for name, pid in pids.items() if pid is not None}
    if "gateway" in found:
        replicas = defaultdict(list)
        for replica in world.replicas():
            replicas[replica["function"]].append(replica["pid"])
        found |= {function: Group(pids) for function, pids in replicas.items()}
    for name in WITH_CHILDREN & found.keys():
        found[name] = Group(found[name].pids, with_children=True)
    return found


def _children(parent: int) -> list[int]:
    lists = Path(f"/proc/{parent}/task").glob("*/children")  # each thread has its own
    return [int(pid) for of_thread in lists for pid in of_thread.read_text().split()]


def _count(pid: int, folder: str) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/{folder}").iterdir())
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0


def _pss(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0
    [kibibytes] = re.findall(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)
    return int(kibibytes) * 1024


def _stat(pid: int) -> list[int]:
    """Return the fields of /proc/<pid>/stat after the command, numbers all; zeros if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return [0] * 40
    return [0, *map(int, fields[1:40])]
