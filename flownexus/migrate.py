"""Bring a PostgreSQL database to the schema that sql/ describes; forward only.

python -m flownexus.migrate does it with secrets, as a Job of a production image.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import aiosql
import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict

from flownexus.errors import MissingSettingError
from flownexus.settings import secret

SQL_FOLDER = Path(__file__).resolve().parent.parent / "sql"
MINIMUM_VERSION = 150000  # PostgreSQL 15, as server_version_num has it
CONNECT_TIMEOUT_S = 10

queries = aiosql.from_path(SQL_FOLDER / "migrate.sql", "psycopg")


class MigrationError(RuntimeError):
    """The database cannot be brought to the schema."""


def migrate(dsn: str, passwords: Mapping[str, str] | None = None, folder: Path = SQL_FOLDER) -> list[str]:
    """Create the roles, set their passwords and apply the migrations that are missing.

    `dsn` is of a role that may create roles; it becomes the owner of the tables. `passwords` are by role
    name. Returns the names of the migrations applied now. Raises MigrationError where the files are not
    those that were applied before, psycopg.Error where PostgreSQL refuses one.
    """
    files = read_migrations(folder)
    with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
        if connection.info.server_version < MINIMUM_VERSION:
            raise MigrationError(
                f"PostgreSQL {connection.info.server_version // 10000} is too old: 15 or newer is needed"
            )
        queries.lock(connection)
        create_roles(connection, folder)
        for role, password in (passwords or {}).items():
            _set_password(connection, role, password)
        with connection.transaction():
            queries.create_table(connection)
            if queries.has_yoyo(connection):
                _take_over_from_yoyo(connection, files)
            missing = missing_migrations(applied_migrations(connection), files)
        for name in missing:
            with connection.transaction():
                connection.execute(files[name])
                queries.note(connection, name=name, sha256=_sha256(files[name]))
    return missing


def read_migrations(folder: Path = SQL_FOLDER) -> dict[str, bytes]:
    """Return the files of the migrations by name, in their order."""
    files = {path.stem: path.read_bytes() for path in sorted((folder / "migrations").glob("*.sql"))}
    if not files:
        raise MigrationError(f"no migrations in {folder / 'migrations'}")
    return files


def create_roles(connection: Connection, folder: Path = SQL_FOLDER) -> None:
    """Create the roles that are missing, which belong to all databases of a server."""
    connection.execute((folder / "roles.sql").read_bytes())


def applied_migrations(connection: Connection) -> dict[str, str]:
    """Return the hashes of the migrations that a migrated database has, by name."""
    return dict(queries.applied(connection))


def missing_migrations(applied: Mapping[str, str], files: Mapping[str, bytes]) -> list[str]:
    """Return the files still to be applied, by name; raise MigrationError where history was changed."""
    for name, sha256 in applied.items():
        if name not in files:
            raise MigrationError(f"migration {name} was applied to this database, but its file is missing")
        if sha256 != _sha256(files[name]):
            raise MigrationError(
                f"migration {name} was changed after it was applied: write a new one instead"
            )
    missing = [name for name in files if name not in applied]
    if applied and missing and missing[0] < (last := max(applied)):
        raise MigrationError(f"migration {missing[0]} comes before {last}, which is applied: renumber it")
    return missing


def _sha256(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()


def _take_over_from_yoyo(connection: Connection, files: Mapping[str, bytes]) -> None:
    """Note what yoyo-migrations has applied, and remove its tables."""
    for name, applied_at in list(queries.applied_by_yoyo(connection)):
        # yoyo kept no hash of a file: what is there counts as what was applied.
        sha256 = _sha256(files.get(name, b""))
        queries.take_over(connection, name=name, sha256=sha256, applied_at=applied_at)
    queries.drop_yoyo(connection)


def _set_password(connection: Connection, role: str, password: str) -> None:
    """Set a role's password, sent as a verifier so that no server log can hold it."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
    connection.execute(statement)


def main() -> int:
    """Migrate the database that secrets name."""
    parser = argparse.ArgumentParser(prog="python -m flownexus.migrate", description=main.__doc__)
    parser.add_argument("owner", metavar="OWNER", help="the secret with the owner's URL of the database")
    parser.add_argument(
        "roles", metavar="ROLE", nargs="*", help="a secret with a role's URL, whose password the role gets"
    )
    given = parser.parse_args()
    try:
        roles = [conninfo_to_dict(secret(name)) for name in given.roles]
        passwords = {str(role["user"]): str(role["password"]) for role in roles}
        applied = migrate(secret(given.owner), passwords)
    except KeyError as error:
        return _fail(f"a role's URL has no {error.args[0]}")
    except (MigrationError, MissingSettingError, psycopg.Error) as error:
        return _fail(str(error))
    sys.stdout.write("".join(f"applied {name}\n" for name in applied) or "the database is up to date\n")
    return 0


def _fail(text: str) -> int:
    sys.stderr.write(f"error: {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
