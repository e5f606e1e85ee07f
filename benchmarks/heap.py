"""Shows what Leshan's heap holds for each device of an honest fleet.

Devices register over plain CoAP, have their temperature observed, and send confirmable notifications for a
minute, a thousand a second all together. Then Leshan's JVM is asked to collect its garbage: what is left is
what it keeps. Behind it is a function that does nothing; the devices are those of simulators with at most
ten thousand each, which the files that a process may have open allow.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import nothing
from benchmarks.fleet import Fleet, simulator, wait
from benchmarks.results import Result
from local.options import Options, Ports
from local.servers import java
from local.world import World

FLEETS = (1_000, 20_000)
RATE = 1_000  # notifications a second of all devices
MINUTE = 60.0  # seconds
MAX_DEVICES_PER_SIMULATOR = 10_000
REGISTERED_IN = 300.0  # seconds
GOAL = 256.0  # MB, half of the heap that `make up` gives it


def run(_: int) -> Sequence[Result]:
    """Measure once with each fleet: what a collection leaves does not vary with the load."""
    return [result for devices in FLEETS for result in _results(devices, 1)]


def _results(devices: int, runs: int) -> Sequence[Result]:
    found = [_run_once(devices) for _ in range(runs)]
    empty = statistics.median(before for before, _ in found)
    return [
        Result(
            f"Leshan's heap after a minute of {devices:,} devices",
            "MB",
            [after / 1e6 for _, after in found],
            GOAL,
            ceiling=f"{empty / 1e6:.0f} without devices",
        ),
        Result(
            f"Leshan's heap for each of {devices:,} devices",
            "kB",
            [(after - before) / devices / 1e3 for before, after in found],
        ),
    ]


def _run_once(devices: int) -> tuple[int, int]:
    """Return what the heap holds before there are devices, and with them."""
    with tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder, nothing.served() as port:
        options = Options(
            home=Path(folder) / "home",
            ports=replace(Ports.any_free(), gateway=port),
            parts=frozenset({"leshan"}),
            plain_coap=("heap*",),
            new_endpoints=devices,
        )
        with World(options) as world:
            before = kept(world)
            with _devices(world, devices):
                wait(lambda: len(world.clients()) == devices, interval=2.0, timeout=REGISTERED_IN)
                Fleet(world).observe()
                time.sleep(MINUTE)
                return before, kept(world)


@contextlib.contextmanager
def _devices(world: World, devices: int) -> Iterator[None]:
    """Run simulators with so many devices."""
    with contextlib.ExitStack() as simulators:
        for first in range(0, devices, MAX_DEVICES_PER_SIMULATOR):
            count = min(MAX_DEVICES_PER_SIMULATOR, devices - first)
            simulators.enter_context(
                simulator(
                    world.coap_url,
                    f"prefix=heap{first}-,count={count},notify={devices / RATE:g}s,lifetime=36000",
                )
            )
        yield


def kept(world: World) -> int:
    """Return the bytes of the heap that are left when all garbage is collected."""
    jcmd = Path(java.java()).resolve().with_name("jcmd")
    pid = world.parts["leshan"].process.pid
    subprocess.run([jcmd, str(pid), "GC.run"], stdout=subprocess.DEVNULL, timeout=60, check=True)
    return world.metric("heap_kept_bytes")
