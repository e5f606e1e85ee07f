"""Work that comes at the same time is done together, and each gets what is theirs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue

import pytest

from flownexus.store.group_commit import AsyncGroupCommit, GroupCommit

WAIT = 5.0


class Worker:
    """Work that is held until it is let go, one call at a time."""

    def __init__(self) -> None:
        self.begun: Queue[Sequence[int]] = Queue()
        self.released: Queue[None] = Queue()

    def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.begun.put(items)
        self.released.get(timeout=WAIT)
        if -1 in items:
            raise ValueError("minus one")
        return [item * 10 for item in items]

    def next(self) -> list[int]:
        return sorted(self.begun.get(timeout=WAIT))

    def release(self) -> None:
        self.released.put(None)


def start(threads: ThreadPoolExecutor, group: GroupCommit[int, int], item: int) -> Future[int]:
    """Bring an item; returns once it waits or is being worked on."""
    entered = threading.Event()

    def bring() -> int:
        entered.set()
        return group.do(item, 1)

    future = threads.submit(bring)
    assert entered.wait(WAIT)
    return future


def test_who_comes_while_another_is_at_work_goes_together_with_those_who_wait() -> None:
    worker = Worker()
    group = GroupCommit(worker, max_weight=3)
    with ThreadPoolExecutor(8) as threads:
        futures = [start(threads, group, 1)]
        assert worker.next() == [1]  # at once, alone
        futures += [start(threads, group, item) for item in (2, 3, 4, 5)]
        while len(group._waiting) < 4:
            threading.Event().wait(0.001)
        together = []
        for _ in range(2):
            worker.release()
            together.append(worker.next())
        worker.release()
        assert [len(items) for items in together] == [3, 1]
        assert sorted(together[0] + together[1]) == [2, 3, 4, 5]
        assert [future.result(WAIT) for future in futures] == [10, 20, 30, 40, 50]


def test_what_the_work_raises_each_of_them_gets_and_nobody_else() -> None:
    worker = Worker()
    group = GroupCommit(worker, max_weight=3)
    with ThreadPoolExecutor(8) as threads:
        first = start(threads, group, 1)
        assert worker.next() == [1]
        failing = [start(threads, group, item) for item in (-1, 2)]
        while len(group._waiting) < 2:
            threading.Event().wait(0.001)
        worker.release()
        assert worker.next() == [-1, 2]
        worker.release()
        assert first.result(WAIT) == 10
        for future in failing:
            with pytest.raises(ValueError, match="minus one"):
                future.result(WAIT)
        worker.release()
        assert group.do(3, 1) == 30


def test_each_gets_its_own_result_and_none_is_too_much() -> None:
    lock, sizes, at_once, most_at_once = threading.Lock(), [], 0, 0

    def work(items: Sequence[int]) -> Sequence[int]:
        nonlocal at_once, most_at_once
        with lock:
            at_once += 1
            most_at_once = max(most_at_once, at_once)
            sizes.append(len(items))
        try:
            return [-item for item in items]
        finally:
            with lock:
                at_once -= 1

    group = GroupCommit(work, max_weight=5)
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(lambda item: group.do(item, 1), range(3000))) == [-n for n in range(3000)]
    assert sum(sizes) == 3000
    assert max(sizes) <= 5
    assert most_at_once == 1


def test_one_that_is_too_heavy_goes_alone() -> None:
    def work(items: Sequence[int]) -> Sequence[int]:
        return items

    assert GroupCommit(work, max_weight=3).do(7, weight=100) == 7


def for_all(error: Exception) -> bool:
    return True


def for_one(error: Exception) -> bool:
    return False


async def test_tasks_that_come_while_all_lanes_are_at_work_go_together() -> None:
    worker = Worker()
    with ThreadPoolExecutor(8) as threads:
        group = AsyncGroupCommit(threads, worker, for_all, lanes=2, max_items=3)
        tasks = [asyncio.create_task(group.do(item)) for item in range(1, 8)]
        seen = [await asyncio.to_thread(worker.next) for _ in range(2)]
        while sum(map(len, seen)) < len(tasks):
            worker.release()
            seen.append(await asyncio.to_thread(worker.next))
        for _ in range(2):
            worker.release()
        assert await asyncio.gather(*tasks) == [10, 20, 30, 40, 50, 60, 70]
    assert sorted(item for items in seen for item in items) == [1, 2, 3, 4, 5, 6, 7]
    assert max(map(len, seen)) == 3


async def test_what_the_work_of_tasks_raises_each_of_its_own_gets_and_no_other() -> None:
    worker = Worker()
    with ThreadPoolExecutor(8) as threads:
        group = AsyncGroupCommit(threads, worker, for_all, lanes=1, max_items=2)
        tasks = [asyncio.create_task(group.do(item)) for item in (-1, 2, 3)]
        for _ in range(2):
            worker.release()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        worker.release()
        assert await group.do(4) == 40
    assert [str(result) for result in results] == ["minus one", "minus one", "30"]


async def test_a_task_that_went_away_holds_up_nobody() -> None:
    worker = Worker()
    with ThreadPoolExecutor(8) as threads:
        group = AsyncGroupCommit(threads, worker, for_all, lanes=1, max_items=3)
        gone, other = (asyncio.create_task(group.do(item)) for item in (1, 2))
        assert await asyncio.to_thread(worker.next) in ([1], [1, 2])
        gone.cancel()
        for _ in range(2):
            worker.release()
        assert await other == 20
    assert gone.cancelled()


async def test_what_one_brings_upon_all_is_its_own_where_that_may_be() -> None:
    worker = Worker()
    with ThreadPoolExecutor(8) as threads:
        group = AsyncGroupCommit(threads, worker, for_one, lanes=1, max_items=3)
        tasks = [asyncio.create_task(group.do(item)) for item in (1, 2, -1, 3)]
        seen = []
        for _ in range(5):
            worker.release()
            seen.append(await asyncio.to_thread(worker.next))
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert seen == [[-1, 1, 2], [1], [2], [-1], [3]]
    assert [str(result) for result in results] == ["10", "20", "minus one", "30"]
