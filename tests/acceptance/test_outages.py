"""PostgreSQL away for longer than anybody waits, and a disk without room: devices wait, nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chaos import __main__ as chaos
from chaos import outage
from local import REPOSITORY

OUTAGE = outage.Settings(seconds=12, devices=50, rate=250, saturated=1)
FULL_DISK = ("--seconds", "5", "--megabytes", "8", "--rate", "1000")


@pytest.mark.timeout(180)
def test_the_spool_grows_as_calculated_while_postgresql_is_away_and_drains_in_order(tmp_path: Path) -> None:
    report = outage.run(OUTAGE, tmp_path / "home", print)

    assert {f.what: f"{len(f.found)}: {f.examples}" for f in report.findings if not f.clean} == {}


@pytest.mark.timeout(300)
def test_devices_are_refused_while_the_spool_has_no_disk_and_are_heard_again_after(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chaos", "full-disk", *FULL_DISK, "--home", str(tmp_path / "home")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    if done.returncode == chaos.REFUSED:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
