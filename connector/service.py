"""The connector as a whole: watches the gateway, drives JetStream and the clock, shows health and metrics."""

from __future__ import annotations

import asyncio
import logging
import resource
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

from aiohttp import web

from connector.bus import Bus
from connector.cron import Cron
from connector.functions import Listing
from connector.gateway import Gateway, GatewayError
from connector.settings import ConnectorSettings
from connector.tasks import end
from flownexus.messaging.subjects import SUBJECTS
from flownexus.metrics import ConnectorMetrics

log = logging.getLogger(__name__)

FILES_BESIDE_CALLS = 200
"""Descriptors that are not calls: NATS, metrics, the list of functions, what Python has open."""
SUBJECT_PREFIX = SUBJECTS.partition(".")[0]


def raise_file_limit(wanted: int) -> int:
    """Raise this process's limit of open files as far as it may go, and return how many calls it allows.

    Each open call is a connection. Where `wanted` calls cannot be had that is logged.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    # Twice, as calls that end and calls that begin overlap, and more than one function may be busy.
    limit = max(soft, 2 * wanted + FILES_BESIDE_CALLS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    calls = max(1, limit - FILES_BESIDE_CALLS)
    if calls < wanted:
        log.warning(
            "only %d calls at once instead of %d: raise the limit of open files (%d)", calls, wanted, limit
        )
    return min(calls, wanted)


class Service:
    """One running connector."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self.settings = replace(settings, max_open_calls=raise_file_limit(settings.max_open_calls))
        self.metrics = ConnectorMetrics()
        self.gateway = Gateway(self.settings)
        self.bus = Bus(self.settings, self.gateway, self.metrics)
        self.cron = Cron(self.gateway, self.metrics)
        self.address: tuple[str, int] | None = None
        """Where health and metrics are served, once they are."""
        self._reachable: bool | None = None
        self._complaints: frozenset[str] = frozenset()

    @property
    def ready(self) -> bool:
        """Say whether the gateway's functions are known and all their messages are being taken."""
        return bool(self._reachable) and self.bus.consuming

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what is open, as far as the grace lasts.

        Raises OSError where the port for health and metrics is taken.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.gateway)
            await self._serve(stack)
            watch = asyncio.create_task(self._watch_functions())
            tasks = [*self.bus.start(), watch]
            stopped = asyncio.create_task(stop.wait())
            try:
                done, _ = await asyncio.wait((stopped, *tasks), return_when=asyncio.FIRST_COMPLETED)
                for task in done - {stopped}:
                    task.result()  # none of them ends but by a defect: better no connector than half of one
            finally:
                await end((watch,))  # first: it would have them start again what they are to stop
                self.bus.stop_taking()
                self.cron.stop()
                await self._drain()
                await asyncio.gather(self.cron.close(), self.bus.hand_back())
                await end((stopped, *tasks))

    async def _drain(self) -> None:
        if left := self.bus.open_calls + self.cron.open_calls:
            log.info("stopping; %d calls are open", left)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.grace):
                await self.bus.idle()
                await self.cron.idle()

    async def _watch_functions(self) -> None:
        """Ask the gateway for its functions every few seconds; while it is away what was known stands."""
        while True:
            try:
                listing = await self.gateway.functions(SUBJECT_PREFIX)
            except GatewayError as error:
                if self._reachable is not False:
                    log.warning("no list of functions from %s: %s", self.settings.gateway_url, error)
                self._reachable = False
            except Exception:
                log.exception("looking at the gateway's functions")
            else:
                if not self._reachable:
                    log.info("the gateway at %s lists its functions", self.settings.gateway_url)
                self._reachable = True
                self._apply(listing)
            self.metrics.gateway_reachable.set(bool(self._reachable))
            await asyncio.sleep(self.settings.refresh)

    def _apply(self, listing: Listing) -> None:
        complaints = frozenset(listing.complaints)
        for complaint in sorted(complaints - self._complaints):
            log.warning("%s", complaint)
        self._complaints = complaints
        self.bus.apply(listing.functions)
        self.cron.apply(listing.functions)

    async def _serve(self, stack: AsyncExitStack) -> None:
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, self.settings.host, self.settings.port).start()
        self.address = runner.addresses[0][:2]
        log.info("health and metrics at http://%s:%d", *self.address)

    def _state(self) -> dict[str, bool]:
        return {
            "gateway": bool(self._reachable),
            "nats": self.bus.connected,
            "consuming": self.bus.consuming,
        }

    async def _healthz(self, _request: web.Request) -> web.Response:
        # Alive, whatever else is away: to restart the connector would mend none of it.
        return web.json_response({"status": "ok", **self._state()})

    async def _readyz(self, _request: web.Request) -> web.Response:
        return web.json_response({"ready": self.ready, **self._state()}, status=200 if self.ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self.metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )
