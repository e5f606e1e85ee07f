"""How a replica of a function is run: here as a process of this machine, by the template's server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local import REPOSITORY
from local.openfaas.forking import ForkedCommand, ForkServer
from local.openfaas.stack import Function, read_stack
from local.supervise.process import MARK, Command

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


def process_runner(stack: Path, environment: Mapping[str, str]) -> Runner:
    """Return the runner of the functions of `stack`, whose library lies in the same folder.

    `environment` fills in what stack.yml leaves open, and says which world this is.
    """
    folder = stack.parent
    python = {"PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}
    mark = {MARK: environment[MARK]} if MARK in environment else {}
    server = ForkServer(
        Command([], {**python, **mark}, folder),
        INDEX,
        lambda: [function.handler for function in read_stack(stack, environment).values()],
    )

    def command(launch: Launch) -> Command:
        of_replica = {
            **launch.environment,
            "function_dir": str(launch.function.handler),
            "secret_mount_path": str(launch.secrets),
            **python,
        }
        return ForkedCommand(
            [sys.executable, str(INDEX)], of_replica, folder, launch.function.nice,
            name=launch.name, server=server,
        )  # fmt: skip

    return command
