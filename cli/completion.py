"""What a shell completes after `flownexus`."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from cli.client import ClientError

SHELLS: Final = ("bash", "zsh")


def add_commands(commands: Any, top: argparse.ArgumentParser) -> None:
    """Add `completion`, which prints a script of what the parser `top` takes."""
    command = commands.add_parser(
        "completion",
        help="print a script that lets a shell complete commands",
        description='Print a script that lets a shell complete words: in bash eval "$(flownexus completion '
        'bash)", in zsh, once compinit has run, eval "$(flownexus completion zsh)".',
    )
    command.add_argument("shell", choices=SHELLS, metavar="SHELL", help=" or ".join(SHELLS))

    def print_script(given: argparse.Namespace) -> int:
        try:
            import shtab  # for this command alone: the others begin sooner without it
        except ImportError:
            raise ClientError(
                "completion needs the Python package shtab: pip install shtab, or run make up"
            ) from None
        sys.stdout.write(shtab.complete(top, given.shell) + "\n")
        return 0

    command.set_defaults(run_here=print_script)
