"""The leases of what a dispatcher has under way: those that would be long are renewed while it lasts.

A lease is short, so that an operation goes on soon after its dispatcher has died, however long its device may
take to answer.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from flownexus.store.operation_claims import Claim

log = logging.getLogger(__name__)

MAX_RENEWALS_PER_TRANSACTION: Final = 1000
"""How many leases are renewed in one transaction at most."""
_RENEWALS_PER_TERM: Final = 4  # in a term: three may fail


@dataclass(eq=False)
class Lease:
    """How long a claim holds, and until when it may be renewed, by the event loop's clock in seconds."""

    claim: Claim
    until: float
    last: float

    @property
    def key(self) -> tuple[int, int]:
        """Return the claim's id and fence."""
        return self.claim.id, self.claim.fence


class Leases:
    """Holds leases of `term` seconds, renewed up to `longest` seconds in all.

    `renew` renews those of claims, and returns id and fence of each that it has: one that is left out may be
    another's by now, or be locked just then. One task does it for all, while there are any; there is none
    where a term is as long as the longest.
    """

    def __init__(
        self,
        term: float,
        longest: float,
        renew: Callable[[Sequence[Claim]], Awaitable[Collection[tuple[int, int]]]],
    ) -> None:
        self._term = term
        self._longest = longest
        self._renew = renew
        self._held: set[Lease] = set()
        self._renewing: asyncio.Task[None] | None = None

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Lease]:
        """Hold the lease of what was claimed just now."""
        now = asyncio.get_running_loop().time()
        lease = Lease(claim, now + self._term, now + self._longest)
        if self._term < self._longest:
            self._held.add(lease)
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.create_task(self._renew_while_held())
        try:
            yield lease
        finally:
            self._held.discard(lease)

    async def close(self) -> None:
        """Renew no more."""
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing

    async def _renew_while_held(self) -> None:
        while self._held:
            await asyncio.sleep(self._term / _RENEWALS_PER_TERM * random.uniform(0.8, 1.0))  # noqa: S311  # jitter
            now = asyncio.get_running_loop().time()
            due = [lease for lease in self._held if now < lease.last]
            for first in range(0, len(due), MAX_RENEWALS_PER_TRANSACTION):
                await self._renew_some(due[first : first + MAX_RENEWALS_PER_TRANSACTION])

    async def _renew_some(self, leases: Sequence[Lease]) -> None:
        until = asyncio.get_running_loop().time() + self._term
        try:
            renewed = await self._renew([lease.claim for lease in leases])
        except Exception as error:  # noqa: BLE001  # the next round tries again
            log.warning("%d leases could not be renewed: %s", len(leases), error)
            return
        for lease in leases:
            if lease.key in renewed:
                lease.until = min(until, lease.last)
