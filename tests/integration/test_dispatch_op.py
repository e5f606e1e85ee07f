"""dispatch-op against a real PostgreSQL and a server that answers as Leshan does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import nats
import psycopg
import pytest
from aiohttp import web

from flownexus import settings
from flownexus.leshan.answers import NOT_OBSERVED
from flownexus.leshan.client import Leshan
from flownexus.leshan.webhook import Item
from flownexus.lwm2m.path import Path as LwM2mPath
from flownexus.lwm2m.value import DataType, Reading
from flownexus.messaging.publisher import Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.settings import Timeouts
from flownexus.store.operation_repair import revive_expired
from flownexus.store.pool import Pool, open_pool
from flownexus.store.telemetry import Telemetry
from flownexus.store.transaction import transaction
from local.servers.ports import free_port
from tests.fixtures.guard import guard_of
from tests.fixtures.handler import FUNCTIONS, load_handler
from tests.fixtures.leshan import LeshanDouble, answer, asleep, broken, never, plain
from tests.fixtures.relay import Relay
from tests.fixtures.served import Serve, Served
from tests.fixtures.waiting_async import until
from tests.fixtures.world import World

TOKEN = "connector"  # the test's own
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
TIMEOUTS = Timeouts.of(3)
TEMPERATURE = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "21.5"}

Post = Callable[..., Any]


@pytest.fixture
def no_nats() -> Iterator[Publisher]:
    with Publisher(f"nats://127.0.0.1:{free_port()}") as publisher:
        yield publisher


@asynccontextmanager
async def replica(
    pool: Pool, publisher: Publisher, url: str, timeouts: Timeouts = TIMEOUTS
) -> AsyncIterator[Any]:
    """Run the function in this process; gives what posts a body to it."""
    handler = load_handler("dispatch-op")
    app = handler.create_app(
        pool,
        Telemetry(timedelta(days=365)),
        publisher,
        Leshan(url, "leshan-token", timeouts),
        timeouts,
        guard_of(TOKEN, "old"),
    )

    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://dispatch-op", timeout=60) as client,
    ):

        async def post(body: Any = None, headers: dict[str, str] = HEADERS) -> Any:
            raw = body if isinstance(body, bytes) else json.dumps(body or {"ep": "sim-0001"})
            return await client.post("/", content=raw, headers=headers)

        yield post


@pytest.fixture
async def post(world: World, no_nats: Publisher, leshan: LeshanDouble) -> AsyncIterator[Post]:
    async with replica(world.dispatch_pool, no_nats, leshan.url) as post:
        yield post


async def dispatched(response: Any) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["operation"]


# ---------------------------------------------------------------------------------------------------------
# The edge


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic connector", "Bearer "])
async def test_who_is_not_the_connector_is_refused(
    post: Post, world: World, authorization: str | None
) -> None:
    world.endpoint()
    id_ = world.queue()
    response = await post(headers={"Authorization": authorization} if authorization else {})
    assert response.status_code == 401
    assert response.headers["Content-Type"] == "application/problem+json"
    assert world.status(id_) == ("QUEUED", 0)


@pytest.mark.parametrize(
    "body",
    [b"", b"ep", b"[]", b"{}", b'{"ep": ""}', b'{"ep": 3}', b'{"ep": "a\\u0000"}', b"\xff", b"[" * 10_000],
)
async def test_what_is_no_hint_is_refused(post: Post, body: bytes) -> None:
    response = await post(body)
    assert response.status_code == 400
    assert response.json()["status"] == 400


@pytest.mark.parametrize("endpoint", ["nobody", "it's.*> \N{GRINNING FACE}", "x" * 300])
async def test_an_endpoint_without_anything_is_no_error(post: Post, endpoint: str) -> None:
    assert await dispatched(await post({"ep": endpoint})) is None


async def test_several_hints_are_answered_one_by_one(post: Post, world: World, leshan: LeshanDouble) -> None:
    endpoints = ("one", "another")
    ids = [world.queue(world.endpoint(name)) for name in endpoints]
    response = await post([{"ep": "one"}, {"ep": ""}, {"ep": "nobody"}, {"ep": "another"}, 3])
    assert response.status_code == 200
    one, empty, nobody, another, three = response.json()
    assert [(each["status"], each["operation"]["id"]) for each in (one, another)] == [
        (200, id_) for id_ in ids
    ]
    assert nobody == {"status": 200, "operation": None}
    assert (empty["status"], empty["detail"]) == (400, "ep is an endpoint name: not empty, no NUL characters")
    assert three["status"] == 400
    assert sorted(request.endpoint for request in leshan.seen) == ["another", "one"]


# ---------------------------------------------------------------------------------------------------------
# Ends


async def test_a_write_is_confirmed(post: Post, world: World, leshan: LeshanDouble) -> None:
    world.endpoint()
    id_ = world.queue(path="/3/0/15", value={"type": "STRING", "value": "UTC+2"})
    assert await dispatched(await post()) == {
        "id": id_,
        "status": "CONFIRMED",
        "attempts": 1,
        "reason": None,
    }
    row = world.operation(id_)
    assert (row["status"], row["result"]) == ("CONFIRMED", {"status": "CHANGED(204)"})
    assert row["finished_at"] >= row["last_attempt_at"]
    [seen] = leshan.seen
    assert (seen.method, seen.path, seen.query) == ("PUT", "/3/0/15", {"replace": "true", "timeout": "3"})
    assert seen.headers["Authorization"] == "Bearer leshan-token"
    assert seen.json == {"kind": "singleResource", "id": 15, "type": "STRING", "value": "UTC+2"}


async def test_leshan_is_told_its_timeout_in_whole_seconds(
    world: World, leshan: LeshanDouble, no_nats: Publisher
) -> None:
    """Leshan's demo reads nothing else; less than the client's own, it ends first."""
    world.endpoint()
    world.queue()
    async with replica(world.dispatch_pool, no_nats, leshan.url, Timeouts.of(2.9)) as post:
        await post()
    [seen] = leshan.seen
    assert seen.query["timeout"] == "2"


async def test_an_execute_sends_its_arguments_as_text(post: Post, world: World, leshan: LeshanDouble) -> None:
    world.endpoint()
    world.queue(operation="execute", path="/3/0/4", arguments="0='now'")
    world.queue(operation="execute", path="/3/0/4")
    await post()
    await post()
    assert [(seen.method, seen.path, seen.body) for seen in leshan.seen] == [
        ("POST", "/3/0/4", "0='now'"),
        ("POST", "/3/0/4", ""),
    ]


@pytest.mark.parametrize("endpoint", ["it's.*> \N{GRINNING FACE}?#%2F", "urn:imei:123/4", ".."])
async def test_any_endpoint_name_reaches_leshan(
    post: Post, world: World, leshan: LeshanDouble, endpoint: str
) -> None:
    world.endpoint(endpoint)
    world.queue(endpoint)
    assert (await dispatched(await post({"ep": endpoint})))["status"] == "CONFIRMED"
    assert leshan.seen[0].endpoint == endpoint


@pytest.mark.parametrize(("operation", "method"), [("read", "GET"), ("observe", "POST")])
async def test_values_that_come_back_are_stored(
    post: Post, world: World, leshan: LeshanDouble, operation: str, method: str
) -> None:
    world.endpoint()
    leshan.default = answer("CONTENT(205)", TEMPERATURE)
    id_ = world.queue(operation=operation)
    await post()
    assert leshan.seen[0].method == method
    assert world.operation(id_)["result"] == {"status": "CONTENT(205)", "content": TEMPERATURE}
    [row] = world.execute("SELECT path, number FROM telemetry")
    assert row == {"path": "/3303/0/5700", "number": 21.5}


async def test_a_notification_that_followed_an_answer_stays_the_latest(
    post: Post, world: World, leshan: LeshanDouble
) -> None:
    """The answer comes back to us after the notification was stored; Leshan tells when it had it."""
    world.endpoint()
    told = round(time.time() * 1000) - 2000

    async def overtaken(request: web.Request) -> web.StreamResponse:
        newer = Reading(LwM2mPath(3303, 0, 5700), DataType.FLOAT, 22.5)
        items = [Item("sim-0001", told, None, (newer,))]
        transaction(world.ingest_pool, lambda current: Telemetry(timedelta(days=1)).store(current, items))
        return await answer("CONTENT(205)", TEMPERATURE, time=told, observed=True)(request)

    leshan.default = overtaken
    world.queue(operation="observe")
    assert (await dispatched(await post()))["status"] == "CONFIRMED"
    rows = world.execute("SELECT number FROM telemetry ORDER BY time")
    assert [row["number"] for row in rows] == [21.5, 22.5]
    assert world.execute("SELECT number FROM telemetry_latest") == [{"number": 22.5}]


async def test_an_answer_that_is_a_history_keeps_every_value_with_its_time(
    post: Post, world: World, leshan: LeshanDouble
) -> None:
    world.endpoint()
    told = round(time.time() * 1000) - 3_600_000
    older = [
        {"timestamp": told + place, "content": {**TEMPERATURE, "value": str(place)}} for place in range(3)
    ]
    more: dict[str, Any] = {"time": told + 60_000, "timestamp": told + 3, "observed": True, "history": older}
    leshan.default = answer("CONTENT(205)", TEMPERATURE, **more)
    id_ = world.queue(operation="observe")
    assert (await dispatched(await post()))["status"] == "CONFIRMED"
    assert world.operation(id_)["result"] == {
        "status": "CONTENT(205)", "content": TEMPERATURE, "history": older,
    }  # fmt: skip
    rows = world.execute("SELECT number, time FROM telemetry ORDER BY time")
    assert [row["number"] for row in rows] == [0, 1, 2, 21.5]
    assert rows[0]["time"] == datetime.fromtimestamp(told / 1000, UTC)
    assert world.execute("SELECT number FROM telemetry_latest") == [{"number": 21.5}]


async def test_an_observe_that_only_brought_the_value_fails_and_keeps_it(
    post: Post, world: World, leshan: LeshanDouble
) -> None:
    world.endpoint()
    leshan.default = answer("CONTENT(205)", TEMPERATURE, observed=False)
    id_ = world.queue(operation="observe")
    await post()
    row = world.operation(id_)
    assert (row["status"], row["attempts"]) == ("FAILED", 1)
    assert row["reason"] == NOT_OBSERVED
    assert row["result"] == {"status": "CONTENT(205)", "content": TEMPERATURE}
    assert world.execute("SELECT number FROM telemetry") == [{"number": 21.5}]


async def test_http_200_with_success_false_is_not_confirmed(
    post: Post, world: World, leshan: LeshanDouble
) -> None:
    """The peer took it for confirmed. 5.00: asked again after 5, 30 and 120 s, then FAILED."""
    world.endpoint()
    leshan.default = answer("INTERNAL_SERVER_ERROR(500)", errormessage="out of order")
    id_ = world.queue()
    for attempt, delay in ((1, 5), (2, 30), (3, 120)):
        assert (await dispatched(await post()))["attempts"] == attempt
        world.update()
        assert await dispatched(await post()) is None  # an update makes it no earlier
        row = world.operation(id_)
        assert (row["status"], row["attempts"]) == ("QUEUED", attempt)
        assert row["last_attempt_at"] + timedelta(seconds=delay) <= row["not_before"]
        assert row["not_before"] <= datetime.now(UTC) + timedelta(seconds=delay)
        world.execute("UPDATE endpoint_operation SET not_before = now()")
    await post()
    assert world.status(id_) == ("FAILED", 4)
    assert world.operation(id_)["reason"] == "the device answered 5.00 INTERNAL_SERVER_ERROR: out of order"
    assert len(leshan.seen) == 4


@pytest.mark.parametrize(
    "unusable",
    [
        answer("NOT_IMPLEMENTED(501)"),
        plain(500, "Invalid response: unable to decode"),
        plain(500, "Request rejected: RST"),
    ],
)
async def test_a_device_that_fails_at_the_first_of_the_plan_has_the_rest_at_once(
    post: Post, world: World, leshan: LeshanDouble, unusable: Any
) -> None:
    """Its observations waited for two or three updates: there was no telemetry for a day."""
    world.endpoint()
    leshan.answers["sim-0001"] = [unusable, answer("CONTENT(205)", TEMPERATURE)]
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, priority, registration_id)"
        " VALUES (1, 'read', '/3', 0, 'a'), (1, 'observe', '/3303/0/5700', 0, 'a')"
    )
    await drain(post)
    assert [world.status(id_) for id_ in (1, 2)] == [("FAILED", 1), ("CONFIRMED", 1)]
    assert world.operation(1)["reason"]


async def test_forty_held_endpoints_hold_up_no_others(post: Post, world: World, leshan: LeshanDouble) -> None:
    """Each was waited for, for five seconds, one after the other: nobody else's went out in 110 s."""
    held, free = (
        [f"{kind}-{number}" for number in range(count)] for kind, count in (("held", 40), ("free", 20))
    )
    for name in (*held, *free):
        world.queue(world.endpoint(name))
    with psycopg.connect(world.database.owner) as other:
        other.execute("SELECT FROM endpoint WHERE name LIKE 'held-%' FOR UPDATE")
        waiting = asyncio.create_task(post([{"ep": name} for name in held]))
        answers = (await post([{"ep": name} for name in free])).json()
        assert [each["operation"]["status"] for each in answers] == ["CONFIRMED"] * 20
        assert {seen.endpoint for seen in leshan.seen} == set(free)
        assert [each["status"] for each in (await waiting).json()] == [503] * 40
    answers = (await post([{"ep": name} for name in held])).json()
    assert [each["operation"]["status"] for each in answers] == ["CONFIRMED"] * 40


UNSUPPORTED = answer("UNSUPPORTED_CONTENT_FORMAT(415)")


async def test_a_write_answered_4_15_goes_out_once_in_each_other_format_and_what_works_is_learned(
    post: Post, world: World, leshan: LeshanDouble
) -> None:
    """Writes were always TLV: a device without it failed them."""
    world.endpoint()
    leshan.answers["sim-0001"] = [UNSUPPORTED, UNSUPPORTED, answer("CHANGED(204)")]
    id_, next_ = world.queue(), world.queue()
    await drain(post)
    assert world.status(id_) == ("CONFIRMED", 3)
    assert world.status(next_) == ("CONFIRMED", 1)
    asked = [seen.query.get("format", "TLV") for seen in leshan.seen]
    assert asked == ["TLV", "SENML_CBOR", "SENML_JSON", "SENML_JSON"]


async def test_a_device_that_takes_no_format_fails_the_write_after_each(
    post: Post, world: World, leshan: LeshanDouble
) -> None:
    world.endpoint()
    leshan.default = UNSUPPORTED
    id_ = world.queue()
    await drain(post)
    assert world.status(id_) == ("FAILED", 4)
    assert [seen.query.get("format") for seen in leshan.seen] == [None, "SENML_CBOR", "SENML_JSON", "TEXT"]
    assert world.operation(id_)["reason"] == "the device answered 4.15 UNSUPPORTED_CONTENT_FORMAT"


@pytest.mark.parametrize(
    ("ct", "first"), [([60, 110, 112], "SENML_CBOR"), ([0], "TEXT"), ([11542, 112], None)]
)
async def test_a_write_goes_in_a_format_that_the_device_registered_with(
    post: Post, world: World, leshan: LeshanDouble, ct: list[int], first: str | None
) -> None:
    world.endpoint()
    world.execute("UPDATE endpoint SET content_formats = %s", ct)
    world.queue()
    await post()
    assert [seen.query.get("format") for seen in leshan.seen] == [first]


@pytest.mark.parametrize("status", ["NOT_FOUND(404)", "METHOD_NOT_ALLOWED(405)"])
async def test_a_refusal_for_good_fails_at_once(
    post: Post, world: World, leshan: LeshanDouble, status: str
) -> None:
    world.endpoint()
    leshan.default = answer(status)
    id_ = world.queue()
    await post()
    row = world.operation(id_)
    assert (row["status"], row["attempts"]) == ("FAILED", 1)
    assert row["reason"].startswith("the device answered 4.0")


@pytest.mark.parametrize(
    "absent",
    [
        asleep,
        plain(400, "no registered client with id 'sim-0001'"),
        plain(400, "The destination client is sleeping"),
    ],
)
async def test_no_attempt_is_burnt_on_a_device_that_is_not_there(
    post: Post, world: World, leshan: LeshanDouble, absent: Any
) -> None:
    world.endpoint()
    leshan.answers["sim-0001"] = [absent, answer("CHANGED(204)")]
    id_ = world.queue()
    assert (await dispatched(await post()))["attempts"] == 0
    assert await dispatched(await post()) is None
    assert world.status(id_) == ("QUEUED", 0)
    world.update()
    await post()
    assert world.status(id_) == ("CONFIRMED", 1)


async def test_an_offline_device_is_not_tried(post: Post, world: World, leshan: LeshanDouble) -> None:
    world.endpoint(registered=False)
    id_ = world.queue()
    assert await dispatched(await post()) is None
    assert world.status(id_) == ("QUEUED", 0)
    assert leshan.seen == []


async def test_an_invalid_request_fails_with_leshan_s_words(
    post: Post, world: World, leshan: LeshanDouble
) -> None:
    world.endpoint()
    leshan.default = plain(400, "Invalid request: resource 15 is not writable")
    id_ = world.queue()
    await post()
    assert world.status(id_) == ("FAILED", 0)
    assert "resource 15 is not writable" in world.operation(id_)["reason"]


@pytest.mark.parametrize("refusal", [plain(401, "Unauthorized"), plain(503, "starting")])
async def test_a_leshan_that_refuses_us_costs_nothing_and_is_logged(
    post: Post, world: World, leshan: LeshanDouble, refusal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world.endpoint()
    leshan.answers["sim-0001"] = [refusal, answer("CHANGED(204)")]
    id_ = world.queue(operation="execute")
    await post()
    assert world.status(id_) == ("QUEUED", 0)
    assert any(entry.levelno == logging.ERROR for entry in caplog.records)
    assert "leshan-token" not in caplog.text
    await post()
    assert world.status(id_) == ("CONFIRMED", 1)


async def test_a_leshan_that_is_away_costs_nothing(world: World, no_nats: Publisher) -> None:
    world.endpoint()
    id_ = world.queue(operation="execute")
    async with replica(world.dispatch_pool, no_nats, f"http://127.0.0.1:{free_port()}") as post:
        assert (await dispatched(await post()))["status"] == "QUEUED"
    assert world.status(id_) == ("QUEUED", 0)
    assert "Leshan is away" in world.operation(id_)["reason"]


@pytest.mark.parametrize("operation", ["read", "write", "observe"])
async def test_a_broken_connection_leaves_nothing_sending(
    post: Post, world: World, leshan: LeshanDouble, operation: str
) -> None:
    """The peer left it SENDING for ever. And an attempt is one request: aiohttp would repeat some."""
    world.endpoint()
    leshan.default = broken
    id_ = world.queue(operation=operation)
    await post()
    assert world.status(id_) == ("QUEUED", 1)
    assert len(leshan.seen) == 1


@pytest.mark.parametrize("end", [broken, plain(504, "timeout"), plain(500, "cancelled"), plain(200, "{")])
async def test_an_execute_of_unknown_outcome_fails(
    post: Post, world: World, leshan: LeshanDouble, end: Any
) -> None:
    world.endpoint()
    leshan.default = end
    once = world.queue(operation="execute")
    await post()
    assert world.operation(once)["reason"].startswith("outcome unknown: ")
    assert world.status(once) == ("FAILED", 1)
    again = world.queue(operation="execute", repeatable=True)
    await post()
    assert world.status(again) == ("QUEUED", 1)


async def test_an_answer_that_never_comes_is_given_up(
    world: World, no_nats: Publisher, leshan: LeshanDouble
) -> None:
    world.endpoint()
    leshan.default = never
    id_ = world.queue()
    async with replica(world.dispatch_pool, no_nats, leshan.url, Timeouts.of(0.6)) as post:
        began = time.monotonic()
        await post()
        assert 0.6 < time.monotonic() - began < 5
    assert world.status(id_) == ("QUEUED", 1)
    assert leshan.abandoned == ["sim-0001"]  # Leshan learns that nobody waits any more


async def test_what_a_device_says_cannot_break_the_record(
    post: Post, world: World, leshan: LeshanDouble
) -> None:
    world.endpoint()
    odd = {"kind": "singleResource", "id": 5701, "type": "STRING", "value": "a\0b"}
    leshan.default = answer("CONTENT(205)", odd)
    id_ = world.queue(operation="read", path="/3303/0/5701")
    await post()
    assert world.status(id_) == ("CONFIRMED", 1)
    assert world.execute("SELECT value FROM telemetry") == [{"value": "a�b"}]


# ---------------------------------------------------------------------------------------------------------
# Order, replicas, many at once


async def drain(post: Post, endpoint: str = "sim-0001") -> None:
    """Do what the hints do: dispatch until nothing is left."""
    while await dispatched(await post({"ep": endpoint})):
        pass


async def test_ten_operations_go_in_order_and_one_at_a_time_through_two_replicas(
    world: World, no_nats: Publisher, leshan: LeshanDouble
) -> None:
    """The peer sent them at once, or out of order."""
    world.endpoint()
    leshan.default = answer("CHANGED(204)", after=0.02)
    values = [f"value-{number}" for number in range(10)]
    ids = [world.queue(value={"type": "STRING", "value": value}) for value in values]
    async with AsyncExitStack() as stack:
        posts = []
        for number in range(2):
            pool = stack.enter_context(open_pool(world.database.dispatch, 4, f"replica {number}"))
            posts.append(await stack.enter_async_context(replica(pool, no_nats, leshan.url)))

        async def hint_again_and_again(post: Post) -> None:
            while any(world.status(id_)[0] != "CONFIRMED" for id_ in ids):
                await asyncio.gather(*(post() for _ in range(3)))

        async with asyncio.timeout(30):
            await asyncio.gather(*(hint_again_and_again(post) for post in posts))
    assert [seen.json["value"] for seen in leshan.seen] == values
    assert leshan.most_open["sim-0001"] == 1
    assert [world.status(id_) for id_ in ids] == [("CONFIRMED", 1)] * 10


async def test_five_hundred_wait_at_once_with_four_connections(
    world: World, no_nats: Publisher, leshan: LeshanDouble
) -> None:
    release = threading.Event()

    async def held(request: web.Request) -> web.StreamResponse:
        while not release.is_set():  # noqa: ASYNC110  # who releases is in another thread
            await asyncio.sleep(0.05)
        return await answer("CHANGED(204)")(request)

    slow = [f"slow-{number:04}" for number in range(500)]
    for endpoint in slow:
        leshan.answers[endpoint] = held
    names = [*slow, "fast"]
    world.execute(
        "INSERT INTO endpoint (name, registered, contact_count) SELECT unnest(%s::text[]), true, 1", names
    )
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path)"
        " SELECT id, 'read', '/3' FROM endpoint"
    )
    async with replica(world.dispatch_pool, no_nats, leshan.url, Timeouts.of(30)) as post:
        tasks = [asyncio.create_task(post({"ep": endpoint})) for endpoint in slow]
        await until(lambda: len(leshan.seen) == 500)
        await post({"ep": "fast"})
        assert sum(leshan.open.values()) == 500
        release.set()
        await asyncio.gather(*tasks)
    assert world.execute("SELECT DISTINCT status, attempts FROM endpoint_operation") == [
        {"status": "CONFIRMED", "attempts": 1}
    ]
    assert world.dispatch_pool.get_stats()["pool_max"] == 4


async def test_a_hint_is_published_for_the_next_operation(
    world: World, leshan: LeshanDouble, nats_url: str
) -> None:
    world.endpoint()
    world.queue()
    world.queue()
    with Publisher(nats_url) as publisher:
        assert publisher.wait_connected(5)
        async with replica(world.dispatch_pool, publisher, leshan.url) as post:
            client = await nats.connect(nats_url)
            try:
                hints = await client.subscribe(Hint(HintKind.QUEUED, "sim-0001").subject)
                await client.flush()
                await post()
                message = await hints.next_msg(timeout=5)
                assert json.loads(message.data) == {"ep": "sim-0001"}
                await post()  # nothing is left: no hint
                with pytest.raises(nats.errors.TimeoutError):
                    await hints.next_msg(timeout=0.3)
            finally:
                await client.close()


# ---------------------------------------------------------------------------------------------------------
# Losses


async def test_a_caller_that_goes_away_does_not_undo_what_the_device_does(
    world: World, no_nats: Publisher, leshan: LeshanDouble
) -> None:
    world.endpoint()
    leshan.default = answer("CHANGED(204)", after=0.5)
    id_ = world.queue()
    async with replica(world.dispatch_pool, no_nats, leshan.url) as post:
        caller = asyncio.create_task(post())
        await until(lambda: len(leshan.seen) == 1)
        caller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await caller
        await until(lambda: world.status(id_) == ("CONFIRMED", 1))


async def test_an_end_is_recorded_once_postgresql_is_back(
    world: World, no_nats: Publisher, leshan: LeshanDouble
) -> None:
    world.endpoint()
    id_ = world.queue(operation="execute")
    leshan.default = answer("CHANGED(204)", after=0.5)
    async with replica(world.dispatch_pool, no_nats, leshan.url, Timeouts.of(9)) as post:
        task = asyncio.create_task(post())
        await until(lambda: len(leshan.seen) == 1)
        world.execute("ALTER ROLE flownexus_dispatch NOLOGIN")
        try:
            world.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'flownexus_dispatch'"
            )
            await asyncio.sleep(1.5)
            assert not task.done()
        finally:
            world.execute("ALTER ROLE flownexus_dispatch LOGIN")
        assert (await dispatched(await task))["status"] == "CONFIRMED"
    assert world.status(id_) == ("CONFIRMED", 1)


async def test_without_postgresql_the_caller_is_asked_to_come_again(
    world: World, no_nats: Publisher, leshan: LeshanDouble
) -> None:
    with open_pool(f"postgresql://nobody@127.0.0.1:{free_port()}/x", 4, "test") as pool:
        async with replica(pool, no_nats, leshan.url) as post:
            response = await post()
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"


async def test_a_device_may_take_an_hour_and_the_lease_is_a_minute(
    world: World, no_nats: Publisher, leshan: LeshanDouble
) -> None:
    """It was 100 minutes: so long an operation waited when its dispatcher had died."""
    world.endpoint()
    leshan.default = answer("CHANGED(204)", after=0.2)
    id_ = world.queue()
    async with replica(world.dispatch_pool, no_nats, leshan.url, Timeouts.of(3600)) as post:
        call = asyncio.create_task(post())
        await until(lambda: len(leshan.seen) == 1)
        row = world.operation(id_)
        assert row["lease_expires_at"] - row["last_attempt_at"] <= timedelta(seconds=61)
        assert (await dispatched(await call))["status"] == "CONFIRMED"


async def test_a_lease_is_renewed_while_the_device_takes_its_time_and_no_longer(
    world: World, no_nats: Publisher, leshan: LeshanDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MAX_LEASE_TERM_S", 2.0)
    world.endpoint()
    leshan.default = answer("CHANGED(204)", after=5)
    id_ = world.queue(operation="execute")
    async with replica(world.dispatch_pool, no_nats, leshan.url, Timeouts.of(12)) as post:
        call = asyncio.create_task(post())
        await until(lambda: len(leshan.seen) == 1)
        first = world.operation(id_)["lease_expires_at"]
        while not call.done():
            with world.dispatch_pool.connection() as connection:
                assert revive_expired(connection, 100) == []
            assert await dispatched(await post()) is None
            await asyncio.sleep(0.2)
        assert (await dispatched(await call))["status"] == "CONFIRMED"
    row = world.operation(id_)
    assert (row["status"], row["attempts"], row["lease_expires_at"]) == ("CONFIRMED", 1, None)
    assert row["finished_at"] > first  # one lease was not enough


@pytest.mark.parametrize("done", [True, False])
async def test_a_claim_whose_commit_is_not_answered_is_given_back_for_nothing_was_sent(
    world: World, no_nats: Publisher, leshan: LeshanDouble, relay: Relay, *, done: bool
) -> None:
    """It stayed SENDING, and an execute ended FAILED "outcome unknown"."""
    world.endpoint()
    id_ = world.queue(operation="execute")
    with open_pool(relay.through(world.database.dispatch), 4, "test") as pool:
        async with replica(pool, no_nats, leshan.url) as post:
            relay.cut_at_commit(done=done)
            assert (await post()).status_code == 503
            row = world.operation(id_)
            assert (row["status"], row["attempts"], leshan.seen) == ("QUEUED", 0, [])
            assert (row["last_attempt_at"] is not None) is done  # the commit took place, or did not
            assert (await dispatched(await post()))["status"] == "CONFIRMED"
    assert world.status(id_) == ("CONFIRMED", 1)
    assert len(leshan.seen) == 1


@pytest.fixture
def serve_dispatch(serve: Serve, world: World, leshan: LeshanDouble, tmp_path: Path) -> Callable[..., Served]:
    """Serve the function as a process of its own, as the template does."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, value in {
        "flownexus-dispatch-database-url": world.database.dispatch,
        "flownexus-nats-url": f"nats://127.0.0.1:{free_port()}",
        "flownexus-leshan-token": "leshan-token",
        "flownexus-connector-token": TOKEN,
    }.items():
        (secrets / name).write_text(value + "\n")

    def start(*, ready: bool = True, **settings: str) -> Served:
        environment = {
            "secret_mount_path": str(secrets),
            "leshan_url": leshan.url,
            "long_poll_timeout": "3s",
            "database_pool_size": "4",
            **settings,
        }
        source = (FUNCTIONS / "dispatch-op" / "handler.py").read_text()
        return serve(source, ready=ready, **environment)

    return start


async def test_kill_9_in_mid_long_poll_neither_loses_nor_repeats_the_record(
    world: World, leshan: LeshanDouble, serve_dispatch: Callable[..., Served]
) -> None:
    """The operation is neither stuck in SENDING nor lost nor recorded twice."""
    world.endpoint()
    leshan.answers["sim-0001"] = [never, answer("CONTENT(205)", TEMPERATURE)]
    id_ = world.queue(operation="read")
    first, second = serve_dispatch(), serve_dispatch()
    hint = json.dumps({"ep": "sim-0001"}).encode()

    def post(served: Served) -> Any:
        status, body, _ = served.request("POST", "/", hint, HEADERS)
        assert status == 200, body
        return json.loads(body)["operation"]

    call = asyncio.get_running_loop().run_in_executor(None, lambda: post(first))
    await until(lambda: len(leshan.seen) == 1)
    first.process.kill()
    with pytest.raises(OSError):  # noqa: PT011  # which one depends on the moment
        await call
    assert world.status(id_) == ("SENDING", 1)
    assert await asyncio.to_thread(post, second) is None  # the lease holds
    await asyncio.sleep(TIMEOUTS.lease_s)
    ended = await asyncio.to_thread(post, second)
    assert (ended["id"], ended["status"], ended["attempts"]) == (id_, "CONFIRMED", 2)
    assert world.execute("SELECT count(*) AS n FROM resource") == [{"n": 1}]
    assert leshan.abandoned == ["sim-0001"]


async def test_sigterm_lets_operations_end(
    world: World, leshan: LeshanDouble, serve_dispatch: Callable[..., Served]
) -> None:
    world.endpoint()
    leshan.default = answer("CHANGED(204)", after=1)
    id_ = world.queue(operation="execute")
    served = serve_dispatch()
    hint = json.dumps({"ep": "sim-0001"}).encode()
    call = asyncio.create_task(asyncio.to_thread(served.request, "POST", "/", hint, HEADERS))
    await until(lambda: len(leshan.seen) == 1)
    assert await asyncio.to_thread(served.terminate) == 0
    assert (await call)[0] == 200
    assert world.status(id_) == ("CONFIRMED", 1)


async def test_sigterm_ends_five_hundred_operations_whose_devices_do_not_answer(
    world: World, leshan: LeshanDouble, serve_dispatch: Callable[..., Served]
) -> None:
    leshan.default = never
    names = [f"slow-{number:04}" for number in range(500)]
    world.execute(
        "INSERT INTO endpoint (name, registered, contact_count) SELECT unnest(%s::text[]), true, 1", names
    )
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path)"
        " SELECT id, CASE WHEN id %% 2 = 0 THEN 'read' ELSE 'execute' END, '/3/0/4' FROM endpoint"
    )
    served = serve_dispatch(long_poll_timeout="300s", drain_timeout="3s")
    hints = [json.dumps([{"ep": name} for name in names[first : first + 50]]) for first in range(0, 500, 50)]
    with ThreadPoolExecutor(len(hints)) as callers:
        calls = [callers.submit(served.request, "POST", "/", hint.encode(), HEADERS) for hint in hints]
        await until(lambda: len(leshan.seen) == 500)
        assert await asyncio.to_thread(served.terminate, 60) == 0
    answers = [each for call in calls for each in json.loads(call.result()[1])]
    assert {(each["status"], each["operation"]["attempts"]) for each in answers} == {(200, 1)}
    ended = "SELECT operation_type, status, attempts, lease_expires_at, count(*) FROM endpoint_operation"
    assert world.execute(f"{ended} GROUP BY 1, 2, 3, 4 ORDER BY 1") == [
        {"operation_type": kind, "status": status, "attempts": 1, "lease_expires_at": None, "count": 250}
        for kind, status in (("execute", "FAILED"), ("read", "QUEUED"))
    ]
    await until(lambda: len(leshan.abandoned) == 500)
    assert "stopped before 500 devices have answered" in served.log.read_text()


def test_a_missing_secret_is_a_refusal_to_start(
    serve_dispatch: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "secrets" / "flownexus-connector-token").unlink()
    served = serve_dispatch(ready=False)
    assert served.process.wait(20) == 1
    assert "secret flownexus-connector-token cannot be read" in served.log.read_text()
