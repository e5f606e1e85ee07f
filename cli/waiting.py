"""What it means to wait for an end with --wait, and to ask before something begins."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_INTERVAL_S = 0.5
NOT_CONFIRMED = 3
"""The exit status where what was waited for, an operation or an update, ended and has not succeeded."""
STILL_OPEN = 4
"""The exit status where it did not end while it was waited for."""


def follow(
    given: argparse.Namespace,
    first: T,
    again: Callable[[], T],
    has_ended: Callable[[T], bool],
    show: Callable[[T], None],
) -> T:
    """Show something, with --wait as often as it is asked for `again`; return it as it was last.

    It is waited for until it has ended, for --timeout at most. With --json nothing is shown on the way.
    """
    deadline = time.monotonic() + given.timeout
    found = first
    while True:
        if not given.json:
            show(found)
        if not given.wait or has_ended(found) or time.monotonic() > deadline:
            return found
        time.sleep(POLL_INTERVAL_S)
        found = again()


def when_changed(of: Callable[[T], object], show: Callable[[T], None]) -> Callable[[T], None]:
    """Return what shows something where this part of it is another than before."""
    shown: list[object] = []

    def show_changed(found: T) -> None:
        if shown != [of(found)]:
            show(found)
            shown[:] = [of(found)]

    return show_changed


def agrees(question: str) -> bool | None:
    """Ask a person whether to go on; None where there is nobody to ask."""
    if not sys.stdin.isatty():
        return None
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
