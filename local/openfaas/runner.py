"""How a replica of a function is run: here as a process of this machine, by the template's server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local import REPOSITORY
from local.openfaas.stack import Function
from local.supervise.process import Command

INDEX = REPOSITORY / "template" / "python3-flownexus" / "index.py"


@dataclass(frozen=True)
class Launch:
    """A replica that is about to start."""

    name: str
    function: Function
    environment: Mapping[str, str]
    """The function's own, and what OpenFaaS adds."""
    secrets: Path
    """The folder with a file for each of its secrets."""


Runner = Callable[[Launch], Command]
"""Says how to run a replica."""


def process_runner(folder: Path) -> Runner:
    """Return the runner of functions whose library lies in `folder`, where stack.yml is."""

    def command(launch: Launch) -> Command:
        environment = {
            **launch.environment,
            "function_dir": str(launch.function.handler),
            "secret_mount_path": str(launch.secrets),
            "PYTHONPATH": str(folder),
            "PYTHONUNBUFFERED": "1",
        }
        return Command([sys.executable, str(INDEX)], environment, folder, launch.function.nice)

    return command
