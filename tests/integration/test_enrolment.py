"""Credentials of devices in a real PostgreSQL, and how they are carried to a Leshan that comes and goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from flownexus import carrying
from flownexus.carrying import Carrier
from flownexus.enrolment.sealing import Sealer
from flownexus.errors import UnavailableError
from flownexus.leshan.security import Carried
from flownexus.store import audit
from flownexus.store import credential as store
from flownexus.store.activity import activity_of
from flownexus.store.pool import open_pool
from flownexus.web.credentials import add_credentials
from flownexus.web.enrolling import Enroller, Succession, Wanted
from flownexus.web.flask import FunctionApp
from tests.fixtures.enrolment import KEY, secrets_with_authority
from tests.fixtures.guard import guard_of
from tests.fixtures.postgres import Database
from tests.fixtures.world import World

SECRETS = secrets_with_authority()


class Copy:
    """What a Leshan has: it takes parts as the real one does (FileSecurityStore in leshan/server)."""

    def __init__(self) -> None:
        self.there = Carried("", 0)
        self.entries: dict[str, Any] = {}
        self.unenrolled = ""
        self.stale: set[str] = set()
        self.parts: list[Mapping[str, Any]] = []
        self.away = False
        self.races = 0

    def carried(self) -> Carried:
        if self.away:
            raise UnavailableError("Leshan is away")
        return self.there

    def carry(self, expected: Carried, change: Mapping[str, Any]) -> bool:
        if self.races:
            self.races -= 1
            return False
        if expected != self.there:
            return False
        change = json.loads(json.dumps(change))
        self.parts.append(change)
        if change["begins"]:
            self.stale = set(self.entries)
        for each in change["entries"]:
            self.entries[each["endpoint"]] = each["tls"]
            self.stale.discard(each["endpoint"])
        if change["completes"]:
            self.entries |= {name: {"mode": "denied"} for name in self.stale}
            self.stale.clear()
        self.there, self.unenrolled = Carried(change["source"], change["revision"]), change["unenrolled"]
        return True


@pytest.fixture
def copy() -> Copy:
    return Copy()


@pytest.fixture
def carrier(database: Database, copy: Copy) -> Iterator[Carrier]:
    """Carry as housekeeping does, by its role."""
    with open_pool(database.housekeeping, 1, "test housekeeping") as pool:
        yield Carrier(pool, copy, SECRETS.keys)  # type: ignore[arg-type]


@pytest.fixture
def client(world: World, copy: Copy) -> FlaskClient:
    carrier = Carrier(world.api_pool, copy, SECRETS.keys)  # type: ignore[arg-type]
    app = FunctionApp("api", guard_of("ann"), world.api_pool.ready)
    add_credentials(app, Enroller(world.api_pool, carrier.carry, SECRETS))
    client: FlaskClient = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer ann"
    return client


def make(client: FlaskClient, endpoint: str = "a", mode: str = "psk", **more: Any) -> Any:
    answer = client.post("/v1/credentials", json={"endpoint": endpoint, "mode": mode, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.get_json()


def test_a_key_is_shown_once_kept_sealed_and_carried_at_once(
    client: FlaskClient, copy: Copy, world: World
) -> None:
    made = make(client)
    key = made["files"]["psk-key.hex"].strip()
    assert made | {"files": None, "created_at": None} == {
        "id": 1,
        "endpoint": "a",
        "mode": "psk",
        "identity": "a",
        "fingerprint": None,
        "files": None,
        "created_by": "ann",
        "created_at": None,
        "expires_at": None,
        "carried": True,
        "revoked_at": None,
        "revoked_by": None,
    }
    assert copy.entries == {"a": [{"mode": "psk", "details": {"identity": "a", "key": key}}]}
    assert copy.unenrolled == "refused"
    [row] = world.execute("SELECT * FROM device_credential")
    assert key not in str(row)
    assert bytes.fromhex(key) not in row["sealed_key"]
    assert Sealer([KEY]).open(row["sealed_key"], "a").hex() == key
    assert "files" not in client.get("/v1/credentials/1").get_json()
    assert key not in client.get("/v1/credentials").text


def test_a_device_may_have_a_key_of_its_own_and_nobody_another_ones_identity(client: FlaskClient) -> None:
    made = make(client, key="00" * 16, identity="mine")
    assert (made["identity"], made["files"]["psk-key.hex"]) == ("mine", "00" * 16 + "\n")
    answer = client.post("/v1/credentials", json={"endpoint": "b", "mode": "psk", "identity": "mine"})
    assert (answer.status_code, "that of 'a'" in answer.text) == (409, True)
    assert make(client, "mine")["identity"].startswith("mine.")  # its name is taken as an identity


@pytest.mark.parametrize("mode", ["rpk", "x509"])
def test_of_a_pair_of_keys_the_public_part_alone_is_kept(
    client: FlaskClient, copy: Copy, world: World, mode: str
) -> None:
    made = make(client, mode=mode)
    assert "PRIVATE KEY" in made["files"]["key.pem"]
    [row] = world.execute("SELECT * FROM device_credential")
    assert (row["sealed_key"], row["fingerprint"]) == (None, made["fingerprint"])
    [entry] = copy.entries["a"]
    wanted = {"key": bytes(row["public_key"]).hex()} if mode == "rpk" else {"sha256": made["fingerprint"]}
    assert entry["details"] == wanted
    assert ("until" in entry) == (mode == "x509")
    own = {"rpk": {"public_key": made["files"].get("public.pem")}, "x509": {}}[mode]
    if own:  # a key is one device's
        answer = client.post("/v1/credentials", json={"endpoint": "b", "mode": "rpk", **own})
        assert (answer.status_code, "of 'a'" in answer.text) == (409, True)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"mode": "psk", "csr": "x"}, "csr: is of x509"),
        ({"mode": "x509", "identity": "x"}, "identity: is of psk"),
        ({"mode": "rpk", "public_key": "x"}, "public_key: a public key"),
        ({"mode": "psk", "key": "00"}, "key: of psk: 16 to 64 bytes in hex"),
        ({"mode": "psk", "identity": "ä" * 65}, "identity: at most 128 bytes"),
        ({"mode": "none"}, "mode: psk, rpk or x509"),
        ({"mode": "psk", "endpoint": ".."}, "endpoint: the endpoint's name"),
        ({"mode": "psk", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at: 2020-01-01T00:00:00"),
        ({"mode": "psk", "expires_at": "2099-01-01T00:00:00Z", "expires_in": 5}, "expires_in: cannot"),
    ],
)
def test_what_cannot_be_made_is_said(client: FlaskClient, body: dict[str, Any], says: str) -> None:
    answer = client.post("/v1/credentials", json={"endpoint": "a", **body})
    assert (answer.status_code, says in answer.get_json()["detail"]) == (422, True), answer.text


def test_a_revoked_credential_is_gone_from_leshan_and_its_key_from_the_database(
    client: FlaskClient, copy: Copy, world: World
) -> None:
    make(client)
    second = make(client, mode="rpk")
    assert [each["mode"] for each in copy.entries["a"]] == ["rpk", "psk"]
    revoked = client.delete("/v1/credentials/1").get_json()
    assert (revoked["revoked_by"], revoked["carried"]) == ("ann", True)
    assert [each["mode"] for each in copy.entries["a"]] == ["rpk"]
    client.delete(f"/v1/credentials/{second['id']}")
    assert copy.entries["a"] == {"mode": "denied"}
    assert world.execute("SELECT FROM device_credential WHERE sealed_key IS NOT NULL") == []
    assert client.delete("/v1/credentials/1").get_json()["revoked_at"] == revoked["revoked_at"]  # once
    assert client.delete("/v1/credentials/9").status_code == 404
    assert client.post("/v1/credentials/1/successor", json={}).status_code == 409


def test_a_successor_counts_beside_the_old_one_until_the_overlap_is_over(
    client: FlaskClient, copy: Copy
) -> None:
    make(client)
    made = client.post("/v1/credentials/1/successor", json={"overlap": 3600}).get_json()
    assert made["identity"].startswith("a.")
    new, old = copy.entries["a"]
    assert (new["details"]["identity"], old["details"]["identity"]) == (made["identity"], "a")
    end = datetime.fromtimestamp(old["until"], UTC) - datetime.now(UTC)
    assert timedelta(minutes=59) < end < timedelta(minutes=61)
    # Without an overlap the old one is over at once.
    client.post(f"/v1/credentials/{made['id']}/successor", json={"overlap": 0})
    assert made["identity"] not in str(copy.entries["a"])
    valid = client.get("/v1/credentials?valid=true&endpoint=a").get_json()["credentials"]
    assert [each["id"] for each in valid] == [3, 1]


def test_a_batch_is_made_as_a_whole_or_not_at_all(client: FlaskClient, copy: Copy) -> None:
    wanted = [{"endpoint": f"d-{i}", "mode": "x509" if i % 2 else "psk"} for i in range(20)]
    answer = client.post("/v1/credentials/batch", json={"credentials": wanted})
    assert [each["endpoint"] for each in answer.get_json()["credentials"]] == [
        each["endpoint"] for each in wanted
    ]
    assert len(copy.entries) == 20
    over = {"endpoint": "f", "mode": "psk", "expires_at": "2020-01-01T00:00:00Z"}
    refused = client.post("/v1/credentials/batch", json={"credentials": [{**over, "expires_at": None}, over]})
    assert refused.status_code == 422
    assert refused.get_json()["detail"].startswith("credentials, number 2: expires_at: 2020")
    bad = [{"endpoint": "e", "mode": "psk"}, {"endpoint": "f", "mode": "psk", "identity": "d-0"}]
    assert client.post("/v1/credentials/batch", json={"credentials": bad}).status_code == 409
    assert client.get("/v1/credentials?endpoint=e").get_json()["credentials"] == []


def test_what_leshan_missed_is_carried_when_it_is_back(
    client: FlaskClient, copy: Copy, carrier: Carrier
) -> None:
    make(client)
    copy.away = True
    assert not client.delete("/v1/credentials/1").get_json()["carried"]
    with pytest.raises(UnavailableError):
        carrier.carry()
    copy.away = False
    assert carrier.carry() == 1
    assert copy.entries == {"a": {"mode": "denied"}}
    parts = len(copy.parts)
    assert carrier.carry() == 0
    assert len(copy.parts) == parts  # safe to repeat, and nothing is sent then


def test_an_empty_leshan_or_one_of_another_database_gets_all_in_parts(
    client: FlaskClient, copy: Copy, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [{"endpoint": f"d-{i}", "mode": "psk"} for i in range(7)]
    client.post("/v1/credentials/batch", json={"credentials": wanted})
    before = copy.entries
    monkeypatch.setattr(carrying, "ENDPOINTS_A_PART", 3)
    for there in (Carried("", 0), Carried("another", 5), Carried(copy.there.source, 99)):
        copy.there, copy.entries = there, {"gone": [{"mode": "psk"}]}
        copy.parts.clear()
        assert carrier.carry() == 7
        assert [part["begins"] for part in copy.parts] == [True, False, False]
        assert [part["completes"] for part in copy.parts] == [False, False, True]
        assert copy.entries == {**before, "gone": {"mode": "denied"}}
        assert carrier.carry() == 0


def test_who_is_overtaken_begins_again_a_few_times(client: FlaskClient, copy: Copy, carrier: Carrier) -> None:
    copy.races = 3
    assert make(client)["carried"]
    copy.there, copy.races = Carried("", 0), 99
    with pytest.raises(UnavailableError, match="others carry"):
        carrier.carry()


def test_who_is_not_enrolled_is_refused_from_the_first_enrolment_on_unless_a_setting_says_otherwise(
    client: FlaskClient, copy: Copy, carrier: Carrier
) -> None:
    assert client.get("/v1/enrolment").get_json() == {
        "unenrolled": "refused",
        "any_enrolled": False,
        "carried": True,
    }
    assert carrier.carry() == 0
    assert copy.parts == []  # nobody asks Leshan where nobody is enrolled
    make(client)
    assert copy.unenrolled == "refused"
    assert client.put("/v1/enrolment", json={"unenrolled": "admitted"}).get_json()["carried"]
    assert copy.unenrolled == "admitted"
    assert client.put("/v1/enrolment", json={"unenrolled": "perhaps"}).status_code == 422


def test_the_console_s_role_enrols_replaces_and_revokes_and_each_change_says_who(
    database: Database, copy: Copy
) -> None:
    with open_pool(database.console, 2, "test console") as pool:
        carrier = Carrier(pool, copy, SECRETS.keys)  # type: ignore[arg-type]
        enroller = Enroller(pool, carrier.carry, SECRETS)
        [made] = enroller.make([Wanted("a", "x509")], "ann")
        next_ = enroller.succeed(made.credential.id, Succession(overlap=60), "bob")
        assert enroller.carried()
        assert len(copy.entries["a"]) == 2
        for _ in range(2):
            store.revoke(pool, [made.credential.id, next_.credential.id], "cleo")
            store.set_unenrolled(pool, "admitted", "cleo")
        assert enroller.carried()
        assert (copy.entries["a"], copy.unenrolled) == ({"mode": "denied"}, "admitted")
        told = [(each.kind, each.what, each.by) for each in activity_of(pool, "a", 10)]
        assert told == [
            ("audit", "credential-revoked", "cleo"),
            ("audit", "credential-revoked", "cleo"),
            ("audit", "credential-replaced", "bob"),
            ("audit", "credential-made", "ann"),
        ]
        chain = audit.check(pool)
        assert (chain.length, chain.broken_at) == (5, None)


def test_the_roles_of_what_devices_send_read_no_credential(database: Database) -> None:
    for role in ("ingest", "dispatch", "firmware", "download", "grafana", "reader"):
        with psycopg.connect(getattr(database, role), autocommit=True) as connection:
            for table in ("device_credential", "enrolled_endpoint", "enrolment"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT * FROM {table}".encode())
