"""The whole of Flow Nexus on one machine: every part a process of its own, started in order."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from flownexus.credentials import write_private
from flownexus.migrate import migrate
from flownexus.store.user import first_admin_link
from local import parts, simulated, web
from local.layout import DATABASE, Layout
from local.options import CONSOLE_LINK_FILE, STATUS_FILE, Options, Ports
from local.parts import Part
from local.servers import java, nats
from local.servers.ports import holder, is_free
from local.supervise.logfile import read
from local.supervise.process import Process
from local.supervise.running import RunsWithin

POLL_INTERVAL = 0.05
READY_TIMEOUT = 60.0  # seconds
STOP_ORDER = (("simulator",), ("connector", "leshan", "downloads"), ("gateway",), ("nats",), ("postgres",))
"""Which parts are stopped at once. Leshan's end ends the long polls that the connector and the functions
would wait for; what Leshan still has it hands in while the gateway is there."""

Progress = Callable[[str], None]


class WorldError(RuntimeError):
    """The world, or a part of it, cannot be started."""


class World(Layout, RunsWithin):
    """PostgreSQL, NATS, the gateway with its functions, Leshan, the rest, and simulated devices.

    State lives in the home folder; two worlds with different homes and ports do not meet. `parts` of the
    options says what to start. As a context manager it starts on entry and stops on exit.
    """

    def __init__(self, options: Options, progress: Progress | None = None) -> None:
        super().__init__(options)
        self.parts: dict[str, Part] = {}
        self.ready = False
        self._progress = progress or (lambda _: None)
        self._status_lock = threading.Lock()
        self._began = datetime.now(UTC)

    # What can be asked of it while it runs.

    def gateway(self, method: str, path: str, body: Any = None, timeout: float = 90.0) -> Any:
        """Ask the provider API; return the answer's JSON. Raises WorldError for any but a success."""
        login = web.basic(self.secrets.read("basic-auth-user"), self.secrets.read("basic-auth-password"))
        status, text = web.request(
            self.ports.gateway, method, path, body=body, headers=login, timeout=timeout
        )
        if status >= 300:
            raise WorldError(f"{method} {path}: {status} {text}")
        return json.loads(text) if text else None

    def replicas(self, function: str | None = None) -> list[dict[str, Any]]:
        """Return the processes of one function or all: name, pid, ready, inflight, crashes, log and so on."""
        return [r for r in self.gateway("GET", "/system/replicas") if function in {None, r["function"]}]

    def scale(self, function: str, replicas: int, timeout: float = 30.0) -> None:
        """Set a function's number of replicas and wait until all are ready."""
        self.gateway("POST", f"/system/scale-function/{function}", {"replicas": replicas})
        self.await_functions(timeout)

    def await_functions(self, timeout: float = 30.0) -> None:
        """Wait until every replica of every function is ready."""
        deadline = time.monotonic() + timeout
        while not all(r["ready"] for r in self.replicas()):
            if time.monotonic() > deadline:
                raise WorldError("not all functions became ready")
            time.sleep(POLL_INTERVAL)

    def clients(self) -> list[dict[str, Any]]:
        """Return the devices that Leshan has registered."""
        token = web.bearer(self.secrets.read("flownexus-leshan-token"))
        status, text = web.request(self.ports.leshan, "GET", "/api/clients", headers=token)
        if status != 200:
            raise WorldError(f"Leshan answers {status} to GET /api/clients")
        found: list[dict[str, Any]] = json.loads(text)
        return found

    def metric(self, name: str) -> int:
        """Return one of Leshan's metrics, a whole number; the name goes without flownexus_leshan_."""
        _, text = web.request(self.ports.leshan_metrics, "GET", "/metrics")
        found = re.search(rf"^flownexus_leshan_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        if found is None:
            raise WorldError(f"Leshan has no metric {name}")
        return int(float(found[1]))

    # Its life.

    def start(self) -> None:
        """Start the parts chosen, in order; return when all are ready."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all parts."""
        self.ready = False
        with ThreadPoolExecutor() as pool:
            for names in STOP_ORDER:
                stopping = [self.parts[name] for name in names if name in self.parts]
                for part in stopping:
                    self._progress(f"stopping {part.name}")
                list(pool.map(lambda part: part.process.stop(), stopping))
        self.parts.clear()

    def start_part(self, name: str) -> None:
        """Start a part that was stopped, and wait until it is ready."""
        self.parts[name].process.start()
        self._await(self.parts[name])

    def stop_part(self, name: str) -> None:
        """Stop one part."""
        self.parts[name].process.stop()

    def restart_part(self, name: str) -> None:
        """Stop one part, start it again on the same port, and wait until it is ready."""
        self.stop_part(name)
        self.start_part(name)

    def kill_part(self, name: str) -> None:
        """End one part as a crash would; it is started again."""
        self.parts[name].process.kill()

    def await_part(self, name: str) -> None:
        """Wait until a part is ready, again."""
        self._await(self.parts[name], crashes=None)

    # How it is started.

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        wanted = self.options.parts
        self._check_ports()
        if "nats" in wanted and not self.own_nats:
            self._reach_nats()
        self.make_secrets()
        if wanted & {"leshan", "simulator"}:
            java.build(self.logs / "maven.log", self._progress)
        # What needs nobody else starts at once, so that their starting takes the time of the slowest.
        if self.own_database:
            self._launch(parts.postgres(self, self._changed))
        if self.own_nats:
            self._launch(parts.nats(self, self._changed))
        if "leshan" in wanted:
            self._launch(parts.leshan(self, self._changed))
        if self.own_database:
            self._await(self.parts["postgres"])
            self._create_database()
        if "postgres" in wanted:
            self._migrate_database()
        if self.own_nats:
            self._await(self.parts["nats"])
        if "gateway" in wanted:
            self._launch(parts.gateway(self, self._changed, self._functions_ready))
            self._await(self.parts["gateway"])
        if "leshan" in wanted:
            self._await(self.parts["leshan"])
        if "downloads" in wanted:
            self._launch(parts.downloads(self, self._changed))
        if "connector" in wanted:
            self._launch(parts.connector(self, self._changed))
        if "simulator" in wanted:
            self._launch(parts.simulator(self, self._changed, self._devices_settled))
        for name in ("downloads", "connector", "simulator"):
            if name in wanted:
                self._await(self.parts[name])
        self.write_environment()
        self._write_console_link()
        self.ready = True
        self._write_status()

    def _check_ports(self) -> None:
        wanted = self.options.parts
        needed = {
            "gateway": "gateway" in wanted,
            "tls": "gateway" in wanted and self.options.tls,
            "leshan": "leshan" in wanted,
            "leshan_metrics": "leshan" in wanted,
            "coap": "leshan" in wanted and bool(self.options.plain_endpoints()),
            "coaps": "leshan" in wanted,
            "bootstrap": "leshan" in wanted and self.options.bootstrap,
            "database": self.own_database,
            "nats": self.own_nats,
            "connector": "connector" in wanted,
            "downloads": "downloads" in wanted,
        }
        for port in fields(Ports):
            number: int = getattr(self.ports, port.name)
            kind = Ports.kind(port.name)
            if needed[port.name] and not is_free(number, kind):
                raise WorldError(
                    f"port {number} ({port.name}) is taken by {holder(number, kind)}: end that, or choose "
                    f"another port with {Ports.variable(port.name)}=..., or any free ones with PORTS=free"
                )

    def _reach_nats(self) -> None:
        try:
            nats.reach(self.nats_url)
        except nats.NatsServerError as error:
            raise WorldError(f"FLOWNEXUS_NATS_URL: the server cannot be used: {error}") from error

    def _create_database(self) -> None:
        with psycopg.connect(self.cluster.dsn(), autocommit=True) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}".encode())

    def _migrate_database(self) -> None:
        try:
            applied = migrate(self.database_url, self.role_passwords())
        except psycopg.OperationalError as error:
            raise WorldError(f"FLOWNEXUS_DATABASE_URL: the database cannot be reached: {error}") from error
        except psycopg.Error as error:
            raise WorldError(f"the database cannot be migrated: {error}") from error
        self._progress(f"migrated the database ({len(applied)} new)" if applied else "database is up to date")

    def _write_console_link(self) -> None:
        """Write down the link that makes the console's first administrator, as long as there is none."""
        link = self.home / CONSOLE_LINK_FILE
        token = None
        if {"gateway", "postgres"} <= self.options.parts:
            with psycopg.connect(self.database_url) as connection:
                token = first_admin_link(connection)
        if token is None:
            link.unlink(missing_ok=True)
        else:
            write_private(link, f"{self.console_url}/welcome/{token}\n")

    def _launch(self, part: Part) -> None:
        self._progress(f"starting {part.name}")
        self.parts[part.name] = part
        part.process.start()

    def _await(self, part: Part, crashes: int | None = 0) -> None:
        """Wait until a part is ready; fail when it has ended more often than `crashes`."""
        began = time.monotonic()
        while not part.ready():
            if crashes is not None and part.process.exits > crashes:
                raise WorldError(
                    f"{part.name} ended ({part.process.last_exit}){self._log_end(part.process.log.path)}"
                )
            if time.monotonic() - began > READY_TIMEOUT:
                waited = f"{part.name} did not become ready in {READY_TIMEOUT:.0f} s"
                raise WorldError(waited + self._log_end(part.process.log.path))
            time.sleep(POLL_INTERVAL)
        self._progress(f"{part.name} is ready")

    def _functions_ready(self) -> bool:
        try:
            replicas = self.gateway("GET", "/system/replicas", timeout=5)
        except (OSError, WorldError):
            return False
        for replica in replicas:
            if replica["crashes"] and not self.ready:
                ended = f"function {replica['function']} ended ({replica['last_exit']})"
                raise WorldError(ended + self._log_end(Path(replica["log"])))
        return bool(replicas) and all(replica["ready"] for replica in replicas)

    def _devices_settled(self) -> bool:
        """Say whether all simulated devices are known, to Leshan and in PostgreSQL, but those refused."""
        wanted = self.options.device_count() - len(simulated.refused(self.simulator_ready))
        try:
            if len(self.clients()) < wanted:
                return False
            if "gateway" not in self.options.parts:
                return True
            with psycopg.connect(self.database_url, connect_timeout=5) as connection:
                row = connection.execute("SELECT count(*) FROM endpoint WHERE registered").fetchone()
            return row is not None and int(row[0]) >= wanted
        except (OSError, psycopg.Error):
            return False

    def _changed(self, _: Process) -> None:
        self._write_status()

    def _write_status(self) -> None:
        """Write down what state each part is in, for `status`."""
        with self._status_lock:
            parts = [
                {
                    "name": part.name,
                    "state": part.process.state,
                    "pid": part.process.pid,
                    "since": part.process.since,
                    "crashes": part.process.exits,
                    "last_exit": part.process.last_exit,
                    "log": str(part.process.log.path),
                }
                for part in list(self.parts.values())
            ]
            write_private(
                self.home / STATUS_FILE,
                json.dumps(
                    {
                        "ready": self.ready,
                        "chosen": self.options.chosen,
                        "chosen_parts": sorted(self.options.parts),
                        "parts": parts,
                    }
                ),
            )

    def _log_end(self, path: Path) -> str:
        """Return the last lines of a log, none older than this start, for an error message."""
        lines = "".join(f"\n  {entry.text}" for entry in read(path, tail=12, since=self._began))
        return f"; its log, {path}, ends:{lines}" if lines else f"; its log is {path}"
