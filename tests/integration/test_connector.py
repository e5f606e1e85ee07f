"""The connector between a real NATS server and a real HTTP server that stands as the gateway."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import statistics
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import aiohttp
import nats
import pytest
from aiohttp import web

from connector.service import Service
from connector.settings import ConnectorSettings
from flownexus.messaging.connection import Servers
from flownexus.messaging.publisher import Publisher
from flownexus.messaging.subjects import STREAM, Hint, HintKind
from local.servers.nats import Server
from local.servers.ports import LOOPBACK, free_port
from tests.fixtures.waiting_async import until

TOKEN = "connector-token"
ROOT = Path(__file__).parents[2]


@dataclass
class Call:
    """A call that reached the gateway."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.time)


Answer = Callable[[Call], Awaitable[web.Response]]


def function(name: str, **annotations: str) -> dict[str, object]:
    return {"name": name, "namespace": "fn", "annotations": annotations}


DISPATCH = function("dispatch-op", topic="lwm2m.>")


class Gateway:
    """An HTTP server with the gateway's two paths; what functions answer is the test's to say."""

    def __init__(self) -> None:
        self.port = free_port()
        self.functions: list[dict[str, object]] = [DISPATCH]
        self.calls: list[Call] = []
        self.open = 0
        self.most_open = 0
        self.cancelled = 0
        self.answer: Answer = self.ok
        self._runner: web.AppRunner | None = None
        self._transports: set[asyncio.Transport] = set()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def ok(self, call: Call) -> web.Response:
        return web.Response(text="done")

    async def start(self) -> None:
        application = web.Application()
        application.router.add_get("/system/functions", self._list)
        application.router.add_post("/function/{path}", self._invoke)
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, self.port, backlog=1024, reuse_address=True)
        await site.start()

    async def stop(self) -> None:
        """End as a crash would: open calls have no answer."""
        if self._runner is not None:
            for transport in self._transports:
                transport.abort()
            await self._runner.cleanup()
            self._runner = None

    async def _list(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != "Basic " + b64encode(b"admin:password").decode():
            return web.Response(status=401)
        return web.json_response(self.functions)

    async def _invoke(self, request: web.Request) -> web.Response:
        call = Call(request.match_info["path"], dict(request.headers), await request.read())
        self.calls.append(call)
        transport = request.transport
        assert transport is not None
        self._transports.add(transport)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            return await self.answer(call)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._transports.discard(transport)
            self.open -= 1

    async def called(self, count: int, timeout: float = 10) -> list[Call]:  # noqa: ASYNC109
        await until(lambda: len(self.calls) >= count, timeout)
        return self.calls


def after(seconds: float) -> Answer:
    """Return the answer of a function that takes its time."""

    async def answer(call: Call) -> web.Response:
        await asyncio.sleep(seconds)
        return web.Response()

    return answer


def held(release: asyncio.Event) -> Answer:
    """Return the answer of a function that waits to be released."""

    async def answer(call: Call) -> web.Response:
        await release.wait()
        return web.Response()

    return answer


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    await gateway.start()
    yield gateway
    await gateway.stop()


@pytest.fixture
async def publisher(nats_server: Server) -> AsyncIterator[Publisher]:
    with Publisher(nats_server.url) as publisher:
        assert await asyncio.to_thread(publisher.wait_connected, 5)
        yield publisher


@pytest.fixture
def settings(nats_server: Server, gateway: Gateway) -> ConnectorSettings:
    return ConnectorSettings(
        gateway_url=gateway.url,
        gateway_user="admin",
        gateway_password="password",
        token=TOKEN,
        nats=Servers.of(nats_server.url),
        call_timeout=20,
        port=0,
        grace=2,
        refresh=0.1,
        ack_wait=2,
        max_deliveries=4,
        retry_base=0.1,
        retry_cap=1,
    )


@asynccontextmanager
async def running(settings: ConnectorSettings) -> AsyncIterator[Service]:
    stop = asyncio.Event()
    service = Service(settings)
    task = asyncio.create_task(service.run(stop))
    try:
        await until(lambda: service.ready or task.done())
        yield service
    finally:
        stop.set()
        await task


@pytest.fixture
async def service(settings: ConnectorSettings) -> AsyncIterator[Service]:
    async with running(settings) as service:
        yield service


def queued(*names: str) -> list[Hint]:
    return [Hint(HintKind.QUEUED, name) for name in names]


async def consumers(url: str) -> dict[str, int]:
    """Return the consumers of the stream and how many messages each has unanswered or before it."""
    client = await nats.connect(url)
    infos = await client.jetstream().consumers_info(STREAM)
    await client.close()
    return {info.name: (info.num_ack_pending or 0) + (info.num_pending or 0) for info in infos}


async def answered(url: str) -> None:
    """Wait until the connector has answered for every message."""
    await consumers_are(url, lambda found: not any(found.values()))


async def consumers_are(url: str, condition: Callable[[dict[str, int]], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition(await consumers(url)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def metric(service: Service, name: str, **labels: str) -> float:
    return service.metrics.registry.get_sample_value(f"flownexus_connector_{name}", labels) or 0


# ------------------------------------------------------------------------------------------ decisions


async def test_a_message_becomes_a_call_with_the_connector_s_headers(
    service: Service, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    assert await publisher.publish_async([Hint(HintKind.REGISTERED, "it's a.name")]) == 0
    (call,) = await gateway.called(1)
    assert call.path == "dispatch-op.fn"
    assert call.body == b'{"ep": "it\'s a.name"}'
    assert call.headers["X-Topic"] == "lwm2m.registration.registered.it%27s%20a%2Ename"
    assert call.headers["X-Connector"] == "flownexus-connector"
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["Authorization"] == f"Bearer {TOKEN}"
    await answered(nats_url)
    assert metric(service, "calls_total", function="dispatch-op.fn", result="ok") == 1
    assert len(gateway.calls) == 1


async def test_what_waited_before_the_consumer_was_made_is_delivered(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher
) -> None:
    assert await publisher.publish_async(queued("a", "b")) == 0
    async with running(settings):
        await gateway.called(2)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_delivered_again_later(
    service: Service, gateway: Gateway, publisher: Publisher, nats_url: str, status: int
) -> None:
    async def twice_not(call: Call) -> web.Response:
        return web.Response(status=status if len(gateway.calls) < 3 else 202)

    gateway.answer = twice_not
    await publisher.publish_async(queued("a"))
    first, second, third = await gateway.called(3)
    assert second.at - first.at >= 0.05
    assert third.at - second.at >= 0.1
    await answered(nats_url)
    assert metric(service, "calls_total", function="dispatch-op.fn", result="retry") == 2
    assert metric(service, "redelivered_messages_total", function="dispatch-op.fn") == 2


async def test_retry_after_is_waited_for(service: Service, gateway: Gateway, publisher: Publisher) -> None:
    async def busy(call: Call) -> web.Response:
        return (
            web.Response()
            if len(gateway.calls) > 1
            else web.Response(status=429, headers={"Retry-After": "1"})
        )

    gateway.answer = busy
    await publisher.publish_async(queued("a"))
    first, second = await gateway.called(2)
    assert second.at - first.at >= 0.9


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 422])
async def test_a_refusal_is_logged_and_final(
    service: Service,
    gateway: Gateway,
    publisher: Publisher,
    nats_url: str,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuse(call: Call) -> web.Response:
        return web.Response(
            status=status, text="not\nso", headers={"Location": f"{gateway.url}/function/elsewhere"}
        )

    gateway.answer = refuse
    await publisher.publish_async(queued("a"))
    await gateway.called(1)
    await answered(nats_url)
    await asyncio.sleep(0.3)
    assert len(gateway.calls) == 1
    assert f"function dispatch-op.fn, lwm2m.operation.queued.a: refused: {status}" in caplog.text
    assert status == 302 or f"{status} not so" in caplog.text
    assert TOKEN not in caplog.text
    assert metric(service, "calls_total", function="dispatch-op.fn", result="refused") == 1


async def test_after_so_many_deliveries_it_is_given_up(
    service: Service, gateway: Gateway, publisher: Publisher, nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(call: Call) -> web.Response:
        return web.Response(status=503)

    gateway.answer = away
    await publisher.publish_async(queued("a"))
    await gateway.called(4)
    await answered(nats_url)
    await asyncio.sleep(1.2)
    assert len(gateway.calls) == 4
    assert "given up after 4 deliveries: 503" in caplog.text
    assert metric(service, "calls_total", function="dispatch-op.fn", result="given_up") == 1


async def test_a_call_that_is_never_answered_times_out_and_is_tried_again(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher
) -> None:
    async def stuck(call: Call) -> web.Response:
        if len(gateway.calls) == 1:
            await asyncio.sleep(60)
        return web.Response()

    gateway.answer = stuck
    async with running(replace(settings, call_timeout=0.5)):
        await publisher.publish_async(queued("a"))
        first, second = await gateway.called(2)
        assert 0.5 <= second.at - first.at < 1.5


async def test_a_huge_answer_is_cut_off(
    service: Service, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    async def huge(call: Call) -> web.Response:
        return web.Response(body=bytes(20_000_000))

    gateway.answer = huge
    await publisher.publish_async(queued("a"))
    await gateway.called(1)
    await answered(nats_url)


# -------------------------------------------------------------------------------------- concurrency


async def test_two_messages_for_one_function_are_open_at_once(
    service: Service, gateway: Gateway, publisher: Publisher
) -> None:
    meeting = asyncio.Barrier(2)

    async def together(call: Call) -> web.Response:
        async with asyncio.timeout(5):
            await meeting.wait()
        return web.Response()

    gateway.answer = together
    await publisher.publish_async(queued("a", "b"))
    await gateway.called(2)
    await until(lambda: metric(service, "calls_total", function="dispatch-op.fn", result="ok") == 2)


async def test_a_thousand_slow_calls_are_open_at_once_and_a_fast_one_passes(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    release = asyncio.Event()

    async def slow(call: Call) -> web.Response:
        if b"fast" not in call.body:
            await release.wait()
        return web.Response()

    gateway.answer = slow
    async with running(replace(settings, ack_wait=5, call_timeout=60)) as service:
        assert await publisher.publish_async(queued(*(f"ep-{n}" for n in range(1000))), 10) == 0
        await until(lambda: gateway.open == 1000, 30)
        assert metric(service, "in_flight_messages", function="dispatch-op.fn") == 1000
        await publisher.publish_async(queued("fast"))
        await until(lambda: metric(service, "calls_total", function="dispatch-op.fn", result="ok") >= 1)
        assert gateway.open == 1000
        await asyncio.sleep(11)
        release.set()
        await until(
            lambda: metric(service, "calls_total", function="dispatch-op.fn", result="ok") == 1001, 20
        )
        await answered(nats_url)
        # It was more than twice the ack_wait: nothing but the heartbeats kept them from a second delivery.
        assert len(gateway.calls) == 1001
        assert metric(service, "in_flight_messages", function="dispatch-op.fn") == 0


async def test_no_more_calls_are_open_than_allowed(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    gateway.answer = after(0.05)
    async with running(replace(settings, max_open_calls=7)):
        await publisher.publish_async(queued(*(f"ep-{n}" for n in range(50))), 5)
        await gateway.called(50)
        await answered(nats_url)
    assert gateway.most_open == 7


async def test_heartbeats_keep_a_long_call_from_a_second_delivery(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    gateway.answer = after(5)
    async with running(replace(settings, ack_wait=2)) as service:
        await publisher.publish_async(queued("a"))
        await until(lambda: metric(service, "calls_total", function="dispatch-op.fn", result="ok") == 1)
        await answered(nats_url)
        assert metric(service, "redelivered_messages_total", function="dispatch-op.fn") == 0
    assert len(gateway.calls) == 1


# ------------------------------------------------------------------------------ several in one call

BATCH = 20
SEVERAL = function("dispatch-op", topic="lwm2m.>", batch=str(BATCH))


def named(call: Call) -> list[str]:
    """Return the endpoints that a call names."""
    body = json.loads(call.body)
    return [hint["ep"] for hint in (body if isinstance(body, list) else [body])]


def taken(call: Call) -> web.Response:
    """Answer that all messages of a call are done with."""
    return web.json_response([{"status": 200} for _ in named(call)])


async def test_messages_that_come_together_go_in_one_call(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    async def each(call: Call) -> web.Response:
        answers = [{"status": 200, "operation": None} for _ in named(call)]
        return web.json_response(answers if len(answers) > 1 else answers[0])

    gateway.functions, gateway.answer = [SEVERAL], each
    names = [f"ep-{n}" for n in range(200)]
    await publisher.publish_async(queued(*names), 5)
    async with running(replace(settings, ack_wait=20)) as service:
        await until(lambda: metric(service, "calls_total", function="dispatch-op.fn", result="ok") == 200)
        await answered(nats_url)
        assert metric(service, "in_flight_messages", function="dispatch-op.fn") == 0
    sizes = [len(named(call)) for call in gateway.calls]
    assert sorted(name for call in gateway.calls for name in named(call)) == sorted(names)
    assert max(sizes) == BATCH
    assert len(sizes) <= 50
    together = next(call for call in gateway.calls if len(named(call)) > 1)
    assert together.headers["X-Topic"] == "lwm2m.>"
    assert together.headers["Content-Type"] == "application/json"
    assert together.headers["Authorization"] == f"Bearer {TOKEN}"


async def test_each_message_of_a_call_has_an_end_of_its_own(
    settings: ConnectorSettings,
    gateway: Gateway,
    publisher: Publisher,
    nats_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried: Counter[str] = Counter()

    def status(name: str) -> int:
        tried[name] += 1
        return 404 if name == "refused" else 503 if name == "later" and tried[name] == 1 else 200

    async def each(call: Call) -> web.Response:
        answers = [{"status": status(name), "detail": f"says {name}"} for name in named(call)]
        if len(answers) > 1:
            return web.json_response(answers)
        return web.json_response(answers[0], status=int(str(answers[0]["status"])))

    gateway.functions, gateway.answer = [SEVERAL], each
    await publisher.publish_async(queued("a", "refused", "later", "b"), 5)
    async with running(settings) as service:
        await until(lambda: metric(service, "calls_total", function="dispatch-op.fn", result="ok") == 3)
        await answered(nats_url)
    assert tried == {"a": 1, "b": 1, "refused": 1, "later": 2}
    assert "lwm2m.operation.queued.refused: refused: 404" in caplog.text


@pytest.mark.parametrize("spoilt", [b"no JSON", b'{"ep": "x"}, {"ep": "y"}', b""])
async def test_a_message_that_spoils_the_others_call_is_refused_alone(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher, nats_url: str, spoilt: bytes
) -> None:
    async def strict(call: Call) -> web.Response:
        try:
            return taken(call)
        except ValueError:
            return web.Response(status=400)

    gateway.functions, gateway.answer = [SEVERAL], strict
    names = [f"ep-{n}" for n in range(10)]
    await publisher.publish_async(queued(*names), 5)
    client = await nats.connect(nats_url)
    await client.jetstream().publish("lwm2m.operation.queued.spoilt", spoilt)
    await client.close()
    async with running(settings) as service:
        await until(lambda: metric(service, "calls_total", function="dispatch-op.fn", result="ok") == 10)
        await answered(nats_url)
        assert metric(service, "calls_total", function="dispatch-op.fn", result="refused") == 1
        assert metric(service, "calls_total", function="dispatch-op.fn", result="retry") == 0


async def test_messages_of_a_call_that_failed_are_all_delivered_again(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    async def away_at_first(call: Call) -> web.Response:
        return web.Response(status=503) if gateway.calls[0] is call else taken(call)

    gateway.functions, gateway.answer = [SEVERAL], away_at_first
    names = [f"ep-{n}" for n in range(10)]
    await publisher.publish_async(queued(*names), 5)
    async with running(settings) as service:
        await until(lambda: metric(service, "calls_total", function="dispatch-op.fn", result="ok") == 10)
        await answered(nats_url)
    assert Counter(name for call in gateway.calls for name in named(call)).total() == 10 + len(
        named(gateway.calls[0])
    )


async def test_messages_of_an_open_call_are_handed_back_when_the_connector_stops(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher
) -> None:
    async def each(call: Call) -> web.Response:
        return taken(call)

    gateway.functions, gateway.answer = [SEVERAL], after(60)
    await publisher.publish_async(queued("a", "b", "c"), 5)
    async with running(replace(settings, grace=0.1, ack_wait=30)) as service:
        await until(lambda: metric(service, "in_flight_messages", function="dispatch-op.fn") == 3)
    gateway.answer = each
    async with running(replace(settings, ack_wait=30)) as service:
        await until(lambda: metric(service, "calls_total", function="dispatch-op.fn", result="ok") == 3, 5)


# --------------------------------------------------------------------------- what goes and comes back


@pytest.mark.parametrize("empty", [False, True])
async def test_nats_may_go_and_come_back(
    service: Service, gateway: Gateway, publisher: Publisher, nats_server: Server, empty: bool
) -> None:
    await publisher.publish_async(queued("before"))
    await gateway.called(1)
    await answered(nats_server.url)
    await asyncio.to_thread(nats_server.stop)
    await until(lambda: not service.ready)
    if empty:
        nats_server.erase()
    await asyncio.to_thread(nats_server.start)
    await until(lambda: service.ready)
    assert await asyncio.to_thread(publisher.wait_connected, 5)
    await publisher.publish_async(queued("after"))
    await gateway.called(2)
    await answered(nats_server.url)
    assert b"after" in gateway.calls[1].body
    assert await consumers(nats_server.url) == {"flownexus_fn_dispatch-op": 0}


async def test_a_call_open_while_nats_restarts_is_acknowledged_afterwards(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher, nats_server: Server
) -> None:
    release = asyncio.Event()
    gateway.answer = held(release)
    async with running(replace(settings, ack_wait=5)) as service:
        await publisher.publish_async(queued("a"))
        await gateway.called(1)
        await asyncio.to_thread(nats_server.stop)
        await until(lambda: not service.ready)
        release.set()
        await until(lambda: gateway.open == 0)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(nats_server.start)
        await until(lambda: service.ready)
        await answered(nats_server.url)
        await asyncio.sleep(5.5)  # more than ack_wait
    assert len(gateway.calls) == 1


async def test_the_answer_to_a_lost_message_does_not_answer_another_one(
    service: Service, gateway: Gateway, publisher: Publisher, nats_server: Server
) -> None:
    release = asyncio.Event()

    async def fail(call: Call) -> web.Response:
        return web.Response(status=503 if len(gateway.calls) == 2 else 200)

    gateway.answer = held(release)
    await publisher.publish_async(queued("lost"))
    await gateway.called(1)
    await asyncio.to_thread(nats_server.stop)
    nats_server.erase()
    await asyncio.to_thread(nats_server.start)
    await until(lambda: service.ready and publisher.connected)
    gateway.answer = fail
    # It has the number in the stream that the lost one had.
    await publisher.publish_async(queued("new"))
    await gateway.called(2)
    release.set()
    await gateway.called(3)
    await answered(nats_server.url)
    assert [call.body for call in gateway.calls[1:]] == [b'{"ep": "new"}'] * 2


async def test_a_stream_that_was_removed_is_made_anew(
    service: Service, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    client = await nats.connect(nats_url)
    await client.jetstream().delete_stream(STREAM)
    await client.close()
    await until(lambda: not service.bus.consuming)
    await until(lambda: service.ready)
    assert await publisher.publish_async(queued("a"), 3) == 0
    await gateway.called(1)


async def test_a_consumer_that_was_removed_is_made_anew(
    service: Service, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    client = await nats.connect(nats_url)
    await client.jetstream().delete_consumer(STREAM, "flownexus_fn_dispatch-op")
    await client.close()
    await publisher.publish_async(queued("a"), 3)
    await gateway.called(1)
    await answered(nats_url)


async def test_the_gateway_may_go_and_come_back(
    service: Service, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    await gateway.stop()
    await publisher.publish_async(queued("a"))
    await until(lambda: metric(service, "calls_total", function="dispatch-op.fn", result="retry") >= 1)
    await until(lambda: not service.ready)
    await gateway.start()
    await gateway.called(1)
    await answered(nats_url)
    await until(lambda: service.ready)


async def test_calls_open_while_the_gateway_goes_are_made_again(
    service: Service, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    gateway.answer = after(60)
    await publisher.publish_async(queued("a"))
    await gateway.called(1)
    await gateway.stop()
    gateway.answer = gateway.ok
    await gateway.start()
    await gateway.called(2)
    await answered(nats_url)


# ------------------------------------------------------------------------------ functions come and go


async def test_a_function_that_comes_is_called_and_one_that_goes_is_not(
    service: Service, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    gateway.functions = [
        DISPATCH,
        function(
            "audit", topic="lwm2m.registration.>, lwm2m.operation.queued.b, lwm2m.registration.updated.*"
        ),
    ]
    await until(lambda: len(service.bus._consumers) == 2 and service.ready)
    await publisher.publish_async([*queued("a", "b"), Hint(HintKind.UPDATED, "c")])
    await gateway.called(5)
    await answered(nats_url)
    assert sorted(call.headers["X-Topic"] for call in gateway.calls if call.path == "audit.fn") == [
        "lwm2m.operation.queued.b",
        "lwm2m.registration.updated.c",
    ]
    gateway.functions = [function("audit")]
    await until(lambda: not service.bus._consumers)
    await consumers_are(nats_url, lambda found: not found)
    await publisher.publish_async(queued("d"))
    await asyncio.sleep(0.3)
    assert len(gateway.calls) == 5


async def test_a_topic_that_changes_changes_the_consumer(
    service: Service, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    gateway.functions = [function("dispatch-op", topic="lwm2m.registration.>")]
    await until(lambda: [f.subjects for f in service.bus._consumers] == [("lwm2m.registration.>",)])
    await until(lambda: service.ready)
    await publisher.publish_async([*queued("a"), Hint(HintKind.UPDATED, "b")])
    await gateway.called(1)
    await answered(nats_url)
    assert [call.headers["X-Topic"] for call in gateway.calls] == ["lwm2m.registration.updated.b"]


async def test_a_consumer_left_by_an_earlier_connector_is_removed_and_a_foreign_one_is_not(
    settings: ConnectorSettings, publisher: Publisher, nats_url: str
) -> None:
    client = await nats.connect(nats_url)
    for name in ("flownexus_fn_gone", "somebody-s"):
        await client.jetstream().add_consumer(STREAM, durable_name=name, ack_policy="explicit")
    await client.close()
    async with running(settings):
        await consumers_are(nats_url, lambda found: set(found) == {"flownexus_fn_dispatch-op", "somebody-s"})


async def test_wrong_basic_auth_is_said_once(
    settings: ConnectorSettings, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    stop = asyncio.Event()
    service = Service(replace(settings, gateway_password="wrong-one"))
    task = asyncio.create_task(service.run(stop))
    await until(lambda: "basic-auth" in caplog.text)
    await asyncio.sleep(0.3)
    stop.set()
    await task
    assert caplog.text.count("basic-auth-password") == 1
    assert "wrong-one" not in caplog.text


# -------------------------------------------------------------------------------------------- clock


@pytest.mark.parametrize("schedule", ["* * * * * *", "*/2 * * * * *"])
async def test_a_schedule_of_six_fields_fires_within_its_second(
    settings: ConnectorSettings, gateway: Gateway, schedule: str
) -> None:
    gateway.functions = [function("housekeeping", topic="cron-function", schedule=schedule)]
    async with running(settings):
        calls = await gateway.called(3)
    step = 2 if "/" in schedule else 1
    for call in calls:
        assert call.path == "housekeeping.fn"
        assert call.body == b""
        assert call.headers["Authorization"] == f"Bearer {TOKEN}"
        assert call.headers["X-Connector"] == "flownexus-connector"
        assert call.headers["X-Topic"] == "cron-function"
    # Where the machine is busy one of them may be late.
    assert statistics.median(call.at % step for call in calls) < 0.5
    assert step in {int(later.at) - int(earlier.at) for earlier, later in pairwise(calls)}


async def test_a_schedule_of_five_fields_fires_at_the_minute(
    settings: ConnectorSettings, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock that the schedule sees is moved to shortly before the minute; time itself runs as ever.
    import connector.cron as cron

    ahead = datetime(2026, 3, 1, 11, 59, 57, tzinfo=UTC) - datetime.now(UTC)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + ahead

    monkeypatch.setattr(cron, "datetime", Shifted)
    gateway.functions = [function("housekeeping", topic="cron-function", schedule="0 12 1 3 *")]
    async with running(settings):
        (call,) = await gateway.called(1)
        moment = datetime.fromtimestamp(call.at, UTC) + ahead
        assert timedelta(0) <= moment - datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC) < timedelta(seconds=3)
        await asyncio.sleep(1)
        assert len(gateway.calls) == 1


async def test_a_function_that_still_runs_is_not_called_again(
    settings: ConnectorSettings, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.answer = after(2.2)
    gateway.functions = [function("housekeeping", topic="cron-function", schedule="* * * * * *")]
    async with running(settings) as service:
        await gateway.called(2)
        assert gateway.most_open == 1
        assert metric(service, "calls_total", function="housekeeping.fn", result="skipped") >= 1
    assert "still runs" in caplog.text


async def test_a_failure_by_schedule_is_logged_and_the_next_time_comes(
    settings: ConnectorSettings, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(call: Call) -> web.Response:
        return web.Response(status=500, text="oh")

    gateway.answer = fail
    gateway.functions = [function("housekeeping", topic="cron-function", schedule="* * * * * *")]
    async with running(settings):
        await gateway.called(2)
    assert "function housekeeping.fn, by schedule: 500 oh" in caplog.text


async def test_an_invalid_schedule_is_said_once_and_harms_no_other(
    settings: ConnectorSettings, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.functions = [
        function("odd", topic="cron-function", schedule="every day"),
        function("without", topic="cron-function"),
        function("good", topic="cron-function", schedule="* * * * * *"),
    ]
    async with running(settings):
        await gateway.called(2)
    assert {call.path for call in gateway.calls} == {"good.fn"}
    assert caplog.text.count("function odd.fn is not called by schedule: 'every day' is not a schedule") == 1
    assert "function without.fn" in caplog.text


async def test_while_it_stops_nothing_more_is_called_by_schedule(
    settings: ConnectorSettings, gateway: Gateway
) -> None:
    async def slow_or_not(call: Call) -> web.Response:
        await asyncio.sleep(3 if call.path == "slow.fn" else 0)
        return web.Response()

    gateway.answer = slow_or_not
    gateway.functions = [
        function(name, topic="cron-function", schedule="* * * * * *") for name in ("slow", "fast")
    ]
    async with running(replace(settings, grace=10)):
        await until(lambda: {call.path for call in gateway.calls} == {"slow.fn", "fast.fn"})
        stopped = time.time()
    assert gateway.cancelled == 0
    assert [call.path for call in gateway.calls if call.at > stopped + 0.9] == []


async def test_the_clock_needs_no_nats(
    settings: ConnectorSettings, gateway: Gateway, nats_server: Server
) -> None:
    nats_server.stop()
    gateway.functions = [DISPATCH, function("housekeeping", topic="cron-function", schedule="* * * * * *")]
    stop = asyncio.Event()
    task = asyncio.create_task(Service(settings).run(stop))
    await gateway.called(1)
    stop.set()
    await task


# ----------------------------------------------------------------------------- the process as a whole


async def test_health_and_metrics_are_served(
    service: Service, gateway: Gateway, publisher: Publisher, nats_server: Server
) -> None:
    await publisher.publish_async(queued("a"))
    await until(lambda: metric(service, "calls_total", function="dispatch-op.fn", result="ok") == 1)
    assert service.address is not None
    url = "http://{}:{}".format(*service.address)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/healthz") as answer:
            assert (answer.status, await answer.json()) == (
                200,
                {"status": "ok", "gateway": True, "nats": True, "consuming": True},
            )
        async with session.get(f"{url}/readyz") as answer:
            assert answer.status == 200
        async with session.get(f"{url}/metrics") as answer:
            text = await answer.text()
            assert 'flownexus_connector_calls_total{function="dispatch-op.fn",result="ok"} 1.0' in text
            assert "flownexus_connector_nats_connected 1.0" in text
        await asyncio.to_thread(nats_server.stop)
        await until(lambda: not service.ready)
        async with session.get(f"{url}/healthz") as answer:
            assert (answer.status, (await answer.json())["nats"]) == (200, False)
        async with session.get(f"{url}/readyz") as answer:
            assert answer.status == 503


async def test_stopping_waits_for_open_calls(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    gateway.answer = after(1)
    async with running(settings):
        await publisher.publish_async(queued("a"))
        await gateway.called(1)
    assert gateway.cancelled == 0
    assert set((await consumers(nats_url)).values()) == {0}


async def test_stopping_hands_back_what_outlasts_the_grace(
    settings: ConnectorSettings, gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    gateway.answer = after(60)
    async with running(replace(settings, ack_wait=60, grace=0.3)):
        await publisher.publish_async(queued("a"))
        await gateway.called(1)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    gateway.answer = gateway.ok
    async with running(replace(settings, ack_wait=60)):
        await gateway.called(2, 3)  # at once, not after ack_wait
        await answered(nats_url)


@pytest.fixture
def environment(tmp_path: Path, nats_server: Server, gateway: Gateway) -> dict[str, str]:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, text in {
        "basic-auth-user": "admin",
        "basic-auth-password": "password",
        "flownexus-connector-token": TOKEN + "\nolder\n",
        "flownexus-nats-url": nats_server.url,
    }.items():
        (secrets / name).write_text(text)
    return {
        "PATH": os.environ["PATH"],
        "secret_mount_path": str(secrets),
        "gateway_url": gateway.url,
        "port": "0",
        "ack_wait": "2s",
        "refresh_interval": "200ms",
        "grace": "5s",
    }


@asynccontextmanager
async def process(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connector", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield program
    finally:
        if program.returncode is None:
            program.kill()
        await program.communicate()


async def test_a_killed_connector_s_messages_are_delivered_by_a_second(
    environment: dict[str, str], gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    async def first_stuck(call: Call) -> web.Response:
        if len(gateway.calls) == 1:
            await asyncio.sleep(60)
        return web.Response()

    gateway.answer = first_stuck
    await publisher.publish_async(queued("a"))
    async with process(environment) as first:
        await gateway.called(1)
        async with process(environment):
            await asyncio.sleep(3)  # more than ack_wait: heartbeats keep the message with the first
            assert len(gateway.calls) == 1
            first.kill()
            await gateway.called(2, 5)
            await answered(nats_url)
    assert len(gateway.calls) == 2
    assert gateway.cancelled == 1


async def test_sigterm_lets_open_calls_end_and_exits_0(
    environment: dict[str, str], gateway: Gateway, publisher: Publisher, nats_url: str
) -> None:
    release = asyncio.Event()
    gateway.answer = held(release)
    await publisher.publish_async(queued("a"))
    async with process(environment) as program:
        await gateway.called(1)
        program.send_signal(signal.SIGTERM)
        assert program.stderr is not None
        await asyncio.wait_for(program.stderr.readuntil(b"stopping; 1 calls are open"), 10)
        await publisher.publish_async(queued("b"))
        release.set()
        _, output = await asyncio.wait_for(program.communicate(), 10)
    assert program.returncode == 0, output.decode()
    assert TOKEN not in output.decode()
    assert [call.headers["X-Topic"] for call in gateway.calls] == ["lwm2m.operation.queued.a"]
    assert gateway.cancelled == 0
    assert await consumers(nats_url) == {"flownexus_fn_dispatch-op": 1}  # b waits for the next connector


async def test_a_missing_secret_is_one_line_and_exit_1(environment: dict[str, str]) -> None:
    (Path(environment["secret_mount_path"]) / "flownexus-connector-token").unlink()
    async with process(environment) as program:
        _, output = await asyncio.wait_for(program.communicate(), 10)
    assert program.returncode == 1
    assert len(output.decode().splitlines()) == 1
    assert "secret flownexus-connector-token cannot be read" in output.decode()


async def test_a_taken_port_is_one_line_and_exit_1(environment: dict[str, str], gateway: Gateway) -> None:
    async with process({**environment, "port": str(gateway.port)}) as program:
        _, output = await asyncio.wait_for(program.communicate(), 10)
    assert program.returncode == 1
    assert len(output.decode().splitlines()) == 1
    assert f"cannot be served at 127.0.0.1:{gateway.port}" in output.decode()


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
