"""A function that does nothing, and how it is served."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chaos.trial import await_true
from local import REPOSITORY, web
from local.servers.ports import LOOPBACK, free_port

STARTED_IN: Final = 20.0
"""Seconds."""


@contextlib.contextmanager
def served() -> Iterator[int]:
    """Serve it by the functions' own server with ingest-single's settings, on a port."""
    port, metrics, template = free_port(), free_port(), REPOSITORY / "template" / "python3-flownexus"
    environment = {"host": LOOPBACK, "port": str(port), "metrics_port": str(metrics), "max_inflight": "64"}
    process = subprocess.Popen(
        [sys.executable, str(template / "index.py")],
        env=os.environ | environment | {"function_dir": str(Path(__file__).parent)},
        stderr=subprocess.DEVNULL,
    )
    try:
        await_true(lambda: _answers(port), STARTED_IN, "the function that does nothing does not answer")
        yield port
    finally:
        process.terminate()
        process.wait(STARTED_IN)


def _answers(port: int) -> bool:
    try:
        web.request(port, "POST", "/")
    except OSError:
        return False
    return True
