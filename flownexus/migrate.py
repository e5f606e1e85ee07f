"""Bring a PostgreSQL database to the schema that sql/ describes; forward only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql
from yoyo import get_backend, read_migrations

SQL_FOLDER = Path(__file__).resolve().parent.parent / "sql"
MINIMUM_VERSION = 150000  # PostgreSQL 15, as server_version_num has it


class MigrationError(RuntimeError):
    """The database cannot be brought to the schema."""


def migrate(dsn: str, passwords: Mapping[str, str] | None = None, folder: Path = SQL_FOLDER) -> list[str]:
    """Create the roles, set their passwords and apply the migrations that are missing.

    `dsn` is of a role that may create roles; it becomes the owner of the tables. `passwords` are by role
    name. Returns the names of the migrations applied now.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.info.server_version < MINIMUM_VERSION:
            raise MigrationError(
                f"PostgreSQL {connection.info.server_version // 10000} is too old: 15 or newer is needed"
            )
        # Ours and not yoyo's own, which is a row: that of a process that was killed stays locked for ever.
        connection.execute("SELECT pg_advisory_lock(hashtext('flownexus migrations'))")
        if connection.execute("SELECT to_regclass('yoyo_lock')").fetchone() != (None,):
            connection.execute("DELETE FROM yoyo_lock")
        connection.execute((folder / "roles.sql").read_bytes())
        for role, password in (passwords or {}).items():
            _set_password(connection, role, password)
        return _apply(dsn, folder / "migrations")


def _set_password(connection: psycopg.Connection, role: str, password: str) -> None:
    """Set a role's password, sent as a verifier so that no server log can hold it."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
    connection.execute(statement)


def _apply(dsn: str, folder: Path) -> list[str]:
    """Apply what is missing, each migration in a transaction of its own."""
    scheme, _, rest = dsn.partition("://")
    if scheme not in {"postgresql", "postgres"}:
        raise MigrationError(
            "the database's address must be a URL: postgresql://user:password@host:port/database"
        )
    migrations = read_migrations(str(folder))
    if not migrations:
        raise MigrationError(f"no migrations in {folder}")
    backend = get_backend(f"postgresql+psycopg://{rest}")
    try:
        with backend.lock():
            missing = list(backend.to_apply(migrations))
            for migration in missing:
                # Not apply_migrations(): it applies and notes down on two connections, and whoever is
                # killed between the two is stuck.
                with backend.transaction():
                    migration.process_steps(backend, "apply")
                    backend.mark_one(migration, log=False)
    finally:
        backend.connection.close()
    return [migration.id for migration in missing]
