"""What many open pages ask for again and again, kept for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

T = TypeVar("T")

KEPT_FOR: Final = 20.0
"""How many times as long as it took to make something it is kept: it takes a twentieth of a core at most."""
MAX_KEPT: Final = 128


class Kept:
    """Keeps what was made under a key; what takes long to make is made less often."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, Any]] = {}

    def get(self, key: Hashable, make: Callable[[], T], at_least_s: float = 0.0, *, anew: bool = False) -> T:
        """Return what is kept, else make it; `at_least_s`: seconds for which it is kept in any case."""
        began = self._clock()
        until, found = self._kept.get(key, (0.0, None))
        if began < until and not anew:
            kept: T = found
            return kept
        made = make()
        ended = self._clock()
        if len(self._kept) >= MAX_KEPT:
            self._kept = {}
        self._kept[key] = (ended + max(at_least_s, KEPT_FOR * (ended - began)), made)
        return made
