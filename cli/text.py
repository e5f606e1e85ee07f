"""Text for a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cli.client import ClientError


def printable(text: str) -> str:
    """Escape what is no letter, sign or space: what a device told can do nothing to the terminal."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def key_and_value(pair: str) -> tuple[str, str]:
    """Return the two sides of KEY=VALUE; raise ClientError where it is none."""
    key, sign, value = pair.partition("=")
    if not sign:
        raise ClientError(f"{pair}: write it as {pair}=VALUE")
    return key, value


def second(time: str | None) -> str:
    """Return a time of the API, which is UTC, to the second; nothing for none."""
    return f"{datetime.fromisoformat(time):%Y-%m-%dT%H:%M:%SZ}" if time else ""


def print_json(answer: Any) -> None:
    """Print an answer of the API."""
    sys.stdout.write(json.dumps(answer) + "\n")


def bar(share: float, characters: int) -> str:
    """Draw how much is done, from 0 to 1, in so many characters between brackets."""
    full = round(share * characters)
    return f"[{'#' * full}{'.' * (characters - full)}]"


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
