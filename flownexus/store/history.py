"""The history of a resource, as users read it: a series of numbers in buckets, or each value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple

from psycopg_pool import ConnectionPool

from flownexus.lwm2m.path import Path
from flownexus.store import queries, send_for
from flownexus.store.endpoint_values import endpoint_id
from flownexus.store.transaction import Transaction, narrow_transaction

_NARROWER: Final = "read so much; let `from` and `to` be closer together"


@dataclass(frozen=True)
class Point:
    """The numbers of one bucket, which begins at `time`."""

    time: datetime
    minimum: float
    maximum: float
    mean: float
    last: float
    count: int

    COLUMNS: ClassVar = ("time", "minimum", "maximum", "mean", "last", "count")

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {**vars(self), "time": self.time.isoformat()}


class PastValue(NamedTuple):
    """One value that was stored, as text, and as a number where it is one."""

    time: datetime
    id: int
    stored_at: datetime
    number: float | None
    value: str

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {
            "time": self.time.isoformat(),
            "value": self.value,
            "number": self.number,
            "stored_at": self.stored_at.isoformat(),
        }


PAST_VALUE_COLUMNS: Final = ("time", "value", "number", "stored_at")


def series(
    pool: ConnectionPool, endpoint: str, path: Path, start: datetime, end: datetime, points: int
) -> list[Point]:
    """Return the numbers of a resource from `start` until before `end`, in at most so many buckets.

    Buckets without a number are left out. Raises NotFoundError where the endpoint was never seen, and
    TooWideError where it takes PostgreSQL too long.
    """

    def work(current: Transaction) -> list[Point]:
        queries.only_read(current.connection)
        endpoint_id(current.connection, endpoint)
        return send_for(
            Point,
            current.connection,
            queries.series,
            endpoint=endpoint,
            path=str(path),
            start=start,
            end=end,
            points=points,
        ).fetchall()

    return narrow_transaction(pool, work, _NARROWER)


def past_values(
    pool: ConnectionPool,
    endpoint: str,
    path: Path,
    start: datetime,
    end: datetime,
    after: tuple[datetime, int] | None,
    limit: int,
) -> list[PastValue]:
    """Return up to `limit` values of a resource from `start` until before `end`, by time, those after a key.

    Raises NotFoundError where the endpoint was never seen, and TooWideError where it takes PostgreSQL too
    long.
    """
    after_time, after_id = after or (None, None)

    def work(current: Transaction) -> list[PastValue]:
        queries.only_read(current.connection)
        endpoint_id(current.connection, endpoint)
        return send_for(
            PastValue,
            current.connection,
            queries.past_values,
            endpoint=endpoint,
            **{name: getattr(path, name) for name in Path.__struct_fields__},
            start=start if after_time is None else max(start, after_time),
            end=end,
            after_time=after_time,
            after_id=after_id,
            limit=limit,
        ).fetchall()

    return narrow_transaction(pool, work, _NARROWER)
