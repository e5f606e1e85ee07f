"""From outside, without a credential: every path of the gateway, and what answers there."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import yaml

from flownexus.credentials import SecretFolder
from local import REPOSITORY, web
from local.openfaas.provider_api import Provider
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

INGRESS = REPOSITORY / "deploy" / "k3s" / "base" / "ingress.yaml"
BELOW = ("", "/", "/v1/endpoints", "/v1/operations/1", "/_/health", "/_/ready", "/_/metrics", "/hook/off")
LESHAN_S = ("/clients", "/clients/a/3/0", "/security/clients", "/event", "/set-aside", "/nowhere")
DOWNLOADS = ("/", "/metrics", "/1", f"/{'a' * 40}", "/../secrets", "/%2e%2e/secrets")
STRIPPED = {"leshan": "/leshan_api", "downloads": "/firmware"}
"""What the Ingress takes off a path before it passes it on."""
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")
REFUSALS = {401, 404, 405, 501}
CONSOLE = "/function/console"
CONSOLE_S_REFUSALS = REFUSALS | {303, 403}
"""The console has a login of its own: it sends on to it, and takes no form of a page that it has not sent."""
SIGN_IN = ("GET", f"{CONSOLE}/sign-in")


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
    open_ = {
        (method, rule)
        for (method, rule, _), status in answers.items()
        if status not in (CONSOLE_S_REFUSALS if rule.startswith(CONSOLE) else {401})
    }
    assert open_ == {HEALTH, SIGN_IN}
    assert nexus.sql("SELECT count(*) FROM endpoint_operation") == operations


def test_what_is_no_route_tells_nothing(nexus: Nexus) -> None:
    for path in NO_ROUTES:
        for method in METHODS:
            answer = nexus.request(method, path)
            assert answer.status in REFUSALS, (method, path, answer)
            assert "flownexus" not in str(answer).lower()


def opened() -> dict[str, str]:
    """Return the paths that k3s's Ingresses open, with the Service behind each; people log in to Grafana."""
    found = {}
    for document in yaml.safe_load_all(INGRESS.read_text(encoding="utf-8")):
        for rule in document["spec"].get("rules", []):
            for path in rule["http"]["paths"]:
                found[path["path"]] = path["backend"]["service"]["name"]
    del found["/"]
    return found


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}], ids=["nothing", "a wrong token"])
def test_no_path_that_is_open_to_the_outside_answers_without_a_credential(
    nexus: Nexus, headers: dict[str, str]
) -> None:
    places = {
        "gateway": (nexus.world.ports.gateway, BELOW),
        "leshan": (nexus.world.ports.leshan, LESHAN_S),
        "downloads": (nexus.world.ports.downloads, DOWNLOADS),
    }
    asked = 0
    for path, service in opened().items():
        port, below = places[service]
        for rest in below:
            for method in METHODS:
                url = path.removeprefix(STRIPPED.get(service, "")) + rest
                status, text = web.request(port, method, url, headers=headers)
                refusals = CONSOLE_S_REFUSALS if path == CONSOLE else REFUSALS
                assert status in refusals, f"{method} {url}: {status} {text}"
                asked += 1
    assert asked > 300
