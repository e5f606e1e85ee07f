"""Kill parts of a loaded world at random, let it drain, and audit what is left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import psycopg

from chaos import firmware
from chaos.finding import Finding
from chaos.fleet import Fleet
from chaos.kills import PATIENCE, kill, schedule
from chaos.load import Load
from chaos.trial import Report, Say, audit_all, await_true, prepare, settle, silence
from local.options import Options, Ports
from local.supervise.instance import leftovers
from local.world import World

AGAIN: Final = 90.0
"""Seconds in which updates that were begun again end, while nothing is killed."""


@dataclass(frozen=True)
class Settings(Fleet):
    """How much of what, and for how long; durations in seconds."""

    seconds: float = field(default=600.0, metadata={"help": "of kills"})
    firmware: int = field(default=100, metadata={"help": "devices that get new firmware meanwhile"})

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be done."""
        super().__post_init__()
        if self.firmware > self.devices:
            raise ValueError("at most all devices get new firmware")

    def updated(self) -> list[str]:
        """Return the names of the devices that do: slow ones and others."""
        return self.names()[:: self.devices // self.firmware][: self.firmware]


def run(settings: Settings, home: Path, say: Say) -> Report:
    """Do it all in a world of its own, in the folder `home`, and report."""
    random = Random(settings.seed)  # a run can be repeated
    report = Report()
    options = Options(
        home=home,
        ports=Ports.any_free(),
        groups=settings.groups(),
        long_poll_timeout=settings.long_poll_timeout,
        stack_environment=firmware.SHORT,
    )
    with World(options) as world:
        say(f"{settings.devices} devices are registered")
        prepare(world)
        firmware.begin(world, settings.updated(), settings.seconds)
        say("they are observed, and some are to be updated: the load begins")
        with Load(world, settings.names(), settings.operations, Random(settings.seed)) as load:
            last_kill = _kill_at_random(world, settings.seconds, random, report, say)
        say("no more kills, and no more operations")
        settle(world, load.asked, last_kill, report, say)
        if again := firmware.retry_failed(world):
            say(f"{again} updates met a kill at each try, and begin again")
            await_true(lambda: firmware.ended(world), AGAIN, "they do not end")
        report.figures["updates that met a kill at each try"] = f"{again}"
        silence(world, say)
        audit_all(world, load.asked, report)
        with psycopg.connect(world.database_url) as connection:
            report.findings += firmware.findings(world, connection, settings.updated())
    report.findings.append(Finding("processes left behind", 0, [*leftovers(home)]))
    return report


def _kill_at_random(world: World, seconds: float, random: Random, report: Report, say: Say) -> float:
    """Kill, and return when the last kill was."""
    began = last = time.monotonic()
    kills = schedule(random, seconds)
    missing = []
    for each in kills:
        time.sleep(max(0.0, began + each.at - time.monotonic()))
        done = kill(world, each.victim, random)
        last = time.monotonic()
        say(f"{last - began:6.1f} s  {done or f'{each.victim} is not there to be killed'}")
        if done:
            report.killed[each.victim] += 1
        else:
            missing.append(each.victim)
    report.findings.append(Finding(f"not back {PATIENCE:g} s after a kill", len(kills), missing))
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    return last
