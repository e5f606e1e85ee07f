"""Hundreds of operations open at once do not stand in each other's way."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.options import PARTS
from tests.fixtures.nexus import Nexus, running, wait_for
from tests.fixtures.simulator import simulator

OPEN = 500
ANSWER_TIME = 10.0  # seconds that a slow device takes
ALL_CONFIRMED_IN = 20.0
FAST_STARTS_IN = 1.0
USERS = 4  # that queue operations at the same time


@pytest.fixture(scope="module")
def slow_devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nexus]:
    """Run slow devices and a fast one, without the operations that a profile would give them."""
    chosen = {"parts": frozenset(PARTS) - {"simulator"}, "long_poll_timeout": 30.0}
    with running(tmp_path_factory.mktemp("load") / "home", **chosen) as nexus:
        nexus.sql("UPDATE profile SET enabled = false")
        groups = (
            f"prefix=slow-,count={OPEN},notify=0,lifetime=600,slow={ANSWER_TIME:g}s",
            "prefix=fast-,count=1,notify=0,lifetime=600",
        )
        with simulator(nexus.world, nexus.world.coap_url, *groups):
            wait_for(lambda: online(nexus) == OPEN + 1, 60, "all devices to be online")
            yield nexus


def online(nexus: Nexus) -> int:
    [found] = nexus.sql("SELECT count(*) FROM endpoint WHERE registered")
    count: int = found["count"]
    return count


def sending(nexus: Nexus) -> int:
    [found] = nexus.sql("SELECT count(*) FROM endpoint_operation WHERE status = 'SENDING'")
    count: int = found["count"]
    return count


def test_500_operations_to_slow_devices_are_open_at_once_and_a_fast_one_passes_them(
    slow_devices: Nexus, tmp_path: Path
) -> None:
    nexus = slow_devices
    [replica] = nexus.world.replicas("dispatch-op")

    def write(number: int) -> int:
        return nexus.write(f"slow-{number:04d}", "/3/0/15", "UTC")

    with concurrent.futures.ThreadPoolExecutor(USERS) as users:
        queued = users.map(write, range(1, OPEN + 1))
        # The fast device's own comes in the midst of them, and while they all wait.
        wait_for(lambda: sending(nexus) >= OPEN / 2, ALL_CONFIRMED_IN, "half of them to be under way")
        fast = [nexus.write("fast-0001", "/3/0/15", "among them")]
        slow = list(queued)
    wait_for(lambda: sending(nexus) == OPEN, ANSWER_TIME, "all of them to be open at once")
    fast.append(nexus.write("fast-0001", "/3/0/15", "while all wait"))

    for id_ in fast:
        row = nexus.await_status(id_, "CONFIRMED", 5)
        assert (row["last_attempt_at"] - row["created_at"]).total_seconds() < FAST_STARTS_IN
    wait_for(
        lambda: not nexus.sql("SELECT id, status FROM endpoint_operation WHERE finished_at IS NULL"),
        ALL_CONFIRMED_IN,
        "all operations to end",
    )
    [ended] = nexus.sql(
        "SELECT status, attempts, reason, count(*),"
        " extract(epoch FROM max(finished_at) - min(created_at))::float AS took"
        " FROM endpoint_operation WHERE id = ANY (%s) GROUP BY status, attempts, reason",
        slow,
    )
    assert ended.pop("took") < ALL_CONFIRMED_IN
    assert ended == {"status": "CONFIRMED", "attempts": 1, "reason": None, "count": OPEN}
    # One process did it all.
    assert nexus.world.replicas("dispatch-op") == [replica | {"inflight": 0}]
