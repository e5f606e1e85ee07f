"""Object models: list them, show one, add a file, remove one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cli.client import API, Client, ClientError
from cli.text import print_json, print_rows, second

_URL = f"{API}/models"


def add_commands(commands: Any, output: argparse.ArgumentParser) -> None:
    """Add these commands."""
    top = commands.add_parser("models", help="see object models, and add your own while everything runs")
    actions = top.add_subparsers(dest="action", required=True, metavar="ACTION")
    several = actions.add_parser("list", parents=[output], help="list those that were added")
    several.add_argument(
        "object_id", metavar="OBJECT", nargs="?", type=int, help="all versions of this object"
    )
    several.add_argument("--all", action="store_true", help="those of OMA's registry, too")
    several.set_defaults(run=list_)
    one = actions.add_parser("show", parents=[output], help="show the resources of a version of an object")
    _add_version(one)
    one.add_argument("--xml", action="store_true", help="print the file that was added")
    one.set_defaults(run=show)
    added = actions.add_parser("add", parents=[output], help="add a file in the form of OMA's registry")
    added.add_argument("file", metavar="FILE", type=Path, help="an XML file")
    added.add_argument("--replace", action="store_true", help="take the place of the same version")
    added.set_defaults(run=add)
    removed = actions.add_parser("remove", parents=[output], help="remove a version that was added")
    _add_version(removed)
    removed.set_defaults(run=remove)


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("object_id", metavar="OBJECT", type=int, help="the object's id, such as 3303")
    parser.add_argument("version", metavar="VERSION", help="such as 1.1")


def list_(client: Client, given: argparse.Namespace) -> int:
    """List models by object and version."""
    query = {} if given.object_id is None else {"object_id": str(given.object_id)}
    if not given.all and given.object_id is None:
        query["added"] = "true"
    _print(client.pages(_URL, "models", query), given)
    return 0


def show(client: Client, given: argparse.Namespace) -> int:
    """Show a model with its resources, or its file."""
    model = client.request("GET", _one(given))
    if given.xml:
        if model["xml"] is None:
            raise ClientError("it is of OMA's registry, which publishes its file; only added files are kept")
        sys.stdout.write(model["xml"])
    elif given.json:
        print_json(model)
    else:
        print_rows(
            [
                (
                    str(each["id"]),
                    each["operations"] or "-",
                    each["data_type"] or "-",
                    each["name"],
                    each["units"] or "",
                    each["range"] or "",
                )
                for each in model["resources"]
            ]
        )
    return 0


def add(client: Client, given: argparse.Namespace) -> int:
    """Add a file."""
    try:
        xml = given.file.read_bytes()
    except OSError as error:
        raise ClientError(f"cannot read {given.file}: {error.strerror}") from None
    replace = "?replace=true" if given.replace else ""
    _print(client.request("POST", f"{_URL}{replace}", content=xml)["models"], given)
    return 0


def remove(client: Client, given: argparse.Namespace) -> int:
    """Remove a model."""
    _print([client.request("DELETE", _one(given))], given)
    return 0


def _one(given: argparse.Namespace) -> str:
    return f"{_URL}/{given.object_id}/{quote(given.version, safe='')}"


def _print(models: list[Any], given: argparse.Namespace) -> None:
    if given.json:
        print_json(models)
        return
    if not models:
        sys.stderr.write("no model was added; --all lists those of OMA's registry\n")
    print_rows(
        [
            (
                str(each["object_id"]),
                each["version"],
                each["name"],
                f"added by {each['added_by']} {second(each['added_at'])}" if each["added_by"] else "OMA",
            )
            for each in models
        ]
    )
