"""Entries of devices' logs: written where a value is one, and searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import NotFoundError
from flownexus.lwm2m.device_log import Entry, Severity, new_entries, parse_log
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import Reading
from flownexus.store import queries, send_for
from flownexus.store.transaction import Transaction, narrow_transaction

LogResources: TypeAlias = Mapping[tuple[int, int], bool]
"""By object and resource, whether each value has all that the log still holds."""


class LogEntry(NamedTuple):
    """An entry as the REST API shows it; of what is no text the message is hex."""

    time: datetime
    id: int
    endpoint: str
    path: str
    severity: int | None
    severity_name: str | None
    source: str | None
    message: str
    hex: bool

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {**self._asdict(), "time": self.time.isoformat()}


class LogSearch(NamedTuple):
    """Which entries are asked for; what is None restricts nothing."""

    endpoint: str | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None
    severity: Severity | None = None
    """At least so grave."""
    source: str | None = None
    text: str | None = None
    """A part of the message, upper and lower case alike."""
    before: tuple[datetime, int] | None = None
    """Time and id of the last entry of the page before."""


def log_resources(connection: Connection) -> LogResources:
    """Return which resources are logs."""
    return {(object_id, id_): cumulative for object_id, id_, cumulative in queries.log_resources(connection)}


def store_log(
    connection: Connection,
    endpoint_id: int,
    reading: Reading,
    received: datetime,
    believed: tuple[datetime, datetime],
    *,
    cumulative: bool,
) -> int:
    """Write the entries of a value; return how many there are.

    An entry without a time, or with one outside `believed`, is of `received`.
    """
    path, value = reading.path, reading.value
    content = value if isinstance(value, bytes | str) else str(value)
    key = {"endpoint_id": endpoint_id} | {name: getattr(path, name) for name in Path.__struct_fields__}
    if cumulative:
        raw = content.encode() if isinstance(content, str) else content
        before = queries.log_tail(connection, **key)
        entries = new_entries(b"" if before is None else bytes(before), raw)
        queries.keep_log_tail(connection, **key, content=raw)
    else:
        entries = parse_log(content)
    if entries:
        del key["resource_instance_id"]
        queries.add_log_entries(
            connection,
            **key,
            times=[_time(entry, received, believed) for entry in entries],
            severities=[None if entry.severity is None else int(entry.severity) for entry in entries],
            sources=[entry.source for entry in entries],
            messages=[entry.message for entry in entries],
            raws=[entry.raw for entry in entries],
        )
    return len(entries)


def _time(entry: Entry, received: datetime, believed: tuple[datetime, datetime]) -> datetime:
    start, end = believed
    return entry.time if entry.time is not None and start <= entry.time <= end else received


def search_log(pool: ConnectionPool, search: LogSearch, limit: int) -> Sequence[LogEntry]:
    """Return up to `limit` entries, the newest first.

    Raises NotFoundError where the endpoint was never seen, TooWideError where it takes PostgreSQL too long.
    """
    before_time, before_id = search.before or (None, None)

    def work(current: Transaction) -> list[LogEntry]:
        queries.only_read(current.connection)
        if search.endpoint is not None and not list(
            queries.endpoint_ids(current.connection, names=[search.endpoint])
        ):
            raise NotFoundError(f"no endpoint {search.endpoint!r} has been seen")
        return send_for(
            LogEntry,
            current.connection,
            queries.log_entries,
            endpoint=search.endpoint,
            from_time=search.from_time,
            to_time=search.to_time,
            severity=None if search.severity is None else int(search.severity),
            source=search.source,
            pattern=None if search.text is None else _pattern(search.text),
            before_time=before_time,
            before_id=before_id,
            limit=limit,
        ).fetchall()

    return narrow_transaction(pool, work, "look through these logs; ask for one endpoint, or a shorter time")


def _pattern(text: str) -> str:
    """Return a pattern of ILIKE that finds a text as it is."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
