"""dispatch-op: hints as the connector posts them, alone and in a batch, and what Leshan's answers do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from flownexus.messaging.subjects import Hint, HintKind
from flownexus.store.operation_claims import _Claimed
from flownexus.store.pool import Pool
from flownexus.web.guard import Scope
from tests.fixtures.function import Start
from tests.fixtures.hints import Hints
from tests.fixtures.leshan import Answer, LeshanDouble
from tests.fixtures.payloads import payload
from tests.fixtures.routes import RightRequest, RouteTests
from tests.fixtures.statements import Rows, Statements
from tests.fixtures.uplink import UPLINK

HINT = Hint(HintKind.REGISTERED, "sim-0001").payload
ENDPOINT_ID = 7


def claimed(asked: Mapping[str, Any], id_: int = 41) -> _Claimed:
    """Return the row of a claim of what was asked."""
    return _Claimed(
        id=id_,
        fence=3,
        endpoint_id=ENDPOINT_ID,
        contact_count=5,
        operation=asked["operation"],
        path=asked["path"],
        paths=None,
        value=asked.get("value"),
        arguments=None,
        repeatable=False,
        attempts=1,
        write_format=None,
        content_formats=None,
        formats_refused=(),
        request_timeout_s=None,
        awake_time_s=None,
    )


ROWS: Mapping[str, Rows] = {
    **UPLINK,
    "try_lock_endpoints_named": lambda asked: [
        (ENDPOINT_ID + n, name) for n, name in enumerate(asked["names"])
    ],
    "claim_operation": lambda asked: [
        claimed({"operation": "read", "path": "/3303/0"}, asked["endpoint_id"])
    ],
    "try_lock_endpoints": lambda asked: [(id_,) for id_ in asked["ids"]],
    "settle_operation": [()],
    "see_answer": [()],
    "has_eligible_operation": [(False,)],
    "mark_unreachable": [()],
}
"""Where each endpoint's row is free, and has one operation with the endpoint's id."""


class TestRoutes(RouteTests):
    requests = (RightRequest("POST", "/", Scope.DISPATCH, HINT),)


@pytest.mark.parametrize("kind", HintKind)
def test_a_hint_has_the_operation_claimed_and_settled(
    start: Start, statements: Statements, hints: Hints, kind: HintKind
) -> None:
    """No Leshan listens: the operation stays queued, and its attempt does not count."""
    answer = start(statements).send("POST", "/", Hint(kind, "it's.*> \N{SNOWMAN}").payload)
    assert answer.status_code == 200
    [operation] = answer.json().values()
    assert (operation["id"], operation["status"], operation["attempts"]) == (ENDPOINT_ID, "QUEUED", 0)
    assert operation["reason"].startswith("Leshan is away: ")
    assert statements.of("try_lock_endpoints_named") == [{"names": ["it's.*> \N{SNOWMAN}"]}]
    [claim], [settled] = statements.of("claim_operation"), statements.of("settle_operation")
    assert claim == {"endpoint_id": ENDPOINT_ID, "lease": 50.0}
    assert (settled["id"], settled["fence"], settled["status"], settled["given_back"]) == (
        ENDPOINT_ID, 3, "QUEUED", 1,
    )  # fmt: skip
    assert hints.published == []


def test_the_lease_follows_from_the_long_poll(start: Start, statements: Statements) -> None:
    start(statements, long_poll_timeout="6s").send("POST", "/", HINT)
    assert [claim["lease"] for claim in statements.of("claim_operation")] == [10.0]


def test_an_endpoint_without_an_operation_is_no_error(start: Start, statements: Statements) -> None:
    statements.rows |= {"claim_operation": [], "expired_operations_of_endpoints": []}
    assert start(statements).send("POST", "/", HINT).json() == {"operation": None}
    assert statements.of("settle_operation") == []


def as_recorded(recorded: Mapping[str, Any]) -> Answer:
    """Answer as our Leshan did."""

    async def reply(_: web.Request) -> web.Response:
        return web.json_response(recorded["body"], status=recorded["status"])

    return reply


ANSWERED: dict[str, tuple[str, str, str | None]] = {
    # The request to Leshan, and what the operation ends as.
    "read": ("GET /3303/0", "CONFIRMED", None),
    "write": ("PUT /1/0/1", "CONFIRMED", None),
    "execute": ("POST /3303/0/5605", "CONFIRMED", None),
    "discover": ("GET /3303/0/discover", "CONFIRMED", None),
    "not-found": ("GET /3303/7/5700", "FAILED", "the device answered 4.04 NOT_FOUND"),
    "not-registered": ("GET /3/0", "QUEUED", "the device is not registered at Leshan"),
}


@pytest.mark.parametrize("what", ANSWERED)
def test_what_leshan_answers_is_what_the_operation_ends_as(
    start: Start, statements: Statements, leshan: LeshanDouble, what: str
) -> None:
    recorded = payload(f"answered-{what}.json")
    asked = recorded["asked"]
    statements.rows["claim_operation"] = [claimed(asked)]
    leshan.answers[asked["endpoint"]] = as_recorded(recorded)
    ended = start(statements, leshan_url=leshan.url).send("POST", "/", {"ep": asked["endpoint"]})
    request, status, reason = ANSWERED[what]
    assert [f"{seen.method} {seen.path}" for seen in leshan.of(asked["endpoint"])] == [request]
    [settled] = statements.of("settle_operation")
    assert ended.json()["operation"]["status"] == status
    assert ended.json()["operation"]["reason"] == settled["reason"] == reason
    assert (settled["id"], settled["fence"], settled["status"]) == (41, 3, status)
    content = recorded["body"].get("content") or recorded["body"].get("objectLinks")
    assert (settled["result"].obj.get("content") if settled["result"] else None) == content


def test_the_values_of_a_read_are_stored_with_its_end(
    start: Start, statements: Statements, leshan: LeshanDouble
) -> None:
    leshan.default = as_recorded(payload("answered-read.json"))
    start(statements, leshan_url=leshan.url).send("POST", "/", HINT)
    [values], [events] = statements.of("store_few"), statements.of("add_events")
    assert values["float_value"] == [20.7500000001, 20.7500000001, -40.0, 20.7000000005, 85.0, None, None]
    assert values["string_value"] == [None] * 5 + ["Cel", ""]
    assert events["event_type"] == ["read"]


def test_the_next_operation_of_the_endpoint_gets_a_hint(
    start: Start, statements: Statements, leshan: LeshanDouble, hints: Hints
) -> None:
    statements.rows |= {
        "claim_operation": [claimed(payload("answered-write.json")["asked"])],
        "has_eligible_operation": [(True,)],
    }
    start(statements, leshan_url=leshan.url).send("POST", "/", HINT)
    assert hints.published == [Hint(HintKind.QUEUED, "sim-0001")]


# ---------------------------------------------------------------------------------------------------------
# A batch


def batch(*endpoints: str) -> bytes:
    """Return hints as the connector puts several into one body."""
    return b"[" + b",".join(Hint(HintKind.QUEUED, endpoint).payload for endpoint in endpoints) + b"]"


def test_each_hint_of_a_batch_is_answered_in_its_place(start: Start, statements: Statements) -> None:
    answer = start(statements).send("POST", "/", batch("a", "b", "c"))
    assert answer.status_code == 200
    assert [each["status"] for each in answer.json()] == [200] * 3
    claims = sorted(claim["endpoint_id"] for claim in statements.of("claim_operation"))
    assert sorted(each["operation"]["id"] for each in answer.json()) == claims


def test_what_is_no_hint_in_a_batch_harms_none_of_the_others(start: Start, statements: Statements) -> None:
    body = json.loads(batch("a", "b"))
    answer = start(statements).send("POST", "/", [body[0], {"ep": 3}, {}, [], body[1]]).json()
    assert [each["status"] for each in answer] == [200, 400, 400, 400, 200]
    assert answer[1]["title"] == "Bad request"
    assert answer[1]["detail"].startswith('a hint is {"ep": "<endpoint name>"}: ')


def test_in_a_batch_each_is_told_that_postgresql_is_away(start: Start, statements: Statements) -> None:
    answer = start(Pool("", open=False)).send("POST", "/", batch("a", "b"))
    assert answer.status_code == 200
    assert [(each["status"], each["detail"]) for each in answer.json()] == [(503, "PostgreSQL is away")] * 2


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is not JSON"),
        (b"ep", "the body is not JSON"),
        (b"\xff", "the body is not JSON"),
        (b"[" * 10_000, "the body is not JSON"),
        (b"[]", 'a hint is {"ep": "<endpoint name>"}: '),
        (b"{}", 'a hint is {"ep": "<endpoint name>"}: '),
        (b'{"ep": 3}', 'a hint is {"ep": "<endpoint name>"}: '),
        (b'{"ep": ""}', "ep is an endpoint name: not empty, no NUL characters"),
        (b'{"ep": "a\\u0000"}', "ep is an endpoint name: not empty, no NUL characters"),
    ],
)
def test_a_body_that_is_no_hint_is_refused_with_what_one_is(
    start: Start, statements: Statements, body: bytes, detail: str
) -> None:
    answer = start(statements).send("POST", "/", body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["detail"].startswith(detail)
    assert statements.sent == []
