"""Send the operation of an endpoint that is to go next, wait for its end, record it.

POST / with {"ep": "<endpoint name>"}, as hints have it. Answers 200 {"operation": {"id", "status",
"attempts", "reason"}}, or {"operation": null} where nothing is to be sent now; 400, 401, 503.

An array of hints is answered 200 with an array: for each what it would have been answered alone, with the
"status" of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request

from flownexus.dispatch.dispatcher import Dispatcher
from flownexus.errors import BadRequestError
from flownexus.leshan.client import Leshan
from flownexus.messaging.publisher import Publisher
from flownexus.settings import Timeouts, duration_setting, secret, text_setting, token_to_send
from flownexus.store.pool import Pool, pool_from_environment
from flownexus.store.telemetry import Telemetry
from flownexus.web.guard import Guard, Scope, guard_from_secrets
from flownexus.web.problem import problem
from flownexus.web.starlette import FunctionApp, Json, ScopedRoute

NAME: Final = "dispatch-op"


class _Hint(msgspec.Struct):
    ep: str


def _endpoint(hint: Any) -> str:
    """Return whom a hint names; raise BadRequestError where it names nobody."""
    try:
        ep = msgspec.convert(hint, _Hint).ep
    except msgspec.ValidationError as error:
        raise BadRequestError(f'a hint is {{"ep": "<endpoint name>"}}: {error}') from None
    if not ep or "\0" in ep:
        raise BadRequestError("ep is an endpoint name: not empty, no NUL characters")
    return ep


def create_app(
    pool: Pool,
    telemetry: Telemetry,
    publisher: Publisher,
    leshan: Leshan,
    timeouts: Timeouts,
    guard: Guard,
) -> Starlette:
    """Make the function's app; `guard` knows its callers."""
    dispatcher = Dispatcher(pool, telemetry, publisher, leshan, timeouts)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with leshan:
            yield
            await dispatcher.close()
        publisher.close()
        pool.close()

    async def dispatch(request: Request) -> Json:
        try:
            hint = msgspec.json.decode(await request.body())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequestError(f"the body is not JSON: {error}") from None
        if isinstance(hint, list) and hint:
            return await asyncio.gather(*map(dispatch_one, hint))
        return await dispatcher.dispatch(_endpoint(hint))

    async def dispatch_one(hint: Any) -> dict[str, Any]:
        try:
            return {"status": HTTPStatus.OK, **await dispatcher.dispatch(_endpoint(hint))}
        except Exception as error:  # noqa: BLE001  # it becomes this one's answer
            body, _, _ = problem(error)
            return body

    routes = [ScopedRoute("/", dispatch, methods=["POST"], scope=Scope.DISPATCH)]
    return FunctionApp(routes, lifespan, guard, pool.ready, dispatcher.drain)


def app_from_environment() -> Starlette:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    timeouts = Timeouts.from_environment()
    # What may be missing comes first, then what starts threads.
    guard = guard_from_secrets("flownexus-connector-token")
    leshan = Leshan(text_setting("leshan_url"), token_to_send("flownexus-leshan-token"), timeouts)
    telemetry = Telemetry(timedelta(seconds=duration_setting("retention", "8760h")))
    nats_url = secret("flownexus-nats-url")
    pool = pool_from_environment(NAME, "flownexus-dispatch-database-url")
    return create_app(pool, telemetry, Publisher(nats_url, name=NAME), leshan, timeouts, guard)


def __getattr__(name: str) -> Starlette:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
