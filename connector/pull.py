"""The pull protocol of JetStream: one request that stands at a durable consumer.

It is written by hand, as the pull subscription of nats-py (2.16) lacks three things that the connector needs:

- Its fetch() ends with the first messages that it gets. A request of ours stands: it brings up to
  MAX_MESSAGES_PER_PULL messages, each at the moment in which it is published.
- A fetch() that is cancelled loses the messages that it has received. They would be redelivered only after
  `ack_wait`, whenever the connector stops or a function goes.
- A fetch() hides why the server ended a request (the consumer was deleted, the server shuts down), and a
  server that fell silent: it returns no messages, after the whole of its timeout.

The protocol: a request is published to $JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>, and the server sends
messages to its reply subject, and a status (a header) for the request's end and for each heartbeat.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from flownexus.messaging.connection import Connection
from flownexus.messaging.subjects import STREAM

MAX_MESSAGES_PER_PULL: Final = 250
"""Calls begin in waves that a gateway's accept queue can hold."""
EXPIRES_AFTER_S: Final = 30.0
HEARTBEAT_INTERVAL_S: Final = 5.0
"""How often the server confirms that a request stands."""
GONE_AFTER_SILENCE_S: Final = 2.5 * HEARTBEAT_INTERVAL_S
"""After which the request, or the server, is taken for gone."""

_HEARTBEAT: Final = "100"
_NO_MESSAGES: Final = "404"
_EXPIRED: Final = "408"


class PullEndedError(RuntimeError):
    """The server ended a pull request for a reason that needs the consumer looked at."""


class Pull:
    """Keeps one pull request standing at a consumer, for as many messages as have capacity."""

    def __init__(
        self,
        connection: Connection,
        consumer: str,
        capacity: Callable[[], int],
        deliver: Callable[[Msg], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}"
        self._inbox = connection.client.new_inbox()
        self._capacity = capacity
        self._deliver = deliver
        self._request = 0
        """The number of the newest request: the last token of its reply subject."""
        self._owed = 0
        """How many messages the server may still send for it."""
        self._heard_at = 0.0
        self._ended_because: str | None = None
        self._changed = asyncio.Event()

    def note_capacity(self) -> None:
        """Look again at how many messages may come."""
        self._changed.set()

    async def run(self) -> None:
        """Take messages until the connection closes.

        Raises PullEndedError, and what nats-py raises where a request can't be sent.
        """
        subscription = await self._connection.client.subscribe(f"{self._inbox}.*", cb=self._receive)
        closed = asyncio.create_task(self._connection.closed.wait())
        closed.add_done_callback(lambda _: self._changed.set())
        try:
            while self._connection.is_open:
                self._changed.clear()
                if self._ended_because is not None:
                    raise PullEndedError(self._ended_because)
                await self._request_more()
                await self._wait_for_change()
        finally:
            closed.cancel()
            with suppress(NatsError, OSError):
                await subscription.unsubscribe()

    async def _request_more(self) -> None:
        capacity = min(MAX_MESSAGES_PER_PULL, self._capacity())
        if self._owed > 0 or capacity <= 0:
            return
        self._request += 1
        self._owed, self._heard_at = capacity, time.monotonic()
        request = {
            "batch": capacity,
            "expires": int(EXPIRES_AFTER_S * 1e9),
            "idle_heartbeat": int(HEARTBEAT_INTERVAL_S * 1e9),
        }
        await self._connection.client.publish(
            self._subject, json.dumps(request).encode(), reply=f"{self._inbox}.{self._request}"
        )

    async def _wait_for_change(self) -> None:
        try:
            async with asyncio.timeout(GONE_AFTER_SILENCE_S):
                await self._changed.wait()
        except TimeoutError:
            if self._owed and time.monotonic() - self._heard_at >= GONE_AFTER_SILENCE_S:
                raise PullEndedError("the server fell silent") from None

    async def _receive(self, message: Msg) -> None:
        """Take what the server sends: a message of the stream, or the status of a request."""
        self._heard_at = time.monotonic()
        status = (message.headers or {}).get("Status")
        if status is None or message.reply.startswith("$JS.ACK."):
            self._owed = max(0, self._owed - 1)
            self._changed.set()
            await self._deliver(message)
        elif status != _HEARTBEAT and message.subject.rpartition(".")[2] == str(self._request):
            self._owed = 0
            # For all other reasons the consumer or the server is going.
            if status not in (_NO_MESSAGES, _EXPIRED):
                self._ended_because = f"{status} {(message.headers or {}).get('Description', '')}".strip()
            self._changed.set()
