"""The embedded PostgreSQL: durable by default, closed without a password, clear when it cannot start."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import psycopg
import pytest

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


def test_each_role_can_log_in_to_a_database_of_the_test_s_own(database: Database) -> None:
    for url in astuple(database)[1:]:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (database.name,)
