"""Run the benchmarks, all or those named, print their figures and write them down."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.results import TITLES, Result, write

BENCHMARKS = ("ingest_path", "end_to_end", "growth", "batches", "open_operations", "awake", "memory", "heap")
"""Modules of this package, each with run(runs) that returns results."""
BY_NAME_ONLY = ("gateway", "console", "handshakes")
"""Such that need more than the others do, or measure what has no goal."""
ALL = (*BENCHMARKS, *BY_NAME_ONLY)
FEWEST_RUNS = 3


def main() -> int:
    """Return 0 when every goal is met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"of {', '.join(ALL)}; default: all but {' and '.join(BY_NAME_ONLY)}",
    )
    parser.add_argument("--runs", type=int, default=FEWEST_RUNS, help="of each benchmark (default: 3)")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(ALL)
    if unknown or arguments.runs < 1:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}" if unknown else "runs: 1 or more")
    console = Console(highlight=False)
    results: list[Result] = []
    for name in arguments.names or BENCHMARKS:
        console.print(f"[dim]{name}: {arguments.runs} runs[/]")
        run: Callable[[int], Sequence[Result]] = importlib.import_module(f"benchmarks.{name}").run
        found = run(arguments.runs)
        table = Table(*TITLES)
        for result in found:
            table.add_row(*result.cells())
        console.print(table)
        results += found
    if not arguments.names and arguments.runs >= FEWEST_RUNS:
        write(results)
    else:
        console.print(f"not written down: that takes all benchmarks, and {FEWEST_RUNS} runs of each at least")
    return 0 if all(result.met is not False for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
