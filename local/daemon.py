"""Run a world until SIGTERM: in the background for `up`, or for systemd, which it tells how it gets on."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from types import FrameType

import psycopg

from flownexus.credentials import SecretError
from flownexus.errors import MissingSettingError
from flownexus.migrate import MigrationError
from local.options import OptionError, Options
from local.servers.java import JavaError
from local.servers.nats import NatsServerError
from local.servers.postgres import PostgresError
from local.spelling import check_names
from local.supervise.instance import AlreadyRunningError, take
from local.supervise.notify import listens, notify
from local.supervise.process import ProcessError
from local.world import World, WorldError

EXPECTED = (
    AlreadyRunningError,
    JavaError,
    MigrationError,
    MissingSettingError,
    NatsServerError,
    OptionError,
    OSError,
    PostgresError,
    ProcessError,
    SecretError,
    WorldError,
    psycopg.Error,
)


WRONG_SETTINGS = (MissingSettingError, OptionError)
"""To start again mends none of these: systemd is told by the status EX_CONFIG (sysexits.h)."""


class _Stop(BaseException):
    """Somebody wants us to end."""


def tell(kind: str, text: str = "") -> None:
    """Tell systemd, or send a line to `up`; it does not matter if that is gone."""
    if listens():
        ready = {"READY": "1"} if kind == "ready" else {}
        notify(STATUS=text or kind, **ready)
        if kind != "error":
            print(text or kind, file=sys.stderr)  # noqa: T201 - into the journal
        return
    line = json.dumps({"kind": kind, "text": text, "time": time.time()})
    try:
        os.write(1, line.encode() + b"\n")
    except BrokenPipeError:
        _detach()


def _detach() -> None:
    """Let go of the pipe to `up`, which waits for its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def main() -> int:
    """Run the world that the environment describes until SIGTERM."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if not stopping.is_set():
            stopping.set()
            raise _Stop

    try:
        check_names(os.environ)
        options = Options.from_environment()
        with take(options.home):
            world = World(options, progress=lambda text: tell("progress", text))
            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGINT, stop)
            try:
                world.start()
                tell("ready")
                _detach()
                while True:
                    signal.pause()
            except _Stop:
                tell("error", "stopped while starting" if not world.ready else "")
            finally:
                stopping.set()
                world.stop()
    except EXPECTED as error:
        tell("error", str(error))
        print(f"cannot start: {error}", file=sys.stderr)  # noqa: T201 - into the daemon's log
        return os.EX_CONFIG if isinstance(error, WRONG_SETTINGS) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
