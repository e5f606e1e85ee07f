"""When endpoints were last seen, by the values that they send: last_seen_at, at most a minute behind them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from psycopg import Cursor

from flownexus.leshan.webhook import Item
from flownexus.store import queries, send
from flownexus.store.transaction import Transaction

SEE_EVERY_S: Final = 40.0
"""Seconds for which one that was seen is not written again: with a batch's own time, a minute at most."""
AWAKE_SHARE: Final = 4
"""How often a device of queue mode is seen in its awake time: presence() goes by last_seen_at."""
MAX_REMEMBERED: Final = 200_000


class Sightings:
    """Writes last_seen_at of endpoints whose values are stored, seldom; remembers when it is time again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next: dict[int, float] = {}

    def note(
        self,
        transaction: Transaction,
        endpoints: Mapping[str, int],
        items: Iterable[Item],
        received: datetime,
    ) -> None:
        """Note that these items came, of endpoints by name; `received` is the time of those without."""
        now = self._clock()
        due = {name: id_ for name, id_ in endpoints.items() if self._next.get(id_, 0.0) <= now}
        if not due:
            return
        received_ms = int(received.timestamp() * 1000)
        newest: dict[int, int] = {}
        for item in items:
            if (id_ := due.get(item.endpoint)) is not None:
                told = received_ms if item.time_ms is None else min(item.time_ms, received_ms)
                newest[id_] = max(told, newest.get(id_, told))
        ids = sorted(newest)
        times = [datetime.fromtimestamp(max(newest[id_], 0) / 1000, UTC) for id_ in ids]
        seen = send(transaction.connection, queries.see, ids=ids, times=times)
        transaction.after_commit(lambda: self._remember(now, ids, seen))

    def _remember(self, now: float, ids: Iterable[int], seen: Cursor) -> None:
        if len(self._next) > MAX_REMEMBERED:
            self._next = {}
        self._next.update(dict.fromkeys(ids, now + SEE_EVERY_S))
        for id_, awake_s in seen:
            if awake_s is not None:
                self._next[id_] = now + min(SEE_EVERY_S, awake_s / AWAKE_SHARE)
