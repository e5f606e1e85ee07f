"""The publisher of hints."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

import uvloop
from nats.errors import Error as NatsError
from nats.js.errors import NoStreamResponseError

from flownexus.messaging.connection import Connection, Reconnector, Servers, ensure_stream, reason
from flownexus.messaging.subjects import MAX_SUBJECT_LENGTH, STREAM, Hint
from flownexus.metrics import MESSAGING_UNPUBLISHED_HINTS

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT_S: Final = 1.0
"""How long whoever answers a request waits for JetStream's word; housekeeping repairs what it misses."""
CANCEL_AGAIN_AFTER_S: Final = 0.1
"""After which a task that goes on is cancelled again."""


class Publisher:
    """Publishes hints from any thread, or from any event loop.

    It has a thread with an event loop of its own, connects there in the background and for ever anew, and
    sees to the stream after each connect. An absent NATS is no error here: what could not be published is
    counted and returned.
    """

    def __init__(self, url: str, *, name: str = "flownexus") -> None:
        self._connected = threading.Event()
        self._nats = Reconnector(Servers.of(url), name, self._note_connected)
        self._loop = uvloop.new_event_loop()
        self._lock = threading.Lock()
        self._ended = False
        self._stream_repair = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="nats-publisher", daemon=True)
        self._thread.start()
        # uvloop's callbacks crash where the interpreter is gone, which a daemon thread may outlive.
        atexit.register(self.close)

    @property
    def connected(self) -> bool:
        """Say whether publishing has a chance at this moment."""
        return self._nats.connection is not None

    def wait_connected(self, timeout: float) -> bool:
        """Wait until connected, at most `timeout` seconds, and say whether it is."""
        return self._connected.wait(timeout) and self.connected

    def publish(self, hints: Iterable[Hint], timeout: float = PUBLISH_TIMEOUT_S) -> int:
        """Publish all, at once, and return how many JetStream did not confirm within `timeout` seconds.

        Repeated hints count as one. Returns at once where there is no connection; never raises for one,
        and never takes longer than `timeout`. Not for an event loop's thread: see publish_async().
        """
        batch = _Batch(hints)
        work = self._submit(batch, timeout)
        if work is not None:
            try:
                work.result(timeout)
            except (TimeoutError, concurrent.futures.CancelledError):
                work.cancel()
            except Exception:  # a hint is never worth an error
                log.warning("publishing failed", exc_info=True)
        return _counted(batch.failures())

    async def publish_async(self, hints: Iterable[Hint], timeout: float = PUBLISH_TIMEOUT_S) -> int:  # noqa: ASYNC109
        """Do what publish() does, for a caller on an event loop of its own."""
        batch = _Batch(hints)
        work = self._submit(batch, timeout)
        if work is not None:
            try:
                await asyncio.wait_for(asyncio.wrap_future(work), timeout)
            except TimeoutError:
                pass
            except Exception:
                log.warning("publishing failed", exc_info=True)
        return _counted(batch.failures())

    def close(self, timeout: float = 3.0) -> None:
        """Close the connection and end the thread, in at most `timeout` seconds. Later hints all fail."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(timeout)
        atexit.unregister(self.close)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _submit(self, batch: _Batch, timeout: float) -> concurrent.futures.Future[None] | None:
        if not batch.hints or not self.connected:
            return None
        # Under the lock: the loop must not be closed between the look and the hand-over.
        with self._lock:
            if self._ended:
                return None
            return asyncio.run_coroutine_threadsafe(self._publish_batch(batch, timeout), self._loop)

    # What follows runs in the publisher's own thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._keep_connected())

    def _cancel(self) -> None:
        """End the task; asyncio.wait_for(), by which nats-py waits, may swallow a cancellation (gh-86296)."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._loop.call_later(CANCEL_AGAIN_AFTER_S, self._cancel)

    async def _keep_connected(self) -> None:
        self._task = asyncio.current_task()
        if self._ended:
            return
        await self._nats.run()

    def _note_connected(self, connected: bool) -> None:
        if connected:
            self._connected.set()
        else:
            self._connected.clear()

    async def _publish_batch(self, batch: _Batch, timeout: float) -> None:  # noqa: ASYNC109
        # Cancelled by close(), it just ends: in the caller's loop a cancellation would mean the caller's own.
        with suppress(asyncio.CancelledError):
            await self._publish(batch, timeout)

    async def _publish(self, batch: _Batch, timeout: float) -> None:  # noqa: ASYNC109
        connection = self._nats.connection
        if connection is None:
            return
        deadline = self._loop.time() + timeout
        await self._publish_each(connection, batch, deadline, batch.hints)
        if batch.unpublished:
            # The stream is gone (JetStream came back empty, or somebody removed it): make it anew.
            unpublished, batch.unpublished = batch.unpublished, []
            async with self._stream_repair:
                try:
                    await ensure_stream(connection.jetstream)
                except (NatsError, OSError, TimeoutError) as error:
                    log.warning("the stream %s is missing and could not be created: %s", STREAM, error)
                    return
            await self._publish_each(connection, batch, deadline, unpublished)

    async def _publish_each(
        self, connection: Connection, batch: _Batch, deadline: float, hints: list[Hint]
    ) -> None:
        published = asyncio.gather(*(self._publish_one(connection, batch, deadline, hint) for hint in hints))
        lost = self._loop.create_task(connection.closed.wait())
        either: set[asyncio.Future[Any]] = {published, lost}
        try:
            left = max(0.0, deadline - self._loop.time())
            await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            published.cancel()
            with suppress(asyncio.CancelledError):
                await published

    async def _publish_one(self, connection: Connection, batch: _Batch, deadline: float, hint: Hint) -> None:
        subject = hint.subject
        if len(subject) > MAX_SUBJECT_LENGTH:
            log.warning("no hint for an endpoint whose name has %d characters: too long", len(hint.ep))
            return
        try:
            await connection.jetstream.publish(
                subject, hint.payload, timeout=max(0.001, deadline - self._loop.time())
            )
        except NoStreamResponseError:
            batch.unpublished.append(hint)
        except (NatsError, OSError, TimeoutError) as error:
            log.debug("a hint was not published to %s: %s", subject, reason(error))
        else:
            batch.confirmed += 1


def _counted(failures: int) -> int:
    MESSAGING_UNPUBLISHED_HINTS.inc(failures)
    return failures


class _Batch:
    """The hints of one call and what became of them: the publisher's thread writes, the caller reads."""

    def __init__(self, hints: Iterable[Hint]) -> None:
        self.hints = list(dict.fromkeys(hints))
        self.confirmed = 0
        self.unpublished: list[Hint] = []
        """Those for which there was no stream."""

    def failures(self) -> int:
        """Return how many were not confirmed so far."""
        return len(self.hints) - self.confirmed
