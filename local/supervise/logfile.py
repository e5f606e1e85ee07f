"""Log files of the world's processes: a time before every line, bounded in size, readable while written."""

from __future__ import annotations

import os
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 8 * 1024 * 1024  # of the current file; one older file of the same size is kept
MAX_LINE = 64 * 1024


@dataclass(frozen=True)
class Entry:
    """One line and when it was written."""

    time: datetime
    text: str


class LogFile:
    """A log file that one process writes; may be called from any thread."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None

    def write(self, line: bytes) -> None:
        """Add a line; a very long one is cut."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._lock:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._file = _open(self.path)
            elif self._file.tell() > self._max_bytes:
                self._file.close()
                self.path.replace(_older(self.path))
                self._file = _open(self.path)
            self._file.write(now.encode() + b" " + line[:MAX_LINE] + b"\n")

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def read(path: Path, tail: int | None = None, since: datetime | None = None) -> list[Entry]:
    """Return what was written, at most the last `tail` lines, none older than `since`."""
    entries: deque[Entry] = deque(maxlen=tail)
    for part in (_older(path), path):
        try:
            with part.open("rb") as file:
                entries.extend(e for e in map(_entry, file) if since is None or e.time >= since)
        except FileNotFoundError:
            continue
    return list(entries)


class Follower:
    """Reads what is added to a log file from now on, also when it is rotated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._offset = self._state()

    def _state(self) -> tuple[int, int]:
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return state.st_ino, state.st_size

    def read(self) -> list[Entry]:
        """Return the lines added since the last call."""
        inode, size = self._state()
        found: list[Entry] = []
        if inode != self._inode and self._inode:
            found += self._rest(_older(self._path))
            self._offset = 0
        self._inode = inode
        if size > self._offset:
            found += self._rest(self._path)
        return found

    def _rest(self, path: Path) -> list[Entry]:
        try:
            with path.open("rb") as file:
                file.seek(self._offset)
                lines = file.readlines()
        except FileNotFoundError:
            return []
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        self._offset += sum(map(len, lines))
        return [_entry(line) for line in lines]


def _open(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(descriptor, "ab", buffering=0)


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _entry(line: bytes) -> Entry:
    stamp, _, text = line.decode(errors="replace").rstrip("\n").partition(" ")
    try:
        return Entry(datetime.fromisoformat(stamp), text)
    except ValueError:
        return Entry(datetime.fromtimestamp(0, UTC), f"{stamp} {text}")
