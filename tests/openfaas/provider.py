"""The local provider with containers in place of processes; who deploys a function describes it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.openfaas.functions import Functions, InstanceContext
from local.openfaas.provider import main
from local.openfaas.runner import Launch
from local.openfaas.stack import Function
from local.supervise.process import Command
from tests.openfaas.containers import run

CONTAINERD = ("CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE")
_starts = itertools.count(1)


class ContainerFunctions(Functions):
    """The functions that faas-cli deploys, each replica a container of its image."""

    def __init__(self, context: InstanceContext) -> None:
        super().__init__(replace(context, runner=as_container))

    def read(self) -> dict[str, Function]:
        """Return none: what is served is deployed through the gateway."""
        return {}

    def described(self, asked: Mapping[str, Any]) -> Function:
        """Return the function that a request of the provider API describes."""
        return Function(
            name=asked["service"],
            handler=Path("/"),
            image=asked["image"],
            environment=asked.get("envVars") or {},
            secrets=tuple(asked.get("secrets") or ()),
            labels=asked.get("labels") or {},
            annotations=asked.get("annotations") or {},
            nice=0,
        )


def as_container(launch: Launch) -> Command:
    """Return the command that runs a replica as a container."""
    return run(
        launch.function.image,
        f"{launch.name}.{next(_starts)}",
        launch.environment,
        secrets=launch.secrets,
        containerd={name: os.environ[name] for name in CONTAINERD},
    )


if __name__ == "__main__":
    main(ContainerFunctions)
