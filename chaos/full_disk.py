"""Fill the disk of Leshan's spool: devices are refused, nothing acknowledged is lost, all goes on by itself.

The disk is a small tmpfs. It is mounted in namespaces of our own, so that nobody else sees it and nothing is
left of it; the program runs itself anew to enter them, which takes no privileges where user namespaces are
allowed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from chaos import evidence
from chaos.finding import Finding
from chaos.load import TEMPERATURE
from chaos.trial import DRAIN, FLUSH, PREFIX, REFUSED, Report, Say, audit_uplink, await_true, prepare, silence
from local import web
from local.options import Options, Ports
from local.world import World

NAMESPACES: Final = ("unshare", "--map-root-user", "--mount")
ENTERED: Final = "FLOWNEXUS_CHAOS_ENTERED"
LIFETIME: Final = 36_000  # seconds: no device has to update its registration meanwhile
FILL: Final = 600.0
SETTLE: Final = 2.0  # seconds after which nothing is on its way that was let in before
SEND: Final = 30.0
SILENCE: Final = 240.0
"""Seconds in which a device that was refused is heard again: CoAP's MAX_TRANSMIT_WAIT, and a registration."""
LOG_LINE: Final = "devices are refused"


@dataclass(frozen=True)
class Settings:
    """How large the disk is, for how long it is full, and what devices send meanwhile."""

    seconds: float = field(default=60.0, metadata={"help": "that the disk is full"})
    megabytes: int = field(default=24, metadata={"help": "of the disk"})
    devices: int = field(default=100, metadata={"help": "simulated"})
    rate: float = field(default=1000.0, metadata={"help": "notifications a second, of all devices together"})

    def group(self) -> str:
        """Return the devices as the simulator takes them."""
        interval = self.devices / self.rate
        # They never update: one that gave up a notification would not be heard again by itself.
        return f"prefix={PREFIX},count={self.devices},notify={interval:g}s,lifetime={LIFETIME},renews"


def enter() -> None:
    """Run the program anew where it may mount; return where it is there already.

    Raises PermissionError where this is not allowed.
    """
    if ENTERED in os.environ:
        return
    if subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode != 0:
        raise PermissionError(
            f"a small disk cannot be mounted here: `{' '.join(NAMESPACES)}` is refused; "
            "run as root, or where user namespaces are allowed"
        )
    command = [*NAMESPACES, sys.executable, "-m", "chaos", *sys.argv[1:]]
    os.execvpe(command[0], command, os.environ | {ENTERED: "yes"})


def run(settings: Settings, home: Path, say: Say) -> Report:
    """Do it in a world of its own, in the folder `home`, and report."""
    report = Report()
    options = Options(home=home, ports=Ports.any_free(), groups=(settings.group(),))
    with _small_disk(home / "leshan", settings.megabytes), World(options) as world:
        prepare(world)
        say("PostgreSQL is stopped")
        world.stop_part("postgres")
        took = await_true(lambda: world.metric("spool_writable") == 0, FILL, "the disk does not fill")
        say(f"the disk is full after {took:.1f} s")
        report.figures |= {
            "disk full after": f"{took:.1f} s",
            "waiting then": f"{world.metric('spool_pending_items'):,} items",
            "their bytes": f"{world.metric('spool_bytes'):,}",
            "bytes of the spool's file then": f"{world.metric('spool_file_bytes'):,}",
        }
        _stay_full(world, settings, report)
        say("PostgreSQL is started")
        world.start_part("postgres")
        _recover(world, settings, report)
        silence(world, say)
        with psycopg.connect(world.database_url) as connection:
            report.findings += audit_uplink(world, connection, report.figures)
    return report


@contextlib.contextmanager
def _small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, exist_ok=True)
    options = f"size={megabytes}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _stay_full(world: World, settings: Settings, report: Report) -> None:
    """See that devices are refused, and that it is said."""
    time.sleep(SETTLE)
    refused, began = world.metric(REFUSED), time.time()
    answer = _send(world, f"{PREFIX}0001")
    time.sleep(settings.seconds)
    refused, ended = world.metric(REFUSED) - refused, time.time()
    time.sleep(FLUSH)
    acknowledged = [line for line in _acknowledged(world, began) if line["t"] / 1000 < ended]
    log = (world.logs / "leshan.log").read_text(encoding="utf-8")
    report.figures |= {
        "notifications refused": f"{refused:,} in {settings.seconds:g} s",
        "answer to a Send": answer,
    }
    report.findings += [
        Finding("acknowledged while the disk was full", refused, acknowledged),
        Finding("Sends answered otherwise than 5.03", 1, [] if answer == "5.03" else [answer]),
        Finding("full, and no notification refused", 0, [] if refused else [refused]),
        Finding("full, and the log does not say so", 0, [] if LOG_LINE in log else [LOG_LINE]),
    ]


def _send(world: World, device: str) -> str:
    """Let a device send a value unasked; return what it is answered."""
    path = f"/devices/{device}/send?path={TEMPERATURE}"
    status, text = web.request(world.simulator_port, "POST", path, timeout=SEND)
    return str(json.loads(text)["result"]) if status == 200 else text


def _acknowledged(world: World, since: float) -> list[dict[str, Any]]:
    return [line for line in evidence.read_lines(world.ledger) if line["t"] / 1000 >= since]


def _recover(world: World, settings: Settings, report: Report) -> None:
    """Wait until what waited is stored, and until each device is heard again."""
    began = time.time()
    writable = await_true(lambda: world.metric("spool_writable") == 1, DRAIN, "the disk stays full")
    heard: set[str] = set()
    while len(heard) < settings.devices and time.time() - began < SILENCE:
        time.sleep(FLUSH)
        heard = {line["ep"] for line in _acknowledged(world, began)}
    report.figures |= {
        "devices let in again after": f"{writable:.1f} s",
        "all of them heard again after": f"{time.time() - began:.0f} s",
    }
    names = {f"{PREFIX}{number:04d}" for number in range(1, settings.devices + 1)}
    report.findings.append(Finding("devices not heard again", settings.devices, sorted(names - heard)))
