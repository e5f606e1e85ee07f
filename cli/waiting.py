"""Waiting with --wait, and asking for confirmation."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_INTERVAL_S = 0.5
NOT_CONFIRMED = 3
"""The exit status if the operation or update ended without success."""
STILL_OPEN = 4
"""The exit status if the operation or update did not end in time."""


def follow(
    given: argparse.Namespace,
    first: T,
    again: Callable[[], T],
    has_ended: Callable[[T], bool],
    show: Callable[[T], None],
) -> T:
    """Show something; with --wait, poll it with `again` until it ends; return its last version.

    The wait lasts at most --timeout. With --json nothing is shown meanwhile.
    """
    deadline = time.monotonic() + given.timeout
    found = first
    while True:
        if not given.json:
            show(found)
        if not given.wait or has_ended(found) or time.monotonic() >= deadline:
            return found
        time.sleep(POLL_INTERVAL_S)
        found = again()


def when_changed(of: Callable[[T], object], show: Callable[[T], None]) -> Callable[[T], None]:
    """Return a function that shows something only if this part of it has changed."""
    shown: list[object] = []

    def show_changed(found: T) -> None:
        if shown != [of(found)]:
            show(found)
            shown[:] = [of(found)]

    return show_changed


def agrees(question: str) -> bool | None:
    """Ask the user for confirmation; None if standard input is not a terminal."""
    if not sys.stdin.isatty():
        return None
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
