"""A consumer gives back what it has taken, without a NATS server."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from nats.aio.msg import Msg

from connector.consumer import Consumer
from connector.functions import Function
from connector.gateway import Gateway
from connector.settings import ConnectorSettings
from flownexus.messaging.connection import Reconnector, Servers
from flownexus.metrics import ConnectorMetrics


class Nats:
    """Takes acknowledgements in NATS's place."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.connection = SimpleNamespace(client=self)

    async def publish(self, subject: str, payload: bytes) -> None:
        self.sent.append((subject, payload))


class SlowGateway:
    """A gateway whose functions never answer."""

    async def call(self, *_: Any) -> Any:
        await asyncio.Event().wait()


def message(number: int) -> Msg:
    reply = f"$JS.ACK.LWM2M.consumer.1.{number}.{number}.0.0"
    return Msg(cast("Any", None), "lwm2m.operation.queued.a", reply, b"{}")


def consumer_at(nats: Nats) -> Consumer:
    settings = ConnectorSettings("", "", "", "", Servers(()))
    gateway = cast("Gateway", SlowGateway())
    return Consumer(Function("f"), cast("Reconnector", nats), gateway, settings, ConnectorMetrics())


async def test_what_arrives_at_the_moment_of_the_stop_is_given_back() -> None:
    """Its call was cancelled before it had begun: the message came again only after `ack_wait`."""
    nats = Nats()
    consumer = consumer_at(nats)
    await consumer._take(message(1))
    await consumer.hand_back()
    await asyncio.sleep(0)
    assert nats.sent == [(message(1).reply, b"-NAK")]
    assert consumer.open_calls == 0


async def test_the_messages_of_open_calls_are_given_back() -> None:
    nats = Nats()
    consumer = consumer_at(nats)
    await consumer._take(message(1))
    await consumer._take(message(2))
    await asyncio.sleep(0.01)
    await consumer.hand_back()
    assert sorted(nats.sent) == [(message(1).reply, b"-NAK"), (message(2).reply, b"-NAK")]
    assert consumer.open_calls == 0
