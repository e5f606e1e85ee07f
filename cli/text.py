"""Text for a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cli.client import ClientError


def printable(text: str) -> str:
    """Escape unprintable characters, so that text from a device cannot control the terminal."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def key_and_value(pair: str) -> tuple[str, str]:
    """Return both sides of KEY=VALUE; raise ClientError if there is no =."""
    key, sign, value = pair.partition("=")
    if not sign:
        raise ClientError(f"{pair}: write it as {pair}=VALUE")
    return key, value


def second(time: str | None) -> str:
    """Return a time of the API, in UTC, to the second; an empty text for None."""
    return f"{datetime.fromisoformat(time):%Y-%m-%dT%H:%M:%SZ}" if time else ""


def print_json(answer: Any) -> None:
    """Print an answer of the API."""
    sys.stdout.write(json.dumps(answer) + "\n")


def bar(share: float, characters: int) -> str:
    """Draw a progress bar for a share from 0 to 1, this many characters wide without the brackets."""
    full = round(share * characters)
    return f"[{'#' * full}{'.' * (characters - full)}]"


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
