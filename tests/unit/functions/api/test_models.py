"""api: object models and devices' logs, how they are asked for and what reaches the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from flownexus.lwm2m.model import MAX_XML_BYTES
from flownexus.web.guard import Scope
from tests.fixtures.function import Start
from tests.fixtures.models import ENTRY, HOSTILE_FILES, MODEL, MODELS_AND_LOGS, TIME, XML
from tests.fixtures.statements import Rows, Statements

ROWS: Mapping[str, Rows] = {"only_read": [()], "endpoint_ids": [("sim-0001", 7)], **MODELS_AND_LOGS}


def test_a_file_is_added_for_who_sends_it(start: Start, statements: Statements) -> None:
    answer = start(statements).send("POST", "/v1/models", XML.encode(), scopes=[Scope.ADMINISTER])
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/function/api/v1/models/33456/1.1"
    assert [model["name"] for model in answer.json()["models"]] == ["Kiln"]
    [added] = statements.of("add_object_model")
    assert (added["object_id"], added["version"], added["added_by"], added["xml"]) == (
        33456,
        "1.1",
        "ann",
        XML,
    )
    [resources] = statements.of("add_object_model_resources")
    assert (resources["names"], resources["data_types"]) == (["Heat"], ["FLOAT"])
    assert statements.of("refresh_resource_models") == [{"object_id": 33456, "resource_ids": [0]}]
    assert statements.of("remove_object_model") == []


def test_a_version_is_replaced_where_that_is_asked(start: Start, statements: Statements) -> None:
    answer = start(statements).send(
        "POST", "/v1/models?replace=true", XML.encode(), scopes=[Scope.ADMINISTER]
    )
    assert answer.status_code == 201
    assert statements.of("remove_object_model") == [{"object_id": 33456, "version": "1.1"}]


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (XML.replace("Float", "Double").encode(), 422, "line 1: Type 'Double' is not one of Integer"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><LWM2M>&a;</LWM2M>", 422, "leave <!DOCTYPE> out"),
        (b"{}", 422, "line 1: it is no XML"),
        (b"", 422, "line 1: it is no XML"),
        (XML.replace("Kiln", "Käln").encode("latin-1"), 400, "not text in UTF-8"),
        (b" " * (MAX_XML_BYTES + 1), 413, f"at most {MAX_XML_BYTES} are taken"),
    ],
    ids=str,
)
def test_what_is_no_model_is_refused_with_what_would_be_right(
    start: Start, statements: Statements, body: bytes, status: int, detail: str
) -> None:
    answer = start(statements).send("POST", "/v1/models", body, scopes=[Scope.ADMINISTER])
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert statements.sent == []


@pytest.mark.parametrize("attack", HOSTILE_FILES)
def test_a_bomb_is_neither_expanded_nor_fetched_nor_stored(
    start: Start, statements: Statements, attack: str
) -> None:
    body, status, detail = HOSTILE_FILES[attack]
    function = start(statements)
    began = time.process_time()
    answer = function.send("POST", "/v1/models", body, scopes=[Scope.ADMINISTER])
    assert time.process_time() - began < 2
    assert (answer.status_code, detail in answer.json()["detail"]) == (status, True), answer.text
    assert statements.sent == []


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", {"object_id": None, "added_only": False}),
        ("?added=true", {"object_id": None, "added_only": True}),
        ("?object_id=33456", {"object_id": 33456, "added_only": False}),
    ],
)
def test_models_are_listed(start: Start, statements: Statements, query: str, asked: dict[str, Any]) -> None:
    answer = start(statements).send("GET", f"/v1/models{query}").json()
    assert answer == {"models": [MODEL.as_json()], "next": None}
    [sent] = statements.of("object_models")
    assert {name: sent[name] for name in asked} == asked


@pytest.mark.parametrize(
    ("url", "status", "detail"),
    [
        ("/v1/models?object_id=x", 422, "object_id: a whole number from 0 to 65534"),
        ("/v1/models?added=yes", 422, "added: true or false"),
        ("/v1/models/3303/one", 404, "no model of object 3303 in version one"),
        ("/v1/models/70000/1.0", 404, "no model of object 70000"),
        ("/v1/logs?severity=purple", 422, "severity: one of emergency, alert"),
        ("/v1/logs?text=", 422, "text: at least one character"),
        ("/v1/logs?source=%00", 422, "source: at least one character"),
        ("/v1/logs?from=yesterday", 422, "from: a time with its offset"),
        ("/v1/logs?cursor=x", 422, "cursor: none of ours"),
        ("/v1/logs?cursor=999999999999999999-1", 422, "cursor: none of ours"),
        ("/v1/models?cursor=x", 422, "cursor: "),
        ("/v1/models?limit=0", 422, "limit: a whole number"),
    ],
)
def test_what_is_asked_wrongly_is_refused_with_what_would_be_right(
    start: Start, statements: Statements, url: str, status: int, detail: str
) -> None:
    answer = start(statements).send("GET", url)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert statements.sent == []


def test_a_model_is_shown_with_its_resources_and_its_file(start: Start, statements: Statements) -> None:
    shown = start(statements).send("GET", "/v1/models/33456/1.1").json()
    assert (shown["name"], shown["xml"]) == ("Kiln", XML)
    assert shown["resources"] == [
        {
            "id": 0,
            "name": "Heat",
            "operations": "R",
            "multiple": False,
            "mandatory": False,
            "data_type": "FLOAT",
            "range": None,
            "units": "Cel",
        }
    ]


def test_the_log_of_an_endpoint_is_searched(start: Start, statements: Statements) -> None:
    query = "severity=warning&source=fan&text=stuck&from=2026-01-01T00:00:00Z"
    answer = start(statements).send("GET", f"/v1/endpoints/sim-0001/logs?{query}").json()
    assert answer == {"entries": [ENTRY.as_json()], "next": None}
    [sent] = statements.of("log_entries")
    assert (sent["endpoint"], sent["severity"], sent["source"], sent["pattern"]) == (
        "sim-0001", 4, "fan", "%stuck%",
    )  # fmt: skip
    assert sent["from_time"] == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_page_of_a_log_begins_behind_the_one_before(start: Start, statements: Statements) -> None:
    statements.rows["log_entries"] = [ENTRY, ENTRY._replace(id=6)]
    function = start(statements)
    answer = function.send("GET", "/v1/logs?limit=1").json()
    assert [entry["id"] for entry in answer["entries"]] == [7]
    function.send("GET", f"/v1/logs?limit=1&cursor={answer['next']}")
    [_, sent] = statements.of("log_entries")
    assert (sent["before_time"], sent["before_id"]) == (TIME, 7)
