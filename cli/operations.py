"""Operations: queue, follow and list them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Final
from urllib.parse import urlencode

from cli import batches
from cli.client import OPERATIONS, Client, ClientError, without_none
from cli.numbers import seconds, shortest
from cli.text import key_and_value, print_json, printable
from cli.waiting import NOT_CONFIRMED, STILL_OPEN, follow, when_changed
from flownexus.errors import UnknownDataTypeError
from flownexus.lwm2m.value import DataType
from flownexus.operations.catalogue import KINDS, Known
from flownexus.operations.catalogue.base import name_of
from flownexus.operations.catalogue.one_path import Create, Write
from flownexus.operations.lifecycle import ENDED

INSTANCE_WRITE: Final = "instance-write"
COMMANDS: Final[Mapping[str, type[Known]]] = {**KINDS, INSTANCE_WRITE: Write}
"""The commands that queue an operation, and their kinds; writing an object instance is a write, too."""
_SUMMARIES: Final = {
    "write": "Write a value (OMA LwM2M Core 1.1, 6.3.3).",
    INSTANCE_WRITE: "Replace all resources of an object instance (OMA LwM2M Core 1.1, 6.3.3).",
}
"""Summaries of commands that cover only a part of their kind."""


def add_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add a command for each kind of operation; its arguments are the fields of the kind."""
    for name, kind in COMMANDS.items():
        summary = _SUMMARIES.get(name) or (kind.__doc__ or "").splitlines()[0]
        brief = summary[0].lower() + summary[1:].partition(" (")[0]
        command = commands.add_parser(name, parents=parents, help=brief, description=summary)
        command.add_argument("endpoint", metavar="ENDPOINT", help="such as sim-0001; with --filter, a filter")
        for field in sorted(kind.__struct_fields__, key=list(_FIELDS).index):
            if field == "path" and kind.usual_path is not None:
                command.add_argument("path", nargs="?", metavar="PATH", help=f"default: {kind.usual_path}")
            elif field == "value" and name in _SEVERAL:
                few = "*" if kind is Create else "+"
                command.add_argument("value", nargs=few, metavar=_SEVERAL[name][0], help=_SEVERAL[name][1])
            else:
                _FIELDS[field](command)
        if name == INSTANCE_WRITE:
            command.add_argument("--keep", action="store_true", help="keep the resources that are not given")
        command.add_argument("--not-before", metavar="TIME", help="such as 2026-01-02T03:04:05Z")
        command.add_argument(
            "--expires-in",
            type=seconds,
            metavar="SECONDS",
            help="lifetime; the operation is not sent after it",
        )
        if name in _MAY_SUPERSEDE:
            command.add_argument(
                "--supersede", action="store_true", help="replace an older waiting write to PATH"
            )
        command.add_argument(
            "--filter",
            action="store_true",
            help="ENDPOINT is a filter, such as 'tag.site==berlin': queue it for each device that matches",
        )
        command.add_argument("--yes", action="store_true", help="with --filter: do not ask for confirmation")
        command.set_defaults(run=queue)


def _path(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", metavar="PATH", help="such as /3303/0/5700")


def _paths(command: argparse.ArgumentParser) -> None:
    command.add_argument("paths", metavar="PATH", nargs="+", help="such as /3/0/9")


def _value(command: argparse.ArgumentParser) -> None:
    command.add_argument("value", metavar="VALUE", help="such as 21.5 or Europe/Berlin")
    types = [str(each) for each in DataType]
    command.add_argument(
        "--type",
        choices=types,
        metavar="TYPE",
        help=f"data type of the value, required if no object model has the resource: {', '.join(types)}",
    )


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--arguments", metavar="ARGUMENTS", help="arguments of the execute, such as 0='x',1")


def _repeatable(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--repeatable", action="store_true", help="retry it even if the device may have executed it already"
    )


_FIELDS: Final[Mapping[str, Callable[[argparse.ArgumentParser], None]]] = {
    "path": _path,
    "paths": _paths,
    "value": _value,
    "arguments": _arguments,
    "repeatable": _repeatable,
}
"""The argument of each field of a kind, in the order of the command line."""


def _attributes(pairs: Sequence[str]) -> dict[str, Any]:
    """Read pmin=10; a name without a value unsets the attribute."""
    return {
        name: _number(text) if text else None for name, _, text in (pair.partition("=") for pair in pairs)
    }


def _number(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _resources(pairs: Sequence[str]) -> dict[str, Any]:
    return {"resources": _values(pairs)}


def _values(pairs: Sequence[str]) -> dict[str, Any]:
    """Read 5700=21.5, or 1:INTEGER=7 if no model has the resource."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, text = key_and_value(pair)
        key, colon, type_ = name.partition(":")
        values[key] = {"type": type_, "value": text} if colon else text
    return values


_OF_RESOURCES: Final = "value of a resource, such as 5700=21.5; ID:TYPE=VALUE if no model has it"
_SEVERAL: Final[Mapping[str, tuple[str, str, Callable[[Sequence[str]], Any]]]] = {
    "write-attributes": (
        "NAME=NUMBER",
        "pmin, pmax, epmin, epmax, gt, lt or st; a name alone unsets it",
        _attributes,
    ),
    "write-composite": (
        "PATH=VALUE",
        "such as /3/0/15=Europe/Berlin; PATH:TYPE=VALUE if no model has the resource",
        _values,
    ),
    "create": ("ID=VALUE", _OF_RESOURCES, _resources),
    INSTANCE_WRITE: ("ID=VALUE", _OF_RESOURCES, _resources),
}
"""Kinds whose value is several arguments: their metavar, help and parser."""


_MAY_SUPERSEDE: Final = ("write",)
"""Kinds of which a newer operation may supersede an older one."""


def queue(client: Client, given: argparse.Namespace) -> int:
    """Queue an operation; with --wait, wait for its end."""
    body = {"operation": name_of(COMMANDS[given.command]), **_asked(given)}
    if given.filter:
        post = partial(_post, client, given, "/batches", {"filter": given.endpoint, **body})
        return batches.queue(client, given, post)
    return _follow(client, _post(client, given, "/", {"endpoint": given.endpoint, **body}), given)


def _asked(given: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a request, except its endpoint and its kind."""
    fields = {field: getattr(given, field) for field in COMMANDS[given.command].__struct_fields__}
    if given.command in _SEVERAL:
        fields["value"] = _SEVERAL[given.command][2](given.value)
    if getattr(given, "keep", False):
        fields["value"]["replace"] = False
    body = {name: value for name, value in fields.items() if value is not None and value is not False}
    body |= {
        name: value
        for name, value in (("not_before", given.not_before), ("expires_in", given.expires_in))
        if value is not None
    }
    if getattr(given, "supersede", False):
        body["supersede"] = True
    if getattr(given, "type", None):
        body["value"] = {"type": given.type, "value": given.value}
    return body


def _post(client: Client, given: argparse.Namespace, path: str, body: Mapping[str, Any]) -> Any:
    """Queue an operation; if its data type is missing, explain how to give one."""
    try:
        return client.request("POST", f"{OPERATIONS}{path}", body)
    except ClientError as error:
        if error.problem != UnknownDataTypeError.type:
            raise
        raise ClientError(
            f"{error}; write {_SEVERAL[given.command][1]}"
            if given.command in _SEVERAL
            else f"no object model has {given.path}, and no value of it is stored: "
            f"add --type, one of {', '.join(DataType)}"
        ) from None


def show(client: Client, given: argparse.Namespace) -> int:
    """Show an operation; with --wait, wait for its end."""
    return _follow(client, client.request("GET", f"{OPERATIONS}/{given.id}"), given)


def why(client: Client, given: argparse.Namespace) -> int:
    """Explain why an operation is still open, or how it ended."""
    answer = client.request("GET", f"{OPERATIONS}/{given.id}/why")
    sys.stdout.write((json.dumps(answer) if given.json else printable(answer["why"])) + "\n")
    return 0


def list_(client: Client, given: argparse.Namespace) -> int:
    """List operations, the newest first."""
    query = without_none({"limit": given.limit, "endpoint": given.endpoint})
    found = client.request("GET", f"{OPERATIONS}/?{urlencode(query)}")["operations"]
    if given.json:
        print_json(found)
        return 0
    if not found:
        sys.stderr.write("there are no such operations\n")
    for operation in found:
        _print(operation)
    return 0


def _follow(client: Client, operation: Any, given: argparse.Namespace) -> int:
    again = partial(client.request, "GET", f"{OPERATIONS}/{operation['id']}")
    show_status = when_changed(itemgetter("status"), _print)
    operation = follow(given, operation, again, lambda found: found["status"] in ENDED, show_status)
    if given.json:
        print_json(operation)
    if not given.wait or operation["status"] == "CONFIRMED":
        return 0
    if operation["status"] in ENDED:
        return NOT_CONFIRMED
    reason = client.request("GET", f"{OPERATIONS}/{operation['id']}/why")["why"]
    sys.stderr.write(
        f"{printable(reason)}\n"
        f"the operation is still open; to wait longer: flownexus operation {operation['id']} --wait\n"
    )
    return STILL_OPEN


def _print(operation: Any) -> None:
    paths = operation.get("path") or " ".join(operation.get("paths") or ())
    what = f"{operation['operation']} {operation['endpoint']} {paths}".rstrip()
    reason = f": {operation['reason']}" if operation["reason"] else ""
    shown = f"operation {operation['id']}  {what}  {operation['status']}{reason}{_content(operation)}"
    sys.stdout.write(printable(shown) + "\n")
    sys.stdout.flush()


def _content(operation: Any) -> str:
    """Return the result of a read as text."""
    content = (operation["result"] or {}).get("content")
    if not isinstance(content, dict):
        return ""
    if "values" in content:
        return f"  {json.dumps(content['values'], ensure_ascii=False)}"
    if "value" not in content:
        return ""
    value = str(content["value"])
    return f"  {shortest(value) if content.get('type') == DataType.FLOAT else value}"
