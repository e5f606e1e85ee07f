"""Tags of a device: list, set and remove them; count the devices that match a filter."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from cli.batches import described
from cli.client import API, Client, segment
from cli.text import key_and_value, print_json, printable


def add_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the commands of tags and filters."""
    command = commands.add_parser("tags", parents=parents, help="list, set or remove a device's tags")
    command.add_argument("endpoint", metavar="ENDPOINT", help="such as sim-0001")
    command.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="a tag to set, such as site=berlin")
    command.add_argument("--remove", action="append", default=[], metavar="KEY", help="a tag to remove")
    command.set_defaults(run=tags)
    command = commands.add_parser("matching", parents=parents, help="count the devices that match a filter")
    command.add_argument("filter", metavar="FILTER", help="such as 'name==sim-*;tag.site==berlin'")
    command.set_defaults(run=matching)


def tags(client: Client, given: argparse.Namespace) -> int:
    """Set and remove tags of a device, and list the result."""
    path = f"{API}/endpoints/{segment(given.endpoint)}/tags"
    pairs = list(map(key_and_value, given.pairs))
    for key in given.remove:
        client.request("DELETE", f"{path}/{segment(key)}")
    for key, value in pairs:
        client.request("PUT", f"{path}/{segment(key)}", {"value": value})
    found = client.request("GET", path)["tags"]
    if given.json:
        print_json(found)
    elif not found:
        sys.stderr.write("the device has no tags\n")
    else:
        for key, value in sorted(found.items()):
            sys.stdout.write(printable(f"{key}={value}") + "\n")
    return 0


def matching(client: Client, given: argparse.Namespace) -> int:
    """Say how many devices match a filter, and name the first ones."""
    found = client.request("GET", f"{API}/matching?{urlencode({'filter': given.filter})}")
    sys.stdout.write((json.dumps(found) if given.json else described(found)) + "\n")
    return 0
