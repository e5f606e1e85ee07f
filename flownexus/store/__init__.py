"""PostgreSQL: one module a noun and caller; every statement stands in sql/, by noun.

What makes a transaction takes the pool. What is part of one takes its connection, or the Transaction itself
where it has something to do at its end. Rows come by the names of their columns.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import aiosql
from psycopg import Connection, Cursor
from psycopg.rows import class_row

T = TypeVar("T")

queries = aiosql.from_path(Path(__file__).with_name("sql"), "psycopg")
"""The named queries of sql/; each takes a connection and its parameters by name."""


def send(connection: Connection, query: Any, **parameters: Any) -> Cursor:
    """Send a named query; in a pipeline, without waiting for what it returns, which the cursor will have."""
    return connection.execute(query.sql, parameters)


def send_for(row: type[T], connection: Connection, query: Any, **parameters: Any) -> Cursor[T]:
    """Send a named query whose rows are made `row`s by the names of their columns."""
    return connection.cursor(row_factory=class_row(row)).execute(query.sql, parameters)


def as_json(row: Any) -> dict[str, Any]:
    """Return a row, a named tuple, as the REST API shows it: by name, times in ISO 8601."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row._asdict().items()
    }
