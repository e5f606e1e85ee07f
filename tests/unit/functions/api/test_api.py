"""api: what is read back, how it is asked for and how it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from flownexus.store.endpoint_values import Endpoint, Value
from flownexus.store.token import Token
from flownexus.web.guard import Scope
from tests.fixtures.fleet import FLEET, FLEET_REQUESTS
from tests.fixtures.function import Start
from tests.fixtures.models import MODELS_AND_LOGS, XML
from tests.fixtures.routes import RightRequest, RouteTests
from tests.fixtures.statements import Rows, Statements

TIME = datetime(2026, 11, 22, 13, 27, 27, tzinfo=UTC)
LIMIT = "limit: a whole number from 1 to 500"
VALUE = Value("/3303/0/5700", "24.9", TIME, "FLOAT", "Sensor Value", None)
TOKEN = Token(7, "ci", "Ann", ["administer"], "0123abcd", TIME, "api", None, None, None, None)
ROWS: Mapping[str, Rows] = {
    **FLEET,
    "only_read": [()],
    "endpoints": [Endpoint("sim-0001", True, TIME)],
    "endpoint_ids": [("sim-0001", 7)],
    "newest_values": [VALUE],
    **MODELS_AND_LOGS,
    "add_token": [TOKEN],
    "tokens": [TOKEN],
    "token": [TOKEN],
    "revoke_token": [()],
}


class TestRoutes(RouteTests):
    requests = (
        RightRequest("GET", "/openapi.json", Scope.READ, asks_database=False),
        RightRequest("POST", "/v1/tokens", Scope.ADMINISTER, {"name": "ci", "scopes": ["administer"]}, 201),
        RightRequest("GET", "/v1/tokens", Scope.ADMINISTER),
        RightRequest("GET", "/v1/tokens/7", Scope.ADMINISTER),
        RightRequest("DELETE", "/v1/tokens/7", Scope.ADMINISTER),
        RightRequest("GET", "/v1/endpoints", Scope.READ),
        RightRequest("GET", "/v1/endpoints/sim-0001/values", Scope.READ),
        RightRequest("GET", "/v1/endpoints/sim-0001/logs", Scope.READ),
        RightRequest("GET", "/v1/logs", Scope.READ),
        RightRequest("GET", "/v1/models", Scope.READ),
        RightRequest("POST", "/v1/models", Scope.ADMINISTER, XML.encode(), 201),
        RightRequest("GET", "/v1/models/33456/1.1", Scope.READ),
        RightRequest("DELETE", "/v1/models/33456/1.1", Scope.ADMINISTER),
        *FLEET_REQUESTS,
    )


# ---------------------------------------------------------------------------------------------------------
# Endpoints and their values


def test_endpoints_come_page_by_page_by_name(start: Start, statements: Statements) -> None:
    statements.rows["endpoints"] = [Endpoint(name, False, None) for name in ("b/c", "d", "e")]
    answer = start(statements).send("GET", "/v1/endpoints?limit=2&cursor=a%26b").json()
    assert statements.of("endpoints") == [{"cursor": "a&b", "limit": 3}]
    assert answer == {
        "endpoints": [{"name": name, "registered": False, "last_seen": None} for name in ("b/c", "d")],
        "next": "d",
    }


def test_values_come_page_by_page_by_path_below_the_one_asked_for(
    start: Start, statements: Statements
) -> None:
    statements.rows |= {
        "newest_values": [VALUE, VALUE._replace(path="/3303/0/5701")],
        "endpoint_ids": lambda asked: [(name, 7) for name in asked["names"]],
    }
    path = "/v1/endpoints/a%2Fb%20%3F/values?path=/3303&limit=1&cursor=/3303/0/5601"
    answer = start(statements).send("GET", path).json()
    [asked] = statements.of("newest_values")
    assert (asked["endpoint"], asked["limit"]) == ("a/b ?", 2)
    assert (asked["object_id"], asked["object_instance_id"], asked["resource_id"]) == (3303, None, None)
    assert (asked["after_object_id"], asked["after_object_instance_id"]) == (3303, 0)
    assert (asked["after_resource_id"], asked["after_resource_instance_id"]) == (5601, None)
    assert answer == {"values": [VALUE.as_json()], "next": "/3303/0/5700"}


def test_values_of_an_endpoint_never_seen_are_a_404(start: Start, statements: Statements) -> None:
    statements.rows["endpoint_ids"] = []
    function = start(statements)
    for name in ("nobody", "no%00body"):
        answer = function.send("GET", f"/v1/endpoints/{name}/values")
        assert answer.status_code == 404
        assert "has been seen" in answer.json()["detail"]
    assert statements.of("newest_values") == []


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/endpoints?limit=0", LIMIT),
        ("/v1/endpoints?limit=1e3", LIMIT),
        ("/v1/endpoints?cursor=%00", "cursor: an endpoint name has no NUL characters"),
        ("/v1/endpoints/a/values?limit=501", LIMIT),
        ("/v1/endpoints/a/values?path=temperature", "path: 'temperature' is not a LwM2M path"),
        ("/v1/endpoints/a/values?cursor=/3303/0", "cursor: the path of a resource"),
    ],
)
def test_a_query_of_endpoints_that_is_not_valid_is_refused(
    start: Start, statements: Statements, path: str, detail: str
) -> None:
    answer = start(statements).send("GET", path)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(detail)
    assert statements.sent == []


@pytest.mark.parametrize(
    "path", ["/v1/endpoints/", "/v1/endpoints/a", "/v1/endpoints//values", "/v1/endpoints/a/values/"]
)
def test_below_endpoints_there_is_nothing_else(start: Start, statements: Statements, path: str) -> None:
    assert start(statements).send("GET", path).status_code == 404
