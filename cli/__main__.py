"""List devices and their values; send operations to devices and show their results.

Exit status: 0 success; 1 the request was refused or got no answer; 2 wrong usage. With --wait: 3 the
operation ended without CONFIRMED; 4 it did not end in time. For dead-letters replay: 3 it was rejected again.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cli import (
    authority,
    batches,
    bootstrap,
    campaign,
    completion,
    credentials,
    dead_letters,
    declared,
    endpoints,
    firmware,
    history,
    logs,
    models,
    operations,
    profiles,
    refusals,
    tags,
    tokens,
)
from cli.client import Client, ClientError
from cli.numbers import row_number, seconds

WAIT_S = 60.0
SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "Look at devices": (
        *(
            "endpoints",
            "endpoint",
            "add-endpoint",
            "delete-endpoint",
            "matching",
            "values",
            "history",
            "logs",
            "events",
            "registrations",
        ),
        *("observations", "plan", "refusals", "tags"),
    ),
    "Send operations to devices": tuple(operations.COMMANDS),
    "Look at operations": ("operation", "operations", "why", "batch", "batches"),
    "Update firmware": ("firmware", "update", "updates", "campaign"),
    "Administer": (
        *(
            "credentials",
            "bootstrap",
            "profiles",
            "models",
            "event-types",
            "log-resources",
            "tokens",
            "dead-letters",
        ),
    ),
    "Set up": ("ca", "completion"),
}
"""The commands in the order of the help. A command that is in no section comes last."""


class _Parser(argparse.ArgumentParser):
    """A parser that answers a command that is none with those like it, instead of with all there are."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if not isinstance(action, argparse._SubParsersAction) or value in action.choices:
            super()._check_value(action, value)
            return
        from difflib import get_close_matches  # for this mistake alone: commands begin sooner without it

        like = " or ".join(get_close_matches(value, action.choices, 2))
        told = f"did you mean {like}?" if like else f"{self.prog} --help lists them"
        raise argparse.ArgumentError(None, f"there is no command {value!r}: {told}")


class _Sections(argparse.RawDescriptionHelpFormatter):
    """Help that lists the commands in sections."""

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):  # argparse has no public name for it
            return super()._format_action(action)
        self._indent()
        lines = {each.dest: super(_Sections, self)._format_action(each) for each in action._get_subactions()}
        self._dedent()
        return "".join(self._in_sections(lines))

    def _in_sections(self, lines: Mapping[str, str]) -> Iterator[str]:
        listed = {name for names in SECTIONS.values() for name in names}
        others = [name for name in lines if name not in listed]
        for title, names in (*SECTIONS.items(), ("More", others)):
            here = [lines[name] for name in names if name in lines]
            if here:
                yield f"\n  {title}:\n"
                yield from here


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top: argparse.ArgumentParser = _Parser(prog="flownexus", description=__doc__, formatter_class=_Sections)
    commands = top.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("--json", action="store_true", help="print JSON")
    waiting = argparse.ArgumentParser(add_help=False, parents=[output])
    waiting.add_argument("--wait", action="store_true", help="wait until the operation ends")
    waiting.add_argument(
        "--timeout",
        type=seconds,
        default=WAIT_S,
        metavar="SECONDS",
        help=f"the longest time that --wait waits (default {WAIT_S:.0f})",
    )
    endpoints.add_commands(commands, output)
    refusals.add_commands(commands, output)
    history.add_commands(commands, output)
    dead_letters.add_commands(commands, output)
    models.add_commands(commands, output)
    logs.add_commands(commands, output)
    operations.add_commands(commands, [waiting])
    firmware.add_commands(commands, [output], [waiting])
    campaign.add_commands(commands, [output])
    number = row_number("an operation", "flownexus operations")
    one = commands.add_parser("operation", parents=[waiting], help="show an operation")
    one.add_argument("id", type=number, metavar="ID", help="the number of the operation")
    one.set_defaults(run=operations.show)
    reason = commands.add_parser("why", parents=[output], help="explain why an operation is still open")
    reason.add_argument("id", type=number, metavar="ID", help="the number of the operation")
    reason.set_defaults(run=operations.why)
    several = commands.add_parser("operations", parents=[output], help="list operations, newest first")
    several.add_argument("endpoint", metavar="ENDPOINT", nargs="?", help="list only those of this device")
    several.add_argument(
        "--limit", type=int, default=20, metavar="COUNT", help="how many to list (default 20)"
    )
    several.set_defaults(run=operations.list_)
    tokens.add_commands(commands, [output])
    credentials.add_commands(commands, [output])
    bootstrap.add_commands(commands, [output])
    authority.add_commands(commands, [])
    batches.add_commands(commands, [output], [waiting])
    tags.add_commands(commands, [output])
    profiles.add_commands(commands, [output])
    declared.add_commands(commands, [output])
    completion.add_commands(commands, top)
    return top


def main() -> int:
    """Run the command line and return its exit status."""
    if len(sys.argv) == 1:
        parser().print_help(sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # its encoding may lack a character
    given = parser().parse_args()
    try:
        status: int = (
            given.run_here(given) if "run_here" in given else given.run(Client.from_environment(), given)
        )
        sys.stdout.flush()
    except BrokenPipeError:  # `flownexus values sim-0001 | head` closes the pipe early
        _discard_output()
        return 141  # as a shell reports SIGPIPE
    except UnicodeEncodeError as error:  # Python decodes invalid bytes of an argument to surrogates
        sys.stderr.write(f"error: {error.object!r} is not UTF-8\n")
        return 1
    except OSError as error:
        _discard_output()
        sys.stderr.write(f"error: {error.filename or 'the output'}: {error.strerror}\n")
        return 1
    except ClientError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _discard_output() -> None:
    """Send what is still buffered nowhere, because the interpreter writes it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
