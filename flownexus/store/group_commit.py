"""Work that comes at the same time, done together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False)
class _Ticket(Generic[T, R]):
    item: T
    weight: int
    future: Future[R] = field(default_factory=Future)
    called: threading.Event = field(default_factory=threading.Event)
    leads: bool = False


class GroupCommit(Generic[T, R]):
    """Calls `work` with what several threads bring, so that they share the cost of a call.

    Nobody waits for others to come: who comes first goes at once. While it is at work the next ones gather;
    then the first of them goes and takes along the others, up to a weight of `max_weight` in all. `work`
    returns a result for each item; what it raises, each of them gets.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]], max_weight: int) -> None:
        self._work = work
        self._max_weight = max_weight
        self._led = False
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[T, R]] = []

    def do(self, item: T, weight: int) -> R:
        """Have it done, together with what others bring meanwhile."""
        ticket = _Ticket[T, R](item, weight)
        with self._lock:
            self._waiting.append(ticket)
            self._call_leader()
        ticket.called.wait()
        if ticket.leads:
            self._lead()
        return ticket.future.result()

    def _call_leader(self) -> None:
        """Let the first of those who wait lead, unless somebody does; the lock is held."""
        if self._waiting and not self._led:
            self._led = self._waiting[0].leads = True
            self._waiting[0].called.set()

    def _lead(self) -> None:
        together = self._take()
        try:
            results = self._work([ticket.item for ticket in together])
            for ticket, result in zip(together, results, strict=True):
                ticket.future.set_result(result)
        except BaseException as error:  # noqa: BLE001  # each of them raises it, this thread too
            for ticket in together:
                if not ticket.future.done():
                    ticket.future.set_exception(error)
        with self._lock:
            self._led = False
            self._call_leader()
        for ticket in together:
            ticket.called.set()

    def _take(self) -> Sequence[_Ticket[T, R]]:
        """Take from the queue its first, which leads, and those behind it that are not too much."""
        with self._lock:
            count, weight = 1, self._waiting[0].weight
            for ticket in self._waiting[1:]:
                weight += ticket.weight
                if weight > self._max_weight:
                    break
                count += 1
            together, self._waiting = self._waiting[:count], self._waiting[count:]
        return together


class AsyncGroupCommit(Generic[T, R]):
    """Does for the tasks of an event loop what GroupCommit does for threads; `work` runs in an executor.

    Up to `lanes` calls of `work` are under way at once, each with at most `max_items`. What a call raises all
    of its items get where it `concerns_all`; otherwise they are done again, one by one.
    """

    def __init__(
        self,
        executor: Executor,
        work: Callable[[Sequence[T]], Sequence[R]],
        concerns_all: Callable[[Exception], bool],
        lanes: int,
        max_items: int,
    ) -> None:
        self._executor = executor
        self._work = work
        self._concerns_all = concerns_all
        self._lanes = lanes
        self._max_items = max_items
        self._leaders: set[asyncio.Task[None]] = set()
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []

    async def do(self, item: T) -> R:
        """Have it done, together with what others bring meanwhile."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._leaders) < self._lanes:
            leader = loop.create_task(self._lead())
            self._leaders.add(leader)
            leader.add_done_callback(self._leaders.discard)
        return await future

    async def _lead(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[: self._max_items], self._waiting[self._max_items :]
            await self._do(together)

    async def _do(self, together: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        items = [item for item, _ in together]
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._executor, self._work, items)
        except Exception as error:  # noqa: BLE001  # each of them raises it
            if len(together) > 1 and not self._concerns_all(error):
                for each in together:
                    await self._do([each])
                return
            for _, future in together:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(together, results, strict=True):
            if not future.done():
                future.set_result(result)
