"""The installation on a server: its steps, its unit, its settings."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.server import install as installer
from deploy.server.install import InstallError, install, sizes, uninstall
from local import REPOSITORY
from local.openfaas.stack import read_stack
from local.options import Options

PYTHON = Path("/usr/bin/python3")
FOLDER = REPOSITORY / "deploy" / "server"
UNIT = FOLDER / "flownexus.service"


@pytest.fixture
def unit() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser["Service"]


@pytest.fixture
def nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let all places be below a folder in which nothing is, under systemd."""
    for name in ("OPT", "NEW", "PREVIOUS", "STATE", "BACKUPS", "SETTINGS", "UNIT", "COMMAND"):
        monkeypatch.setattr(installer, name, tmp_path / str(getattr(installer, name)).lstrip("/"))
    monkeypatch.setattr(installer, "SYSTEMD_RUNS", tmp_path)
    monkeypatch.setattr(installer, "_user_exists", lambda: False)
    return tmp_path


def test_an_installation_makes_the_user_first_and_starts_the_service_last(nothing_is_installed: Path) -> None:
    says = [step.says for step in install(1024, PYTHON)]
    assert says[0].startswith("useradd --system ")
    assert says[-1] == "systemctl start flownexus.service"
    assert "systemctl stop flownexus.service" not in says
    assert list(nothing_is_installed.iterdir()) == []  # what is not done does nothing


def test_an_upgrade_stops_the_service_for_the_exchange_alone_and_keeps_the_settings(
    nothing_is_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "_user_exists", lambda: True)
    installer.OPT.mkdir(parents=True)
    installer.SETTINGS.parent.mkdir(parents=True)
    installer.SETTINGS.touch()
    says = [step.says for step in install(1024, PYTHON)]
    stop = says.index("systemctl stop flownexus.service")
    assert says[stop + 1].startswith("move ")
    assert not [step for step in says if "useradd" in step or "flownexus.env" in step]


def test_without_systemd_nothing_is_started(
    nothing_is_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "SYSTEMD_RUNS", nothing_is_installed / "missing")
    says = [step.says for step in install(1024, PYTHON)]
    assert [step for step in says if "systemctl" in step] == ["systemctl enable -q flownexus.service"]


@pytest.mark.parametrize("python", ["/root/python/bin/python3.11", "/home/me/python/bin/python3"])
def test_a_python_that_the_service_cannot_see_is_refused(python: str) -> None:
    with pytest.raises(InstallError, match=f"cannot see {python}: .*PYTHON=/usr/bin/python3"):
        next(install(1024, Path(python)))


def test_a_removal_keeps_what_was_stored_unless_told(nothing_is_installed: Path) -> None:
    for path in (installer.OPT, installer.STATE, installer.SETTINGS.parent, installer.BACKUPS):
        path.mkdir(parents=True)
    for path in (installer.UNIT, installer.COMMAND):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    steps = list(uninstall(purge=False))
    assert steps[0].says == "systemctl disable -q --now flownexus.service"
    for step in steps[1:-1]:
        step.do()
    assert not installer.OPT.exists()
    assert not installer.UNIT.exists()
    assert installer.STATE.exists()
    for step in uninstall(purge=True):
        if step.says.startswith("remove "):
            step.do()
    assert not installer.STATE.exists()
    assert not installer.SETTINGS.parent.exists()
    assert installer.BACKUPS.exists()


def test_the_program_is_complete(nothing_is_installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is copied has all modules that the service and its commands import, and is open to readers."""
    without_jars = [name for name in installer.PROGRAM if not name.endswith(".jar")]
    assert len(installer.PROGRAM) - len(without_jars) == 2
    monkeypatch.setattr(installer, "PROGRAM", without_jars)
    umask = os.umask(0o077)
    try:
        installer._copy_program()
    finally:
        os.umask(umask)
    loose = [path for path in installer.NEW.rglob("*") if path.stat().st_mode & 0o044 != 0o044]
    assert not loose
    installer._swap()
    code = (
        "import local.daemon, local.openfaas.provider, cli.__main__, connector.__main__\n"
        "import deploy.server.install, downloads.__main__\n"
        "from local.openfaas.stack import read_stack; from local import REPOSITORY\n"
        "from flownexus.migrate import read_migrations\n"
        "print(len(read_stack(REPOSITORY / 'stack.yml', {})), len(read_migrations()) > 20, REPOSITORY)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=installer.OPT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    functions = len(read_stack(REPOSITORY / "stack.yml", {}))
    assert done.stdout == f"{functions} True {installer.OPT}\n", done.stderr


def test_an_exchange_keeps_the_program_before(nothing_is_installed: Path) -> None:
    for number in range(3):
        installer.NEW.mkdir(parents=True)
        (installer.NEW / str(number)).touch()
        installer._swap()
    assert [path.name for path in installer.OPT.iterdir()] == ["2"]
    assert [path.name for path in installer.PREVIOUS.iterdir()] == ["1"]


def test_a_step_that_fails_says_what_failed(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="'false'"):
        installer._run("false").do()
    with pytest.raises(InstallError, match="missing-program"):
        installer._run("missing-program").do()
    installer._write(tmp_path / "new" / "file", "text", 0o640).do()
    [file] = (tmp_path / "new").iterdir()
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("text", 0o640)


def test_only_root_can_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for command in ("install", "uninstall"):
        monkeypatch.setattr(sys, "argv", ["flownexus", command])
        assert installer.main() == 1
        assert capsys.readouterr().err == f"error: only root can {command}: sudo make {command}\n"


def test_a_dry_run_needs_no_root_and_does_nothing(
    nothing_is_installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(installer, "CLOSED", ())  # wherever these tests' Python is
    monkeypatch.setattr(sys, "argv", ["flownexus", "install", "--dry-run"])
    assert installer.main() == 0
    assert "systemctl start flownexus.service" in capsys.readouterr().out
    assert list(nothing_is_installed.iterdir()) == []


@pytest.mark.parametrize(
    ("memory_mb", "heap", "buffers"), [(256, 96, 32), (1024, 170, 64), (4096, 512, 256), (65536, 512, 1024)]
)
def test_a_server_s_memory_is_divided(memory_mb: int, heap: int, buffers: int) -> None:
    assert sizes(memory_mb).endswith(f"\nLESHAN_HEAP_MB={heap}\nSHARED_BUFFERS_MB={buffers}\n")


def test_the_settings_are_those_of_make_up() -> None:
    text = (FOLDER / "flownexus.env").read_text() + sizes(1024)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    options = Options.from_environment(dict(line.split("=", 1) for line in lines) | {"DEVICES": "0"})
    assert options.coap_host == "0.0.0.0"
    assert (options.leshan_heap_mb, options.shared_buffers_mb) == (170, 64)
    assert "simulator" not in options.parts
    assert 0 not in vars(options.ports).values()


def test_the_unit_runs_as_an_ordinary_user_with_no_capability(unit: configparser.SectionProxy) -> None:
    assert unit["User"] == installer.USER
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == ""
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictNamespaces"):
        assert unit[name] == "yes", name
    assert unit["ProtectSystem"] == "strict"
    assert unit["RestrictAddressFamilies"] == "AF_INET AF_INET6 AF_UNIX"
    assert "DEVICES=0" in unit["Environment"]


def test_the_unit_is_of_the_places_that_are_installed(unit: configparser.SectionProxy) -> None:
    assert unit["ExecStart"] == f"{installer.OPT}/venv/bin/python -m local.daemon"
    assert unit["EnvironmentFile"] == str(installer.SETTINGS)
    assert f"FLOWNEXUS_HOME={installer.STATE}" in unit["Environment"]
    assert unit["StateDirectory"] == installer.STATE.name
    command = (FOLDER / "flownexus.sh").read_text()
    assert f"program={installer.OPT}\nhome={installer.STATE}\n" in command
    assert subprocess.run(["sh", "-n", FOLDER / "flownexus.sh"], check=False).returncode == 0


@pytest.mark.parametrize(
    ("given", "used"),
    [({}, "/world/token"), ({"FLOWNEXUS_API_TOKEN_FILE": "/a token"}, "/a token")],
)
def test_the_command_line_of_a_server_takes_the_caller_s_token(
    tmp_path: Path, given: dict[str, str], used: str
) -> None:
    def write(path: str, text: str) -> Path:
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
        return file

    script = (FOLDER / "flownexus.sh").read_text()
    for place in (installer.OPT, installer.STATE, installer.SETTINGS):
        script = script.replace(str(place), f"{tmp_path}{place}")
    command = write("flownexus", script)
    write(str(installer.SETTINGS), "")
    write(f"{installer.STATE}/env", "export FLOWNEXUS_API_TOKEN_FILE=/world/token\n")
    write(f"{installer.OPT}/venv/bin/python", '#!/bin/sh\necho "$FLOWNEXUS_API_TOKEN_FILE" "${SECRET-} $*"\n')
    # Who calls is root; setpriv makes him the user flownexus, with nothing of his environment.
    write("bin/id", '#!/bin/sh\n[ "$1" = -u ] && echo 0 || echo "${USER-root}"\n')
    write(
        "bin/setpriv",
        '#!/bin/sh\nwhile [ "$1" != --reset-env ]; do shift; done; shift\n'
        'exec env -i PATH="$PATH" USER=flownexus "$@"\n',
    )
    done = subprocess.run(
        [command, "endpoints"],
        env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SECRET": "the caller's", **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{used}  -m cli endpoints\n", "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit_and_finds_it_confined(tmp_path: Path) -> None:
    copy = tmp_path / "flownexus.service"
    # Its program is not here.
    copy.write_text(UNIT.read_text().replace(f"{installer.OPT}/venv/bin/python -m local.daemon", "/bin/true"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", copy],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout
