"""Takes operations from claim to record: send what is to go next, wait for its end, record it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

from psycopg_pool import ConnectionPool

from flownexus.dispatch.leases import Lease, Leases
from flownexus.errors import LockedError, TemporaryError
from flownexus.leshan.answers import judge
from flownexus.leshan.client import Leshan
from flownexus.leshan.requests import call_of
from flownexus.logs import correlated, operation_id
from flownexus.messaging.publisher import PUBLISH_TIMEOUT_S, Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.metrics import (
    DISPATCH_ATTEMPTS,
    DISPATCH_LATE_RESULTS,
    DISPATCH_LONG_POLL_SECONDS,
    DISPATCH_OPEN_OPERATIONS,
)
from flownexus.operations.lifecycle import (
    Outcome,
    Settlement,
    Verdict,
    settle,
    settle_stopped,
    settle_unanswered,
    settle_unsent,
)
from flownexus.settings import Timeouts
from flownexus.store.group_commit import AsyncGroupCommit
from flownexus.store.operation_claims import Claim, Held, UnansweredClaimError, claim, concerns_all, renew
from flownexus.store.operation_results import End, Recorded, record
from flownexus.store.telemetry import Telemetry
from flownexus.store.value_time import time_of

log = logging.getLogger(__name__)

MAX_OPERATIONS_PER_TRANSACTION: Final = 100
"""How many operations are claimed, or recorded, in one transaction at most."""
RECORD_PAUSE_S: Final = 0.5
"""Seconds between attempts to record an end, while PostgreSQL is away or the endpoint's row held."""
HELD_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between attempts to claim while somebody holds the endpoint's row; then the hint comes again."""


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.7, 1.0)  # noqa: S311  # jitter, not a secret


class Dispatcher:
    """Takes operations from claim to record; those that come at once share transactions."""

    def __init__(
        self,
        pool: ConnectionPool,
        telemetry: Telemetry,
        publisher: Publisher,
        leshan: Leshan,
        timeouts: Timeouts,
    ) -> None:
        self._pool = pool
        self._telemetry = telemetry
        self._publisher = publisher
        self._leshan = leshan
        self._timeouts = timeouts
        self._threads = ThreadPoolExecutor(pool.max_size, thread_name_prefix="store")
        lanes = max(1, pool.max_size // 2)
        # Apart, so that an end never waits until all that begin have begun.
        self._claims = AsyncGroupCommit(
            self._threads, self._claim_all, concerns_all, lanes, MAX_OPERATIONS_PER_TRANSACTION
        )
        self._ends = AsyncGroupCommit(
            self._threads, self._record_all, concerns_all, lanes, MAX_OPERATIONS_PER_TRANSACTION
        )
        self._leases = Leases(timeouts.lease_term_s, timeouts.lease_s, self._renew)
        self._leshan_is_away = False
        self._under_way: set[asyncio.Task[dict[str, Any]]] = set()
        self._sending: set[asyncio.Task[Any]] = set()
        """Those of them that wait for their device."""
        self._is_stopped = False

    async def dispatch(self, endpoint: str) -> dict[str, Any]:
        """Do one operation of the endpoint; it is done to its end also when the caller goes away."""
        task = asyncio.create_task(self._dispatch(endpoint))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    def drain(self, within_s: float) -> None:
        """Wait so many seconds more for devices; then record that those left have not answered."""
        asyncio.get_running_loop().call_later(within_s, self._give_up)

    def _give_up(self) -> None:
        self._is_stopped = True
        if self._sending:
            log.warning("stopped before %d devices have answered", len(self._sending))
        for task in self._sending:
            task.cancel()

    async def close(self) -> None:
        """Wait for the operations under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._leases.close()
        self._threads.shutdown(wait=False)

    async def _dispatch(self, endpoint: str) -> dict[str, Any]:
        try:
            claimed = await self._claim(endpoint)
        except UnansweredClaimError as error:
            await self._give_back([claimed for claimed in error.claims if claimed.endpoint == endpoint])
            raise
        if claimed is None:
            return {"operation": None}
        with correlated(operation_id(claimed.id)), self._leases.hold(claimed) as lease:
            return await self._end(claimed, lease)

    async def _end(self, claimed: Claim, lease: Lease) -> dict[str, Any]:
        """Take what was claimed to its end."""
        settlement, received = await self._attempt(claimed)
        recorded = await self._record(End(claimed, settlement, received), lease)
        if recorded is Recorded.LATE:
            DISPATCH_LATE_RESULTS.inc()
            log.warning("operation %d: came back too late with %s", claimed.id, settlement.status)
            return {"operation": None}
        log.log(
            logging.DEBUG if settlement.leshan_is_away else logging.INFO,
            "%s", settlement.status,
            extra={
                "verdict": settlement.verdict,
                "coap_status": (settlement.result or {}).get("status"),
            },
        )  # fmt: skip
        if recorded is Recorded.MORE and not settlement.leshan_is_away:
            # Where this fails, or Leshan is away, housekeeping's rounds are soon enough.
            await self._publisher.publish_async([Hint(HintKind.QUEUED, claimed.endpoint)], PUBLISH_TIMEOUT_S)
        attempts = claimed.attempts if settlement.attempt_counts else claimed.attempts - 1
        return {
            "operation": {
                "id": claimed.id,
                "status": settlement.status,
                "attempts": attempts,
                "reason": settlement.reason,
            }
        }

    async def _attempt(self, claimed: Claim) -> tuple[Settlement, datetime]:
        """Send it once; return what becomes of it, and the time of what its device answered."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # for the type checker
        if self._is_stopped:
            return settle_unsent(), datetime.now(UTC)
        log.debug("sending", extra={"endpoint": claimed.endpoint, "attempt": claimed.attempts})
        self._sending.add(task)
        try:
            with DISPATCH_OPEN_OPERATIONS.track_inprogress(), DISPATCH_LONG_POLL_SECONDS.time():
                outcome = await self._send(claimed)
        except asyncio.CancelledError:
            task.uncancel()  # _give_up() has done it: nobody else has this task
            return settle_stopped(claimed.attempt), datetime.now(UTC)
        finally:
            self._sending.discard(task)
        DISPATCH_ATTEMPTS.labels(outcome.verdict).inc()
        self._tell_of_leshan(outcome)
        received = time_of(outcome.time_ms, datetime.now(UTC), self._telemetry.retention)
        return settle(claimed.attempt, outcome), received

    def _tell_of_leshan(self, outcome: Outcome) -> None:
        """Log that Leshan went away, and that it came back, once: thousands of operations may find out."""
        away = outcome.verdict is Verdict.AWAY
        if away and not self._leshan_is_away:
            log.error("operations stay queued: %s", outcome.reason)
        elif self._leshan_is_away and not away:
            log.info("Leshan takes requests again")
        self._leshan_is_away = away

    async def _claim(self, endpoint: str) -> Claim | None:
        """Claim what is next; who holds the endpoint's row is waited for without a thread or a connection."""
        for pause in HELD_PAUSES_S:
            claimed = await self._claims.do(endpoint)
            if not isinstance(claimed, Held):
                return claimed
            await asyncio.sleep(_jittered(pause))
        raise LockedError

    async def _give_back(self, claims: Sequence[Claim]) -> None:
        """Queue again what was perhaps claimed, before the caller is told to come again."""
        until = asyncio.get_running_loop().time() + self._timeouts.lease_term_s
        for claimed in claims:
            end = End(claimed, settle_unanswered(), datetime.now(UTC))
            recorded = await self._record(end, Lease(claimed, until, until))
            if recorded is not Recorded.LATE:
                log.warning("operation %d: given back, since its claim was not answered", claimed.id)

    async def _send(self, claimed: Claim) -> Outcome:
        try:
            call = call_of(claimed.operation, *claimed.formats[:1])
        except (ValueError, TypeError, KeyError) as error:
            # What did not come through the operations function is not checked.
            return Outcome(Verdict.INVALID, f"it cannot be sent: {error}")
        exchange = await self._leshan.send(
            claimed.endpoint, call, claimed.request_timeout_s, claimed.awake_time_s
        )
        return judge(exchange)

    async def _record_once(self, end: End) -> Recorded:
        recorded = await self._ends.do(end)
        if recorded is Recorded.HELD:
            raise LockedError
        return recorded

    async def _record(self, end: End, lease: Lease) -> Recorded:
        """Record the end; as long as the lease holds, PostgreSQL and who holds the row are waited for."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await self._record_once(end)
            except TemporaryError as error:
                if loop.time() + RECORD_PAUSE_S > lease.until:
                    log.error(  # noqa: TRY400  # the reason says it all
                        "operation %d: %s could not be recorded: %s",
                        end.claim.id, end.settlement.status, error,
                    )  # fmt: skip
                    raise
            await asyncio.sleep(_jittered(RECORD_PAUSE_S))

    async def _renew(self, claims: Sequence[Claim]) -> set[tuple[int, int]]:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, renew, self._pool, claims, self._timeouts.lease_term_s
        )

    # What follows runs in a thread of the store.

    def _claim_all(self, endpoints: Sequence[str]) -> Sequence[Claim | Held | None]:
        return claim(self._pool, endpoints, self._timeouts.lease_term_s)

    def _record_all(self, ends: Sequence[End]) -> Sequence[Recorded]:
        return record(self._pool, self._telemetry, ends)
