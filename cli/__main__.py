"""List devices and their values; send operations to devices and show their results.

Exit status: 0 done; 1 the request was refused or not answered; 2 wrong usage; with --wait: 3 the operation
ended and is not CONFIRMED, 4 it has not ended in time.
"""

from __future__ import annotations

import argparse
import sys

from cli import endpoints, logs, models, operations
from cli.client import Client, ClientError

WAIT_S = 60.0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="flownexus", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("--json", action="store_true", help="print JSON")
    waiting = argparse.ArgumentParser(add_help=False, parents=[output])
    waiting.add_argument("--wait", action="store_true", help="wait until the operation has ended")
    waiting.add_argument(
        "--timeout",
        type=float,
        default=WAIT_S,
        metavar="SECONDS",
        help=f"how long --wait waits at most (default {WAIT_S:.0f})",
    )
    devices = commands.add_parser("endpoints", aliases=["devices"], parents=[output], help="list devices")
    devices.set_defaults(run=endpoints.endpoints)
    values = commands.add_parser("values", parents=[output], help="list a device's newest values")
    values.add_argument("endpoint", metavar="ENDPOINT", help="such as sim-0001")
    values.add_argument("path", metavar="PATH", nargs="?", help="list only the values at or below this path")
    values.set_defaults(run=endpoints.values)
    models.add_commands(commands, output)
    logs.add_commands(commands, output)
    operations.add_commands(commands, [waiting])
    one = commands.add_parser("operation", parents=[waiting], help="show an operation")
    one.add_argument("id", type=int, metavar="ID", help="the number of the operation")
    one.set_defaults(run=operations.show)
    reason = commands.add_parser("why", parents=[output], help="say why an operation has not ended")
    reason.add_argument("id", type=int, metavar="ID", help="the number of the operation")
    reason.set_defaults(run=operations.why)
    several = commands.add_parser("operations", parents=[output], help="list operations, newest first")
    several.add_argument("endpoint", metavar="ENDPOINT", nargs="?", help="list only those of this device")
    several.add_argument(
        "--limit", type=int, default=20, metavar="COUNT", help="how many to list (default 20)"
    )
    several.set_defaults(run=operations.list_)
    return top


def main() -> int:
    """Do what the command line asks."""
    given = parser().parse_args()
    try:
        status: int = given.run(Client.from_environment(), given)
    except ClientError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
