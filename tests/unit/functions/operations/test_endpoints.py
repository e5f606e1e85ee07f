"""The operations function's routes of endpoints, before any service is asked."""

from __future__ import annotations

import pytest
from flask import Flask

from flownexus.store.pool import Pool
from flownexus.web.endpoints import add_endpoints
from flownexus.web.flask import FunctionApp
from flownexus.web.guard import Scope
from tests.fixtures.guard import guard_of

TOKEN = {"Authorization": "Bearer api"}
AS_THE_SERVER_ASKS = {"authorization": "Bearer api"}
PATHS = ["/v1/endpoints", "/v1/endpoints/sim-0001/values", "/v1/endpoints/a/b/values"]


def app_for(*scopes: Scope) -> FunctionApp:
    """Return an app of these routes alone, whose database is never opened."""
    pool = Pool("", open=False)
    app = FunctionApp("operations", guard_of("api", scopes=scopes), pool.ready)
    add_endpoints(app, pool)
    return app


@pytest.fixture
def app() -> Flask:
    return app_for(Scope.READ)


@pytest.mark.parametrize("path", PATHS)
def test_who_has_no_token_is_refused(app: Flask, path: str) -> None:
    assert app.test_client().get(path).status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_who_may_not_read_is_refused_before_and_behind_the_server(path: str) -> None:
    app = app_for(Scope.OPERATE)
    assert app.test_client().get(path, headers=TOKEN).status_code == 403
    _, refusal = app.guard("GET", path, AS_THE_SERVER_ASKS)
    assert refusal is not None
    assert refusal[1] == 403


@pytest.mark.parametrize("path", PATHS)
def test_they_are_read_only(app: Flask, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert app.test_client().open(path, method=method, headers=TOKEN).status_code == 405


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/endpoints?limit=0", "limit: a whole number from 1 to 500"),
        ("/v1/endpoints?limit=1e3", "limit: a whole number from 1 to 500"),
        ("/v1/endpoints?cursor=%00", "cursor: an endpoint name has no NUL characters"),
        ("/v1/endpoints/a/values?limit=501", "limit: a whole number from 1 to 500"),
        ("/v1/endpoints/a/values?path=temperature", "path: 'temperature' is not a LwM2M path"),
        ("/v1/endpoints/a/values?cursor=/3303/0", "cursor: the path of a resource"),
    ],
)
def test_a_query_that_is_not_valid_is_refused(app: Flask, path: str, detail: str) -> None:
    answer = app.test_client().get(path, headers=TOKEN)
    assert answer.status_code == 422
    assert answer.get_json()["detail"].startswith(detail)


@pytest.mark.parametrize(
    "path", ["/v1/endpoints/", "/v1/endpoints/a", "/v1/endpoints//values", "/v1/endpoints/a/values/"]
)
def test_there_is_nothing_elsewhere(app: Flask, path: str) -> None:
    assert app.test_client().get(path, headers=TOKEN).status_code == 404
