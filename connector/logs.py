"""Log lines that may come by the thousand."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 10.0
MAX_LINES_PER_WINDOW: Final = 10
MAX_KEYS: Final = 1000


@dataclass
class _Window:
    began: float
    lines: int = 0
    more: int = 0


class RateLimitedLog:
    """Logs at most ten lines of one key in ten seconds; the next one says how many were left out."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._windows: dict[Hashable, _Window] = {}

    def warning(self, key: Hashable, text: str, *arguments: object) -> None:
        """Log at level WARNING, or only count it."""
        self._line(logging.WARNING, key, text, arguments)

    def error(self, key: Hashable, text: str, *arguments: object) -> None:
        """Log at level ERROR, or only count it."""
        self._line(logging.ERROR, key, text, arguments)

    def _line(self, level: int, key: Hashable, text: str, arguments: tuple[object, ...]) -> None:
        now = self._clock()
        window = self._windows.get(key)
        left_out = 0
        if window is None or now - window.began >= WINDOW_S:
            left_out = window.more if window is not None else 0
            if len(self._windows) >= MAX_KEYS:
                self._windows.clear()
            window = self._windows[key] = _Window(now)
        if window.lines >= MAX_LINES_PER_WINDOW:
            window.more += 1
            return
        window.lines += 1
        if left_out:
            text += " (%d more like it were left out before)"
            arguments = (*arguments, left_out)
        self._log.log(level, text, *arguments)
