"""Processes of the local world: logged, restarted, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.supervise.logfile import Follower, LogFile, read
from local.supervise.process import MAX_NICE, Backoff, Command, Process
from tests.fixtures.waiting import until

QUICK = Backoff(0.01, 0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "logs" / "part.log")


@pytest.fixture
def run(log: LogFile) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def run(source: str, *, stop_timeout: float = 10, nice: int = 0, **environment: str) -> Process:
        arguments = [sys.executable, "-u", "-c", textwrap.dedent(source)]
        process = Process(
            "part",
            lambda: Command(arguments, environment, nice=nice),
            log,
            backoff=QUICK,
            stop_timeout=stop_timeout,
        )
        started.append(process)
        process.start()
        return process

    yield run
    for process in started:
        process.stop()


Run = Callable[..., Process]


def texts(log: LogFile) -> list[str]:
    return [entry.text for entry in read(log.path)]


def test_one_that_is_to_stand_back_does_so_with_its_session(run: Run) -> None:
    process = run("import time; time.sleep(60)", nice=7)
    until(lambda: process.state == "running")
    assert process.pid is not None
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(own + 7, MAX_NICE)
    if (group := Path(f"/proc/{process.pid}/autogroup")).exists():
        assert group.read_text().split()[-2:] == ["nice", "7"]


def test_output_goes_to_a_log_that_only_its_owner_can_read(run: Run, log: LogFile) -> None:
    run("import sys, time; print('out'); print('err', file=sys.stderr); time.sleep(60)")
    until(lambda: texts(log) == ["out", "err"])
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_crashed_process_is_started_again_with_growing_delay(run: Run, log: LogFile) -> None:
    process = run("print('begin'); raise SystemExit(3)")
    until(lambda: process.exits >= 3)
    assert process.last_exit == "exit status 3"
    process.stop()
    assert process.state == "stopped"
    assert texts(log).count("begin") >= 3


def test_a_killed_process_gets_a_new_pid(run: Run) -> None:
    process = run("import time; time.sleep(60)")
    until(lambda: process.state == "running")
    first = process.pid
    process.kill()
    until(lambda: process.pid not in (first, None))
    assert process.last_exit == "signal SIGKILL"


def test_one_that_ignores_sigterm_is_killed(run: Run, log: LogFile) -> None:
    process = run(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(60)",
        stop_timeout=0.3,
    )
    until(lambda: "deaf" in texts(log))
    pid = process.pid
    process.stop()
    assert pid is not None
    assert not alive(pid)


def test_a_program_that_does_not_exist_is_said_so(log: LogFile) -> None:
    process = Process("part", lambda: Command(["/nowhere/to/be/found"]), log, backoff=QUICK)
    process.start()
    until(lambda: process.exits)
    process.stop()
    assert any("/nowhere/to/be/found" in text for text in texts(log))


def test_the_environment_of_the_user_s_shell_is_not_inherited(
    run: Run, log: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASSWORD", "geheim")
    run(
        "import os, time; print(os.environ.get('MY_PASSWORD'), os.environ['GIVEN']); time.sleep(9)", GIVEN="x"
    )
    until(lambda: texts(log) == ["None x"])


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from local.supervise.logfile import LogFile
        from local.supervise.process import Command, Process
        command = Command([sys.executable, "-c", "import time; time.sleep(60)"])
        p = Process("x", lambda: command, LogFile(Path("log")))
        p.start()
        while p.pid is None: time.sleep(0.01)
        time.sleep(0.5)
        print(p.pid, flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent)},
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert alive(child)
        process.send_signal(signal.SIGKILL)
    until(lambda: not alive(child))


def test_a_log_is_bounded_and_followed_across_its_rotation(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", max_bytes=2000)
    log.write(b"first")
    follower = Follower(log.path)
    seen: list[str] = []
    for number in range(200):
        log.write(f"line {number}".encode())
        seen += [entry.text for entry in follower.read()]
    log.close()
    assert seen == [f"line {number}" for number in range(200)]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 5000
    assert [entry.text for entry in read(log.path, tail=2)] == ["line 198", "line 199"]


def test_reading_since_a_moment_leaves_out_what_was_before(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log")
    log.write(b"old")
    time.sleep(0.01)
    log.write(b"new")
    log.close()
    latest = read(log.path)[-1].time
    assert [entry.text for entry in read(log.path, since=latest)] == ["new"]
