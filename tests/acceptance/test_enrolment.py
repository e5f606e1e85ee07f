"""Devices enrolled by the command line: who is let in with which credential, and how revocation acts."""

from __future__ import annotations

import contextlib
import csv
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.credentials import MODES, arguments
from flownexus.enrolment import files
from flownexus.enrolment.authority import Authority, now
from flownexus.enrolment.files import Server
from flownexus.enrolment.keys import new_pair
from local import web
from local.options import PARTS, Options, Ports
from local.simulated import refused
from local.world import World
from tests.fixtures.device import FORBIDDEN, Device, StartDevice
from tests.fixtures.firmware import cli
from tests.fixtures.nexus import Nexus, running, wait_for
from tests.fixtures.simulator import simulator

CASES = ("right", "wrong", "expired", "revoked", "other")
MANY = 1000
MANY_S = 60.0
SOON_S = 1.0
RECONCILED_S = 15.0
"""Within which housekeeping, every five seconds, has a new Leshan know all."""
BEHAVES = "count=1,notify=0,lifetime=300"


@dataclass
class Enrolled:
    """A system, and the folder of the files of its devices."""

    nexus: Nexus
    folder: Path

    def api(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.nexus.request(method, f"/function/api/v1{path}", body, token=self.nexus.token("api"))
        assert answer.status < 300, answer
        return answer.json

    def add(self, endpoint: str, mode: str, **more: Any) -> Any:
        """Make a credential, and write its files as the command line does."""
        made = self.api("POST", "/credentials", {"endpoint": endpoint, "mode": mode, **more})
        assert made["carried"]
        self.write(endpoint, made["files"])
        return made

    def write(self, endpoint: str, content: dict[str, str]) -> None:
        (self.folder / endpoint).mkdir(exist_ok=True)
        for name, text in content.items():
            (self.folder / endpoint / name).write_text(text)

    def registered(self) -> set[str]:
        return {client["endpoint"] for client in self.nexus.world.clients()}

    def devices(self, mode: str, *prefixes: str) -> contextlib.AbstractContextManager[None]:
        """Run a device of each prefix, with the files of its name."""
        return simulator(
            self.nexus.world,
            self.nexus.world.coaps_url,
            *(f"prefix={prefix},{BEHAVES}" for prefix in prefixes),
            arguments=tuple(arguments(mode, self.folder, f"{prefixes[0]}0001")),
            folder=self.simulator(mode, prefixes[0]),
        )

    def simulator(self, mode: str, prefix: str) -> Path:
        return self.folder.parent / f"simulator-{mode}-{prefix}"

    def tries(self, mode: str, name: str, action: str) -> None:
        """Let a device of the table try something; whether it can is to be seen at Leshan."""
        port = json.loads((self.simulator(mode, f"{mode}-right-") / "ready.json").read_text())["control"]
        web.request(port, "POST", f"/devices/{name}/{action}")


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enrolled]:
    folder = tmp_path_factory.mktemp("enrolled")
    (folder / "files").mkdir()
    with running(folder / "home", parts=frozenset(PARTS) - {"simulator"}) as nexus:
        yield Enrolled(nexus, folder / "files")


def registers(device: Device) -> bool:
    try:
        device.register()
    except AssertionError as error:
        assert f"code={FORBIDDEN}" in str(error)  # noqa: PT017  # how this device says that it was refused
        return False
    return True


def test_a_device_without_credentials_may_do_nothing_once_one_is_enrolled_unless_a_setting_says_otherwise(
    enrolled: Enrolled, start_device: StartDevice
) -> None:
    plain = start_device(enrolled.nexus.world.ports.coap, "plain-0001", {"/3/0/15": "UTC"})
    plain.register()
    assert enrolled.registered() == {"plain-0001"}
    cli(enrolled.nexus, "credentials", "add", "first", "psk", "-o", str(enrolled.folder))
    assert enrolled.registered() == set()  # at once
    assert not registers(plain)
    cli(enrolled.nexus, "credentials", "unenrolled", "admitted")
    assert registers(plain)
    cli(enrolled.nexus, "credentials", "unenrolled", "refused")
    assert enrolled.registered() == set()


def test_a_world_whose_simulated_devices_are_refused_starts(tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"devices": 3, "plain_coap": ()}
    with running(tmp_path / "home", **chosen) as nexus:
        cli(nexus, "credentials", "add", "first", "psk", "-o", str(tmp_path))
    options = Options(home=tmp_path / "home", ports=Ports.any_free(), durable=False, **chosen)
    with World(options) as world:
        assert world.clients() == []
        assert len(refused(world.simulator_ready)) == 3


def test_a_thousand_devices_are_enrolled_from_a_file_in_less_than_a_minute(enrolled: Enrolled) -> None:
    file = enrolled.folder.parent / "many.csv"
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["endpoint", "mode"])
        rows.writerows((f"many-{i:04d}", list(MODES)[i % 3]) for i in range(MANY))
    began = time.monotonic()
    done = cli(enrolled.nexus, "credentials", "import", str(file), "-o", str(enrolled.folder))
    took = time.monotonic() - began
    print(f"{MANY} devices enrolled in {took:.1f} s")
    assert f"enrolled {MANY} devices" in done.stdout
    assert done.stderr == ""  # Leshan knows all of them
    assert took < MANY_S
    token = web.bearer(enrolled.nexus.token("leshan"))
    _, text = web.request(enrolled.nexus.world.ports.leshan, "GET", "/api/security/clients", headers=token)
    assert len([each for each in json.loads(text) if each["endpoint"].startswith("many-")]) == MANY


def falsify(enrolled: Enrolled, endpoint: str, mode: str) -> None:
    """Give a device a key or a certificate that looks right, and is not of the database."""
    key = new_pair()
    server = Server("coaps://nowhere")
    if mode == "psk":
        identity = (enrolled.folder / endpoint / "psk-identity.txt").read_text().strip()
        enrolled.write(endpoint, files.of_psk(server, endpoint, identity, secrets.token_bytes(16)))
    elif mode == "rpk":
        enrolled.write(endpoint, files.of_rpk(server, endpoint, key.public_key(), key))
    else:
        stranger = Authority.new("Flow Nexus CA", now())  # of the same name as ours
        certificate = stranger.device(endpoint, key.public_key(), now(), None)
        enrolled.write(endpoint, files.of_certificate(server, endpoint, certificate, key))


@pytest.fixture(scope="module", params=MODES)
def table(enrolled: Enrolled, request: pytest.FixtureRequest) -> Iterator[str]:
    """Let a device of each case try, by one kind of credential; all have tried when this returns."""
    mode: str = request.param
    made = {
        case: enrolled.add(f"{mode}-{case}-0001", mode, **({"expires_in": 2} if case == "expired" else {}))
        for case in CASES
    }
    enrolled.api("DELETE", f"/credentials/{made['revoked']['id']}")
    falsify(enrolled, f"{mode}-wrong-0001", mode)
    shutil.copytree(
        enrolled.folder / f"{mode}-right-0001", enrolled.folder / f"{mode}-other-0001", dirs_exist_ok=True
    )
    wait_for(
        lambda: (
            not enrolled.api("GET", f"/credentials?valid=true&endpoint={mode}-expired-0001")["credentials"]
        ),
        5,
    )
    with enrolled.devices(mode, *(f"{mode}-{case}-" for case in CASES)):
        wait_for(lambda: f"{mode}-right-0001" in enrolled.registered(), 20)
        yield mode


@pytest.mark.parametrize("case", CASES)
def test_who_is_let_in_with_which_credential(enrolled: Enrolled, table: str, case: str) -> None:
    there = f"{table}-{case}-0001" in enrolled.registered()
    assert there == (case == "right")
    if case == "right":
        wait_for(lambda: enrolled.nexus.endpoint(f"{table}-{case}-0001").get("registered"), 10)
    else:
        assert not enrolled.nexus.endpoint(f"{table}-{case}-0001")


def test_each_refusal_has_its_cause(enrolled: Enrolled, table: str) -> None:
    failed = "handshake-failed"
    wanted = {
        "psk": {
            ("wrong-key", "psk-wrong-0001", ""),
            ("unknown-identity", "", "identity 'psk-expired-0001'"),
            ("unknown-identity", "", "identity 'psk-revoked-0001'"),
        },
        "rpk": {(failed, "", "the raw public key is nobody's")},
        "x509": {
            (failed, "", "Certificate chain could not be validated"),
            (failed, "x509-expired-0001", "Certificate expired"),
            (failed, "x509-revoked-0001", "the certificate of 'x509-revoked-0001' was revoked or replaced"),
        },
    }[table] | {("wrong-credentials", f"{table}-other-0001", "")}

    def told() -> set[tuple[str, str, str]]:
        rows = enrolled.nexus.sql(
            "SELECT cause, endpoint, split_part(coalesce(detail, ''), ':', 1) AS detail"
            " FROM registration_refusal"
        )
        return {(row["cause"], row["endpoint"], row["detail"]) for row in rows}

    wait_for(lambda: wanted <= told(), 20)


def test_a_revoked_device_is_gone_within_a_second_with_its_open_session_and_stays_out(
    enrolled: Enrolled, table: str
) -> None:
    name = f"{table}-right-0001"
    [row] = enrolled.api("GET", f"/credentials?valid=true&endpoint={name}")["credentials"]
    began = time.monotonic()
    enrolled.api("DELETE", f"/credentials/{row['id']}")
    assert name not in enrolled.registered()
    took = time.monotonic() - began
    print(f"{table}: revoked and gone in {took * 1000:.0f} ms")
    assert took < SOON_S
    before = enrolled.nexus.world.metric("established_sessions_total")
    enrolled.tries(table, name, "update")  # in its session, which nobody has any more
    enrolled.tries(table, name, "register")  # by a new handshake
    other = f"{table}-other-0001"  # has the same files: the credential is revoked, not who uses it
    enrolled.tries(table, other, "register")
    time.sleep(4)
    assert not {name, other} & enrolled.registered()
    assert enrolled.nexus.world.metric("established_sessions_total") == before


@pytest.mark.parametrize("mode", MODES)
def test_an_old_and_a_new_credential_both_count_while_they_overlap(enrolled: Enrolled, mode: str) -> None:
    name = f"turn-{mode}-0001"
    old = enrolled.add(name, mode)
    with enrolled.devices(mode, f"turn-{mode}-"):
        wait_for(lambda: name in enrolled.registered(), 20)
        new = enrolled.api("POST", f"/credentials/{old['id']}/successor", {"overlap": 3600})
        assert name in enrolled.registered()  # with the old one
    enrolled.write(name, new["files"])
    enrolled.api("DELETE", f"/credentials/{old['id']}")
    with enrolled.devices(mode, f"turn-{mode}-"):
        wait_for(lambda: name in enrolled.registered(), 20)
    enrolled.api("DELETE", f"/credentials/{new['id']}")


def test_a_leshan_that_has_lost_its_store_has_all_again_soon(enrolled: Enrolled) -> None:
    enrolled.add("back-0001", "psk")
    world = enrolled.nexus.world
    world.stop_part("leshan")
    (world.home / "leshan" / "security.json").unlink()
    revoked = enrolled.api("POST", "/credentials", {"endpoint": "away-0001", "mode": "psk"})
    assert not revoked["carried"]
    world.start_part("leshan")
    with enrolled.devices("psk", "back-"):
        wait_for(lambda: "back-0001" in enrolled.registered(), RECONCILED_S + 15)
    token = web.bearer(enrolled.nexus.token("leshan"))
    _, text = web.request(world.ports.leshan, "GET", "/api/security/clients", headers=token)
    entries = {each["endpoint"]: each["tls"] for each in json.loads(text)}
    assert entries["psk-revoked-0001"] == {"mode": "denied"}
    assert len(entries) > MANY
    assert "away-0001" in entries
