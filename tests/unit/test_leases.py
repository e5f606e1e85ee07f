"""Renewal of leases, with a renewal that only counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import pytest

from flownexus.dispatch.leases import MAX_RENEWALS_PER_TRANSACTION, Leases
from flownexus.errors import UnavailableError
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue.one_path import Read
from flownexus.store.operation_claims import Claim
from tests.fixtures.waiting_async import until

CLAIM = Claim(
    id=7,
    fence=1,
    endpoint_id=1,
    endpoint="sim-0001",
    contact_count=1,
    operation=Read(path=Path(3, 0, 0)),
    attempts=1,
)
OTHER = replace(CLAIM, fence=2)
TERM = 0.04


class Renewal:
    def __init__(self) -> None:
        self.asked: list[Sequence[Claim]] = []
        self.failures: list[Exception] = []

    async def __call__(self, claims: Sequence[Claim]) -> set[tuple[int, int]]:
        self.asked.append(claims)
        if self.failures:
            raise self.failures.pop()
        return {(claimed.id, claimed.fence) for claimed in claims if claimed is not OTHER}


async def test_where_one_lease_is_enough_there_is_no_task() -> None:
    leases = Leases(TERM, TERM, Renewal())
    before = asyncio.all_tasks()
    with leases.hold(CLAIM) as lease:
        assert lease.until == lease.last
        assert asyncio.all_tasks() == before
    await leases.close()


async def test_all_that_are_held_are_renewed_by_one_task_in_batches_and_then_it_ends() -> None:
    renewal = Renewal()
    leases = Leases(TERM, 1000, renewal)
    before = asyncio.all_tasks()
    with ExitStack() as stack:
        for number in range(2 * MAX_RENEWALS_PER_TRANSACTION + 1):
            stack.enter_context(leases.hold(replace(CLAIM, id=number)))
        [task] = asyncio.all_tasks() - before
        await until(lambda: len(renewal.asked) >= 3)
    assert [len(claims) for claims in renewal.asked[:3]] == [
        MAX_RENEWALS_PER_TRANSACTION,
        MAX_RENEWALS_PER_TRANSACTION,
        1,
    ]
    assert (
        len({claimed.id for claims in renewal.asked[:3] for claimed in claims})
        == 2 * MAX_RENEWALS_PER_TRANSACTION + 1
    )
    await asyncio.wait_for(task, 10)
    with leases.hold(CLAIM):  # and begins again
        rounds = len(renewal.asked)
        await until(lambda: len(renewal.asked) > rounds)
    await leases.close()


async def test_only_what_was_renewed_holds_longer() -> None:
    renewal = Renewal()
    leases = Leases(TERM, 1000, renewal)
    with leases.hold(CLAIM) as mine, leases.hold(OTHER) as gone:
        was = mine.until, gone.until
        await until(lambda: mine.until > was[0])
        assert gone.until == was[1]
    await leases.close()


async def test_a_renewal_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    renewal = Renewal()
    renewal.failures = [UnavailableError("PostgreSQL is away")]
    leases = Leases(TERM, 1000, renewal)
    with leases.hold(CLAIM) as lease:
        was = lease.until
        await until(lambda: lease.until > was)
    assert "1 leases could not be renewed: PostgreSQL is away" in caplog.messages
    await leases.close()


async def test_no_lease_is_renewed_for_ever() -> None:
    renewal = Renewal()
    leases = Leases(TERM, 2 * TERM, renewal)
    with leases.hold(CLAIM) as old:
        await until(lambda: old.until == old.last)
        await until(lambda: asyncio.get_running_loop().time() > old.last)
        with leases.hold(OTHER):
            rounds = len(renewal.asked)
            await until(lambda: len(renewal.asked) > rounds + 1)
        assert CLAIM not in renewal.asked[-1]
    await leases.close()
