"""Functions that are Starlette apps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from flownexus.errors import FlowNexusError
from flownexus.logs import add_correlation_ids, correlate, correlation_id
from flownexus.web.guard import PRINCIPAL, Guard, Principal, Scope, UndeclaredScopeError
from flownexus.web.problem import Response as Problem
from flownexus.web.problem import problem, problem_of

Json: TypeAlias = dict[str, Any] | list[dict[str, Any]]
Handler: TypeAlias = Callable[[Request], Awaitable[Json]]
"""Turns a request into the JSON of a 200."""
Lifespan: TypeAlias = Callable[[Starlette], AbstractAsyncContextManager[None]]

_HEADERS: Final = {"Content-Type": "application/json"}


class ScopedRoute(Route):
    """A route that says which scope it asks for, and whose errors become problems."""

    def __init__(
        self, path: str, handler: Handler, methods: Sequence[str], scope: Scope | None = None
    ) -> None:
        if scope is None:
            raise UndeclaredScopeError(path, methods)
        self.scope = scope

        async def answer(request: Request) -> Response:
            try:
                request.scope[PRINCIPAL].require(scope)
                return _response(await handler(request), HTTPStatus.OK, _HEADERS)
            except Exception as error:  # noqa: BLE001  # Starlette would answer it, and raise it all the same
                return _response(*problem(error))

        super().__init__(path, answer, methods=list(methods))


class FunctionApp(Starlette):
    """A Starlette app with what the function's server asks of it, and whose routes declare their scope.

    `lifespan` is entered before the first request and left after the last. `ready` says whether the function
    has what it needs, and may block. `drain` is told, when the function is stopped, in how many seconds what
    is under way should have ended.
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute],
        lifespan: Lifespan,
        guard: Guard,
        ready: Callable[[], bool],
        drain: Callable[[float], None] = lambda within: None,  # noqa: ARG005  # all of it is short
    ) -> None:
        for route in routes:
            if not isinstance(route, ScopedRoute):
                raise UndeclaredScopeError(getattr(route, "path", ""), getattr(route, "methods", None) or ())
        add_correlation_ids()
        super().__init__(routes=routes, exception_handlers={HTTPException: _http_problem}, lifespan=lifespan)
        self.ready = ready
        self.drain = drain
        self._guard = guard

    def guard(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> tuple[Principal | None, Problem | None]:
        """Say who sends a request, or how it is refused; as the template's server asks, on the head."""
        return self._guard.answer(path, headers, self._scope(method, path))

    def _scope(self, method: str, path: str) -> Scope | None:
        """Return what the route of a request asks for; None where there is no such route."""
        request: Connection = {"type": "http", "method": method, "path": path}
        for route in self.routes:
            if isinstance(route, ScopedRoute) and route.matches(request)[0] is Match.FULL:
                return route.scope
        return None

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Answer a request, of whom the server has asked about; ask where it is another server."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            correlate(correlation_id(headers.get))
            if scope.get(PRINCIPAL) is None:
                principal, refusal = await self._who(scope, headers)
                if refusal is not None:
                    await _response(*refusal)(scope, receive, send)
                    return
                scope[PRINCIPAL] = principal
        await super().__call__(scope, receive, send)

    async def _who(self, connection: Connection, headers: Headers) -> tuple[Principal | None, Problem | None]:
        """Say who sends a request, or how it is refused."""
        principal, refusal = self.guard(connection["method"], connection["path"], headers)
        if principal is not None or refusal is not None:
            return principal, refusal
        asked = connection["path"], headers.get("authorization")
        try:
            return await asyncio.to_thread(self._guard.principal, *asked), None
        except FlowNexusError as error:
            return None, problem(error)


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # for the type checker: registered for it
    status = HTTPStatus(error.status_code)
    nothing = f"there is nothing at {request.url.path}"
    detail = nothing if status is HTTPStatus.NOT_FOUND else status.description
    return _response(*problem_of(status, status.phrase, detail, dict(error.headers or {})))


def _response(body: Json, status: int, headers: Mapping[str, str]) -> Response:
    return Response(msgspec.json.encode(body), status, headers)
