"""From JetStream to one function: its durable consumer, the calls of its messages, their acknowledgements."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import BadRequestError

from connector.functions import Function
from connector.gateway import Gateway
from connector.in_flight import Delivery, InFlight
from connector.logs import RateLimitedLog
from connector.pull import Pull, PullEndedError
from connector.results import Ack, CallResult, Decision, Nak, RetryPolicy, Term
from connector.settings import ConnectorSettings
from connector.tasks import end
from flownexus.messaging.connection import Connection, Reconnector, backoff, ensure_stream, reason
from flownexus.messaging.subjects import STREAM
from flownexus.metrics import ConnectorMetrics

log = logging.getLogger(__name__)

MAX_ACK_PENDING: Final = 10_000
BACKOFF_RESETS_AFTER_S: Final = 5.0
"""Consumed for as long, the next attempt comes soon again."""
REASON_KEY_LENGTH: Final = 40
"""Reasons that begin with as many equal characters are one in the limits of log lines."""


class Consumer:
    """The durable consumer of one function, and the calls of its messages."""

    def __init__(
        self,
        function: Function,
        nats: Reconnector,
        gateway: Gateway,
        settings: ConnectorSettings,
        metrics: ConnectorMetrics,
    ) -> None:
        self.function = function
        self.consuming = False
        """Whether messages are being taken."""
        self._nats = nats
        self._gateway = gateway
        self._metrics = metrics
        self._policy = RetryPolicy(settings.max_deliveries, settings.retry_base, settings.retry_cap)
        self._max_open_calls = settings.max_open_calls
        self._ack_wait_s = settings.ack_wait
        self._log = RateLimitedLog(log)
        self._in_flight = InFlight(nats, heartbeat_interval_s=settings.ack_wait / 3)
        self._arrived: list[Delivery] = []
        """Those whose call begins once all that came with them are taken."""
        self._pull: Pull | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def open_calls(self) -> int:
        """Return how many messages' calls are open."""
        return len(self._in_flight)

    def start(self) -> None:
        """Take messages, in the background."""
        self._task = asyncio.create_task(self._run())

    def stop_taking(self) -> None:
        """Take no more messages; open calls run on."""
        self._stopped = True
        self.consuming = False
        if self._task is not None:
            self._task.cancel()

    async def hand_back(self) -> None:
        """Cancel open calls and give their messages back, to be redelivered at once."""
        self._arrived = []
        calls = [delivery.call for delivery in self._in_flight.open()]
        if calls:
            log.warning(
                "%d calls of function %s were still open: handed back", len(calls), self.function.path
            )
        await end((self._task, *calls))
        for delivery in self._in_flight.open():  # cancelled before their calls had begun
            self._in_flight.end(delivery)
            await self._in_flight.nak(delivery)

    async def heartbeat(self) -> None:
        """Send the heartbeats of open calls that are due."""
        await self._in_flight.heartbeat()

    # Taking messages.

    async def _run(self) -> None:
        attempt = 0
        while not self._stopped:
            connection = await self._nats.opened()
            began = time.monotonic()
            try:
                await self._consume(connection)
            except BadRequestError as error:
                self._log.warning(
                    error.err_code,
                    "function %s cannot consume %s: %s",
                    self.function.path,
                    ", ".join(self.function.subjects),
                    error.description,
                )
            except (NatsError, OSError, TimeoutError, PullEndedError) as error:
                if connection.is_open:
                    self._log.warning(
                        "pull",
                        "consuming for function %s was interrupted: %s",
                        self.function.path,
                        reason(error),
                    )
            except Exception:
                log.exception("consuming for function %s was interrupted", self.function.path)
            finally:
                self.consuming = False
            attempt = 0 if time.monotonic() - began > BACKOFF_RESETS_AFTER_S else attempt + 1
            await asyncio.sleep(backoff(attempt))

    async def _consume(self, connection: Connection) -> None:
        """Take messages until the connection or the consumer is gone."""
        await ensure_stream(connection.jetstream)
        await connection.jetstream.add_consumer(STREAM, self._config())
        # Asked for, as the answer above names another time of creation when the server was restarted.
        info = await connection.jetstream.consumer_info(STREAM, self.function.consumer)
        if await self._in_flight.begin_generation(info.created):
            log.warning("the consumer of function %s was made anew", self.function.path)
        self._pull = Pull(connection, self.function.consumer, self._room, self._take)
        self.consuming = True
        await self._pull.run()

    def _config(self) -> ConsumerConfig:
        subjects = list(self.function.subjects)
        return ConsumerConfig(
            durable_name=self.function.consumer,
            description=f"the connector, for function {self.function.path}",
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait_s,
            # The bound is this side's, so that giving up never goes without a line in the log.
            max_deliver=-1,
            max_ack_pending=MAX_ACK_PENDING,
            filter_subject=subjects[0] if len(subjects) == 1 else None,
            filter_subjects=subjects if len(subjects) > 1 else None,
        )

    def _room(self) -> int:
        return self._max_open_calls - self.open_calls

    async def _take(self, message: Msg) -> None:
        delivery = self._in_flight.delivery_of(message)
        if delivery.number > 1:
            self._metrics.redeliveries.labels(self.function.path).inc()
        if self._in_flight.continues(delivery):
            return
        if self._stopped:
            await self._in_flight.nak(delivery)
            return
        if delivery.number > self._policy.max_deliveries:
            # It ended the process, or the process was killed, each time before it could decide.
            given_up = Term(f"given up after {delivery.number - 1} deliveries", given_up=True)
            await self._acknowledge(delivery, given_up)
            return
        self._in_flight.begin(delivery)
        self._arrived.append(delivery)
        if len(self._arrived) == 1:
            # nats-py hands over all that it has read before anything else runs.
            asyncio.get_running_loop().call_soon(self._begin_calls)

    # Calling the function.

    def _begin_calls(self) -> None:
        """Begin the calls of what has arrived, as many messages in each as the function takes."""
        arrived, self._arrived = self._arrived, []
        for first in range(0, len(arrived), self.function.batch):
            batch = arrived[first : first + self.function.batch]
            call = asyncio.create_task(self._call_and_acknowledge(batch))
            for delivery in batch:
                delivery.call = call

    async def _call_and_acknowledge(self, batch: Sequence[Delivery]) -> None:
        metrics, path = self._metrics, self.function.path
        results: Sequence[CallResult] | None = None
        began = time.monotonic()
        metrics.in_flight.labels(path).inc(len(batch))
        try:
            results = await self._call(batch)
        finally:
            metrics.in_flight.labels(path).dec(len(batch))
            metrics.seconds.labels(path).observe(time.monotonic() - began)
            for delivery in batch:
                self._in_flight.end(delivery)
            if self._pull is not None:
                self._pull.note_capacity()
            if results is None:  # cancelled: the connector stops
                for delivery in batch:
                    await self._in_flight.nak(delivery)
        for delivery, result in zip(batch, results, strict=True):
            jitter = random.random()  # noqa: S311  # nothing secret
            await self._acknowledge(delivery, self._policy.decide(result, delivery.number, jitter))

    async def _call(self, batch: Sequence[Delivery]) -> Sequence[CallResult]:
        if len(batch) > 1:
            bodies = [delivery.message.data for delivery in batch]
            results = await self._gateway.call_with_batch(self.function, bodies)
            if results is not None:
                return results
            # One that is no JSON spoils the array for the others: by itself it harms none.
        return await asyncio.gather(*(self._call_alone(delivery.message) for delivery in batch))

    async def _call_alone(self, message: Msg) -> CallResult:
        headers = {"Content-Type": (message.headers or {}).get("Content-Type") or "application/json"}
        return await self._gateway.call(self.function, message.subject, message.data, headers)

    async def _acknowledge(self, delivery: Delivery, decision: Decision) -> None:
        path, subject = self.function.path, delivery.message.subject
        calls = self._metrics.calls
        match decision:
            case Ack():
                calls.labels(path, "ok").inc()
                await self._in_flight.ack(delivery)
            case Nak(delay, why):
                calls.labels(path, "retry").inc()
                self._log.warning(
                    ("nak", why[:REASON_KEY_LENGTH]),
                    "function %s, %s: %s; again in %.1f s (delivery %d)",
                    path,
                    subject,
                    why,
                    delay,
                    delivery.number,
                )
                await self._in_flight.nak(delivery, delay)
            case Term(why, given_up):
                calls.labels(path, "given_up" if given_up else "refused").inc()
                self._log.error(("term", why[:REASON_KEY_LENGTH]), "function %s, %s: %s", path, subject, why)
                await self._in_flight.term(delivery)
