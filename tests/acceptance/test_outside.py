"""From outside, without a credential: every path of the gateway, and what answers there."""

from __future__ import annotations

import re
from collections.abc import Callable

from flownexus.credentials import SecretFolder
from local.openfaas.provider import Provider
from local.options import PARTS
from tests.fixtures.function import STACK, Start
from tests.fixtures.nexus import Nexus
from tests.fixtures.statements import Statements

GROUPS: tuple[str, ...] = ()
NEXUS = {"parts": frozenset(PARTS) - {"simulator"}}
HEALTH = ("GET", "/healthz")
NO_ROUTES = (
    *("/", "/metrics", "/ui/", "/system", "/leshan_api/clients", "/api/clients"),
    *("/function/", "/function/nobody", "/async-function/operations"),
    *("/function/operations/_/health", "/function/operations/_/ready", "/function/operations/metrics"),
)
_PLACE = re.compile(r"<[^>]+>|\{[^}]+\}")
"""A part of a rule that stands for whatever a request has there."""


def routes_of_functions(start_of: Callable[[str], Start]) -> set[tuple[str, str]]:
    """Return each route of each function of stack.yml, as the gateway has it."""
    return {
        (method, f"/function/{name}{rule}")
        for name in STACK
        for method, rule in start_of(name)(Statements({})).routes()
    }


def routes_of_the_gateway() -> set[tuple[str, str]]:
    """Return the routes that the gateway has beside the functions."""
    routes = Provider(functions=None, secrets=SecretFolder(None)).routes()  # type: ignore[arg-type]  # not called
    return {(route.method, route.path) for route in routes}


def test_nothing_but_health_is_answered_to_who_shows_no_credential(
    nexus: Nexus, start_of: Callable[[str], Start]
) -> None:
    functions, gateway = routes_of_functions(start_of), routes_of_the_gateway()
    documented = {
        (method, path.removeprefix(f"/function/ingest-{kind}"))
        for method, path in functions
        for kind in ("single", "composite")
        if path.startswith(f"/function/ingest-{kind}/") and path.endswith(f"/resource/{kind}")
    }
    assert len(functions) > 15
    assert HEALTH in gateway
    assert len(documented) == 4
    operations = nexus.sql("SELECT count(*) FROM endpoint_operation")
    answers = {}
    for method, rule in sorted({*functions, *gateway, *documented}):
        path = _PLACE.sub("1", rule)
        for token in (None, "wrong"):
            answers[method, rule, token] = nexus.request(method, path, b"{}", token=token).status
    open_ = {(method, rule) for (method, rule, _), status in answers.items() if status != 401}
    assert open_ == {HEALTH}
    assert nexus.sql("SELECT count(*) FROM endpoint_operation") == operations


def test_what_is_no_route_tells_nothing(nexus: Nexus) -> None:
    for path in NO_ROUTES:
        answer = nexus.request("GET", path)
        assert answer.status in (401, 404), (path, answer)
        assert "flownexus" not in str(answer).lower()
