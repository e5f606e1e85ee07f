"""Functions that are Starlette apps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flownexus.web.guard import Guard
from flownexus.web.problem import problem, problem_of

Json: TypeAlias = dict[str, Any] | list[dict[str, Any]]
Handler: TypeAlias = Callable[[Request], Awaitable[Json]]
"""Turns a request into the JSON of a 200."""
Lifespan: TypeAlias = Callable[[Starlette], AbstractAsyncContextManager[None]]

_HEADERS: Final = {"Content-Type": "application/json"}


class FunctionApp(Starlette):
    """A Starlette app with what the function's server asks of it."""

    guard: Guard
    ready: Callable[[], bool]
    """Says whether the function has what it needs; may block."""


def starlette_app(post: Handler, lifespan: Lifespan, guard: Guard, ready: Callable[[], bool]) -> FunctionApp:
    """Make a function's Starlette app that answers POST /, in which every error becomes a problem.

    `lifespan` is entered before the first request and left after the last.
    """

    async def answer(request: Request) -> Response:
        try:
            return _response(await post(request), HTTPStatus.OK, _HEADERS)
        except Exception as error:  # noqa: BLE001  # Starlette would answer it, and raise it all the same
            return _response(*problem(error))

    app = FunctionApp(
        routes=[Route("/", answer, methods=["POST"])],
        exception_handlers={HTTPException: _http_problem},
        lifespan=lifespan,
    )
    app.guard = guard
    app.ready = ready
    return app


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # for the type checker: registered for it
    status = HTTPStatus(error.status_code)
    return _response(*problem_of(status, status.phrase, status.description, dict(error.headers or {})))


def _response(body: Json, status: int, headers: Mapping[str, str]) -> Response:
    return Response(msgspec.json.encode(body), status, headers)
