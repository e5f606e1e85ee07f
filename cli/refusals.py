"""Refusals: devices that Leshan refused, with the remedy."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from urllib.parse import urlencode

from cli.client import API, Client, without_none
from cli.text import print_json, print_rows, second


def add_commands(commands: Any, output: argparse.ArgumentParser) -> None:
    """Add these commands."""
    command = commands.add_parser("refusals", parents=[output], help="list refused devices, with the remedy")
    command.add_argument("endpoint", metavar="ENDPOINT", nargs="?", help="list only those of this name")
    command.add_argument(
        "--limit", type=int, default=20, metavar="COUNT", help="how many to list (default 20)"
    )
    command.set_defaults(run=list_)


def list_(client: Client, given: argparse.Namespace) -> int:
    """List refusals, the newest first."""
    query = without_none({"limit": given.limit, "endpoint": given.endpoint})
    found = client.request("GET", f"{API}/refusals?{urlencode(query)}")["refusals"]
    if given.json:
        print_json(found)
        return 0
    if not found:
        sys.stderr.write("no device was refused\n")
    print_rows(
        [
            (
                second(each["last_at"]),
                each["endpoint"] or "(unknown)",
                each["address"] or "",
                f"{each['count']} x",
                f"{each['cause']}{': ' + each['detail'] if each['detail'] else ''}; {each['remedy']}",
            )
            for each in found
        ]
    )
    return 0
