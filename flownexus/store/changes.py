"""What is written, in one order, so that nobody who reads it behind a position misses anything.

A row is stamped by PostgreSQL's clock when it is written, and seen when its transaction commits, which may be
after a later one was. So a reader goes only as far as change_horizon(): nothing that is stamped before it can
still come. Behind each other, all changes are ordered by their stamp, their kind and their id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple

import msgspec
from psycopg_pool import ConnectionPool

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import Path
from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, transaction

MAX_CHANGES_PER_READ: Final = 2000
VALUE: Final = 1
REGISTRATION: Final = 2
QUEUED: Final = 3
ENDED: Final = 4
"""The kinds of changes, as sql/changes.sql numbers them."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_POSITION: Final = re.compile(r"(\d{1,17})-([0-9])-(\d{1,18})", re.ASCII)


class Position(NamedTuple):
    """A place in the order of all changes: behind the one that was written then, of this kind and id."""

    at: datetime
    kind: int = 0
    id: int = 0

    def __str__(self) -> str:
        """Write it as the id of an event, with its time in microseconds since 1970."""
        return f"{(self.at - _EPOCH) // _MICROSECOND}-{self.kind}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read the id of an event; raise ValidationFailedError where it is none."""
        match = _POSITION.fullmatch(text)
        if match is None:
            raise ValidationFailedError("Last-Event-ID: the id of an event of this stream, as it came")
        return cls(_EPOCH + int(match[1]) * _MICROSECOND, int(match[2]), int(match[3]))


@dataclass(frozen=True)
class Change:
    """A value that was stored, a registration event, or an operation that was queued or has ended."""

    at: datetime
    kind: int
    id: int
    endpoint: str
    path: str | None
    what: str
    """The value as text, what happened to the registration, or the kind of the operation."""
    status: str | None
    """Of an operation."""
    time: datetime

    @property
    def position(self) -> Position:
        """Return the place behind it."""
        return Position(self.at, self.kind, self.id)

    @property
    def event(self) -> str:
        """Return the name of its event."""
        return {VALUE: "value", REGISTRATION: "presence"}.get(self.kind, "operation")

    @cached_property
    def json(self) -> bytes:
        """Return it as JSON; made once for all who are told."""
        told: dict[str, Any] = {"endpoint": self.endpoint, "time": self.time.isoformat()}
        if self.kind == VALUE:
            told |= {"path": self.path, "value": self.what}
        elif self.kind == REGISTRATION:
            told |= {"event": self.what}
        else:
            told |= {"id": self.id, "operation": self.what, "path": self.path, "status": self.status}
        return msgspec.json.encode(told)

    def is_within(self, path: Path) -> bool:
        """Say whether it is at or below a path, or of none."""
        return self.path is None or f"{self.path}/".startswith(f"{path}/")


def change_horizon(pool: ConnectionPool) -> datetime:
    """Return the time before which nothing can be written any more."""

    def work(current: Transaction) -> datetime:
        found: datetime = queries.change_horizon(current.connection)
        return found

    return transaction(pool, work)


def read_changes(
    pool: ConnectionPool,
    endpoints: Sequence[str] | None,
    after: Position,
    until: datetime | None = None,
    limit: int = MAX_CHANGES_PER_READ,
) -> tuple[list[Change], Position]:
    """Return what was written behind `after` and before `until`, by default the horizon, in order.

    They are up to `limit` changes of these endpoints, or of all, and the position to go on behind.
    """

    def work(current: Transaction) -> tuple[list[Change], Position]:
        queries.only_read(current.connection)
        # By a statement of its own, before the other one sees what is committed.
        horizon: datetime = queries.change_horizon(current.connection) if until is None else until
        if horizon <= after.at:
            return [], after
        found = send_for(
            Change,
            current.connection,
            queries.changes,
            endpoints=None if endpoints is None else list(endpoints),
            after_at=after.at,
            after_kind=after.kind,
            after_id=after.id,
            until=horizon,
            limit=limit,
        ).fetchall()
        return found, found[-1].position if len(found) == limit else Position(horizon)

    return transaction(pool, work)
