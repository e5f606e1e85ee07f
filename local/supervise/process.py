"""A child process that is watched over: its output goes to a log, its end leads to a new start."""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Protocol

from local.supervise.logfile import MAX_LINE, LogFile

State = Literal["stopped", "running", "waiting"]

# In the environment of everything a world starts: the world's home, by which leftovers are found.
MARK = "FLOWNEXUS_WORLD"

MAX_NICE = 19
AUTOGROUP_TRIES = 10
STABLE_AFTER = 30.0  # seconds of life after which a crash counts as the first one again

# What a child inherits of our environment; the rest, secrets of the user's shell among it, is none of its
# business.
_INHERITED = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ"),
    *("JAVA_HOME", "JAVA_TOOL_OPTIONS", "LD_LIBRARY_PATH", "SSL_CERT_FILE"),
)


class ProcessError(RuntimeError):
    """A process could not be started."""


class Child(Protocol):
    """A process that was started: of subprocess.Popen, what is used of it here."""

    @property
    def pid(self) -> int:
        """Return its process id."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """Return the pipe of its output."""

    def poll(self) -> int | None:
        """Return its status if it has ended: what it exited with, or minus the signal that ended it."""

    def wait(self) -> int:
        """Wait until it has ended, and return its status."""

    def send_signal(self, number: int, /) -> None:
        """Send it a signal, if it has not ended."""


@dataclass(frozen=True)
class Command:
    """What to run; the environment comes on top of a few inherited variables."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path("/")
    nice: int = 0
    """How far it stands back where processor time is short, 0 to 19: see nice(1)."""

    def full_environment(self) -> dict[str, str]:
        """Return the child's whole environment."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {**inherited, **self.environment}

    def start(self, stop_signal: signal.Signals) -> Child:
        """Start it, the leader of a session; it gets the signal when the thread that started it is gone."""
        return subprocess.Popen(
            tethered(self.arguments, stop_signal),
            env=self.full_environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@dataclass(frozen=True)
class Backoff:
    """How long to wait before a start after a crash, in seconds: doubling, bounded, with jitter."""

    first: float = 0.2
    longest: float = 10.0

    def delay(self, crashes: int) -> float:
        """Return the wait after so many crashes in a row."""
        bound: float = min(self.longest, self.first * 2 ** min(crashes - 1, 30))
        return bound * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


def tethered(arguments: Sequence[str], stop_signal: signal.Signals) -> list[str]:
    """Return a command line whose process gets the signal when the thread that started it is gone.

    So that nothing outlives us, however we die. Done by setpriv, not by code of ours between fork and exec,
    which is unsafe in a process with threads.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ProcessError("setpriv was not found: install the package util-linux")
    return [setpriv, "--pdeathsig", stop_signal.name.removeprefix("SIG"), "--", *arguments]


def end_child(process: subprocess.Popen[bytes], how: signal.Signals, timeout: float) -> None:
    """Send a child of ours a signal and wait until it has ended; after `timeout` seconds it is killed."""
    process.send_signal(how)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Process:
    """A program kept running until it is stopped.

    `command` is asked anew at each start. `on_change` is called, on the process's own thread, after each
    change of state.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[], Command],
        log: LogFile,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_timeout: float = 15.0,
        backoff: Backoff | None = None,
        on_change: Callable[[Process], None] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.state: State = "stopped"
        self.exits = 0
        self.last_exit = ""
        self.since = time.time()
        self._command = command
        self._stop_signal = stop_signal
        self._stop_timeout = stop_timeout
        self._backoff = backoff or Backoff()
        self._on_change = on_change
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._child: Child | None = None
        self._nice = 0
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id while it runs."""
        child = self._child
        return child.pid if child is not None else None

    def start(self) -> None:
        """Start the program and keep it running."""
        if self._thread is not None:
            raise ProcessError(f"{self.name} was started already")
        self._stopping.clear()
        self.exits = 0
        # One thread a process: a tethered child dies with the very thread that started it.
        self._thread = threading.Thread(target=self._run, name=f"process {self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the program: by its signal, and if it takes too long by SIGKILL."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with self._lock:
            self._stopping.set()
        self.signal(self._stop_signal)
        thread.join(self._stop_timeout)
        if thread.is_alive():
            self.log.write(f"[{self.name} does not stop: killed]".encode())
            self._kill_group()
            thread.join()
        self.log.close()

    def restart(self) -> None:
        """Stop the program and start it again."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the program as a crash would; it is started again."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if the program runs."""
        with self._lock:
            if self._child is not None and self._child.poll() is None:
                self._child.send_signal(number)

    def _kill_group(self) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._child is not None:
                os.killpg(self._child.pid, signal.SIGKILL)

    def _run(self) -> None:
        crashes = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                child = self._spawn()
            except (OSError, ProcessError) as error:
                self.last_exit = str(error)
            else:
                if child is None:
                    break
                _stand_back(child.pid, self._nice)
                self._change("running")
                self._pump(child)
                self.last_exit = _describe(child.wait())
                with self._lock:
                    self._child = None
            if self._stopping.is_set():
                break
            self.exits += 1
            crashes = 1 if time.monotonic() - started > STABLE_AFTER else crashes + 1
            delay = self._backoff.delay(crashes)
            self.log.write(f"[{self.name} ended: {self.last_exit}; started again in {delay:.1f} s]".encode())
            self._change("waiting")
            self._stopping.wait(delay)
        self._change("stopped")

    def _spawn(self) -> Child | None:
        command = self._command()
        with self._lock:
            if self._stopping.is_set():
                return None
            self._child = command.start(self._stop_signal)
            self._nice = command.nice
            return self._child

    def _pump(self, child: Child) -> None:
        """Write the child's output to the log until it ends."""
        assert child.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        rest = b""
        with child.stdout as pipe:
            while True:
                # A grandchild may hold the pipe open: the end of the child is looked at, too.
                readable, _, _ = select.select([pipe], [], [], 1.0)
                if not readable:
                    if child.poll() is not None:
                        break
                    continue
                chunk = os.read(pipe.fileno(), 65536)
                if not chunk:
                    break
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self.log.write(line)
                if len(rest) > MAX_LINE:
                    self.log.write(rest)
                    rest = b""
        if rest:
            self.log.write(rest)

    def _change(self, state: State) -> None:
        self.state = state
        self.since = time.time()
        if self._on_change is not None:
            self._on_change(self)


def _stand_back(pid: int, nice: int) -> None:
    """Make a new process, which is the leader of its session, stand back by so much."""
    if nice == 0:
        return
    with contextlib.suppress(ProcessLookupError):  # it has ended already, as its log will say
        os.setpriority(os.PRIO_PROCESS, pid, min(MAX_NICE, os.getpriority(os.PRIO_PROCESS, 0) + nice))
    # Where Linux groups processes by session, it is the group that competes with others (sched(7),
    # "The autogroup feature"). Who is not root may set one every 0.1 s.
    for _ in range(AUTOGROUP_TRIES):
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(nice))
        except BlockingIOError:
            time.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - jitter, no secret
        except OSError:
            return  # there are no such groups here
        else:
            return


def _describe(status: int) -> str:
    """Say how a process ended."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
