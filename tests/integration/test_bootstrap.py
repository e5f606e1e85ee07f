"""Factory keys and bootstrap sessions in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient

from flownexus.store.bootstrap import SESSIONS_OF_ENDPOINT, USED_UP
from flownexus.web.bootstrap import add_bootstrap
from flownexus.web.bootstrapping import Bootstrapper
from flownexus.web.enrolling import Enroller
from flownexus.web.flask import FunctionApp
from tests.fixtures.enrolment import secrets_with_authority
from tests.fixtures.guard import guard_of
from tests.fixtures.world import World

SECRETS = secrets_with_authority()
Post = Callable[..., Any]


class Leshan:
    """Counts how often credentials were carried to it."""

    def __init__(self) -> None:
        self.carried = 0

    def carry(self) -> int:
        self.carried += 1
        return 1


@pytest.fixture
def leshan() -> Leshan:
    return Leshan()


@pytest.fixture
def client(world: World, leshan: Leshan) -> FlaskClient:
    app = FunctionApp("api", guard_of("ann"), world.api_pool.ready)
    add_bootstrap(app, Bootstrapper(Enroller(world.api_pool, leshan.carry, SECRETS)))
    client: FlaskClient = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer ann"
    return client


@pytest.fixture
def post(client: FlaskClient) -> Post:
    def post(path: str, status: int = 200, **body: Any) -> Any:
        answer = client.post(f"/v1/bootstrap/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.get_json()

    return post


def begin(post: Post, endpoint: str = "a", status: int = 200, identity: str | None = None) -> Any:
    return post("begin", status, identity=identity or endpoint, endpoint=endpoint, address="192.0.2.1")


def handed_key(begun: Any) -> tuple[str, str]:
    """Return identity and key of the account that is written."""
    resources = begun["writes"][0]["resources"]
    return bytes.fromhex(resources["3"]).decode(), resources["5"]


def sessions(client: FlaskClient, endpoint: str = "a") -> list[tuple[str, str | None]]:
    found = client.get(f"/v1/bootstrap/sessions?endpoint={endpoint}").get_json()["sessions"]
    return [(each["state"], each["detail"]) for each in found]


def valid(world: World, endpoint: str = "a") -> list[str]:
    """Return the identities of an endpoint's valid credentials."""
    rows = world.execute(
        "SELECT identity FROM device_credential WHERE revoked_at IS NULL AND endpoint = %s ORDER BY id",
        endpoint,
    )
    return [row["identity"] for row in rows]


def test_a_device_gets_a_key_of_its_own_and_its_factory_key_is_refused_afterwards(
    client: FlaskClient, post: Post, world: World, leshan: Leshan
) -> None:
    made = post("keys", 201, endpoint="a", identity="factory-a", key="0f" * 16)
    assert made["files"] == {"psk-identity.txt": "factory-a\n", "psk-key.hex": "0f" * 16 + "\n"}
    assert post("key", identity="factory-a") == {"key": "0f" * 16, "endpoint": "a"}
    begun = begin(post, identity="factory-a")
    assert leshan.carried == 1
    security, server = begun["writes"]
    identity, key = handed_key(begun)
    assert security == {
        "path": "/0/1",
        "resources": {
            "0": SECRETS.coaps_url,
            "1": False,
            "2": 0,
            "3": b"a".hex(),
            "4": "",
            "5": key,
            "10": 1,
        },
    }
    assert server == {"path": "/1/0", "resources": {"0": 1, "1": 86400, "6": True, "7": "U"}}
    assert (identity, len(key), key != "0f" * 16) == ("a", 32, True)
    assert valid(world) == ["a"]
    assert key not in str(world.execute("SELECT * FROM device_credential"))
    assert sessions(client) == [("begun", None)]
    post("end", session=begun["session"], failure=None)
    assert sessions(client) == [("finished", None)]
    post("key", 404, identity="factory-a")
    assert USED_UP in begin(post, identity="factory-a", status=409)["detail"]
    assert valid(world) == ["a"]
    assert client.get(f"/v1/bootstrap/keys/{made['id']}").get_json()["used_at"] is not None
    assert sessions(client) == [("refused", USED_UP), ("refused", USED_UP), ("finished", None)]


def test_text_that_postgresql_cannot_have_is_refused(post: Post) -> None:
    """Whoever begins a handshake may show any bytes as its identity."""
    post("keys", 201, endpoint="a")
    assert "without NUL" in post("key", 422, identity="a\0")["detail"]
    assert "without NUL" in begin(post, identity="\0", status=422)["detail"]
    post("begin", 422, identity="a", endpoint="a", address="\0")
    session = begin(post)["session"]
    assert "without NUL" in post("end", 422, session=session, failure="\0")["detail"]
    post("end", session=session, failure=None)


def test_a_refusal_that_comes_again_is_counted_and_fills_no_list(client: FlaskClient, post: Post) -> None:
    post("keys", 201, endpoint="a")
    post("end", session=begin(post)["session"], failure=None)
    for _ in range(5):
        post("key", 404, identity="a")
    newest, _ = client.get("/v1/bootstrap/sessions").get_json()["sessions"]
    assert (newest["state"], newest["times"], newest["address"]) == ("refused", 5, "")


def test_a_session_that_failed_leaves_the_factory_key_and_the_next_one_gives_another_key(
    client: FlaskClient, post: Post, world: World
) -> None:
    post("keys", 201, endpoint="a")
    first = begin(post)
    post("end", session=first["session"], failure="/1/0 was not answered")
    second = begin(post)
    assert handed_key(first)[1] != handed_key(second)[1]
    assert valid(world) == [handed_key(second)[0]], "what a session that failed had given is over"
    post("end", session=second["session"], failure=None)
    assert sessions(client) == [("finished", None), ("failed", "/1/0 was not answered")]


def test_a_device_that_begins_again_takes_the_place_of_its_own_session(
    client: FlaskClient, post: Post, world: World
) -> None:
    post("keys", 201, endpoint="a")
    first, second = begin(post), begin(post)
    post("end", session=first["session"], failure=None)  # of a session that is over: it does not count
    assert post("key", identity="a")["key"]
    assert sessions(client) == [("begun", None), ("failed", "the device began another session")]
    assert valid(world) == [handed_key(second)[0]]


def test_a_device_whose_last_word_was_lost_has_used_its_key_once_it_registers(
    client: FlaskClient, post: Post, world: World
) -> None:
    post("keys", 201, endpoint="a")
    begun = begin(post)
    post("end", session=begun["session"], failure="Bootstrap-Finish was not answered")
    assert post("key", identity="a")["key"], "it may not have got all of it: it may come again"
    world.endpoint("a")
    world.execute("UPDATE endpoint SET secure = false, registered_at = clock_timestamp()")
    assert post("key", identity="a")["key"], "plain CoAP proves nothing"
    world.execute("UPDATE endpoint SET secure = true, registered_at = clock_timestamp()")
    post("key", 404, identity="a")
    assert USED_UP in begin(post, status=409)["detail"]
    assert valid(world) == [handed_key(begun)[0]]


def test_an_operator_may_allow_it_again_and_the_old_key_is_over_when_the_new_one_is_there(
    client: FlaskClient, post: Post, world: World
) -> None:
    id_ = post("keys", 201, endpoint="a")["id"]
    first = begin(post)
    post("end", session=first["session"], failure=None)
    assert post(f"keys/{id_}/allow")["used_at"] is None
    second = begin(post)
    assert len(valid(world)) == 2, "the old one counts until the device has the new one"
    post("end", session=second["session"], failure=None)
    assert valid(world) == [handed_key(second)[0]]
    post("key", 404, identity="a")
    told = world.execute("SELECT entry->>'action' AS action, entry->>'by' AS by FROM audit_entry ORDER BY id")
    assert [tuple(row.values()) for row in told] == [
        ("factory-key-added", "ann"),
        ("credential-made", "bootstrap"),
        ("factory-key-allowed-again", "ann"),
        ("credential-made", "bootstrap"),
        ("credential-revoked", "bootstrap"),
    ]


def test_another_devices_factory_key_is_refused_and_nothing_is_made(
    client: FlaskClient, post: Post, world: World
) -> None:
    for name in ("a", "b"):
        post("keys", 201, endpoint=name)
    answer = begin(post, endpoint="a", identity="b", status=409)
    assert answer["detail"] == "the factory key is that of 'b'"
    assert sessions(client) == [("refused", "the factory key is that of 'b'")]
    assert valid(world) == []
    post("key", 404, identity="c")


def test_a_revoked_factory_key_is_forgotten_and_what_it_gave_stays(
    client: FlaskClient, post: Post, world: World
) -> None:
    id_ = post("keys", 201, endpoint="a")["id"]
    begun = begin(post)
    revoked = client.delete(f"/v1/bootstrap/keys/{id_}").get_json()
    assert revoked["revoked_by"] == "ann"
    post("end", session=begun["session"], failure=None)
    assert valid(world) == ["a"]
    post("key", 404, identity="a")
    assert "revoked" in begin(post, status=409)["detail"]
    assert "revoked" in post(f"keys/{id_}/allow", 409)["detail"]
    assert world.execute("SELECT id FROM factory_credential WHERE sealed_key IS NOT NULL") == []
    post("keys", 201, endpoint="a")


def test_many_factory_keys_are_kept_together_or_not_at_all(post: Post, client: FlaskClient) -> None:
    keys = [{"endpoint": f"d-{n}"} for n in range(50)]
    assert len(post("keys/batch", 201, keys=keys)["keys"]) == 50
    answer = post("keys/batch", 409, keys=[{"endpoint": "new"}, {"endpoint": "d-7"}])
    assert "'d-7'" in answer["detail"]
    assert client.get("/v1/bootstrap/keys?endpoint=new").get_json()["keys"] == []


def test_a_profile_says_what_is_written(client: FlaskClient, post: Post) -> None:
    profile = {
        "server_uri": "coaps://lwm2m.example.org:5684",
        "short_server_id": 7,
        "lifetime": 300,
        "binding": "UQ",
        "min_period": 1,
        "max_period": 60,
        "disable_timeout": 30,
        "store_notifications": False,
        "objects": {"/2/0/0": 3, "/2/0/2": {"7": 15}, "/21/0/0": "00ff"},
    }
    put = client.put("/v1/bootstrap/profiles/field", json=profile)
    assert (put.status_code, put.get_json()["changed_by"]) == (201, "ann")
    post("keys", 201, endpoint="a", profile="field")
    security, server, access, oscore = begin(post)["writes"]
    assert (security["resources"]["0"], security["resources"]["10"]) == (profile["server_uri"], 7)
    assert server["resources"] == {"0": 7, "1": 300, "2": 1, "3": 60, "5": 30, "6": False, "7": "UQ"}
    assert access == {"path": "/2/0", "resources": {"0": 3, "2": {"7": 15}}}
    assert oscore == {"path": "/21/0", "resources": {"0": "00ff"}}
    assert client.delete("/v1/bootstrap/profiles/field").status_code == 409
    post("keys", 404, endpoint="b", profile="none")


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ({"server_uri": "coap://x"}, "server_uri: where devices register, such as coaps://"),
        ({"lifetime": 0}, "lifetime: a whole number of seconds, 1 or more"),
        ({"binding": "T"}, "binding: U, or UQ"),
        ({"objects": {"/1/0/1": 5}}, "objects: /1/0/1 is of object 0 or 1"),
        ({"objects": {"/2/0": 5}}, "objects: up to 100 resources"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said(
    client: FlaskClient, profile: dict[str, Any], says: str
) -> None:
    answer = client.put("/v1/bootstrap/profiles/p", json=profile)
    assert (answer.status_code, says in answer.get_json()["detail"]) == (422, True), answer.text


def test_a_hundred_devices_at_once_get_a_key_each(post: Post, world: World, leshan: Leshan) -> None:
    names = [f"d-{n:03}" for n in range(100)]
    post("keys/batch", 201, keys=[{"endpoint": name} for name in names])
    with ThreadPoolExecutor(2) as pool:
        begun = list(pool.map(lambda name: begin(post, name), names))
        list(pool.map(lambda each: post("end", session=each["session"], failure=None), begun))
    assert len({handed_key(each) for each in begun}) == 100
    assert len(world.execute("SELECT id FROM factory_credential WHERE used_at IS NOT NULL")) == 100
    assert 0 < leshan.carried <= 100


def test_the_newest_sessions_of_a_device_are_kept(client: FlaskClient, post: Post) -> None:
    post("keys", 201, endpoint="a")
    for _ in range(SESSIONS_OF_ENDPOINT + 5):
        newest = begin(post)["session"]
    found = client.get("/v1/bootstrap/sessions?limit=100").get_json()["sessions"]
    assert (len(found), found[0]["id"]) == (SESSIONS_OF_ENDPOINT, newest)
