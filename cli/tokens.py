"""Tokens of the REST API: create, list and revoke them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from cli.client import API, Client, ClientError
from cli.numbers import seconds
from cli.text import print_json, print_rows, printable, second


def add_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add `tokens` with its actions."""
    tokens = commands.add_parser("tokens", help="create, list and revoke tokens of the API")
    actions = tokens.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser(
        "create", parents=parents, help="create a token and print it; it is not shown again"
    )
    create.add_argument("name", metavar="NAME", help="value of requested_by for its requests, such as ci")
    create.add_argument("scopes", metavar="SCOPE", nargs="+", help="read, operate, administer")
    create.add_argument("--owner", metavar="WHO", help="its owner; default: you")
    until = create.add_mutually_exclusive_group()
    until.add_argument("--expires-in", type=seconds, metavar="SECONDS", help="time for which it is valid")
    until.add_argument(
        "--expires-at", metavar="TIME", help="time until which it is valid, such as 2026-01-02T03:04:05Z"
    )
    create.set_defaults(run=make)
    list_all = actions.add_parser("list", parents=parents, help="list tokens, the newest first")
    list_all.set_defaults(run=list_)
    end = actions.add_parser("revoke", parents=parents, help="revoke a token")
    end.add_argument("token", metavar="ID|NAME", help="as `tokens list` shows it")
    end.set_defaults(run=revoke)


def make(client: Client, given: argparse.Namespace) -> int:
    """Create a token. Standard output gets only the token, so that it can go into a file."""
    more = {name: getattr(given, name) for name in ("owner", "expires_in", "expires_at")}
    body = {name: value for name, value in more.items() if value is not None}
    made = client.request("POST", f"{API}/tokens", {"name": given.name, "scopes": given.scopes, **body})
    sys.stdout.write((json.dumps(made) if given.json else made["token"]) + "\n")
    if not given.json:
        sys.stderr.write(
            f"token {made['id']}, {printable(made['name'])}: {_end(made)}. It is not shown again; "
            "put it into the file that FLOWNEXUS_API_TOKEN_FILE names\n"
        )
    return 0


def list_(client: Client, given: argparse.Namespace) -> int:
    """List tokens, the newest first."""
    found = client.pages(f"{API}/tokens", "tokens", {})
    if given.json:
        print_json(found)
        return 0
    if not found:
        sys.stderr.write("no token has been created yet; those of flownexus-api-token are not listed\n")
    print_rows(
        [
            (
                str(token["id"]),
                token["name"],
                token["owner"],
                " ".join(token["scopes"]),
                _end(token),
                f"used {second(token['last_used_at'])}" if token["last_used_at"] else "never used",
            )
            for token in found
        ]
    )
    return 0


def revoke(client: Client, given: argparse.Namespace) -> int:
    """Revoke a token by its number or its name."""
    revoked = client.request("DELETE", f"{API}/tokens/{_id(client, given.token)}")
    if given.json:
        print_json(revoked)
    else:
        sys.stdout.write(f"token {revoked['id']}, {printable(revoked['name'])}: {_end(revoked)}\n")
    return 0


def _id(client: Client, text: str) -> str:
    """Return the number of a token; a name means its token that is not revoked."""
    if text.isascii() and text.isdigit():
        return text
    for token in client.pages(f"{API}/tokens", "tokens", {}):
        if token["name"] == text and token["revoked_at"] is None:
            return str(token["id"])
    raise ClientError(f"no valid token is named {text!r}; `flownexus tokens list` shows all tokens")


def _end(token: Any) -> str:
    """Say until when a token is valid."""
    if token["revoked_at"]:
        return f"revoked {second(token['revoked_at'])}"
    return f"until {second(token['expires_at'])}" if token["expires_at"] else "does not expire"
