"""What can be chosen about a local world, from the environment; and the errors for what makes no sense."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flownexus.credentials import SecretError, SecretFolder
from local import REPOSITORY
from local.layout import Layout, password_line
from local.options import (
    CLI_FILE,
    STACK_SETTINGS,
    OptionError,
    Options,
    Ports,
    read_environment_file,
)
from local.servers import java
from local.servers.ports import free_port, holder, is_free
from local.supervise.process import Backoff


def test_the_defaults_are_the_documented_ones() -> None:
    options = Options.from_environment({})
    assert options.ports == Ports(8080, 8090, 5683, 5684, 5433, 4222, 0, 8092, 8095, 8443, 5784)
    assert options.home.name == ".flownexus"
    assert (options.devices, options.long_poll_timeout) == (3, 30)


def test_ports_free_makes_all_free_but_the_one_that_is_named(tmp_path: Path) -> None:
    environment = {"PORTS": "free", "FLOWNEXUS_NATS_PORT": "4333", "FLOWNEXUS_HOME": str(tmp_path)}
    ports = Options.from_environment(environment).ports
    assert ports == Ports(0, 0, 0, 0, 0, 4333, 0, 0, 0, 0, 0)
    settled = ports.settled()
    assert settled.nats == 4333
    assert 0 not in vars(settled).values()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEVICES", "many"),
        ("DEVICES", "-1"),
        ("DEVICES", "10000"),
        ("FLOWNEXUS_NATS_PORT", "65536"),
        ("FLOWNEXUS_NATS_PORT", "٤"),
        ("PORTS", "taken"),
        ("FLOWNEXUS_PARTS", "nats,oracle"),
        ("LOG_LEVEL", "loud"),
        ("LONG_POLL_TIMEOUT", "0s"),
        ("LONG_POLL_TIMEOUT", "2h"),
        ("LONG_POLL_TIMEOUT", "soon"),
        ("AWAKE_TIME", "0s"),
        ("AWAKE_TIME", "25h"),
        ("RETENTION", "1h"),
        ("OPERATION_RETENTION", "1h"),
        ("MAX_QUEUED_OPERATIONS", "many"),
        ("MODELS", "/no/such/folder"),
        ("CONSOLE_URL", "http://192.0.2.10:8080"),
        ("TLS", "yes"),
        ("TLS_CERTIFICATE", "/no/such/file"),
        ("FLOWNEXUS_DATABASE_URL", "host=127.0.0.1"),
    ],
)
def test_what_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(OptionError, match=name):
        Options.from_environment({name: value})


def test_with_tls_all_that_people_and_programs_use_is_https_and_the_other_parts_stay_on_loopback(
    tmp_path: Path,
) -> None:
    plain = Layout(Options(home=tmp_path)).environment()
    assert (plain["FLOWNEXUS_URL"], plain["FLOWNEXUS_CONSOLE"]) == (
        "http://127.0.0.1:8080/function",
        "http://localhost:8080/function/console",
    )
    assert "FLOWNEXUS_CA_FILE" not in plain
    layout = Layout(Options.from_environment({"FLOWNEXUS_HOME": str(tmp_path), "TLS": "1"}))
    secured = layout.environment()
    assert secured["FLOWNEXUS_GATEWAY"] == "https://localhost:8443"
    assert secured["FLOWNEXUS_URL"] == "https://localhost:8443/function"
    assert secured["FLOWNEXUS_CONSOLE"] == "https://localhost:8443/function/console"
    assert secured["FLOWNEXUS_CA_FILE"] == str(tmp_path / "secrets" / "flownexus-ca-certificate")
    assert (layout.gateway_url, secured["FLOWNEXUS_LOOPBACK_GATEWAY"]) == ("http://127.0.0.1:8080",) * 2


def test_a_certificate_of_one_s_own_is_whole_and_for_tls(tmp_path: Path) -> None:
    files = {}
    for name in ("TLS_CERTIFICATE", "TLS_KEY", "TLS_CA"):
        files[name] = str(tmp_path / name)
        (tmp_path / name).touch()
    environment = {"TLS": "1", "FLOWNEXUS_HOME": str(tmp_path), **files}
    layout = Layout(Options.from_environment(environment))
    assert (str(layout.tls_certificate), str(layout.tls_key)) == (files["TLS_CERTIFICATE"], files["TLS_KEY"])
    assert layout.environment()["FLOWNEXUS_CA_FILE"] == files["TLS_CA"]
    del environment["TLS_CA"]
    trusted = Layout(Options.from_environment(environment)).environment()
    assert "FLOWNEXUS_CA_FILE" not in trusted, "what signed it is one that the system trusts"
    for missing in ("TLS", "TLS_KEY", "TLS_CERTIFICATE"):
        wrong = {name: value for name, value in environment.items() if name != missing}
        with pytest.raises(OptionError, match="needs TLS=1, TLS_CERTIFICATE and TLS_KEY"):
            Options.from_environment(wrong)
    with pytest.raises(OptionError, match="CONSOLE_URL must begin with https:"):
        Options.from_environment({"TLS": "1", "CONSOLE_URL": "http://localhost:8080"})


def test_the_gateway_s_certificate_is_made_once_and_anew_for_another_name(tmp_path: Path) -> None:
    def certificate(**more: str) -> str:
        layout = Layout(Options.from_environment({"FLOWNEXUS_HOME": str(tmp_path), "TLS": "1", **more}))
        layout.make_secrets()
        return layout.tls_certificate.read_text()

    first = certificate()
    assert certificate() == first
    assert certificate(CONSOLE_URL="https://nexus.example.com") != first


def test_a_folder_of_object_models_may_be_given(tmp_path: Path) -> None:
    assert Options.from_environment({"MODELS": ""}).models is None
    assert Options.from_environment({"MODELS": str(tmp_path)}).models == tmp_path.resolve()


@pytest.mark.parametrize(("devices", "groups"), [(0, 0), (1, 1), (2, 1), (3, 2), (1000, 2)])
def test_from_three_devices_on_the_last_one_sleeps(tmp_path: Path, devices: int, groups: int) -> None:
    options = Options(home=tmp_path, devices=devices)
    assert len(options.device_groups()) == groups
    assert options.device_count() == devices
    assert any("sleepy" in group for group in options.device_groups()) == (devices >= 3)
    if devices >= 3:
        assert f"start={devices}," in options.device_groups()[-1]


def test_groups_may_be_given(tmp_path: Path) -> None:
    options = Options(home=tmp_path, groups=("prefix=a-,count=5,slow=10s", "prefix=b-,notify=2s"))
    assert options.device_count() == 6


@pytest.mark.parametrize(
    ("environment", "patterns"),
    [
        ({}, ("sim-*",)),
        ({"DEVICES": "0"}, ()),
        ({"DEVICES": "0", "PLAIN_COAP": "a-*,b"}, ("a-*", "b")),
        ({"PLAIN_COAP": "my-device"}, ("sim-*", "my-device")),
        ({"FLOWNEXUS_PARTS": "leshan"}, ()),
    ],
)
def test_only_simulated_and_chosen_endpoints_may_come_over_plain_coap(
    environment: dict[str, str], patterns: tuple[str, ...]
) -> None:
    assert Options.from_environment(environment).plain_endpoints() == patterns


@pytest.mark.parametrize(
    ("given", "host", "url"),
    [
        ("", "127.0.0.1", "coaps://127.0.0.1:5684"),
        ("0.0.0.0", "0.0.0.0", "coaps://127.0.0.1:5684"),
        ("192.0.2.10", "192.0.2.10", "coaps://192.0.2.10:5684"),
        ("2001:db8::1", "2001:db8::1", "coaps://[2001:db8::1]:5684"),
    ],
)
def test_devices_outside_reach_leshan_where_it_is_told_to_listen(
    tmp_path: Path, given: str, host: str, url: str
) -> None:
    options = Options.from_environment({"COAP_HOST": given, "FLOWNEXUS_HOME": str(tmp_path)})
    assert options.coap_host == host
    assert Layout(options).coaps_url == url


@pytest.mark.parametrize(
    ("environment", "urls"),
    [
        ({}, ["http://127.0.0.1:8095", "coap://127.0.0.1:5683/fw", "coaps://127.0.0.1:5684/fw"]),
        (
            {"COAP_HOST": "0.0.0.0", "COAPS_URL": "coaps://192.0.2.10:6684/", "PLAIN_COAP": "my-*"},
            ["http://192.0.2.10:8095", "coap://192.0.2.10:5683/fw", "coaps://192.0.2.10:6684/fw"],
        ),
        (
            {"COAPS_URL": "coaps://[2001:db8::1]", "DEVICES": "0"},
            ["http://[2001:db8::1]:8095", "coaps://[2001:db8::1]/fw"],
        ),
    ],
)
def test_devices_download_firmware_from_the_host_at_which_they_register(
    tmp_path: Path, environment: dict[str, str], urls: list[str]
) -> None:
    """A device elsewhere was sent to 127.0.0.1, its own loopback interface."""
    options = Options.from_environment(environment | {"FLOWNEXUS_HOME": str(tmp_path)})
    assert list(Layout(options).firmware_urls) == urls


@pytest.mark.parametrize(
    "given",
    ["192.0.2.10:5684", "coap://192.0.2.10", "coaps://", "coaps://a:b", "a["],
)
def test_where_devices_find_leshan_is_a_url(given: str) -> None:
    """Another text came into the files of credentials, and the devices found nothing."""
    with pytest.raises(OptionError, match=r"COAPS_URL must be a URL such as coaps://192\.0\.2\.10:5684"):
        Options.from_environment({"COAPS_URL": given})


def test_an_address_to_listen_on_is_one() -> None:
    with pytest.raises(OptionError, match=r"COAP_HOST must be an IP address, such as 0\.0\.0\.0, not 'eth0'"):
        Options.from_environment({"COAP_HOST": "eth0"})


def test_a_database_is_the_user_s_own_unless_a_world_s_env_file_named_it(tmp_path: Path) -> None:
    """Whoever had sourced the env file of one world got its database for a second one, and new passwords."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "env").write_text("FLOWNEXUS_NATS_URL='nats://a b'\n")
    assert read_environment_file(home) == {"FLOWNEXUS_NATS_URL": "nats://a b"}
    chosen = {"FLOWNEXUS_HOME": str(tmp_path / "other"), "FLOWNEXUS_DATABASE_URL": "postgresql://a:b@c/d"}
    assert Options.from_environment(chosen).database_url == "postgresql://a:b@c/d"
    sourced = chosen | {"FLOWNEXUS_EMBEDDED_DATABASE_URL": "postgresql://a:b@c/d"}
    assert Options.from_environment(sourced).database_url == ""
    changed = sourced | {"FLOWNEXUS_DATABASE_URL": "postgresql://mine"}
    assert Options.from_environment(changed).database_url == "postgresql://mine"


def test_whatever_stack_yml_has_a_place_for_may_be_chosen() -> None:
    """OBSERVE_REFRESH was documented, and had no effect."""
    stack = Options(home=Path()).stack.read_text(encoding="utf-8")
    places = set(re.findall(r"\$\{([A-Z_]+)(?::-|\})", stack))
    by_the_world = {"LONG_POLL_TIMEOUT", "EXEC_TIMEOUT", "LESHAN_URL", "NAME"}
    assert places - by_the_world == set(STACK_SETTINGS)


def test_a_world_without_devices_has_no_simulator() -> None:
    assert "simulator" not in Options.from_environment({"DEVICES": "0"}).parts


def test_how_long_sleepers_listen_can_be_chosen() -> None:
    assert Options.from_environment({}).awake_time == 10
    options = Options.from_environment({"AWAKE_TIME": "20s"})
    assert options.awake_time == 20
    assert options.device_groups()[-1].endswith("awake=20s")


@pytest.mark.parametrize(
    ("callers", "used"),
    [
        ({}, "{home}/secrets/flownexus-api-token"),
        ({"FLOWNEXUS_API_TOKEN_FILE": "/a token"}, "/a token"),
        (
            {"FLOWNEXUS_API_TOKEN_FILE": "/a token", "FLOWNEXUS_SECRETS": "/other/secrets"},
            "/a token",
        ),
        (
            {
                "FLOWNEXUS_API_TOKEN_FILE": "/other/secrets/flownexus-api-token",
                "FLOWNEXUS_SECRETS": "/other/secrets",
            },
            "{home}/secrets/flownexus-api-token",
        ),
    ],
)
def test_the_command_line_takes_the_caller_s_token_but_not_that_of_a_file_env_in_his_shell(
    tmp_path: Path, callers: dict[str, str], used: str
) -> None:
    Layout(Options(home=tmp_path)).write_environment()
    launcher, _, _ = (tmp_path / CLI_FILE).read_text().partition("exec ")
    done = subprocess.run(
        ["sh", "-eu", "-c", f"{launcher}\nprintenv FLOWNEXUS_API_TOKEN_FILE FLOWNEXUS_URL"],
        env={"PATH": os.environ["PATH"], "FLOWNEXUS_URL": "http://stale", **callers},
        capture_output=True,
        text=True,
        check=True,
    )
    token, url = done.stdout.splitlines()
    assert token == used.format(home=tmp_path)
    assert url != "http://stale", "ports may be others since"


def test_a_secret_is_random_made_once_and_its_owner_s_alone(tmp_path: Path) -> None:
    folder = SecretFolder(tmp_path / "secrets")
    first = folder.random("token")
    assert len(first) >= 40
    assert folder.random("token") == first
    assert folder.random("other") != first
    assert stat.S_IMODE(folder.path("token").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.folder.stat().st_mode) == 0o700
    assert folder.names() == ["other", "token"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "A", "-a", "a\n", "a" * 300])
def test_a_secret_s_name_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(SecretError):
        SecretFolder(tmp_path).write(name, "x")


def test_a_taken_port_is_known_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert f"process {os.getpid()} " in holder(port)
    assert is_free(port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        port = datagrams.getsockname()[1]
        assert not is_free(port, socket.SOCK_DGRAM)
        assert f"process {os.getpid()} " in holder(port, socket.SOCK_DGRAM)
    assert is_free(free_port())


def test_a_free_port_is_none_that_an_outgoing_connection_may_take() -> None:
    """PostgreSQL, restarted, found its port taken by a connection of somebody else."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [free_port() for _ in range(100)]
    assert max(ports) < lowest
    assert len(set(ports)) == 100


def test_processes_that_begin_at_the_same_place_are_given_no_port_twice() -> None:
    """Leshan found the port taken that was chosen for it: the other half of the tests had chosen it, too."""
    program = (
        "import random, sys; random.seed(3); from local.servers.ports import free_port;"
        " print(*(free_port() for _ in range(100)), flush=True); sys.stdin.read()"
    )
    with contextlib.ExitStack() as stack:
        asked = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", program],
                    cwd=REPOSITORY,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(3)
        ]
        given = [port for process in asked if process.stdout for port in process.stdout.readline().split()]
    assert len(set(given)) == 300


def test_the_wait_before_a_restart_doubles_up_to_a_bound() -> None:
    backoff = Backoff(first=1, longest=8)
    for crashes, bound in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (10_000, 8)):
        assert bound / 2 <= backoff.delay(crashes) <= bound


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


def test_a_missing_java_is_said_with_what_installs_it(path: Path) -> None:
    with pytest.raises(java.JavaError, match=r"java was not found.*\n.*apt-get install openjdk-17"):
        java.java()


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_292"])
def test_a_java_that_is_too_old_is_said_so(path: Path, version: str) -> None:
    program(path, "java", f"echo 'openjdk version \"{version}\"' >&2")
    with pytest.raises(java.JavaError, match=r"is version (11|8): version 17 or newer is needed"):
        java.java()


def test_java_home_goes_before_the_path(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "java", "echo 'openjdk version \"11\"' >&2")
    (tmp_path / "jdk").mkdir()
    program(tmp_path / "jdk" / "bin", "java", "echo 'openjdk version \"21.0.1\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert java.java() == str(tmp_path / "jdk" / "bin" / "java")


def test_a_missing_maven_and_a_failing_build_are_said_so(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leshan = tmp_path / "leshan"
    (leshan / "server" / "src" / "main").mkdir(parents=True)
    (leshan / "pom.xml").touch()
    monkeypatch.setattr(java, "LESHAN", leshan)
    monkeypatch.setattr(java, "SERVER_JAR", leshan / "server" / "target" / "server.jar")
    monkeypatch.setattr(java, "SIMULATOR_JAR", leshan / "simulator" / "target" / "simulator.jar")
    program(path, "java", "echo 'openjdk version \"17.0.1\"' >&2")
    with pytest.raises(java.JavaError, match="mvn was not found"):
        java.build(tmp_path / "maven.log", print)
    program(path, "mvn", "echo '[ERROR] it is broken'; exit 1")
    with pytest.raises(java.JavaError, match="javac was not found"):
        java.build(tmp_path / "maven.log", print)
    program(path, "javac", "")
    with pytest.raises(java.JavaError, match=r"failed \(log: .*maven.log\):\n.*it is broken"):
        java.build(tmp_path / "maven.log", print)


def test_a_jar_is_stale_when_a_source_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "LESHAN", tmp_path)
    (tmp_path / "pom.xml").touch()
    source = tmp_path / "server" / "src" / "main" / "A.java"
    source.parent.mkdir(parents=True)
    (tmp_path / "server" / "pom.xml").touch()
    source.touch()
    jar = tmp_path / "server" / "target" / "x.jar"
    assert java.stale(jar)
    jar.parent.mkdir()
    jar.touch()
    newer = source.stat().st_mtime + 5
    os.utime(jar, (newer, newer))
    assert not java.stale(jar)
    os.utime(source, (newer + 1, newer + 1))
    assert java.stale(jar)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("postgresql://a:b@127.0.0.1:5433/flownexus", "127.0.0.1:5433:flownexus:reader:p\\:w\\\\d\n"),
        ("postgresql://a@db.example/x?sslmode=require", "db.example:*:x:reader:p\\:w\\\\d\n"),
        ("postgresql://a@/x?host=/run/postgresql", "*:*:x:reader:p\\:w\\\\d\n"),
        ("postgresql://a@[::1]:5432/x", "\\:\\:1:5432:x:reader:p\\:w\\\\d\n"),
    ],
)
def test_a_line_of_libpq_s_password_file_names_the_place_and_escapes_the_password(
    url: str, line: str
) -> None:
    assert password_line(url, "reader", "p:w\\d") == line


def test_how_many_new_endpoints_may_come_in_a_minute_can_be_chosen() -> None:
    assert Options.from_environment({}).new_endpoints == 20
    assert Options.from_environment({"NEW_ENDPOINTS": "300"}).new_endpoints == 300
    with pytest.raises(OptionError, match="NEW_ENDPOINTS must be a number"):
        Options.from_environment({"NEW_ENDPOINTS": "many"})


def test_all_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    for tool in ("sh", "sed", "cat"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    program(tmp_path, "java", "echo 'openjdk version \"11.0.2\"' >&2")
    script = Path(java.LESHAN).parent / "local" / "prerequisites.sh"

    def missing(*arguments: str) -> list[str]:
        done = subprocess.run(
            [script, *arguments],
            cwd=tmp_path,
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        return [line.strip() for line in done.stderr.splitlines() if line.startswith("  ")]

    python = "Python 3.11 or newer: python3 was not found"
    assert missing("python3") == [python]
    assert missing("python3", "java") == [
        python,
        "JDK 17 or newer: java is version 11",
        "JDK 17 or newer: javac was not found",
        "Maven: mvn was not found",
    ]
    assert missing(sys.executable) == []
