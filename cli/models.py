"""Object models: list them, show one, add a file, remove one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from cli.client import API, Client, ClientError, segment
from cli.text import print_json, print_rows, second

_URL = f"{API}/models"


def add_commands(commands: Any, output: argparse.ArgumentParser) -> None:
    """Add these commands."""
    top = commands.add_parser("models", help="list object models, and add your own without a restart")
    actions = top.add_subparsers(dest="action", required=True, metavar="ACTION")
    several = actions.add_parser("list", parents=[output], help="list added models")
    several.add_argument(
        "object_id", metavar="OBJECT", nargs="?", type=int, help="list all versions of this object"
    )
    several.add_argument("--all", action="store_true", help="include those of OMA's registry")
    several.set_defaults(run=list_)
    one = actions.add_parser("show", parents=[output], help="show the resources of an object version")
    _add_version(one)
    one.add_argument("--xml", action="store_true", help="print the file that was added")
    one.set_defaults(run=show)
    added = actions.add_parser(
        "add", parents=[output], help="add a model file in the format of OMA's registry"
    )
    added.add_argument("file", metavar="FILE", type=Path, help="an XML file")
    added.add_argument("--replace", action="store_true", help="replace the same version")
    added.set_defaults(run=add)
    removed = actions.add_parser("remove", parents=[output], help="remove an added version")
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
            raise ClientError(
                "this model is from OMA's registry, which publishes the file; only added files are stored"
            )
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
    return f"{_URL}/{given.object_id}/{segment(given.version)}"


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
