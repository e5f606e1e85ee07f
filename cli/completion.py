"""Shell completion of `flownexus`."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from cli.client import ClientError

SHELLS: Final = ("bash", "zsh")


def add_commands(commands: Any, top: argparse.ArgumentParser) -> None:
    """Add `completion`, which prints a completion script for the parser `top`."""
    command = commands.add_parser(
        "completion",
        help="print a shell completion script",
        description='Print a shell completion script. In bash: eval "$(flownexus completion bash)". '
        'In zsh, after compinit: eval "$(flownexus completion zsh)".',
    )
    command.add_argument("shell", choices=SHELLS, metavar="SHELL", help=" or ".join(SHELLS))

    def print_script(given: argparse.Namespace) -> int:
        try:
            import shtab  # imported here, so that other commands start faster
        except ImportError:
            raise ClientError(
                "completion needs the Python package shtab: pip install shtab, or run make up"
            ) from None
        sys.stdout.write(shtab.complete(top, given.shell) + "\n")
        return 0

    command.set_defaults(run_here=print_script)
