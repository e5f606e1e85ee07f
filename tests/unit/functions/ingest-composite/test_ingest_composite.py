"""ingest-composite: events of several values, as they are handed to the store, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flownexus.leshan.webhook import Kind
from flownexus.store.value_time import EPOCH_MS
from flownexus.web.guard import Scope
from tests.fixtures.function import TOKEN, Start
from tests.fixtures.hints import Hints
from tests.fixtures.payloads import just_sent, payload, recorded
from tests.fixtures.routes import RightRequest, RouteTests
from tests.fixtures.statements import Statements
from tests.fixtures.uplink import ENDPOINT_ID, FIRST_ID, UPLINK

SINGLE, COMPOSITE = "/leshan_api/resource/single", "/leshan_api/resource/composite"
HOOK = f"/hook/{TOKEN}"
FLOAT = payload("documented-single.json")
OBJECT = payload("documented-composite.json")

ROWS = UPLINK


class TestRoutes(RouteTests):
    requests = (
        RightRequest("POST", "/", Scope.INGEST, OBJECT),
        RightRequest("POST", COMPOSITE, Scope.INGEST, OBJECT),
        RightRequest("POST", SINGLE, Scope.INGEST, FLOAT),
        RightRequest("POST", HOOK + COMPOSITE, Scope.INGEST, OBJECT),
        RightRequest("POST", HOOK + SINGLE, Scope.INGEST, FLOAT),
    )


VALUES = {
    "composite-observation": 2,
    "instance-observation": 7,
    "object-observation": 7,
    "send": 3,
    "timestamped-send": 2,
}
"""How many values each event of a recording has."""


def microseconds(time_ms: int) -> int:
    return (time_ms - EPOCH_MS) * 1000


def array(numbers: Any) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


def test_every_recording_is_expected() -> None:
    assert {f"recorded-composite-{what}.json" for what in VALUES} == set(recorded(Kind.COMPOSITE))


@pytest.mark.parametrize("what", VALUES)
def test_what_leshan_posts_is_stored_as_events_of_its_values_each_at_its_time(
    start: Start, statements: Statements, hints: Hints, what: str
) -> None:
    body = just_sent(f"recorded-composite-{what}.json")
    count, each = len(body["items"]), VALUES[what]
    answer = start(statements).send("POST", "/", body)
    last = body["first_seq"] + count - 1
    assert answer.json() == {"stored": count, "skipped": 0, "mark": last, "rejected": []}
    times = [microseconds(item["ts"]) for item in body["items"]]
    assert statements.of("add_events") == [
        {
            "time": array(times),
            "id": array(range(2 * FIRST_ID, 2 * FIRST_ID + count)),
            "endpoint_id": array([ENDPOINT_ID] * count),
            "event_type": ["composite"] * count,
        }
    ]
    [values], [links] = statements.of("store_few"), statements.of("add_event_resources")
    assert values["time"] == links["time"] == array(time for time in times for _ in range(each))
    assert values["id"] == links["resource_id"] == array(range(FIRST_ID, FIRST_ID + count * each))
    assert links["event_id"] == array(2 * FIRST_ID + event for event in range(count) for _ in range(each))
    assert hints.published == []


def test_the_values_of_a_send_go_to_the_columns_of_their_types(start: Start, statements: Statements) -> None:
    start(statements).send("POST", "/", just_sent("recorded-composite-send.json"))
    [values] = statements.of("store_few")
    assert values["string_value"] == ["Flow Nexus", None, None]
    assert values["float_value"] == [None, 20.7300000002, None]
    assert values["integer_value"] == [None, None, 95]
    [types] = statements.of("resource_types")
    assert list(zip(types["object_ids"], types["resource_ids"], strict=True)) == [
        (3, 0),
        (3303, 5700),
        (3, 9),
    ]


def test_its_marks_are_of_its_own_kind(start: Start, statements: Statements) -> None:
    body = just_sent("recorded-composite-timestamped-send.json")
    start(statements).send("POST", "/", body)
    [locked], [moved] = statements.of("lock_mark"), statements.of("move_mark")
    assert (str(locked["source"]), locked["kind"]) == (body["source"], "composite")
    assert moved["mark"] == body["first_seq"] + 2


def test_of_a_batch_that_came_before_only_what_is_new_is_stored(start: Start, statements: Statements) -> None:
    body = just_sent("recorded-composite-timestamped-send.json")
    statements.rows["lock_mark"] = [(body["first_seq"] + 1,)]
    answer = start(statements).send("POST", "/", body).json()
    assert (answer["stored"], answer["skipped"]) == (1, 2)
    [events] = statements.of("add_events")
    assert events["time"] == array([microseconds(body["items"][2]["ts"])])


def test_one_bad_resource_goes_to_the_dead_letters_alone(start: Start, statements: Statements) -> None:
    answer = start(statements).send("POST", "/", OBJECT)
    reason = "multiResource needs an id, a whole number from 0 to 65534"
    assert answer.json()["stored"] == 1
    assert answer.json()["rejected"] == [{"index": 0, "path": "/3/0", "reason": reason}]
    [values], [letter] = statements.of("store_few"), statements.of("add_dead_letters")
    assert values["string_value"] == ["Zephyr", "qemu_x86"]
    assert (letter["kind"], letter["reasons"]) == ("composite", [reason])
    assert json.loads(letter["items"][0])["node"]["values"] == {"0": "1", "1": "5"}


@pytest.mark.parametrize(
    ("val", "reason"),
    [
        (
            {"kind": "singleResource", "id": 1, "type": "STRING", "value": "x"},
            "a node of kind singleResource cannot stand below /",
        ),
        ({"/3/x": {"kind": "instance", "id": 0, "resources": []}}, "'/3/x' is not a LwM2M path"),
    ],
)
def test_one_item_by_itself_without_a_value_that_can_be_stored_is_told_and_kept(
    start: Start, statements: Statements, val: Any, reason: str
) -> None:
    answer = start(statements).send("POST", "/", {"ep": "sim-0001", "val": val})
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert len(statements.of("add_dead_letters")) == 1
    assert statements.of("store_few") == []


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is empty"),
        (b"hello", "neither a JSON object nor an array"),
        (b"{}", "Object missing required field `ep`"),
        (b'{"ep": 5}', "Expected `str`, got `int` - at `$.ep`"),
        (b'{"ep": ', "not JSON"),
        (b'{"a":' * 10_000, "nested too deeply"),
        (b'{"items": []}', "envelope"),
        (b'{"ep": "sim-0001", "val": 5}', "Expected `object | null`, got `int` - at `$.val`"),
        (b'{"ep": "", "val": {}}', "ep is an endpoint name of 1 to 1024 bytes without NUL"),
    ],
)
def test_a_body_of_no_known_shape_is_refused_with_the_reason(
    start: Start, statements: Statements, body: bytes, detail: str
) -> None:
    answer = start(statements).send("POST", "/", body)
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:flownexus:problem:unreadable-delivery"
    assert detail in answer.json()["detail"]
    assert statements.sent == []
