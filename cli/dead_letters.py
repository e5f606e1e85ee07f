"""Dead letters, items that could not be stored: list, show, replay and discard them."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any
from urllib.parse import urlencode

from cli.client import API, Client, without_none
from cli.numbers import row_number
from cli.text import print_json, print_rows, printable, second

REJECTED = 3
"""The exit status if a replayed item was rejected again."""
_URL = f"{API}/dead-letters"


def add_commands(commands: Any, output: argparse.ArgumentParser) -> None:
    """Add these commands."""
    top = commands.add_parser("dead-letters", help="list items that could not be stored, and replay them")
    actions = top.add_subparsers(dest="action", required=True, metavar="ACTION")
    several = actions.add_parser("list", parents=[output], help="list them, the newest first")
    several.add_argument("endpoint", metavar="ENDPOINT", nargs="?", help="list only those of this device")
    several.add_argument(
        "--settled", choices=("replayed", "discarded"), help="list only those with this settlement"
    )
    several.add_argument(
        "--limit", type=int, default=20, metavar="COUNT", help="how many to list (default 20)"
    )
    several.set_defaults(run=list_)
    number = row_number("a dead letter", "flownexus dead-letters list")
    for name, run, what in (
        ("show", show, "show one with its item"),
        ("replay", replay, "deliver its item again; it is stored at most once"),
        ("discard", discard, "discard it; it is no longer listed"),
    ):
        command = actions.add_parser(name, parents=[output], help=what)
        command.add_argument("id", type=number, metavar="ID", help="the number of the dead letter")
        command.set_defaults(run=run)


def list_(client: Client, given: argparse.Namespace) -> int:
    """List dead letters, the newest first."""
    query = without_none({"limit": given.limit, "endpoint": given.endpoint, "settlement": given.settled})
    found = client.request("GET", f"{_URL}?{urlencode(query)}")["dead_letters"]
    if given.json:
        print_json(found)
        return 0
    if not found:
        sys.stderr.write("there are no dead letters\n")
    print_rows(
        [
            (
                str(each["id"]),
                second(each["received_at"]),
                each["kind"],
                each["endpoint"] or "",
                each["reason"],
            )
            for each in found
        ]
    )
    return 0


def show(client: Client, given: argparse.Namespace) -> int:
    """Show a dead letter."""
    _print(client.request("GET", f"{_URL}/{given.id}"), given)
    return 0


def replay(client: Client, given: argparse.Namespace) -> int:
    """Deliver a dead letter's item again."""
    letter = client.request("POST", f"{_URL}/{given.id}/replay")
    if given.json:
        print_json(letter)
    rejected = letter["outcome"]["rejected"]
    if rejected:
        sys.stderr.write(f"it was rejected again: {printable(rejected[0])}\n")
        return REJECTED
    if not given.json:
        stored = "stored" if letter["outcome"]["stored"] else "already stored"
        sys.stdout.write(f"dead letter {given.id}: {stored}\n")
    return 0


def discard(client: Client, given: argparse.Namespace) -> int:
    """Discard a dead letter."""
    letter = client.request("DELETE", f"{_URL}/{given.id}")
    if given.json:
        print_json(letter)
    else:
        sys.stdout.write(f"dead letter {given.id}: discarded\n")
    return 0


def _print(letter: Any, given: argparse.Namespace) -> None:
    if given.json:
        print_json(letter)
        return
    print_rows(
        [
            (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for name, value in letter.items()
            if value is not None
        ]
    )
