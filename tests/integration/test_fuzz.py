"""Requests that nobody foresaw, made of each function's description, to a real PostgreSQL.

`make fuzz` makes many more of them: FUZZ_CASES for each route, valid and not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from flownexus.settings import Timeouts
from flownexus.web.enrolling import Enroller
from flownexus.web.tokens import IssuedTokens
from tests.fixtures.enrolment import secrets_with_authority
from tests.fixtures.guard import guard_of
from tests.fixtures.handler import load_handler
from tests.fixtures.hints import Hints
from tests.fixtures.world import World

CASES = int(os.environ.get("FUZZ_CASES", "10"))
RETENTION = timedelta(days=365)
pytestmark = pytest.mark.timeout(int(os.environ.get("FUZZ_TIMEOUT", "300")))
WAIT_S = 0.1
"""Seconds that a stream of changes lasts, or an operation is waited for."""
HEADERS = {"Authorization": "Bearer fuzz"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
HOSTILE = (
    "'; DROP TABLE endpoint_operation; --",
    "1); SELECT pg_sleep(30); --",
    "%(id)s %s :limit {0} ${HOME}",
    "$(reboot) `reboot` | reboot & reboot",
    "../../../../etc/passwd",
    "\0",
    "\u202e\U0001f600\n\r\t",
    "a" * 5000,
)
KNOWN = {
    "name": "sim-0001",
    "id": 1,
    "text": "3303/0/5700",
    "key": "site",
    "object_id": 3303,
    "version": "1.1",
    "resource_id": 5700,
    "number": 0,
    "action": "pause",
}
"""Path parameters that there are: what is behind a 404 is reached, too."""


@pytest.fixture(params=["operations", "api"])
def app(request: pytest.FixtureRequest, world: World) -> Flask:
    """Return a function on a database that has a device with values, operations and a token."""
    world.endpoint("sim-0001")
    for path in ("/3/0/9", "/3303/0/5700"):
        world.queue("sim-0001", "read", path)
    guard = guard_of("fuzz").with_issued(IssuedTokens(world.api_pool))
    create_app = load_handler(request.param).create_app
    app: Flask
    if request.param == "operations":
        app = create_app(world.api_pool, Hints(), guard)
    else:
        enroller = Enroller(world.api_pool, lambda: 0, secrets_with_authority())
        app = create_app(
            *(world.api_pool, world.ingest_pool, RETENTION, Hints(), guard, Timeouts.of(WAIT_S)),
            enroller=enroller,
        )
    return app


@pytest.fixture
def operations(app: Flask) -> list[Any]:
    """Return what the function describes."""
    gateway = f"/function/{app.name}"

    def behind_gateway(environ: dict[str, Any], start: Any) -> Any:
        return app(environ | {"PATH_INFO": environ["PATH_INFO"].removeprefix(gateway)}, start)

    schema = schemathesis.openapi.from_wsgi(f"{gateway}/openapi.json", behind_gateway, headers=HEADERS)
    return [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]


def check(
    operation: Any, mode: GenerationMode, cases: int = CASES, alter: Callable[[Any], None] = lambda case: None
) -> int:
    """Send requests that fit the description of an operation, or do not; return how many were sent."""
    sent = 0

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: Any) -> None:
        nonlocal sent
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if case.path_parameters and data.draw(st.booleans()):
            case.path_parameters |= {name: KNOWN[name] for name in case.path_parameters if name in KNOWN}
        alter(case)
        case.validate_response(case.call(headers=HEADERS), checks=CHECKS)
        sent += 1

    run()
    return sent


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_whatever_is_sent_is_answered_as_it_is_described(operations: list[Any], mode: GenerationMode) -> None:
    sent = [check(operation, mode) for operation in operations if may(operation, mode)]
    assert sum(sent) >= CASES


def test_sql_and_shell_text_in_any_field_is_text(operations: list[Any], world: World) -> None:
    tables = world.execute("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v') ORDER BY relname")

    def put_in(text: str, case: Any) -> None:
        case.query = dict.fromkeys(case.query or {}, text)
        case.body = _hostile(case.body, text)
        case.headers = {
            name: text.encode("latin-1", "replace").decode("latin-1").translate(_NOT_IN_HEADERS)
            for name in case.headers or {}
        }

    for operation, text in product(operations, HOSTILE):
        check(operation, GenerationMode.POSITIVE, max(1, CASES // len(HOSTILE)), partial(put_in, text))
    assert tables == world.execute(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v') ORDER BY relname"
    )


_NOT_IN_HEADERS = dict.fromkeys(map(ord, "\0\r\n"))


def _hostile(value: Any, text: str) -> Any:
    """Return a body with this text in place of each text, but the word that says its kind."""
    if isinstance(value, dict):
        return {key: each if key == "operation" else _hostile(each, text) for key, each in value.items()}
    if isinstance(value, list):
        return [_hostile(each, text) for each in value]
    return text if isinstance(value, str) else value


def may(operation: Any, mode: GenerationMode) -> bool:
    """Say whether there is something in a request for this operation that can be wrong."""
    return mode is GenerationMode.POSITIVE or bool(
        operation.body or operation.query or operation.path_parameters or operation.headers
    )
