"""Show that nothing grows: devices notify at half of saturation for an hour, and samples are taken meanwhile.

A whole world runs as it does for end_to_end, and how fast it stores is measured in the same way before. A
quantity is level when the last third of its samples is, on average, where the first third was; the first
tenth counts for neither: Leshan knows messages for 247 s, and PostgreSQL's buffers fill as long. In a run of
a few minutes these grow. What devices were acknowledged is held against the rows all the time.

The exit status is 0 when all is level and nothing was lost or doubled, 1 when not, and 130 after an
interrupt, which ends the run with what was found so far.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import level
from benchmarks.fleet import StoredFleet, saturate, stored_fleet, warm_up
from benchmarks.level import Limits, Series
from benchmarks.processes import groups
from benchmarks.results import write_page
from chaos.finding import Finding
from chaos.uplink import Balance
from local.servers import java

SHARE = 0.5
"""Of saturation."""
WRITTEN_FROM = 60.0
"""Minutes that a run has to take to be written down."""
INTERRUPTED = 130
LAG = 10.0
"""Seconds after which a value is a row, unless the spool is behind."""
LOOK = 0.2  # seconds between two looks for an interrupt
TENTH_MORE = Limits(factor=1.1)
MEMORY = Limits(factor=1.1, more=5)  # MB: what a small heap varies by from one collection to the next
TWO_MORE = Limits(more=2)
MB = 1e6


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment; the parts by name."""

    memory: Mapping[str, float]
    descriptors: Mapping[str, float]
    threads: Mapping[str, float]
    ended: int
    """Processes that were started again: a new one would hide what the old one had grown to."""
    heap: float
    """What Leshan's old generation held after it was last collected: what is garbage does not count."""
    pending: int
    spool: float
    rate: float
    """Rows committed a second since the sample before."""

    def __str__(self) -> str:
        return (
            f"{self.rate:,.0f} rows/s, memory {sum(self.memory.values()):,.0f} MB, heap {self.heap:,.1f} MB,"
            f" spool {self.pending:,} items in {self.spool:,.1f} MB,"
            f" {sum(self.threads.values()):,.0f} threads"
        )


@dataclass
class Found:
    """What came of the run."""

    saturation: float
    samples: list[Sample] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    interrupted: bool = False

    @property
    def series(self) -> list[Series]:
        """Return the samples by what they are of."""
        samples = self.samples
        parts = samples[0].memory if samples else ()

        def of(name: str, limits: Limits, values: Sequence[float], unit: str = "") -> Series:
            return Series(name, values, limits, unit)

        return [
            of("rows committed a second", Limits(1.1, minimum=0.9), [each.rate for each in samples]),
            of("Leshan's heap after a collection", TENTH_MORE, [each.heap for each in samples], "MB"),
            of("items in the spool", Limits(0, SHARE * self.saturation), [each.pending for each in samples]),
            of("the spool's files", TENTH_MORE, [each.spool for each in samples], "MB"),
            of("processes that ended", Limits(0), [each.ended for each in samples]),
            *(of(f"{it}: memory", MEMORY, [each.memory[it] for each in samples], "MB") for it in parts),
            *(of(f"{it}: descriptors", TWO_MORE, [each.descriptors[it] for each in samples]) for it in parts),
            *(of(f"{it}: threads", TWO_MORE, [each.threads[it] for each in samples]) for it in parts),
        ]

    @property
    def clean(self) -> bool:
        """Say whether all is level and nothing lost or doubled."""
        return all(each.level for each in self.series) and all(each.clean for each in self.findings)


class Soak:
    """A run: its load, its samples and its audit."""

    def __init__(self, fleet: StoredFleet, console: Console) -> None:
        self._fleet = fleet
        self._world = fleet.world
        self._console = console
        self._balance = Balance()
        self._compared = time.time()
        self._counted = (time.monotonic(), 0)

    def run(self, devices: int, count: int, every: float) -> Found:
        """Take so many samples, each so many seconds after the other, then compare the last values."""
        warm_up(self._fleet)
        found = Found(saturate(self._fleet)[0])
        rate = SHARE * found.saturation
        self._say(
            f"saturation: {found.saturation:,.0f} rows/s; now {rate:,.0f}/s for {count * every / 60:g} min"
        )
        self._fleet.notify(f"{devices / rate:.4f}s")
        with _interrupt_noted(found):
            self._sample_all(found, count, every)
        self._say(
            "interrupted: comparing what there is" if found.interrupted else "comparing the last values"
        )
        self._fleet.rest()
        self._compare(until=math.inf)
        found.findings = self._balance.findings(line.audited for line in self._fleet.unacknowledged())
        return found

    def _sample_all(self, found: Found, count: int, every: float) -> None:
        collected = {third.start for third in level.thirds(count)}
        self._counted = began = time.monotonic(), self._fleet.counted()
        for number in range(count):
            while (left := began[0] + (number + 1) * every - time.monotonic()) > 0 and not found.interrupted:
                time.sleep(min(left, LOOK))
            if found.interrupted:
                return
            if number in collected:
                # Where garbage is rare the old generation might not be collected within a third.
                self._collect()
            found.samples.append(self._sample())
            self._compare_settled()
            self._say(
                f"{number + 1}/{count}: {found.samples[-1]}; {self._balance.open:,} values to be compared"
            )

    def _sample(self) -> Sample:
        parts = {name: each for name, each in groups(self._world).items() if name != "simulator"}
        now, counted = time.monotonic(), self._fleet.counted()
        (before, counted_before), self._counted = self._counted, (now, counted)
        return Sample(
            {name: each.pss() / MB for name, each in parts.items()},
            {name: each.descriptors() for name, each in parts.items()},
            {name: each.threads() for name, each in parts.items()},
            sum(part.process.exits for part in self._world.parts.values())
            + sum(replica["crashes"] for replica in self._world.replicas()),
            self._world.metric("heap_kept_bytes") / MB,
            self._fleet.pending(),
            self._world.metric("spool_file_bytes") / MB,
            (counted - counted_before) / (now - before),
        )

    def _collect(self) -> None:
        [pid] = groups(self._world)["leshan"].live()
        jcmd = Path(java.java()).with_name("jcmd")
        subprocess.run([jcmd, str(pid), "GC.run"], stdout=subprocess.DEVNULL, check=True)

    def _compare_settled(self) -> None:
        """Compare what must be rows by now: what came before the oldest item that waits."""
        behind = self._world.metric("spool_oldest_seconds")
        self._compare(until=time.time() - behind - LAG)

    def _compare(self, until: float) -> None:
        stored = self._fleet.stored(self._compared, until)
        self._balance.add(
            (line.audited for line in self._fleet.acknowledged()), (row.value for row in stored)
        )
        self._compared = until

    def _say(self, text: str) -> None:
        self._console.print(f"[dim]{time.strftime('%H:%M:%S')} {text}[/]", soft_wrap=True)


@contextlib.contextmanager
def _interrupt_noted(found: Found) -> Iterator[None]:
    """Note an interrupt rather than raise it: half a comparison would find what is not so."""

    def note(*_: object) -> None:
        found.interrupted = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def main() -> int:
    """Return 0 when all is level and nothing lost or doubled, 1 when not, 130 after an interrupt."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=WRITTEN_FROM, help="at half of saturation (default: 60)"
    )
    parser.add_argument("--devices", type=int, default=200, help="simulated (default: 200)")
    parser.add_argument("--every", type=float, default=30.0, help="seconds, a sample (default: 30)")
    arguments = parser.parse_args()
    if min(vars(arguments).values()) <= 0:
        parser.error("nothing can be zero")
    count = round(arguments.minutes * 60 / arguments.every)
    if not level.thirds(count)[0]:
        parser.error("too few samples to compare: more minutes, or one more often")
    console = Console(highlight=False)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="flownexus-soak-") as folder,
            stored_fleet(Path(folder) / "home", arguments.devices) as fleet,
        ):
            found = Soak(fleet, console).run(arguments.devices, count, arguments.every)
    except KeyboardInterrupt:
        return INTERRUPTED
    _print(found, console)
    if found.interrupted:
        return INTERRUPTED
    if arguments.minutes >= WRITTEN_FROM:
        _write(found, arguments.minutes, arguments.devices)
    else:
        console.print(f"not written down: that takes {WRITTEN_FROM:g} minutes at least")
    return 0 if found.clean else 1


def _print(found: Found, console: Console) -> None:
    table = Table(*level.TITLES)
    for series in found.series:
        table.add_row(*series.cells(), style=None if series.level else "bold red")
    console.print(table)
    for finding in found.findings:
        style = "green" if finding.clean else "bold red"
        console.print(f"[{style}]{_said(finding)}[/] {finding.examples}")
    grown = [series.name for series in found.series if not series.level]
    console.print(f"[bold red]not level: {', '.join(grown)}[/]" if grown else "[green]all is level[/]")


def _said(finding: Finding) -> str:
    return f"values {finding.what}: {len(finding.found):,} of {finding.among:,}"


def _write(found: Found, minutes: float, devices: int) -> None:
    figures = [
        f"{devices} devices notified for {minutes:g} minutes at half of {found.saturation:,.0f} rows/s.",
        *(f"{_said(finding)}." for finding in found.findings),
    ]
    write_page("SOAK.md", "make soak", figures, [level.TITLES, *(each.cells() for each in found.series)])


if __name__ == "__main__":
    raise SystemExit(main())
