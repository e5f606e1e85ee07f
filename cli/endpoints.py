"""Devices and their newest values: list them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from cli.client import API, Client
from cli.text import printable


def endpoints(client: Client, given: argparse.Namespace) -> int:
    """List devices by name."""
    found = client.pages(f"{API}/endpoints", "endpoints", {})
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    if not found:
        sys.stderr.write("no device is known yet\n")
    _print(
        [
            (
                device["name"],
                "registered" if device["registered"] else "not registered",
                _second(device["last_seen"]) if device["last_seen"] else "never seen",
            )
            for device in found
        ]
    )
    return 0


def values(client: Client, given: argparse.Namespace) -> int:
    """List a device's newest values by path."""
    query = {"path": given.path} if given.path else {}
    found = client.pages(f"{API}/endpoints/{quote(given.endpoint, safe='')}/values", "values", query)
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    if not found:
        sys.stderr.write("no value has been seen yet\n")
    _print([(each["path"], _measure(each), _second(each["time"]), each["name"] or "") for each in found])
    return 0


def _measure(value: Any) -> str:
    return f"{value['value']} {value['units']}" if value["units"] else str(value["value"])


def _second(time: str) -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%dT%H:%M:%SZ}"  # the API's times are UTC


def _print(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
