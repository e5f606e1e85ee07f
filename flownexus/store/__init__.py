"""PostgreSQL: one module a noun; every statement stands in queries.sql."""

from __future__ import annotations

from pathlib import Path

import aiosql

queries = aiosql.from_path(Path(__file__).with_name("queries.sql"), "psycopg")
"""The named queries of queries.sql; each takes a connection and its parameters by name."""
