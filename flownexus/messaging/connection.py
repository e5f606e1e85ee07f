"""Connections to NATS, and the stream of hints, which each of them sees to."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, BadRequestError, NotFoundError

from flownexus.errors import MissingSettingError
from flownexus.messaging.subjects import STREAM, SUBJECTS

log = logging.getLogger(__name__)

MAX_AGE_S: Final = 3600.0
"""Age at which the stream drops a hint that nobody took; housekeeping publishes new ones."""
CONNECT_TO_ONE_SERVER_WITHIN_S: Final = 3
CONNECT_WITHIN_S: Final = 12.0
"""For all servers of the list and the stream."""
PING_INTERVAL_S: Final = 5
MAX_UNANSWERED_PINGS: Final = 2
"""So many end a connection whose other side went without a word."""
BACKOFF_CAP_S: Final = 2.0
_STREAM_NAME_IN_USE: Final = 10058


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
        """Send what is still to be sent, and close; who is cancelled meanwhile waits for the end of it."""
        closing = asyncio.ensure_future(self._close())
        cancelled = False
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _close(self) -> None:
        if self.client.is_connected:
            with suppress(NatsError, OSError, TimeoutError):
                await self.client.flush(timeout=1)
        # nats-py's close() stumbles over what a failed connect left unmade.
        with suppress(Exception):
            await self.client.close()
        self.closed.set()


def backoff(attempt: int, base: float = 0.1, cap: float = BACKOFF_CAP_S) -> float:
    """Return the seconds to wait before try `attempt` (0, 1, ...): doubling, bounded, and never in step."""
    return min(cap, base * 2.0 ** min(attempt, 32)) * random.uniform(0.5, 1.0)  # noqa: S311  # nothing secret


async def connect(servers: Servers, name: str) -> Connection:
    """Connect once and see to the stream.

    A connection does not mend itself: Reconnector makes a new one, so that nothing waits unseen in the
    buffer of a broken one. Raises what nats-py raises, OSError, nats.errors.Error and others, and
    TimeoutError where all of it has taken more than CONNECT_WITHIN_S seconds.
    """
    # nats-py itself would wait for ever on a server that says nothing.
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S) as bound:
            return await _connect(servers, name)
    except TimeoutError:
        if bound.expired():
            raise TimeoutError(f"not connected within {CONNECT_WITHIN_S:g} s") from None
        raise


async def _connect(servers: Servers, name: str) -> Connection:
    closed = asyncio.Event()

    async def on_closed() -> None:
        closed.set()

    last: list[Exception] = []

    async def on_error(error: Exception) -> None:
        last[:] = [error]
        log.debug("NATS: %s", reason(error))

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
            connect_timeout=CONNECT_TO_ONE_SERVER_WITHIN_S,
            ping_interval=PING_INTERVAL_S,
            max_outstanding_pings=MAX_UNANSWERED_PINGS,
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


class Reconnector:
    """Keeps one connection to NATS open, in one event loop; makes it anew whenever it has closed."""

    def __init__(
        self, servers: Servers, name: str, on_change: Callable[[bool], None] = lambda _connected: None
    ) -> None:
        self._servers = servers
        self._name = name
        self._on_change = on_change
        self._connection: Connection | None = None
        self._opened = asyncio.Event()

    @property
    def connection(self) -> Connection | None:
        """Return the connection while messages can be sent by it; any thread may ask."""
        connection = self._connection
        return connection if connection is not None and connection.is_open else None

    async def opened(self) -> Connection:
        """Wait for an open connection."""
        while True:
            await self._opened.wait()
            if (connection := self.connection) is not None:
                return connection
            # Closed, and the event not yet cleared.
            await asyncio.sleep(0.01)

    async def run(self) -> None:
        """Stay connected until cancelled.

        Between attempts it waits, longer each time up to two seconds. An outage is logged once, and its end.
        """
        attempt = 0
        away = False
        while True:
            try:
                connection = await connect(self._servers, self._name)
            except Exception as error:  # noqa: BLE001  # whatever a half-dead server makes of nats-py: try again
                level = logging.DEBUG if away else logging.WARNING
                log.log(level, "NATS at %s is away, will keep trying: %s", self._servers, reason(error))
                away = True
            else:
                log.info("connected to NATS at %s", self._servers)
                began = time.monotonic()
                await self._use(connection)
                log.warning("the connection to NATS at %s is closed", self._servers)
                away = False
                if time.monotonic() - began > BACKOFF_CAP_S:
                    attempt = 0
            await asyncio.sleep(backoff(attempt))
            attempt += 1

    async def _use(self, connection: Connection) -> None:
        self._connection = connection
        self._opened.set()
        self._on_change(True)
        try:
            await connection.closed.wait()
        finally:
            self._opened.clear()
            self._on_change(False)
            await connection.close()


def reason(error: BaseException) -> str:
    """Return what to log of an error, even of one without a message."""
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
        max_age=MAX_AGE_S,
        # Hints of one kind for one endpoint coalesce: the newest stands for all.
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
