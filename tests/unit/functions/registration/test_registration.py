"""registration: what becomes of the endpoint's row, which operations the plan queues, who gets a hint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from flownexus.leshan.refusals import MAX_IDENTITY
from flownexus.leshan.webhook import Kind
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.store.planned import _Applied
from flownexus.web.guard import Scope
from tests.fixtures.function import TOKEN, Start
from tests.fixtures.hints import Hints
from tests.fixtures.payloads import just_sent, payload, recorded
from tests.fixtures.routes import RightRequest, RouteTests
from tests.fixtures.statements import Rows, Statements
from tests.fixtures.uplink import ENDPOINT_ID, UPLINK

REGISTERED = just_sent("recorded-registration-registered.json")
PLAN = [
    {"operation": "read", "paths": ["/3"]},
    {"operation": "observe", "paths": ["/3303/*/5700", "/9/*/0"]},
    {"operation": "observe", "paths": ["/5"], "group": "all", "attributes": {"pmax": 20}},
]
APPLIED = _Applied(ENDPOINT_ID, "x", ["/3/0", "/3303/0", "/5/0"], None, 2, PLAN)

ROWS: Mapping[str, Rows] = {**UPLINK, "only_read": [()], "users_models": []}


class TestRoutes(RouteTests):
    requests = (
        RightRequest("POST", "/", Scope.INGEST, REGISTERED),
        RightRequest("GET", "/models", Scope.INGEST),
    )


STATEMENTS = {
    "registered": ("register", HintKind.REGISTERED),
    "updated": ("update_registration", HintKind.UPDATED),
    "unregistered": ("unregister", HintKind.UNREGISTERED),
}


def test_every_recording_is_expected() -> None:
    assert {f"recorded-registration-{what}.json" for what in STATEMENTS} == set(recorded(Kind.REGISTRATION))


@pytest.mark.parametrize("what", STATEMENTS)
def test_what_leshan_posts_changes_the_endpoint_is_an_event_and_a_hint(
    start: Start, statements: Statements, hints: Hints, what: str
) -> None:
    body = just_sent(f"recorded-registration-{what}.json")
    answer = start(statements).send("POST", "/", body)
    assert answer.json() == {"stored": 1, "skipped": 0, "mark": body["first_seq"], "rejected": []}
    name, hint = STATEMENTS[what]
    [change] = statements.of(name)
    assert change["endpoint_id"] == ENDPOINT_ID
    assert change["registration_id"] == body["items"][0]["reg"]["id"]
    assert statements.of("lock_endpoints") == [{"ids": [ENDPOINT_ID]}]
    assert [event["event_type"] for event in statements.of("add_events")] == [[what]]
    assert hints.published == [Hint(hint, "sim-0001")]


@pytest.mark.parametrize("what", ["registered", "updated"])
def test_all_that_a_registration_says_is_handed_on(start: Start, statements: Statements, what: str) -> None:
    body = just_sent(f"recorded-registration-{what}.json")
    start(statements).send("POST", "/", body)
    [said] = statements.of(STATEMENTS[what][0])
    expected: Mapping[str, Any] = {
        "address": "127.0.0.1:44707",
        "lifetime": 300,
        "binding": "U",
        "version": "1.1",
        "objects": ["/1/0", "/3", "/3/0", "/5", "/5/0", "/20/0", "/3303", "/3303/0"],
        "content_formats": [60, 110, 112, 11542, 11543],
    }
    assert {name: said[name] for name in expected} == expected
    assert said["object_versions"].obj == {"3": "1.2", "5": "1.1", "3303": "1.1"}


def test_the_plan_is_queued_for_what_the_device_has_observations_first(
    start: Start, statements: Statements
) -> None:
    statements.rows["profiles_of"] = [APPLIED]
    start(statements).send("POST", "/", REGISTERED)
    registration = REGISTERED["items"][0]["reg"]["id"]
    assert statements.of("profiles_of") == [{"ids": [ENDPOINT_ID]}]
    assert statements.of("assign_profiles") == [{"ids": [ENDPOINT_ID], "profile_ids": [2]}]
    assert statements.of("drop_older_plans") == [
        {"endpoint_ids": [ENDPOINT_ID], "registration_ids": [registration]}
    ]
    [queued] = statements.of("queue_planned")
    assert queued["operation_types"] == ["observe", "write-attributes", "observe-composite", "read"]
    assert queued["single_paths"] == ["/3303/0/5700", "/5", None, "/3"]
    assert [paths and paths.obj for paths in queued["several_paths"]] == [None, None, ["/5"], None]
    assert [value and value.obj for value in queued["attributes"]] == [None, {"pmax": 20}, None, None]
    assert (set(queued["endpoint_ids"]), set(queued["registration_ids"])) == ({ENDPOINT_ID}, {registration})
    assert queued["again"] is False
    assert statements.of("look_sooner") == [{"ids": [ENDPOINT_ID], "looks": [timedelta(seconds=40)]}]


def test_a_profile_that_applied_before_is_not_written_again(start: Start, statements: Statements) -> None:
    statements.rows["profiles_of"] = [APPLIED._replace(assigned=2, plan=[])]
    start(statements).send("POST", "/", REGISTERED)
    assert [statements.of(name) for name in ("assign_profiles", "queue_planned", "look_sooner")] == [
        [],
        [],
        [],
    ]


def test_a_device_that_is_heard_again_is_reached_where_it_is_now_and_is_an_event_and_a_hint(
    start: Start, statements: Statements, hints: Hints
) -> None:
    [item] = REGISTERED["items"]
    reg = {"id": "aBc", "address": "192.0.2.1:7", "awake": 5, "awake_told": True}
    heard = item | {"val": item["val"] | {"id": 3}, "reg": reg}
    answer = start(statements).send("POST", "/", REGISTERED | {"items": [heard]})
    assert answer.json()["stored"] == 1
    [said] = statements.of("hear")
    assert said == {
        "endpoint_id": ENDPOINT_ID, "registration_id": "aBc", "address": "192.0.2.1:7", "heard_since": None
    }  # fmt: skip
    assert [event["event_type"] for event in statements.of("add_events")] == [["heard"]]
    assert hints.published == [Hint(HintKind.HEARD, "sim-0001")]
    assert statements.of("add_planned_operations") == []


@pytest.mark.parametrize("what", ["registered", "updated"])
def test_how_long_a_sleeper_listens_and_its_scheme_are_handed_on(
    start: Start, statements: Statements, what: str
) -> None:
    body = just_sent(f"recorded-registration-{what}.json")
    [item] = body["items"]
    for told in (True, False):
        reg = item["reg"] | {"awake": 5.5, "awake_told": told, "secure": told}
        start(statements).send("POST", "/", item | {"reg": reg})
        said = statements.of(STATEMENTS[what][0])[-1]
        assert (said["awake_s"], said["awake_told"], said["secure"]) == (5.5, told, told)


def test_a_device_that_is_not_let_in_is_a_row_and_no_endpoint(
    start: Start, statements: Statements, hints: Hints
) -> None:
    refusals = [
        {"ep": "dev\0", "ts": 5, "refusal": {"cause": "wrong-key", "address": "192.0.2.1", "count": 3}},
        {"ep": "", "refusal": {"cause": "unknown-identity", "detail": "x" * 900}},
    ]
    answer = start(statements).send("POST", "/", REGISTERED | {"items": refusals})
    assert (answer.status_code, answer.json()["mark"]) == (200, REGISTERED["first_seq"] + 1)
    assert statements.of("note_refusals") == [
        {
            "endpoints": ["", "dev\ufffd"],
            "addresses": ["", "192.0.2.1"],
            "causes": ["unknown-identity", "wrong-key"],
            "identities": ["x" * MAX_IDENTITY, ""],
            "counts": [1, 3],
            "details": ["x" * 500, None],
        }
    ]
    assert (statements.of("endpoint_ids"), hints.published) == ([], [])


def test_a_refusal_without_a_cause_is_a_dead_letter(
    start: Start, statements: Statements, hints: Hints
) -> None:
    body = REGISTERED | {"items": [{"ep": "dev", "refusal": {"cause": ""}}]}
    [rejected] = start(statements).send("POST", "/", body).json()["rejected"]
    assert rejected["reason"] == "refusal needs a cause, and a count from 1 on"
    assert statements.of("note_refusals") == []


@pytest.mark.parametrize("what", ["updated", "unregistered"])
def test_an_update_and_an_end_queue_nothing(start: Start, statements: Statements, what: str) -> None:
    statements.rows["profiles_of"] = [APPLIED]
    start(statements).send("POST", "/", just_sent(f"recorded-registration-{what}.json"))
    assert statements.of("queue_planned") == []


def test_a_hint_that_cannot_be_published_is_no_error(
    start: Start, statements: Statements, hints: Hints
) -> None:
    hints.fail = 1
    assert start(statements).send("POST", "/", REGISTERED).status_code == 200


def test_an_event_that_was_stored_before_is_no_hint(
    start: Start, statements: Statements, hints: Hints
) -> None:
    statements.rows["lock_mark"] = [(REGISTERED["first_seq"],)]
    answer = start(statements).send("POST", "/", REGISTERED)
    assert (answer.json()["skipped"], statements.of("register"), hints.published) == (1, [], [])


def refused(start: Start, statements: Statements, body: Any) -> str:
    """Post what is none of the shapes; return the reason."""
    answer = start(statements).send("POST", "/", body)
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:flownexus:problem:unreadable-delivery"
    assert statements.sent == []
    detail: str = answer.json()["detail"]
    return detail


def test_values_are_not_taken_here(start: Start, statements: Statements, hints: Hints) -> None:
    detail = refused(start, statements, payload("documented-single.json"))
    assert "val.id 0 (registered), 1 (unregistered), 2 (updated) or 3 (heard)" in detail
    assert hints.published == []


def test_of_several_events_a_bad_one_is_rejected_alone(
    start: Start, statements: Statements, hints: Hints
) -> None:
    [item] = REGISTERED["items"]
    body = REGISTERED | {"items": [payload("documented-single.json"), item]}
    answer = start(statements).send("POST", "/", body).json()
    assert (answer["stored"], [each["index"] for each in answer["rejected"]]) == (1, [0])
    [letter] = statements.of("add_dead_letters")
    assert (letter["kind"], letter["seqs"]) == ("registration", [REGISTERED["first_seq"]])
    assert hints.published == [Hint(HintKind.REGISTERED, "sim-0001")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lifetime": -1}, "reg.lifetime -1 is not seconds of 32 bits"),
        ({"address": "x" * 300}, "reg.address has 300 bytes; at most 255 are taken"),
        ({"heard_since": 2**63}, "reg.heard_since: TIME 9223372036854775808 is outside"),
        ({"awake": 0}, "reg.awake 0.0 is not seconds above 0"),
        ({"id": 5}, "Expected `str | null`, got `int` - at `$.reg.id`"),
    ],
)
def test_a_field_of_a_registration_that_is_not_valid_is_named(
    start: Start, statements: Statements, change: Mapping[str, Any], reason: str
) -> None:
    [item] = REGISTERED["items"]
    assert reason in refused(start, statements, item | {"reg": item["reg"] | change})


def test_links_that_are_no_array_are_told_and_kept_and_the_objects_stay(
    start: Start, statements: Statements, hints: Hints
) -> None:
    """They were taken for a device that has no objects any more."""
    [item] = REGISTERED["items"]
    body = REGISTERED | {"items": [item | {"reg": item["reg"] | {"links": "</3/0>,</5/0>"}}]}
    answer = start(statements).send("POST", "/", body).json()
    reason = "reg.links is not an array of links; it is left out"
    assert (answer["stored"], answer["rejected"]) == (1, [{"index": 0, "reason": reason}])
    [said], [letter] = statements.of("register"), statements.of("add_dead_letters")
    assert (said["objects"], said["lifetime"]) == (None, 300)
    assert json.loads(letter["items"][0])["node"] == "</3/0>,</5/0>"
    assert hints.published == [Hint(HintKind.REGISTERED, "sim-0001")]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is empty"),
        (b"hello", "neither a JSON object nor an array"),
        (b"{}", "Object missing required field `ep`"),
        (b'{"ep": 5}', "Expected `str`, got `int` - at `$.ep`"),
        (b'{"ep": ', "not JSON"),
        (b'{"source": "me", "lane": 0, "first_seq": 1, "items": []}', "envelope"),
    ],
)
def test_a_body_of_no_known_shape_is_refused_with_the_reason(
    start: Start, statements: Statements, body: bytes, detail: str
) -> None:
    assert detail in refused(start, statements, body)


def test_leshan_s_paths_of_values_and_those_for_senders_without_headers_are_not_here(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    for path in ("/leshan_api/resource/single", f"/hook/{TOKEN}/leshan_api/resource/single"):
        assert function.send("POST", path, REGISTERED).status_code == 404
