"""Install Flow Nexus on this server as a service of systemd, upgrade it, or remove it.

It runs on Python and uv alone: uv fetches the packages of the service.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from local import REPOSITORY
from local.servers import java

HERE = Path(__file__).resolve().parent
PROGRAM = (
    *("LICENSE", "NOTICE", "pyproject.toml", "uv.lock", "stack.yml"),
    *(
        "cli",
        "connector",
        "deploy/server",
        "docs",
        "downloads",
        "flownexus",
        "functions",
        "local",
        "sql",
        "template",
    ),
    *("leshan/pom.xml", "leshan/server/pom.xml", "leshan/simulator/pom.xml"),
    *(str(jar.relative_to(REPOSITORY)) for jar in (java.SERVER_JAR, java.SIMULATOR_JAR)),
)
"""What of the repository the service needs, and the documents."""

USER = "flownexus"
SERVICE = "flownexus.service"
OPT = Path("/opt/flownexus")
NEW = Path("/opt/flownexus.new")
PREVIOUS = Path("/opt/flownexus.previous")
STATE = Path("/var/lib/flownexus")
BACKUPS = Path("/var/backups/flownexus")
SETTINGS = Path("/etc/flownexus/flownexus.env")
UNIT = Path("/etc/systemd/system") / SERVICE
COMMAND = Path("/usr/local/bin/flownexus")
SYSTEMD_RUNS = Path("/run/systemd/system")  # sd_booted(3)
CLOSED = ("/home", "/root", "/run/user")
"""What ProtectHome= hides from the service."""

FETCH_TIMEOUT = 1800.0  # seconds
START_TIMEOUT = 3600.0  # a migration of a large database takes its time


class InstallError(RuntimeError):
    """It cannot be installed here, or a step of it failed."""


@dataclass(frozen=True)
class Step:
    """One thing to do: as it is told, and how it is done."""

    says: str
    do: Callable[[], object]


def install(memory_mb: int, python: Path) -> Iterator[Step]:
    """Yield the steps of an installation or an upgrade, from a checkout to a service that runs."""
    if any(python.is_relative_to(folder) for folder in CLOSED):
        raise InstallError(
            f"the service cannot see {python}: remove {REPOSITORY / '.flownexus' / 'uv'}, "
            "then make install PYTHON=/usr/bin/python3"
        )
    upgrade = OPT.exists()
    if not _user_exists():
        yield _run(
            *("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"),
            *("--home-dir", str(STATE), USER),
        )
    yield Step("build Leshan unless it is built", _build)
    yield Step(f"copy the program to {NEW}", _copy_program)
    uv = (sys.executable, "-m", "uv")
    yield _run(*uv, "venv", "-q", "--relocatable", "--python", str(python), str(NEW / "venv"))
    yield _run(
        *(*uv, "sync", "-q", "--locked", "--compile-bytecode", "--no-default-groups"),
        *("--group", "connector", "--group", "local", "--project", str(NEW)),
        UV_PROJECT_ENVIRONMENT=str(NEW / "venv"),
        UV_PYTHON_DOWNLOADS="never",
    )
    # The service cannot write there: else it would compile all of it at each start.
    yield _run(str(NEW / "venv" / "bin" / "python"), "-m", "compileall", "-q", "-x", "/venv/", str(NEW))
    if not SETTINGS.exists():
        text = (HERE / "flownexus.env").read_text(encoding="utf-8") + sizes(memory_mb)
        yield _write(SETTINGS, text, 0o644)
    yield _write(UNIT, (HERE / SERVICE).read_text(encoding="utf-8"), 0o644)
    yield _write(COMMAND, (HERE / "flownexus.sh").read_text(encoding="utf-8"), 0o755)
    yield Step(f"make {BACKUPS}, which {USER} alone can read", _make_backups_folder)
    if SYSTEMD_RUNS.exists() and upgrade:
        yield _run("systemctl", "stop", SERVICE, timeout=START_TIMEOUT)
    yield Step(f"move {NEW} to {OPT}, and what is there to {PREVIOUS}", _swap)
    yield _run("systemctl", "enable", "-q", SERVICE)
    if SYSTEMD_RUNS.exists():
        yield _run("systemctl", "daemon-reload")
        yield _run("systemctl", "start", SERVICE, timeout=START_TIMEOUT)


def uninstall(*, purge: bool) -> Iterator[Step]:
    """Yield the steps of a removal; what was stored is kept unless `purge`, and backups always."""
    if UNIT.exists():
        yield _run("systemctl", "disable", "-q", *(["--now"] if SYSTEMD_RUNS.exists() else []), SERVICE)
    for path in (UNIT, COMMAND, OPT, PREVIOUS, NEW, *((SETTINGS.parent, STATE) if purge else ())):
        if path.exists():
            yield Step(f"remove {path}", partial(_remove, path))
    if SYSTEMD_RUNS.exists():
        yield _run("systemctl", "daemon-reload")
    if purge and _user_exists():
        yield _run("userdel", USER)


def sizes(memory_mb: int) -> str:
    """Return the settings that follow from the server's memory."""
    heap = min(max(memory_mb // 6, 96), 512)
    buffers = min(max(memory_mb // 16, 32), 1024)
    return (
        f"\n# What of the memory ({memory_mb} MB when this was installed) Leshan's heap and PostgreSQL's\n"
        f"# cache may take.\nLESHAN_HEAP_MB={heap}\nSHARED_BUFFERS_MB={buffers}\n"
    )


def memory_mb() -> int:
    """Return the memory of this server."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def _user_exists() -> bool:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


def _run(*command: str, timeout: float = FETCH_TIMEOUT, **environment: str) -> Step:
    def do() -> None:
        try:
            subprocess.run(command, check=True, timeout=timeout, env={**os.environ, **environment})
        except (OSError, subprocess.SubprocessError) as error:
            hint = f"; see: journalctl -u {SERVICE} -n 30" if command[0] == "systemctl" else ""
            raise InstallError(f"{error}{hint}") from error

    return Step(" ".join(command), do)


def _write(path: Path, text: str, mode: int) -> Step:
    def do() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(path.name + ".new")
        scratch.write_text(text, encoding="utf-8")
        scratch.chmod(mode)
        scratch.replace(path)

    return Step(f"write {path}", do)


def _build() -> None:
    try:
        java.build(REPOSITORY / ".flownexus" / "maven.log", lambda text: _say(f"  {text}"))
    except java.JavaError as error:
        raise InstallError(str(error)) from error


def _copy_program() -> None:
    _remove(NEW)
    for name in PROGRAM:
        source, target = REPOSITORY / name, NEW / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    _open_to_readers(NEW)


def _open_to_readers(folder: Path) -> None:
    """Let everybody read what a careful umask has closed; nothing of it is secret."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o644))


def _make_backups_folder() -> None:
    BACKUPS.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.chown(BACKUPS, USER, USER)


def _swap() -> None:
    _remove(PREVIOUS)
    if OPT.exists():
        OPT.rename(PREVIOUS)
    NEW.rename(OPT)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _steps(given: argparse.Namespace) -> Iterator[Step]:
    if os.geteuid() != 0 and not given.dry_run:
        raise InstallError(f"only root can {given.command}: sudo make {given.command}")
    if given.command == "install":
        return install(given.memory, Path(sys.executable).resolve())
    return uninstall(purge=given.purge)


def main() -> int:
    """Parse the command line and do what it asks."""
    parser = argparse.ArgumentParser(prog="flownexus", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    installing = commands.add_parser("install", help="install it, or upgrade what is installed")
    installing.add_argument(
        "--memory", type=int, metavar="MB", default=memory_mb(), help="what the server has, if not all of it"
    )
    removing = commands.add_parser("uninstall", help="remove the service and the program")
    removing.add_argument("--purge", action="store_true", help="also what was stored, settings and secrets")
    for each in (installing, removing):
        each.add_argument("--dry-run", action="store_true", help="tell what would be done, and do nothing")
    given = parser.parse_args()
    try:
        for step in _steps(given):
            _say(step.says)
            if not given.dry_run:
                step.do()
    except InstallError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if given.command == "install" and not given.dry_run:
        _say("installed: flownexus status" if SYSTEMD_RUNS.exists() else "installed; it starts with systemd")
    return 0


if __name__ == "__main__":
    sys.exit(main())
