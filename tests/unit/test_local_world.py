"""What a world says of parts that are not ready, and of devices that are refused."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.options import Options
from local.simulated import refused
from local.supervise.logfile import LogFile
from local.world import World

DEVICES = [
    {"ep": "sim-0001", "state": "registered", "last_failure": None},
    {"ep": "sim-0002", "state": "registering", "last_failure": "registration refused: FORBIDDEN(403) "},
    {"ep": "sim-0003", "state": "registering", "last_failure": "no answer in 10 s"},
]


class Control(http.server.BaseHTTPRequestHandler):
    """Answers as the simulator's control API does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(DEVICES).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def control_port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Control) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_those_are_refused_whom_leshan_has_forbidden_to_register(tmp_path: Path, control_port: int) -> None:
    ready = tmp_path / "ready.json"
    assert refused(ready) == []
    ready.write_text(json.dumps({"control": control_port}))
    assert refused(ready) == ["sim-0002"]


def test_of_a_log_the_lines_of_this_start_alone_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "simulator.log"
    path.write_text("2026-01-01T00:00:00.000Z of an earlier start\n")
    world = World(Options(home=tmp_path))
    assert world._log_end(path) == f"; its log is {path}"
    time.sleep(0.002)  # a log's times are of milliseconds
    log = LogFile(path)
    log.write(b"of this one")
    log.close()
    assert world._log_end(path) == f"; its log, {path}, ends:\n  of this one"
