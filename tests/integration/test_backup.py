"""Backup and restore of a world: what is saved, what is refused, and what a failure leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import REPOSITORY, backup, commands
from local.backup import BackupError, Manifest, back_up, restore
from local.layout import DATABASE, Layout
from local.options import Options, Ports
from local.supervise.instance import take
from local.world import World

KEYS = '[{"endpoint": "my-0001"}]'
ENDPOINTS = "SELECT name FROM endpoint ORDER BY name"


def options(home: Path) -> Options:
    return Options(home=home, ports=Ports.any_free(), parts=frozenset({"postgres"}))


def spool(home: Path) -> sqlite3.Connection:
    """Open the spool as Leshan does; what is committed may stand in its log alone."""
    (home / "leshan").mkdir(mode=0o700, exist_ok=True)
    connection = sqlite3.connect(home / "leshan" / "spool.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def query(home: Path, statement: str) -> list[Any]:
    """Ask the database of a world that is stopped."""
    with (
        backup._started(Layout(options(home))) as cluster,
        psycopg.connect(cluster.dsn(DATABASE)) as database,
    ):
        return database.execute(statement.encode()).fetchall()


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of a world with two devices and what waits in the spool, stopped, and its backup."""
    folder = tmp_path_factory.mktemp("lived in")  # with a space
    home = folder / "home"
    with take(home), World(options(home)) as world, closing(spool(home)) as items:
        with psycopg.connect(world.database_url) as database:
            database.execute("INSERT INTO endpoint (name) VALUES ('sim-0001'), ('sim-0002')")
            database.execute(
                "INSERT INTO firmware (version, file_name, size_bytes, sha256)"
                " VALUES ('1', 'a', 1, sha256(''))"
            )
            database.execute(
                "INSERT INTO firmware_chunk (firmware_id, number, object)"
                " VALUES (1, 0, 'firmware/1/0-a'), (1, 1, 'firmware/1/1-b')"
            )
            database.execute(
                "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (3303, 5700, 'FLOAT')"
            )
            database.execute(
                "INSERT INTO resource"
                " (time, id, endpoint_id, resource_type_id, object_instance_id, float_value)"
                " SELECT now(), n, 1, 1, 0, n FROM generate_series(1, 1000) n"
            )
        items.execute("CREATE TABLE chunk (seq integer)")
        items.execute("INSERT INTO chunk VALUES (42)")
        (home / "leshan" / "security.json").write_text(KEYS)
        back_up(world, folder / "backup")
    return folder


@pytest.fixture
def saved(lived_in: Path, tmp_path: Path) -> Path:
    """Return a copy of the backup."""
    return Path(shutil.copytree(lived_in / "backup", tmp_path / "backup"))


@pytest.fixture
def home(lived_in: Path, tmp_path: Path) -> Path:
    """Return a copy of the home."""
    return Path(shutil.copytree(lived_in / "home", tmp_path / "home"))


def resign(folder: Path, more: dict[str, str] | None = None, **changes: Any) -> None:
    """Change a backup's manifest; the hashes of its files are true."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] |= more or {}
    for name in manifest["files"]:
        if (folder / name).exists():
            manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def test_a_running_world_is_saved_and_restored_into_an_empty_one(lived_in: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    restore(Layout(options(home)), lived_in / "backup")
    assert query(home, ENDPOINTS) == [("sim-0001",), ("sim-0002",)]
    assert query(home, "SELECT count(*), sum(float_value) FROM resource") == [(1000, 500500)]
    with closing(sqlite3.connect(home / "leshan" / "spool.db")) as items:
        assert items.execute("SELECT seq FROM chunk").fetchall() == [(42,)]
    assert (home / "leshan" / "security.json").read_text() == KEYS
    for name in ("secrets/flownexus-api-token", "passwords/flownexus-reader"):
        assert (home / name).read_text() == (lived_in / "home" / name).read_text()
    restored = [path for part in ("secrets", "passwords", "leshan") for path in (home / part).rglob("*")]
    assert not [path for path in restored if path.stat().st_mode & 0o077]


def test_a_backup_says_how_many_packages_are_in_an_object_store_and_not_in_it(
    lived_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Manifest.read(lived_in / "backup").packages_elsewhere == 1
    assert commands.restore(options(tmp_path / "home"), lived_in / "backup") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "not in the backup: firmware packages in the object store (1)" in told


def test_a_restored_world_starts_and_its_roles_have_the_passwords_that_were_saved(
    lived_in: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    restore(Layout(options(home)), lived_in / "backup")
    password = (lived_in / "home" / "passwords" / "flownexus-reader").read_text()
    with (
        World(options(home)) as world,
        psycopg.connect(world.cluster.dsn(DATABASE, "flownexus_reader", password)) as database,
    ):
        assert database.execute("SELECT count(*) FROM telemetry").fetchone() == (1000,)


def test_a_restored_database_is_analyzed(lived_in: Path, tmp_path: Path) -> None:
    restore(Layout(options(tmp_path / "home")), lived_in / "backup")
    assert query(tmp_path / "home", "SELECT reltuples FROM pg_class WHERE relname = 'resource'") == [(1000,)]


def test_a_stopped_world_is_saved_too(home: Path, tmp_path: Path) -> None:
    back_up(Layout(options(home)), tmp_path / "again")
    again = tmp_path / "other"
    restore(Layout(options(again)), tmp_path / "again")
    assert query(again, ENDPOINTS) == [("sim-0001",), ("sim-0002",)]


def test_a_backup_is_readable_by_its_owner_alone_and_has_no_password_of_a_server(lived_in: Path) -> None:
    folder = lived_in / "backup"
    assert not [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]
    assert not {"postgres", "nats"} & {path.name for path in (folder / "passwords").iterdir()}


def test_a_world_that_was_started_and_knows_no_device_is_empty(saved: Path, tmp_path: Path) -> None:
    with World(options(tmp_path / "home")):
        pass
    restore(Layout(options(tmp_path / "home")), saved)
    assert query(tmp_path / "home", ENDPOINTS) == [("sim-0001",), ("sim-0002",)]


def test_a_world_with_devices_is_replaced_only_when_told_so(home: Path, saved: Path) -> None:
    with (
        backup._started(Layout(options(home))) as cluster,
        psycopg.connect(cluster.dsn(DATABASE)) as database,
    ):
        database.execute("INSERT INTO endpoint (name) VALUES ('sim-0003')")
    with pytest.raises(BackupError, match=r"has devices: .*--replace"):
        restore(Layout(options(home)), saved)
    assert ("sim-0003",) in query(home, ENDPOINTS)
    restore(Layout(options(home)), saved, replace=True)
    assert query(home, ENDPOINTS) == [("sim-0001",), ("sim-0002",)]
    assert query(home, "SELECT datname FROM pg_database WHERE datname LIKE 'flownexus%'") == [(DATABASE,)]


def test_a_world_with_keys_of_devices_is_not_empty(saved: Path, tmp_path: Path) -> None:
    keys = tmp_path / "home" / "leshan" / "security.json"
    keys.parent.mkdir(parents=True)
    keys.write_text(KEYS)
    with pytest.raises(BackupError, match="has devices"):
        restore(Layout(options(tmp_path / "home")), saved)
    keys.write_text("[]")
    restore(Layout(options(tmp_path / "home")), saved)


def test_a_spool_of_what_is_replaced_is_gone(home: Path, saved: Path) -> None:
    shutil.rmtree(saved / "leshan")
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"] = {name: sha for name, sha in manifest["files"].items() if "leshan" not in name}
    (saved / "manifest.json").write_text(json.dumps(manifest))
    restore(Layout(options(home)), saved, replace=True)
    assert not (home / "leshan").exists()


def test_a_world_that_runs_or_starts_is_not_restored_into_nor_saved_half_started(
    home: Path, saved: Path
) -> None:
    with take(home):
        with pytest.raises(BackupError, match=r"runs in .* already: stop it first"):
            restore(Layout(options(home)), saved)
        with pytest.raises(BackupError, match="is starting: wait until it is ready"):
            back_up(Layout(options(home)), home.parent / "another")
    assert sorted(path.name for path in home.parent.iterdir()) == ["backup", "home"]


def test_a_folder_that_exists_is_not_written_to(home: Path, saved: Path) -> None:
    with pytest.raises(BackupError, match="exists"):
        back_up(Layout(options(home)), saved)


def test_a_database_of_the_user_s_own_is_left_to_its_own_tools(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no PostgreSQL of its own"):
        back_up(Layout(options(tmp_path / "home")), tmp_path / "new")
    theirs = Options(home=tmp_path / "home", database_url="postgresql://me@example.com/mine")
    with pytest.raises(BackupError, match="PostgreSQL of your own"):
        restore(Layout(theirs), saved)


def test_a_failed_dump_leaves_no_half_of_a_backup(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "LOCK_TIMEOUT", "200ms")
    layout = Layout(options(home))
    with backup._started(layout) as cluster, psycopg.connect(cluster.dsn(DATABASE)) as database:
        monkeypatch.setattr(backup, "database", lambda _: nullcontext(cluster))
        database.execute("LOCK TABLE endpoint IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(BackupError, match=r"pg_dump: .*timeout"):
            back_up(layout, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_spool_that_cannot_be_read_stops_the_backup(home: Path, tmp_path: Path) -> None:
    for path in (home / "leshan").glob("spool.db*"):
        path.write_bytes(b"not a database at all, but long enough to have a head" * 100)
    with pytest.raises(BackupError, match="spool"):
        back_up(Layout(options(home)), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_dump_that_postgresql_refuses_leaves_what_was_there(home: Path, saved: Path) -> None:
    dump = saved / "database.dump"
    dump.write_bytes(dump.read_bytes()[:-20_000])
    resign(saved)
    with pytest.raises(BackupError, match="pg_restore: "):
        restore(Layout(options(home)), saved, replace=True)
    assert query(home, ENDPOINTS) == [("sim-0001",), ("sim-0002",)]
    assert (home / "leshan" / "security.json").read_text() == KEYS
    assert query(home, "SELECT datname FROM pg_database WHERE datname LIKE 'flownexus%'") == [(DATABASE,)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "is no backup: it has no manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": 1}'), "cannot be read"),
        (lambda folder: resign(folder, format=2), "has format 2; this version of Flow Nexus reads 1"),
        (lambda folder: (folder / "database.dump").unlink(), "database.dump is missing"),
        (lambda folder: (folder / "leshan" / "security.json").write_text("[]"), "security.json has changed"),
        (lambda folder: resign(folder, files={}), "database.dump has changed"),
        (lambda folder: resign(folder, {"../x": ""}), "is damaged: ../x is not part of a backup"),
        (lambda folder: resign(folder, {"leshan/../x": ""}), "x is not part of a backup"),
        (lambda folder: resign(folder, migrations={"999_new": ""}), "another version .*999_new"),
        (lambda folder: resign(folder, migrations={"001_model": ""}), "another version .*001_model"),
    ],
)
def test_a_backup_that_is_damaged_or_too_new_is_refused(
    change: Any, message: str, saved: Path, tmp_path: Path
) -> None:
    change(saved)
    with pytest.raises(BackupError, match=message):
        restore(Layout(options(tmp_path / "home")), saved)
    assert not (tmp_path / "home" / "postgres").exists()


def test_the_commands_say_what_they_did_and_what_is_wrong(home: Path, tmp_path: Path) -> None:
    def run(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "FLOWNEXUS_HOME": str(where), "PORTS": "free"}
        return subprocess.run(
            [sys.executable, "-m", "local", *arguments],
            cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    done = run(home, "backup", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    assert f"to {tmp_path / 'new'}: 0." in done.stdout
    done = run(home, "backup", str(tmp_path / "not" / "there" / "yet"))
    assert done.returncode == 0, done.stderr
    done = run(tmp_path / "other", "restore", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    assert Manifest.read(tmp_path / "new").made_at in done.stdout
    done = run(tmp_path / "other", "restore", str(tmp_path / "new"))
    assert done.returncode == 1
    assert "--replace" in done.stderr
    done = run(tmp_path / "other", "restore", "--replace", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
