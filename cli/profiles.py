"""Profiles: list, show, set and delete them; show the plan of a device and its state."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.client import API, Client, ClientError, segment
from cli.tags import matching
from cli.text import print_json, printable

_SET_BY_SERVER = ("name", "changed_by", "changed_at", "applies_to")
"""Fields that `show` prints and `set` ignores."""


def add_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the commands of profiles."""
    command = commands.add_parser("profiles", help="list, show, set or delete observation profiles")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("list", parents=parents, help="list profiles in the order of precedence")
    action.set_defaults(run=list_)
    action = actions.add_parser("show", parents=parents, help="print a profile as JSON")
    action.add_argument("name", metavar="NAME", help="such as default")
    action.set_defaults(run=show)
    action = actions.add_parser("set", parents=parents, help="add or replace a profile")
    action.add_argument("name", metavar="NAME", help="such as trackers")
    action.add_argument(
        "file", metavar="FILE", help="the profile as JSON, as show prints it; - for standard input"
    )
    action.set_defaults(run=set_)
    action = actions.add_parser("delete", parents=parents, help="delete a profile")
    action.add_argument("name", metavar="NAME", help="such as trackers")
    action.set_defaults(run=delete)
    action = actions.add_parser("preview", parents=parents, help="count the devices that match a filter")
    action.add_argument("filter", metavar="FILTER", help="such as 'model==tracker-*'")
    action.set_defaults(run=matching)
    command = commands.add_parser(
        "plan", parents=parents, help="show what a device's profile observes, and the state of each entry"
    )
    command.add_argument("endpoint", metavar="ENDPOINT", help="such as sim-0001")
    command.set_defaults(run=plan)


def list_(client: Client, given: argparse.Namespace) -> int:
    """List profiles in the order of precedence."""
    found = client.request("GET", f"{API}/profiles")["profiles"]
    if given.json:
        print_json(found)
    else:
        for profile in found:
            sys.stdout.write(_line(profile))
    return 0


def show(client: Client, given: argparse.Namespace) -> int:
    """Print a profile."""
    profile = client.request("GET", f"{API}/profiles/{segment(given.name)}")
    sys.stdout.write(json.dumps(profile, indent=None if given.json else 2) + "\n")
    return 0


def read_profile(file: str) -> Any:
    """Read a profile from a file, or from standard input if it is -; raise ClientError."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise ClientError(f"cannot read a profile from {file}: {error}") from None


def set_(client: Client, given: argparse.Namespace) -> int:
    """Add a profile, or replace it."""
    profile = read_profile(given.file)
    if isinstance(profile, dict):
        profile = {name: value for name, value in profile.items() if name not in _SET_BY_SERVER}
    _print(client.request("PUT", f"{API}/profiles/{segment(given.name)}", profile), given)
    return 0


def delete(client: Client, given: argparse.Namespace) -> int:
    """Delete a profile."""
    profile = client.request("DELETE", f"{API}/profiles/{segment(given.name)}")
    sys.stdout.write(json.dumps(profile) + "\n" if given.json else f"profile {profile['name']} deleted\n")
    return 0


def plan(client: Client, given: argparse.Namespace) -> int:
    """Show what a device's profile observes, and the state of each entry."""
    found = client.request("GET", f"{API}/endpoints/{segment(given.endpoint)}/plan")
    if given.json:
        print_json(found)
        return 0
    state = "" if found["registered"] else "; not registered"
    sys.stdout.write(printable(f"profile {found['profile'] or 'none'}{state}") + "\n")
    for each in found["plan"]:
        paths = each.get("path") or " ".join(each.get("paths") or ())
        reason = f": {each['reason']}" if each["reason"] else ""
        sys.stdout.write(printable(f"{each['state']:12}  {each['operation']} {paths}{reason}") + "\n")
    return 0


def _print(profile: Any, given: argparse.Namespace) -> None:
    sys.stdout.write(json.dumps(profile) + "\n" if given.json else _line(profile))


def _line(profile: Any) -> str:
    state = "" if profile["enabled"] else "  disabled"
    return (
        printable(
            f"{profile['priority']:4}  {profile['name']}  {profile['filter'] or 'all devices'}  "
            f"applies to {profile['applies_to']}{state}"
        )
        + "\n"
    )
