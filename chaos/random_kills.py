"""Kill parts of a loaded world at random, let it drain, and audit what is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import psycopg

from chaos import audit, evidence
from chaos.audit import Asked, Finding, Lane
from chaos.kills import PATIENCE, POLL_INTERVAL, kill, schedule
from chaos.load import Load
from chaos.trial import DRAIN, PREFIX, Report, Say, audit_uplink, prepare, silence
from local.options import Options, Ports
from local.supervise.instance import leftovers
from local.world import World, WorldError

LIFETIME: Final = 600  # seconds, of registrations
SLOW_SHARE: Final = 0.2
ANSWER_TIME: Final = 1.0  # seconds that a slow device takes


@dataclass(frozen=True)
class Settings:
    """How much of what, and for how long; durations in seconds."""

    seconds: float = field(default=600.0, metadata={"help": "of kills"})
    devices: int = field(default=1000, metadata={"help": "simulated"})
    interval: float = field(
        default=5.0,
        metadata={
            "help": "between two notifications of a device; a thousand then send 200 a second, "
            "which two cores can do while things start again"
        },
    )
    operations: float = field(default=50.0, metadata={"help": "queued a second"})
    update: float = field(default=30.0, metadata={"help": "between two registration updates of a device"})
    long_poll_timeout: float = field(
        default=30.0, metadata={"help": "the lease and all else follows from it"}
    )
    seed: int = field(default=1, metadata={"help": "says what is killed when"})

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be done."""
        if self.devices < 2:
            raise ValueError("two devices or more, since one of them is slow")

    def groups(self) -> tuple[str, ...]:
        """Return the devices as the simulator takes them; at slow ones operations are always under way."""
        alike = f"prefix={PREFIX},notify={self.interval:g}s,lifetime={LIFETIME},update={self.update:g}s"
        slow = max(1, round(self.devices * SLOW_SHARE))
        return (
            f"{alike},count={self.devices - slow}",
            f"{alike},count={slow},start={self.devices - slow + 1},slow={ANSWER_TIME:g}s",
        )

    def names(self) -> list[str]:
        """Return the devices' endpoint names."""
        return [f"{PREFIX}{number:04d}" for number in range(1, self.devices + 1)]


def run(settings: Settings, home: Path, say: Say) -> Report:
    """Do it all in a world of its own, in the folder `home`, and report."""
    random = Random(settings.seed)  # a run can be repeated
    report = Report()
    options = Options(
        home=home,
        ports=Ports.any_free(),
        groups=settings.groups(),
        long_poll_timeout=settings.long_poll_timeout,
    )
    with World(options) as world:
        say(f"{settings.devices} devices are registered")
        prepare(world)
        say("they are observed: the load begins")
        with Load(world, settings.names(), settings.operations, Random(settings.seed)) as load:
            last_kill = _kill_at_random(world, settings.seconds, random, report, say)
        say("no more kills, and no more operations")
        _drain(world, load.asked, last_kill, report, say)
        report.findings.append(_registrations(world))
        silence(world, say)
        _audit(world, load.asked, report)
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


# ---------------------------------------------------------------------------------------------------------
# After the last kill


def _drain(world: World, asked: list[Asked], last_kill: float, report: Report, say: Say) -> None:
    """Wait until every part is back, every operation has ended, and what was in the spool then is stored.

    Devices go on notifying meanwhile: their spool need never be empty.
    """
    bound = world.timeouts.lease_s + DRAIN
    given: list[Lane] = []
    left = ["nothing was looked at"]
    while left and time.monotonic() - last_kill < bound:
        time.sleep(POLL_INTERVAL)
        left = [f"{name} is not ready" for name, part in world.parts.items() if not _is_ready(part.ready)]
        if not left:
            given = given or evidence.lanes(world)
            left = _undone(world, given)
    took = time.monotonic() - last_kill
    say(f"{'not ' if left else ''}drained {took:.1f} s after the last kill")
    report.figures["drained after the last kill"] = f"{took:.1f} s, of {bound:g} s"
    report.findings.append(Finding("not drained, or not back, in time", len(asked), left))


def _undone(world: World, given: list[Lane]) -> list[str]:
    """Return operations that have not ended, and lanes that are not stored as far as they were given."""
    try:
        with psycopg.connect(world.database_url, connect_timeout=5) as connection:
            operations = [str(each) for each in evidence.operations(connection, ended=False)]
            return operations + audit.not_stored(given, evidence.marks(connection))
    except psycopg.OperationalError:
        return ["PostgreSQL does not answer"]


def _is_ready(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except (OSError, WorldError):
        return False


def _registrations(world: World) -> Finding:
    devices = evidence.devices(world)
    with psycopg.connect(world.database_url) as connection:
        return Finding(
            "registrations astray", len(devices), evidence.registered_otherwise(connection, devices)
        )


def _audit(world: World, asked: list[Asked], report: Report) -> None:
    with psycopg.connect(world.database_url) as connection:
        report.findings += [
            *audit_uplink(world, connection, report.figures),
            *_downlink(world, connection, asked, report.figures),
        ]


def _downlink(
    world: World, connection: psycopg.Connection[Any], asked: list[Asked], figures: dict[str, str]
) -> list[Finding]:
    operations = evidence.operations(connection)
    requests = evidence.requests(world)
    answers = Counter(each.answer for each in asked)
    figures["operations asked for"] = ", ".join(f"{answer}: {n:,}" for answer, n in answers.most_common())
    ended = Counter(
        f"{each.status} at attempt {each.attempts}" + (f" ({each.reason})" if each.status == "FAILED" else "")
        for each in operations
        if each.asked
    )
    for how, n in ended.most_common():
        figures[how] = f"{n:,}"
    return [
        Finding("operations lost", len(asked), audit.operations_lost(asked, operations)),
        Finding("operations nobody asked for", len(operations), audit.operations_unasked(asked, operations)),
        Finding("operations refused", len(asked), [each for each in asked if each.refused]),
        Finding("operations stuck", len(operations), [o for o in operations if o.eligible]),
        Finding("operations ended badly", len(operations), [*filter(audit.ended_badly, operations)]),
        Finding("executes received twice", len(requests), audit.executed_twice(requests)),
        Finding(
            "received otherwise than recorded", len(requests), audit.received_wrongly(operations, requests)
        ),
        Finding("delivered out of order", len(asked), audit.delivered_out_of_order(asked, requests)),
        Finding(
            "results recorded twice or not at all",
            len(operations),
            audit.results_miscounted(operations, evidence.results(connection)),
        ),
    ]
