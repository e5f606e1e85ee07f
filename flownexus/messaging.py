"""NATS JetStream: the stream of wake-ups, its subjects, and their publisher.

A wake-up says that an endpoint is worth a look now. It is disposable: PostgreSQL holds the truth, so one that
is lost costs time only, and several for one endpoint count as one (the stream keeps the newest of a subject).
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import binascii
import concurrent.futures
import json
import logging
import random
import re
import threading
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import uvloop
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, BadRequestError, NoStreamResponseError, NotFoundError
from prometheus_client import Counter

from flownexus.errors import MissingSettingError

log = logging.getLogger(__name__)

STREAM: Final = "LWM2M"
SUBJECTS: Final = "lwm2m.>"
MAX_AGE: Final = 3600.0
"""Seconds after which a wake-up that nobody took is dropped; housekeeping makes new ones."""

_FAILED = Counter("wakes_failed", "Wake-ups that NATS did not take; housekeeping repairs them.")

CONNECT_TIMEOUT: Final = 3  # seconds, for one server of the list
CONNECT_WITHIN: Final = 12.0  # seconds, for all of them and the stream
PING_INTERVAL: Final = 5  # seconds; two unanswered end a connection whose other side went without a word
BACKOFF_CAP: Final = 2.0  # seconds
INSIST: Final = 0.1  # seconds after which a task that goes on is cancelled again

# ---------------------------------------------------------------------------------------------------------
# Endpoint names as subject tokens

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:")
_READABLE: Final = 400
_LONG: Final = "~"
MAX_TOKEN: Final = 3500
"""A longer token could exceed the server's max_control_line (4,096), for which it ends the connection."""


def token(ep: str) -> str:
    """Encode an endpoint name as one subject token.

    Letters, digits, '-', '_' and ':' stay as they are. Other characters become '%' and two hexadecimal
    digits for each byte of their UTF-8. Where that is longer than 400 characters the token is '~' and the
    base64url of the whole name. One name has one token, and the other way round.
    """
    # surrogatepass: what JSON can say (a lone surrogate) must not make this fail.
    raw = ep.encode("utf-8", "surrogatepass")
    readable = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw)
    if 0 < len(readable) <= _READABLE:
        return readable
    return _LONG + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def endpoint_name(token_: str) -> str:
    """Decode what token() made; raises ValueError for anything else."""
    try:
        if token_.startswith(_LONG):
            text = token_[len(_LONG) :]
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        else:
            raw = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), token_.encode())
        ep = raw.decode("utf-8", "surrogatepass")
    except (ValueError, binascii.Error) as error:
        raise ValueError(f"{token_!r} is not the token of an endpoint name: {error}") from None
    # One name has one token, so whatever slipped through above is found here.
    if token(ep) != token_:
        raise ValueError(f"{token_!r} is not how the endpoint name {ep!r} is written")
    return ep


# ---------------------------------------------------------------------------------------------------------
# Wake-ups


class Kind(StrEnum):
    """What a wake-up is about: the part of the subject between 'lwm2m.' and the endpoint's token."""

    REGISTERED = "registration.registered"
    UPDATED = "registration.updated"
    UNREGISTERED = "registration.unregistered"
    QUEUED = "operation.queued"


@dataclass(frozen=True, slots=True)
class Wake:
    """One wake-up for one endpoint."""

    kind: Kind
    ep: str

    @property
    def subject(self) -> str:
        """Return the subject it is published to."""
        return f"lwm2m.{self.kind}.{token(self.ep)}"

    @property
    def payload(self) -> bytes:
        """Return the message's body."""
        return json.dumps({"ep": self.ep}).encode()


# ---------------------------------------------------------------------------------------------------------
# Connections


@dataclass(frozen=True)
class Servers:
    """Where NATS is, and who we are there; its representation shows no credentials."""

    urls: tuple[str, ...]
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, text: str) -> Servers:
        """Read one URL or several with commas between: nats://user:password@host:port or nats://token@host.

        User and password may be percent-encoded; the first URL that has them speaks for all. Raises
        MissingSettingError, which does not show the text: it holds a secret.
        """
        urls: list[str] = []
        user = password = auth_token = None
        for part in text.split(","):
            try:
                url = urlsplit(part.strip())
                port, host = url.port or 4222, url.hostname
            except ValueError:
                host = None
            if not host or url.scheme not in ("nats", "tls", "ws", "wss"):
                raise MissingSettingError("the NATS URL is not of the form nats://user:password@host:port")
            urls.append(f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{port}")
            if url.username and not (user or auth_token):
                if url.password is None:
                    auth_token = unquote(url.username)
                else:
                    user, password = unquote(url.username), unquote(url.password)
        return cls(tuple(urls), user, password, auth_token)

    def __str__(self) -> str:
        return ", ".join(self.urls)


@dataclass(frozen=True, eq=False)
class Connection:
    """An open connection to NATS with our stream in place. Once it closed it stays closed."""

    client: Client
    jetstream: JetStreamContext
    closed: asyncio.Event

    @property
    def is_open(self) -> bool:
        """Say whether messages can be sent at this moment."""
        return not self.closed.is_set() and self.client.is_connected

    async def close(self) -> None:
        """Send what is still to be sent, and close."""
        if self.client.is_connected:
            with suppress(NatsError, OSError, TimeoutError):
                await self.client.flush(timeout=1)
        # nats-py's close() stumbles over what a failed connect left unmade.
        with suppress(Exception):
            await self.client.close()
        self.closed.set()


def backoff(attempt: int, base: float = 0.1, cap: float = BACKOFF_CAP) -> float:
    """Return the seconds to wait before try `attempt` (0, 1, ...): doubling, bounded, and never in step."""
    return min(cap, base * 2.0 ** min(attempt, 32)) * random.uniform(0.5, 1.0)  # noqa: S311  # nothing secret


async def connect(servers: Servers, name: str) -> Connection:
    """Connect once and see to the stream.

    A connection does not mend itself: connections() makes a new one, so that nothing waits unseen in the
    buffer of a broken one. Raises what nats-py raises, OSError, nats.errors.Error and others, and
    TimeoutError where all of it has taken more than CONNECT_WITHIN seconds.
    """
    # nats-py itself would wait for ever on a server that says nothing.
    try:
        async with asyncio.timeout(CONNECT_WITHIN) as bound:
            return await _connect(servers, name)
    except TimeoutError:
        if bound.expired():
            raise TimeoutError(f"not connected within {CONNECT_WITHIN:g} s") from None
        raise


async def _connect(servers: Servers, name: str) -> Connection:
    closed = asyncio.Event()

    async def on_closed() -> None:
        closed.set()

    last: list[Exception] = []

    async def on_error(error: Exception) -> None:
        last[:] = [error]
        log.debug("NATS: %s", _reason(error))

    client = Client()
    connection = Connection(client, client.jetstream(timeout=5), closed)
    try:
        await client.connect(
            list(servers.urls),
            name=name,
            allow_reconnect=False,
            # nats-py tries each server of the list so often, then says that there is none.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_TIMEOUT,
            ping_interval=PING_INTERVAL,
            max_outstanding_pings=2,
            closed_cb=on_closed,
            error_cb=on_error,
            user=servers.user,
            password=servers.password,
            token=servers.token,
        )
        await ensure_stream(connection.jetstream)
    except NoServersError as error:
        await connection.close()
        raise last[0] if last else error from None
    except BaseException:
        await connection.close()
        raise
    return connection


async def connections(servers: Servers, name: str) -> AsyncGenerator[Connection, None]:
    """Yield an open connection, and for ever a new one when the last has closed.

    Between attempts it waits, longer each time up to two seconds. An outage is logged once, and its end.
    """
    attempt = 0
    away = False
    while True:
        try:
            connection = await connect(servers, name)
        except Exception as error:  # noqa: BLE001  # whatever a half-dead server makes of nats-py: try again
            level = logging.DEBUG if away else logging.WARNING
            log.log(level, "NATS at %s is away, will keep trying: %s", servers, _reason(error))
            away = True
        else:
            log.info("connected to NATS at %s", servers)
            began = time.monotonic()
            try:
                yield connection
                await connection.closed.wait()
            finally:
                await connection.close()
            log.warning("the connection to NATS at %s is closed", servers)
            away = False
            if time.monotonic() - began > BACKOFF_CAP:
                attempt = 0
        await asyncio.sleep(backoff(attempt))
        attempt += 1


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def ensure_stream(jetstream: JetStreamContext) -> bool:
    """Create the stream unless it is there; set right what of it is ours to say.

    Returns whether it was created. What an operator chose beside (replicas, placement, limits of size) stays.
    """
    ours = StreamConfig(
        name=STREAM,
        subjects=[SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=MAX_AGE,
        # Wake-ups of one kind for one endpoint coalesce: the newest stands for all.
        max_msgs_per_subject=1,
    )
    try:
        config = (await jetstream.stream_info(STREAM)).config
    except NotFoundError:
        try:
            await jetstream.add_stream(ours.evolve(storage=StorageType.FILE))
        except BadRequestError as error:
            if error.err_code != _STREAM_NAME_IN_USE:
                raise
            # Somebody else created it at the same moment, a little differently: the next one sets it right.
            return False
        log.info("created the stream %s", STREAM)
        return True
    owned = ("subjects", "retention", "discard", "max_age", "max_msgs_per_subject")
    changed = {name: getattr(ours, name) for name in owned if getattr(config, name) != getattr(ours, name)}
    if changed:
        log.warning("the stream %s is not as it should be, setting %s", STREAM, ", ".join(changed))
        try:
            await jetstream.update_stream(config.evolve(**changed))
        except APIError as error:
            # It serves all the same, if less well: no reason to stand still.
            log.error("the stream %s could not be set right: %s", STREAM, error.description)  # noqa: TRY400
    return False


_STREAM_NAME_IN_USE: Final = 10058

# ---------------------------------------------------------------------------------------------------------
# Publishing


class Publisher:
    """Publishes wake-ups from any thread, or from any event loop.

    It has a thread with an event loop of its own, connects there in the background and for ever anew, and
    sees to the stream after each connect. An absent NATS is no error here: what could not be published is
    counted and returned.
    """

    def __init__(self, url: str, *, name: str = "flownexus") -> None:
        self._servers = Servers.of(url)
        self._name = name
        self._connection: Connection | None = None
        self._connected = threading.Event()
        self._loop = uvloop.new_event_loop()
        self._lock = threading.Lock()
        self._ended = False
        self._repair = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="nats-publisher", daemon=True)
        self._thread.start()
        # uvloop's callbacks crash where the interpreter is gone, which a daemon thread may outlive.
        atexit.register(self.close)

    @property
    def connected(self) -> bool:
        """Say whether publishing has a chance at this moment."""
        connection = self._connection
        return connection is not None and connection.is_open

    def wait_connected(self, timeout: float) -> bool:
        """Wait until connected, at most `timeout` seconds, and say whether it is."""
        return self._connected.wait(timeout) and self.connected

    def publish(self, wakes: Iterable[Wake], timeout: float = 1.0) -> int:
        """Publish all, at once, and return how many JetStream did not confirm within `timeout` seconds.

        Repeated wake-ups count as one. Returns at once where there is no connection; never raises for one,
        and never takes longer than `timeout`. Not for an event loop's thread: see publish_async().
        """
        batch = _Batch(wakes)
        work = self._submit(batch, timeout)
        if work is not None:
            try:
                work.result(timeout)
            except (TimeoutError, concurrent.futures.CancelledError):
                work.cancel()
            except Exception:  # a wake-up is never worth an error
                log.warning("publishing failed", exc_info=True)
        return _counted(batch.failures())

    async def publish_async(self, wakes: Iterable[Wake], timeout: float = 1.0) -> int:  # noqa: ASYNC109
        """Do what publish() does, for a caller on an event loop of its own."""
        batch = _Batch(wakes)
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
        """Close the connection and end the thread, in at most `timeout` seconds. Later wake-ups all fail."""
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
        if not batch.wakes or not self.connected:
            return None
        # Under the lock: the loop must not be closed between the look and the hand-over.
        with self._lock:
            if self._ended:
                return None
            return asyncio.run_coroutine_threadsafe(self._publish_all(batch, timeout), self._loop)

    # What follows runs in the publisher's own thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._keep_connected())

    def _cancel(self) -> None:
        """End the task; asyncio.wait_for(), by which nats-py waits, may swallow a cancellation (gh-86296)."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._loop.call_later(INSIST, self._cancel)

    async def _keep_connected(self) -> None:
        self._task = asyncio.current_task()
        if self._ended:
            return
        endless = connections(self._servers, self._name)
        try:
            async for connection in endless:
                self._connection = connection
                self._connected.set()
                await connection.closed.wait()
                self._connected.clear()
        finally:
            self._connected.clear()
            await endless.aclose()

    async def _publish_all(self, batch: _Batch, timeout: float) -> None:  # noqa: ASYNC109
        # Cancelled by close(), it just ends: in the caller's loop a cancellation would mean the caller's own.
        with suppress(asyncio.CancelledError):
            await self._publish(batch, timeout)

    async def _publish(self, batch: _Batch, timeout: float) -> None:  # noqa: ASYNC109
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        deadline = self._loop.time() + timeout
        await self._all(connection, batch, deadline, batch.wakes)
        if batch.homeless:
            # The stream is gone (JetStream came back empty, or somebody removed it): make it anew.
            homeless, batch.homeless = batch.homeless, []
            async with self._repair:
                try:
                    await ensure_stream(connection.jetstream)
                except (NatsError, OSError, TimeoutError) as error:
                    log.warning("the stream %s is missing and could not be created: %s", STREAM, error)
                    return
            await self._all(connection, batch, deadline, homeless)

    async def _all(self, connection: Connection, batch: _Batch, deadline: float, wakes: list[Wake]) -> None:
        work = asyncio.gather(*(self._one(connection, batch, deadline, wake) for wake in wakes))
        lost = self._loop.create_task(connection.closed.wait())
        either: set[asyncio.Future[Any]] = {work, lost}
        try:
            left = max(0.0, deadline - self._loop.time())
            await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    async def _one(self, connection: Connection, batch: _Batch, deadline: float, wake: Wake) -> None:
        subject = wake.subject
        if len(subject) > MAX_TOKEN:
            log.warning("no wake-up for an endpoint whose name has %d characters: too long", len(wake.ep))
            return
        try:
            await connection.jetstream.publish(
                subject, wake.payload, timeout=max(0.001, deadline - self._loop.time())
            )
        except NoStreamResponseError:
            batch.homeless.append(wake)
        except (NatsError, OSError, TimeoutError) as error:
            log.debug("a wake-up was not published to %s: %s", subject, _reason(error))
        else:
            batch.done += 1


def _counted(failures: int) -> int:
    _FAILED.inc(failures)
    return failures


class _Batch:
    """The wake-ups of one call and how far they got: the publisher's thread writes, the caller reads."""

    def __init__(self, wakes: Iterable[Wake]) -> None:
        self.wakes = list(dict.fromkeys(wakes))
        self.done = 0
        self.homeless: list[Wake] = []

    def failures(self) -> int:
        """Return how many were not confirmed so far."""
        return len(self.wakes) - self.done
