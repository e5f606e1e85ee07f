"""Replicas that are forked: processes of their own, which share what was imported before."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.openfaas.forking import ForkedCommand, ForkServer, imports
from local.supervise.logfile import LogFile, read
from local.supervise.process import Backoff, Command, Process, ProcessError
from tests.fixtures.waiting import until

SHARED = 40_000_000  # bytes that the library of these tests holds
INDEX = """
import os, time
def main():
    from flownexus.thing import NAME
    own = os.getpid() == os.getsid(0)
    print(NAME, os.environ.get("greeting"), os.getcwd(), own, flush=True)
    if "status" in os.environ:
        raise SystemExit(int(os.environ["status"]))
    time.sleep(60)
"""
THING = "NAME = {!r}\nMEMORY = b'.' * " + str(SHARED)


class Bench:
    """A library, a function that imports it, and the replicas that a test starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("template", "flownexus", "function"):
            (folder / name).mkdir()
        (folder / "template" / "index.py").write_text(INDEX)
        (folder / "flownexus" / "__init__.py").touch()
        (folder / "function" / "handler.py").write_text(
            "import os\nimport flownexus.missing\nfrom flownexus.thing import NAME\n"
        )
        self.write("first")
        command = Command([], {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}, folder)
        self.server = ForkServer(command, folder / "template" / "index.py", lambda: [folder / "function"])
        self.processes: list[Process] = []

    def write(self, name: str) -> None:
        """Change the library's source."""
        (self.folder / "flownexus" / "thing.py").write_text(THING.format(name))

    def start(self, **environment: str) -> Process:
        """Start a replica and wait until it has printed its line."""
        name = f"function-{len(self.processes) + 1}"
        process = Process(
            name,
            lambda: ForkedCommand([], environment, self.folder, name=name, server=self.server),
            LogFile(self.folder / f"{name}.log"),
            backoff=Backoff(0.01, 0.05),
        )
        self.processes.append(process)
        process.start()
        until(lambda: self.lines(process))
        return process

    def lines(self, process: Process) -> list[str]:
        """Return what a replica has printed."""
        return [entry.text for entry in read(process.log.path)] if process.log.path.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for process in bench.processes:
        process.stop()
    bench.server.close()


def parent(process: Process) -> int:
    return int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_replica_has_an_environment_a_folder_and_a_session_of_its_own(bench: Bench) -> None:
    process = bench.start(greeting="hello")
    assert bench.lines(process) == [f"first hello {bench.folder} True"]
    assert Path(f"/proc/{process.pid}/comm").read_text().strip() == "function-1"
    assert bench.lines(bench.start()) == [f"first None {bench.folder} True"]


def test_what_the_functions_import_is_in_memory_once(bench: Bench) -> None:
    process = bench.start()
    smaps = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    sizes = {name: int(kibibytes) * 1024 for name, kibibytes in re.findall(r"(\w+): +(\d+) kB", smaps)}
    assert sizes["Rss"] > SHARED
    assert sizes["Private_Dirty"] < SHARED / 4


def test_a_replica_that_is_killed_takes_none_along_and_is_started_again(bench: Bench) -> None:
    process, other = bench.start(), bench.start()
    killed, untouched = process.pid, other.pid
    process.kill()
    until(lambda: process.pid not in {None, killed})
    assert process.last_exit == "signal SIGKILL"
    assert (other.pid, other.exits) == (untouched, 0)


def test_its_exit_status_is_told(bench: Bench) -> None:
    process = bench.start(status="3")
    until(lambda: process.exits)
    assert process.last_exit == "exit status 3"


def test_where_the_fork_server_is_killed_replicas_end_and_are_forked_from_another(bench: Bench) -> None:
    process = bench.start()
    server, before = parent(process), process.pid
    os.kill(server, signal.SIGKILL)
    until(lambda: process.pid not in {None, before})
    assert parent(process) != server


def test_where_the_fork_server_cannot_start_the_replica_says_so_and_tries_again(bench: Bench) -> None:
    index = bench.folder / "template" / "index.py"
    index.write_text("import missing")
    process = Process(
        "broken",
        lambda: ForkedCommand([], {}, bench.folder, name="broken", server=bench.server),
        LogFile(bench.folder / "broken.log"),
        backoff=Backoff(0.01, 0.05),
    )
    bench.processes.append(process)
    process.start()
    until(lambda: process.exits > 1)
    assert process.last_exit.startswith("broken cannot be forked: ")
    index.write_text(INDEX)
    until(lambda: process.state == "running")


def test_where_there_is_no_room_for_one_more_process_the_others_live_on(bench: Bench) -> None:
    full = bench.folder / "full"
    (bench.folder / "flownexus" / "thing.py").write_text(
        f"{THING.format('narrow')}\n"
        "import os, pathlib\n"
        "fork = os.fork\n"
        "def narrow():\n"
        f"    if pathlib.Path({str(full)!r}).exists():\n"
        "        raise BlockingIOError('no room')\n"
        "    return fork()\n"
        "os.fork = narrow\n"
    )
    process, other = bench.start(), bench.start()
    before = other.pid
    full.touch()
    process.kill()
    until(lambda: "no room" in process.last_exit)
    full.unlink()
    until(lambda: process.state == "running")
    assert (other.pid, other.exits) == (before, 0)


def test_an_environment_that_is_too_large_is_refused_and_the_others_live_on(bench: Bench) -> None:
    other = bench.start()
    with pytest.raises(ProcessError, match=r"too large cannot be forked: .*too long"):
        bench.server.start("too large", {"value": "x" * 1_000_000}, bench.folder)
    assert other.exits == 0


def test_a_replica_that_starts_after_a_change_of_the_library_has_the_new_code(bench: Bench) -> None:
    old = bench.start()
    before = old.pid
    bench.write("second")
    assert bench.lines(bench.start())[0].startswith("second ")
    assert (old.pid, old.exits) == (before, 0)
    old.kill()
    until(lambda: bench.lines(old)[-1].startswith("second "))


def test_only_modules_of_the_library_are_imported_beforehand(bench: Bench) -> None:
    assert imports([bench.folder / "function"]) == ["flownexus.missing", "flownexus.thing"]
