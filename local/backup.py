"""Back a world up into a folder, and restore it from there: the database, the secrets, what Leshan knows.

A backup is taken while the world runs. The copy of Leshan's spool comes before the dump of the database, so
that a value is in one of the two, or in both, which the marks sort out. NATS has nothing that is not in
PostgreSQL.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from flownexus.credentials import write_private
from flownexus.migrate import (
    MigrationError,
    applied_migrations,
    create_roles,
    missing_migrations,
    read_migrations,
)
from local.layout import DATABASE, Layout
from local.options import read_environment_file
from local.servers.ports import LOOPBACK, free_port
from local.servers.postgres import SUPERUSER, Cluster, binaries
from local.supervise.instance import AlreadyRunningError, take

FORMAT = 1
MANIFEST = "manifest.json"
DUMP = "database.dump"
RESTORED = f"{DATABASE}_restored"
REPLACED = f"{DATABASE}_replaced"
OF_THE_SERVERS = {"postgres", "nats"}
"""Passwords of the servers that this world started: another world's servers have others."""
LOCK_TIMEOUT = "60s"
_SAVED = re.compile(rf"{re.escape(DUMP)}|(secrets|passwords|leshan)/\w[\w.-]*")
SPOOL_TIMEOUT = 30.0  # seconds


class BackupError(RuntimeError):
    """A backup cannot be made or restored."""


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself. Hashes are SHA-256 in hex."""

    format: int
    made_at: str
    migrations: dict[str, str]
    files: dict[str, str]
    packages_elsewhere: int = 0
    """How many firmware packages are in an object store: their bytes are not in the backup."""

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read a backup's manifest; raise BackupError where it is none, or not one of this version."""
        try:
            described = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if described["format"] != FORMAT:
                raise BackupError(
                    f"{folder} has format {described['format']}; this version of Flow Nexus reads {FORMAT}"
                )
            return cls(**described)
        except FileNotFoundError:
            raise BackupError(f"{folder} is no backup: it has no {MANIFEST}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(f"{folder / MANIFEST} cannot be read: {error!r}") from None

    def check(self, folder: Path) -> None:
        """Raise BackupError where the backup is damaged, or of a newer schema than this version has."""
        try:
            missing_migrations(self.migrations, read_migrations())
        except MigrationError as error:
            raise BackupError(
                f"{folder} was made by another version of Flow Nexus: {error}; install that version or a "
                "later one"
            ) from None
        for name, expected in {DUMP: "", **self.files}.items():
            if not _SAVED.fullmatch(name):
                raise BackupError(f"{folder} is damaged: {name} is not part of a backup")
            try:
                found = _sha256(folder / name)
            except FileNotFoundError:
                raise BackupError(f"{folder} is damaged: {name} is missing") from None
            if found != expected:
                raise BackupError(f"{folder} is damaged: {name} has changed")


def back_up(layout: Layout, folder: Path) -> Manifest:
    """Write a backup into a folder that does not exist yet, whole or not at all."""
    if folder.exists():
        raise BackupError(f"{folder} exists: a backup needs a new folder")
    if not (layout.home / "postgres" / "PG_VERSION").exists():
        raise BackupError(f"{layout.home} has no PostgreSQL of its own; back up yours with its own tools")
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(mode=0o700)
    try:
        with database(layout) as cluster:
            _save_files(layout.home, scratch)
            _save_spool(layout.home / "leshan" / "spool.db", scratch / "leshan" / "spool.db")
            with psycopg.connect(cluster.dsn(DATABASE), connect_timeout=10) as connection:
                migrations = applied_migrations(connection)
                elsewhere = _packages_elsewhere(connection)
            (scratch / DUMP).touch(mode=0o600)
            _run(
                cluster,
                "pg_dump",
                *("--format=custom", f"--lock-wait-timeout={LOCK_TIMEOUT}", f"--file={scratch / DUMP}"),
                DATABASE,
            )
        files = {
            str(path.relative_to(scratch)): _sha256(path)
            for path in sorted(scratch.rglob("*"))
            if path.is_file()
        }
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = Manifest(FORMAT, made_at, migrations, files, elsewhere)
        write_private(scratch / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch)
        raise
    return manifest


def restore(layout: Layout, folder: Path, *, replace: bool = False) -> Manifest:
    """Restore a backup into a world that is stopped and, unless `replace`, knows no device yet."""
    if layout.options.database_url:
        raise BackupError(
            "FLOWNEXUS_DATABASE_URL names a PostgreSQL of your own: restore into it by its tools"
        )
    manifest = Manifest.read(folder)
    manifest.check(folder)
    try:
        lock = take(layout.home)
    except AlreadyRunningError as error:
        raise BackupError(f"{error}: stop it first") from None
    with lock, _started(layout) as cluster, psycopg.connect(cluster.dsn(), autocommit=True) as connection:
        known = _exists(connection, DATABASE)
        if not replace and (
            (known and _has_endpoints(cluster)) or _has_keys(layout.home / "leshan" / "security.json")
        ):
            raise BackupError(f"{layout.home} has devices: use --replace to delete its data")
        create_roles(connection)
        _restore_database(connection, cluster, folder / DUMP)
        shutil.rmtree(layout.home / "leshan", ignore_errors=True)
        for name in manifest.files:
            if name != DUMP:
                _copy(folder / name, layout.home / name)
        connection.execute(f"DROP DATABASE IF EXISTS {REPLACED}".encode())
        with connection.transaction():
            if known:
                connection.execute(f"ALTER DATABASE {DATABASE} RENAME TO {REPLACED}".encode())
            connection.execute(f"ALTER DATABASE {RESTORED} RENAME TO {DATABASE}".encode())
        connection.execute(f"DROP DATABASE IF EXISTS {REPLACED}".encode())
    return manifest


@contextlib.contextmanager
def database(layout: Layout) -> Iterator[Cluster]:
    """Yield the world's PostgreSQL: as it runs, or started for as long as this takes."""
    try:
        lock = take(layout.home)
    except AlreadyRunningError:
        cluster = layout.cluster
        port = urlsplit(read_environment_file(layout.home).get("FLOWNEXUS_DATABASE_URL", "")).port
        if port is None or not (cluster := _at(cluster, port)).accepts():
            raise BackupError(f"the world in {layout.home} is starting: wait until it is ready") from None
        yield cluster
    else:
        with lock, _started(layout) as cluster:
            yield cluster


@contextlib.contextmanager
def _started(layout: Layout) -> Iterator[Cluster]:
    """Start the world's PostgreSQL, made if need be, at a port of its own."""
    layout.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    cluster = _at(layout.cluster, free_port())
    cluster.log = layout.logs / "backup.log"
    with cluster:
        yield cluster


def _at(cluster: Cluster, port: int) -> Cluster:
    cluster.port = port
    return cluster


def _run(cluster: Cluster, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on the server; raise BackupError with what it says."""
    place = ("--host", LOOPBACK, "--port", str(cluster.port), "--username", SUPERUSER, "--no-password")
    done = subprocess.run(
        [str(binaries() / program), *place, *arguments],
        env={**os.environ, "PGPASSWORD": cluster.password, "PGCONNECT_TIMEOUT": "10"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BackupError(f"{program}: {done.stderr.strip() or f'exit status {done.returncode}'}")


def _restore_database(connection: psycopg.Connection, cluster: Cluster, dump: Path) -> None:
    """Restore a dump beside the database that is there."""
    connection.execute(f"DROP DATABASE IF EXISTS {RESTORED}".encode())
    connection.execute(f"CREATE DATABASE {RESTORED}".encode())
    try:
        _run(cluster, "pg_restore", "--exit-on-error", f"--dbname={RESTORED}", str(dump))
        with psycopg.connect(cluster.dsn(RESTORED), autocommit=True) as restored:
            restored.execute("ANALYZE")
    except BaseException:
        connection.execute(f"DROP DATABASE {RESTORED} WITH (FORCE)".encode())
        raise


def _save_files(home: Path, scratch: Path) -> None:
    """Copy the secrets, and the devices' credentials."""
    for source in sorted((home / "secrets").iterdir()):
        _copy(source, scratch / "secrets" / source.name)
    for source in sorted((home / "passwords").iterdir()):
        if source.name not in OF_THE_SERVERS:
            _copy(source, scratch / "passwords" / source.name)
    keys = home / "leshan" / "security.json"
    if keys.exists():
        _copy(keys, scratch / "leshan" / keys.name)


def _save_spool(spool: Path, target: Path) -> None:
    """Copy Leshan's spool as it is at one moment, also while Leshan writes it."""
    if not spool.exists():
        return
    target.parent.mkdir(exist_ok=True, mode=0o700)
    target.touch(mode=0o600)
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{spool.as_uri()}?mode=ro", uri=True, timeout=SPOOL_TIMEOUT)
            ) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
    except sqlite3.Error as error:
        raise BackupError(f"Leshan's spool, {spool}, cannot be copied: {error}") from error


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that only its owner can read it."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    scratch.touch(mode=0o600)
    shutil.copyfile(source, scratch)
    scratch.replace(target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _exists(connection: psycopg.Connection, database: str) -> bool:
    return connection.execute("SELECT FROM pg_database WHERE datname = %s", [database]).fetchone() is not None


def _packages_elsewhere(connection: psycopg.Connection) -> int:
    """Return how many packages are in an object store; none before there were any stores."""
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'firmware_chunk'"
    if ("object",) not in connection.execute(columns).fetchall():
        return 0
    packages = "SELECT DISTINCT firmware_id FROM firmware_chunk WHERE object IS NOT NULL"
    return len(connection.execute(packages).fetchall())


def _has_endpoints(cluster: Cluster) -> bool:
    """Say whether the database knows a device."""
    with psycopg.connect(cluster.dsn(DATABASE)) as connection:
        if connection.execute("SELECT to_regclass('endpoint')").fetchone() == (None,):
            return False
        return connection.execute("SELECT FROM endpoint LIMIT 1").fetchone() is not None


def _has_keys(store: Path) -> bool:
    """Say whether Leshan has credentials of a device."""
    try:
        return bool(json.loads(store.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return False
