"""DTLS handshakes a second, by each kind of credential, with Leshan and the devices on the same processors.

The devices are enrolled as users do it, and start all at once. What counts is the time between a tenth and
nine tenths of the sessions that Leshan has established. What they are compared to are as many devices that
register over plain CoAP, without any handshake. Nothing is asked of devices meanwhile: there is no connector.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.credentials import MODES, arguments
from benchmarks.fleet import simulator
from benchmarks.results import Result
from cli.credentials import write_files
from local import web
from local.options import PARTS, Options, Ports
from local.world import World

DEVICES = 1_000
BATCH = 250
ALL_AT_ONCE = ("--start-rate", "100000")
TIMEOUT_S = 300.0
BEHAVE = f"count={DEVICES},notify=0,lifetime=3600,update=3000s"


def run(runs: int) -> Sequence[Result]:
    """Measure each kind so often, in one system; once more before, which warms Leshan up."""
    rates: dict[str, list[float]] = {mode: [] for mode in ("plain", *MODES)}
    with tempfile.TemporaryDirectory(prefix="flownexus-bench-") as folder:
        options = Options(
            home=Path(folder) / "home",
            ports=Ports.any_free(),
            parts=frozenset(PARTS) - {"simulator", "connector"},
            plain_coap=("plain-*",),
            new_endpoints=1_000_000,
        )
        with World(options) as world:
            for mode in MODES:
                _enrol(world, Path(folder), mode)
            _ask(world, "PUT", "enrolment", {"unenrolled": "admitted"})
            for turn in range(runs + 1):
                found = {"plain": _plain(world, turn)}
                found |= {mode: _handshakes(world, Path(folder), mode) for mode in MODES}
                if turn:
                    for mode, rate in found.items():
                        rates[mode].append(rate)
    return [result for mode in MODES for result in _results(mode, rates[mode], rates["plain"])]


def _results(mode: str, rates: Sequence[float], plain: Sequence[float]) -> Sequence[Result]:
    what = f"DTLS handshakes of {DEVICES:,} devices at once, {mode}"
    return (
        Result(what, "a second", rates),
        Result(
            f"{what}, as a share of registrations without",
            "",
            [rate / of for rate, of in zip(rates, plain, strict=True)],
            ceiling="registrations a second over plain CoAP: " + ", ".join(f"{each:.4g}" for each in plain),
        ),
    )


def _enrol(world: World, folder: Path, mode: str) -> None:
    """Enrol the devices of a kind, and write their files."""
    for at in range(0, DEVICES, BATCH):
        wanted = [
            {"endpoint": f"{mode}-{number:04d}", "mode": mode} for number in range(at + 1, at + BATCH + 1)
        ]
        for made in _ask(world, "POST", "credentials/batch", {"credentials": wanted})["credentials"]:
            write_files(folder, made)


def _plain(world: World, turn: int) -> float:
    """Return how many registrations there are in a second."""
    with simulator(world.coap_url, f"prefix=plain-{turn}-,{BEHAVE}", *ALL_AT_ONCE):
        return _rate(lambda: len(world.clients()))


def _handshakes(world: World, folder: Path, mode: str) -> float:
    """Return how many handshakes there are in a second."""
    keys = arguments(mode, folder, f"{mode}-0001")
    with simulator(world.coaps_url, f"prefix={mode}-,{BEHAVE}", *keys, *ALL_AT_ONCE):
        return _rate(lambda: world.metric("established_sessions_total"))


def _rate(count: Callable[[], int]) -> float:
    """Return by how much something rises in a second, from a tenth of all devices to nine tenths."""
    first = count()
    began = _reached(count, first + DEVICES // 10)
    ended = _reached(count, first + DEVICES * 9 // 10)
    return (ended[1] - began[1]) / (ended[0] - began[0])


def _reached(count: Callable[[], int], wanted: int) -> tuple[float, int]:
    """Return when there are at least so many, and how many."""
    deadline = time.monotonic() + TIMEOUT_S
    while (found := count()) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} devices after {TIMEOUT_S:.0f} s, and not {wanted}")
        time.sleep(0.02)
    return time.monotonic(), found


def _ask(world: World, method: str, path: str, body: Any) -> Any:
    token = web.bearer(world.secrets.read("flownexus-api-token").split()[0])
    url = f"/function/api/v1/{path}"
    status, text = web.request(world.ports.gateway, method, url, body=body, headers=token)
    if status >= 300:
        raise RuntimeError(f"{method} {path}: {status} {text}")
    return json.loads(text)
