"""operations: what a user may ask, what of it reaches the store, and how it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flownexus.messaging.subjects import Hint, HintKind
from flownexus.operations.catalogue import KINDS
from flownexus.operations.lifecycle import Status
from flownexus.operations.new_operation import parse_batch, parse_operation
from flownexus.operations.why import Facts
from flownexus.store.batch import Batch
from flownexus.store.batch import _KeyUse as _BatchKeyUse
from flownexus.store.endpoint_values import Endpoint, EndpointDetails, Value
from flownexus.store.model import _KnownRow
from flownexus.store.operation_requests import Operation, _KeyUse
from flownexus.web.guard import Scope
from tests.fixtures.function import Start
from tests.fixtures.hints import Hints
from tests.fixtures.payloads import payload
from tests.fixtures.routes import RightRequest, RouteTests
from tests.fixtures.statements import Rows, Statements

CREATED = datetime(2026, 11, 22, 13, 27, 27, tzinfo=UTC)
READ = payload("answered-read.json")["asked"]
WRITE = payload("answered-write.json")["asked"]
KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
QUEUED = [Hint(HintKind.QUEUED, "sim-0001")]


def operation(id_: int = 41, status: Status = Status.QUEUED, **more: Any) -> Operation:
    """Return an operation as its row has it."""
    columns: dict[str, Any] = dict.fromkeys(Operation._fields)
    return Operation(
        **columns
        | {"id": id_, "endpoint": "sim-0001", "operation": "read", "path": "/3303/0", "status": str(status)}
        | {"repeatable": False, "priority": 100, "attempts": 0, "created_at": CREATED, "requested_by": "api"}
        | more
    )


def known(
    object_id: int, resource_id: int, data_type: str | None, operations: str | None = None
) -> _KnownRow:
    """Return what is known of a resource; it has a model where that allows `operations`."""
    version, name = (None, None) if operations is None else ("1.1", "Lifetime")
    return _KnownRow(object_id, resource_id, data_type, version, name, operations, None)


_COLUMNS: dict[str, Any] = dict.fromkeys(Facts._fields)
WAITS = Facts(
    **_COLUMNS
    | {"id": 41, "endpoint": "sim-0001", "status": "QUEUED", "targets": ["/3303/0"], "attempts": 0}
    | {"now": CREATED, "registered": False, "first_seen_at": CREATED, "unreachable": False}
    | {"awaits_contact": False, "unanswered": 0, "contacts": []}
)
BATCH = Batch(
    5, "name==sim-*", "read", ["/3303/0"], 2, 0, "api", CREATED, None, None, {"QUEUED": 1, "CONFIRMED": 1}
)
ASKED_OF_ALL: dict[str, Any] = {"filter": "name==sim-*", "operation": "read", "path": "/3303/0"}
_NOTHING: dict[str, Any] = dict.fromkeys(EndpointDetails._fields)
_ENDPOINT: dict[str, Any] = {
    "name": "sim-0001",
    "registered": True,
    "first_seen": CREATED,
    "presence": "registered",
    "contacts": [],
}
ROWS: Mapping[str, Rows] = {
    "add_operation": [operation()],
    "operation": [operation()],
    "operations": [operation()],
    "cancel_operation": [()],
    "why_facts": [WAITS],
    "known_resources": [],
    "add_batch": [(5,)],
    "add_operations_of_batch": [(41, "sim-0001"), (42, "sim-0002")],
    "batch": [BATCH],
    "batches": [BATCH],
    "cancel_operations_of_batch": [("sim-0001",)],
    "mark_batch_cancelled": [()],
    "lock_superseding": [()],
    "lock_superseding_all": [()],
    "supersede_operations": [()],
    "only_read": [()],
    "only_read_by_filter": [()],
    "endpoints": [Endpoint("sim-0001", True, "registered", None, None, CREATED, None, [])],
    "endpoint_details": [EndpointDetails(**_NOTHING | _ENDPOINT)],
    "endpoint_ids": [("sim-0001", 7)],
    "newest_values": [Value("/3303/0/5700", "24.9", CREATED, 1.5, "FLOAT", "Sensor Value", None)],
}


class TestRoutes(RouteTests):
    requests = (
        RightRequest("POST", "/", Scope.OPERATE, READ, 201),
        RightRequest("GET", "/", Scope.READ),
        RightRequest("GET", "/41", Scope.READ),
        RightRequest("GET", "/41/why", Scope.READ),
        RightRequest("DELETE", "/41", Scope.OPERATE),
        RightRequest("GET", "/openapi.json", Scope.READ, asks_database=False),
        RightRequest("POST", "/batches", Scope.OPERATE, ASKED_OF_ALL, 201),
        RightRequest("GET", "/batches", Scope.READ),
        RightRequest("GET", "/batches/5", Scope.READ),
        RightRequest("DELETE", "/batches/5", Scope.OPERATE),
        RightRequest("GET", "/v1/endpoints", Scope.READ),
        RightRequest("GET", "/v1/endpoints/sim-0001", Scope.READ),
        RightRequest("GET", "/v1/endpoints/sim-0001/values", Scope.READ),
    )


@pytest.mark.parametrize("right", TestRoutes.requests, ids=lambda right: f"{right.method} {right.path}")
def test_a_token_that_may_only_read_is_refused_the_rest_on_the_head(
    start: Start, statements: Statements, tmp_path: Path, right: RightRequest
) -> None:
    (tmp_path / "flownexus-api-token").write_text("hidden dashboard read")
    app = start(statements).app
    for path in (right.path, right.path.replace("sim-0001", "a/b")):
        principal, refusal = app.guard(right.method, path, {"authorization": "Bearer hidden"})
        if right.scope is Scope.READ:
            assert (principal.name, refusal) == ("dashboard", None)
        else:
            assert (principal, refusal[1]) == (None, 403)


# ---------------------------------------------------------------------------------------------------------
# Queue


@pytest.mark.parametrize("what", ["read", "write", "execute", "discover"])
def test_what_is_asked_is_queued_for_who_asks_and_is_a_hint(
    start: Start, statements: Statements, hints: Hints, what: str
) -> None:
    asked = payload(f"answered-{what}.json")["asked"]
    answer = start(statements).send("POST", "/", asked)
    assert (answer.status_code, answer.headers["Location"]) == (201, "/function/operations/41")
    assert (answer.json()["id"], answer.json()["created_at"]) == (41, "2026-11-22T13:27:27+00:00")
    [added] = statements.of("add_operation")
    value = added["value"] and added["value"].obj
    assert {"endpoint": added["endpoint"], "operation": added["operation"], "path": added["path"]} | (
        {"value": value} if value else {}
    ) == asked
    assert (added["priority"], added["requested_by"], added["max_queued"]) == (100, "api", 1000)
    assert (added["idempotency_key"], added["fingerprint"]) == (None, None)
    assert hints.published == QUEUED


def test_a_plain_value_is_written_as_the_type_that_was_seen(start: Start, statements: Statements) -> None:
    statements.rows["known_resources"] = [known(1, 1, "INTEGER")]
    assert start(statements).send("POST", "/", WRITE | {"value": 240}).status_code == 201
    assert statements.of("known_resources") == [
        {"endpoint": "sim-0001", "object_ids": [1], "resource_ids": [1]}
    ]
    assert statements.of("add_operation")[0]["value"].obj == WRITE["value"]


def test_a_plain_value_of_a_resource_never_seen_is_refused_with_what_would_be_right(
    start: Start, statements: Statements, hints: Hints
) -> None:
    statements.rows["known_resources"] = [known(1, 1, None)]
    answer = start(statements).send("POST", "/", WRITE | {"value": 240})
    assert answer.status_code == 422
    assert '"type"' in answer.json()["detail"]
    assert (statements.of("add_operation"), hints.published) == ([], [])


def test_a_value_of_another_type_than_its_model_s_is_refused(
    start: Start, statements: Statements, hints: Hints
) -> None:
    statements.rows["known_resources"] = [known(1, 1, "TIME", "RW")]
    answer = start(statements).send("POST", "/", WRITE)
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "value: the type is TIME, as the object's model has it, not INTEGER",
    )
    assert (statements.of("add_operation"), hints.published) == ([], [])


def test_what_the_model_does_not_allow_is_refused_with_what_it_allows(
    start: Start, statements: Statements, hints: Hints
) -> None:
    statements.rows["known_resources"] = [known(3, 4, None, "E")]
    answer = start(statements).send("POST", "/", READ | {"path": "/3/0/4"})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        (
            "path: /3/0/4 (Lifetime) cannot be read: by the model of object 3, version 1.1, "
            "it is only executed (execute)"
        ),
    )
    assert (statements.of("add_operation"), hints.published) == ([], [])


def test_the_values_of_an_object_instance_are_typed_by_one_statement(
    start: Start, statements: Statements
) -> None:
    statements.rows["known_resources"] = [
        known(3442, 110, "STRING", "RW"),
        known(3442, 120, "INTEGER", "RW"),
    ]
    body = READ | {"operation": "create", "path": "/3442", "value": {"resources": {"110": "x", "120": 7}}}
    assert start(statements).send("POST", "/", body).status_code == 201
    assert statements.of("known_resources") == [
        {"endpoint": "sim-0001", "object_ids": [3442] * 2, "resource_ids": [110, 120]}
    ]
    assert statements.of("add_operation")[0]["value"].obj == {
        "resources": {"110": {"type": "STRING", "value": "x"}, "120": {"type": "INTEGER", "value": "7"}}
    }


def test_how_many_may_wait_is_a_setting(start: Start, statements: Statements) -> None:
    start(statements, max_queued_operations="3").send("POST", "/", READ)
    assert statements.of("add_operation")[0]["max_queued"] == 3


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is not JSON"),
        (b"read", "the body is not JSON"),
        (b'{"endpoint": ', "the body is not JSON"),
        (b'"\xff"', "the body is not JSON"),
        (b"[" * 10_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_not_json_is_refused(
    start: Start, statements: Statements, body: bytes, detail: str
) -> None:
    answer = start(statements).send("POST", "/", body)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert detail in answer.json()["detail"]
    assert statements.sent == []


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ([READ], ["an operation is a JSON object with endpoint, operation and path"]),
        ({}, ["endpoint: is the endpoint client name", f"operation: is one of {', '.join(KINDS)}"]),
        (READ | {"operation": "explode"}, [f"operation: is one of {', '.join(KINDS)}"]),
        (READ | {"path": "temperature"}, ["path: 'temperature' is not a LwM2M path"]),
        (READ | {"priority": 0}, ["priority: is a whole number from 1 to 1000"]),
        (READ | {"value": 1}, ["value: belongs to a write or "]),
        (READ | {"pathh": "/3"}, ["pathh: is unknown; the fields are endpoint, operation, path"]),
        (WRITE | {"value": {"type": "INTEGER", "value": "warm"}}, ["value: "]),
        (READ | {"endpoint": "a\0", "priority": True}, ["endpoint: is", "priority: is"]),
    ],
)
def test_each_field_that_is_not_valid_is_named_with_what_would_be(
    start: Start, statements: Statements, hints: Hints, body: Any, details: list[str]
) -> None:
    answer = start(statements).send("POST", "/", body)
    assert (answer.status_code, answer.json()["title"]) == (422, "Not valid")
    assert [each for each in details if each not in answer.json()["detail"]] == []
    assert (statements.sent, hints.published) == ([], [])


def test_an_endpoint_never_seen_is_a_404(start: Start, statements: Statements, hints: Hints) -> None:
    statements.rows |= {"add_operation": [], "operation_of_key": [], "endpoint_ids": []}
    answer = start(statements).send("POST", "/", READ | {"endpoint": "nobody"})
    assert (answer.status_code, answer.json()["detail"]) == (404, "no endpoint 'nobody' has been seen")
    assert statements.of("endpoint_ids") == [{"names": ["nobody"]}]
    assert hints.published == []


def test_too_many_that_wait_are_a_429_with_retry_after(
    start: Start, statements: Statements, hints: Hints
) -> None:
    statements.rows |= {"add_operation": [], "operation_of_key": []}
    answer = start(statements).send("POST", "/", READ)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert "1000 operations wait for 'sim-0001', and no more may" in answer.json()["detail"]
    assert hints.published == []


# ---------------------------------------------------------------------------------------------------------
# Idempotency-Key


def test_a_key_goes_to_the_store_with_the_fingerprint_of_what_was_asked(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    for header in (KEY["Idempotency-Key"], KEY["Idempotency-Key"].strip('"')):
        function.send("POST", "/", READ, headers={"Idempotency-Key": header})
    first, second = statements.of("add_operation")
    assert first["idempotency_key"] == "8e03978e-40d5-43e8-bc93-6894a57f9324"
    assert first["fingerprint"] == parse_operation(READ).fingerprint
    assert first == second


def test_the_same_post_again_is_answered_as_it_was_when_it_was_queued(
    start: Start, statements: Statements
) -> None:
    ended = operation(status=Status.CONFIRMED, attempts=1, result={"status": "CONTENT(205)"})
    statements.rows |= {
        "add_operation": [],
        "operation_of_key": [_KeyUse(41, parse_operation(READ).fingerprint)],
        "operation": [ended],
    }
    answer = start(statements).send("POST", "/", READ, headers=KEY)
    assert (answer.status_code, answer.headers["Location"]) == (201, "/function/operations/41")
    assert answer.json() == operation().as_json()
    [asked] = statements.of("operation_of_key")
    assert asked == {"requested_by": "api", "idempotency_key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}


def test_a_key_of_another_operation_is_refused(start: Start, statements: Statements, hints: Hints) -> None:
    statements.rows |= {
        "add_operation": [],
        "operation_of_key": [_KeyUse(40, parse_operation(WRITE).fingerprint)],
    }
    answer = start(statements).send("POST", "/", READ, headers=KEY)
    assert answer.status_code == 422
    assert "operation 40 was queued by this key" in answer.json()["detail"]
    assert "a new operation takes a new key" in answer.json()["detail"]
    assert hints.published == []


@pytest.mark.parametrize("key", ["", '""', '"open', '"a" "b"', "a b", f'"{"x" * 256}"', '"a\\b"'])
def test_a_key_that_is_none_is_refused_with_an_example(
    start: Start, statements: Statements, key: str
) -> None:
    answer = start(statements).send("POST", "/", READ, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert 'such as "8e03978e-40d5-43e8-bc93-6894a57f9324"' in answer.json()["detail"]
    assert statements.sent == []


# ---------------------------------------------------------------------------------------------------------
# List, show, cancel


def test_a_list_asks_for_one_more_than_its_page_to_know_whether_there_is_a_next(
    start: Start, statements: Statements
) -> None:
    statements.rows["operations"] = [operation(id_) for id_ in (43, 42, 41)]
    answer = start(statements).send("GET", "/?endpoint=sim-0001&status=QUEUED&limit=2&cursor=50").json()
    assert statements.of("operations") == [
        {"endpoint": "sim-0001", "status": "QUEUED", "batch": None, "cursor": 50, "limit": 3}
    ]
    assert ([each["id"] for each in answer["operations"]], answer["next"]) == ([43, 42], 42)


def test_the_last_page_has_no_next(start: Start, statements: Statements) -> None:
    answer = start(statements).send("GET", "/").json()
    assert statements.of("operations") == [
        {"endpoint": None, "status": None, "batch": None, "cursor": None, "limit": 51}
    ]
    assert (len(answer["operations"]), answer["next"]) == (1, None)


LIMIT = "limit: a whole number from 1 to 500"
CURSOR = f"cursor: a whole number from 1 to {2**63 - 1}"


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=0", LIMIT),
        ("limit=-1", LIMIT),
        ("limit=501", LIMIT),
        ("limit=1e3", LIMIT),
        ("limit=", LIMIT),
        ("limit=%D9%A3", LIMIT),  # a digit to Python, not to PostgreSQL
        (f"limit={'9' * 5000}", LIMIT),
        ("cursor=0", CURSOR),
        ("cursor=next", CURSOR),
        (f"cursor={2**63}", CURSOR),
        ("status=queued", f"status: one of {', '.join(Status)}"),
        ("endpoint=a%00", "endpoint: an endpoint name has no NUL characters"),
    ],
)
def test_a_query_that_is_not_valid_is_refused_with_what_would_be(
    start: Start, statements: Statements, query: str, detail: str
) -> None:
    answer = start(statements).send("GET", f"/?{query}")
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)
    assert statements.sent == []


def test_an_operation_is_shown_with_its_end(start: Start, statements: Statements) -> None:
    ended = operation(status=Status.FAILED, attempts=3, reason="NOT_FOUND(404)", finished_at=CREATED)
    statements.rows["operation"] = [ended]
    answer = start(statements).send("GET", "/41").json()
    assert (answer["status"], answer["attempts"], answer["reason"]) == ("FAILED", 3, "NOT_FOUND(404)")
    assert answer["finished_at"] == "2026-11-22T13:27:27+00:00"
    assert statements.of("operation") == [{"id": 41}]


def test_why_is_told_by_a_sentence_a_cause_and_its_fields(start: Start, statements: Statements) -> None:
    assert start(statements).send("GET", "/41/why").json() == {
        "id": 41,
        "cause": "never-registered",
        "why": "sim-0001 has never registered; it has been known since 2026-11-22T13:27:27Z.",
        "since": "2026-11-22T13:27:27+00:00",
    }
    statements.rows["why_facts"] = []
    for id_ in (42, 2**63):
        answer = start(statements).send("GET", f"/{id_}/why")
        assert (answer.status_code, answer.json()["detail"]) == (404, f"there is no operation {id_}")
    assert [asked["ids"] for asked in statements.of("why_facts")] == [[41], [42]]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_is_not_there_is_a_404(start: Start, statements: Statements, hints: Hints, method: str) -> None:
    statements.rows |= {"operation": [], "cancel_operation": []}
    answer = start(statements).send(method, "/42")
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no operation 42")
    asked = len(statements.sent)
    answer = start(statements).send(method, f"/{2**63}")
    assert (answer.status_code, answer.json()["detail"]) == (404, f"there is no operation {2**63}")
    assert (len(statements.sent), hints.published) == (asked, [])


@pytest.mark.parametrize("path", ["/x", "/-1", "/1.5", "/41/"])
def test_what_is_no_number_is_no_operation(start: Start, statements: Statements, path: str) -> None:
    assert start(statements).send("GET", path).status_code == 404
    assert statements.sent == []


def test_a_cancelled_operation_is_a_hint_for_those_behind_it(
    start: Start, statements: Statements, hints: Hints
) -> None:
    statements.rows["operation"] = [operation(status=Status.CANCELLED)]
    answer = start(statements).send("DELETE", "/41")
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    assert [name for name, _ in statements.sent] == ["cancel_operation", "operation"]
    assert hints.published == QUEUED


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.QUEUED])
def test_only_what_is_queued_can_be_cancelled(
    start: Start, statements: Statements, hints: Hints, status: Status
) -> None:
    statements.rows |= {"cancel_operation": [], "operation": [operation(status=status)]}
    answer = start(statements).send("DELETE", "/41")
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"operation 41 is {status}; only a QUEUED one can be cancelled"
    assert hints.published == []


@pytest.mark.parametrize(("method", "body"), [("POST", READ), ("DELETE", None)])
def test_a_hint_that_cannot_be_published_is_no_error(
    start: Start, statements: Statements, hints: Hints, method: str, body: Mapping[str, Any] | None
) -> None:
    hints.fail = 1
    assert start(statements).send(method, "/" if body else "/41", body).is_success


# ---------------------------------------------------------------------------------------------------------
# Supersede


def test_a_write_may_take_the_place_of_older_ones(start: Start, statements: Statements) -> None:
    function = start(statements)
    assert function.send("POST", "/", WRITE | {"supersede": True}).status_code == 201
    assert [name for name, _ in statements.sent] == [
        "lock_superseding", "known_resources", "add_operation", "supersede_operations",
    ]  # fmt: skip
    assert statements.of("supersede_operations") == [{"ids": [41]}]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (READ | {"supersede": True}, "supersede: belongs to a write of all that its path holds"),
        (WRITE | {"supersede": 1}, "supersede: is true or false"),
        (
            WRITE
            | {"path": "/3/0/7", "supersede": True}
            | {"value": {"type": "INTEGER", "values": {"0": 1}, "replace": False}},
            "supersede: belongs to a write of all",
        ),
    ],
)
def test_what_can_take_no_other_s_place_is_refused(
    start: Start, statements: Statements, body: Any, reason: str
) -> None:
    answer = start(statements).send("POST", "/", body)
    assert (answer.status_code, answer.json()["detail"].startswith(reason)) == (422, True), answer.text
    assert statements.sent == []


# ---------------------------------------------------------------------------------------------------------
# Batches


def test_a_batch_is_queued_by_one_statement_and_is_a_hint_for_each(
    start: Start, statements: Statements, hints: Hints
) -> None:
    answer = start(statements).send("POST", "/batches", ASKED_OF_ALL, headers=KEY)
    assert (answer.status_code, answer.headers["Location"]) == (201, "/function/operations/batches/5")
    assert answer.json() == {
        "id": 5,
        "filter": "name==sim-*",
        "operation": "read",
        "targets": ["/3303/0"],
        "endpoints": 2,
        "left_out": 0,
        "requested_by": "api",
        "created_at": "2026-11-22T13:27:27+00:00",
        "cancelled_at": None,
        "cancelled_by": None,
        "progress": dict.fromkeys(Status, 0) | {"QUEUED": 1, "CONFIRMED": 1},
        "ended": False,
    }
    [batch], [added] = statements.of("add_batch"), statements.of("add_operations_of_batch")
    assert (batch["filter"], batch["requested_by"], batch["idempotency_key"]) == (
        "name==sim-*", "api", "8e03978e-40d5-43e8-bc93-6894a57f9324",
    )  # fmt: skip
    assert batch["fingerprint"] == parse_batch(ASKED_OF_ALL).fingerprint
    assert added["matching"].obj == {"field": "name", "like": "sim-%"}
    assert (added["batch"], added["path"], added["priority"], added["max_queued"]) == (
        5,
        "/3303/0",
        100,
        1000,
    )
    assert hints.published == [Hint(HintKind.QUEUED, name) for name in ("sim-0001", "sim-0002")]


def test_a_batch_of_writes_may_take_the_place_of_older_ones(start: Start, statements: Statements) -> None:
    body = WRITE | {"filter": "name==*", "supersede": True}
    del body["endpoint"]
    assert start(statements).send("POST", "/batches", body).status_code == 201
    assert statements.of("lock_superseding_all")
    assert statements.of("supersede_operations") == [{"ids": [41, 42]}]


def test_a_batch_s_key_that_was_used_queues_nothing(
    start: Start, statements: Statements, hints: Hints
) -> None:
    statements.rows |= {
        "add_batch": [],
        "batch_of_key": [_BatchKeyUse(5, parse_batch(ASKED_OF_ALL).fingerprint)],
    }
    function = start(statements)
    assert function.send("POST", "/batches", ASKED_OF_ALL, headers=KEY).json()["id"] == 5
    answer = function.send("POST", "/batches", ASKED_OF_ALL | {"path": "/3"}, headers=KEY)
    assert (answer.status_code, "batch 5 was made by this key" in answer.json()["detail"]) == (422, True)
    assert (statements.of("add_operations_of_batch"), hints.published) == ([], [])


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"filter": "nam==a"}, "filter: column 1: 'nam' is no field; the fields are name, tag.KEY"),
        ({"filter": " "}, "filter: says which endpoints: name==sim-*;tag.site==berlin, or name==* for all"),
        ({"filter": None}, "filter: says which endpoints"),
        ({"endpoint": "a"}, "endpoint: is unknown; the fields are filter, operation, path"),
        ({"path": "/x"}, "path: "),
    ],
)
def test_a_batch_that_is_not_valid_is_refused_with_what_would_be(
    start: Start, statements: Statements, more: Mapping[str, Any], reason: str
) -> None:
    answer = start(statements).send("POST", "/batches", {**ASKED_OF_ALL, **more})
    assert (answer.status_code, answer.json()["detail"].startswith(reason)) == (422, True), answer.text
    assert statements.sent == []


@pytest.mark.parametrize(
    ("left_out", "status", "reason"),
    [(0, 422, "filter: no endpoint fits name==sim-*"), (7, 429, "1000 operations wait for each of these 7")],
)
def test_a_batch_for_nobody_is_refused(
    start: Start, statements: Statements, hints: Hints, left_out: int, status: int, reason: str
) -> None:
    statements.rows |= {
        "add_operations_of_batch": [],
        "batch": [BATCH._replace(endpoints=0, left_out=left_out, progress=None)],
    }
    answer = start(statements).send("POST", "/batches", ASKED_OF_ALL)
    assert (answer.status_code, answer.json()["detail"].startswith(reason)) == (status, True), answer.text
    assert hints.published == []


def test_a_batch_is_cancelled_in_its_caller_s_name_and_not_after_its_end(
    start: Start, statements: Statements, hints: Hints
) -> None:
    function = start(statements)
    assert function.send("DELETE", "/batches/5").status_code == 200
    assert statements.of("cancel_operations_of_batch") == [{"id": 5, "cancelled_by": "api"}]
    assert hints.published == QUEUED
    statements.rows["batch"] = [BATCH._replace(progress={"CONFIRMED": 2})]
    answer = function.send("DELETE", "/batches/5")
    assert (answer.status_code, "have ended" in answer.json()["detail"]) == (409, True)
    statements.rows["batch"] = []
    assert function.send("GET", "/batches/6").status_code == 404
    assert function.send("GET", f"/batches/{2**63}").status_code == 404


def test_operations_of_a_batch_are_asked_for_by_its_id(start: Start, statements: Statements) -> None:
    assert start(statements).send("GET", "/?batch=5").status_code == 200
    assert statements.of("operations")[0]["batch"] == 5
