"""Shows what each part holds of the memory: at rest, and while devices send as fast as they can.

The stack is started as `make up` starts it and measured ten seconds after it was ready, its three devices
connected; nobody asks a JVM to collect its garbage before. Then another simulator's devices send confirmable
notifications as fast as they are acknowledged, and it is measured again before they end. What counts is the
PSS: what a process has of its own, and its share of what it has in common with others, such as PostgreSQL's
buffers.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.fleet import simulator
from benchmarks.processes import WITH_CHILDREN, Group
from benchmarks.results import Result
from flownexus.credentials import SecretFolder
from local import REPOSITORY, web
from local.options import STATUS_FILE, read_environment_file
from local.supervise.instance import running

REST = 10.0  # seconds
LOAD = 20.0
DEVICES = 200
GOAL = 700.0  # MB
START_TIMEOUT = 300.0

Pss = Mapping[str, int]
"""Bytes by part and by function's replica."""


def run(runs: int) -> Sequence[Result]:
    """Measure so often, each time a stack of its own."""
    found = [_run_once() for _ in range(runs)]
    rest, load = zip(*found, strict=True)
    return [
        _result("memory of the stack at rest, 3 devices connected", rest, GOAL),
        _result(f"memory of the stack while {DEVICES} devices notify as fast as they can", load, None),
    ]


def _result(name: str, runs: Sequence[Pss], goal: float | None) -> Result:
    parts = {part: statistics.median(each[part] for each in runs) for part in runs[0]}
    shares = ", ".join(
        f"{part} {size / 1e6:.0f}" for part, size in sorted(parts.items(), key=lambda share: -share[1])
    )
    return Result(name, "MB", [sum(each.values()) / 1e6 for each in runs], goal, ceiling=shares)


def _run_once() -> tuple[Pss, Pss]:
    """Return what a stack holds at rest and at saturation."""
    with _stack() as home:
        time.sleep(REST)
        rest = _measure(home)
        # From a simulator that is not the stack's.
        coap = read_environment_file(home)["FLOWNEXUS_COAP"]
        with simulator(coap, f"prefix=load-,count={DEVICES},notify=max,lifetime=300"):
            time.sleep(LOAD)
            return rest, _measure(home)


@contextlib.contextmanager
def _stack() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder:
        home = Path(folder) / "home"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLOWNEXUS_")},
            "FLOWNEXUS_HOME": str(home),
            "PORTS": "free",
            "DEVICES": "3",
            "PLAIN_COAP": "load-*",
            "NEW_ENDPOINTS": str(DEVICES),
        }

        def local(command: str) -> None:
            arguments = [sys.executable, "-m", "local", command]
            subprocess.run(
                arguments,
                env=environment,
                cwd=REPOSITORY,
                stdout=subprocess.DEVNULL,
                timeout=START_TIMEOUT,
                check=True,
            )

        try:
            local("up")
            yield home
        finally:
            local("down")


def _measure(home: Path) -> Pss:
    """Return the bytes that each part and each function holds."""
    parts = json.loads((home / STATUS_FILE).read_text())["parts"]
    supervisor, port = running(home), urlsplit(read_environment_file(home)["FLOWNEXUS_GATEWAY"]).port
    assert supervisor  # for the type checker: the stack runs
    assert port
    secrets = SecretFolder(home / "secrets")
    login = web.basic(secrets.read("basic-auth-user"), secrets.read("basic-auth-password"))
    status, text = web.request(port, "GET", "/system/replicas", headers=login)
    if status != 200:
        raise RuntimeError(f"{status} {text}")
    pids = {part["name"]: part["pid"] for part in parts if part["name"] != "simulator"}
    pids |= {replica["name"]: replica["pid"] for replica in json.loads(text)}
    return {
        name: Group([pid], with_children=name in WITH_CHILDREN).pss()
        for name, pid in {"supervisor": supervisor, **pids}.items()
    }
