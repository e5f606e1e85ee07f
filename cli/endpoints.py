"""List devices, their newest values, their events and their registrations."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any
from urllib.parse import urlencode

from cli.client import API, Client, segment, without_none
from cli.numbers import shortest
from cli.text import key_and_value, print_json, print_rows, printable, second
from flownexus.lwm2m.value import DataType

DEFAULT_COUNT = 20


def add_commands(commands: Any, output: argparse.ArgumentParser) -> None:
    """Add these commands."""
    several = commands.add_parser("endpoints", aliases=["devices"], parents=[output], help="list devices")
    several.add_argument("--match", metavar="TEXT", help="list only those whose name contains this")
    several.add_argument(
        "--filter", metavar="FILTER", help="list only those that match, such as 'presence==asleep'"
    )
    several.set_defaults(run=endpoints)
    new = commands.add_parser("add-endpoint", parents=[output], help="add a device before it first registers")
    new.add_argument("endpoint", metavar="ENDPOINT", help="the name with which it will register")
    new.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="a tag, such as site=berlin")
    new.set_defaults(run=add)
    gone = commands.add_parser(
        "delete-endpoint", parents=[output], help="delete a device with all that is kept of it"
    )
    gone.add_argument("endpoint", metavar="ENDPOINT", help="such as sim-0001")
    gone.add_argument("--force", action="store_true", help="delete it although it is registered")
    gone.set_defaults(run=delete)
    one = commands.add_parser("endpoint", parents=[output], help="show a device and its registration")
    one.add_argument("endpoint", metavar="ENDPOINT", help="such as sim-0001")
    one.set_defaults(run=endpoint)
    newest = commands.add_parser("values", parents=[output], help="list a device's newest values")
    newest.add_argument("endpoint", metavar="ENDPOINT", help="such as sim-0001")
    newest.add_argument("path", metavar="PATH", nargs="?", help="list only values at or below this path")
    newest.set_defaults(run=values)
    observed = commands.add_parser(
        "observations", parents=[output], help="list what Leshan observes on a device now"
    )
    observed.add_argument("endpoint", metavar="ENDPOINT", help="such as sim-0001")
    observed.set_defaults(run=observations)
    for name, run, what in (
        ("events", events, "list values that arrived together, the newest first"),
        ("registrations", registrations, "list when devices registered, updated and deregistered"),
    ):
        command = commands.add_parser(name, parents=[output], help=what)
        command.add_argument("endpoint", metavar="ENDPOINT", nargs="?", help="list only those of this device")
        command.add_argument(
            "--limit",
            type=int,
            default=DEFAULT_COUNT,
            metavar="COUNT",
            help=f"how many to list (default {DEFAULT_COUNT})",
        )
        command.set_defaults(run=run)


def endpoint_url(name: str, rest: str = "") -> str:
    """Return the URL path of a device, or of a part of it."""
    return f"{API}/endpoints/{segment(name)}{rest}"


def endpoints(client: Client, given: argparse.Namespace) -> int:
    """List devices by name."""
    query = {"q": given.match, "filter": given.filter}
    query = {name: text for name, text in query.items() if text}
    found = client.pages(f"{API}/endpoints", "endpoints", query)
    if given.json:
        print_json(found)
        return 0
    if not found:
        sys.stderr.write("no device matches\n" if query else "no device is known yet\n")
    print_rows(
        [
            (
                device["name"],
                device["presence"],
                second(device["last_seen"]) or "never seen",
                _until(device),
            )
            for device in found
        ]
    )
    return 0


def _until(device: Any) -> str:
    """Say since when a device is offline, until when it listens, or when it is expected next."""
    if device["offline_since"]:
        return f"since {second(device['offline_since'])}"
    if device["awake_until"]:
        return f"until {second(device['awake_until'])}"
    expected = device["expected"]
    if expected is None:
        return ""
    if expected["at"]:
        return f"expected about {second(expected['at'])}"
    return f"expected before {second(expected['until'])}"


def add(client: Client, given: argparse.Namespace) -> int:
    """Add a device before it first registers."""
    made = client.request(
        "POST", f"{API}/endpoints", {"name": given.endpoint, "tags": dict(map(key_and_value, given.pairs))}
    )
    if given.json:
        print_json(made)
    else:
        sys.stdout.write(f"{printable(made['name'])} is added; it has not registered yet\n")
    return 0


def delete(client: Client, given: argparse.Namespace) -> int:
    """Delete a device with all that is kept of it."""
    deleted = client.request("DELETE", endpoint_url(given.endpoint, "?force=true" if given.force else ""))
    if given.json:
        print_json(deleted)
    else:
        sys.stdout.write(f"{printable(deleted['name'])} is deleted\n")
    return 0


def endpoint(client: Client, given: argparse.Namespace) -> int:
    """Show a device and its newest registration."""
    found = client.request("GET", endpoint_url(given.endpoint))
    if given.json:
        print_json(found)
        return 0
    print_rows([(name, _cell(value)) for name, value in found.items() if value is not None])
    return 0


def values(client: Client, given: argparse.Namespace) -> int:
    """List a device's newest values by path."""
    query = {"path": given.path} if given.path else {}
    found = client.pages(endpoint_url(given.endpoint, "/values"), "values", query)
    if given.json:
        print_json(found)
        return 0
    if not found:
        sys.stderr.write("no value is stored yet\n")
    print_rows([(each["path"], _measure(each), second(each["time"]), each["name"] or "") for each in found])
    return 0


def observations(client: Client, given: argparse.Namespace) -> int:
    """List what Leshan observes on a device now."""
    found = client.request("GET", endpoint_url(given.endpoint, "/observations"))
    if given.json:
        print_json(found)
        return 0
    if not found["registered"]:
        sys.stderr.write("the device is not registered, so nothing is observed\n")
    elif not found["observations"]:
        sys.stderr.write("nothing is observed\n")
    for each in found["observations"]:
        kind = "composite" if each["composite"] else "single"
        sys.stdout.write(printable(f"{kind:9}  {' '.join(each['paths'])}") + "\n")
    return 0


def events(client: Client, given: argparse.Namespace) -> int:
    """List events, the newest first."""
    found = _newest(client, "events", given)
    if given.json:
        print_json(found)
    else:
        print_rows([(second(each["time"]), each["endpoint"], each["type"], _told(each)) for each in found])
    return 0


def registrations(client: Client, given: argparse.Namespace) -> int:
    """List when devices registered, updated and deregistered, the newest first."""
    found = _newest(client, "registrations", given)
    if given.json:
        print_json(found)
    else:
        print_rows([(second(each["time"]), each["endpoint"], each["event"]) for each in found])
    return 0


def _newest(client: Client, what: str, given: argparse.Namespace) -> list[Any]:
    query = without_none({"limit": str(given.limit), "endpoint": given.endpoint})
    found: list[Any] = client.request("GET", f"{API}/{what}?{urlencode(query)}")[what]
    if not found and not given.json:
        sys.stderr.write(f"there are no {what} yet\n")
    return found


def _told(event: Any) -> str:
    return "  ".join(f"{each['path']}={each['value']}" for each in event["values"])


def _measure(value: Any) -> str:
    number = shortest(value["value"]) if value["type"] == DataType.FLOAT else value["value"]
    return f"{number} {value['units']}" if value["units"] else str(number)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name}={_cell(each)}" for name, each in value.items() if each is not None)
    return printable(value) if isinstance(value, str) else json.dumps(value)
