"""Search and follow the logs of devices."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any
from urllib.parse import urlencode

from cli.client import API, PAGE_SIZE, Client
from cli.text import print_json, print_rows, printable, second

POLL_INTERVAL_S = 1.0
SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")


def add_commands(commands: Any, output: argparse.ArgumentParser) -> None:
    """Add these commands."""
    logs = commands.add_parser("logs", parents=[output], help="show the logs of devices")
    logs.add_argument("endpoint", metavar="ENDPOINT", nargs="?", help="show only this device")
    logs.add_argument("-f", "--follow", action="store_true", help="keep printing new entries; Ctrl-C ends it")
    logs.add_argument("--severity", choices=SEVERITIES, help="show only this severity and worse")
    logs.add_argument("--source", help="show only this part of the device")
    logs.add_argument("--text", help="show only messages that contain this")
    logs.add_argument("--since", dest="from", metavar="TIME", help="such as 2026-01-02T03:04:05Z")
    logs.add_argument("--limit", type=int, default=50, metavar="COUNT", help="how many to show (default 50)")
    logs.set_defaults(run=show)


def show(client: Client, given: argparse.Namespace) -> int:
    """Show the newest entries in the order of time; with --follow, keep printing new ones."""
    names = ("endpoint", "severity", "source", "text", "from")
    query = {name: value for name in names if (value := getattr(given, name)) is not None}
    found = _newest(client, query, given.limit)
    if given.json and not given.follow:
        print_json(found)
        return 0
    if not found and not given.follow:
        sys.stderr.write("no entry was found\n")
    _print(found, given)
    # Entries may arrive out of order of time; the id tells which ones are new.
    last = max((each["id"] for each in found), default=0)
    while given.follow:
        time.sleep(POLL_INTERVAL_S)
        new = [each for each in _newest(client, query, PAGE_SIZE) if each["id"] > last]
        _print(new, given)
        last = max((each["id"] for each in new), default=last)
    return 0


def _newest(client: Client, query: dict[str, str], limit: int) -> list[Any]:
    answer = client.request("GET", f"{API}/logs?{urlencode({**query, 'limit': str(limit)})}")
    return list(reversed(answer["entries"]))


def _print(entries: list[Any], given: argparse.Namespace) -> None:
    if given.json:
        for each in entries:
            print_json(each)
    elif given.follow:
        for each in entries:
            sys.stdout.write("  ".join(map(printable, _row(each))) + "\n")
    else:
        print_rows([_row(each) for each in entries])
    sys.stdout.flush()


def _row(entry: Any) -> tuple[str, ...]:
    return (
        second(entry["time"]),
        entry["endpoint"],
        entry["severity_name"] or "-",
        entry["source"] or "-",
        f"hex {entry['message']}" if entry["hex"] else entry["message"],
    )
