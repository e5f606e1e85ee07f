"""The embedded PostgreSQL: durable by default, closed to strangers, clear when it cannot start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

import psycopg
import pytest

from flownexus.migrate import MigrationError, migrate
from local.servers.postgres import Cluster, PostgresError
from tests.fixtures.postgres import Database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "data"


def test_data_outlive_a_restart_and_durability_is_on(folder: Path) -> None:
    with Cluster(folder, "right") as cluster, psycopg.connect(cluster.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            row = connection.execute("SELECT current_setting(%s)", [setting]).fetchone()
            assert row == ("on",), setting
    with Cluster(folder, "right") as cluster, psycopg.connect(cluster.dsn()) as connection:
        assert connection.execute("SELECT x FROM kept").fetchone() == (1,)


def test_a_wrong_password_is_refused_and_nothing_is_left_running(folder: Path) -> None:
    with Cluster(folder, "right") as cluster, pytest.raises(psycopg.OperationalError):
        psycopg.connect(cluster.dsn(password="wrong"))
    with pytest.raises(PostgresError, match="another password"):
        Cluster(folder, "changed").start()
    assert not (folder / "postmaster.pid").exists()


def test_a_taken_port_is_named_in_the_error(folder: Path) -> None:
    with (
        Cluster(folder, "right") as cluster,
        pytest.raises(PostgresError, match="Address already in use"),
    ):
        Cluster(folder.with_name("other"), "right", port=cluster.port).start()


def test_migrations_are_applied_once_and_in_order(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "roles.sql").write_text("SELECT 1;")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "001_first.sql").write_text("CREATE TABLE a (x int);")
    assert migrate(empty_database, folder=tmp_path) == ["001_first"]
    (tmp_path / "migrations" / "002_second.sql").write_text("ALTER TABLE a ADD y int;")
    assert migrate(empty_database, folder=tmp_path) == ["002_second"]
    assert migrate(empty_database, folder=tmp_path) == []


def test_a_failing_migration_leaves_nothing_of_itself(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "roles.sql").write_text("SELECT 1;")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "001_bad.sql").write_text("CREATE TABLE a (x int); SELECT 1/0;")
    with pytest.raises(psycopg.Error):
        migrate(empty_database, folder=tmp_path)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('a')").fetchone() == (None,)


def test_a_migration_that_cannot_be_noted_down_is_not_applied(empty_database: str, tmp_path: Path) -> None:
    """As if the process had been killed between the two."""
    (tmp_path / "roles.sql").write_text("SELECT 1;")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "001_bad.sql").write_text(
        "CREATE TABLE a (x int); DROP TABLE _yoyo_migration;"
    )
    with pytest.raises(psycopg.Error):
        migrate(empty_database, folder=tmp_path)
    (tmp_path / "migrations" / "001_bad.sql").write_text("CREATE TABLE a (x int);")
    assert migrate(empty_database, folder=tmp_path) == ["001_bad"]


def test_a_lock_left_by_a_killed_migration_does_not_matter(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "roles.sql").write_text("SELECT 1;")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "001_first.sql").write_text("CREATE TABLE a (x int);")
    migrate(empty_database, folder=tmp_path)
    with psycopg.connect(empty_database) as connection:
        connection.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    assert migrate(empty_database, folder=tmp_path) == []


def test_two_migrations_at_once_take_turns(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "roles.sql").write_text("SELECT pg_sleep(0.2);")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "001_first.sql").write_text("CREATE TABLE a (x int); SELECT pg_sleep(0.2);")
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: migrate(empty_database, folder=tmp_path), range(3)))
    assert sorted(done) == [[], [], ["001_first"]]


def test_no_migrations_is_an_error(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "roles.sql").write_text("SELECT 1;")
    (tmp_path / "migrations").mkdir()
    with pytest.raises(MigrationError, match="no migrations"):
        migrate(empty_database, folder=tmp_path)


def test_each_role_can_log_in_to_a_database_of_the_test_s_own(database: Database) -> None:
    for url in astuple(database)[1:]:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (database.name,)
