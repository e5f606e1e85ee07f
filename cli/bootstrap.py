"""Bootstrap: factory keys, bootstrap profiles and recent sessions."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from cli.client import API, Client, ClientError, segment, without_none
from cli.credentials import (
    add_folder,
    check_folder,
    devices,
    files_of,
    read_csv,
    refused_rows,
    write_files,
)
from cli.numbers import row_number
from cli.profiles import read_profile
from cli.text import print_json, print_rows, printable, second

PATH: Final = f"{API}/bootstrap"
BATCH: Final = 250
COLUMNS: Final = ("endpoint", "identity", "key", "profile")
REVOKE: Final = "flownexus bootstrap revoke"
SESSIONS: Final = 20
_SET_BY_SERVER: Final = ("name", "changed_by", "changed_at")
"""Fields that `profile` prints and `set` ignores."""


def add_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add `bootstrap` with its actions."""
    top = commands.add_parser("bootstrap", help="manage bootstrap: factory keys, profiles, sessions")
    actions = top.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", parents=parents, help="let a device bootstrap with a factory key")
    add.add_argument("endpoint", metavar="ENDPOINT", help="the device's endpoint name")
    add.add_argument("--identity", metavar="TEXT", help="PSK identity; default: the endpoint name")
    add.add_argument("--key", metavar="HEX", help="key that the device has already; default: a new one")
    add.add_argument("--profile", metavar="NAME", help="bootstrap profile; default: `default`")
    add_folder(add, "factory")
    add.set_defaults(run=add_key)
    several = actions.add_parser(
        "import", parents=parents, help=f"let the devices of a CSV file bootstrap: {', '.join(COLUMNS)}"
    )
    several.add_argument("file", type=Path, metavar="CSV", help="its first line names the columns")
    add_folder(several, "factory")
    several.set_defaults(run=import_)
    keys = actions.add_parser("keys", parents=parents, help="list factory keys, the newest first")
    keys.add_argument("--endpoint", metavar="ENDPOINT", help="list only those of this device")
    keys.set_defaults(run=list_keys)
    number = row_number("a factory key", "flownexus bootstrap keys")
    for name, run, text in (
        ("allow", allow, "let a device bootstrap once more with a used factory key"),
        ("revoke", revoke, "revoke a factory key; the credential that its device has received stays valid"),
    ):
        action = actions.add_parser(name, parents=parents, help=text)
        action.add_argument("id", type=number, metavar="ID", help="as `bootstrap keys` shows it")
        action.set_defaults(run=run)
    action = actions.add_parser("sessions", parents=parents, help="list the newest sessions")
    action.add_argument("--endpoint", metavar="ENDPOINT", help="list only those of this device")
    action.add_argument("--limit", type=int, default=SESSIONS, metavar="COUNT", help="(default 20)")
    action.set_defaults(run=sessions)
    action = actions.add_parser("profiles", parents=parents, help="list profiles")
    action.set_defaults(run=profiles)
    action = actions.add_parser("profile", parents=parents, help="print a profile as JSON")
    action.add_argument("name", metavar="NAME", help="such as default")
    action.set_defaults(run=profile)
    action = actions.add_parser("set", parents=parents, help="add or replace a profile")
    action.add_argument("name", metavar="NAME", help="such as default")
    action.add_argument("file", metavar="FILE", help="as `profile` prints it; - for standard input")
    action.set_defaults(run=set_profile)
    action = actions.add_parser("delete", parents=parents, help="delete a profile that no factory key uses")
    action.add_argument("name", metavar="NAME", help="such as field")
    action.set_defaults(run=delete_profile)


def add_key(client: Client, given: argparse.Namespace) -> int:
    """Let a device bootstrap, and write the files of its factory key."""
    check_folder(given.folder, [given.endpoint])
    names = ("endpoint", "identity", "key", "profile")
    made = client.request(
        "POST", f"{PATH}/keys", without_none({name: getattr(given, name) for name in names})
    )
    write_files(given.folder, [made], REVOKE)
    if given.json:
        sys.stdout.write(json.dumps(made) + "\n")
    else:
        sys.stdout.write(f"{_told(made)}\n{files_of(given.folder, made)}\n")
    return 0


def import_(client: Client, given: argparse.Namespace) -> int:
    """Let the devices of a CSV file bootstrap; rows before a rejected batch stay."""
    wanted = read_csv(given.file, COLUMNS)
    check_folder(given.folder, [row["endpoint"] for row in wanted if "endpoint" in row])
    for at in range(0, len(wanted), BATCH):
        part = wanted[at : at + BATCH]
        try:
            made = client.request("POST", f"{PATH}/keys/batch", {"keys": part})["keys"]
        except ClientError as error:
            raise ClientError(
                f"{refused_rows(error, 'keys', part, at)} not added, nor any later row; "
                f"the first {at} rows are added, with their files in {given.folder}"
            ) from None
        write_files(given.folder, made, REVOKE)
    sys.stdout.write(f"{devices(len(wanted))} may bootstrap; their files are in {given.folder}\n")
    return 0


def list_keys(client: Client, given: argparse.Namespace) -> int:
    """List factory keys, the newest first."""
    found = client.pages(f"{PATH}/keys", "keys", without_none({"endpoint": given.endpoint}))
    if given.json:
        print_json(found)
    else:
        print_rows(
            [
                (str(each["id"]), each["endpoint"], each["identity"], each["profile"], _state(each))
                for each in found
            ]
        )
    return 0


def allow(client: Client, given: argparse.Namespace) -> int:
    """Let a device bootstrap once more."""
    return _changed(client.request("POST", f"{PATH}/keys/{given.id}/allow"), given)


def revoke(client: Client, given: argparse.Namespace) -> int:
    """Revoke a factory key."""
    return _changed(client.request("DELETE", f"{PATH}/keys/{given.id}"), given)


def sessions(client: Client, given: argparse.Namespace) -> int:
    """List the newest sessions, with the reason of a failure or refusal."""
    query = urlencode(without_none({"endpoint": given.endpoint, "limit": str(given.limit)}))
    found = client.request("GET", f"{PATH}/sessions?{query}")["sessions"]
    if given.json:
        print_json(found)
    else:
        print_rows(
            [
                (
                    second(each["ended_at"] or each["begun_at"]),
                    each["endpoint"],
                    each["state"] + (f" {each['times']} times" if each["times"] > 1 else ""),
                    each["address"],
                    each["detail"] or "",
                )
                for each in found
            ]
        )
    return 0


def profiles(client: Client, given: argparse.Namespace) -> int:
    """List profiles."""
    found = client.request("GET", f"{PATH}/profiles")["profiles"]
    if given.json:
        print_json(found)
    else:
        print_rows([_row(each) for each in found])
    return 0


def profile(client: Client, given: argparse.Namespace) -> int:
    """Print a profile."""
    found = client.request("GET", f"{PATH}/profiles/{segment(given.name)}")
    sys.stdout.write(json.dumps(found, indent=None if given.json else 2) + "\n")
    return 0


def set_profile(client: Client, given: argparse.Namespace) -> int:
    """Add a profile, or replace it."""
    wanted = read_profile(given.file)
    if isinstance(wanted, dict):
        wanted = {name: value for name, value in wanted.items() if name not in _SET_BY_SERVER}
    return _put(client.request("PUT", f"{PATH}/profiles/{segment(given.name)}", wanted), given)


def delete_profile(client: Client, given: argparse.Namespace) -> int:
    """Delete a profile."""
    found = client.request("DELETE", f"{PATH}/profiles/{segment(given.name)}")
    sys.stdout.write(json.dumps(found) + "\n" if given.json else f"profile {found['name']} deleted\n")
    return 0


def _put(found: Any, given: argparse.Namespace) -> int:
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        print_rows([_row(found)])
    return 0


def _row(found: Any) -> tuple[str, ...]:
    uri = found["server_uri"] or "COAPS_URL"
    return (found["name"], uri, f"lifetime {found['lifetime']} s", f"{len(found['objects'])} more resources")


def _changed(row: Any, given: argparse.Namespace) -> int:
    sys.stdout.write((json.dumps(row) if given.json else _told(row)) + "\n")
    return 0


def _told(row: Any) -> str:
    return f"factory key {row['id']} of {printable(row['endpoint'])}: {_state(row)}"


def _state(row: Any) -> str:
    if row["revoked_at"]:
        return f"revoked {second(row['revoked_at'])}"
    return f"used {second(row['used_at'])}" if row["used_at"] else "may bootstrap"
