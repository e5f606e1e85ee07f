"""Devices that come with a factory key: what they are handed out, and who is refused."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from flownexus.store.bootstrap import USED_UP
from local.options import PARTS
from tests.fixtures.firmware import cli
from tests.fixtures.nexus import Nexus, running, wait_for
from tests.fixtures.simulator import simulator

MANY = 100
REGISTERED_S = 240.0
"""Long, for a machine that has other things to do; the test prints how long it took."""


@dataclass
class Factory:
    """A system with a bootstrap server, and the folder of the files of devices."""

    nexus: Nexus
    folder: Path

    def get(self, path: str, **query: str) -> Any:
        answer = self.nexus.request(
            "GET", f"/function/api/v1{path}?{urlencode(query)}", token=self.nexus.token("api")
        )
        assert answer.status == 200, answer
        return answer.json

    def add(self, endpoint: str) -> None:
        cli(self.nexus, "bootstrap", "add", endpoint, "-o", str(self.folder))

    def sessions(self, endpoint: str) -> list[tuple[str, str | None]]:
        found = self.get("/bootstrap/sessions", endpoint=endpoint)["sessions"]
        return [(each["state"], each["detail"]) for each in found]

    def registered(self, prefix: str) -> int:
        return sum(each["endpoint"].startswith(prefix) for each in self.nexus.world.clients())

    def devices(self, prefix: str, count: int = 1, behaves: str = "notify=0") -> Any:
        """Turn on devices that know the bootstrap server, and have the files of their names."""
        return simulator(
            self.nexus.world,
            self.nexus.world.bootstrap_url,
            f"prefix={prefix},count={count},lifetime=300,bootstrap,{behaves}",
            arguments=(
                *("--psk-identity-file", str(self.folder / "{ep}" / "psk-identity.txt")),
                *("--psk-key-file", str(self.folder / "{ep}" / "psk-key.hex")),
            ),
            folder=self.folder.parent / f"simulator-{prefix}{time.monotonic_ns()}",
        )


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    folder = tmp_path_factory.mktemp("factory")
    (folder / "files").mkdir()
    with running(folder / "home", parts=frozenset(PARTS) - {"simulator"}, bootstrap=True) as nexus:
        yield Factory(nexus, folder / "files")


def test_a_device_with_a_factory_key_gets_a_key_registers_and_reports_and_its_factory_key_is_refused_then(
    factory: Factory,
) -> None:
    factory.add("one-0001")
    with factory.devices("one-", behaves="notify=1s"):
        wait_for(lambda: factory.registered("one-") == 1, REGISTERED_S, "the device to have registered")
        wait_for(
            lambda: "one-0001" in {each["name"] for each in factory.get("/endpoints")["endpoints"]},
            REGISTERED_S,
            "its registration to be stored",
        )
        wait_for(
            lambda: factory.get("/endpoints/one-0001/values")["values"] != [],
            REGISTERED_S,
            "a value of the device to be stored",
        )
        [client] = factory.nexus.world.clients()
        assert (client["endpoint"], client["secure"]) == ("one-0001", True)
    wait_for(lambda: factory.sessions("one-0001") == [("finished", None)], REGISTERED_S, "the session's end")
    [credential] = factory.get("/credentials", endpoint="one-0001")["credentials"]
    assert (credential["mode"], credential["created_by"]) == ("psk", "bootstrap")
    with factory.devices("one-"):  # it was reset, and has its factory key alone
        wait_for(lambda: factory.sessions("one-0001")[0] == ("refused", USED_UP), REGISTERED_S, "its refusal")
    [key] = factory.get("/bootstrap/keys", endpoint="one-0001")["keys"]
    cli(factory.nexus, "bootstrap", "allow", str(key["id"]))
    with factory.devices("one-"):
        wait_for(
            lambda: factory.sessions("one-0001")[0] == ("finished", None), REGISTERED_S, "the second session"
        )
    valid = factory.get("/credentials", endpoint="one-0001", valid="true")["credentials"]
    assert [each["id"] for each in valid] != [credential["id"]]
    assert len(valid) == 1


def test_another_devices_factory_key_and_a_wrong_one_are_refused(factory: Factory) -> None:
    for name in ("own-0001", "thief-0001", "wrong-0001"):
        factory.add(name)
    shutil.copytree(factory.folder / "own-0001", factory.folder / "thief-0001", dirs_exist_ok=True)
    (factory.folder / "wrong-0001" / "psk-key.hex").write_text("00" * 16)
    with contextlib.ExitStack() as devices:
        for prefix in ("thief-", "wrong-"):
            devices.enter_context(factory.devices(prefix))
        refused = ("refused", "the factory key is that of 'own-0001'")
        wait_for(lambda: refused in factory.sessions("thief-0001"), REGISTERED_S, "the thief's refusal")
        wait_for(
            lambda: (
                ("wrong-key", "wrong-0001")
                in {(each["cause"], each["endpoint"]) for each in factory.get("/refusals")["refusals"]}
            ),
            REGISTERED_S,
            "the wrong key's refusal",
        )
    assert factory.registered("thief-") + factory.registered("wrong-") == 0
    assert factory.sessions("wrong-0001") == []


def test_a_hundred_devices_bootstrap_at_once(factory: Factory) -> None:
    file = factory.folder.parent / "many.csv"
    file.write_text("endpoint\n" + "".join(f"many-{number:04d}\n" for number in range(1, MANY + 1)))
    cli(factory.nexus, "bootstrap", "import", str(file), "-o", str(factory.folder))
    began = time.monotonic()
    with factory.devices("many-", MANY):
        wait_for(lambda: factory.registered("many-") == MANY, REGISTERED_S, f"{MANY} devices to register")
        took = time.monotonic() - began
    print(f"{MANY} devices bootstrapped and registered in {took:.1f} s")
    keys = factory.get("/bootstrap/keys", limit="500")["keys"]
    many = [each for each in keys if each["endpoint"].startswith("many-")]
    assert (len(many), all(each["used_at"] for each in many)) == (MANY, True)
