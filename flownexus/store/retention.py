"""What ages: partitions made ahead and dropped, rows forgotten, by housekeeping and never by ingest."""

from __future__ import annotations

from typing import Final

from psycopg import Connection

from flownexus.store import queries

MAINTENANCE_TIMEOUT_S: Final = 60.0
"""Seconds that one statement of maintenance may take."""


def make_partitions(connection: Connection, months_ahead: int) -> int:
    """Make this month's partitions and those of the months ahead; return how many were missing."""
    _allow_time(connection)
    return int(queries.make_partitions(connection, months_ahead=months_ahead))


def drop_partitions(connection: Connection, retention: float) -> int:
    """Drop the partitions that ended more than `retention` seconds ago; return how many."""
    _allow_time(connection)
    return int(queries.drop_partitions(connection, retention=retention))


def drop_roll_ups(connection: Connection, retention: float) -> int:
    """Drop the partitions of roll-ups that ended more than `retention` seconds ago; return how many."""
    _allow_time(connection)
    return int(queries.drop_partitions_of(connection, parent="resource_hourly", retention=retention))


def drop_logs(connection: Connection, retention: float) -> int:
    """Drop the partitions of devices' logs that ended more than `retention` seconds ago; return how many."""
    _allow_time(connection)
    return int(queries.drop_partitions_of(connection, parent="device_log", retention=retention))


def roll_up(connection: Connection, longest: float) -> bool:
    """Roll up what was stored since the last time, in `longest` seconds at most; say whether more waits."""
    _allow_time(connection)
    return bool(queries.roll_up(connection, longest=longest))


MAX_MARKS: Final = 100_000
"""How many marks are kept that have moved within the retention but not within MIN_MARK_RETENTION_S."""
MIN_MARK_RETENTION_S: Final = 30 * 24 * 3600.0
"""Seconds that a mark is kept in any case: longer than a sender holds back what it has sent before."""


MAX_UNREGISTERED_ENDPOINTS: Final = 100_000
"""How many endpoints may be not registered before those without values are forgotten after a day."""
MAX_DEAD_LETTERS: Final = 100_000
"""How many dead letters are kept at most, the newest."""


def forget_endpoints(connection: Connection, unseen: float, limit: int) -> int:
    """Remove up to `limit` endpoints without values, not seen for `unseen` seconds; return how many."""
    _allow_time(connection)
    return int(
        queries.forget_endpoints(connection, unseen=unseen, max_kept=MAX_UNREGISTERED_ENDPOINTS, limit=limit)
    )


def remove_remains(connection: Connection, limit: int) -> int:
    """Remove up to `limit` rows of each table that are left of a deleted endpoint; return how many."""
    _allow_time(connection)
    return int(queries.remove_remains(connection, limit=limit))


def forget_dead_letters(connection: Connection, retention: float, limit: int) -> int:
    """Remove up to `limit` dead letters older than `retention` seconds, or too many; return how many."""
    return int(
        queries.forget_dead_letters(connection, retention=retention, max_kept=MAX_DEAD_LETTERS, limit=limit)
    )


def forget_marks(connection: Connection, retention: float, limit: int) -> int:
    """Remove up to `limit` delivery marks that have not moved for `retention` seconds; return how many.

    Leshan takes a new source at each start: of more than MAX_MARKS the longest unmoved go before.
    """
    return int(
        queries.forget_marks(
            connection,
            retention=retention,
            max_kept=MAX_MARKS,
            min_retention=MIN_MARK_RETENTION_S,
            limit=limit,
        )
    )


def forget_expired(connection: Connection, grace: float, limit: int) -> int:
    """Mark up to `limit` endpoints as not registered whose lifetime ended over `grace` seconds ago."""
    return int(queries.forget_expired_endpoints(connection, grace=grace, limit=limit))


def forget_finished(connection: Connection, retention: float, limit: int) -> int:
    """Delete up to `limit` operations that ended over `retention` seconds ago; return how many."""
    return int(queries.forget_operations(connection, retention=retention, limit=limit))


def forget_batches(connection: Connection, retention: float, limit: int) -> int:
    """Delete up to `limit` batches, older than `retention` seconds, whose operations are all forgotten."""
    return int(queries.forget_batches(connection, retention=retention, limit=limit))


def _allow_time(connection: Connection) -> None:
    """Lift the limit of a request's statements for this transaction."""
    queries.set_statement_timeout(connection, timeout=f"{MAINTENANCE_TIMEOUT_S:.0f}s")
