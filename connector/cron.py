"""Functions called by the clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from connector.functions import CRON_TOPIC, Function
from connector.gateway import Gateway
from connector.logs import RateLimitedLog
from connector.results import Ack, RetryPolicy
from connector.schedule import Schedule, ScheduleError
from connector.tasks import end
from flownexus.metrics import ConnectorMetrics

log = logging.getLogger(__name__)

MAX_SLEEP_S: Final = 30.0
"""By then a clock that was set is noticed."""


class Cron:
    """Calls each function with a schedule when it is due, and never twice at once."""

    def __init__(self, gateway: Gateway, metrics: ConnectorMetrics) -> None:
        self._gateway = gateway
        self._metrics = metrics
        self._log = RateLimitedLog(log)
        self._clocks: dict[Function, asyncio.Task[None] | None] = {}
        self._calls: dict[str, asyncio.Task[None]] = {}

    @property
    def open_calls(self) -> int:
        """Return how many calls are open."""
        return len(self._calls)

    def apply(self, functions: Iterable[Function]) -> None:
        """Call these functions by their schedules, and no others from now on; open calls run on."""
        wanted = {replace(function, subjects=()) for function in functions if function.schedule is not None}
        for function in set(self._clocks) - wanted:
            clock = self._clocks.pop(function)
            if clock is not None:
                clock.cancel()
                log.info("no longer calling function %s by schedule", function.path)
        for function in wanted - set(self._clocks):
            self._clocks[function] = self._start(function)

    def _start(self, function: Function) -> asyncio.Task[None] | None:
        try:
            schedule = Schedule(function.schedule or "")
        except ScheduleError as error:
            # Said once: the function stays known until its schedule changes.
            log.error("function %s is not called by schedule: %s", function.path, error)  # noqa: TRY400
            return None
        log.info("calling function %s by schedule %s", function.path, schedule.expression)
        return asyncio.create_task(self._run(function, schedule))

    async def idle(self) -> None:
        """Wait until no call is open."""
        await asyncio.gather(*self._calls.values(), return_exceptions=True)

    def stop(self) -> None:
        """Start no more calls; open ones run on."""
        self.apply(())

    async def close(self) -> None:
        """Cancel the calls that are open."""
        self.stop()
        await end(self._calls.values())

    async def _run(self, function: Function, schedule: Schedule) -> None:
        last = datetime.now(UTC)
        while True:
            # Not before `last`: a clock set back must not make the same moment come twice.
            due = schedule.after(max(last, datetime.now(UTC)))
            if due is None:
                log.error("function %s: the schedule %s never comes", function.path, schedule.expression)
                return
            await _sleep_until(due)
            last = due
            self._call(function)

    def _call(self, function: Function) -> None:
        if function.path in self._calls:
            self._metrics.calls.labels(function.path, "skipped").inc()
            self._log.warning(
                (function.path, "skipped"), "function %s still runs, this time is skipped", function.path
            )
            return
        task = asyncio.create_task(self._invoke(function))
        self._calls[function.path] = task
        task.add_done_callback(lambda _: self._calls.pop(function.path))

    async def _invoke(self, function: Function) -> None:
        path = function.path
        began = asyncio.get_running_loop().time()
        self._metrics.in_flight.labels(path).inc()
        try:
            result = await self._gateway.call(function, CRON_TOPIC, b"", {})
        finally:
            self._metrics.in_flight.labels(path).dec()
            self._metrics.seconds.labels(path).observe(asyncio.get_running_loop().time() - began)
        if isinstance(RetryPolicy().decide(result, 1, 0), Ack):
            self._metrics.calls.labels(path, "ok").inc()
            return
        self._metrics.calls.labels(path, "failed").inc()
        self._log.warning((path, str(result)[:40]), "function %s, by schedule: %s", path, result)


async def _sleep_until(moment: datetime) -> None:
    wait = (moment - datetime.now(UTC)).total_seconds()
    while wait > 0:
        await asyncio.sleep(min(wait, MAX_SLEEP_S))
        wait = (moment - datetime.now(UTC)).total_seconds()
