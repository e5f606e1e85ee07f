"""Declarations about devices' data: event types and log resources."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from cli.client import API, Client, ClientError, segment
from cli.text import print_json, print_rows, printable


def add_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add these commands."""
    command = commands.add_parser("event-types", help="list, set or remove event types")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("list", parents=parents, help="list event types")
    action.set_defaults(run=list_event_types)
    action = actions.add_parser("set", parents=parents, help="set an event type by the paths of its values")
    action.add_argument("name", metavar="NAME", help="such as climate")
    action.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="such as '/3303/*/5700'; an event of this type has all of them",
    )
    action.add_argument("--description", metavar="TEXT", help="what such an event means")
    action.set_defaults(run=set_event_type)
    action = actions.add_parser("remove", parents=parents, help="remove an event type")
    action.add_argument("name", metavar="NAME", help="such as climate")
    action.set_defaults(run=remove_event_type)
    command = commands.add_parser("log-resources", help="list, set or remove log resources")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("list", parents=parents, help="list log resources")
    action.set_defaults(run=list_log_resources)
    action = actions.add_parser("set", parents=parents, help="store a resource's values as log lines")
    action.add_argument("path", metavar="OBJECT/RESOURCE", help="such as 32769/7")
    action.add_argument("--cumulative", action="store_true", help="each value contains the whole log buffer")
    action.set_defaults(run=set_log_resource)
    action = actions.add_parser("remove", parents=parents, help="store a resource's values as values again")
    action.add_argument("path", metavar="OBJECT/RESOURCE", help="such as 32769/7")
    action.set_defaults(run=remove_log_resource)


def list_event_types(client: Client, given: argparse.Namespace) -> int:
    """List event types."""
    return _list(client, given, "event-types", _event_type)


def set_event_type(client: Client, given: argparse.Namespace) -> int:
    """Set an event type by the paths of its values."""
    body = {"paths": given.paths, "description": given.description}
    return _print(client.request("PUT", _event_type_url(given), body), given, _event_type)


def remove_event_type(client: Client, given: argparse.Namespace) -> int:
    """Remove an event type."""
    return _print(client.request("DELETE", _event_type_url(given)), given, _event_type)


def list_log_resources(client: Client, given: argparse.Namespace) -> int:
    """List log resources."""
    return _list(client, given, "log-resources", _log_resource)


def set_log_resource(client: Client, given: argparse.Namespace) -> int:
    """Store a resource's values as log lines."""
    body = {"cumulative": given.cumulative}
    return _print(client.request("PUT", _log_resource_url(given), body), given, _log_resource)


def remove_log_resource(client: Client, given: argparse.Namespace) -> int:
    """Store a resource's values as values again."""
    return _print(client.request("DELETE", _log_resource_url(given)), given, _log_resource)


def _event_type_url(given: argparse.Namespace) -> str:
    return f"{API}/event-types/{segment(given.name)}"


def _log_resource_url(given: argparse.Namespace) -> str:
    ids = given.path.strip("/").split("/")
    if len(ids) != 2 or not all(id_.isascii() and id_.isdigit() for id_ in ids):
        raise ClientError(f"{given.path}: write it as OBJECT/RESOURCE, such as 32769/7")
    return f"{API}/log-resources/{'/'.join(ids)}"


def _list(client: Client, given: argparse.Namespace, what: str, row: Any) -> int:
    found = client.request("GET", f"{API}/{what}")[what.replace("-", "_")]
    if given.json:
        print_json(found)
    else:
        print_rows([row(each) for each in found])
    return 0


def _print(answer: Any, given: argparse.Namespace, row: Any) -> int:
    if given.json:
        print_json(answer)
    else:
        sys.stdout.write(printable("  ".join(row(answer)).rstrip()) + "\n")
    return 0


def _event_type(each: Any) -> tuple[str, str, str]:
    return each["name"], " ".join(each["paths"]), each["description"] or ""


def _log_resource(each: Any) -> tuple[str, str]:
    return f"{each['object_id']}/{each['resource_id']}", "cumulative" if each["cumulative"] else ""
