"""Do something to a loaded world and audit what is left; exit status 1 when anything is found."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chaos import full_disk, outage, random_kills, upgrade
from chaos.revision import RevisionError
from chaos.trial import Report, Say


@dataclass(frozen=True)
class Trial:
    """What can be done to a world, and how it is told."""

    what: str
    settings: type[Any]
    run: Callable[[Any, Path, Say], Report]
    enter: Callable[[], None] = lambda: None
    """Goes, in a process of its own, to where it can be made; raises PermissionError where it cannot."""


TRIALS: Mapping[str, Trial] = {
    "kills": Trial("kill its parts at random", random_kills.Settings, random_kills.run),
    "outage": Trial("take PostgreSQL away", outage.Settings, outage.run),
    "full-disk": Trial("fill the disk of Leshan's spool", full_disk.Settings, full_disk.run, full_disk.enter),
    "upgrade": Trial("upgrade from an earlier version", upgrade.Settings, upgrade.run),
}
REFUSED = 2
"""The exit status when the trial cannot be made here."""


def main() -> int:
    """Return 0 when the audit finds nothing, 1 when it does, 2 when the trial cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    trials = parser.add_subparsers(dest="trial", required=True)
    for name, trial in TRIALS.items():
        options = trials.add_parser(name, help=trial.what, description=f"{trial.what}; times are in seconds")
        for each in fields(trial.settings):
            said = f"{each.metadata['help']} (default: {each.default})"
            options.add_argument(
                _flag(each.name), dest=each.name, type=type(each.default), default=each.default, help=said
            )
        options.add_argument("--home", type=Path, help="an empty folder for the world, kept (default: none)")
    arguments = vars(parser.parse_args())
    trial, home = TRIALS[arguments.pop("trial")], arguments.pop("home")
    console = Console(highlight=False)
    numbers = {name: value for name, value in arguments.items() if not isinstance(value, str)}
    if any(value <= 0 for name, value in numbers.items() if name != "seed"):
        parser.error("nothing can be zero")
    try:
        settings = trial.settings(**arguments)
        trial.enter()
    except ValueError as error:
        parser.error(str(error))
    except PermissionError as error:
        return _refuse(error, console)
    console.print(" ".join(f"{_flag(name)} {value}" for name, value in arguments.items()), soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="flownexus-chaos-") as folder:
        try:
            report = trial.run(
                settings, home or Path(folder) / "home", lambda text: console.print(text, style="dim")
            )
        except RevisionError as error:
            return _refuse(error, console)
    _print(report, console)
    return 0 if report.clean else 1


def _refuse(error: Exception, console: Console) -> int:
    console.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
    return REFUSED


def _flag(name: str) -> str:
    return "--" + name.rstrip("_").replace("_", "-")


def _print(report: Report, console: Console) -> None:
    figures = Table("figure", "value")
    for name, value in report.figures.items():
        figures.add_row(name, value)
    for victim, times in sorted(report.killed.items()):
        figures.add_row(f"killed: {victim}", str(times))
    console.print(figures)
    findings = Table("must not be", "among", "found", "such as")
    for finding in report.findings:
        style = "green" if finding.clean else "bold red"
        among = f"{finding.among:,}" if finding.among else ""
        findings.add_row(finding.what, among, f"[{style}]{len(finding.found):,}[/]", finding.examples)
    console.print(findings)
    console.print("the audit is clean" if report.clean else "[bold red]the audit has found something[/]")


if __name__ == "__main__":
    raise SystemExit(main())
