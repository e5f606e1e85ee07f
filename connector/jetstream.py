"""From JetStream to functions: one durable pull consumer for each function that has a topic."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import BadRequestError, NotFoundError

from connector.deliver import Ack, Decision, Nak, Outcome, Policy, Term
from connector.functions import CONSUMER_PREFIX, Function
from connector.gateway import Gateway
from connector.logs import Repeated
from connector.metrics import Metrics
from connector.settings import Settings
from connector.tasks import end
from flownexus.messaging.connection import Connection, backoff, connections, ensure_stream
from flownexus.messaging.subjects import STREAM

log = logging.getLogger(__name__)

MAX_ACK_PENDING: Final = 10_000
BATCH: Final = 250
"""The most messages asked for at once: calls begin in waves that a gateway's accept queue can hold."""
PULL_EXPIRES: Final = 30.0  # seconds
PULL_HEARTBEAT: Final = 5.0
"""How often the server confirms that a pull request stands; two and a half missed mean that it does not."""
MAX_UNSENT: Final = 20_000
"""How many decisions are kept while NATS is away; those beyond are redelivered."""


class _PullEndedError(RuntimeError):
    """The server ended the pull request for a reason that needs the consumer looked at."""


class Bus:
    """The connection to NATS, and the consumers of all functions on it."""

    def __init__(self, settings: Settings, gateway: Gateway, metrics: Metrics) -> None:
        self.settings = settings
        self.gateway = gateway
        self.metrics = metrics
        self.policy = Policy(settings.max_deliveries, settings.retry_base, settings.retry_cap)
        self.repeated = Repeated(log)
        self._connection: Connection | None = None
        self._opened = asyncio.Event()
        self._consumers: dict[Function, Consumer] = {}
        self._leaving: set[Consumer] = set()
        self._sweep = asyncio.Event()
        self._listed = False

    @property
    def connection(self) -> Connection | None:
        """Return the connection while it is open."""
        return self._connection if self._connection is not None and self._connection.is_open else None

    @property
    def consuming(self) -> bool:
        """Say whether every function's messages are being taken."""
        return self.connection is not None and all(
            consumer.consuming for consumer in self._consumers.values()
        )

    @property
    def open_calls(self) -> int:
        """Return how many calls are open."""
        return sum(consumer.open_calls for consumer in self._all)

    def start(self) -> list[asyncio.Task[None]]:
        """Connect, and stay connected, in background tasks; cancelling them disconnects."""
        works = (self._keep_connected(), self._keep_alive(), self._remove_strangers())
        return [asyncio.create_task(work) for work in works]

    async def opened(self) -> Connection:
        """Wait for an open connection."""
        while True:
            await self._opened.wait()
            if (connection := self.connection) is not None:
                return connection
            # Closed, and the event not yet cleared.
            await asyncio.sleep(0.01)

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
            consumer = self._consumers[function] = Consumer(self, function)
            consumer.start()
        self._leaving = {consumer for consumer in self._leaving if consumer.open_calls}
        self._listed = True
        self._sweep.set()

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

    async def _keep_connected(self) -> None:
        endless = connections(self.settings.nats, "flownexus-connector")
        try:
            async for connection in endless:
                self._connection = connection
                self._opened.set()
                self.metrics.nats_connected.set(1)
                self._sweep.set()
                await connection.closed.wait()
                self._opened.clear()
                self.metrics.nats_connected.set(0)
        finally:
            await endless.aclose()

    async def _keep_alive(self) -> None:
        """Tell JetStream, of each open call and well within ack_wait, that its message is being worked on."""
        while True:
            await asyncio.sleep(self.settings.ack_wait / 20)
            if self.connection is not None:
                for consumer in self._all:
                    await consumer.heartbeat(self.settings.ack_wait / 3)

    async def _remove_strangers(self) -> None:
        """Delete consumers of functions that are gone, also those that an earlier connector left."""
        while True:
            await self._sweep.wait()
            self._sweep.clear()
            connection = self.connection
            if connection is None or not self._listed:
                continue
            try:
                await self._remove_strangers_once(connection)
            except (NatsError, OSError, TimeoutError) as error:
                log.debug("looking for consumers to delete: %s", error)
                await asyncio.sleep(1)
                self._sweep.set()

    async def _remove_strangers_once(self, connection: Connection) -> None:
        names: list[str] = []
        while page := await connection.jetstream.consumers_info(STREAM, offset=len(names)):
            names += [info.name for info in page]
        for name in names:
            wanted = {function.consumer for function in self._consumers}
            if name.startswith(CONSUMER_PREFIX) and name not in wanted:
                with suppress(NotFoundError):
                    await connection.jetstream.delete_consumer(STREAM, name)
                log.info("deleted the consumer %s: no function wants it", name)


@dataclass(eq=False)
class _Open:
    """A message whose call is open."""

    sequence: int
    """The message's number in the stream."""
    message: Msg
    delivery: int
    due: float = 0.0
    """When the next heartbeat is due, by the event loop's clock."""
    generation: object = None
    done: bool = False
    task: asyncio.Task[None] | None = None


class Consumer:
    """The durable consumer of one function, and the open calls of its messages."""

    def __init__(self, bus: Bus, function: Function) -> None:
        self.function = function
        self.consuming = False
        self._bus = bus
        self._limit = bus.settings.max_open_calls
        self._open: dict[int, _Open] = {}
        """By the message's sequence number in the stream."""
        self._arrived: list[_Open] = []
        """Those whose call begins once all that came with them are taken."""
        self._beats: deque[_Open] = deque()
        """Open calls in the order in which their heartbeats are due."""
        self._unsent: deque[tuple[_Open, bytes]] = deque(maxlen=MAX_UNSENT)
        self._generation: object = None
        """Which consumer of this name it is: one made anew knows nothing of the messages of the last."""
        self._changed = asyncio.Event()
        self._asked = 0
        """How many messages the server still owes to the pull request."""
        self._request = 0
        self._heard = 0.0
        self._ended: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def open_calls(self) -> int:
        """Return how many calls are open."""
        return len(self._open)

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
        """Cancel open calls and give their messages back, to be delivered again at once."""
        self._begin()
        calls = list(self._open.values())
        if calls:
            log.warning(
                "%d calls of function %s were still open: handed back", len(calls), self.function.path
            )
        await end((self._task, *(call.task for call in calls)))

    async def heartbeat(self, period: float) -> None:
        """Send the heartbeats that are due; each open call has one every `period` seconds."""
        now = asyncio.get_running_loop().time()
        while self._beats and (self._beats[0].done or self._beats[0].due <= now):
            call = self._beats.popleft()
            if call.done:
                continue
            call.due = now + period
            self._beats.append(call)
            await self._send(call, Msg.Ack.Progress, keep=False)

    async def _run(self) -> None:
        attempt = 0
        while not self._stopped:
            connection = await self._bus.opened()
            began = time.monotonic()
            try:
                await self._consume(connection)
            except BadRequestError as error:
                self._bus.repeated.warning(
                    (self.function, error.err_code),
                    "function %s cannot consume %s: %s",
                    self.function.path,
                    ", ".join(self.function.subjects),
                    error.description,
                )
            except (NatsError, OSError, TimeoutError, _PullEndedError) as error:
                if connection.is_open:
                    self._bus.repeated.warning(
                        (self.function, "pull"),
                        "consuming for function %s was interrupted: %s",
                        self.function.path,
                        str(error) or type(error).__name__,
                    )
            except Exception:
                log.exception("consuming for function %s was interrupted", self.function.path)
            finally:
                self.consuming = False
            attempt = 0 if time.monotonic() - began > 5 else attempt + 1
            await asyncio.sleep(backoff(attempt))

    def _config(self) -> ConsumerConfig:
        subjects = list(self.function.subjects)
        return ConsumerConfig(
            durable_name=self.function.consumer,
            description=f"the connector, for function {self.function.path}",
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._bus.settings.ack_wait,
            # The bound is this side's, so that giving up never goes without a line in the log.
            max_deliver=-1,
            max_ack_pending=MAX_ACK_PENDING,
            filter_subject=subjects[0] if len(subjects) == 1 else None,
            filter_subjects=subjects if len(subjects) > 1 else None,
        )

    async def _consume(self, connection: Connection) -> None:
        """Take messages until the connection or the consumer is gone."""
        await ensure_stream(connection.jetstream)
        await connection.jetstream.add_consumer(STREAM, self._config())
        # Asked for, as the answer above names another time of creation when the server was restarted.
        info = await connection.jetstream.consumer_info(STREAM, self.function.consumer)
        await self._begin_generation(info.created)
        inbox = connection.client.new_inbox()
        self._asked, self._ended = 0, None
        subscription = await connection.client.subscribe(f"{inbox}.*", cb=self._take)
        closer = asyncio.create_task(connection.closed.wait())
        closer.add_done_callback(lambda _: self._changed.set())
        try:
            self.consuming = True
            while connection.is_open:
                await self._pull(connection, inbox)
        finally:
            closer.cancel()
            with suppress(NatsError, OSError):
                await subscription.unsubscribe()

    async def _begin_generation(self, generation: object) -> None:
        if generation != self._generation:
            if self._generation is not None:
                log.warning("the consumer of function %s was made anew", self.function.path)
            self._generation = generation
            self._unsent.clear()
        while self._unsent:
            call, payload = self._unsent.popleft()
            await self._send(call, payload)

    async def _pull(self, connection: Connection, inbox: str) -> None:
        """Keep one pull request standing for as many messages as there is room for; one round of it."""
        self._changed.clear()
        if self._ended is not None:
            raise _PullEndedError(self._ended)
        room = min(BATCH, self._limit - len(self._open))
        if self._asked == 0 and room > 0:
            self._request += 1
            self._asked, self._heard = room, time.monotonic()
            request = {
                "batch": room,
                "expires": int(PULL_EXPIRES * 1e9),
                "idle_heartbeat": int(PULL_HEARTBEAT * 1e9),
            }
            await connection.client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self.function.consumer}",
                json.dumps(request).encode(),
                reply=f"{inbox}.{self._request}",
            )
        patience = PULL_HEARTBEAT * 2.5
        try:
            async with asyncio.timeout(patience):
                await self._changed.wait()
        except TimeoutError:
            if self._asked and time.monotonic() - self._heard >= patience:
                raise _PullEndedError("the server fell silent") from None

    async def _take(self, message: Msg) -> None:
        """Take one message from the server: a delivery, or the state of a pull request."""
        self._heard = time.monotonic()
        status = (message.headers or {}).get("Status")
        if status is None or message.reply.startswith("$JS.ACK."):
            self._asked = max(0, self._asked - 1)
            self._changed.set()
            await self._deliver(message)
        elif status != "100" and message.subject.rpartition(".")[2] == str(self._request):
            self._asked = 0
            # 408 and 404: it expired, or found nothing. All else: the consumer or the server is going.
            if status not in ("404", "408"):
                self._ended = f"{status} {(message.headers or {}).get('Description', '')}".strip()
            self._changed.set()

    async def _deliver(self, message: Msg) -> None:
        metadata = message.metadata
        sequence, delivery = metadata.sequence.stream, metadata.num_delivered
        if delivery > 1:
            self._bus.metrics.redeliveries.labels(self.function.path).inc()
        known = self._open.get(sequence)
        if known is not None and known.generation == self._generation:
            # Its call is still open, only heartbeats were lost. The newest delivery is the one to answer.
            known.message, known.delivery = message, delivery
            return
        call = _Open(sequence, message, delivery, generation=self._generation)
        if self._stopped:
            await self._send(call, b"-NAK")
            return
        if delivery > self._bus.policy.max_deliveries:
            # It ended the process, or the process was killed, each time before it could decide.
            await self._finish(call, Term(f"given up after {delivery - 1} deliveries", given_up=True))
            return
        call.due = asyncio.get_running_loop().time() + self._bus.settings.ack_wait / 3
        self._open[sequence] = call
        self._beats.append(call)
        self._arrived.append(call)
        if len(self._arrived) == 1:
            # nats-py hands over all that it has read before anything else runs.
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Begin the calls of what has arrived, as many messages in each as the function takes."""
        arrived, self._arrived = self._arrived, []
        for first in range(0, len(arrived), self.function.batch):
            together = arrived[first : first + self.function.batch]
            task = asyncio.create_task(self._handle(together))
            for call in together:
                call.task = task

    async def _handle(self, together: Sequence[_Open]) -> None:
        metrics, path = self._bus.metrics, self.function.path
        outcomes: Sequence[Outcome] | None = None
        began = time.monotonic()
        metrics.in_flight.labels(path).inc(len(together))
        try:
            outcomes = await self._call(together)
        finally:
            metrics.in_flight.labels(path).dec(len(together))
            metrics.seconds.labels(path).observe(time.monotonic() - began)
            for call in together:
                call.done = True
                if self._open.get(call.sequence) is call:
                    del self._open[call.sequence]
            self._changed.set()
            if outcomes is None:  # cancelled: the connector stops
                for call in together:
                    await self._send(call, b"-NAK")
        for call, outcome in zip(together, outcomes, strict=True):
            luck = random.random()  # noqa: S311  # nothing secret
            await self._finish(call, self._bus.policy.decide(outcome, call.delivery, luck))

    async def _call(self, together: Sequence[_Open]) -> Sequence[Outcome]:
        gateway = self._bus.gateway
        if len(together) > 1:
            bodies = [call.message.data for call in together]
            outcomes = await gateway.call_with_several(self.function, bodies)
            if outcomes is not None:
                return outcomes
            # One that is no JSON spoils the array for the others: by itself it harms none.
        return await asyncio.gather(*(self._call_alone(call.message) for call in together))

    async def _call_alone(self, message: Msg) -> Outcome:
        headers = {"Content-Type": (message.headers or {}).get("Content-Type") or "application/json"}
        return await self._bus.gateway.call(self.function, message.subject, message.data, headers)

    async def _finish(self, call: _Open, decision: Decision) -> None:
        path, subject = self.function.path, call.message.subject
        calls = self._bus.metrics.calls
        match decision:
            case Ack():
                calls.labels(path, "ok").inc()
                await self._send(call, Msg.Ack.Ack)
            case Nak(delay, reason):
                calls.labels(path, "retry").inc()
                self._bus.repeated.warning(
                    (self.function, "nak", reason[:40]),
                    "function %s, %s: %s; again in %.1f s (delivery %d)",
                    path,
                    subject,
                    reason,
                    delay,
                    call.delivery,
                )
                await self._send(call, b"-NAK " + json.dumps({"delay": int(delay * 1e9)}).encode())
            case Term(reason, given_up):
                calls.labels(path, "given_up" if given_up else "refused").inc()
                self._bus.repeated.error(
                    (self.function, "term", reason[:40]), "function %s, %s: %s", path, subject, reason
                )
                await self._send(call, Msg.Ack.Term)

    async def _send(self, call: _Open, payload: bytes, *, keep: bool = True) -> None:
        """Answer for a message; while NATS is away the answer is kept for later, unless it is a heartbeat."""
        if call.generation != self._generation:
            return
        connection = self._bus.connection
        if connection is not None:
            try:
                await connection.client.publish(call.message.reply, payload)
            except (NatsError, OSError) as error:
                log.debug("an answer for %s did not go out: %s", call.message.subject, error)
            else:
                return
        if keep:
            self._unsent.append((call, payload))
