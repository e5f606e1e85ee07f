"""python -m local up|status|logs|down|clean|backup|restore: Flow Nexus on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from local import commands
from local.backup import BackupError
from local.daemon import EXPECTED
from local.options import Options
from local.spelling import check_names


def main() -> int:
    """Parse the command line and do what it asks."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands_ = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "status", "down", "clean"):
        commands_.add_parser(name, help=(getattr(commands, name).__doc__ or "").splitlines()[0])
    logs = commands_.add_parser("logs", help=(commands.logs.__doc__ or "").splitlines()[0])
    logs.add_argument("name", nargs="?", default="", help="a part or a function, such as connector")
    logs.add_argument("-n", "--tail", type=int, default=200, metavar="LINES", help="how many (default 200)")
    logs.add_argument("-f", "--follow", action="store_true", help="print new lines as they are written")
    logs.add_argument("--id", default="", help="only lines with this correlation id, such as operation-17")
    backup = commands_.add_parser("backup", help=(commands.backup.__doc__ or "").splitlines()[0])
    restore = commands_.add_parser("restore", help=(commands.restore.__doc__ or "").splitlines()[0])
    for each in (backup, restore):
        each.add_argument("folder", type=Path, help="the folder of the backup")
    restore.add_argument("--replace", action="store_true", help="replace what is there")
    given = parser.parse_args()
    try:
        check_names(os.environ)
        options = Options.from_environment()
        if given.command == "logs":
            return commands.logs(options, given.name, tail=given.tail, follow=given.follow, about=given.id)
        if given.command == "backup":
            return commands.backup(options, given.folder)
        if given.command == "restore":
            return commands.restore(options, given.folder, replace=given.replace)
        status: int = getattr(commands, given.command)(options)
    except (BackupError, *EXPECTED) as error:
        return commands.fail(str(error))
    return status


if __name__ == "__main__":
    sys.exit(main())
