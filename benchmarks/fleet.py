"""Simulated devices that notify as told, with the world behind them, and what came of it."""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from benchmarks.processes import groups
from chaos import trial
from chaos.uplink import Value
from local import web
from local.options import Options, Ports
from local.servers import java
from local.supervise.process import tethered
from local.world import World

OBSERVED = "/3303/0/5700"
OPERATORS = 8
TRIES = 3
DRAINED_IN = 300.0  # seconds
WARM_UP = 20.0  # seconds at full rate, of each JVM
SETTLE = 3.0  # seconds at full rate before a window begins
WINDOW = 20.0
IDLE = 1.5  # seconds without a line: the ledger is flushed every half second


class Line(msgspec.Struct):
    """An acknowledged notification in the devices' ledger."""

    ep: str
    path: str
    value: Any
    sent_us: int = 0

    @property
    def audited(self) -> Value:
        """Return the value as the audit knows it."""
        return Value.of(self.ep, self.value)


_decode = msgspec.json.Decoder(Line).decode


@dataclass(frozen=True)
class Stored:
    """A row that a notification became, and the transaction that wrote it."""

    value: Value
    transaction: int


class Fleet:
    """The devices of a world, at rest until told otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world

    def notify(self, every: str) -> None:
        """Let all devices notify at an interval: a duration, "0" for never, "max" as fast as ACKs come."""
        trial.notify(self.world, every)

    def observe(self) -> None:
        """Observe each device's temperature, where no plan does."""
        token = web.bearer(self.world.secrets.read("flownexus-leshan-token"))

        def observe(client: dict[str, Any]) -> None:
            path = f"/api/clients/{client['endpoint']}{OBSERVED}/observe"
            for _ in range(TRIES):  # it is cancelled where the device has just registered again
                status, text = web.request(self.world.ports.leshan, "POST", path, headers=token)
                if status == 200:
                    return
            raise RuntimeError(text)

        with ThreadPoolExecutor(OPERATORS) as operators:
            list(operators.map(observe, self.world.clients()))

    def counted(self) -> int:
        """Return how many notifications Leshan has taken."""
        return self.world.metric("notifications_total")


class StoredFleet(Fleet):
    """The devices of a whole world, whose notifications become rows."""

    def __init__(self, world: World, database: psycopg.Connection[Any]) -> None:
        super().__init__(world)
        self._database = database
        self._read = 0
        trial.assert_durable(database)
        trial.assert_synchronous(world)

    def observe(self) -> None:
        """Wait for the plan's operations."""
        wait(lambda: self._one("SELECT count(*) FROM endpoint_operation WHERE finished_at IS NULL") == 0)

    def counted(self) -> int:
        """Return how many items are committed."""
        return self._one("SELECT coalesce(sum(mark), 0)::bigint FROM delivery_mark WHERE kind = 'single'")

    def pending(self) -> int:
        """Return how many items wait in Leshan's spool."""
        return self.world.metric("spool_pending_items")

    def rest(self) -> None:
        """Stop notifying, and wait until all is acknowledged, stored and written down."""
        self.notify("0")
        ledger = self.world.ledger
        size, since = -1, time.monotonic()
        deadline = since + DRAINED_IN
        while time.monotonic() - since < IDLE or self.pending() > 0:
            if size != (now := ledger.stat().st_size):
                size, since = now, time.monotonic()
            if time.monotonic() > deadline:
                raise TimeoutError("the spool does not drain")
            time.sleep(0.1)

    def acknowledged(self) -> list[Line]:
        """Return what was acknowledged since the last call."""
        with self.world.ledger.open("rb") as ledger:
            ledger.seek(self._read)
            # The last line may be under way.
            lines, newline, _ = ledger.read().rpartition(b"\n")
        self._read += len(lines + newline)
        return _observed(lines)

    def unacknowledged(self) -> list[Line]:
        """Return all that was sent and never acknowledged; the devices are at rest."""
        return _observed(self.world.unacknowledged.read_bytes())

    def stored(self, since: float, until: float = math.inf) -> Iterator[Stored]:
        """Return the rows that notifications became whose time is not before `since`, and before `until`."""
        rows = self._database.execute(
            "SELECT e.name, r.float_value, r.xmin::text::bigint FROM resource r"
            " JOIN endpoint e ON e.id = r.endpoint_id"
            " JOIN resource_type t ON t.id = r.resource_type_id"
            " WHERE t.object_id = 3303 AND t.resource_id = 5700 AND r.time >= to_timestamp(%s)"
            " AND r.time < to_timestamp(%s)"
            " AND NOT EXISTS (SELECT FROM event_resource x WHERE x.resource_id = r.id AND x.time = r.time)",
            [since, until],
        )
        return (Stored(Value.of(name, value), transaction) for name, value, transaction in rows)

    def _one(self, query: str) -> int:
        row = self._database.execute(query.encode()).fetchone()
        assert row is not None  # for the type checker: an aggregate has a row
        number: int = row[0]
        return number


def _observed(lines: bytes) -> list[Line]:
    return [line for line in map(_decode, lines.splitlines()) if line.path == OBSERVED]


@contextlib.contextmanager
def stored_fleet(home: Path, devices: int) -> Iterator[StoredFleet]:
    """Run a whole world with so many devices at rest, their observe plan done."""
    options = Options(home=home, ports=Ports.any_free(), groups=(group(devices),))
    with World(options) as world, psycopg.connect(world.database_url, autocommit=True) as database:
        fleet = StoredFleet(world, database)
        fleet.observe()
        yield fleet


@contextlib.contextmanager
def leshan_fleet(home: Path, group: str, gateway: int, *arguments: str) -> Iterator[Fleet]:
    """Run Leshan and devices, observed, and nothing else; the port of what stands for the gateway, if any."""
    options = Options(
        home=home,
        ports=replace(Ports.any_free(), gateway=gateway),
        groups=(group,),
        parts=frozenset({"leshan", "simulator"}),
        leshan_arguments=arguments,
    )
    with World(options) as world:
        fleet = Fleet(world)
        fleet.observe()
        yield fleet


def group(devices: int) -> str:
    """Return devices, as options take them, that rest at first and need not update their registrations."""
    return f"prefix=sim-,count={devices},notify=0,lifetime=36000"


def warm_up(fleet: Fleet) -> None:
    """Let the devices notify at full rate until the JVMs are warm."""
    fleet.notify("max")
    time.sleep(WARM_UP)


def saturate(fleet: Fleet) -> tuple[float, Mapping[str, float], int]:
    """Return notifications a second, seconds of CPU for each of them by part, and what waits in the end."""
    fleet.notify("max")
    time.sleep(SETTLE)
    parts = groups(fleet.world)
    began, before, cpu = (
        time.perf_counter(),
        fleet.counted(),
        {name: each.cpu() for name, each in parts.items()},
    )
    time.sleep(WINDOW)
    took, count = time.perf_counter() - began, fleet.counted() - before
    used = {name: (each.cpu() - cpu[name]) / count for name, each in parts.items()}
    return count / took, used, fleet.pending() if isinstance(fleet, StoredFleet) else 0


def wait(condition: Callable[[], bool], interval: float = 0.5, timeout: float = 120.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the system does not get to where it can be measured")
        time.sleep(interval)


@contextlib.contextmanager
def simulator(coap_url: str, group: str, *more: str) -> Iterator[None]:
    """Run a simulator of one group of devices for a server, which the world does not know of."""
    arguments = [
        *(java.java(), "-Xmx2g", "-XX:+UseSerialGC", "-jar", str(java.SIMULATOR_JAR)),
        *("--server", coap_url, "--group", group, *more),
    ]
    process = subprocess.Popen(
        tethered(arguments, signal.SIGKILL), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()
