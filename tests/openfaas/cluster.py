"""The whole system with its parts as containers behind OpenFaaS's own gateway.

PostgreSQL, NATS and the simulated devices are processes, as in local.world; the migrations, Leshan, the
connector and the functions are containers of the project's images. The gateway, Prometheus and faas-cli are
the real ones. The gateway's provider is the local one, with containers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from deploy.images.contexts import images
from flownexus.credentials import SecretFolder
from local import parts, web
from local.layout import DATABASE, ROLES, Layout
from local.options import Options, Ports
from local.parts import Part, milliseconds
from local.servers import java
from local.servers.ports import LOOPBACK
from local.supervise.logfile import LogFile
from local.supervise.process import Command, Process
from tests.openfaas.bases import inspect
from tests.openfaas.containers import Containerd, run
from tests.openfaas.places import PROGRAMS, REPOSITORY, TAG

PROVIDER_PORT = 8081
PROMETHEUS_PORT = 9090
USER = 10001
"""Whom the images run as."""
OWNER_SECRET = "flownexus-owner-database-url"
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
IMAGES = {image.name: image.reference for image in images({"TAG": TAG})}


class Cluster(Layout):
    """A system that is running while it is entered."""

    def __init__(self, options: Options, containerd: Containerd) -> None:
        super().__init__(options)
        self.containerd = containerd
        self.parts: dict[str, Part] = {}

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def faas_cli(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run the real faas-cli on the real gateway, as a user does; return what it prints."""
        done = subprocess.run(
            [str(PROGRAMS / "faas-cli"), *arguments],
            cwd=REPOSITORY,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home / "user"),
                "OPENFAAS_URL": self.gateway_url,
                **self.stack_environment(),
            },
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"faas-cli {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def stack_environment(self) -> dict[str, str]:
        """Return what a deployment sets of stack.yml."""
        return {
            "TAG": TAG,
            "LONG_POLL_TIMEOUT": milliseconds(self.timeouts.leshan_s),
            "EXEC_TIMEOUT": milliseconds(self.timeouts.execution_s),
            "LESHAN_URL": self.leshan_url,
        }

    def replicas(self, function: str | None = None) -> list[dict[str, Any]]:
        """Return the replicas of one function or all, as the provider knows them."""
        status, text = web.request(
            PROVIDER_PORT, "GET", "/system/replicas", headers=self._login(), timeout=10
        )
        if status != 200:
            raise RuntimeError(f"the provider answers {status}: {text}")
        found: list[dict[str, Any]] = json.loads(text)
        return [r for r in found if function in {None, r["function"]}]

    def containers(self, prefix: str) -> dict[str, int]:
        """Return the process id of each running container whose id begins so."""
        return {name: pid for name, pid in self.containerd.tasks().items() if name.startswith(prefix)}

    # How it is started.

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.home / "user").mkdir(mode=0o700)
        self.make_secrets()
        java.build(self.logs / "maven.log", lambda _: None)
        for part in (parts.postgres(self, _ignore), parts.nats(self, _ignore), self._prometheus()):
            self._launch(part)
        for name in ("postgres", "nats"):
            self._await(name)
        with psycopg.connect(self.cluster.dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        self.migrate()
        for part in (self._provider(), self._gateway()):
            self._launch(part)
        for name in ("provider", "prometheus", "gateway"):
            self._await(name)
        self.login()
        self.faas_cli("deploy", "-f", "stack.yml")
        self.await_functions()
        for part in (self._leshan(), self._connector()):
            self._launch(part)
        for name in ("leshan", "connector"):
            self._await(name)
        self._launch(parts.simulator(self, _ignore, lambda: True))
        self._await("simulator")

    def _stop(self) -> None:
        for name in reversed(self.parts):
            self.parts[name].process.stop()
        self.parts.clear()

    def migrate(self) -> str:
        """Run the migrations' image as its Job would; return what it prints."""
        self.secrets.write(OWNER_SECRET, self.database_url)
        command = run(
            IMAGES["migrate"],
            f"migrate.{time.monotonic_ns()}",
            {},
            secrets=self._mounted("migrate", OWNER_SECRET, *ROLES),
            containerd=self.containerd.environment,
            command=(*_entry_point("migrate"), OWNER_SECRET, *ROLES),
        )
        done = subprocess.run(
            command.arguments,
            env=command.full_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=90,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the migrations failed: {done.stdout}")
        return done.stdout

    def login(self) -> str:
        """Log in at the gateway."""
        return self.faas_cli(
            "login", "--username", "admin", "--password-stdin", stdin=self.secrets.read("basic-auth-password")
        )

    def await_functions(self, timeout: float = READY_TIMEOUT_S) -> None:
        """Wait until there are functions, and every replica of them is ready."""
        deadline = time.monotonic() + timeout
        while not (found := self.replicas()) or not all(replica["ready"] for replica in found):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all functions became ready: {found}")
            time.sleep(0.05)

    def _prometheus(self) -> Part:
        folder = self.home / "prometheus"
        folder.mkdir(mode=0o700)
        (folder / "prometheus.yml").write_text(
            "scrape_configs:\n- job_name: gateway\n  scrape_interval: 2s\n"
            f"  static_configs: [{{targets: ['{LOOPBACK}:8082']}}]\n"
        )
        arguments = [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={LOOPBACK}:{PROMETHEUS_PORT}",
        ]
        return self._part("prometheus", Command(arguments, {}, folder), PROMETHEUS_PORT, "/-/ready")

    def _provider(self) -> Part:
        arguments = [
            *(sys.executable, "-m", "tests.openfaas.provider", "--port", str(PROVIDER_PORT)),
            *("--stack", str(self.options.stack), "--secrets", str(self.secrets.folder)),
            *("--state", str(self.home / "functions"), "--logs", str(self.logs / "functions")),
            *("--long-poll-timeout", milliseconds(self.timeouts.leshan_s)),
        ]
        environment = {**self.containerd.environment, "PYTHONPATH": str(REPOSITORY)}
        command = Command(arguments, environment, REPOSITORY)
        return self._part("provider", command, PROVIDER_PORT, stop_timeout=self.timeouts.execution_s + 60)

    def _gateway(self) -> Part:
        environment = {
            "functions_provider_url": f"http://{LOOPBACK}:{PROVIDER_PORT}/",
            "basic_auth": "true",
            "secret_mount_path": str(self.secrets.folder),
            "faas_prometheus_host": LOOPBACK,
            "faas_prometheus_port": str(PROMETHEUS_PORT),
            # As deployed: faas-cli waits as long for the provider, whatever the long poll.
            **dict.fromkeys(("read_timeout", "write_timeout"), "65s"),
            "upstream_timeout": "60s",
        }
        command = Command([str(PROGRAMS / "gateway")], environment, self.home)
        return self._part("gateway", command, self.ports.gateway)

    def _leshan(self) -> Part:
        state = self.home / "leshan"
        state.mkdir(mode=0o700)
        os.chown(state, USER, USER)
        # Where the image has them, and each without a name of its own in the world of processes.
        tokens = {
            "--api-token-file": "flownexus-leshan-token",
            "--webhook-token-file": "flownexus-webhook-token",
        }
        posts = {"single": "ingest-single", "composite": "ingest-composite", "registration": "registration"}
        arguments = [
            *("--coap-host", LOOPBACK, "--coap-port", str(self.ports.coap)),
            *("--coaps-port", str(self.ports.coaps), "--plain-coap=*"),
            *("--new-endpoints", "10000", "--new-endpoints-per-address", "10000"),
            *("--http-host", LOOPBACK, "--http-port", str(self.ports.leshan)),
            *(word for flag, name in tokens.items() for word in (flag, f"/var/openfaas/secrets/{name}")),
            *(
                word
                for kind, function in posts.items()
                for word in (f"--webhook-{kind}", f"{self.gateway_url}/function/{function}")
            ),
            *("--spool", "/var/lib/leshan/spool.db", "--security-store", "/var/lib/leshan/security.json"),
            *("--client-awake-time", milliseconds(self.options.awake_time)),
        ]
        command = run(
            IMAGES["leshan"],
            "leshan",
            {},
            secrets=self._mounted("leshan", *tokens.values()),
            containerd=self.containerd.environment,
            writable={state: "/var/lib/leshan"},
            command=(*_entry_point("leshan"), *arguments),
        )
        return self._part("leshan", command, self.ports.leshan)

    def _connector(self) -> Part:
        environment = {
            "gateway_url": self.gateway_url,
            "long_poll_timeout": milliseconds(self.timeouts.leshan_s),
            "host": LOOPBACK,
            "port": str(self.ports.connector),
        }
        names = ("basic-auth-user", "basic-auth-password", "flownexus-connector-token", "flownexus-nats-url")
        command = run(
            IMAGES["connector"],
            "connector",
            environment,
            secrets=self._mounted("connector", *names),
            containerd=self.containerd.environment,
        )
        return self._part("connector", command, self.ports.connector)

    def _mounted(self, part: str, *names: str) -> Path:
        """Return a folder with a part's secrets alone."""
        folder = SecretFolder(self.home / "mounts" / part)
        for name in names:
            folder.write(name, self.secrets.read(name))
        return folder.folder

    def _part(
        self,
        name: str,
        command: Command,
        port: int,
        path: str = "/healthz",
        stop_timeout: float = STOP_TIMEOUT_S,
    ) -> Part:
        def answers() -> bool:
            try:
                return web.request(port, "GET", path, timeout=2)[0] == 200
            except OSError:
                return False

        log = LogFile(self.logs / f"{name}.log")
        return Part(name, Process(name, lambda: command, log, stop_timeout=stop_timeout), answers)

    def _launch(self, part: Part) -> None:
        self.parts[part.name] = part
        part.process.start()

    def _await(self, name: str) -> None:
        part = self.parts[name]
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not part.ready():
            if part.process.exits or time.monotonic() > deadline:
                text = (
                    part.process.log.path.read_text(errors="replace")
                    if part.process.log.path.exists()
                    else ""
                )
                raise RuntimeError(f"{name} is not ready ({part.process.last_exit}):\n{text[-3000:]}")
            time.sleep(0.05)

    def _login(self) -> Mapping[str, str]:
        return web.basic(self.secrets.read("basic-auth-user"), self.secrets.read("basic-auth-password"))


def options(home: Path, **chosen: Any) -> Options:
    """Return the options of a system whose gateway has its own ports, and whose devices need no DTLS."""
    ports = Ports(
        **{**dict.fromkeys(("leshan", "coap", "coaps", "database", "nats", "connector"), 0), "gateway": 8080}
    )
    return Options(home=home, ports=ports, long_poll_timeout=3.0, durable=False, plain_coap=("*",), **chosen)


def _entry_point(name: str) -> list[str]:
    """Return what an image runs, to which Kubernetes adds a container's args."""
    entry_point: list[str] = inspect(IMAGES[name])["config"]["Entrypoint"]
    return entry_point


def _ignore(_: Process) -> None:
    """Take no notice of a change."""
