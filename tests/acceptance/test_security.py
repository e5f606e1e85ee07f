"""Devices over CoAPS, with a pre-shared key and with X.509: the whole main job, and who is refused."""

from __future__ import annotations

import contextlib
import json
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos.evidence import read_lines
from local import web
from local.options import PARTS
from tests.fixtures.certificates import Authority
from tests.fixtures.device import FORBIDDEN, StartDevice
from tests.fixtures.firmware import follow, upload, whole
from tests.fixtures.nexus import Nexus, running, wait_for
from tests.fixtures.simulator import simulator

AWAKE = 2.0  # seconds
TIMEZONE = "/3/0/15"
TEMPERATURE = "/3303/0/5700"
AWAKE_DEVICE = "count=1,notify=500ms,lifetime=300,update=5s"
UPDATE_MISSED = 5.0 + 10.0  # seconds until the next update, and until its answer is missed
SLEEPER = f"start=2,count=1,notify=0,lifetime=300,sleepy,awake={AWAKE:g}s"


def ask_leshan(nexus: Nexus, method: str, path: str, body: Any = None) -> Any:
    status, text = web.request(
        nexus.world.ports.leshan, method, path, body=body, headers=web.bearer(nexus.token("leshan"))
    )
    assert status == 200, f"{method} {path}: {status} {text}"
    return json.loads(text) if text else None


def allow(nexus: Nexus, endpoint: str, **tls: Any) -> None:
    """Add a security entry, as Leshan's demo takes it."""
    ask_leshan(nexus, "PUT", "/api/security/clients", {"endpoint": endpoint, "tls": tls})


def allow_psk(nexus: Nexus, endpoint: str, key: str) -> None:
    allow(nexus, endpoint, mode="psk", details={"identity": f"id-{endpoint}", "key": key})


def entries(nexus: Nexus) -> dict[str, Any]:
    found = ask_leshan(nexus, "GET", "/api/security/clients")
    return {entry["endpoint"]: entry["tls"] for entry in found}


@dataclass
class Secured:
    """A system whose devices are known by a PSK or by X.509."""

    nexus: Nexus
    folder: Path
    authority: Authority
    key: str

    def psk(self, name: str, key: str, *groups: str) -> contextlib.AbstractContextManager[None]:
        """Run devices that have a key."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "psk").touch(mode=0o600)
        (folder / "psk").write_text(key)
        arguments = ("--psk-identity-prefix", "id-", "--psk-key-file", str(folder / "psk"))
        return simulator(
            self.nexus.world, self.nexus.world.coaps_url, *groups, arguments=arguments, folder=folder
        )

    def x509(self, name: str, certificates: Path, *groups: str) -> contextlib.AbstractContextManager[None]:
        """Run devices that have a certificate each."""
        arguments = (
            *(
                "--x509-cert",
                str(certificates / "{ep}.pem"),
                "--x509-key",
                str(certificates / "{ep}-key.pem"),
            ),
            *("--ca-cert", str(self.authority.certificate)),
        )
        return simulator(
            self.nexus.world,
            self.nexus.world.coaps_url,
            *groups,
            arguments=arguments,
            folder=self.folder / name,
        )

    def leshan_log(self) -> list[str]:
        return (self.nexus.world.logs / "leshan.log").read_text().splitlines()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Run a system that trusts a CA, with the security entries of all devices of this module."""
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder / "ca")
    server = authority.server()
    key = secrets.token_hex(16)
    arguments = (
        *("--server-cert", str(server.certificate), "--server-key", str(server.key)),
        *("--ca-cert", str(authority.certificate)),
    )
    parts = frozenset(PARTS) - {"simulator"}
    with running(folder / "home", parts=parts, awake_time=AWAKE, leshan_arguments=arguments) as nexus:
        for endpoint in ("psk-0001", "psk-0002", "wrong-0001", "plain-0001", "firmware-0001"):
            allow_psk(nexus, endpoint, key)
        for endpoint in ("x509-0001", "x509-0002", "foreign-0001", "forged-0001", "expired-0001"):
            allow(nexus, endpoint, mode="x509")
        yield Secured(nexus, folder, authority, key)


@pytest.fixture(scope="module", params=["psk", "x509"])
def fleet(secured: Secured, request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a device that is awake, 0001, and a sleeper, 0002; return the prefix of their names."""
    prefix = f"{request.param}-"
    groups = (f"prefix={prefix},{AWAKE_DEVICE}", f"prefix={prefix},{SLEEPER}")
    if request.param == "psk":
        devices = secured.psk("psk", secured.key, *groups)
    else:
        for number in (1, 2):
            secured.authority.device(f"{prefix}{number:04d}")
        devices = secured.x509("x509", secured.authority.folder, *groups)
    with devices:
        yield prefix


def control(secured: Secured, prefix: str, number: int, action: str) -> None:
    folder = secured.folder / prefix.rstrip("-")
    port = json.loads((folder / "ready.json").read_text())["control"]
    status, text = web.request(port, "POST", f"/devices/{prefix}{number:04d}/{action}")
    assert status == 200, text


def is_asleep(nexus: Nexus, endpoint: str) -> bool:
    """Say whether Leshan takes a device for asleep, which is a little after the device sleeps."""
    return any(client["endpoint"] == endpoint and client.get("sleeping") for client in nexus.world.clients())


def test_a_device_over_coaps_is_online_and_its_values_are_rows(secured: Secured, fleet: str) -> None:
    nexus, name = secured.nexus, f"{fleet}0001"
    wait_for(lambda: nexus.endpoint(name).get("registered"), 10)
    [registration] = [client for client in nexus.world.clients() if client["endpoint"] == name]
    assert registration["secure"]
    assert nexus.values(name, "/10240/0/0")
    wait_for(lambda: nexus.latest(name, "/3/0/2") == name, 10, "object 3's values")
    found = wait_for(lambda: (rows := nexus.values(name, TEMPERATURE))[4:] and rows, 15)
    for row in found[1:]:
        assert timedelta(0) < row["stored_at"] - row["time"] < timedelta(seconds=5)


def test_a_device_that_registered_by_coaps_downloads_its_firmware_by_coaps(
    secured: Secured, tmp_path: Path
) -> None:
    """It compares the SHA-256 of what came before it installs it."""
    nexus = secured.nexus
    package = upload(nexus, tmp_path, whole("2", 100_000), "2")
    group = "prefix=firmware-,count=1,notify=0,lifetime=300,update=30s,download=coap"
    with secured.psk("firmware", secured.key, group):
        wait_for(lambda: nexus.endpoint("firmware-0001"), 30, "the device to be known")
        found = follow(nexus, "firmware-0001", package)
    assert (found["state"], found["tries"], found["percent"]) == ("CONFIRMED", 1, 100), found["steps"]
    [offered] = nexus.sql("SELECT value ->> 'value' AS uri FROM endpoint_operation WHERE path = '/5/0/1'")
    assert offered["uri"].startswith(f"{nexus.world.coaps_url}/fw/")


def test_a_write_to_a_device_over_coaps_is_confirmed_and_read_back(secured: Secured, fleet: str) -> None:
    nexus, name = secured.nexus, f"{fleet}0001"
    nexus.await_status(nexus.write(name, TIMEZONE, "Europe/Berlin"), "CONFIRMED")
    nexus.await_status(nexus.queue(name, "read", TIMEZONE), "CONFIRMED")
    assert nexus.latest(name, TIMEZONE) == "Europe/Berlin"


def test_a_write_to_a_sleeper_over_coaps_waits_for_its_next_update(secured: Secured, fleet: str) -> None:
    nexus, name = secured.nexus, f"{fleet}0002"
    nexus.await_idle(name)
    wait_for(lambda: is_asleep(nexus, name), 10 + AWAKE)
    id_ = nexus.write(name, TIMEZONE, "Asia/Tokyo")
    row = wait_for(lambda: (row := nexus.operation(id_))["reason"] and row, 5, "it to be looked at")
    assert (row["status"], row["attempts"]) == ("QUEUED", 0)

    control(secured, fleet, 2, "update")
    assert nexus.await_status(id_, "CONFIRMED")["attempts"] == 1
    nexus.await_status(nexus.queue(name, "read", TIMEZONE), "CONFIRMED")
    assert nexus.latest(name, TIMEZONE) == "Asia/Tokyo"


def test_a_device_over_coaps_goes_on_where_it_was_with_a_new_session_when_leshan_was_killed(
    secured: Secured, fleet: str
) -> None:
    nexus, name = secured.nexus, f"{fleet}0001"
    ledger = secured.folder / fleet.rstrip("-") / "ledger.jsonl"

    def acknowledged() -> list[float]:
        return [
            line["value"] for line in read_lines(ledger) if (line["ep"], line["path"]) == (name, TEMPERATURE)
        ]

    def observations() -> list[int]:
        rows = nexus.sql(
            "SELECT o.id FROM endpoint_operation o JOIN endpoint e ON e.id = o.endpoint_id"
            " WHERE e.name = %s AND o.operation_type = 'observe' ORDER BY o.id",
            name,
        )
        return [row["id"] for row in rows]

    nexus.await_idle(name)
    observed, registration = observations(), nexus.endpoint(name)["registration_id"]
    nexus.world.kill_part("leshan")
    before = len(acknowledged())
    # The session has gone with the process: the device learns that from an update without an answer.
    wait_for(lambda: len(acknowledged()) > before + 3, UPDATE_MISSED + 15, "telemetry in a new session")

    heard = acknowledged()
    wait_for(
        lambda: set(heard) <= {row["number"] for row in nexus.values(name, TEMPERATURE)},
        10,
        "every acknowledged value to be a row",
    )
    stored = [row["number"] for row in nexus.values(name, TEMPERATURE)]
    assert len(stored) == len(set(stored))
    # The same registration, by the same observations.
    assert nexus.endpoint(name)["registration_id"] == registration
    assert observations() == observed
    assert not [line for line in secured.leshan_log() if "missing definition" in line]


@pytest.fixture(scope="module")
def refused(secured: Secured) -> Iterator[None]:
    """Let devices try that have a wrong key, a wrong certificate, or nothing."""
    bad = secured.folder / "bad"
    bad.mkdir()
    for identity in (
        Authority(secured.folder / "foreign", "Another CA").device("foreign-0001"),
        # Of the same name as ours, but not by its key.
        Authority(secured.folder / "forged").device("forged-0001"),
        secured.authority.expired_device("expired-0001"),
    ):
        for file in (identity.certificate, identity.key):
            file.rename(bad / file.name)
    world = secured.nexus.world
    rest = "count=1,notify=0"
    certified = [f"prefix={name}-,{rest}" for name in ("foreign", "forged", "expired")]
    with (
        secured.psk("wrong", secrets.token_hex(16), f"prefix=wrong-,{rest}"),
        secured.psk("unknown", secured.key, f"prefix=unknown-,{rest}"),
        secured.x509("bad-certificates", bad, *certified),
        simulator(world, world.coap_url, f"prefix=plain-,{rest}", folder=secured.folder / "plain"),
    ):
        yield


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("wrong-0001", "refused: wrong key"),
        ("unknown-0001", "refused: unknown pre-shared key identity 'id-unknown-0001'"),
        ("foreign-0001", "refused: no certificate of a trusted CA"),
        ("forged-0001", "signature"),
        ("expired-0001", "refused: Certificate expired"),
        ("plain-0001", '"endpoint":"plain-0001"'),
    ],
)
@pytest.mark.usefixtures("refused")
def test_a_device_that_cannot_prove_itself_is_refused_and_leshan_says_so(
    secured: Secured, endpoint: str, told: str
) -> None:
    def line() -> str | None:
        return next((line for line in secured.leshan_log() if told in line and "refused" in line), None)

    wait_for(line, 10, f"a line of Leshan's log with {told!r}")
    assert not secured.nexus.endpoint(endpoint)
    assert endpoint not in {client["endpoint"] for client in secured.nexus.world.clients()}


def test_a_write_for_a_revoked_device_waits_and_reaches_nobody_who_takes_its_name(
    secured: Secured, start_device: StartDevice
) -> None:
    nexus, name = secured.nexus, "revoked-0001"
    allow_psk(nexus, name, secured.key)
    with secured.psk("revoked", secured.key, "prefix=revoked-,count=1,notify=0"):
        wait_for(lambda: nexus.endpoint(name).get("registered"), 10)
        ask_leshan(nexus, "DELETE", f"/api/security/clients/{name}")
        wait_for(lambda: not nexus.endpoint(name)["registered"], 10)
    assert entries(nexus)[name] == {"mode": "denied"}

    id_ = nexus.write(name, TIMEZONE, "Europe/Berlin")
    impostor = start_device(nexus.world.ports.coap, name, {TIMEZONE: "UTC"})
    with pytest.raises(AssertionError, match=f"code={FORBIDDEN}"):
        impostor.register()
    assert not [client for client in nexus.world.clients() if client["endpoint"] == name]
    row = nexus.operation(id_)
    assert (row["status"], row["attempts"]) == ("QUEUED", 0)


def test_no_key_reaches_a_log(secured: Secured) -> None:
    for name, text in secured.nexus.logs().items():
        assert secured.key not in text.lower(), name


def test_security_entries_are_in_a_file_that_only_its_owner_reads(secured: Secured) -> None:
    file = secured.nexus.world.home / "leshan" / "security.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {entry["endpoint"] for entry in json.loads(file.read_text())} == set(entries(secured.nexus))


def test_security_entries_survive_a_restart_of_leshan(secured: Secured) -> None:
    before = entries(secured.nexus)
    assert before["psk-0001"] == {"mode": "psk", "details": {"identity": "id-psk-0001"}}
    assert before["x509-0001"] == {"mode": "x509"}
    secured.nexus.world.restart_part("leshan")
    assert entries(secured.nexus) == before

    allow_psk(secured.nexus, "late-0001", secured.key)
    with secured.psk("late", secured.key, "prefix=late-,count=1,notify=0"):
        wait_for(lambda: secured.nexus.endpoint("late-0001").get("registered"), 10)
