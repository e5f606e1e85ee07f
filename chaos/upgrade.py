"""Upgrade a loaded world: the schema first, then functions of both versions at once, then all of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from random import Random
from typing import Final

import psycopg

from chaos import uplink
from chaos.finding import Finding
from chaos.fleet import Fleet
from chaos.load import KINDS_BEFORE, Load
from chaos.revision import PREVIOUS, extract
from chaos.trial import (
    PREFIX,
    PREPARATION,
    ChaosError,
    Report,
    Say,
    assert_synchronous,
    audit_all,
    await_observed,
    await_true,
    settle,
    silence,
)
from flownexus.migrate import migrate
from local import parts, web
from local.layout import Layout
from local.options import PARTS, Options, Ports, variables
from local.servers import java
from local.supervise.instance import leftovers
from local.world import World

PARTS_OF_EACH_VERSION: Final = ("postgres", "nats", "gateway", "leshan", "connector")
MAKE_TIMEOUT: Final = 900.0
PATIENCE: Final = 120.0  # seconds for which users repeat a request
LEAVE: Final = 3.0  # seconds in which requests end that were sent to a gateway before it is stopped
LOG_END: Final = 2000  # characters
POSTS: Final = ("webhook_posts_total",)
FAILED_POSTS: Final = ("webhook_failed_posts_total", "webhook_failures_total")
"""Leshan's metrics of its posts, and of those that it has to repeat, by all their names."""
CALLS: Final = re.compile(r'^flownexus_connector_calls_total{.*result="(\w+)".*} (\S+)', re.M)
GOOD_CALLS: Final = {"ok", "skipped"}

STORED_AT: Final = """
SELECT extract(epoch FROM r.stored_at)::float8
FROM resource r JOIN endpoint e ON e.id = r.endpoint_id
WHERE starts_with(e.name, %s) ORDER BY 1
"""


@dataclass(frozen=True)
class Settings(Fleet):
    """What is upgraded, and under how much load; durations in seconds."""

    seconds: float = field(default=60.0, metadata={"help": "of load, after each step"})
    from_: str = field(default=PREVIOUS, metadata={"help": "the earlier version, as git names it"})


@dataclass(frozen=True)
class Step:
    """A step of the upgrade, in seconds of time.monotonic()."""

    what: str
    began: float
    ended: float


def run(settings: Settings, home: Path, say: Say) -> Report:
    """Do it in a world of its own, in the folder `home`, and report."""
    report = Report()
    steps: list[Step] = []

    @contextlib.contextmanager
    def step(what: str) -> Iterator[None]:
        say(what)
        began = time.monotonic()
        yield
        steps.append(Step(what, began, time.monotonic()))

    options = Options(
        home=home / "world",
        ports=Ports.any_free().settled(),
        # The devices stay: they are nobody's part.
        parts=frozenset(PARTS) - {"simulator"},
        groups=settings.groups(),
        plain_coap=(f"{PREFIX}*",),
        new_endpoints=settings.devices,
        long_poll_timeout=settings.long_poll_timeout,
    )
    world = World(options)
    extract(settings.from_, home / "version before")
    before = _Before(home / "version before", options)
    java.build(home / "maven.log", say)
    with contextlib.ExitStack() as stack:
        say(f"starting {settings.from_}")
        stack.callback(before.down)
        before.up()
        stack.enter_context(_devices(world, home / "devices"))
        _await_registered(world, settings.devices)
        await_observed(world)
        say("the devices are registered and observed: the load begins")
        random = Random(settings.seed)
        users = Load(world, settings.names(), settings.operations, random, PATIENCE, KINDS_BEFORE)
        with users as load:
            with step("the version before"):
                time.sleep(settings.seconds)
            callers = _Callers.of(world)
            with step("its functions, while the schema is migrated, and on the new schema"):
                began = time.monotonic()
                applied = migrate(world.database_url, world.role_passwords())
                took = time.monotonic() - began
                time.sleep(settings.seconds)
            with step("functions of both versions"), _beside(world, home / "beside") as beside:
                load.gateways = (world.gateway_url, beside.gateway_url)
                time.sleep(settings.seconds)
                load.gateways = (world.gateway_url,)
                time.sleep(LEAVE)
            report.findings += callers.failed_since(world)
            with step("down"):
                before.down()
            with step("up by this version"):
                stack.enter_context(world)
            assert_synchronous(world)
            with step("this version"):
                time.sleep(settings.seconds)
        say("no more operations")
        settle(world, load.asked, time.monotonic(), report, say)
        report.figures |= {"migrations": f"{len(applied)}, in {took:.2f} s"}
        report.figures |= _by_step(world, steps, load)
        together = [each for each in load.failures if steps[1].began <= each.at < steps[2].ended]
        report.findings += [
            Finding("requests failed on the new schema", len(load.asked), together),
            Finding("requests failed for good", len(load.asked), [a for a in load.asked if a.id is None]),
        ]
        silence(world, say)
        audit_all(world, load.asked, report)
    homes = (options.home, home / "devices", home / "beside")
    report.findings.append(
        Finding("processes left behind", 0, [p for each in homes for p in leftovers(each)])
    )
    return report


class _Before:
    """The earlier version: its own Makefile starts and stops the world, as its users do."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder = folder
        ours = {name for name in os.environ if name.startswith(("FLOWNEXUS_", "MAKE", "MFLAGS"))}
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in {*ours, *variables()}},
            "FLOWNEXUS_HOME": str(options.home),
            "FLOWNEXUS_PARTS": ",".join(PARTS_OF_EACH_VERSION),
            "PLAIN_COAP": ",".join(options.plain_coap),
            "NEW_ENDPOINTS": str(options.new_endpoints),
            "LONG_POLL_TIMEOUT": parts.milliseconds(options.long_poll_timeout),
            **{Ports.variable(port.name): str(getattr(options.ports, port.name)) for port in fields(Ports)},
        }

    def up(self) -> None:
        """Build it and start its world."""
        self._make("up")

    def down(self) -> None:
        """Stop its world, if it runs."""
        self._make("down")

    def _make(self, target: str) -> None:
        done = subprocess.run(
            ["make", target],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=MAKE_TIMEOUT,
        )
        if done.returncode:
            raise ChaosError(
                f"`make {target}` of the version before: {(done.stdout + done.stderr)[-LOG_END:]}"
            )


@contextlib.contextmanager
def _devices(world: World, home: Path) -> Iterator[None]:
    """Simulate the devices, which no version's `make down` ends: they have a home of their own."""
    layout = Layout(replace(world.options, home=home, ports=world.ports))
    folder = home / "simulator"
    folder.mkdir(parents=True)
    (world.home / "simulator").symlink_to(folder)
    simulator = parts.simulator(layout, lambda _: None, lambda: True)
    simulator.process.start()
    try:
        await_true(simulator.ready, PREPARATION, "the simulator does not start")
        yield
    finally:
        simulator.process.stop()


def _await_registered(world: World, devices: int) -> None:
    def registered() -> bool:
        with psycopg.connect(world.database_url) as connection:
            row = connection.execute("SELECT count(*) FROM endpoint WHERE registered").fetchone()
        return row is not None and row[0] >= devices

    await_true(registered, PREPARATION, "the devices do not register", interval=1.0)


def _beside(world: World, home: Path) -> World:
    """Return this version's functions and connector for the same PostgreSQL, NATS and Leshan."""
    for secrets in ("secrets", "passwords"):
        shutil.copytree(world.home / secrets, home / secrets)
    return World(
        replace(
            world.options,
            home=home,
            parts=frozenset({"gateway", "connector"}),
            ports=replace(Ports.any_free(), leshan=world.ports.leshan),
            database_url=world.database_url,
            nats_url=world.nats_url,
        )
    )


@dataclass(frozen=True)
class _Callers:
    """What those who call functions have counted: Leshan's posts, and the connector's calls by result."""

    posts: int
    failed_posts: int
    calls: Counter[str]

    @classmethod
    def of(cls, world: World) -> _Callers:
        """Ask the running parts of either version."""
        try:
            _, leshan = web.request(world.ports.leshan_metrics, "GET", "/metrics")
        except ConnectionRefusedError:  # it had no port of their own
            token = web.bearer(world.secrets.read("flownexus-leshan-token"))
            _, leshan = web.request(world.ports.leshan, "GET", "/metrics", headers=token)
        _, connector = web.request(world.ports.connector, "GET", "/metrics")
        calls: Counter[str] = Counter()
        for result, number in CALLS.findall(connector):
            calls[result] += int(float(number))
        return cls(_sum(leshan, POSTS), _sum(leshan, FAILED_POSTS), calls)

    def failed_since(self, world: World) -> list[Finding]:
        """Return what has failed since then, as findings."""
        now = self.of(world)
        calls = now.calls - self.calls
        return [
            Finding(
                "posts of Leshan failed on the new schema",
                now.posts - self.posts,
                [*range(now.failed_posts - self.failed_posts)],
            ),
            Finding(
                "calls of the connector failed on the new schema",
                calls.total(),
                [f"{result}: {number}" for result, number in calls.items() if result not in GOOD_CALLS],
            ),
        ]


def _sum(metrics: str, names: tuple[str, ...]) -> int:
    """Return the sum of one of Leshan's metrics over its labels."""
    found = re.findall(rf"^flownexus_leshan_(?:{'|'.join(names)})(?:{{.*}})? (\S+)", metrics, re.MULTILINE)
    if not found:
        raise ChaosError(f"Leshan has no metric {' or '.join(names)}")
    return int(sum(map(float, found)))


def _by_step(world: World, steps: list[Step], load: Load) -> dict[str, str]:
    """Tell of each step how users and values fared."""
    with psycopg.connect(world.database_url) as connection:
        rows = connection.execute(STORED_AT.encode(), [PREFIX]).fetchall()
    offset = time.time() - time.monotonic()  # the rows have PostgreSQL's clock, which is this machine's
    stored = [at - offset for (at,) in rows]
    longest = uplink.longest_gap(stored, steps[0].began, steps[-1].ended)
    figures = {"the longest time without a row": f"{longest:.1f} s"}
    for number, step in enumerate(steps, 1):
        asked = [each for each in load.asked if step.began <= each.began < step.ended]
        failures = Counter(each.answer for each in load.failures if step.began <= each.at < step.ended)
        gap = uplink.longest_gap(stored, step.began, step.ended)
        waited = max((each.ended - each.began for each in asked), default=0.0)
        failed = ", ".join(f"{answer}: {n:,}" for answer, n in failures.most_common()) or "none"
        figures[f"{number}. {step.what}"] = (
            f"{step.ended - step.began:.1f} s; no row for {gap:.2f} s at most; {len(asked):,} requests, "
            f"answered after {waited:.2f} s at most; failed and repeated: {failed}"
        )
    return figures
