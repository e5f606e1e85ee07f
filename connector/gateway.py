"""The OpenFaaS gateway: its list of functions, and calls of them."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final
from urllib.parse import quote

import aiohttp

from connector.functions import Function, Listing, read_listing
from connector.results import CallResult, batch_results, one_line, retry_after
from connector.settings import ConnectorSettings

log = logging.getLogger(__name__)

CONNECTOR: Final = "flownexus-connector"
LIST_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 1024 * 1024
"""An answer is read to its end so that its connection can be used again, but not for ever."""


class GatewayError(RuntimeError):
    """The gateway did not give its list of functions."""


class Gateway:
    """A client of the gateway, for one event loop; use it as a context manager."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._url = settings.gateway_url
        basic = base64.b64encode(f"{settings.gateway_user}:{settings.gateway_password}".encode()).decode()
        self._auth = {"Authorization": f"Basic {basic}"}
        self._headers = {"Authorization": f"Bearer {settings.token}", "X-Connector": CONNECTOR}
        self._timeout = aiohttp.ClientTimeout(total=settings.call_timeout, sock_connect=CONNECT_TIMEOUT_S)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Gateway:
        self._session = aiohttp.ClientSession(
            # Callers bound the calls in flight; a bound here would only hide calls from them.
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": CONNECTOR},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the gateway's client is used outside of its context")
        return self._session

    async def functions(self, under: str) -> Listing:
        """Return the functions that want to be called; raises GatewayError."""
        timeout = aiohttp.ClientTimeout(total=LIST_TIMEOUT_S)
        try:
            async with self._client.get(
                f"{self._url}/system/functions", headers=self._auth, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status == 401:
                    raise GatewayError("it refuses basic-auth-user and basic-auth-password")
                if answer.status != 200:
                    raise GatewayError(f"it answers {answer.status} to GET /system/functions")
                return read_listing(await answer.json(content_type=None), under)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise GatewayError(_reason(error)) from error

    async def call(
        self, function: Function, topic: str, body: bytes, headers: Mapping[str, str]
    ) -> CallResult:
        """Call a function and wait for its answer; never raises but when cancelled."""
        result, _ = await self._post(function, topic, body, headers)
        return result

    async def call_with_batch(
        self, function: Function, bodies: Sequence[bytes]
    ) -> Sequence[CallResult] | None:
        """Call a function with messages of JSON in an array; return what became of each.

        None where it does not take these together; never raises but when cancelled.
        """
        headers = {"Content-Type": "application/json"}
        body = b"[" + b",".join(bodies) + b"]"
        whole, answer = await self._post(function, ", ".join(function.subjects), body, headers)
        return batch_results(whole, answer, len(bodies))

    async def _post(
        self, function: Function, topic: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[CallResult, bytes]:
        url = f"{self._url}/function/{quote(function.path, safe='')}"
        try:
            async with self._client.post(
                url,
                data=body,
                headers={**headers, **self._headers, "X-Topic": topic},
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                text = await _read(answer)
                reason = "" if answer.ok else one_line(text.decode(errors="replace"))
                after = retry_after(answer.headers.get("Retry-After"))
                return CallResult(answer.status, reason, after), text
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return CallResult(None, _reason(error)), b""
        except Exception as error:
            log.exception("the call of %s could not be made", function.path)
            return CallResult(None, _reason(error)), b""


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    text = b""
    while len(text) < MAX_ANSWER_BYTES:
        chunk = await answer.content.read(MAX_ANSWER_BYTES)
        if not chunk:
            return text
        text += chunk
    answer.close()
    return text


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
