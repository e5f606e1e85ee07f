"""The messages of one consumer whose calls are open, and the acknowledgements that JetStream gets for them.

nats-py's own Msg.ack() sends by the connection that the message came by. A call may outlive it, so an
acknowledgement goes out by the connection of the moment, and waits for one while NATS is away.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from flownexus.messaging.connection import Reconnector

log = logging.getLogger(__name__)

MAX_UNSENT_ACKS: Final = 20_000
"""How many acknowledgements are kept while NATS is away; the messages of those beyond are redelivered."""


@dataclass(eq=False)
class Delivery:
    """One delivery of a message, and the call that is made of it."""

    message: Msg
    sequence: int
    """The message's number in the stream."""
    number: int
    """The how manieth delivery of this message it is, from 1."""
    generation: object
    """Of which consumer it is: see InFlight.begin_generation()."""
    heartbeat_due: float = 0.0
    """By the event loop's clock."""
    ended: bool = False
    """Whether its call has ended."""
    call: asyncio.Task[None] | None = None


class InFlight:
    """The messages of one consumer whose calls are open."""

    def __init__(self, nats: Reconnector, heartbeat_interval_s: float) -> None:
        self._nats = nats
        self._heartbeat_interval_s = heartbeat_interval_s
        self._open: dict[int, Delivery] = {}
        """By the message's number in the stream."""
        self._heartbeats: deque[Delivery] = deque()
        """In the order in which they are due."""
        self._unsent: deque[tuple[Delivery, bytes]] = deque(maxlen=MAX_UNSENT_ACKS)
        self._generation: object = None

    def __len__(self) -> int:
        return len(self._open)

    def open(self) -> list[Delivery]:
        """Return the messages whose calls are open."""
        return list(self._open.values())

    async def begin_generation(self, generation: object) -> bool:
        """Send the acknowledgements that are waiting; say whether the consumer was made anew.

        `generation` is when the consumer was created. One made anew knows nothing of the last one's messages:
        their acknowledgements are dropped.
        """
        anew = self._generation is not None and generation != self._generation
        if generation != self._generation:
            self._generation = generation
            self._unsent.clear()
        while self._unsent:
            delivery, ack = self._unsent.popleft()
            await self._send(delivery, ack)
        return anew

    def delivery_of(self, message: Msg) -> Delivery:
        """Read a message's delivery."""
        metadata = message.metadata
        return Delivery(message, metadata.sequence.stream, metadata.num_delivered, self._generation)

    def continues(self, delivery: Delivery) -> bool:
        """Say whether the message's call is open already; then this newest delivery is acknowledged for it.

        It was redelivered although somebody works on it, because heartbeats were lost.
        """
        known = self._open.get(delivery.sequence)
        if known is None or known.generation != self._generation:
            return False
        known.message, known.number = delivery.message, delivery.number
        return True

    def begin(self, delivery: Delivery) -> None:
        """Note that the message's call is open."""
        delivery.heartbeat_due = asyncio.get_running_loop().time() + self._heartbeat_interval_s
        self._open[delivery.sequence] = delivery
        self._heartbeats.append(delivery)

    def end(self, delivery: Delivery) -> None:
        """Note that the message's call has ended."""
        delivery.ended = True
        if self._open.get(delivery.sequence) is delivery:
            del self._open[delivery.sequence]

    async def heartbeat(self) -> None:
        """Send the heartbeats that are due; each open call has one every `heartbeat_interval_s` seconds.

        JetStream then waits another `ack_wait` before it redelivers the message.
        """
        now = asyncio.get_running_loop().time()
        while self._heartbeats and (self._heartbeats[0].ended or self._heartbeats[0].heartbeat_due <= now):
            delivery = self._heartbeats.popleft()
            if delivery.ended:
                continue
            delivery.heartbeat_due = now + self._heartbeat_interval_s
            self._heartbeats.append(delivery)
            await self._send(delivery, Msg.Ack.Progress, keep=False)

    async def ack(self, delivery: Delivery) -> None:
        """Say that the message is done with."""
        await self._send(delivery, Msg.Ack.Ack)

    async def nak(self, delivery: Delivery, delay_s: float | None = None) -> None:
        """Have the message redelivered, at once or after `delay_s` seconds."""
        delay = b"" if delay_s is None else b" " + json.dumps({"delay": int(delay_s * 1e9)}).encode()
        await self._send(delivery, Msg.Ack.Nak + delay)

    async def term(self, delivery: Delivery) -> None:
        """Say that the message shall never be redelivered."""
        await self._send(delivery, Msg.Ack.Term)

    async def _send(self, delivery: Delivery, ack: bytes, *, keep: bool = True) -> None:
        if delivery.generation != self._generation:
            return
        connection = self._nats.connection
        if connection is not None:
            try:
                await connection.client.publish(delivery.message.reply, ack)
            except (NatsError, OSError) as error:
                log.debug("an acknowledgement of %s was not sent: %s", delivery.message.subject, error)
            else:
                return
        if keep:
            self._unsent.append((delivery, ack))
