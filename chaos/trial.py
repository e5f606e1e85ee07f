"""What trials and measurements have in common: a world that forgets nothing, devices as told, the audit."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from chaos import downlink, evidence, firmware, uplink
from chaos.downlink import Asked
from chaos.finding import Finding
from chaos.uplink import Lane, Telemetry
from local import web
from local.layout import Layout
from local.world import World, WorldError

PREFIX: Final = "chaos-"
POLL_INTERVAL: Final = 0.1
DRAIN: Final = 30.0
"""Seconds beyond a lease in which everything must be done after the last disturbance."""
PREPARATION: Final = 300.0
FLUSH: Final = 1.5  # seconds after which the devices' files have what happened
GIVEN_UP: Final = 100.0
"""Seconds after which a device has given up what was not acknowledged: CoAP's MAX_TRANSMIT_WAIT is 93."""
FULL: Final = 2  # SQLite's synchronous
ADDRESS: Final = re.compile(r"coaps?://\S+")
"""What differs in reasons that are alike."""
REFUSED: Final = 'refused_messages_total{what="notification"}'
"""Leshan's metric of notifications that it did not acknowledge for want of room."""

Say = Callable[[str], None]


class ChaosError(RuntimeError):
    """The world does not get to where it can be tried."""


@dataclass
class Report:
    """What was done to the world, and what the audit found."""

    killed: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Say whether nothing was found."""
        return all(finding.clean for finding in self.findings)


def assert_durable(database: psycopg.Connection[Any]) -> None:
    """Refuse a database that may forget what it has committed."""
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        row = database.execute(f"SHOW {name}".encode()).fetchone()
        if row != ("on",):
            raise ChaosError(f"{name} is {row}: this would be shown of another system")


def assert_synchronous(world: World) -> None:
    """Refuse a spool that may forget what it has committed."""
    if world.metric("spool_synchronous") != FULL:
        raise ChaosError("the spool is not synchronous: what is acknowledged may be lost")


def prepare(world: World) -> None:
    """Wait until the devices' observe plan is done."""
    assert_synchronous(world)
    await_observed(world)


def await_observed(layout: Layout) -> None:
    """Wait until the devices' observe plan is done."""
    with psycopg.connect(layout.database_url, autocommit=True) as connection:
        assert_durable(connection)
        await_true(
            lambda: not evidence.operations(connection, ended=False),
            PREPARATION,
            "the devices' observe plan does not come to an end",
            interval=1.0,
        )


def await_true(
    condition: Callable[[], bool], timeout: float, otherwise: str, interval: float = POLL_INTERVAL
) -> float:
    """Wait until something is so and return the seconds that took; raise ChaosError if it takes too long."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise ChaosError(otherwise)
        time.sleep(interval)
    return time.monotonic() - began


def notify(world: Layout, every: str) -> None:
    """Let all devices notify at an interval: a duration, "0" for never, "max" as fast as ACKs come."""
    status, text = web.request(world.simulator_port, "POST", f"/notify?every={every}")
    if status != 200:
        raise ChaosError(f"the devices do not listen: {text}")


def settle(world: World, asked: list[Asked], since: float, report: Report, say: Say) -> None:
    """Wait until every part is back, every operation has ended, and what was in the spool then is stored.

    Devices go on notifying meanwhile: their spool need never be empty.
    """
    bound = world.timeouts.lease_s + DRAIN
    given: list[Lane] = []
    left = ["nothing was looked at"]
    while left and time.monotonic() - since < bound:
        time.sleep(POLL_INTERVAL)
        left = [f"{name} is not ready" for name, part in world.parts.items() if not _is_ready(part.ready)]
        if not left:
            given = given or evidence.lanes(world)
            left = _undone(world, given)
    took = time.monotonic() - since
    say(f"{'not ' if left else ''}drained {took:.1f} s after the last disturbance")
    report.figures["drained after the last disturbance"] = f"{took:.1f} s, of {bound:g} s"
    report.findings += [Finding("not drained, or not back, in time", len(asked), left), _registrations(world)]


def _undone(world: World, given: list[Lane]) -> list[str]:
    """Return operations and updates that have not ended, and lanes not stored as far as they were given."""
    try:
        with psycopg.connect(world.database_url, connect_timeout=5) as connection:
            operations = [str(each) for each in evidence.operations(connection, ended=False)]
            operations += firmware.undone(connection)
            return operations + uplink.not_stored(given, evidence.marks(connection))
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


def silence(world: World, say: Say) -> None:
    """Let the devices rest until their files are written, and Leshan hand in what it has and stop.

    What was stored and not acknowledged, since Leshan ended in between, is repeated by its device, and in no
    file until that has given it up. Devices go on updating their registrations: only a spool that is closed
    can be compared to the marks.
    """
    notify(world, "0")
    time.sleep(FLUSH)
    with psycopg.connect(world.database_url, autocommit=True) as connection:
        until = time.monotonic() + GIVEN_UP
        while time.monotonic() < until and any(t.unexplained for t in _telemetry(world, connection)):
            time.sleep(FLUSH)
    world.stop_part("leshan")
    say("the devices rest, and Leshan is closed: the audit begins")


def _telemetry(world: World, connection: psycopg.Connection[Any]) -> tuple[Telemetry, Telemetry]:
    """Return what devices notified of, and what they sent unasked."""

    def rows() -> list[evidence.Reading]:
        return connection.execute(evidence.TEMPERATURES.encode(), [PREFIX]).fetchall()

    return (
        evidence.temperatures(world, rows, PREFIX),
        evidence.temperatures(world, rows, PREFIX, sent=True),
    )


def audit_uplink(world: World, connection: psycopg.Connection[Any], figures: dict[str, str]) -> list[Finding]:
    """Return what must not be among the values that devices sent, and note how many there were."""
    notified, sent = _telemetry(world, connection)
    lanes = evidence.lanes(world)
    for name, telemetry in (("notifications", notified), ("Sends", sent)):
        figures[f"{name} acknowledged"] = f"{len(telemetry.acknowledged):,}"
        figures[f"{name} stored, and their device never heard of it"] = (
            f"{len(set(telemetry.stored) - set(telemetry.acknowledged)):,}"
        )
    return [
        *notified.findings("notifications"),
        Finding("notifications out of order", len(notified.stored), notified.disordered),
        *sent.findings("Sends"),
        Finding(
            "events stored twice",
            evidence.count(connection, "event"),
            evidence.texts(connection, evidence.EVENTS_TWICE),
        ),
        Finding(
            "latest values that are not",
            evidence.count(connection, "resource_latest"),
            evidence.texts(connection, evidence.NOT_THE_LATEST),
        ),
        Finding("marks astray", len(lanes), uplink.marks_astray(lanes, evidence.marks(connection))),
        Finding("left in the spool", 0, evidence.left_in_spool(world)),
        Finding("dead letters", 0, evidence.texts(connection, "SELECT reason FROM dead_letter")),
    ]


def audit_all(world: World, asked: list[Asked], report: Report) -> None:
    """Report what must not be among what devices sent and users asked for."""
    with psycopg.connect(world.database_url) as connection:
        report.findings += [
            *audit_uplink(world, connection, report.figures),
            *_audit_downlink(world, connection, asked, report.figures),
        ]


def _audit_downlink(
    world: World, connection: psycopg.Connection[Any], asked: list[Asked], figures: dict[str, str]
) -> list[Finding]:
    operations = evidence.operations(connection)
    requests = evidence.requests(world)
    answers = Counter(each.answer for each in asked)
    figures["operations asked for"] = ", ".join(f"{answer}: {n:,}" for answer, n in answers.most_common())
    ended = Counter(
        f"{each.status} at attempt {each.attempts}"
        + (f" ({ADDRESS.sub('...', str(each.reason))})" if each.status == "FAILED" else "")
        for each in operations
        if each.asked
    )
    for how, n in ended.most_common():
        figures[how] = f"{n:,}"
    return [
        Finding("operations lost", len(asked), downlink.operations_lost(asked, operations)),
        Finding(
            "operations nobody asked for", len(operations), downlink.operations_unasked(asked, operations)
        ),
        Finding("operations refused", len(asked), [each for each in asked if each.refused]),
        Finding("operations stuck", len(operations), [o for o in operations if o.eligible]),
        Finding("operations ended badly", len(operations), downlink.ended_badly(operations)),
        Finding("received twice, and not to be repeated", len(requests), downlink.done_twice(requests)),
        Finding(
            "received otherwise than recorded", len(requests), downlink.received_wrongly(operations, requests)
        ),
        Finding("delivered out of order", len(asked), downlink.delivered_out_of_order(asked, requests)),
        Finding(
            "results recorded twice or not at all",
            len(operations),
            downlink.results_miscounted(operations, evidence.results(connection)),
        ),
    ]
