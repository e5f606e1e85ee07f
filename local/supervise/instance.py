"""Who runs the world of a home folder: one daemon, known by a lock that the kernel releases with it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from local.supervise.process import MARK

LOCK_FILE = "run/lock"


class AlreadyRunningError(RuntimeError):
    """The home's world is being run by another process."""


def take(home: Path) -> IO[str]:
    """Become the one who runs the world of `home`, until the file returned is closed or we die."""
    path = home / LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise AlreadyRunningError(f"a world runs in {home} already") from None
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "started": started(os.getpid())}))
    file.flush()
    return file


def running(home: Path) -> int | None:
    """Return the process id of who runs the world of `home`, None if nobody does."""
    try:
        file = (home / LOCK_FILE).open("r", encoding="utf-8")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            for _ in range(50):  # it writes its id right after it has taken the lock
                with contextlib.suppress(ValueError, KeyError):
                    file.seek(0)
                    owner = json.loads(file.read())
                    pid: int = owner["pid"]
                    if owner["started"] == started(pid):
                        return pid
                time.sleep(0.02)
            return 0
        return None


def started(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks: with its id, that names it for good."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def leftovers(home: Path) -> Iterator[int]:
    """Find processes that a world of `home` has started, by the mark in their environment."""
    mark = f"{MARK}={home}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)


def end(pids: list[int], timeout: float, how: signal.Signals = signal.SIGTERM) -> bool:
    """Send a signal to processes and wait until they are gone; say whether they are."""
    begun = {pid: started(pid) for pid in pids}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
    deadline = time.monotonic() + timeout
    while any(_lives(pid) and started(pid) == begun[pid] for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False
