"""Take PostgreSQL away under a steady load: the spool grows as calculated, drains at full speed, in order."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import psycopg

from chaos import evidence
from chaos.finding import Finding
from chaos.load import TEMPERATURE
from chaos.trial import (
    DRAIN,
    FLUSH,
    PREFIX,
    REFUSED,
    Report,
    Say,
    audit_uplink,
    await_true,
    notify,
    prepare,
    silence,
)
from local.options import Options, Ports
from local.world import World

LIFETIME: Final = 36_000  # seconds: no device has to update its registration meanwhile
WARM_UP: Final = 5.0
OVERHEAD: Final = 32
"""Bytes that an item counts for in the spool, beside its JSON."""
TOLERANCE: Final = 0.05
SLOW: Final = 500.0
"""Items a second that a spool drains by in the slowest case."""
LEFT: Final = 0.5
"""Seconds' worth of notifications that are on their way when the spool counts as drained."""


@dataclass(frozen=True)
class Settings:
    """How long PostgreSQL is away, and what devices send meanwhile."""

    seconds: float = field(default=300.0, metadata={"help": "without PostgreSQL"})
    devices: int = field(default=250, metadata={"help": "simulated"})
    rate: float = field(default=500.0, metadata={"help": "notifications a second, of all devices together"})
    saturated: float = field(
        default=10.0, metadata={"help": "of sending as fast as possible, after as many of warming up"}
    )

    def group(self) -> str:
        """Return the devices as the simulator takes them."""
        interval = self.devices / self.rate
        return f"prefix={PREFIX},count={self.devices},notify={interval:g}s,lifetime={LIFETIME}"


def run(settings: Settings, home: Path, say: Say) -> Report:
    """Do it in a world of its own, in the folder `home`, and report."""
    report = Report()
    with World(Options(home=home, ports=Ports.any_free(), groups=(settings.group(),))) as world:
        prepare(world)
        time.sleep(WARM_UP)
        say(f"{settings.rate:g} notifications a second: PostgreSQL is stopped")
        world.stop_part("postgres")
        _grow(world, settings, report)
        say("PostgreSQL is started")
        world.start_part("postgres")
        with psycopg.connect(world.database_url, autocommit=True) as connection:
            _drain(world, connection, settings, report)
            say("the spool is drained: devices send as fast as they can")
            _saturate(world, connection, settings, report)
            silence(world, say)
            report.findings += [
                *audit_uplink(world, connection, report.figures),
                Finding(
                    "stored after a later one of its device",
                    evidence.count(connection, "resource"),
                    evidence.texts(connection, evidence.STORED_OUT_OF_ORDER),
                ),
            ]
    return report


def _grow(world: World, settings: Settings, report: Report) -> None:
    """Let the spool grow, and compare it to what was to be expected."""
    before = _Spool.of(world)
    time.sleep(settings.seconds)
    after = _Spool.of(world)
    time.sleep(FLUSH)
    sizes = [
        OVERHEAD + len(_item(line))
        for line in evidence.read_lines(world.ledger)
        if line["path"] == TEMPERATURE and before.at <= line["t"] / 1000 < after.at
    ]
    each = fmean(sizes)
    expected = settings.rate * (after.at - before.at)
    items, size = after.items - before.items, after.bytes - before.bytes
    report.figures |= {
        "to be expected": f"{expected:,.0f} items of {each:.1f} bytes: {expected * each:,.0f} bytes",
        "acknowledged meanwhile": f"{len(sizes):,} items",
        "spool grown by": f"{items:,} items of {size / items:.1f} bytes: {size:,} bytes",
        "spool's file in the end": f"{world.metric('spool_file_bytes'):,} bytes",
    }
    report.findings += [
        Finding(
            f"{what} grown otherwise than calculated",
            grown,
            [] if abs(grown - calculated) <= TOLERANCE * calculated else [f"{calculated:,.0f} calculated"],
        )
        for what, grown, calculated in (
            ("items of the spool", items, expected),
            ("bytes of the spool", size, expected * each),
        )
    ]
    report.findings.append(Finding("refused meanwhile", len(sizes), [*range(world.metric(REFUSED))]))


@dataclass(frozen=True)
class _Spool:
    """What waits in the spool at a time."""

    at: float
    items: int
    bytes: int

    @classmethod
    def of(cls, world: World) -> _Spool:
        return cls(time.time(), world.metric("spool_pending_items"), world.metric("spool_bytes"))


def _item(line: evidence.Row) -> str:
    """Return the item that a notification becomes, as docs/webhooks.md has it."""
    value = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": str(line["value"])}
    item = {"ep": line["ep"], "obj_id": 3303, "inst_id": 0, "ts": line["t"], "val": value}
    return json.dumps(item, separators=(",", ":"))


def _drain(world: World, connection: psycopg.Connection[Any], settings: Settings, report: Report) -> None:
    """Wait until no more waits than is on its way anyway."""
    waiting, stored = world.metric("spool_pending_items"), evidence.stored_items(connection)
    idle = await_true(
        lambda: evidence.stored_items(connection) > stored,
        DRAIN,
        "nothing is stored although PostgreSQL is back",
    )
    took = await_true(
        lambda: world.metric("spool_pending_items") <= LEFT * settings.rate,
        DRAIN + waiting / SLOW,
        "the spool does not drain",
    )
    count = evidence.stored_items(connection) - stored
    report.figures |= {
        "waiting when PostgreSQL was back": f"{waiting:,} items",
        "the first of them stored after": f"{idle:.1f} s",
        "the last of them stored after another": f"{took:.1f} s",
        "stored meanwhile": f"{count / took:,.0f} items a second",
    }


def _saturate(world: World, connection: psycopg.Connection[Any], settings: Settings, report: Report) -> None:
    """Measure what the same world stores when devices send as fast as they can."""
    notify(world, "max")
    time.sleep(settings.saturated)
    began, stored = time.monotonic(), evidence.stored_items(connection)
    time.sleep(settings.saturated)
    rate = (evidence.stored_items(connection) - stored) / (time.monotonic() - began)
    report.figures["stored when devices send as fast as they can"] = f"{rate:,.0f} items a second"
    notify(world, "0")
    await_true(lambda: world.metric("spool_pending_items") == 0, DRAIN, "the spool does not drain")
