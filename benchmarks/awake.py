"""Shows that what devices of queue mode send while they are awake makes no event of registrations.

A device that is heard after it slept is such an event, and its queued operations go out. One that is awake
tells nothing new, however fast it notifies: each event would be an item, a transaction and a hint. Behind
Leshan, with its spool, is a function that does nothing. Devices listen for an hour, as they say when they
register, and send confirmable notifications as fast as they are acknowledged.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import nothing
from benchmarks.fleet import SETTLE, WINDOW, Fleet, group, leshan_fleet, wait, warm_up
from benchmarks.results import Result

DEVICES = 200
RATE = 20_000  # notifications a second
REGISTRATIONS = 'webhook_stored_items_total{kind="registration"}'


def run(runs: int) -> Sequence[Result]:
    """Count the events of registrations while so many notifications come, each time of the same devices."""
    awake = f"{group(DEVICES)},sleepy,awake=1h,tells"
    with (
        tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder,
        nothing.served() as port,
        leshan_fleet(Path(folder) / "home", awake, port) as fleet,
    ):
        # That each has registered is told; so what is counted is not nothing because nothing is posted.
        wait(lambda: fleet.world.metric(REGISTRATIONS) >= DEVICES)
        warm_up(fleet)
        found = [_run_once(fleet) for _ in range(runs)]
    name = f"{DEVICES} devices of queue mode, awake"
    return [
        Result(
            f"{name}: events of registrations",
            "", [float(events) for events, _, _ in found], 0,
            ceiling=f"in {sum(count for _, count, _ in found):,} notifications",
        ),
        Result(f"{name}: notifications", "/s", [rate for _, _, rate in found], RATE, "at least"),
    ]  # fmt: skip


def _run_once(fleet: Fleet) -> tuple[int, int, float]:
    """Return events of registrations, notifications and their rate in a window."""
    time.sleep(SETTLE)
    began, count, events = time.perf_counter(), fleet.counted(), fleet.world.metric(REGISTRATIONS)
    time.sleep(WINDOW)
    count, took = fleet.counted() - count, time.perf_counter() - began
    return fleet.world.metric(REGISTRATIONS) - events, count, count / took
