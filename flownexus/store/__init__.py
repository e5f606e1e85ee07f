"""PostgreSQL: one module a noun; every statement stands in sql/, by noun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiosql
from psycopg import Connection, Cursor

queries = aiosql.from_path(Path(__file__).with_name("sql"), "psycopg")
"""The named queries of sql/; each takes a connection and its parameters by name."""


def send(connection: Connection, query: Any, **parameters: Any) -> Cursor:
    """Send a named query; in a pipeline, without waiting for what it returns, which the cursor will have."""
    return connection.execute(query.sql, parameters)
