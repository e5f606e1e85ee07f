"""Migrations: each once, in order, whole or not at all, and only by files that are as they were."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from flownexus.migrate import SQL_FOLDER, MigrationError, migrate
from tests.fixtures.postgres import Database

YOYO = """
CREATE TABLE _yoyo_log (id varchar(36) PRIMARY KEY, migration_hash varchar(64), migration_id varchar(255));
CREATE TABLE _yoyo_migration (
    migration_hash varchar(64) PRIMARY KEY, migration_id varchar(255), applied_at_utc timestamp
);
CREATE TABLE _yoyo_version (version integer PRIMARY KEY, installed_at_utc timestamp);
CREATE TABLE yoyo_lock (locked integer PRIMARY KEY DEFAULT 1, ctime timestamp, pid integer NOT NULL);
INSERT INTO _yoyo_version VALUES (2, '2026-01-02');
"""
"""The tables that yoyo-migrations 9 made, as far as they matter."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as sql/ is, with no migrations."""
    (tmp_path / "roles.sql").write_text("SELECT 1;")
    (tmp_path / "migrations").mkdir()
    return tmp_path


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / "migrations" / f"{name}.sql"
    path.write_text(text)
    return path


def test_migrations_are_applied_once_and_in_order(empty_database: str, folder: Path) -> None:
    write(folder, "001_first", "CREATE TABLE a (x int);")
    assert migrate(empty_database, folder=folder) == ["001_first"]
    write(folder, "003_third", "ALTER TABLE a RENAME y TO z;")
    write(folder, "002_second", "ALTER TABLE a ADD y int;")
    assert migrate(empty_database, folder=folder) == ["002_second", "003_third"]
    assert migrate(empty_database, folder=folder) == []


def test_a_failing_migration_leaves_nothing_of_itself(empty_database: str, folder: Path) -> None:
    write(folder, "001_good", "CREATE TABLE good (x int);")
    write(folder, "002_bad", "CREATE TABLE a (x int); SELECT 1/0;")
    with pytest.raises(psycopg.Error):
        migrate(empty_database, folder=folder)
    with psycopg.connect(empty_database) as connection:
        found = connection.execute("SELECT to_regclass('good')::text, to_regclass('a')::text")
        assert found.fetchone() == ("good", None)
    write(folder, "002_bad", "CREATE TABLE a (x int);")
    assert migrate(empty_database, folder=folder) == ["002_bad"]


def test_a_migration_that_cannot_be_noted_down_is_not_applied(empty_database: str, folder: Path) -> None:
    """As if the process had been killed between the two."""
    write(folder, "001_bad", "CREATE TABLE a (x int); DROP TABLE schema_migration;")
    with pytest.raises(psycopg.Error):
        migrate(empty_database, folder=folder)
    write(folder, "001_bad", "CREATE TABLE a (x int);")
    assert migrate(empty_database, folder=folder) == ["001_bad"]


def test_two_migrations_at_once_take_turns(empty_database: str, folder: Path) -> None:
    (folder / "roles.sql").write_text("SELECT pg_sleep(0.2);")
    write(folder, "001_first", "CREATE TABLE a (x int); SELECT pg_sleep(0.2);")
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: migrate(empty_database, folder=folder), range(3)))
    assert sorted(done) == [[], [], ["001_first"]]


def test_no_migrations_is_an_error(empty_database: str, folder: Path) -> None:
    with pytest.raises(MigrationError, match="no migrations"):
        migrate(empty_database, folder=folder)


def test_an_applied_migration_that_was_changed_removed_or_overtaken_is_named(
    empty_database: str, folder: Path
) -> None:
    first = write(folder, "001_first", "CREATE TABLE a (x int);")
    second = write(folder, "002_second", "CREATE TABLE b (x int);")
    migrate(empty_database, folder=folder)
    first.write_text("CREATE TABLE a (x bigint);")
    with pytest.raises(MigrationError, match="001_first was changed after it was applied"):
        migrate(empty_database, folder=folder)
    first.write_text("CREATE TABLE a (x int);")
    second.rename(folder / "second.sql")
    with pytest.raises(MigrationError, match="002_second was applied to this database, but its file is"):
        migrate(empty_database, folder=folder)
    (folder / "second.sql").rename(second)
    between = write(folder, "001_late", "CREATE TABLE c (x int);")
    with pytest.raises(MigrationError, match="001_late comes before 002_second"):
        migrate(empty_database, folder=folder)
    between.unlink()
    assert migrate(empty_database, folder=folder) == []


def test_a_database_that_yoyo_has_migrated_goes_on(empty_database: str) -> None:
    files = sorted((SQL_FOLDER / "migrations").glob("*.sql"))
    old = [path for path in files if path.stem <= "017_object_models"]
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute((SQL_FOLDER / "roles.sql").read_bytes())
        connection.execute(YOYO)
        for path in old:
            connection.execute(path.read_bytes())
            connection.execute(
                "INSERT INTO _yoyo_migration VALUES (%s, %s, '2026-01-02 03:04:05')", [path.stem, path.stem]
            )
        assert migrate(empty_database) == [path.stem for path in files[len(old) :]]
        noted = connection.execute(
            "SELECT name FROM schema_migration WHERE applied_at = '2026-01-02 03:04:05Z' ORDER BY 1"
        )
        assert [name for (name,) in noted] == [path.stem for path in old]
        left = connection.execute("SELECT count(*) FROM pg_class WHERE relname LIKE '%yoyo%'").fetchone()
        assert left == (0,)
    assert migrate(empty_database) == []


def test_as_a_program_it_migrates_what_secrets_name(
    database: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, "-m", "flownexus.migrate", *arguments],
            cwd=SQL_FOLDER.parent,
            env={"secret_mount_path": str(tmp_path)},
            check=False,
            timeout=60,
        ).returncode

    (tmp_path / "owner").write_text(database.owner)
    (tmp_path / "grafana").write_text(database.grafana)
    assert run("owner", "grafana") == 0
    assert capfd.readouterr().out == "the database is up to date\n"
    with psycopg.connect(database.grafana) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert run("absent") == 1
    assert "secret absent cannot be read" in capfd.readouterr().err
