"""Options for installation windows."""

from __future__ import annotations

import argparse
from typing import Any

from cli.client import ClientError
from flownexus.firmware.window import SERVER


def add_window_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--window",
        action="append",
        nargs=2,
        metavar=("CRON", "MINUTES"),
        help='when devices may install, such as "0 2 * * *" 120; may be repeated',
    )
    parser.add_argument(
        "--time-zone",
        default=SERVER,
        metavar="NAME",
        help="time zone of the windows: server, device, Europe/Berlin, ...",
    )


def windows_of(given: argparse.Namespace) -> dict[str, Any]:
    """Return the request fields for these options."""
    if not given.window:
        return {}
    windows = [{"cron": cron, "minutes": _minutes(text)} for cron, text in given.window]
    return {"windows": windows, "time_zone": given.time_zone}


def _minutes(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ClientError(f"--window: {text} is not a number of minutes, such as 120") from None
