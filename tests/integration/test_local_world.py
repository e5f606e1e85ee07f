"""The local world without its Java parts: up, down, crashes and what is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from flownexus.credentials import SecretFolder
from local.openfaas.stack import read_stack
from local.options import Options, Ports, read_environment_file
from local.servers.postgres import SUPERUSER
from local.supervise.instance import leftovers, running
from local.supervise.logfile import LogFile
from local.world import World
from tests.fixtures.waiting import until

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PARTS = "postgres,nats,gateway,connector"


class Home:
    """A folder for a world, and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "local", *arguments],
            cwd=REPOSITORY,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def start_daemon(self, **environment: str) -> subprocess.Popen[str]:
        """Start the daemon as systemd does."""
        return subprocess.Popen(
            [sys.executable, "-m", "local.daemon"],
            cwd=REPOSITORY,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "FLOWNEXUS_HOME": str(self.folder),
            "FLOWNEXUS_PARTS": PARTS,
            "PORTS": "free",
            "LONG_POLL_TIMEOUT": "3s",
            **more,
        }

    def up(self, **environment: str) -> None:
        done = self.run("up", **environment)
        assert done.returncode == 0, done.stdout + done.stderr

    def part(self, name: str) -> dict[str, object]:
        parts: list[dict[str, object]] = json.loads((self.folder / "run" / "status.json").read_text())[
            "parts"
        ]
        return next(part for part in parts if part["name"] == name)

    def processes(self) -> set[int]:
        return set(leftovers(self.folder))

    def database(self) -> str:
        """Return the owner's URL of the database, which stands in no file that a shell reads."""
        place = urlsplit(read_environment_file(self.folder)["FLOWNEXUS_DATABASE_URL"])
        password = SecretFolder(self.folder / "passwords").read("postgres")
        return place._replace(
            netloc=f"{SUPERUSER}:{quote(password, safe='')}@{place.hostname}:{place.port}"
        ).geturl()


READ = """
import os, psycopg, sys
with psycopg.connect(os.environ["FLOWNEXUS_DATABASE_URL"]) as connection:
    print(*connection.execute(sys.argv[1]).fetchone())
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "a home")
    yield home
    home.run("down")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Home]:
    other = Home(tmp_path / "other")
    yield other
    other.run("down")


def test_up_status_a_second_up_down_and_up_again(home: Home) -> None:
    assert home.run("status").returncode == 1
    home.up()
    with psycopg.connect(home.database(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
    status = home.run("status")
    assert (status.returncode, status.stdout.count("running"), status.stdout.count("ready")) == (
        0, 4, len(read_stack(REPOSITORY / "stack.yml", {})),
    )  # fmt: skip
    again = home.run("up", DEVICES="5", LONG_POLL_TIMEOUT="4s")
    assert again.returncode == 0
    assert "already running" in again.stdout
    assert "ignored: DEVICES=5; the world runs with its default of DEVICES" in again.stdout
    assert "ignored: LONG_POLL_TIMEOUT=4s; the world runs with LONG_POLL_TIMEOUT=3s" in again.stdout
    assert "ignored: PORTS" not in again.stdout
    named = f"'FLOWNEXUS_HOME={home.folder}'"
    assert f"`make down {named}` stops it" in again.stdout
    assert re.search(
        f"make down {named}, then make up {named} .*LONG_POLL_TIMEOUT=4s.* DEVICES=5", again.stdout
    )
    assert home.run("down").returncode == 0
    assert home.processes() == set()
    assert home.run("down").stdout == "not running\n"
    home.up()
    with psycopg.connect(home.database()) as connection:
        assert connection.execute("SELECT x FROM kept").fetchone() == (1,)
    (home.folder / "my-key").write_text("not made by up")
    cleaned = home.run("clean")
    assert "postgres" in cleaned.stdout
    assert f"kept in {home.folder}, not created by `make up`: my-key" in cleaned.stdout
    assert home.processes() == set()
    assert [path.name for path in home.folder.iterdir()] == ["my-key"]
    (home.folder / "my-key").unlink()
    assert "kept" not in home.run("clean").stdout


def test_only_what_runs_is_shown_and_the_commands_work_as_printed(home: Home) -> None:
    up = home.run("up", FLOWNEXUS_PARTS="postgres,gateway,nats")
    table = up.stdout.partition("ready in")[2]
    assert "PostgreSQL" in table
    assert "Leshan's REST API" not in table
    assert "simulated" not in table
    [line] = [line for line in table.splitlines() if line.startswith(("  /", "  '"))]
    assert line == f"  '{home.folder}/flownexus' endpoints"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no device is known yet\n")
    [command] = re.findall("`(make logs .*)`", home.run("status").stdout)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["sh", "-c", command], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(home.folder) in done.stdout  # what the gateway says of its functions' folder


def test_a_misspelt_setting_stops_up_before_anything_starts(home: Home) -> None:
    done = home.run("up", FLOWNEXUS_GATWAY_PORT="1")
    assert done.returncode == 1
    assert "FLOWNEXUS_GATWAY_PORT: did you mean FLOWNEXUS_GATEWAY_PORT?" in done.stderr
    assert not home.folder.exists()


def test_what_up_leaves_can_be_read_by_its_owner_only_and_no_log_holds_a_secret(home: Home) -> None:
    home.up()
    assert home.folder.stat().st_mode & 0o077 == 0
    for folder in ("secrets", "passwords", "postgres", "logs"):
        assert (home.folder / folder).stat().st_mode & 0o077 == 0, folder
    secrets = [
        path.read_text().strip()
        for folder in ("secrets", "passwords")
        for path in (home.folder / folder).iterdir()
        if path.name != "basic-auth-user"
    ]
    assert len(secrets) > 10
    assert (home.folder / "env").stat().st_mode & 0o777 == 0o600
    logs = "".join(path.read_text() for path in (home.folder / "logs").rglob("*.log"))
    assert logs
    assert not [secret for secret in secrets if secret in logs]
    for pid in home.processes():
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        assert not [secret for secret in secrets if secret in line]


def test_a_killed_daemon_leaves_nothing_running_and_up_works_again(home: Home) -> None:
    home.up()
    pid = running(home.folder)
    assert pid
    assert len(home.processes()) >= 10
    os.kill(pid, signal.SIGKILL)
    until(lambda: not home.processes())
    assert home.run("status").returncode == 1
    home.up()


def test_a_part_that_crashes_is_started_again_and_status_tells(home: Home) -> None:
    home.up()
    for name in ("nats", "postgres", "gateway"):
        before = home.part(name)["pid"]
        assert isinstance(before, int)
        os.kill(before, signal.SIGKILL)
        until(lambda name=name: home.part(name)["crashes"] == 1)  # type: ignore[misc]
        until(lambda name=name: home.part(name)["state"] == "running")  # type: ignore[misc]
        assert home.part(name)["last_exit"] == "signal SIGKILL"
    until(lambda: home.run("status").returncode == 0, 40)
    assert "signal SIGKILL" in home.run("status").stdout


def test_a_taken_port_is_named_with_its_holder_and_its_variable(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = home.run("up", FLOWNEXUS_NATS_PORT=str(port))
    assert done.returncode == 1
    assert re.search(rf"port {port} \(nats\) is taken by process {os.getpid()} ", done.stderr)
    assert "FLOWNEXUS_NATS_PORT" in done.stderr
    assert home.processes() == set()
    assert running(home.folder) is None


def test_a_function_that_cannot_start_is_named_with_the_end_of_its_log(home: Home) -> None:
    home.run("up", FLOWNEXUS_PARTS="postgres")  # makes the secrets
    home.run("down")
    (home.folder / "secrets" / "flownexus-api-token").write_text("\n")
    done = home.run("up")
    assert done.returncode == 1
    ended = re.search(r"function (operations|api) ended \(exit status 1\)", done.stderr)
    assert ended
    assert "flownexus-api-token" in done.stderr
    assert f"{ended[1]}-1.log" in done.stderr
    assert home.processes() == set()


def test_up_interrupted_stops_what_it_began(home: Home) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "local", "up"],
        cwd=REPOSITORY,
        env={**os.environ, "FLOWNEXUS_HOME": str(home.folder), "FLOWNEXUS_PARTS": PARTS, "PORTS": "free"},
        stdout=subprocess.DEVNULL,
        # Whoever runs the tests in the background has SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(home.processes)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert home.processes() == set()


def test_two_worlds_live_side_by_side_and_down_stops_only_its_own(home: Home, other: Home) -> None:
    home.up()
    other.up()
    theirs = other.processes()
    assert home.processes().isdisjoint(theirs)
    home.run("down")
    assert home.processes() == set()
    assert other.processes() == theirs
    assert other.run("status").returncode == 0


def test_a_database_and_a_nats_of_the_user_s_are_used_and_not_started(home: Home, other: Home) -> None:
    home.up(FLOWNEXUS_PARTS="postgres,nats")
    given = read_environment_file(home.folder)
    other.up(FLOWNEXUS_DATABASE_URL=home.database(), FLOWNEXUS_NATS_URL=given["FLOWNEXUS_NATS_URL"])
    assert other.run("status").stdout.count("running") == 2  # gateway and connector
    assert not (other.folder / "postgres").exists()
    other.run("down")
    with psycopg.connect(home.database()) as connection:
        assert connection.execute("SELECT to_regclass('endpoint_operation') IS NOT NULL").fetchone() == (
            True,
        )


def test_what_a_shell_sources_reads_the_database_and_has_no_password_of_it(home: Home) -> None:
    home.up(FLOWNEXUS_PARTS="postgres")
    sourced = read_environment_file(home.folder)
    passwords = SecretFolder(home.folder / "passwords")
    text = (home.folder / "env").read_text()
    assert not [name for name in passwords.names() if name != "nats" and passwords.read(name) in text]
    assert Path(sourced["PGPASSFILE"]).stat().st_mode & 0o777 == 0o600
    done = subprocess.run(
        [sys.executable, "-c", READ, "SELECT current_user, count(*) FROM telemetry"],
        env={**os.environ, **sourced},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["flownexus_reader", "0"]


def test_a_database_that_cannot_be_reached_is_said_so(home: Home) -> None:
    done = home.run("up", FLOWNEXUS_DATABASE_URL="postgresql://a:verysecret@127.0.0.1:1/x")
    assert done.returncode == 1
    assert "FLOWNEXUS_DATABASE_URL: the database cannot be reached" in done.stderr
    assert "verysecret" not in done.stderr


def test_a_nats_that_cannot_be_reached_or_does_not_let_us_in_is_said_so(home: Home, other: Home) -> None:
    home.up(FLOWNEXUS_PARTS="nats")
    ours = urlsplit(read_environment_file(home.folder)["FLOWNEXUS_NATS_URL"])
    for place in ("127.0.0.1:1", f"127.0.0.1:{ours.port}"):
        done = other.run(
            "up", FLOWNEXUS_PARTS="nats,gateway", FLOWNEXUS_NATS_URL=f"nats://a:verysecret@{place}"
        )
        assert done.returncode == 1
        assert "FLOWNEXUS_NATS_URL: the server cannot be used: " in done.stderr
        assert "verysecret" not in done.stderr


def test_whoever_has_sourced_a_world_s_env_file_still_gets_each_world_s_own_servers(
    home: Home, other: Home
) -> None:
    home.up(FLOWNEXUS_PARTS="postgres,nats")
    sourced = read_environment_file(home.folder)
    other.up(**sourced, FLOWNEXUS_PARTS="postgres,nats")
    assert other.run("status").stdout.count("running") == 2
    assert read_environment_file(other.folder)["FLOWNEXUS_DATABASE_URL"] != sourced["FLOWNEXUS_DATABASE_URL"]
    home.run("down")
    home.up(**sourced, FLOWNEXUS_PARTS="postgres,nats")
    assert home.run("status").stdout.count("running") == 2


def test_as_a_library_parts_can_be_stopped_and_started(tmp_path: Path) -> None:
    options = Options(
        home=tmp_path / "home",
        ports=Ports.any_free(),
        parts=frozenset(PARTS.split(",")),
        long_poll_timeout=3,
        durable=False,
    )
    with World(options) as world:
        (dispatch,) = world.replicas("dispatch-op")
        assert dispatch["ready"]
        world.scale("dispatch-op", 2)
        assert len(world.replicas("dispatch-op")) == 2
        world.stop_part("nats")
        assert world.parts["nats"].process.pid is None
        world.start_part("nats")
        world.restart_part("postgres")
        with psycopg.connect(world.database_url) as connection:
            assert connection.execute("SELECT count(*) FROM endpoint").fetchone() == (0,)
        function = world.gateway("GET", "/system/function/dispatch-op")
        assert function["envVars"]["exec_timeout"] == "4000ms"
    assert set(leftovers(options.home)) == set()


def test_systemd_is_told_how_the_world_gets_on(home: Home, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        daemon = home.start_daemon(NOTIFY_SOCKET=str(tmp_path / "notify"))
        told: list[str] = []
        while not told or "READY=1" not in told[-1]:
            told.append(systemd.recv(4096).decode())
        assert told[0] == "STATUS=starting postgres"
        assert told[-1] == "STATUS=ready\nREADY=1"
        assert home.run("status").returncode == 0
        daemon.terminate()
        journal = daemon.communicate(timeout=60)[0]
        assert daemon.returncode == 0
        assert journal.splitlines()[0] == "starting postgres"
        assert "stopping postgres" in journal
    assert home.processes() == set()


def test_a_start_under_systemd_that_fails_ends_with_the_reason(home: Home, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, socket.socket() as taken:
        systemd.bind(str(tmp_path / "notify"))
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        daemon = home.start_daemon(NOTIFY_SOCKET=str(tmp_path / "notify"), FLOWNEXUS_GATEWAY_PORT=str(port))
        journal = daemon.communicate(timeout=60)[0]
        assert daemon.returncode == 1
        assert journal.startswith(f"cannot start: port {port} (gateway) is taken")
        assert systemd.recv(4096).decode().startswith(f"STATUS=port {port} (gateway) is taken")


def test_the_logs_of_one_message_are_printed_and_an_id_that_no_line_has_is_named(home: Home) -> None:
    log = LogFile(home.folder / "logs" / "leshan.log")
    for id_ in ("operation-1", "operation-17"):
        line = {"level": "INFO", "logger": "x", "message": "asked", "correlation_id": id_}
        log.write(json.dumps(line).encode())
    log.close()
    done = home.run("logs", "--id", "operation-17")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert done.stdout.endswith("leshan INFO x: asked correlation_id=operation-17\n")
    done = home.run("logs", "--id", "17")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was logged about '17'; an operation's id is like operation-17" in done.stderr


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"DEVICES": "many"}, "DEVICES must be a number"),
        ({"FLOWNEXUS_GATWAY_PORT": "1"}, "FLOWNEXUS_GATEWAY_PORT?"),
    ],
    ids=["wrong", "misspelt"],
)
def test_a_wrong_setting_ends_the_daemon_with_the_status_of_one(
    home: Home, setting: dict[str, str], named: str
) -> None:
    with home.start_daemon(**setting) as daemon:
        journal = daemon.communicate(timeout=60)[0]
    assert daemon.returncode == os.EX_CONFIG
    assert named in journal
