"""Load a world, kill its parts at random, audit what is left; exit status 1 when anything is found."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chaos.run import Report, Settings, run


def main() -> int:
    """Return 0 when the audit finds nothing, else 1."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    defaults = Settings()
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="of kills (default: 600)")
    parser.add_argument("--devices", type=int, default=defaults.devices, help="simulated (default: 1000)")
    parser.add_argument(
        "--interval",
        type=float,
        default=defaults.interval,
        help="seconds between two notifications of a device (default: 5: a thousand send 200 a second, "
        "which two cores can do while things start again)",
    )
    parser.add_argument(
        "--operations", type=float, default=defaults.operations, help="queued a second (default: 50)"
    )
    parser.add_argument(
        "--update",
        type=float,
        default=defaults.update,
        help="seconds between two registration updates of a device (default: 30)",
    )
    parser.add_argument(
        "--long-poll-timeout",
        type=float,
        default=defaults.long_poll_timeout,
        help="seconds; the lease and all else follows from it (default: 30)",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="what is killed when (default: 1)")
    parser.add_argument(
        "--home", type=Path, help="an empty folder for the world, kept (default: none is kept)"
    )
    arguments = vars(parser.parse_args())
    if arguments["devices"] < 2 or min(arguments[name] for name in ("interval", "operations", "update")) <= 0:
        parser.error("two devices or more, and no rate of zero")
    settings = Settings(**{field.name: arguments[field.name] for field in fields(Settings)})
    console = Console(highlight=False)
    console.print(f"seed {settings.seed}: the same one kills the same in the same order")
    with tempfile.TemporaryDirectory(prefix="flownexus-chaos-") as folder:
        home = arguments["home"] or Path(folder) / "home"
        report = run(settings, home, lambda text: console.print(text, style="dim"))
    _print(report, console)
    return 0 if report.clean else 1


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
