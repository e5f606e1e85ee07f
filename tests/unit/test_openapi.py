"""The description of the API says what its routes do, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta
from openapi_spec_validator import OpenAPIV31SpecValidator

from flownexus.operations.catalogue import KINDS
from flownexus.operations.new_operation import parse_operation
from flownexus.web.described import Body
from flownexus.web.flask import FunctionApp
from flownexus.web.guard import Scope
from flownexus.web.openapi import add_openapi, describe
from tests.fixtures.function import Start
from tests.fixtures.guard import guard_of
from tests.fixtures.routes import operation_of
from tests.fixtures.statements import Statements

DESCRIBED = ("api", "operations")


class Which(msgspec.Struct):
    most: Annotated[int, Meta(ge=1, le=9, description="a number from 1 to 9")] = 5
    name: str | None = None


class Thing(msgspec.Struct):
    name: Annotated[str, Meta(max_length=3, description="up to 3 characters")]


def app() -> FunctionApp:
    return FunctionApp("test", guard_of("ann"), lambda: True)


@pytest.fixture(params=DESCRIBED)
def document(request: pytest.FixtureRequest, start_of: Callable[[str], Start], statements: Statements) -> Any:
    """Return the description of a function, as its users read it."""
    return start_of(request.param)(statements).send("GET", "/openapi.json").json()


@pytest.fixture
def operations(start_of: Callable[[str], Start], statements: Statements) -> Any:
    return start_of("operations")(statements).send("GET", "/openapi.json").json()


def test_the_description_of_each_function_is_one(document: Any) -> None:
    OpenAPIV31SpecValidator(document).validate()
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("function", DESCRIBED)
def test_every_route_is_described_and_no_other(
    start_of: Callable[[str], Start], statements: Statements, function: str
) -> None:
    started = start_of(function)(statements)
    found = started.send("GET", "/openapi.json").json()
    told = {id(operation_of(found, *route)) for route in started.routes()}
    assert len(told) == sum(map(len, found["paths"].values())) == len(started.routes())


def test_every_operation_says_what_it_does_and_how_it_refuses(document: Any) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            assert {"401", "403", "503"} <= set(operation["responses"])
            assert len(operation["security"][0]["bearer"]) == 1


@pytest.mark.parametrize("function", DESCRIBED)
def test_every_route_describes_itself_its_answers_and_what_it_takes(
    start_of: Callable[[str], Start], statements: Statements, function: str
) -> None:
    found = start_of(function)(statements).send("GET", "/openapi.json").json()
    for path, of_path in found["paths"].items():
        for method, operation in of_path.items():
            route = f"{method} {path}"
            assert operation["summary"].endswith("."), f"{route}: its view function has no docstring"
            answers = {status: of for status, of in operation["responses"].items() if status[0] == "2"}
            assert answers, f"{route} declares no answers"
            for told in answers.values():
                assert told["content"].get("application/json", {"schema": 1})["schema"] != {}, route
            assert all(each["schema"] for each in operation["parameters"]), route
            assert method in ("get", "delete") or "requestBody" in operation or "/{id}/" in path, route


def test_every_kind_of_operation_stands_in_the_description(operations: Any) -> None:
    body = operation_of(operations, "POST", "/")["requestBody"]["content"]["application/json"]["schema"]
    assert body["discriminator"]["propertyName"] == "operation"
    assert set(body["discriminator"]["mapping"]) == set(KINDS)


RIGHT: dict[str, dict[str, Any]] = {
    "read": {"path": "/3"},
    "write": {"path": "/3/0/15", "value": "UTC"},
    "write-attributes": {"path": "/3303/0/5700", "value": {"pmin": 10, "st": None}},
    "create": {"path": "/3341", "value": {"resources": {"5527": "a"}}},
    "delete": {"path": "/3341/7"},
    "execute": {"path": "/3/0/4", "arguments": "0='x'", "repeatable": True},
    "observe": {"path": "3303/0/5700"},
    "cancel-observe": {"path": "/3/0/7/1"},
    "discover": {"path": "/3"},
    "read-composite": {"paths": ["/3/0/9", "/3303"]},
    "write-composite": {"value": {"/3/0/14": "+02:00"}},
    "observe-composite": {"paths": ["/3/0/9"]},
    "cancel-observe-composite": {"paths": ["/3/0/9"]},
    "reboot": {},
    "factory-reset": {"path": "/3/0/5"},
    "registration-update-trigger": {"path": "/1/1/8"},
    "disable": {"arguments": None},
    "set-clock": {},
}
COMMON = {
    "endpoint": "sim-0001",
    "priority": 7,
    "not_before": "2098-01-02T03:04:05Z",
    "expires_at": "2099-01-02T03:04:05Z",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_description_allows_is_taken(operations: Any, kind: str) -> None:
    body = operation_of(operations, "POST", "/")["requestBody"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**operations, **body})
    asked = {"operation": kind, **COMMON, **RIGHT[kind]}
    validator.validate(asked)
    assert parse_operation(asked).operation.kind == kind
    for wrong in ({"priority": 0}, {"endpoint": ""}, {"other": 1}, {"path": "3//0"}, {"expires_in": -1}):
        assert not validator.is_valid(asked | wrong)


def typed() -> FunctionApp:
    made = app()

    @made.get("/things/<int:id_>", scope=Scope.READ, query=Which, answers={200: Thing})
    def things(id_: int, query: Which) -> dict[str, Any]:
        """Show things.

        At length.
        """
        return {"name": f"{id_} {query.most} {query.name}"}

    @made.post("/things", scope=Scope.OPERATE, body=Body.of(Thing), answers={201: Thing})
    def make(body: Thing) -> tuple[dict[str, Any], int]:
        """Make a thing."""
        return {"name": body.name}, 201

    add_openapi(made, "test")
    return made


ANN = {"Authorization": "Bearer ann"}


def test_what_checks_a_query_describes_it() -> None:
    described = describe(typed(), "test")["paths"]["/things/{id}"]["get"]
    assert (described["summary"], described["description"]) == ("Show things.", "At length.")
    assert described["parameters"] == [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}},
        {
            "name": "most",
            "in": "query",
            "required": False,
            "description": "a number from 1 to 9",
            "schema": {
                "type": "integer",
                "minimum": 1,
                "maximum": 9,
                "description": "a number from 1 to 9",
                "default": 5,
            },
        },
        {"name": "name", "in": "query", "required": False, "description": "", "schema": {"type": "string"}},
    ]
    client = typed().test_client()
    assert client.get("/things/7?most=3&name=x", headers=ANN).get_json() == {"name": "7 3 x"}
    assert client.get("/things/7", headers=ANN).get_json() == {"name": "7 5 None"}
    answer = client.get("/things/7?most=10&nme=x", headers=ANN)
    assert (answer.status_code, answer.get_json()["detail"]) == (
        422,
        "nme: is unknown; there is most, name; most: a number from 1 to 9",
    )


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"{", 400, "the body is not JSON: "),
        (b"\xff", 400, "the body is not JSON: "),
        (b"[" * 100_000, 400, "the body is "),
        (b"[]", 422, "the body is a JSON object with name"),
        (b"{}", 422, "name: is missing; it is up to 3 characters"),
        (b'{"name": "long"}', 422, "name: up to 3 characters"),
        (b'{"name": "a", "x": 1}', 422, "x: is unknown; there is name"),
    ],
)
def test_a_body_that_is_not_valid_is_refused_with_what_would_be(
    body: bytes, status: int, detail: str
) -> None:
    answer = typed().test_client().post("/things", headers=ANN, data=body)
    assert answer.status_code == status
    assert answer.get_json()["detail"].startswith(detail)


def test_who_lacks_the_scope_is_not_told_what_was_wrong_with_the_rest() -> None:
    answer = typed().test_client().post("/things", headers={"Authorization": "Bearer eve"}, data=b"{")
    assert answer.status_code == 401
