"""Random kills under load: nothing is lost, nothing is done twice, all comes back by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.kills import VICTIMS
from chaos.random_kills import Settings, run

SETTINGS = Settings(
    seconds=70, devices=100, interval=1, operations=10, update=10, long_poll_timeout=3, firmware=10, seed=1
)


@pytest.mark.timeout(240)
def test_random_kills_loses_doubles_and_strands_nothing(tmp_path: Path) -> None:
    report = run(SETTINGS, tmp_path / "home", print)

    assert set(report.killed) == set(VICTIMS)
    found = {f.what: f"{len(f.found)}: {f.examples}" for f in report.findings if not f.clean}
    print(*found.items(), sep="\n")
    assert found == {}
