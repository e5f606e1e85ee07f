"""README's commands, in a checkout that is a user's own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.mark.timeout(600)
def test_commands_work_in_a_folder_whose_name_has_a_space_and_install_only_for_up(tmp_path: Path) -> None:
    checkout = tmp_path / "a checkout"
    for name in _sources():
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target)
    assert _make(checkout, "down").stdout == "not running\n"
    assert _make(checkout, "clean").stdout == "nothing to remove: Flow Nexus has not run here yet\n"
    status = _make(checkout, "status")
    assert (status.returncode, status.stderr.splitlines()[0]) == (2, "nothing has run yet: make up")
    assert not (checkout / ".flownexus").exists()
    try:
        misspelt = _make(checkout, "up", "PORTS=free", "DEVICE=5")
        assert misspelt.returncode == 2
        assert "there is no setting DEVICE: did you mean DEVICES?" in misspelt.stderr
        assert not (checkout / ".flownexus" / "secrets").exists()
        up = _make(checkout, "up", "PORTS=free")
        assert up.returncode == 0, up.stdout + up.stderr
        tried = [line for line in up.stdout.splitlines() if line.startswith("  ") and "/flownexus" in line]
        assert len(tried) == 3
        assert "CONFIRMED" in [_shell(checkout, command) for command in tried][-1]
        sent = _shell(checkout, _printed(checkout, "Send a command")).splitlines()
        assert sum("CONFIRMED" in line for line in sent) == 2
        assert sent[-1].endswith("read sim-0003 /3/0/15  CONFIRMED  Europe/Berlin")
        updated = _shell(checkout, _printed(checkout, "Update firmware"))
        assert "CONFIRMED  100 %: the device reports version 2.0.1" in updated
        # By now each device has told values.
        seen = [line.split() for line in _shell(checkout, _printed(checkout, "See a value")).splitlines()]
        assert [words[0] for words in seen[:3]] == [f"sim-{number:04}" for number in (1, 2, 3)]
        assert [words[1] for words in seen[:2]] == ["registered", "registered"]
        assert seen[2][1] in ("awake", "asleep")
        assert "/3303/0/5700" in [words[0] for words in seen[3:]]
        status = _make(checkout, "status")
        assert status.returncode == 0, status.stdout + status.stderr
        assert "all is well" in status.stdout
        for goal in ("backup", "restore"):
            assert f"missing: make {goal} ARGS=/srv/backups/monday" in _make(checkout, goal).stderr
    finally:
        clean = _make(checkout, "clean")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert not (checkout / ".flownexus").exists()


def _sources() -> list[str]:
    """Return the files of the checkout that git knows or would take, and that are there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=True)
    names = listed.stdout.split("\0")
    return [name for name in names if name and (REPOSITORY / name).is_file()]


def _printed(checkout: Path, section: str) -> str:
    """Return the commands of a section of the README."""
    [text] = re.findall(rf"(?ms)^## {section}\n(.*?)(?=^## )", (checkout / "README.md").read_text())
    return "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```", text))


def _shell(checkout: Path, commands: str) -> str:
    """Run commands as a user does, and return what they print; each must succeed."""
    done = subprocess.run(
        ["sh", "-e", "-c", commands],
        cwd=checkout,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, commands + done.stdout + done.stderr
    return done.stdout


def _environment() -> dict[str, str]:
    # What `make test` exports is this checkout's.
    mine = ("FLOWNEXUS_", "MAKE", "MFLAGS", "DEVICES", "PORTS", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(mine)}


def _make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
