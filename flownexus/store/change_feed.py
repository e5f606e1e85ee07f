"""One reader of what is written, for all streams of a process.

It reads only while somebody follows, and only of the endpoints that somebody follows. What it has read lately
is kept for all; who wants what was before, or falls behind, reads it for himself, page by page.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from psycopg_pool import ConnectionPool

from flownexus.errors import FlowNexusError, TemporaryError
from flownexus.store.changes import (
    MAX_CHANGES_PER_READ,
    Change,
    Position,
    change_horizon,
    read_changes,
)

log = logging.getLogger(__name__)

MAX_FOLLOWERS: Final = 100
READ_INTERVAL_S: Final = 0.25
"""Seconds between two reads; what is committed is told this much later at most, and the time of a read."""
RETRY_INTERVAL_S: Final = 1.0
"""The same while PostgreSQL is away."""
MAX_KEPT: Final = 10_000
"""How many changes are kept for those who are not at the end."""
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_FIRST_WINDOW: Final = timedelta(minutes=1)


class TooManyStreamsError(TemporaryError):
    """As many streams are open as there may be; try again when one has ended."""

    retry_after = 5


class ChangeFeed:
    """Reads what is written, once, for whoever follows."""

    def __init__(
        self,
        pool: ConnectionPool,
        max_followers: int = MAX_FOLLOWERS,
        interval_s: float = READ_INTERVAL_S,
        max_kept: int = MAX_KEPT,
    ) -> None:
        self._pool = pool
        self._max_followers = max_followers
        self._interval_s = interval_s
        self._reading = threading.Lock()
        """Held while it reads, and while somebody begins to follow: before it, `_changed`."""
        self._changed = threading.Condition()
        self._left = threading.Event()
        """The last follower has left: there is nothing to wait for."""
        self._kept: deque[Change] = deque(maxlen=max_kept)
        self._followers: set[Follower] = set()
        self._read: Position | None = None
        """What is behind it was not read yet; None while nobody follows."""
        self._kept_behind: Position | None = None
        """What is behind it, and was read, is kept."""

    def follow(self, endpoints: Sequence[str] | None, after: Position | None) -> Follower:
        """Begin to follow some endpoints, or all: behind a position, or from now on.

        Raises TooManyStreamsError, and UnavailableError where PostgreSQL is away.
        """
        with self._reading:
            if len(self._followers) >= self._max_followers:
                raise TooManyStreamsError(
                    f"{self._max_followers} streams are open, as many as there may be; try again later"
                )
            begins = self._read is None
            read = self._read or Position(change_horizon(self._pool))
            follower = Follower(self, self._pool, endpoints, min(after or read, read), read)
            with self._changed:
                self._followers.add(follower)
                self._left.clear()
                if begins:
                    self._kept.clear()
                    self._read = self._kept_behind = read
                    threading.Thread(target=self._run, name="changes", daemon=True).start()
        return follower

    def leave(self, follower: Follower) -> None:
        """Follow no more."""
        with self._changed:
            self._followers.discard(follower)
            if not self._followers:
                self._left.set()

    def wait(self, after: Position, seconds: float) -> tuple[list[Change], Position] | None:
        """Return what was read behind a position, and the position to go on behind; wait for it if need be.

        Nothing and the same position where nothing was read for so long; None where it is not kept any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._read is None or self._read > after, seconds)
            if self._read is None or self._kept_behind is None or after < self._kept_behind:
                return None
            found = []
            for change in reversed(self._kept):
                if change.position <= after:
                    break
                found.append(change)
            return found[::-1], max(after, self._read)

    def _run(self) -> None:
        pause = 0.0
        while True:
            self._left.wait(pause)
            with self._reading:
                with self._changed:
                    if not self._followers or self._pool.closed:
                        self._read = self._kept_behind = None
                        return
                    read = self._read
                    wanted = [follower.endpoints for follower in self._followers]
                assert read is not None  # noqa: S101  # it is while somebody follows
                every = None if None in wanted else sorted({name for each in wanted for name in each or ()})
                try:
                    found, read = read_changes(self._pool, every, read)
                except FlowNexusError as error:
                    log.warning("changes cannot be read: %s", error)
                    pause = RETRY_INTERVAL_S
                    continue
                except Exception:
                    log.exception(
                        "changes cannot be read"
                    )  # whatever it is: all streams wait for this thread
                    pause = RETRY_INTERVAL_S
                    continue
                self._keep(found, read)
            pause = 0.0 if len(found) == MAX_CHANGES_PER_READ else self._interval_s

    def _keep(self, found: Sequence[Change], read: Position) -> None:
        with self._changed:
            for change in found:
                if len(self._kept) == self._kept.maxlen:
                    self._kept_behind = self._kept[0].position
                self._kept.append(change)
            self._read = read
            self._changed.notify_all()


class Follower:
    """Somebody who follows changes, behind a position of his own."""

    def __init__(
        self,
        feed: ChangeFeed,
        pool: ConnectionPool,
        endpoints: Sequence[str] | None,
        position: Position,
        joined: Position,
    ) -> None:
        self.endpoints = None if endpoints is None else frozenset(endpoints)
        self.position = position
        """What is behind it was not returned yet."""
        self._feed = feed
        self._pool = pool
        self._joined = joined
        """What is behind it comes from the feed."""
        self._window = _FIRST_WINDOW
        """Of what time is read at once where it catches up: more where little was written."""

    def next(self, seconds: float) -> list[Change]:
        """Return the changes that come next, in their order; none where none came for so long."""
        if self.position < self._joined:
            return self._catch_up()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            told = self._feed.wait(self.position, left)
            if told is None:  # it fell behind: up to now it reads for itself
                self._joined = Position(change_horizon(self._pool))
                return self._catch_up()
            changes, self.position = told
            if mine := [change for change in changes if self._follows(change)]:
                return mine
        return []

    def leave(self) -> None:
        """Follow no more; may be called again."""
        self._feed.leave(self)

    def _follows(self, change: Change) -> bool:
        return self.endpoints is None or change.endpoint in self.endpoints

    def _catch_up(self) -> list[Change]:
        """Read what is between its position and where it joined."""
        wanted = None if self.endpoints is None else sorted(self.endpoints)
        # The place where it joined may be behind some of the changes of its time.
        until = self._joined.at + (Position(self._joined.at) < self._joined) * _MICROSECOND
        until = min(until, self.position.at + self._window)
        found, position = read_changes(self._pool, wanted, self.position, until)
        self.position = min(position, self._joined)
        self._window = max(
            self._window / 4 if len(found) == MAX_CHANGES_PER_READ else self._window * 2, _SECOND
        )
        return [change for change in found if change.position <= self._joined]
