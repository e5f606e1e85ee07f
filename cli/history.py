"""The history of a resource, as a small plot or a list of values."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from urllib.parse import urlencode

from cli.client import Client, ClientError
from cli.endpoints import endpoint_url
from cli.text import print_json, print_rows, printable, second

COLUMNS: Final = 60
ROWS: Final = 8
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def add_commands(commands: Any, output: argparse.ArgumentParser) -> None:
    """Add the command."""
    command = commands.add_parser("history", parents=[output], help="plot the history of a resource")
    command.add_argument("endpoint", metavar="ENDPOINT", help="such as sim-0001")
    command.add_argument("path", metavar="PATH", help="such as /3303/0/5700")
    command.add_argument("--last", metavar="TIME", default="24h", help="such as 90m, 24h (default) or 7d")
    command.add_argument("--from", dest="start", metavar="TIME", help="such as 2026-01-02T03:04:05Z")
    command.add_argument("--to", dest="end", metavar="TIME", help="default: now")
    command.add_argument("--raw", action="store_true", help="list each value instead")
    command.set_defaults(run=history)


def history(client: Client, given: argparse.Namespace) -> int:
    """Plot the numbers of a resource, or list its values."""
    end = given.end or datetime.now(UTC).isoformat()
    start = given.start or _before(end, given.last)
    url = endpoint_url(given.endpoint, f"/{given.path.strip('/')}/history")
    if given.raw:
        found = client.pages(url, "values", {"from": start, "to": end, "resolution": "raw"})
        if given.json:
            print_json(found)
        else:
            print_rows([(second(each["time"]), each["value"]) for each in found])
        return 0
    answer = client.request("GET", f"{url}?{urlencode({'from': start, 'to': end, 'points': COLUMNS})}")
    if given.json:
        print_json(answer)
        return 0
    if not answer["points"]:
        sys.stderr.write("no number was stored in this time; --raw also lists other values\n")
        return 0
    title = f"{answer['endpoint']} {answer['path']}  {second(answer['from'])} to {second(answer['to'])}"
    sys.stdout.write(printable(title) + "\n")
    for line in plot(answer):
        sys.stdout.write(line + "\n")
    return 0


def plot(answer: Any, columns: int = COLUMNS, rows: int = ROWS) -> list[str]:
    """Return the lines of a plot: each bucket's mean as a bar, with the minimum and the maximum.

    It reckons with fractions, which do not overflow.
    """
    points: Sequence[Any] = answer["points"]
    begin, end = (datetime.fromisoformat(answer[each]) for each in ("from", "to"))
    least = min(point["minimum"] for point in points)
    greatest = max(point["maximum"] for point in points)
    low, high = Fraction(least), Fraction(greatest)
    heights = [0] * columns
    for point in points:
        column = int((datetime.fromisoformat(point["time"]) - begin) / (end - begin) * columns)
        share = (Fraction(point["mean"]) - low) / (high - low) if high > low else Fraction(1, 2)
        heights[min(max(column, 0), columns - 1)] = 1 + round(share * (8 * rows - 1))
    labels = {0: f"{greatest:g}", rows - 1: f"{least:g}"}
    width = max(map(len, labels.values()))
    lines = []
    for row in range(rows):
        floor = 8 * (rows - 1 - row)
        bars = "".join(_EIGHTHS[min(max(height - floor, 0), 8)] for height in heights)
        lines.append(f"{labels.get(row, ''):>{width}} |{bars.rstrip()}")
    count = sum(point["count"] for point in points)
    mean = sum(Fraction(point["mean"]) * point["count"] for point in points) / count
    return [*lines, f"{count} values, mean {float(mean):g}, last {points[-1]['last']:g}"]


def _before(end: str, last: str) -> str:
    """Return the time that is `last` before `end`; raise ClientError."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", last)
    if match is None:
        raise ClientError(f"--last {last}: write it as 90m, 24h or 7d")
    try:
        return (datetime.fromisoformat(end) - timedelta(**{_UNITS[match[2]]: int(match[1])})).isoformat()
    except OverflowError:
        raise ClientError(f"--last {last}: begins before the year 1") from None
    except ValueError:
        raise ClientError(f"--to {end}: write it as 2026-01-02T03:04:05Z") from None
