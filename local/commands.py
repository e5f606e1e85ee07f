"""The commands of the local world: up, status, logs, down, clean, backup, restore."""

from __future__ import annotations

import heapq
import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flownexus.credentials import SecretFolder
from local import REPOSITORY, simulated, summary, web
from local.backup import Manifest, back_up
from local.backup import restore as restore_backup
from local.layout import Layout
from local.options import (
    CLI_FILE,
    CONSOLE_LINK_FILE,
    DEFAULT_HOME,
    ENVIRONMENT_FILE,
    PASSWORD_FILE,
    SIMULATOR_READY_FILE,
    STATUS_FILE,
    Options,
    read_environment_file,
)
from local.servers.ports import LOOPBACK
from local.supervise.instance import end, leftovers, running
from local.supervise.logfile import Entry, Follower, read
from local.supervise.logline import is_about, readable

DOWN_TIMEOUT = 150.0
PART_URLS = {"postgres": "DATABASE_URL", "nats": "NATS_URL", "gateway": "GATEWAY", "leshan": "LESHAN_URL"}
STATE = ("run", "postgres", "nats", "leshan", "simulator", "functions", "logs", "passwords", "secrets")
TOOLS = ("venv", "uv", "uv-*.lock")
"""The Python environment, which the Makefile makes and removes."""

# Into a pipe as wide as it takes, so that nothing is cut off.
_WIDTH = None if sys.stdout.isatty() else 200
_console = Console(highlight=False, soft_wrap=True, width=_WIDTH)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(text: str) -> int:
    """Print what is wrong; return the exit status."""
    _errors.print(f"[red]error:[/] {escape(text)}")
    return 1


def up(options: Options) -> int:
    """Start the world in the background and return when all of it is ready."""
    pid = running(options.home)
    if pid is not None:
        if not _status(options.home).get("ready"):
            return fail(f"the world in {options.home} is already being started (process {pid})")
        stops = _make(options.home, "down")
        _console.print(escape(f"already running (process {pid}), with its old settings; `{stops}` stops it"))
        _say_ignored(options, _status(options.home).get("chosen", {}))
        _show(options.home)
        return 0
    _end_leftovers(options.home)
    options.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs = options.home / "logs"
    logs.mkdir(exist_ok=True, mode=0o700)
    (options.home / STATUS_FILE).unlink(missing_ok=True)
    began = time.monotonic()
    with (logs / "world.log").open("ab") as log:
        before = log.tell()
        daemon = subprocess.Popen(
            [sys.executable, "-m", "local.daemon"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=REPOSITORY,
            start_new_session=True,
            text=True,
        )
    try:
        error = _follow(daemon, began)
    except KeyboardInterrupt:
        _console.print("stopping")
        end([daemon.pid], DOWN_TIMEOUT)
        return 130
    if error is not None:
        daemon.wait(DOWN_TIMEOUT)
        return fail(error or _last_words(logs / "world.log", before))
    daemon.returncode = 0  # it lives on: we do not wait for it
    _console.print(f"ready in {time.monotonic() - began:.1f} s\n")
    _show(options.home)
    return 0


def _say_ignored(options: Options, started: Mapping[str, str]) -> None:
    """Name what is chosen now and not what the world was started with."""
    now = options.chosen
    other = {name: value for name, value in now.items() if started.get(name) != value}
    for name, value in other.items():
        runs = f"{name}={started[name]}" if name in started else f"its default of {name}"
        _console.print(f"[yellow]ignored:[/] {escape(f'{name}={value}; the world runs with {runs}')}")
    if other:
        # All of it once more: what is not given falls back to its default.
        up = _make(options.home, "up", **{**started, **now})
        _console.print(escape(f"to change that: {_make(options.home, 'down')}, then {up}"))


def _make(home: Path, target: str, **variables: str) -> str:
    """Return the command that makes a target of the world in `home`."""
    if home != DEFAULT_HOME:
        variables = {"FLOWNEXUS_HOME": str(home), **variables}
    return shlex.join(["make", target, *(f"{name}={value}" for name, value in variables.items())])


def _follow(daemon: subprocess.Popen[str], began: float) -> str | None:
    """Print how the daemon gets on; return None when all is ready, else what is wrong."""
    assert daemon.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
    with daemon.stdout as messages:
        for line in messages:
            message = json.loads(line)
            if message["kind"] == "ready":
                return None
            if message["kind"] == "error":
                return str(message["text"])
            _console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {escape(message['text'])}")
    return ""


def _last_words(log: Path, before: int) -> str:
    """Return an error message for a daemon that ended without a word, with its log from byte `before` on."""
    lines = log.read_bytes()[before:].decode(errors="replace").splitlines()[-8:]
    return "\n  ".join([f"the world ended during its start; the last lines of its log, {log}:", *lines])


def _show(home: Path) -> None:
    """Print where everything is that runs, and what to try."""
    values = read_environment_file(home)
    written = _status(home)
    parts, chosen = frozenset(written["chosen_parts"]), written["chosen"]
    user = SecretFolder(Path(values["FLOWNEXUS_SECRETS"])).read("basic-auth-user")
    table = _table("", "where", "secret")
    for row in summary.places(values, parts, user, chosen):
        table.add_row(*map(escape, row))
    _console.print(table)
    if link := _first_admin_link(home):
        _console.print(
            "\nthe console has no administrator yet; this link creates one (valid once, for 24 hours):"
        )
        _console.print(escape(f"  {link}"))
    if authority := values.get("FLOWNEXUS_CA_FILE"):
        _console.print(
            f"\nTLS: the certificate is signed by the CA {escape(authority)}; let your browser trust it"
        )
    _console.print(f"\nsecrets are files in {escape(values['FLOWNEXUS_SECRETS'])}")
    if summary.needs_a_device(parts):
        _console.print("\nno device is simulated; docs/first-device.md says how to connect your own")
    if "leshan" in parts and summary.needs_an_address(chosen):
        _console.print(escape(f"\n{summary.no_address(values)}"))
    refused = simulated.refused(home / SIMULATOR_READY_FILE) if "simulator" in parts else []
    program = shlex.quote(str(home / CLI_FILE))
    if refused:
        without = f"{_make(home, 'down')}, then {_make(home, 'up', DEVICES='0')}"
        _console.print(f"\n[yellow]warning:[/] {escape(summary.of_refused(refused, program, without))}")
    commands = summary.to_try(parts - {"simulator"} if refused else parts)
    if commands:
        _console.print("\ntry:")
        for words in commands:
            _console.print(escape(f"  {program} {words}"))
    _console.print(f"\nfor a shell: . {escape(shlex.quote(str(home / ENVIRONMENT_FILE)))}")


def _first_admin_link(home: Path) -> str:
    """Return the link that makes the console's first administrator, as long as it can be used."""
    try:
        link = (home / CONSOLE_LINK_FILE).read_text(encoding="utf-8").strip()
        # As a proxy asks that speaks TLS: others are sent to where the gateway does.
        proxied = {"X-Forwarded-Proto": "https"}
        path = urlsplit(link).path
        found, _ = web.request(_gateway_port(home), "GET", path, headers=proxied, timeout=5)
    except (OSError, ValueError):
        return ""
    return link if found == 200 else ""


def _gateway_port(home: Path) -> int:
    """Return where the gateway of a world speaks plain HTTP; raise ValueError where it never ran."""
    return int(read_environment_file(home).get("FLOWNEXUS_LOOPBACK_GATEWAY", "").rpartition(":")[2])


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=True)
    return table


def status(options: Options) -> int:
    """Show the state of each part; return 0 only if all is well."""
    pid = running(options.home)
    if pid is None:
        left = list(leftovers(options.home))
        ends = f"; left behind: {left}, `{_make(options.home, 'down')}` ends them" if left else ""
        _console.print(escape(f"not running{ends}"))
        return 1
    written = _status(options.home)
    table = _table("part", "state", "pid", "since", "crashes", "last end")
    well = bool(written.get("ready"))
    unreachable = _unreachable(options.home)
    for part in written.get("parts", []):
        silent = part["state"] == "running" and part["name"] in unreachable
        since = time.strftime("%H:%M:%S", time.localtime(part["since"]))
        row = (
            part["name"],
            "no answer" if silent else part["state"],
            part["pid"],
            since,
            part["crashes"],
            part["last_exit"],
        )
        table.add_row(*(escape(str(cell if cell is not None else "-")) for cell in row))
        well = well and part["state"] == "running" and not silent
    for replica in _replicas(options.home):
        state = "ready" if replica["ready"] else "not ready"
        table.add_row(
            escape(f"  {replica['name']}"),
            state,
            str(replica["pid"] or "-"),
            "",
            str(replica["crashes"]),
            escape(replica["last_exit"]),
        )
        well = well and bool(replica["ready"])
    _console.print(table)
    # What is installed on a server has no Makefile.
    shows = _make(options.home, "logs") if (REPOSITORY / "Makefile").exists() else "flownexus logs"
    _console.print(escape(f"logs: {options.home / 'logs'}, or `{shows}`"))
    _console.print("all is well" if well else "starting, or a part has failed: see the logs")
    return 0 if well else 1


def _unreachable(home: Path) -> set[str]:
    """Return the parts that take no connection, of those that others connect to."""
    values = read_environment_file(home)
    urls = {part: urlsplit(values.get(f"FLOWNEXUS_{name}", "")) for part, name in PART_URLS.items()}
    silent = set()
    for part, url in urls.items():
        try:
            socket.create_connection((url.hostname or LOOPBACK, url.port or 0), timeout=2).close()
        except OSError:
            silent.add(part)
    return silent


def _replicas(home: Path) -> list[dict[str, Any]]:
    """Return the functions' processes, nothing if the gateway does not answer."""
    secrets = SecretFolder(home / "secrets")
    try:
        login = web.basic(secrets.read("basic-auth-user"), secrets.read("basic-auth-password"))
        code, text = web.request(_gateway_port(home), "GET", "/system/replicas", headers=login, timeout=5)
    except (OSError, ValueError):
        return []
    found: list[dict[str, Any]] = json.loads(text) if code == 200 else []
    return found


def logs(options: Options, name: str = "", *, tail: int = 200, follow: bool = False, about: str = "") -> int:
    """Print the logs of all parts and functions, or of those whose name begins with `name`.

    With `about`, a correlation id, only the lines about that message.
    """

    def wanted(entries: Iterable[Entry]) -> list[Entry]:
        return [entry for entry in entries if not about or is_about(entry.text, about)]

    paths = {
        path.stem: path
        for path in sorted((options.home / "logs").rglob("*.log"))
        if path.stem not in {"world", "maven"} and path.stem.startswith(name)
    }
    if not paths:
        return fail(
            f"there is no log of {name!r} in {options.home / 'logs'}" if name else "nothing has run yet"
        )
    followers = {stem: Follower(path) for stem, path in paths.items()}
    width = max(map(len, paths))
    lines = heapq.merge(
        *(
            [(e.time, stem, e) for e in wanted(read(path, None if about else tail))]
            for stem, path in paths.items()
        ),
        key=lambda x: x[:2],
    )
    found = list(lines)[-tail:]
    if about and not found and not follow:
        return fail(f"nothing was logged about {about!r}; an operation's id is like operation-17")
    for _, stem, entry in found:
        _print_line(stem, width, entry)
    try:
        while follow:
            time.sleep(0.25)
            for stem, follower in followers.items():
                for entry in wanted(follower.read()):
                    _print_line(stem, width, entry)
    except KeyboardInterrupt:
        pass
    return 0


def _print_line(stem: str, width: int, entry: Entry) -> None:
    clock = entry.time.astimezone().strftime("%H:%M:%S")
    sys.stdout.write(f"{clock} {stem:<{width}} {readable(entry.text)}\n")
    sys.stdout.flush()


def down(options: Options) -> int:
    """Stop all that the world of this home has started, and nothing else."""
    pid = running(options.home)
    if pid:
        _console.print(f"stopping (process {pid})")
        if not end([pid], DOWN_TIMEOUT):
            _console.print("it did not stop in time and was killed")
            end([pid], 10, signal.SIGKILL)
    ended = _end_leftovers(options.home)
    (options.home / STATUS_FILE).unlink(missing_ok=True)
    _console.print("stopped" if pid or ended else "not running")
    return 0


def _end_leftovers(home: Path) -> int:
    """End what a world that died has left behind; return how many processes that were."""
    left = list(leftovers(home))
    if left and not end(left, 10):
        end(list(leftovers(home)), 10, signal.SIGKILL)
    return len(left)


def clean(options: Options) -> int:
    """Stop the world and remove all its state: data, logs and secrets."""
    down(options)
    removed = []
    for name in STATE:
        folder = options.home / name
        if folder.exists():
            shutil.rmtree(folder)
            removed.append(name)
    for name in (ENVIRONMENT_FILE, CLI_FILE, PASSWORD_FILE, CONSOLE_LINK_FILE):
        file = options.home / name
        if file.exists():
            file.unlink()
            removed.append(name)
    _console.print(escape(f"removed from {options.home}: {', '.join(removed) or 'nothing'}"))
    kept = _others(options.home)
    if kept:
        _console.print(escape(f"kept in {options.home}, not created by `make up`: {', '.join(kept)}"))
    return 0


def _others(home: Path) -> list[str]:
    """Return what somebody else has put into a home whose state is removed."""
    found = sorted(path.name for path in home.iterdir()) if home.is_dir() else []
    return [name for name in found if not any(fnmatch(name, tool) for tool in TOOLS)]


def backup(options: Options, folder: Path) -> int:
    """Write a backup into a new folder: the database, the secrets, what Leshan knows."""
    began = time.monotonic()
    manifest = back_up(Layout(options), folder.absolute())
    size = sum((folder / name).stat().st_size for name in manifest.files)
    _console.print(
        escape(f"saved {options.home} to {folder}: {size / 1e6:,.1f} MB, {time.monotonic() - began:.1f} s")
    )
    _tell_of_packages(manifest)
    return 0


def restore(options: Options, folder: Path, *, replace: bool = False) -> int:
    """Restore a backup; the world is stopped, and knows no device unless told to replace what it has."""
    began = time.monotonic()
    manifest = restore_backup(Layout(options), folder.absolute(), replace=replace)
    took = time.monotonic() - began
    _console.print(escape(f"restored {options.home} as of {manifest.made_at} in {took:.1f} s; start it now"))
    _tell_of_packages(manifest)
    return 0


def _tell_of_packages(manifest: Manifest) -> None:
    """Say what is not in a backup."""
    if count := manifest.packages_elsewhere:
        _console.print(f"not in the backup: firmware packages in the object store ({count})")


def _status(home: Path) -> dict[str, Any]:
    """Return what the daemon has written down of its parts."""
    try:
        written: dict[str, Any] = json.loads((home / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return written
