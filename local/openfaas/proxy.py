"""The way of a request through the embedded gateway to a function's replica and back."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator
from typing import TypeAlias
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from local.openfaas.functions import NAMESPACE, Functions, Replica

REPLICA_WAIT = 5.0  # seconds for a replica that is being restarted
WHOLE = 64 * 1024
"""Bytes up to which a body is passed on in one piece with its head: each part of a stream costs a write."""
_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
        *("proxy-authenticate", "proxy-authorization"),
        # Not hop by hop, but set anew for the next one.
        *("host", "content-length", "expect"),
    }
)
_FUNCTION = re.compile(r"/function/(?P<name>[^/.]+)(?:\.(?P<namespace>[^/]+))?(?P<path>/.*)?")
_LESHAN_API = re.compile(r"(?:/hook/[^/]+)?/leshan_api/resource/(?P<kind>single|composite)/?")

Body: TypeAlias = bytes | AsyncIterator[bytes] | None

_log = logging.getLogger(__name__)


def target(path: str) -> tuple[str, str] | None:
    """Return the function that a path names, and the path to ask it for; None if it names none."""
    if match := _FUNCTION.fullmatch(path):
        if match["namespace"] not in {None, NAMESPACE} or unquote(match["path"] or "").startswith("/_/"):
            return None  # /_/ is the function's server's own: probes and metrics
        return match["name"], match["path"] or "/"
    if match := _LESHAN_API.fullmatch(path):
        return f"ingest-{match['kind']}", path
    return None


class Proxy:
    """Forwards requests to replicas in turn, large bodies streaming both ways.

    A request is tried on another replica only when it cannot have reached one: when no connection came
    about. One that broke off later may have been processed and is the caller's to repeat.
    """

    def __init__(self, functions: Functions, upstream_timeout: float) -> None:
        self._functions = functions
        self._timeout = aiohttp.ClientTimeout(total=upstream_timeout, connect=5)
        self._client: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool of connections."""
        self._client = aiohttp.ClientSession(
            # No bound: each function has its own, max_inflight.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=self._timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def stop(self) -> None:
        """Close the pool of connections."""
        if self._client is not None:
            await self._client.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Forward one request."""
        found = target(request.rel_url.raw_path)
        deployment = self._functions.deployed.get(found[0]) if found else None
        if found is None or deployment is None:
            return self._not_found(found and found[0])
        deployment.invocations += 1
        try:
            async with asyncio.timeout(self._timeout.total):
                body = await _body(request)
        except TimeoutError:
            return problem(408, "The body did not arrive in time", {"Connection": "close"})
        avoid: Replica | None = None
        deadline = time.monotonic() + REPLICA_WAIT
        while True:
            replica = await deployment.choose(deadline - time.monotonic(), avoid)
            if replica is None:
                return problem(
                    503, f"No replica of {deployment.function.name} is ready", {"Retry-After": "1"}
                )
            try:
                return await self._forward(request, body, replica, found[1])
            except aiohttp.ClientConnectorError:
                avoid = replica
                if time.monotonic() > deadline:
                    return problem(503, "The function cannot be reached", {"Retry-After": "1"})

    def _not_found(self, name: str | None) -> web.Response:
        """Say which functions there are; the path is not repeated, for a token may be in it."""
        what = "a function is at /function/<name>" if name is None else f"there is no function {name[:64]!r}"
        there_are = ", ".join(sorted(self._functions.deployed)) or "none yet"
        return problem(404, "There is no such function", detail=f"{what}; there are: {there_are}")

    async def _forward(
        self, request: web.Request, body: Body, replica: Replica, path: str
    ) -> web.StreamResponse:
        assert self._client is not None  # noqa: S101 - for the type checker: start() came before
        url = URL(f"{replica.url}{path}", encoded=True)
        if request.rel_url.raw_query_string:
            url = URL(f"{url}?{request.rel_url.raw_query_string}", encoded=True)
        response: web.StreamResponse | None = None
        replica.inflight += 1
        try:
            async with self._client.request(
                request.method, url, headers=_headers(request), data=body, allow_redirects=False
            ) as upstream:
                headers = CIMultiDict(
                    (name, value)
                    for name, value in upstream.headers.items()
                    if name.lower() not in _HOP_BY_HOP
                )
                length = upstream.content_length
                if length is not None and length <= WHOLE and request.method != "HEAD":
                    whole = await upstream.read()
                    return web.Response(
                        status=upstream.status, reason=upstream.reason, headers=headers, body=whole
                    )
                response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
                response.content_length = length
                await response.prepare(request)
                if request.method != "HEAD":
                    async for chunk in upstream.content.iter_any():
                        await response.write(chunk)
                await response.write_eof()
                return response
        except aiohttp.ClientConnectorError:
            raise
        except TimeoutError:
            _log.warning("%s: no answer in %g s", replica.name, self._timeout.total)
            return _broken(response, problem(504, "The function did not answer in time"))
        except aiohttp.ClientError as error:
            _log.warning("%s: connection lost: %s", replica.name, type(error).__name__)
            return _broken(response, problem(502, "The function's connection broke off"))
        finally:
            replica.inflight -= 1


def _broken(response: web.StreamResponse | None, instead: web.Response) -> web.StreamResponse:
    """Return what to answer when the function failed us."""
    if response is None or not response.prepared:
        return instead
    # Half an answer is out: end the connection so that it cannot be taken for a whole one.
    raise ConnectionAbortedError


def _headers(request: web.Request) -> CIMultiDict[str]:
    headers = CIMultiDict(
        (name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP
    )
    if (length := request.headers.get("Content-Length")) is not None:
        headers["Content-Length"] = length
    # As OpenFaaS's gateway adds them.
    headers.setdefault("X-Call-Id", str(uuid.uuid4()))
    headers.setdefault("X-Start-Time", str(time.time_ns()))
    headers.setdefault("X-Forwarded-Host", request.host)
    if request.secure:
        headers["X-Forwarded-Proto"] = "https"
    headers.setdefault("X-Forwarded-For", request.remote or "")
    return headers


async def _body(request: web.Request) -> Body:
    if not request.can_read_body:
        return None
    if request.content_length is not None and request.content_length <= WHOLE:
        return await request.read()
    return request.content.iter_any()


def problem(
    status: int, title: str, headers: dict[str, str] | None = None, detail: str | None = None
) -> web.Response:
    """Return an error response (RFC 9457)."""
    body = {"title": title, "status": status} | ({} if detail is None else {"detail": detail})
    return web.Response(
        status=status,
        text=json.dumps(body),
        content_type="application/problem+json",
        headers=headers,
    )
