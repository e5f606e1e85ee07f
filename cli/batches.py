"""Batches: queue an operation for each device that fits a filter, follow it, list batches, cancel one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any
from urllib.parse import urlencode

from cli.client import API, OPERATIONS, Client, ClientError
from cli.numbers import row_number
from cli.text import print_json, printable
from cli.waiting import NOT_CONFIRMED, STILL_OPEN, agrees, follow, when_changed
from flownexus.operations.lifecycle import Status


def add_commands(
    commands: Any, output: Sequence[argparse.ArgumentParser], waiting: Sequence[argparse.ArgumentParser]
) -> None:
    """Add the commands of batches."""
    one = commands.add_parser("batch", parents=waiting, help="show a batch of operations, or cancel it")
    one.add_argument(
        "id", type=row_number("a batch", "flownexus batches"), metavar="ID", help="the number of the batch"
    )
    one.add_argument("--cancel", action="store_true", help="cancel its operations that are still QUEUED")
    one.set_defaults(run=show)
    several = commands.add_parser("batches", parents=output, help="list batches, newest first")
    several.add_argument(
        "--limit", type=int, default=20, metavar="COUNT", help="how many to list (default 20)"
    )
    several.set_defaults(run=list_)


def queue(client: Client, given: argparse.Namespace, post: Callable[[], Any]) -> int:
    """Show which devices match a filter, ask for confirmation, and queue the operation."""
    if not given.yes:
        _ask(client.request("GET", f"{API}/matching?{urlencode({'filter': given.endpoint})}"))
    return _follow(client, post(), given)


def show(client: Client, given: argparse.Namespace) -> int:
    """Show or cancel a batch; with --wait, wait for its end."""
    method = "DELETE" if given.cancel else "GET"
    return _follow(client, client.request(method, f"{OPERATIONS}/batches/{given.id}"), given)


def list_(client: Client, given: argparse.Namespace) -> int:
    """List batches, the newest first."""
    found = client.request("GET", f"{OPERATIONS}/batches?{urlencode({'limit': given.limit})}")["batches"]
    if given.json:
        print_json(found)
        return 0
    if not found:
        sys.stderr.write("no operation was queued by a filter yet\n")
    for batch in found:
        _print(batch)
    return 0


def described(matching: Any) -> str:
    """Say how many devices match a filter, and name the first ones."""
    count, names = matching["count"], ", ".join(matching["examples"])
    more = ", ..." if count > len(matching["examples"]) else ""
    devices = "1 device matches" if count == 1 else f"{count} devices match"
    return printable(f"{devices}: {names}{more}" if count else "no device matches")


def _ask(matching: Any) -> None:
    """Ask for confirmation; raise ClientError if it is refused."""
    agreed = agrees(f"{described(matching)}; queue the operation for each?")
    if agreed is None:
        raise ClientError(f"{described(matching)}; add --yes to queue the operation for each")
    if not agreed:
        raise ClientError("nothing was queued")


def _follow(client: Client, batch: Any, given: argparse.Namespace) -> int:
    url = f"{OPERATIONS}/batches/{batch['id']}"
    show_progress = when_changed(itemgetter("progress"), _print)
    batch = follow(given, batch, partial(client.request, "GET", url), itemgetter("ended"), show_progress)
    if given.json:
        print_json(batch)
    if not given.wait:
        return 0
    if not batch["ended"]:
        sys.stderr.write(f"the batch is still open; to wait longer: flownexus batch {batch['id']} --wait\n")
        return STILL_OPEN
    return 0 if batch["progress"][Status.CONFIRMED] == batch["endpoints"] else NOT_CONFIRMED


def _print(batch: Any) -> None:
    counts = " ".join(f"{count} {status}" for status, count in batch["progress"].items() if count)
    left_out = f"; {batch['left_out']} left out: too many operations wait" if batch["left_out"] else ""
    what = f"{batch['operation']} {' '.join(batch['targets'])}".rstrip()
    sys.stdout.write(
        printable(f"batch {batch['id']}  {what}  {batch['filter']}  {counts or 'deleted'}{left_out}") + "\n"
    )
    sys.stdout.flush()
