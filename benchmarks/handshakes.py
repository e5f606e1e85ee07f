"""Full DTLS handshakes, by each kind of credential: how many a second one core does, as Leshan.

Devices that are enrolled as users do it start in a process that is new, and so has no session to go on with.
They start one after the other at a rate that is kept, for those that start all at once time out and begin
again. Leshan must have counted as many handshakes as devices have started, else the figure is of something
else. A handshake costs the processor time of Leshan's process for a device that registers, less that of one
that registers over plain CoAP.

No server needs less than its public key operations take (RFC 5246 and RFC 8422 say which), as OpenSSL does
them on the same processor in the same run: without Java, and without packets. A pre-shared key takes none.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from benchmarks.credentials import MODES, arguments
from benchmarks.fleet import simulator
from benchmarks.processes import groups
from benchmarks.rest import Rest
from benchmarks.results import Result
from cli.credentials import REVOKE, write_files
from local.options import PARTS, Options, Ports
from local.world import World

PLAIN: Final = "plain"
COUNT: Final = 1_000
PACE: Final = 100
"""Devices that start, and how many of them in a second: far fewer than the machine can do."""
LATE_S: Final = 10.0
"""How much later than the last device starts the last handshake may end."""
IDLE: Final = 0.05
"""Of a core: what Leshan may still be busy with, from the devices before, when others start."""
BEHAVE: Final = "notify=0,lifetime=3600,update=3000s"
BATCH: Final = 100
TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.1
VERIFIES: Final = {"rpk": 1, "x509": 2}
"""How many signatures a server verifies: that of the handshake, and of a certificate its CA's."""


def run(runs: int) -> Sequence[Result]:
    """Measure each kind so often, in one system; once more before, which warms Leshan up."""
    rates: dict[str, list[float]] = {mode: [] for mode in MODES}
    most: dict[str, list[float]] = {mode: [] for mode in VERIFIES}
    with tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder, _world(Path(folder)) as world:
        fleets = Fleets(world, Path(folder))
        for turn in range(runs + 1):
            spent = {mode: fleets.cost(mode) for mode in (PLAIN, *MODES)}
            if turn:
                for mode, found in rates.items():
                    found.append(1 / (spent[mode] - spent[PLAIN]))
                for mode, rate in _most().items():
                    most[mode].append(rate)
    return [result for mode in MODES for result in _results(mode, rates[mode], most.get(mode))]


def _results(mode: str, rates: Sequence[float], most: Sequence[float] | None) -> Sequence[Result]:
    what = f"full DTLS handshakes, {mode}: a second of one core for Leshan"
    found = [Result(what, "/s", rates)]
    if most is not None:
        ratio = [rate / ceiling for rate, ceiling in zip(rates, most, strict=True)]
        ceiling = f"{statistics.median(most):,.0f}/s"
        found.append(
            Result(f"{what}, of OpenSSL's public key operations alone", "times", ratio, ceiling=ceiling)
        )
    return found


@contextmanager
def _world(folder: Path) -> Iterator[World]:
    options = Options(
        home=folder / "home",
        ports=Ports.any_free(),
        parts=frozenset(PARTS) - {"simulator", "connector"},
        plain_coap=(f"{PLAIN}-*",),
        new_endpoints=1_000_000,
    )
    with World(options) as world:
        yield world


class Fleets:
    """Devices of each kind, some of which start at a time."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._folder = folder
        self._plain_fleets = 0
        for mode in MODES:
            self._enrol(mode)
        Rest(world).send("PUT", "api/v1/enrolment", {"unenrolled": "admitted"})

    def cost(self, mode: str) -> float:
        """Return the seconds of Leshan's processor time for a device that registers."""
        leshan = groups(self._world)["leshan"]
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            before = leshan.cpu()
            time.sleep(1)
            if leshan.cpu() - before < IDLE:
                break
            if time.monotonic() > deadline:
                raise TimeoutError("Leshan does not come to rest")
        before = leshan.cpu()
        self._start(mode)
        return (leshan.cpu() - before) / COUNT

    def _start(self, mode: str) -> None:
        """Let devices start, and return when all have registered by one handshake each."""
        url, prefix, keys = self._world.coap_url, f"{mode}-", list[str]()
        if mode == PLAIN:
            self._plain_fleets += 1
            prefix = f"{mode}-{self._plain_fleets}-"  # each endpoint is counted once
        else:
            url, keys = self._world.coaps_url, arguments(mode, self._folder, f"{mode}-0001")
        before = self._count(prefix)
        deadline = time.monotonic() + COUNT / PACE + LATE_S
        with simulator(url, f"prefix={prefix},count={COUNT},{BEHAVE}", *keys, "--start-rate", str(PACE)):
            while (found := self._count(prefix) - before) < COUNT and time.monotonic() < deadline:
                time.sleep(POLL_S)
        if found != COUNT:
            raise RuntimeError(f"{mode}: {found} handshakes of {COUNT} devices by the end")

    def _count(self, prefix: str) -> int:
        """Return how many handshakes there were, or over plain CoAP how many endpoints."""
        if not prefix.startswith(PLAIN):
            return self._world.metric("established_sessions_total")
        with psycopg.connect(self._world.database_url) as database:
            row = database.execute(
                "SELECT count(*) FROM endpoint WHERE starts_with(name, %s)", [prefix]
            ).fetchone()
        return int(row[0]) if row else 0

    def _enrol(self, mode: str) -> None:
        """Enrol the devices of a kind, and write their files."""
        for first in range(1, COUNT, BATCH):
            wanted = [
                {"endpoint": f"{mode}-{number:04d}", "mode": mode} for number in range(first, first + BATCH)
            ]
            answer = Rest(self._world).send("POST", "api/v1/credentials/batch", {"credentials": wanted})
            write_files(self._folder, answer.body["credentials"], REVOKE)


def _most() -> Mapping[str, float]:
    """Return for how many handshakes a second OpenSSL does a server's operations on P-256.

    A server makes a key for ECDHE, which costs about what a signature does, derives the secret, signs, and
    verifies.
    """
    command = ["openssl", "speed", "-seconds", "1", "ecdsap256", "ecdhp256"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    sign, verify = _numbers(r"256 bits ecdsa \(nistp256\) .*? ([\d.]+) +([\d.]+)$", told)
    [derive] = _numbers(r"256 bits ecdh \(nistp256\) .*? ([\d.]+)$", told)
    return {mode: 1 / (2 / sign + 1 / derive + verifies / verify) for mode, verifies in VERIFIES.items()}


def _numbers(pattern: str, text: str) -> Sequence[float]:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"openssl speed has said: {text}")
    return [float(each) for each in found.groups()]
