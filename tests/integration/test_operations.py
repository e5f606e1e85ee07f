"""The operations function: REST over a real PostgreSQL and a real NATS."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import pytest
from flask.testing import FlaskClient

from flownexus.messaging.publisher import Publisher
from flownexus.messaging.subjects import STREAM, Hint, HintKind
from local.servers.nats import Server
from tests.fixtures.guard import guard_of
from tests.fixtures.handler import load_handler
from tests.fixtures.world import World

HEADERS = {"Authorization": "Bearer api"}


@pytest.fixture
def publisher(nats_url: str) -> Iterator[Publisher]:
    with Publisher(nats_url) as publisher:
        assert publisher.wait_connected(5)
        yield publisher


@pytest.fixture
def client(world: World, publisher: Publisher) -> FlaskClient:
    app = load_handler("operations").create_app(world.api_pool, publisher, guard_of("api", "old"))
    client: FlaskClient = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer api"
    return client


def body(**more: Any) -> dict[str, Any]:
    return {"endpoint": "sim-0001", "operation": "read", "path": "/3/0", **more}


def hint_of(nats_url: str, endpoint: str) -> bytes | None:
    """Return the body of the endpoint's hint in the stream."""

    async def read() -> bytes | None:
        connection = await nats.connect(nats_url)
        try:
            subject = Hint(HintKind.QUEUED, endpoint).subject
            return (await connection.jetstream().get_last_msg(STREAM, subject)).data
        except nats.js.errors.NotFoundError:
            return None
        finally:
            await connection.close()

    return asyncio.run(read())


def test_an_operation_is_queued_and_its_endpoint_gets_a_hint(
    client: FlaskClient, world: World, nats_url: str
) -> None:
    world.endpoint("it's.*> \N{GRINNING FACE}")
    value = {"type": "INTEGER", "value": 60}
    response = client.post(
        "/", json=body(endpoint="it's.*> \N{GRINNING FACE}", operation="write", path="1/0/1", value=value)
    )
    assert response.status_code == 201
    made = response.get_json()
    assert response.headers["Location"] == f"/function/operations/{made['id']}"
    assert made.pop("created_at").endswith("+00:00")
    assert made == {
        "id": 1,
        "endpoint": "it's.*> \N{GRINNING FACE}",
        "operation": "write",
        "path": "/1/0/1",
        "value": {"type": "INTEGER", "value": "60"},
        "arguments": None,
        "repeatable": False,
        "priority": 100,
        "status": "QUEUED",
        "attempts": 0,
        "result": None,
        "reason": None,
        "last_attempt_at": None,
        "finished_at": None,
        "requested_by": "api",
        "not_before": None,
        "expires_at": None,
        "superseded_by": None,
        "batch": None,
    }
    assert json.loads(hint_of(nats_url, made["endpoint"]) or b"") == {"ep": made["endpoint"]}
    shown = client.get("/1").get_json()
    assert shown | {"created_at": None} == made | {"created_at": None}


KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
EXECUTE = {"endpoint": "sim-0001", "operation": "execute", "path": "/3/0/4"}


def test_a_key_is_its_caller_s_own_and_a_row_without_a_name_is_of_api(
    client: FlaskClient, world: World
) -> None:
    world.endpoint()
    old = {"Authorization": "Bearer old"}
    made = [client.post("/", json=EXECUTE, headers=KEY | who).get_json() for who in ({}, old, {}, old)]
    assert [each["id"] for each in made] == [made[0]["id"], made[1]["id"]] * 2
    assert made[0]["id"] != made[1]["id"]
    assert [each["requested_by"] for each in made[:2]] == ["api", "old"]
    world.execute("UPDATE endpoint_operation SET requested_by = NULL WHERE requested_by = 'api'")
    assert client.post("/", json=EXECUTE, headers=KEY).get_json()["id"] == made[0]["id"]


def test_the_same_post_again_with_its_key_is_answered_the_same_and_queues_nothing(
    client: FlaskClient, world: World
) -> None:
    """After a lost answer the second POST was a second execute."""
    world.endpoint()
    first = client.post("/", json=EXECUTE, headers=KEY)
    assert first.status_code == 201
    world.execute("UPDATE endpoint_operation SET status = 'CONFIRMED', attempts = 1, finished_at = now()")
    unquoted = {"Idempotency-Key": KEY["Idempotency-Key"].strip('"')}
    for headers, raw in ((KEY, json.dumps(EXECUTE)), (unquoted, json.dumps(EXECUTE, indent=2))):
        again = client.post("/", data=raw, headers=headers)
        assert (again.status_code, again.headers["Location"], again.get_json()) == (
            201, first.headers["Location"], first.get_json(),
        )  # fmt: skip
    assert len(world.execute("SELECT id FROM endpoint_operation")) == 1
    other_key = {"Idempotency-Key": '"another"'}
    assert client.post("/", json=EXECUTE, headers=other_key).get_json()["id"] != first.get_json()["id"]
    assert client.post("/", json=EXECUTE).status_code == 201


def test_times_are_kept_and_shown_and_answered_again_as_the_first_time(
    client: FlaskClient, world: World
) -> None:
    world.endpoint()
    times = {"not_before": "2099-01-02T03:04:05+01:00", "expires_at": "2099-01-02T03:04:05Z"}
    made = client.post("/", json=EXECUTE | times, headers=KEY).get_json()
    assert (made["not_before"], made["expires_at"]) == (
        "2099-01-02T02:04:05+00:00", "2099-01-02T03:04:05+00:00",
    )  # fmt: skip
    assert client.get(f"/{made['id']}").get_json() == made
    # As it is after a claim.
    world.execute("UPDATE endpoint_operation SET not_before = NULL")
    assert client.post("/", json=EXECUTE | times, headers=KEY).get_json() == made
    short = client.post("/", json=EXECUTE | {"expires_in": 90}).get_json()
    lasts = datetime.fromisoformat(short["expires_at"]) - datetime.fromisoformat(short["created_at"])
    assert abs(lasts.total_seconds() - 90) < 1


def test_what_would_be_expired_is_refused_but_for_a_key_that_was_used(
    client: FlaskClient, world: World
) -> None:
    world.endpoint()
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    asked = EXECUTE | {"expires_at": soon.isoformat()}
    made = client.post("/", json=asked, headers=KEY).get_json()
    time.sleep(0.6)
    answer = client.post("/", json=asked)
    assert answer.status_code == 422
    assert answer.get_json()["detail"].startswith("expires_at: ")
    assert client.post("/", json=asked, headers=KEY).get_json() == made


@pytest.mark.parametrize("change", [{"path": "/3/0/5"}, {"repeatable": True}, {"endpoint": "sim-0002"}])
def test_a_key_stands_for_one_operation(client: FlaskClient, world: World, change: dict[str, Any]) -> None:
    for name in ("sim-0001", "sim-0002"):
        world.endpoint(name)
    client.post("/", json=EXECUTE, headers=KEY)
    response = client.post("/", json=EXECUTE | change, headers=KEY)
    assert response.status_code == 422
    assert response.get_json()["detail"].startswith("Idempotency-Key: operation 1 was queued by this key")
    assert len(world.execute("SELECT id FROM endpoint_operation")) == 1


def test_posts_of_one_key_at_once_queue_one_operation(client: FlaskClient, world: World) -> None:
    world.endpoint()
    start = threading.Barrier(4)

    def post(_: int) -> Any:
        mine = client.application.test_client()
        start.wait()
        return mine.post("/", json=EXECUTE, headers=KEY | HEADERS).get_json()

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(post, range(4)))
    assert answers == [answers[0]] * 4
    assert len(world.execute("SELECT id FROM endpoint_operation")) == 1


@pytest.mark.parametrize("key", ["", '""', '"', '"a"b"', "a b", '"é"', '"' + "x" * 256 + '"', "x" * 256])
def test_a_key_that_is_no_short_string_is_refused(client: FlaskClient, world: World, key: str) -> None:
    world.endpoint()
    response = client.post("/", json=EXECUTE, headers={"Idempotency-Key": key})
    assert response.status_code == 400
    assert response.get_json()["detail"].startswith("Idempotency-Key: a string of 1 to 255")


def test_so_many_operations_wait_for_an_endpoint_and_no_more(world: World, publisher: Publisher) -> None:
    for name in ("sim-0001", "sim-0002"):
        world.endpoint(name)
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, priority, registration_id)"
        " SELECT 1, 'read', '/' || n, 0, 'a' FROM generate_series(1, 10) n"
    )
    client = (
        load_handler("operations").create_app(world.api_pool, publisher, guard_of("api"), 3).test_client()
    )
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer api"
    assert [client.post("/", json=EXECUTE, headers=KEY).status_code for _ in range(5)] == [201] * 5
    assert [client.post("/", json=EXECUTE).status_code for _ in range(3)] == [201, 201, 429]
    response = client.post("/", json=EXECUTE)
    assert response.headers["Retry-After"] == "30"
    assert response.get_json()["detail"].startswith("3 operations wait for 'sim-0001', and no more may")
    assert client.post("/", json=EXECUTE, headers=KEY).status_code == 201
    assert client.post("/", json=EXECUTE | {"endpoint": "sim-0002"}).status_code == 201
    world.execute("UPDATE endpoint_operation SET status = 'CONFIRMED', finished_at = now() WHERE id = 11")
    assert client.post("/", json=EXECUTE).status_code == 201


def test_without_nats_an_operation_is_queued_all_the_same(
    client: FlaskClient, world: World, nats_server: Server
) -> None:
    world.endpoint()
    nats_server.stop()
    assert client.post("/", json=body()).status_code == 201
    assert world.status(1) == ("QUEUED", 0)


def test_a_value_alone_takes_the_type_of_the_object_model(client: FlaskClient, world: World) -> None:
    world.endpoint()
    write = body(operation="write", path="/3341/0/5548", value=5)
    assert client.post("/", json=write).get_json()["value"] == {"type": "FLOAT", "value": "5.0"}
    world.execute(
        "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (3341, 5548, 'OPAQUE')"
    )
    assert client.post("/", json=write).get_json()["value"] == {"type": "FLOAT", "value": "5.0"}


def test_a_value_alone_takes_the_type_that_was_seen(client: FlaskClient, world: World) -> None:
    world.endpoint()
    write = body(operation="write", path="/40000/0/5601", value=5)
    response = client.post("/", json=write)
    assert response.status_code == 422
    assert "has not been seen yet" in response.get_json()["detail"]
    world.execute(
        "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (40000, 5601, 'FLOAT')"
    )
    assert client.post("/", json=write).get_json()["value"] == {"type": "FLOAT", "value": "5.0"}
    response = client.post("/", json=write | {"value": "warm"})
    assert (response.status_code, response.get_json()["detail"][:23]) == (422, 'value: "warm" is not FL')


@pytest.mark.parametrize(
    ("raw", "status", "detail"),
    [
        (b"", 400, "the body is not JSON"),
        (b"x", 400, "the body is not JSON"),
        (b"\xff", 400, "the body is not JSON"),
        (b'{"endpoint": NaN}', 400, "the body is not JSON"),
        (b'{"endpoint": 1e400}', 400, "the body is not JSON"),
        (b'{"endpoint": "\\ud800"}', 400, "the body is not JSON"),
        (b"[" * 10_000, 400, "the body is"),
        (b'{"value": ' + b"[" * 900 + b"]" * 900 + b"}", 422, ""),
        (b"[]", 422, "an operation is a JSON object"),
        (b"{}", 422, "endpoint: "),
        (json.dumps(body(endpoint="nobody")).encode(), 404, "no endpoint 'nobody' has been seen"),
        (json.dumps(body(endpoint="x" * 300)).encode(), 404, "no endpoint"),
        (json.dumps(body(path="/3/0/70000")).encode(), 422, "path: "),
        (json.dumps(body(operation="execute", path="/3/0/4", arguments="now")).encode(), 422, "arguments: "),
    ],
)
def test_bad_input_has_a_clear_answer(
    client: FlaskClient, world: World, raw: bytes, status: int, detail: str
) -> None:
    world.endpoint()
    response = client.post("/", data=raw)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.get_json()["detail"].startswith(detail)
    assert world.execute("SELECT * FROM endpoint_operation") == []


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/1"])
@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Bearer", "api"])
def test_who_has_no_token_is_refused(
    client: FlaskClient, world: World, method: str, path: str, authorization: str
) -> None:
    world.endpoint()
    world.queue()
    response = client.open(path, method=method, headers={"Authorization": authorization}, json=body())
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert world.status(1) == ("QUEUED", 0)


def test_both_tokens_of_a_rotation_are_good(client: FlaskClient) -> None:
    assert client.get("/", headers={"Authorization": "Bearer old"}).status_code == 200


def test_the_list_is_filtered_and_goes_page_by_page(client: FlaskClient, world: World) -> None:
    world.endpoint("a")
    world.endpoint("b")
    ids = [world.queue("a" if number % 2 else "b") for number in range(5)]
    client.delete(f"/{ids[0]}")

    def page(query: str) -> tuple[list[int], int | None]:
        answer = client.get(f"/?{query}").get_json()
        return [operation["id"] for operation in answer["operations"]], answer["next"]

    assert page("") == (ids[::-1], None)
    assert page("limit=2") == ([5, 4], 4)
    assert page("limit=2&cursor=4") == ([3, 2], 2)
    assert page("limit=2&cursor=2") == ([1], None)
    assert page("endpoint=a") == ([4, 2], None)
    assert page("endpoint=b&status=QUEUED") == ([5, 3], None)
    assert page("status=CANCELLED") == ([1], None)
    assert page("endpoint=nobody") == ([], None)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "limit=-1", "cursor=9" * 30, "status=queued", "endpoint=%00"]
)
def test_a_bad_query_is_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"/?{query}").status_code == 422


def test_a_queued_operation_can_be_cancelled(client: FlaskClient, world: World) -> None:
    world.endpoint()
    id_ = world.queue()
    response = client.delete(f"/{id_}")
    assert (response.status_code, response.get_json()["status"]) == (200, "CANCELLED")
    assert response.get_json()["finished_at"] is not None
    assert client.delete(f"/{id_}").status_code == 409


@pytest.mark.parametrize("status", ["SENDING", "CONFIRMED", "FAILED"])
def test_what_is_under_way_or_over_cannot(client: FlaskClient, world: World, status: str) -> None:
    world.endpoint()
    id_ = world.queue()
    world.execute(
        "UPDATE endpoint_operation SET status = %s,"
        " lease_expires_at = CASE WHEN %s = 'SENDING' THEN now() END,"
        " finished_at = CASE WHEN %s <> 'SENDING' THEN now() END",
        status, status, status,
    )  # fmt: skip
    response = client.delete(f"/{id_}")
    assert response.status_code == 409
    assert status in response.get_json()["detail"]
    assert world.operation(id_)["status"] == status


@pytest.mark.parametrize("path", ["/7", "/0", f"/{2**63 - 1}", f"/{2**63}", "/x", "/1/2", "/-1"])
def test_what_is_not_there_is_not_found(client: FlaskClient, path: str) -> None:
    for method in ("GET", "DELETE"):
        response = client.open(path, method=method)
        assert response.status_code == 404
        assert response.headers["Content-Type"] == "application/problem+json"


def test_other_methods_are_not_allowed(client: FlaskClient) -> None:
    assert client.put("/").status_code == 405
    assert client.post("/1").status_code == 405
