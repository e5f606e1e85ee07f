"""Shows how fast notifications become committed rows, beside how fast they can be taken at all.

Devices send confirmable notifications as fast as they are acknowledged, in turn to a whole world (real
Leshan with its spool, real gateway, functions and PostgreSQL), to the same jar with --count-only, whose
spool counts the same items, acknowledges at once and drops them, and to Leshan with its spool, whose
webhooks a function answers without doing anything: what functions and a database would reach that cost
nothing. Devices run on the same machine in all. Then they notify at a steady rate, and the time from a
device's sending to the moment at which another session of PostgreSQL sees the row is taken. After each phase
the devices' own ledger is held against the rows.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import nothing
from benchmarks.fleet import (
    WINDOW,
    Fleet,
    Line,
    Stored,
    StoredFleet,
    group,
    leshan_fleet,
    saturate,
    stored_fleet,
    warm_up,
)
from benchmarks.results import Result
from chaos.uplink import Telemetry, Value

FLEETS = (200, 1000)
SLOW_RATE = 10  # notifications a second
SLOW_WINDOW = 60.0
PART = 0.1  # of the rate at saturation
GOAL = 0.7
FIRST_LOOK = 10.0  # seconds
LOOK = 0.001  # seconds between two looks for what is committed


@dataclass
class Found:
    """What the runs with one fleet gave."""

    rate: list[float] = field(default_factory=list)
    ceiling: list[float] = field(default_factory=list)
    bound: list[float] = field(default_factory=list)
    backlog: list[float] = field(default_factory=list)
    cpu: list[Mapping[str, float]] = field(default_factory=list)
    cpu_ceiling: list[Mapping[str, float]] = field(default_factory=list)
    slow: list[Sequence[float]] = field(default_factory=list)
    part: list[Sequence[float]] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    audited: int = 0


def run(runs: int) -> Sequence[Result]:
    """Measure so often with each fleet; each run has both figures of a ratio."""
    results: list[Result] = []
    for devices in FLEETS:
        with _worlds(devices) as (fleet, ceiling, bound):
            found = _measure(fleet, ceiling, bound, devices, runs)
        results += _results(devices, found)
    return results


@contextlib.contextmanager
def _worlds(devices: int) -> Iterator[tuple[StoredFleet, Fleet, Fleet]]:
    """Run a whole world, one that only counts and one that does nothing behind Leshan, with devices each."""
    with (
        tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder,
        stored_fleet(Path(folder) / "home", devices) as fleet,
        leshan_fleet(Path(folder) / "counting", group(devices), 0, "--count-only") as ceiling,
        nothing.served() as port,
        leshan_fleet(Path(folder) / "nothing", group(devices), port) as bound,
    ):
        yield fleet, ceiling, bound


def _measure(fleet: StoredFleet, ceiling: Fleet, bound: Fleet, devices: int, runs: int) -> Found:
    found = Found()
    for each in (ceiling, bound, fleet):
        with _phase(each, found):
            warm_up(each)
    for _ in range(runs):
        with _phase(ceiling, found):
            rate, cpu, _ = saturate(ceiling)
            found.ceiling.append(rate)
            found.cpu_ceiling.append(cpu)
        with _phase(bound, found):
            found.bound.append(saturate(bound)[0])
        with _phase(fleet, found):
            rate, cpu, backlog = saturate(fleet)
            found.rate.append(rate)
            found.cpu.append(cpu)
            found.backlog.append(backlog / rate)
        found.slow.append(_latencies(fleet, found, devices / SLOW_RATE, SLOW_WINDOW))
        found.part.append(_latencies(fleet, found, devices / (rate * PART), WINDOW))
    return found


@contextlib.contextmanager
def _phase(fleet: Fleet, found: Found) -> Iterator[None]:
    """Let devices rest after what is done, then compare what they know to what is stored."""
    began = time.time()
    yield
    if not isinstance(fleet, StoredFleet):
        fleet.notify("0")
        time.sleep(1)  # until the last are acknowledged
        return
    fleet.rest()
    _audit(fleet, found, began)


def _audit(fleet: StoredFleet, found: Found, began: float) -> tuple[Sequence[Line], Sequence[Stored]]:
    """Compare what was acknowledged since the last time to the rows since then; return both."""
    acknowledged, stored = fleet.acknowledged(), list(fleet.stored(began))
    values = Telemetry([line.audited for line in acknowledged], (), [row.value for row in stored])
    found.lost += len(values.lost)
    found.doubled += len(values.doubled)
    found.audited += len(acknowledged)
    return acknowledged, stored


def _latencies(fleet: StoredFleet, found: Found, interval: float, window: float) -> Sequence[float]:
    """Return the seconds from sending to commit of each notification, at an interval of each device."""
    with Commits(fleet.world.database_url) as commits:
        began = time.time()
        fleet.notify(f"{interval:.3f}s")
        time.sleep(window)
        fleet.rest()
    acknowledged, stored = _audit(fleet, found, began)
    committed: dict[Value, float] = {row.value: commits.seen[row.transaction] for row in stored}
    return [
        committed[line.audited] - line.sent_us / 1e6 for line in acknowledged if line.audited in committed
    ]


class Commits:
    """Looks all the time which transactions are committed: not as their clock says, but as others see it.

    PostgreSQL takes a commit's own timestamp before it writes its log to the disk.
    """

    def __init__(self, database_url: str) -> None:
        self.seen: dict[int, float] = {}
        self._url = database_url
        self._stop = threading.Event()
        self._looks = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Commits:
        self._thread.start()
        if not self._looks.wait(FIRST_LOOK):  # what is committed before it would not be known
            raise TimeoutError("the look for commits does not begin")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        known = ""
        running: set[int] = set()
        following = 0
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.wait(LOOK):
                row = connection.execute("SELECT pg_current_snapshot()::text", prepare=True).fetchone()
                now = time.time()
                assert row is not None  # for the type checker
                self._looks.set()
                if row[0] == known:
                    continue
                known = row[0]
                _, end, in_progress = known.split(":")
                before = running | set(range(following or int(end), int(end)))
                running, following = set(map(int, filter(None, in_progress.split(",")))), int(end)
                self.seen.update(dict.fromkeys(before - running, now))


def _results(devices: int, found: Found) -> Sequence[Result]:
    name = f"{devices} devices"
    rate, ceiling, bound = map(statistics.median, (found.rate, found.ceiling, found.bound))
    return [
        Result(
            f"{name}: rows committed, of notifications taken by --count-only",
            "times", [a / b for a, b in zip(found.rate, found.ceiling, strict=True)], GOAL, "at least",
            f"{rate:,.0f} rows/s, {ceiling:,.0f}/s counted",
        ),
        Result(
            f"{name}: notifications of the spool into a function that does nothing, of --count-only",
            "times", [a / b for a, b in zip(found.bound, found.ceiling, strict=True)],
            ceiling=f"{bound:,.0f}/s, {ceiling:,.0f}/s counted",
        ),
        Result(f"{name}: spool at the end, by the rate of rows", "s", found.backlog, 2.0),
        Result(
            f"{name}: CPU a row",
            "us", [sum(used.values()) * 1e6 for used in found.cpu],
            ceiling=f"{_shares(found.cpu)}; counting: {_shares(found.cpu_ceiling)}",
        ),
        *_percentiles(f"{name}, {SLOW_RATE}/s", found.slow, {50: 0.010, 99: 0.025}),
        *_percentiles(f"{name}, {PART:.0%} of saturation", found.part, {50: 0.020, 99: 0.100}),
        Result(f"{name}: acknowledged values lost", "", [found.lost], 0, ceiling=f"{found.audited:,} values"),
        Result(f"{name}: values doubled", "", [found.doubled], 0, ceiling=f"{found.audited:,} values"),
    ]  # fmt: skip


def _percentiles(name: str, runs: Sequence[Sequence[float]], goals: Mapping[int, float]) -> Sequence[Result]:
    return [
        Result(
            f"{name}: sent to committed, p{percent}",
            "ms",
            [statistics.quantiles(run, n=100)[percent - 1] * 1000 for run in runs],
            goal * 1000,
            ceiling=f"{statistics.median(map(len, runs)):,.0f} values a run",
        )
        for percent, goal in goals.items()
    ]


def _shares(runs: Sequence[Mapping[str, float]]) -> str:
    names: dict[str, Any] = dict.fromkeys(name for used in runs for name in used)
    shares = {name: statistics.median(used[name] for used in runs) * 1e6 for name in names}
    return ", ".join(f"{name} {share:.1f}" for name, share in shares.items() if share >= 0.05)
