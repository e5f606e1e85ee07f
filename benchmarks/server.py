"""Measure one small server: from a clean Debian 12 to the first value, ten minutes of load, kills, a restore.

The server is a container with one core and 1 GB (benchmarks/machine.py), on which the commands of
docs/deploy-server.md are run. Devices are simulated on this machine, outside of the server's limits, and
reach it over CoAPS. What they were acknowledged is held against the rows. Then a million rows more are backed
up and restored into a second, empty server.

The exit status is 0 when each goal is met, else 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.machine import Machine, MachineError, Memory, bootstrap, check, copy, run, switched_on, until
from benchmarks.results import TITLES, Result, write_page
from chaos.evidence import read_lines
from chaos.finding import Finding
from chaos.uplink import Telemetry, Value
from local import REPOSITORY
from local.servers import java
from local.supervise.process import tethered

MEMORY_MB = 1024
DEVICES = 200
EVERY_S = 10
PREFIX = "srv-"
KEY = "000102030405060708090a0b0c0d0e0f"  # of simulated devices in a network of their own
OBSERVED = "/3303/0/5700"
SOURCE = "usr/local/src/flownexus"
SETTLED = 100.0
"""Seconds: what a device has not been acknowledged after CoAP's 93 it gives up."""
MILLION = 1_000_000
PACKAGES = "make python3 python3-venv openjdk-17-jdk-headless maven curl"

TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
  AND relpersistence = 'p'
"""
"""What is compared after a restore, row by row: all that outlives a crash."""

SQL = """
import json, sys, psycopg
from local.backup import database
from local.layout import DATABASE, Layout
from local.options import Options
with (
    database(Layout(Options.from_environment())) as cluster,
    psycopg.connect(cluster.dsn(DATABASE)) as connection,
):
    for statement in json.load(sys.stdin):
        cursor = connection.execute(statement)
    print(json.dumps(cursor.fetchall() if cursor.description else [], default=str))
"""

CHECKSUM = """SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM "{table}" t"""

VALUES = """
SELECT e.name, r.float_value FROM resource r
JOIN endpoint e ON e.id = r.endpoint_id JOIN resource_type t ON t.id = r.resource_type_id
WHERE t.object_id = 3303 AND t.resource_id = 5700 AND starts_with(e.name, 'srv-')
  AND NOT EXISTS (SELECT FROM event_resource x WHERE x.resource_id = r.id AND x.time = r.time)
"""

MANY_ROWS = """
INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, float_value)
SELECT date_trunc('month', now()) + n * interval '2 s', -n,
       (SELECT min(id) FROM endpoint) + n % 200, (SELECT min(id) FROM resource_type), 1, n / 7.0
FROM generate_series(1, {rows}) n
"""


@dataclass
class Run:
    """What was found so far."""

    console: Console
    results: list[Result] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Tell what is being done."""
        self.console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}")

    def add(self, name: str, unit: str, value: float, goal: float | None = None) -> None:
        """Note a figure, that is to be its goal at most."""
        self.results.append(Result(name, unit, [value], goal))
        self.say(f"{name}: {value:,.1f} {unit}" + (f" (goal: {goal:,.0f})" if goal is not None else ""))

    @property
    def good(self) -> bool:
        """Say whether all goals are met and nothing was found."""
        return all(each.met is not False for each in self.results) and all(f.clean for f in self.findings)


def ask(machine: Machine, *statements: str) -> list[list[Any]]:
    """Run statements on the server's database, whether it runs or not; return the rows of the last one."""
    rows: list[list[Any]] = json.loads(
        machine.run(
            "cd /opt/flownexus; export FLOWNEXUS_HOME=/var/lib/flownexus\n"
            "exec setpriv --reuid=flownexus --regid=flownexus --clear-groups"
            f" venv/bin/python -c {shlex.quote(SQL)} <<'END'\n{json.dumps(statements)}\nEND\n"
        )
    )
    return rows


def checkout(root: Path) -> None:
    """Copy the repository, as it is committed, to a server."""
    target = root / SOURCE
    target.mkdir(parents=True)
    archive = subprocess.Popen(["git", "-C", str(REPOSITORY), "archive", "HEAD"], stdout=subprocess.PIPE)
    unpacked = subprocess.run(["tar", "-x", "-C", str(target)], stdin=archive.stdout, check=False, timeout=60)
    if archive.wait(60) or unpacked.returncode:
        raise MachineError("the repository could not be copied")


def install(machine: Machine) -> float:
    """Run the document's commands; return the seconds that they took."""
    began = time.monotonic()
    machine.run(
        "export DEBIAN_FRONTEND=noninteractive MAVEN_OPTS=-Xmx256m\n"
        f"apt-get update -q && apt-get install -y -q --no-install-recommends {PACKAGES}\n"
        # The container sees all of this machine's memory, not what it may use.
        f"cd /{SOURCE} && make install PYTHON=/usr/bin/python3 ARGS='--memory {MEMORY_MB}'\n"
        "flownexus status",
        timeout=1200,
    )
    return time.monotonic() - began


def add_devices(machine: Machine, names: list[str]) -> None:
    """Give devices their key at Leshan."""
    entries = "\n".join(
        json.dumps(
            {
                "endpoint": name,
                "tls": {"mode": "psk", "details": {"identity": name, "key": KEY}},
            }
        )
        for name in names
    )
    machine.run(
        "cd /var/lib/flownexus; token=$(head -n 1 secrets/flownexus-leshan-token)\n"
        "while read -r entry; do\n"
        "  curl -sS --fail -X PUT http://127.0.0.1:8090/api/security/clients"
        ' -H "Authorization: Bearer $token" --json "$entry"\n'
        f"done <<'END'\n{entries}\nEND\n"
    )


class Devices:
    """Simulated devices outside of the server, on its network."""

    def __init__(self, machine: Machine, folder: Path, group: str) -> None:
        self.folder = folder
        self._machine = machine
        self._group = group
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Devices:
        self.folder.mkdir()
        key = self.folder / "key"
        key.touch(mode=0o600)
        key.write_text(KEY)
        with (self.folder / "log").open("wb") as log:
            command = self._machine.beside(
                *(java.java(), "-Xmx512m", "-XX:+UseSerialGC", "-jar", str(java.SIMULATOR_JAR)),
                *("--server", "coaps://127.0.0.1:5684", "--psk-key-file", str(key), "--group", self._group),
                *("--ledger", str(self.folder / "ledger"), "--control-port", "0"),
                *("--unacknowledged", str(self.folder / "unacknowledged")),
                *("--ready-file", str(self.folder / "ready")),
            )
            self._process = subprocess.Popen(tethered(command, signal.SIGKILL), stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def rest(self) -> None:
        """Stop notifying, and wait until what was sent is acknowledged or given up."""
        port = json.loads((self.folder / "ready").read_text())["control"]
        url = f"http://127.0.0.1:{port}/notify?every=0"
        run(self._machine.beside("curl", "-sS", "--fail", "--max-time", "10", "-X", "POST", url))
        size, since = -1, time.monotonic()
        while time.monotonic() - since < 5:
            if size != (now := (self.folder / "ledger").stat().st_size):
                size, since = now, time.monotonic()
            time.sleep(0.5)

    def telemetry(self) -> Telemetry:
        """Set what devices were told beside the rows."""

        def lines(name: str) -> list[Value]:
            return [
                Value.of(line["ep"], line["value"])
                for line in read_lines(self.folder / name)
                if line["path"] == OBSERVED
            ]

        acknowledged, unacknowledged = lines("ledger"), lines("unacknowledged")
        stored = [Value.of(name, value) for name, value in ask(self._machine, VALUES)]
        return Telemetry(acknowledged, unacknowledged, stored)


@contextlib.contextmanager
def watched(machine: Machine) -> Iterator[list[Memory]]:
    """Look at the server's memory every second; yields what was seen."""
    seen: list[Memory] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(1.0):
            seen.append(machine.memory())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def first_value(machine: Machine, folder: Path) -> float:
    """Let one device come; return the seconds until its value is a row."""
    began = time.monotonic()
    add_devices(machine, ["first-0001"])
    with Devices(machine, folder, "prefix=first-,count=1,notify=2s"):
        until(
            lambda: "/3303/0/5700" in machine.run("flownexus values first-0001 || true"),
            120,
            "no value arrives",
            0.5,
        )
    return time.monotonic() - began


def loaded(machine: Machine, run_: Run, minutes: float) -> None:
    """Let the devices send for some minutes, while memory is watched."""
    before, began = machine.cpu_seconds(), time.monotonic()
    with watched(machine) as seen:
        time.sleep(minutes * 60)
    used = (machine.cpu_seconds() - before) / (time.monotonic() - began)
    run_.add("memory of all processes under load, the most", "MB", max(each.held for each in seen) / 1e6)
    run_.add("swap", "MB", max(each.swap for each in seen) / 1e6, 0)
    run_.add("processes ended for want of memory", "", seen[-1].killed, 0)
    run_.add("of the core, on average", "%", used * 100)


def life(machine: Machine) -> str:
    """Return the id of this life of the service, once it has told systemd that all is ready; else nothing."""
    with contextlib.suppress(MachineError):
        shown = machine.run(
            "systemctl show flownexus -p ActiveState -p InvocationID --value", timeout=30
        ).split()
        return shown[1] if shown[0] == "active" else ""
    return ""


def newest(machine: Machine) -> str:
    """Return when the newest value was stored."""
    return str(ask(machine, "SELECT max(stored_at) FROM resource")[0][0])


def killed(machine: Machine, run_: Run) -> None:
    """Kill all processes of the service, then the whole server; measure how long each takes to be back."""
    before = life(machine)
    began, cpu = time.monotonic(), machine.cpu_seconds()
    machine.run("systemctl kill --signal=KILL flownexus")
    until(lambda: life(machine) not in {"", before}, 120, "the service does not come back", 0.5)
    run_.add(
        "SIGKILL of every process of the service: all ready again after", "s", time.monotonic() - began, 30
    )
    run_.add("processor time until then", "s", machine.cpu_seconds() - cpu)
    machine.run("flownexus status")
    stored = newest(machine)
    until(lambda: newest(machine) != stored, 200, "no value comes after the kill", 1.0)
    run_.add(
        "SIGKILL of every process of the service: the first new value after", "s", time.monotonic() - began
    )
    time.sleep(60)
    began = time.monotonic()
    machine.kill()
    machine.switch_on()
    until(lambda: life(machine), 120, "the service does not start with the server", 0.5)
    run_.add("SIGKILL of the whole server: booted and ready again after", "s", time.monotonic() - began, 30)


def audit(devices: Devices, run_: Run, what: str, *, at_rest: bool) -> None:
    """Hold what devices were told against the rows; while they send, rows may come before their files."""
    found = devices.telemetry().findings(what)[: 3 if at_rest else 2]
    run_.findings += found
    for finding in found:
        run_.figures.append(f"{finding.what}: {len(finding.found)} of {finding.among:,}.")
        run_.say(run_.figures[-1] + finding.examples)


def checksums(machine: Machine) -> dict[str, list[Any]]:
    """Return how many rows each table has, and the sum of their hashes."""
    return {table: ask(machine, CHECKSUM.format(table=table))[0] for (table,) in ask(machine, TABLES)}


def restored(source: Machine, base: Path, folder: Path, run_: Run, rows: int) -> None:
    """Back a server with a million rows up, restore it into an empty one, and compare the two."""
    ask(source, MANY_ROWS.format(rows=rows), "SELECT 1")
    began = time.monotonic()
    source.run("flownexus backup /var/backups/flownexus/live", timeout=1200)
    run_.add(f"backup with {rows:,} rows more, while all runs", "s", time.monotonic() - began)
    source.run("systemctl stop flownexus")  # so that nothing changes between the backup and the comparison
    began = time.monotonic()
    source.run("flownexus backup /var/backups/flownexus/drill", timeout=1200)
    run_.add("the same, while nothing else runs", "s", time.monotonic() - began)
    size = sum(path.stat().st_size for path in (source.root / "var/backups/flownexus/drill").rglob("*"))
    run_.add("its size", "MB", size / 1e6)
    expected = checksums(source)
    source.switch_off()
    root = folder / "second"
    copy(base, root)
    checkout(root)
    with switched_on(Machine(root, memory_bytes=MEMORY_MB * 2**20)) as empty:
        install(empty)
        target = root / "var/backups/flownexus/drill"
        shutil.copytree(source.root / "var/backups/flownexus/drill", target)
        began = time.monotonic()
        empty.run(
            "systemctl stop flownexus; chown -R flownexus: /var/backups/flownexus/drill\n"
            "flownexus restore /var/backups/flownexus/drill",
            timeout=1200,
        )
        run_.add("restore into an empty server", "s", time.monotonic() - began)
        found = checksums(empty)
        empty.run("systemctl start flownexus; flownexus status; flownexus endpoints")
        differing = [table for table in {*expected, *found} if found.get(table) != expected.get(table)]
        count = sum(int(each[0]) for each in expected.values())
        run_.findings.append(Finding("tables that differ after the restore", len(expected), differing))
        run_.figures.append(
            f"tables that differ after the restore: {len(differing)} of {len(expected)}, with {count:,} rows."
        )
        run_.say(run_.figures[-1] + " ".join(differing))


def measure(folder: Path, base: Path, run_: Run, minutes: float, rows: int) -> None:
    """Do all of it, in order."""
    if not base.exists():
        run_.say("making a clean Debian 12")
        scratch = base.with_name(base.name + ".new")
        shutil.rmtree(scratch, ignore_errors=True)
        bootstrap(scratch)
        scratch.rename(base)
    root = folder / "first"
    copy(base, root)
    checkout(root)
    with switched_on(Machine(root, memory_bytes=MEMORY_MB * 2**20)) as machine:
        run_.say("installing")
        installed = install(machine)
        run_.add("packages, build, installation and first start", "s", installed)
        run_.add(
            "from an empty Debian 12 to the first value",
            "s",
            installed + first_value(machine, folder / "one"),
            300,
        )
        time.sleep(30)
        run_.add("memory of all processes at rest", "MB", machine.memory().held / 1e6)
        add_devices(machine, [f"{PREFIX}{number:04}" for number in range(1, DEVICES + 1)])
        group = f"prefix={PREFIX},count={DEVICES},notify={EVERY_S}s,lifetime=300,update=30s"
        with Devices(machine, folder / "load", group) as devices:
            known = f"SELECT count(*) FROM endpoint WHERE registered AND starts_with(name, '{PREFIX}')"
            until(lambda: ask(machine, known) == [[DEVICES]], 120, "not all devices register", 1.0)
            run_.say(f"{DEVICES} devices send a value every {EVERY_S} s for {minutes:g} minutes")
            loaded(machine, run_, minutes)
            audit(devices, run_, f"values in {minutes:g} minutes", at_rest=False)
            killed(machine, run_)
            time.sleep(SETTLED)
            devices.rest()
            time.sleep(5)
            audit(devices, run_, "values through the kills as well", at_rest=True)
        restored(machine, base, folder, run_, rows)


def main() -> int:
    """Measure, and write benchmarks/SERVER.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load (default: 10)")
    parser.add_argument("--rows", type=int, default=MILLION, help="to restore (default: a million)")
    given = parser.parse_args()
    run_ = Run(Console(highlight=False))
    try:
        check()
        java.build(REPOSITORY / ".flownexus" / "maven.log", run_.say)
        base = REPOSITORY / ".flownexus" / "debian-12"
        with tempfile.TemporaryDirectory(dir=base.parent, prefix="server-") as scratch:
            measure(Path(scratch), base, run_, given.minutes, given.rows)
    except (MachineError, java.JavaError) as error:
        run_.console.print(f"[red]error:[/] {error}")
        return 1
    if given.minutes >= 10 and given.rows >= MILLION:
        write_page(
            "SERVER.md", "make test-server", run_.figures, [TITLES, *(r.cells() for r in run_.results)]
        )
    return 0 if run_.good else 1


if __name__ == "__main__":
    raise SystemExit(main())
