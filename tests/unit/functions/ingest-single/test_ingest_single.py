"""ingest-single: what it takes, what it hands to the store, and how it refuses the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flownexus.leshan.webhook import Kind
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.store.value_time import EPOCH_MS
from flownexus.web.guard import Scope
from tests.fixtures.function import TOKEN, Start
from tests.fixtures.hints import Hints
from tests.fixtures.payloads import just_sent, payload, recorded
from tests.fixtures.routes import RightRequest, RouteTests
from tests.fixtures.statements import Statements
from tests.fixtures.uplink import ENDPOINT_ID, UPLINK

SINGLE, COMPOSITE = "/leshan_api/resource/single", "/leshan_api/resource/composite"
HOOK = f"/hook/{TOKEN}"
FLOAT = payload("documented-single.json")
OBJECT = payload("documented-composite.json")

ROWS = UPLINK


class TestRoutes(RouteTests):
    requests = (
        RightRequest("POST", "/", Scope.INGEST, FLOAT),
        RightRequest("POST", SINGLE, Scope.INGEST, FLOAT),
        RightRequest("POST", COMPOSITE, Scope.INGEST, OBJECT),
        RightRequest("POST", HOOK + SINGLE, Scope.INGEST, FLOAT),
        RightRequest("POST", HOOK + COMPOSITE, Scope.INGEST, OBJECT),
    )


STORED: dict[str, dict[str, Any]] = {
    "float": {"object_instance_id": "{0}", "resource_instance_id": [], "float_value": "{24.9}"},
    "instance-2": {"object_instance_id": "{2}", "resource_instance_id": [], "float_value": "{22.5}"},
    "multi-resource": {
        "object_instance_id": "{0,0}",
        "resource_instance_id": "{0,1}",
        "integer_value": "{3800,4987}",
    },
    "string": {
        "object_instance_id": "{0}",
        "resource_instance_id": [],
        "string_value": ["Europe/Zürich \N{SNOWMAN}"],
    },
}


def test_every_recording_is_expected() -> None:
    assert {f"recorded-single-{what}.json" for what in STORED} == set(recorded(Kind.SINGLE))


@pytest.mark.parametrize("what", STORED)
def test_what_leshan_posts_is_stored_at_its_time_in_the_column_of_its_type(
    start: Start, statements: Statements, what: str
) -> None:
    body = just_sent(f"recorded-single-{what}.json")
    answer = start(statements).send("POST", "/", body)
    assert answer.json() == {"stored": 1, "skipped": 0, "mark": body["first_seq"], "rejected": []}
    [row] = statements.of("store_few")
    count = len(body["items"][0]["val"].get("values", "1"))
    times = ",".join([str((body["items"][0]["ts"] - EPOCH_MS) * 1000)] * count)
    ids = ",".join([str(ENDPOINT_ID)] * count)
    assert row["time"] == f"{{{times}}}"
    assert row["endpoint_id"] == f"{{{ids}}}"
    values = {name: given for name, given in row.items() if name.endswith("_value") and given != []}
    places = {name: row[name] for name in ("object_instance_id", "resource_instance_id")}
    assert places | values == STORED[what]
    assert statements.of("endpoint_ids") == [{"names": [body["items"][0]["ep"]]}]
    assert statements.of("add_events") == []


def test_an_envelope_moves_the_mark_of_its_source_kind_and_lane(start: Start, statements: Statements) -> None:
    body = just_sent("recorded-single-string.json")
    start(statements).send("POST", "/", body)
    [locked], [moved] = statements.of("lock_mark"), statements.of("move_mark")
    assert (str(locked["source"]), locked["kind"], locked["lane"]) == (body["source"], "single", body["lane"])
    assert (moved["mark"], moved["gap"]) == (body["first_seq"], body["first_seq"] - 1)


def test_what_lies_below_the_mark_is_skipped(start: Start, statements: Statements) -> None:
    body = just_sent("recorded-single-string.json")
    statements.rows["lock_mark"] = [(body["first_seq"],)]
    answer = start(statements).send("POST", "/", body)
    assert answer.json() == {"stored": 0, "skipped": 1, "mark": body["first_seq"], "rejected": []}
    assert statements.of("store_few") == []


def test_each_of_leshan_s_own_paths_takes_its_own_kind(start: Start, statements: Statements) -> None:
    function = start(statements)
    for name in ("recorded-single-float.json", "recorded-composite-send.json"):
        for prefix in ("", HOOK):
            path = f"{prefix}/leshan_api/resource/{name.split('-')[1]}"
            assert function.send("POST", path, just_sent(name)).json()["stored"] == 1
    kinds = [mark["kind"] for mark in statements.of("lock_mark")]
    assert kinds == ["single", "single", "composite", "composite"]


def test_a_registration_event_counts_here_too(start: Start, statements: Statements, hints: Hints) -> None:
    start(statements).send("POST", "/", just_sent("recorded-registration-registered.json"))
    assert [event["registration_id"] for event in statements.of("register")] == ["WqCQGdHUd0"]
    assert hints.published == [Hint(HintKind.REGISTERED, "sim-0001")]


def test_one_item_by_itself_that_cannot_be_stored_is_told_and_kept(
    start: Start, statements: Statements
) -> None:
    answer = start(statements).send("POST", "/", FLOAT | {"val": FLOAT["val"] | {"value": "warm"}})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("it is kept as a dead letter: ")
    [letter] = statements.of("add_dead_letters")
    assert json.loads(letter["items"][0])["node"]["value"] == "warm"
    assert letter["kind"] == "single"


def test_a_bad_item_of_several_is_rejected_alone_with_the_reason(
    start: Start, statements: Statements
) -> None:
    answer = start(statements).send("POST", "/", [FLOAT, {"ep": "x"}, FLOAT]).json()
    assert (answer["stored"], [each["index"] for each in answer["rejected"]]) == (2, [1])
    [letter] = statements.of("add_dead_letters")
    assert letter["reasons"] == [answer["rejected"][0]["reason"]]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is empty"),
        (b"hello", "neither a JSON object nor an array"),
        (b"{}", "Object missing required field `ep`"),
        (b'{"ep": 5}', "Expected `str`, got `int` - at `$.ep`"),
        (b'{"ep": 5', "not JSON"),
        (b"\xff", "neither a JSON object nor an array"),
        (b"[" * 10_000, "nested too deeply"),
        (b'{"source": "me", "items": []}', "envelope"),
    ],
)
def test_a_body_of_no_known_shape_is_refused_with_the_reason(
    start: Start, statements: Statements, body: bytes, detail: str
) -> None:
    function = start(statements)
    for path in ("/", SINGLE, COMPOSITE, HOOK + SINGLE):
        answer = function.send("POST", path, body)
        assert answer.status_code == 400
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:flownexus:problem:unreadable-delivery"
        assert detail in answer.json()["detail"]
    assert statements.sent == []


@pytest.mark.parametrize("header", ["Bearer", "Basic secret", "secret", "Bearer secret secret"])
def test_a_header_that_only_resembles_the_right_one_is_refused(
    start: Start, statements: Statements, header: str
) -> None:
    answer = start(statements).send("POST", "/", FLOAT, token=None, headers={"Authorization": header})
    assert (answer.status_code, statements.sent) == (401, [])


def test_no_answer_tells_the_token_of_a_path(start: Start, statements: Statements) -> None:
    answer = start(statements).send("POST", f"{HOOK}/elsewhere", FLOAT)
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is nothing at /hook/...")
