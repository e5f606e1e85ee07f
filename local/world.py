"""The whole of Flow Nexus on one machine: every part a process of its own, started in order."""

from __future__ import annotations

import json
import re
import secrets as randomness
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg

from flownexus.settings import Timeouts
from local import java, nats, postgres, web
from local.credentials import SecretFolder
from local.logfile import LogFile, read
from local.migrate import migrate
from local.options import ENVIRONMENT_FILE, PARTS, REPOSITORY, Options, Ports
from local.ports import LOOPBACK, holder, is_free
from local.process import MARK, Command, Process

DATABASE = "flownexus"
ROLES = {
    "flownexus-database-url": "flownexus_functions",
    "flownexus-housekeeping-database-url": "flownexus_housekeeping",
    "flownexus-grafana-database-url": "flownexus_grafana",
}
TOKENS = (
    "flownexus-webhook-token",
    "flownexus-connector-token",
    "flownexus-api-token",
    "flownexus-leshan-token",
)
STATUS_FILE = "run/status.json"
POLL_INTERVAL = 0.05
DOWNLINK_NICE = 3  # as far as stack.yml has the functions of operations stand back

Progress = Callable[[str], None]


class WorldError(RuntimeError):
    """The world, or a part of it, cannot be started."""


@dataclass
class Part:
    """One process of the world."""

    name: str
    process: Process
    ready: Callable[[], bool]
    timeout: float = 60.0


class World:
    """PostgreSQL, NATS, the gateway with its functions, Leshan, the connector and simulated devices.

    State lives in the home folder; two worlds with different homes and ports do not meet. `parts` of the
    options says what to start. As a context manager it starts on entry and stops on exit.
    """

    def __init__(self, options: Options, progress: Progress | None = None) -> None:
        self.options = options
        self.home = options.home
        self.ports: Ports = options.ports.settled()
        self.timeouts = Timeouts.of(options.long_poll_timeout)
        self.secrets = SecretFolder(self.home / "secrets")
        self.parts: dict[str, Part] = {}
        self.ready = False
        self._passwords = SecretFolder(self.home / "passwords")
        self._progress = progress or (lambda _: None)
        self._status_lock = threading.Lock()

    # What others need to know of it.

    @property
    def gateway_url(self) -> str:
        """Return the gateway's URL."""
        return f"http://{LOOPBACK}:{self.ports.gateway}"

    @property
    def leshan_url(self) -> str:
        """Return the URL of Leshan's REST API."""
        return f"http://{LOOPBACK}:{self.ports.leshan}"

    @property
    def coap_url(self) -> str:
        """Return where devices register."""
        return f"coap://{LOOPBACK}:{self.ports.coap}"

    @property
    def coaps_url(self) -> str:
        """Return where devices register over DTLS."""
        return f"coaps://{LOOPBACK}:{self.ports.coaps}"

    @property
    def database_url(self) -> str:
        """Return the owner's URL of the database; a secret."""
        if self.options.database_url:
            return self.options.database_url
        password = self._passwords.random("postgres")
        return postgres.dsn(postgres.SUPERUSER, password, self.ports.database, DATABASE)

    @property
    def nats_url(self) -> str:
        """Return NATS's URL; a secret."""
        if self.options.nats_url:
            return self.options.nats_url
        return f"nats://{nats.USER}:{self._passwords.random('nats')}@{LOOPBACK}:{self.ports.nats}"

    @property
    def logs(self) -> Path:
        """Return the folder of the logs."""
        return self.home / "logs"

    @property
    def ledger(self) -> Path:
        """Return the file with a line for each value that was acknowledged."""
        return self.home / "simulator" / "ledger.jsonl"

    @property
    def unacknowledged(self) -> Path:
        """Return the file with a line for each value that was sent and never acknowledged."""
        return self.home / "simulator" / "unacknowledged.jsonl"

    @property
    def requests(self) -> Path:
        """Return the file with a line for each request that a simulated device received."""
        return self.home / "simulator" / "requests.jsonl"

    def environment(self) -> dict[str, str]:
        """Return what a client of the world needs, as in the file `env`."""
        values = {
            "FLOWNEXUS_GATEWAY": self.gateway_url,
            "FLOWNEXUS_DATABASE_URL": self.database_url,
            "FLOWNEXUS_LESHAN_URL": self.leshan_url,
            "FLOWNEXUS_NATS_URL": self.nats_url,
            "FLOWNEXUS_COAP": self.coap_url,
            "FLOWNEXUS_COAPS": self.coaps_url,
            "FLOWNEXUS_SECRETS": str(self.secrets.folder),
            "FLOWNEXUS_API_TOKEN_FILE": str(self.secrets.path("flownexus-api-token")),
            "FLOWNEXUS_LESHAN_TOKEN_FILE": str(self.secrets.path("flownexus-leshan-token")),
            "FLOWNEXUS_WEBHOOK_TOKEN_FILE": str(self.secrets.path("flownexus-webhook-token")),
            "FLOWNEXUS_BASIC_AUTH_PASSWORD_FILE": str(self.secrets.path("basic-auth-password")),
        }
        # So that a later start, of this world or another, can tell the user's own from ours, see
        # Options.from_environment.
        if not self.options.database_url:
            values["FLOWNEXUS_EMBEDDED_DATABASE_URL"] = self.database_url
        if not self.options.nats_url:
            values["FLOWNEXUS_EMBEDDED_NATS_URL"] = self.nats_url
        return values

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
        token = web.bearer(self.secrets.read("flownexus-leshan-token"))
        _, text = web.request(self.ports.leshan, "GET", "/metrics", headers=token)
        found = re.search(rf"^flownexus_leshan_{name} (\d+)$", text, re.MULTILINE)
        if found is None:
            raise WorldError(f"Leshan has no metric {name}")
        return int(found[1])

    # Its life.

    def start(self) -> None:
        """Start the parts chosen, in order; return when all are ready."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all parts, the last one first."""
        self.ready = False
        # Leshan goes before the gateway: it hands in what it has, and its end ends the long polls that
        # dispatch-op would wait for.
        for name in reversed(PARTS):
            if name in self.parts:
                self._progress(f"stopping {name}")
                self.parts[name].process.stop()
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

    def __enter__(self) -> World:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # How it is started.

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        wanted = self.options.parts
        own_database = "postgres" in wanted and not self.options.database_url
        own_nats = "nats" in wanted and not self.options.nats_url
        self._check_ports(wanted, own_database=own_database, own_nats=own_nats)
        if "nats" in wanted and not own_nats:
            self._reach_nats()
        self._make_secrets()
        if wanted & {"leshan", "simulator"}:
            self._progress("looking at the Java parts")
            if java.build(self.logs / "maven.log"):
                self._progress("built the Java parts")
        # What needs nobody else starts at once, so that their starting takes the time of the slowest.
        if own_database:
            self._launch(self._postgres())
        if own_nats:
            self._launch(self._nats())
        if "leshan" in wanted:
            self._launch(self._leshan())
        if own_database:
            self._await(self.parts["postgres"])
        if "postgres" in wanted:
            self._prepare_database(own=own_database)
        if own_nats:
            self._await(self.parts["nats"])
        if "gateway" in wanted:
            self._launch(self._gateway())
            self._await(self.parts["gateway"])
        if "leshan" in wanted:
            self._await(self.parts["leshan"])
        if "connector" in wanted:
            self._launch(self._connector())
        if "simulator" in wanted:
            self._launch(self._simulator())
        for name in ("connector", "simulator"):
            if name in wanted:
                self._await(self.parts[name])
        self._write_environment()
        self.ready = True
        self._write_status()

    def _check_ports(self, wanted: frozenset[str], *, own_database: bool, own_nats: bool) -> None:
        needed = {
            "gateway": "gateway" in wanted,
            "leshan": "leshan" in wanted,
            "coap": "leshan" in wanted,
            "coaps": "leshan" in wanted,
            "database": own_database,
            "nats": own_nats,
            "connector": "connector" in wanted,
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

    def _make_secrets(self) -> None:
        for token in TOKENS:
            self.secrets.random(token)
        if "basic-auth-user" not in self.secrets:
            self.secrets.write("basic-auth-user", "admin")
        self.secrets.random("basic-auth-password")
        for secret, role in ROLES.items():
            self.secrets.write(secret, _with_user(self.database_url, role, self._password(role)))
        self.secrets.write("flownexus-nats-url", self.nats_url)

    def _password(self, role: str) -> str:
        return self._passwords.random(role.replace("_", "-"))

    def _prepare_database(self, *, own: bool) -> None:
        if own:
            with psycopg.connect(self._postgres_cluster().dsn(), autocommit=True) as connection:
                found = connection.execute(
                    "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone()
                if found is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        try:
            applied = migrate(self.database_url, {role: self._password(role) for role in ROLES.values()})
        except psycopg.OperationalError as error:
            raise WorldError(f"FLOWNEXUS_DATABASE_URL: the database cannot be reached: {error}") from error
        except psycopg.Error as error:
            raise WorldError(f"the database cannot be migrated: {error}") from error
        self._progress(f"migrated the database ({len(applied)} new)" if applied else "database is up to date")

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
                    f"{part.name} ended ({part.process.last_exit}){_log_end(part.process.log.path)}"
                )
            if time.monotonic() - began > part.timeout:
                waited = f"{part.name} did not become ready in {part.timeout:.0f} s"
                raise WorldError(waited + _log_end(part.process.log.path))
            time.sleep(POLL_INTERVAL)
        self._progress(f"{part.name} is ready")

    def _part(
        self,
        name: str,
        command: Callable[[], Command],
        ready: Callable[[], bool],
        *,
        timeout: float = 60.0,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_timeout: float = 20.0,
    ) -> Part:
        process = Process(
            name,
            command,
            LogFile(self.logs / f"{name}.log"),
            stop_signal=stop_signal,
            stop_timeout=stop_timeout,
            on_change=lambda _: self._write_status(),
        )
        return Part(name, process, ready, timeout)

    def _command(
        self,
        arguments: list[str],
        environment: Mapping[str, str] | None = None,
        folder: Path = REPOSITORY,
        nice: int = 0,
    ) -> Command:
        return Command(arguments, {**(environment or {}), MARK: str(self.home)}, folder, nice)

    # The parts.

    def _postgres_cluster(self) -> postgres.Cluster:
        return postgres.Cluster(
            self.home / "postgres",
            self._passwords.random("postgres"),
            port=self.ports.database,
            durable=self.options.durable,
        )

    def _postgres(self) -> Part:
        cluster = self._postgres_cluster()
        cluster.initialize()
        return self._part(
            "postgres",
            lambda: self._command(cluster.command(), folder=Path("/")),
            lambda: self.parts["postgres"].process.pid is not None and cluster.accepts(),
            stop_signal=signal.SIGINT,  # roll open transactions back and stop
            stop_timeout=30.0,
        )

    def _nats(self) -> Part:
        server = nats.Server(self.home / "nats", self._passwords.random("nats"), port=self.ports.nats)
        server.initialize()
        return self._part(
            "nats",
            lambda: self._command(server.command(), folder=Path("/")),
            lambda: self.parts["nats"].process.pid is not None and server.accepts(),
        )

    def _gateway(self) -> Part:
        arguments = [
            *(sys.executable, "-m", "local.provider"),
            *("--port", str(self.ports.gateway)),
            *("--stack", str(self.options.stack)),
            *("--secrets", str(self.secrets.folder)),
            *("--state", str(self.home / "functions")),
            *("--logs", str(self.logs / "functions")),
            *("--long-poll-timeout", milliseconds(self.timeouts.leshan)),
        ]
        environment = {
            "LONG_POLL_TIMEOUT": milliseconds(self.timeouts.leshan),
            "EXEC_TIMEOUT": milliseconds(self.timeouts.execution),
            "LESHAN_URL": self.leshan_url,
            **self.options.stack_environment,
            "PYTHONPATH": str(REPOSITORY),
        }
        return self._part(
            "gateway",
            lambda: self._command(arguments, environment),
            self._functions_ready,
            stop_timeout=max(self.timeouts.execution, 20.0) + 15,
        )

    def _functions_ready(self) -> bool:
        try:
            replicas = self.gateway("GET", "/system/replicas", timeout=5)
        except (OSError, WorldError):
            return False
        for replica in replicas:
            if replica["crashes"] and not self.ready:
                ended = f"function {replica['function']} ended ({replica['last_exit']})"
                raise WorldError(ended + _log_end(Path(replica["log"])))
        return bool(replicas) and all(replica["ready"] for replica in replicas)

    def _leshan(self) -> Part:
        folder = self.home / "leshan"
        folder.mkdir(exist_ok=True, mode=0o700)
        arguments = [
            *(
                java.java(),
                "-Xms128m",  # not a part of the machine's memory, however large that is
                "-Xmn96m",  # so that messages remembered for a while are copied less often
                "-Xmx512m",
                "-XX:+UseSerialGC",
                "-jar",
                str(java.SERVER_JAR),
            ),
            *("--coap-host", LOOPBACK, "--coap-port", str(self.ports.coap)),
            *("--coaps-port", str(self.ports.coaps)),
            *("--http-host", LOOPBACK, "--http-port", str(self.ports.leshan)),
            *("--api-token-file", str(self.secrets.path("flownexus-leshan-token"))),
            *("--webhook-single", f"{self.gateway_url}/leshan_api/resource/single"),
            *("--webhook-composite", f"{self.gateway_url}/leshan_api/resource/composite"),
            *("--webhook-registration", f"{self.gateway_url}/function/registration"),
            *("--webhook-token-file", str(self.secrets.path("flownexus-webhook-token"))),
            *("--security-store", str(folder / "security.json")),
            *("--spool", str(folder / "spool.db")),
            *("--client-awake-time", milliseconds(self.options.awake_time)),
            *("--ready-file", str(folder / "ready.json")),
            *self.options.leshan_arguments,
        ]
        return self._part(
            "leshan",
            lambda: self._command(arguments, folder=folder),
            lambda: self.parts["leshan"].process.pid is not None and _answers(self.ports.leshan, "/healthz"),
        )

    def _connector(self) -> Part:
        environment = {
            "gateway_url": self.gateway_url,
            "secret_mount_path": str(self.secrets.folder),
            "long_poll_timeout": milliseconds(self.timeouts.leshan),
            "port": str(self.ports.connector),
            "PYTHONPATH": str(REPOSITORY),
        }
        return self._part(
            "connector",
            lambda: self._command([sys.executable, "-m", "connector"], environment, nice=DOWNLINK_NICE),
            lambda: (
                self.parts["connector"].process.pid is not None and _answers(self.ports.connector, "/healthz")
            ),
        )

    def _simulator(self) -> Part:
        folder = self.home / "simulator"
        folder.mkdir(exist_ok=True, mode=0o700)
        ready_file = folder / "ready.json"
        arguments = [
            *(java.java(), "-Xmx512m", "-XX:+UseSerialGC", "-jar", str(java.SIMULATOR_JAR)),
            *("--server", self.coap_url),
            *(word for group in self.options.device_groups() for word in ("--group", group)),
            *("--ledger", str(self.ledger), "--unacknowledged", str(self.unacknowledged)),
            *("--requests", str(self.requests)),
            *("--control-port", "0"),
            *("--ready-file", str(ready_file)),
            *self.options.simulator_arguments,
        ]

        def command() -> Command:
            ready_file.unlink(missing_ok=True)
            return self._command(arguments, folder=folder)

        return self._part("simulator", command, lambda: ready_file.exists() and self._devices_registered())

    def _devices_registered(self) -> bool:
        """Say whether all simulated devices are known: to Leshan, and to those who ask PostgreSQL."""
        wanted = self.options.device_count()
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

    @property
    def simulator_port(self) -> int:
        """Return the port of the simulator's control API."""
        port: int = json.loads((self.home / "simulator" / "ready.json").read_text())["control"]
        return port

    # What it leaves for others.

    def _write_environment(self) -> None:
        lines = [f"{name}={shlex.quote(value)}" for name, value in self.environment().items()]
        write_private(self.home / ENVIRONMENT_FILE, "\n".join(lines) + "\n")

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
            write_private(self.home / STATUS_FILE, json.dumps({"ready": self.ready, "parts": parts}))


def milliseconds(seconds: float) -> str:
    """Return a duration as Go and our settings write it."""
    return f"{round(seconds * 1000)}ms"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.{randomness.token_hex(4)}")
    scratch.touch(mode=0o600)
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _with_user(url: str, user: str, password: str) -> str:
    """Return a database's URL for another user."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{quote(password, safe='')}@{host}"))


def _answers(port: int, path: str) -> bool:
    try:
        return web.request(port, "GET", path, timeout=2)[0] == 200
    except OSError:
        return False


def _log_end(path: Path) -> str:
    """Return the last lines of a log, for an error message."""
    lines = "".join(f"\n  {entry.text}" for entry in read(path, tail=12))
    return f"; its log, {path}, ends:{lines}" if lines else f"; its log is {path}"
