"""What a benchmark found, on which machine, as a table, as JSON and as Markdown."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from local.servers import java, nats, postgres

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parent


@dataclass(frozen=True)
class Result:
    """One figure of a benchmark: what each run gave; the median is what counts.

    `ceiling` is what the figure is compared to, measured in the same runs, in the unit it has for itself.
    """

    name: str
    unit: str
    runs: Sequence[float]
    goal: float | None = None
    direction: Literal["at most", "at least"] = "at most"
    ceiling: str | None = None

    @property
    def value(self) -> float:
        """Return the median."""
        return statistics.median(self.runs)

    @property
    def met(self) -> bool | None:
        """Say whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.direction == "at most" else self.value >= self.goal

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "goal": self.goal,
            "met": self.met,
            "ceiling": self.ceiling,
        }

    def cells(self) -> tuple[str, ...]:
        """Return it for people: name, median, each run, goal, whether it is met, ceiling."""
        return (
            self.name,
            f"{self.value:.4g} {self.unit}",
            ", ".join(f"{value:.4g}" for value in self.runs),
            "" if self.goal is None else f"{self.direction} {self.goal:g}",
            {True: "yes", False: "NO", None: ""}[self.met],
            self.ceiling or "",
        )


TITLES = ("what", "median", "runs", "goal", "met", "compared to, in the same runs")


def write(results: Sequence[Result]) -> None:
    """Write results.json and RESULTS.md."""
    whole = {
        "commit": _commit(),
        "machine": _machine(),
        "results": [result.as_json() for result in results],
    }
    (FOLDER / "results.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    write_page("RESULTS.md", "make bench", [], [TITLES, *(result.cells() for result in results)])


def write_page(name: str, command: str, figures: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a page of this folder: where a command ran, what it found, and a table, its titles first."""
    titles, *cells = rows
    lines = [
        f"# Results of the last run of `{command}`",
        "",
        f"Commit {_commit()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Written by the command, not by hand.",
        "",
        *(f"- {name}: {what}" for name, what in _machine().items()),
        "",
        *(f"{figure}\n" for figure in figures),
        *(f"| {' | '.join(row)} |" for row in (titles, ("---",) * len(titles), *cells)),
    ]
    (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _commit() -> str:
    commit = _output("git", "-C", str(REPOSITORY), "rev-parse", "HEAD") or "unknown"
    changed = _output(
        "git",
        "-C",
        str(REPOSITORY),
        "status",
        "--porcelain",
        "--",
        ":!benchmarks/*.md",
        ":!benchmarks/*.json",
    )
    return f"{commit} with changes" if changed else commit


def _machine() -> dict[str, str]:
    """Describe where the figures come from."""
    models = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    [kilobytes] = re.findall(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(kilobytes) / 2**20:.1f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "java": _output(java.java(), "--version").partition("\n")[0],
        "postgresql": _output(str(postgres.binaries() / "postgres"), "--version").rpartition(" ")[2],
        "nats": _output(str(nats.binary()), "--version").rpartition(" ")[2],
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
