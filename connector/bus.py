"""The connector's side of NATS: the connection, and a consumer for each function that has a topic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from connector.consumer import Consumer
from connector.functions import CONSUMER_PREFIX, Function
from connector.gateway import CONNECTOR, Gateway
from connector.settings import ConnectorSettings
from flownexus.messaging.connection import Connection, Reconnector
from flownexus.messaging.subjects import STREAM
from flownexus.metrics import ConnectorMetrics

log = logging.getLogger(__name__)


class Bus:
    """The connection to NATS, and the consumers of all functions on it."""

    def __init__(self, settings: ConnectorSettings, gateway: Gateway, metrics: ConnectorMetrics) -> None:
        self._settings = settings
        self._gateway = gateway
        self._metrics = metrics
        self._nats = Reconnector(settings.nats, CONNECTOR, self._note_connected)
        self._consumers: dict[Function, Consumer] = {}
        self._leaving: set[Consumer] = set()
        """Consumers of functions that are gone, while calls of theirs are open."""
        self._look_for_orphans = asyncio.Event()
        self._functions_known = False

    @property
    def connected(self) -> bool:
        """Say whether NATS is connected."""
        return self._nats.connection is not None

    @property
    def consuming(self) -> bool:
        """Say whether every function's messages are being taken."""
        return self.connected and all(consumer.consuming for consumer in self._consumers.values())

    @property
    def open_calls(self) -> int:
        """Return how many messages' calls are open."""
        return sum(consumer.open_calls for consumer in self._all)

    def start(self) -> list[asyncio.Task[None]]:
        """Connect, and stay connected, in background tasks; cancelling them disconnects."""
        works = (self._nats.run(), self._send_heartbeats(), self._delete_orphaned_consumers())
        return [asyncio.create_task(work) for work in works]

    def apply(self, functions: Iterable[Function]) -> None:
        """Consume for these functions, and for no others from now on."""
        wanted = {replace(function, schedule=None) for function in functions if function.subjects}
        for function in set(self._consumers) - wanted:
            consumer = self._consumers.pop(function)
            consumer.stop_taking()
            self._leaving.add(consumer)
            log.info("no longer consuming for function %s", function.path)
        for function in wanted - set(self._consumers):
            log.info("consuming %s for function %s", ", ".join(function.subjects), function.path)
            consumer = Consumer(function, self._nats, self._gateway, self._settings, self._metrics)
            self._consumers[function] = consumer
            consumer.start()
        self._leaving = {consumer for consumer in self._leaving if consumer.open_calls}
        self._functions_known = True
        self._look_for_orphans.set()

    def stop_taking(self) -> None:
        """Take no more messages; open calls run on."""
        for consumer in self._consumers.values():
            consumer.stop_taking()

    async def idle(self) -> None:
        """Wait until no call is open."""
        while self.open_calls:  # noqa: ASYNC110  # looked at once, when the connector stops
            await asyncio.sleep(0.02)

    async def hand_back(self) -> None:
        """End what is still open and give its messages back."""
        self.stop_taking()
        await asyncio.gather(*(consumer.hand_back() for consumer in self._all))

    @property
    def _all(self) -> tuple[Consumer, ...]:
        return (*self._consumers.values(), *self._leaving)

    def _note_connected(self, connected: bool) -> None:
        self._metrics.nats_connected.set(connected)
        if connected:
            self._look_for_orphans.set()

    async def _send_heartbeats(self) -> None:
        """Tell JetStream, of each open call and well within ack_wait, that its message is being worked on."""
        while True:
            await asyncio.sleep(self._settings.ack_wait / 20)
            if self.connected:
                for consumer in self._all:
                    await consumer.heartbeat()

    async def _delete_orphaned_consumers(self) -> None:
        """Delete consumers of functions that are gone, also those that an earlier connector left."""
        while True:
            await self._look_for_orphans.wait()
            self._look_for_orphans.clear()
            connection = self._nats.connection
            if connection is None or not self._functions_known:
                continue
            try:
                await self._delete_orphaned_consumers_once(connection)
            except (NatsError, OSError, TimeoutError) as error:
                log.debug("looking for consumers to delete: %s", error)
                await asyncio.sleep(1)
                self._look_for_orphans.set()

    async def _delete_orphaned_consumers_once(self, connection: Connection) -> None:
        names: list[str] = []
        while page := await connection.jetstream.consumers_info(STREAM, offset=len(names)):
            names += [info.name for info in page]
        for name in names:
            wanted = {function.consumer for function in self._consumers}
            if name.startswith(CONSUMER_PREFIX) and name not in wanted:
                with suppress(NotFoundError):
                    await connection.jetstream.delete_consumer(STREAM, name)
                log.info("deleted the consumer %s: no function wants it", name)
