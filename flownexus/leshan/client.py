"""Client of Leshan's REST API: one operation, one long poll."""

from __future__ import annotations

from types import TracebackType
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from flownexus.leshan.answers import Exchange, Lost, NotSent, answered
from flownexus.leshan.requests import Call, segment
from flownexus.logs import CORRELATION_ID, current_id
from flownexus.settings import Timeouts

MAX_ANSWER: Final = 16 * 1024 * 1024  # bytes
CONNECT_SHARE: Final = 1 / 7
"""Part of the client's timeout in which a connection must stand."""
UNSENT: Final = "X-Request-Unsent"
"""The header by which our Leshan says that nothing left for the device."""
KEEP_ALIVE: Final = 5.0
"""Seconds an idle connection is kept: well below Leshan's own, so that it is not closed under a request."""


class _BrokenError(Exception):
    """The connection broke while the request was under way."""


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request a second time where the connection broke: attempts are counted."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenError(str(error) or type(error).__name__) from error


class Leshan:
    """One Leshan server; enter it on the event loop that uses it."""

    def __init__(self, url: str, token: str, timeouts: Timeouts) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._timeouts = timeouts
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Leshan:
        self._session = aiohttp.ClientSession(
            # No limit: each open operation holds a connection, and thousands are open at once.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=aiohttp.ClientTimeout(
                total=self._timeouts.client_s, sock_connect=self._timeouts.client_s * CONNECT_SHARE
            ),
            middlewares=(_send_once,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self, endpoint: str, call: Call, timeout_s: float | None = None, awake_s: int | None = None
    ) -> Exchange:
        """Send an operation and wait for the device's answer, at most `timeout_s` and the client's timeout.

        `awake_s` is how long the device listens after a contact, where it does not say so itself. Never
        raises for what Leshan, the network or the device did: that is what Exchange says.
        """
        if self._session is None:
            raise RuntimeError("the session is not open: use `async with`")
        longest = self._timeouts.leshan_s
        timeout = min(longest, timeout_s or longest, call.longest_s or longest)
        query = {**call.query, "timeout": str(max(1, int(timeout)))}
        if awake_s is not None:
            query["awake"] = str(awake_s)
        text = "&".join(name if value is None else f"{name}={value}" for name, value in query.items())
        url = URL(f"{self._url}/api/clients/{segment(endpoint)}{call.path}?{text}", encoded=True)
        headers = {} if (id_ := current_id()) is None else {CORRELATION_ID: id_}
        data = None
        if call.json is not None:
            data, headers["Content-Type"] = msgspec.json.encode(call.json), "application/json"
        elif call.text is not None:
            data, headers["Content-Type"] = call.text.encode(), "text/plain; charset=utf-8"
        try:
            async with self._session.request(
                call.method, url, headers=headers, data=data, allow_redirects=False
            ) as response:
                raw = await _read(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            return NotSent(f"Leshan is away: {_name(error)}")
        except TimeoutError:
            return Lost("Leshan did not answer in time")
        except (_BrokenError, aiohttp.ClientError, OSError) as error:
            return Lost(f"the connection to Leshan broke: {_name(error)}")
        if raw is None:
            return Lost(f"Leshan's answer is longer than {MAX_ANSWER} bytes")
        return answered(response.status, raw, unsent=response.headers.get(UNSENT) == "true")


def _name(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the body, or None where it is longer than what can be an answer."""
    parts: list[bytes] = []
    length = 0
    async for part in response.content.iter_any():
        length += len(part)
        if length > MAX_ANSWER:
            return None
        parts.append(part)
    return b"".join(parts)
