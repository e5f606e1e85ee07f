"""api: what is read back, how it is asked for and how it is answered."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from flownexus.leshan.refusals import REMEDIES
from flownexus.leshan.replay import _SOURCES
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.operations.filter import parse_filter
from flownexus.operations.lifecycle import Status
from flownexus.store import changes as kinds
from flownexus.store.changes import Change, Position
from flownexus.store.dead_letters import DeadLetter
from flownexus.store.declared import EventType, LogResource
from flownexus.store.endpoint_values import Endpoint, EndpointDetails, Value
from flownexus.store.event_reading import Event
from flownexus.store.history import PastValue, Point
from flownexus.store.model import _KnownRow
from flownexus.store.operation_requests import Operation
from flownexus.store.refusal import StoredRefusal
from flownexus.store.token import Token
from flownexus.web.formats import ROWS_PER_READ
from flownexus.web.guard import Scope
from flownexus.web.resource import preferred_wait_s
from tests.fixtures.bootstrap import BOOTSTRAP_REQUESTS, BOOTSTRAP_ROWS
from tests.fixtures.enrolment import ENROLMENT_REQUESTS, ENROLMENT_ROWS
from tests.fixtures.firmware_rows import FIRMWARE_REQUESTS, FIRMWARE_ROWS
from tests.fixtures.fleet import FLEET, FLEET_REQUESTS
from tests.fixtures.function import Function, Start
from tests.fixtures.hints import Hints
from tests.fixtures.models import MODELS_AND_LOGS, XML
from tests.fixtures.routes import RightRequest, RouteTests
from tests.fixtures.statements import Rows, Statements
from tests.fixtures.uplink import UPLINK

TIME = datetime(2026, 11, 22, 13, 27, 27, tzinfo=UTC)
TEXT = TIME.isoformat()
MINUTE = timedelta(minutes=1)
EP = "/v1/endpoints/sim-0001"
LIMIT = "limit: a whole number from 1 to 500"
TOKEN = Token(7, "ci", "Ann", ["administer"], "0123abcd", TIME, "api", None, None, None, None)
HINTED = [Hint(HintKind.QUEUED, "sim-0001")]
CSV = {"Accept": "text/csv"}
NDJSON = {"Accept": "application/x-ndjson"}

VALUE = Value("/3303/0/5700", "24.9", TIME, 1.5, "FLOAT", "Sensor Value", None)
DETAILS = EndpointDetails(
    "sim-0001",
    True,
    TIME,
    TIME,
    "r1",
    TIME,
    TIME,
    "10.0.0.1:5683",
    "1.1",
    300,
    "UQ",
    [60, 112],
    ["/3/0"],
    "awake",
    TIME,
    None,
    None,
    [TIME],
)
REFUSAL = StoredRefusal(3, "sim-0001", "10.0.0.1", "wrong-key", None, 4, TIME, TIME)
EVENT_TYPE = EventType("climate", ["/3303/*/5700", "/3304/*/5700"], None, "ann", TIME)
LOG_RESOURCE = LogResource(32769, 7, False, "ann", TIME)
POINT = Point(TIME, 1.0, 3.0, 2.0, 3.0, 2)
PAST = PastValue(TIME, 17, TIME, 24.9, "24.9")
EVENT = Event(TIME, 5, TIME, "sim-0001", "composite", "climate", [{"path": "/3303/0/5700", "value": "24.9"}])
NODE = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": 24.9}
ITEM = {"ep": "sim-0001", "ts": 1, "path": "/3303/0/5700", "node": NODE}
LETTER = DeadLetter(9, "single", "no", json.dumps(ITEM), UUID(int=1), 0, 4, TIME, None, None, None)


def operation(status: Status = Status.QUEUED, **more: Any) -> Operation:
    """Return an operation as its row has it."""
    columns: dict[str, Any] = dict.fromkeys(Operation._fields)
    return Operation(
        **columns
        | {"id": 41, "endpoint": "sim-0001", "operation": "write", "path": "/3/0/15", "status": str(status)}
        | {"repeatable": False, "priority": 100, "attempts": 0, "created_at": TIME, "requested_by": "api"}
        | more
    )


ROWS: Mapping[str, Rows] = {
    **FLEET,
    **UPLINK,
    **FIRMWARE_ROWS,
    "only_read": [()],
    "only_read_by_filter": [()],
    "endpoints": [Endpoint("sim-0001", True, "awake", TIME, None, TIME, TIME, [TIME])],
    "refusals": [REFUSAL],
    "event_types": [EVENT_TYPE],
    "put_event_type": [(*EVENT_TYPE, True)],
    "remove_event_type": [EVENT_TYPE],
    "declared_log_resources": [LOG_RESOURCE],
    "types_of_resource": [("STRING",)],
    "put_log_resource": [(*LOG_RESOURCE, False)],
    "remove_log_resource": [LOG_RESOURCE],
    "delete_endpoint": lambda _: [(None,)],
    "add_endpoint": lambda asked: [()] if asked["name"] != "sim-0001" else [],
    "endpoint_details": [DETAILS],
    "newest_values": [VALUE],
    "series": [POINT],
    "past_values": [PAST],
    "events": [EVENT],
    "dead_letters": [LETTER],
    "dead_letter": [LETTER],
    "settle_dead_letter": [()],
    "change_horizon": [(TIME,)],
    "changes": [],
    "known_resources": [
        _KnownRow(3, 15, "STRING", "1.1", "Timezone", "RW", None),
        _KnownRow(3, 4, None, "1.1", "Reboot", "E", None),
    ],
    "add_operation": [operation()],
    "operation": [operation()],
    **MODELS_AND_LOGS,
    "add_token": [TOKEN],
    "tokens": [TOKEN],
    "token": [TOKEN],
    "revoke_token": [()],
    **ENROLMENT_ROWS,
    **BOOTSTRAP_ROWS,
}


@pytest.fixture
def start(start_of: Callable[[str], Start]) -> Start:
    """Start the function with short waits: a stream ends after a fraction of a second."""
    begin = start_of("api")
    return lambda pool, **settings: begin(pool, **{"long_poll_timeout": "90ms", **settings})


class TestRoutes(RouteTests):
    requests = (
        RightRequest("GET", "/openapi.json", Scope.READ, asks_database=False),
        RightRequest("POST", "/v1/tokens", Scope.ADMINISTER, {"name": "ci", "scopes": ["administer"]}, 201),
        RightRequest("GET", "/v1/tokens", Scope.ADMINISTER),
        RightRequest("GET", "/v1/tokens/7", Scope.ADMINISTER),
        RightRequest("DELETE", "/v1/tokens/7", Scope.ADMINISTER),
        *FIRMWARE_REQUESTS,
        *ENROLMENT_REQUESTS,
        *BOOTSTRAP_REQUESTS,
        RightRequest("GET", "/v1/endpoints", Scope.READ),
        RightRequest("GET", "/v1/refusals", Scope.READ),
        RightRequest("GET", "/v1/event-types", Scope.READ),
        RightRequest("PUT", "/v1/event-types/climate", Scope.ADMINISTER, {"paths": ["/3303/*/5700"]}, 201),
        RightRequest("DELETE", "/v1/event-types/climate", Scope.ADMINISTER),
        RightRequest("GET", "/v1/log-resources", Scope.READ),
        RightRequest("PUT", "/v1/log-resources/32769/7", Scope.ADMINISTER, {"cumulative": True}),
        RightRequest("DELETE", "/v1/log-resources/32769/7", Scope.ADMINISTER),
        RightRequest("POST", "/v1/endpoints", Scope.OPERATE, {"name": "new", "tags": {"site": "bern"}}, 201),
        RightRequest("GET", EP, Scope.READ),
        RightRequest("DELETE", EP, Scope.ADMINISTER),
        RightRequest("GET", f"{EP}/values", Scope.READ),
        RightRequest("GET", f"{EP}/3303/0/5700", Scope.READ),
        RightRequest("PUT", f"{EP}/3/0/15", Scope.OPERATE, "Europe/Berlin", 202),
        RightRequest("POST", f"{EP}/3/0/4", Scope.OPERATE, None, 202),
        RightRequest("DELETE", f"{EP}/3341/7", Scope.OPERATE, None, 202),
        RightRequest("GET", f"{EP}/3303/0/5700/history", Scope.READ),
        RightRequest("GET", "/v1/events", Scope.READ),
        RightRequest("GET", "/v1/registrations", Scope.READ),
        RightRequest("GET", "/v1/dead-letters", Scope.READ),
        RightRequest("GET", "/v1/dead-letters/9", Scope.READ),
        RightRequest("POST", "/v1/dead-letters/9/replay", Scope.OPERATE),
        RightRequest("DELETE", "/v1/dead-letters/9", Scope.OPERATE),
        RightRequest("GET", f"{EP}/logs", Scope.READ),
        RightRequest("GET", "/v1/logs", Scope.READ),
        RightRequest("GET", "/v1/models", Scope.READ),
        RightRequest("POST", "/v1/models", Scope.ADMINISTER, XML.encode(), 201),
        RightRequest("GET", "/v1/models/33456/1.1", Scope.READ),
        RightRequest("DELETE", "/v1/models/33456/1.1", Scope.ADMINISTER),
        *FLEET_REQUESTS,
        RightRequest("GET", "/v1/stream", Scope.READ, content_type="text/event-stream"),
    )


LISTS: Sequence[tuple[str, str, str]] = (
    ("/v1/endpoints", "endpoints", "endpoints"),
    (f"{EP}/values", "newest_values", "values"),
    (f"{EP}/3303/0/5700/history?resolution=raw", "past_values", "values"),
    ("/v1/events", "events", "events"),
    ("/v1/registrations", "events", "registrations"),
    ("/v1/dead-letters", "dead_letters", "dead_letters"),
    ("/v1/refusals", "refusals", "refusals"),
)
"""Each list: its URL, its statement, and its key in the answer."""
URLS = [url for url, _, _ in LISTS]


def cursor_of(function: Function, statements: Statements, url: str, statement: str) -> str:
    """Return the cursor of a page after which there is another row."""
    before = statements.rows[statement]
    assert not callable(before)
    statements.rows[statement] = [*before, *before]
    answer = function.send("GET", f"{url}{'&' if '?' in url else '?'}limit=1").json()
    statements.rows[statement] = before
    assert isinstance(answer["next"], str)
    return str(answer["next"])


def with_(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"


# ---------------------------------------------------------------------------------------------------------
# All lists


@pytest.mark.parametrize(("url", "statement", "key"), LISTS)
def test_a_list_asks_for_one_more_than_its_page_to_know_whether_there_is_a_next(
    start: Start, statements: Statements, url: str, statement: str, key: str
) -> None:
    function = start(statements)
    answer = function.send("GET", with_(url, "limit=1"))
    assert statements.of(statement)[-1]["limit"] == 2
    assert (len(answer.json()[key]), answer.json()["next"]) == (1, None)
    assert "Link" not in answer.headers
    function.send("GET", url)
    assert statements.of(statement)[-1]["limit"] == 51


@pytest.mark.parametrize(("url", "statement", "key"), LISTS)
def test_the_next_page_is_linked_and_begins_behind_the_last_row(
    start: Start, statements: Statements, url: str, statement: str, key: str
) -> None:
    function = start(statements)
    [row] = statements.rows[statement]  # type: ignore[misc]  # rows, not what makes them
    statements.rows[statement] = [row, row]
    answer = function.send("GET", with_(url, "limit=1"))
    link = answer.headers["Link"]
    assert link.endswith('>; rel="next"')
    following = link[1:].partition(">")[0]
    assert f"cursor={answer.json()['next']}" in following
    function.send("GET", url.partition("?")[0] + following)
    asked = statements.of(statement)[-1]
    behind = {
        name: value for name, value in asked.items() if name.startswith(("after_", "before_", "cursor"))
    }
    assert behind
    assert None not in behind.values()


@pytest.mark.parametrize(("url", "statement", "key"), LISTS)
def test_a_cursor_of_another_list_or_of_other_filters_is_refused_and_says_so(
    start: Start, statements: Statements, url: str, statement: str, key: str
) -> None:
    function = start(statements)
    cursor = cursor_of(function, statements, url, statement)
    statements.sent.clear()
    for other in URLS:
        answer = function.send("GET", with_(other, f"cursor={cursor}"))
        if other == url:
            assert answer.status_code == 200
        else:
            assert answer.status_code == 422
            assert "cursor: it is of the" in answer.json()["detail"]
            assert "leave it out to begin anew" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("url", "statement", "query"),
    [
        ("/v1/endpoints", "endpoints", "q=sim"),
        (f"{EP}/values", "newest_values", "path=/3"),
        (f"{EP}/3303/0/5700/history?resolution=raw", "past_values", "from=2026-01-01T00:00:00Z"),
        ("/v1/events", "events", "type=read"),
        ("/v1/events", "events", "endpoint=a"),
        ("/v1/registrations", "events", "event=updated"),
        ("/v1/dead-letters", "dead_letters", "settlement=replayed"),
        ("/v1/refusals", "refusals", "endpoint=a"),
        ("/v1/endpoints", "endpoints", "filter=name==a"),
    ],
)
def test_a_cursor_holds_for_the_filters_that_it_was_made_for(
    start: Start, statements: Statements, url: str, statement: str, query: str
) -> None:
    function = start(statements)
    cursor = cursor_of(function, statements, url, statement)
    answer = function.send("GET", with_(url, f"{query}&cursor={cursor}"))
    assert answer.status_code == 422
    assert "it is of the same list with other parameters" in answer.json()["detail"]
    other = cursor_of(function, statements, with_(url, query), statement)
    assert function.send("GET", with_(url, f"{query}&cursor={other}")).status_code == 200


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "next",
        "%00",
        "bnVsbA",
        "W10",
        "WyJhIl0",
        "WzEsMl0",
        "é",
        "eyJhIjoxfQ",
        "A" * 5000,
        "' OR 1=1--",
    ],
)
def test_what_is_no_cursor_is_refused_before_anything_is_read(
    start: Start, statements: Statements, url: str, cursor: str
) -> None:
    answer = start(statements).send("GET", with_(url, f"cursor={cursor}"))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("cursor: ")
    assert statements.sent == []


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    "limit", ["0", "-1", "501", "1e3", "", "%D9%A3", "9" * 5000, "1;DROP TABLE endpoint"]
)
def test_an_absurd_limit_is_refused(start: Start, statements: Statements, url: str, limit: str) -> None:
    answer = start(statements).send("GET", with_(url, f"limit={limit}"))
    assert (answer.status_code, answer.json()["detail"]) == (422, LIMIT)
    assert statements.sent == []


@pytest.mark.parametrize(("url", "statement", "key"), LISTS)
def test_a_list_is_csv_or_ndjson_where_that_is_asked_for(
    start: Start, statements: Statements, url: str, statement: str, key: str
) -> None:
    function = start(statements)
    [shown] = function.send("GET", url).json()[key]
    answer = function.send("GET", url, headers=CSV)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    [head, row] = csv.reader(io.StringIO(answer.text))
    assert set(head) == set(shown)
    for name, cell in zip(head, row, strict=True):
        value = shown[name]
        if isinstance(value, bool | list | dict):
            assert json.loads(cell) == value
        else:
            assert cell == ("" if value is None else str(value))
    answer = function.send("GET", url, headers=NDJSON)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == [shown]


@pytest.mark.parametrize(
    ("accept", "told"),
    [
        ("application/json;charset=utf-8", "application/json"),
        ("text/csv; charset=UTF-8", "text/csv; charset=utf-8"),
        ("text/csv;header=present;q=0.5, application/json;charset=utf-8;q=0.1", "text/csv; charset=utf-8"),
    ],
)
def test_the_parameters_of_a_format_do_not_count(
    start: Start, statements: Statements, accept: str, told: str
) -> None:
    answer = start(statements).send("GET", URLS[0], headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, told)


@pytest.mark.parametrize("url", [*URLS, f"{EP}/3303/0/5700/history"])
def test_another_format_is_a_406_that_names_those_that_there_are(
    start: Start, statements: Statements, url: str
) -> None:
    answer = start(statements).send("GET", url, headers={"Accept": "application/xml"})
    assert answer.status_code == 406
    assert "application/json, text/csv, application/x-ndjson" in answer.json()["detail"]
    assert start(statements).send("GET", url, headers={"Accept": "*/*"}).status_code == 200


def test_a_list_without_a_limit_is_read_to_its_end_page_by_page(start: Start, statements: Statements) -> None:
    names = [f"sim-{number:05d}" for number in range(ROWS_PER_READ + 10)]

    def page(asked: Mapping[str, Any]) -> list[Endpoint]:
        behind = [name for name in names if asked["cursor"] is None or name > asked["cursor"]]
        return [
            Endpoint(name, False, "offline", None, TIME, None, TIME, []) for name in behind[: asked["limit"]]
        ]

    statements.rows["endpoints"] = page
    function = start(statements)
    lines = function.send("GET", "/v1/endpoints", headers=NDJSON).text.splitlines()
    assert [json.loads(line)["name"] for line in lines] == names
    assert [asked["limit"] for asked in statements.of("endpoints")] == [ROWS_PER_READ, ROWS_PER_READ]
    table = function.send("GET", "/v1/endpoints?limit=2", headers=CSV)
    assert table.text.splitlines() == [
        "name,registered,presence,awake_until,offline_since,last_seen,registered_until,expected",
        f"sim-00000,false,offline,,{TEXT},,{TEXT},",
        f"sim-00001,false,offline,,{TEXT},,{TEXT},",
    ]
    assert 'rel="next"' in table.headers["Link"]


# ---------------------------------------------------------------------------------------------------------
# Endpoints and their values


def test_endpoints_are_found_by_a_part_of_their_name(start: Start, statements: Statements) -> None:
    start(statements).send("GET", "/v1/endpoints?q=a%25'%3B--")
    [asked] = statements.of("endpoints")
    assert (asked["part"], asked["filter"], asked["cursor"], asked["limit"]) == ("a%';--", None, None, 51)
    for query in ("q=", "q=%00"):
        answer = start(statements).send("GET", f"/v1/endpoints?{query}")
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("q: ")


def test_endpoints_are_found_by_a_filter(start: Start, statements: Statements) -> None:
    function = start(statements)
    assert function.send("GET", "/v1/endpoints?filter=presence%3D%3Dawake").status_code == 200
    [asked] = statements.of("endpoints")
    assert asked["filter"].obj == parse_filter("presence==awake").as_json()
    answer = function.send("GET", "/v1/endpoints?filter=name")
    assert (answer.status_code, answer.json()["detail"][:16]) == (422, "filter: column 5")


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        (
            Endpoint("a", True, "awake", TIME, None, TIME, TIME + MINUTE, []),
            {"by": "lifetime", "until": (TIME + MINUTE).isoformat(), "at": None, "earliest": None},
        ),
        (
            Endpoint(
                "a", True, "asleep", None, None, TIME, None, [TIME - MINUTE * each for each in range(10)]
            ),
            {"by": "rhythm"} | dict.fromkeys(("earliest", "at", "until"), (TIME + MINUTE).isoformat()),
        ),
        (Endpoint("a", True, "offline", None, TIME, TIME, TIME, [TIME]), None),
    ],
)
def test_who_is_not_offline_is_expected_by_its_rhythm_or_its_lifetime(
    start: Start, statements: Statements, endpoint: Endpoint, told: Any
) -> None:
    statements.rows["endpoints"] = [endpoint]
    [shown] = start(statements).send("GET", "/v1/endpoints").json()["endpoints"]
    assert shown["expected"] == told


def test_an_endpoint_is_made_before_it_registers(start: Start, statements: Statements) -> None:
    function = start(statements)
    made = function.send("POST", "/v1/endpoints", {"name": "new/1", "tags": {"site": "bern"}})
    assert (made.status_code, made.headers["Location"]) == (201, "/function/api/v1/endpoints/sim-0001")
    [asked] = statements.of("set_tag")
    assert (asked["endpoint"], asked["key"], asked["value"], asked["set_by"]) == (
        "new/1",
        "site",
        "bern",
        "api",
    )
    answer = function.send("POST", "/v1/endpoints", {"name": "sim-0001"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "there is an endpoint 'sim-0001' already")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "name: is missing"),
        ({"name": ""}, "name: the endpoint client name, 1 to 255 characters"),
        ({"name": "a\0"}, "name: the endpoint client name"),
        ({"name": "a" * 256}, "name: the endpoint client name"),
        ({"name": "a", "tags": {"-": "x"}}, "tags: at most 50 keys"),
        ({"name": "a", "tags": {"x": "y" * 256}}, "tags: at most 50 keys"),
        ({"name": "a", "tags": {f"k{each}": "" for each in range(51)}}, "tags: at most 50 keys"),
    ],
)
def test_an_endpoint_that_cannot_be_made_is_refused(
    start: Start, statements: Statements, body: Any, detail: str
) -> None:
    answer = start(statements).send("POST", "/v1/endpoints", body)
    assert (answer.status_code, answer.json()["detail"][: len(detail)]) == (422, detail)
    assert statements.of("add_endpoint") == []


def test_a_refusal_tells_what_to_do(start: Start, statements: Statements) -> None:
    [shown] = start(statements).send("GET", "/v1/refusals").json()["refusals"]
    assert shown == {
        "endpoint": "sim-0001",
        "address": "10.0.0.1",
        "cause": "wrong-key",
        "detail": None,
        "count": 4,
        "first_at": TEXT,
        "last_at": TEXT,
        "remedy": REMEDIES["wrong-key"],
    }


def test_an_endpoint_is_shown_with_its_registration(start: Start, statements: Statements) -> None:
    shown = start(statements).send("GET", EP).json()
    assert shown == {
        "name": "sim-0001",
        "registered": True,
        "first_seen": TEXT,
        "last_seen": TEXT,
        "registration_id": "r1",
        "registered_at": TEXT,
        "registered_until": TEXT,
        "address": "10.0.0.1:5683",
        "lwm2m_version": "1.1",
        "lifetime": 300,
        "binding": "UQ",
        "content_formats": [60, 112],
        "objects": ["/3/0"],
        "queue_mode": True,
        "presence": "awake",
        "awake_until": TEXT,
        "offline_since": None,
        "made_by": None,
        "expected": {"by": "lifetime", "until": TEXT, "at": None, "earliest": None},
    }
    statements.rows["endpoint_details"] = [DETAILS._replace(binding=None, registered_at=None)]
    shown = start(statements).send("GET", EP).json()
    assert (shown["queue_mode"], shown["registered_at"]) == (None, None)


def test_values_have_their_age_and_come_from_below_the_path(start: Start, statements: Statements) -> None:
    answer = start(statements).send("GET", "/v1/endpoints/a%2Fb%20%3F/values?path=/3303").json()
    [asked] = statements.of("newest_values")
    assert (asked["endpoint"], asked["limit"]) == ("a/b ?", 51)
    assert (asked["object_id"], asked["object_instance_id"], asked["resource_id"]) == (3303, None, None)
    assert answer == {"values": [VALUE.as_json()], "next": None}
    assert answer["values"][0]["age_s"] == 1.5


@pytest.mark.parametrize(("path", "key"), [("/3303/0/5700", (3303, 0, 5700, -1)), ("/3/0/7/1", (3, 0, 7, 1))])
def test_a_resource_without_instances_comes_before_its_instances(path: str, key: tuple[int, ...]) -> None:
    assert VALUE._replace(path=path).key == key


@pytest.mark.parametrize(
    ("url", "name", "ids"),
    [
        (f"{EP}/3", "sim-0001", (3, None, None, None)),
        (f"{EP}/3303/0/5700", "sim-0001", (3303, 0, 5700, None)),
        ("/v1/endpoints/a%2Fb/3/0/7/1", "a/b", (3, 0, 7, 1)),
        ("/v1/endpoints/urn:imei:490154203237518/3/0", "urn:imei:490154203237518", (3, 0, None, None)),
        ("/v1/endpoints/a%2F1/2/3/4/5", "a/1", (2, 3, 4, 5)),
        ("/v1/endpoints/';DROP%20TABLE%20endpoint--/3/0", "';DROP TABLE endpoint--", (3, 0, None, None)),
        ("/v1/endpoints/$(reboot)`id`/3/0", "$(reboot)`id`", (3, 0, None, None)),
    ],
)
def test_the_path_in_a_url_is_what_stands_at_its_end(
    start: Start, statements: Statements, url: str, name: str, ids: tuple[int | None, ...]
) -> None:
    assert start(statements).send("GET", url).status_code == 200
    asked = statements.of("newest_values")[0]
    found = [
        asked[each] for each in ("object_id", "object_instance_id", "resource_id", "resource_instance_id")
    ]
    assert (asked["endpoint"], tuple(found)) == (name, ids)


def test_a_resource_is_its_value_and_what_has_several_is_their_list(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    assert function.send("GET", f"{EP}/3303/0/5700").json() == VALUE.as_json()
    assert function.send("GET", f"{EP}/3303/0").json() == {"values": [VALUE.as_json()], "next": None}
    statements.rows["newest_values"] = [VALUE._replace(path=f"/3/0/7/{each}") for each in (0, 1)]
    shown = function.send("GET", f"{EP}/3/0/7").json()
    assert [each["path"] for each in shown["values"]] == ["/3/0/7/0", "/3/0/7/1"]
    statements.rows["newest_values"] = []
    answer = function.send("GET", f"{EP}/3303/0/5700")
    assert answer.status_code == 404
    assert "a read asks the device for it" in answer.json()["detail"]


@pytest.mark.parametrize("url", [EP, f"{EP}/values", f"{EP}/3/0", f"{EP}/3303/0/5700/history"])
def test_an_endpoint_never_seen_is_a_404(start: Start, statements: Statements, url: str) -> None:
    statements.rows |= {"endpoint_ids": [], "endpoint_details": []}
    function = start(statements)
    for name in ("nobody", "no%00body", "a;b"):
        answer = function.send("GET", url.replace("sim-0001", name))
        assert answer.status_code == 404
        assert "has been seen" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_an_id_that_lwm2m_does_not_have_is_refused(start: Start, statements: Statements, method: str) -> None:
    answer = start(statements).send(method, f"{EP}/3303/0/65535", 1)
    assert answer.status_code == 422
    assert "65535 is outside 0..65534" in answer.json()["detail"]
    assert statements.sent == []


@pytest.mark.parametrize("url", [f"{EP}/values?path=temperature", f"{EP}/values?path=/1/2/3/4/5"])
def test_a_bad_path_is_refused_with_an_example(start: Start, statements: Statements, url: str) -> None:
    answer = start(statements).send("GET", url)
    assert answer.status_code == 422
    assert "write one to four ids, such as /3303/0/5700" in answer.json()["detail"]
    assert statements.sent == []


# ---------------------------------------------------------------------------------------------------------
# Operations by path


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "added"),
    [
        ("PUT", "/3/0/15", b'"UTC"', {}, {"operation": "write", "value": {"type": "STRING", "value": "UTC"}}),
        ("POST", "/3/0/4", b"", {}, {"operation": "execute", "arguments": None, "repeatable": False}),
        ("POST", "/3/0/4", b"0='x',1\n", {}, {"operation": "execute", "arguments": "0='x',1"}),
        (
            "POST",
            "/3/0/4",
            b'{"arguments": "5", "repeatable": true}',
            {"Content-Type": "application/json"},
            {"operation": "execute", "arguments": "5", "repeatable": True},
        ),
        (  # as curl --data sends it
            "POST",
            "/3/0/4",
            b' {"arguments": "5"}',
            {"Content-Type": "application/x-www-form-urlencoded"},
            {"operation": "execute", "arguments": "5"},
        ),
        ("DELETE", "/3341/7", b"", {}, {"operation": "delete", "value": None}),
    ],
)
def test_what_is_asked_by_path_is_an_operation_of_who_asks(
    start: Start,
    statements: Statements,
    hints: Hints,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    added: dict[str, Any],
) -> None:
    answer = start(statements).send(method, EP + path, body, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (202, "/function/operations/41")
    assert (answer.json()["id"], answer.json()["status"]) == (41, "QUEUED")
    assert "Preference-Applied" not in answer.headers
    [asked] = statements.of("add_operation")
    told = {**asked, "value": asked["value"] and asked["value"].obj}
    expected = {"endpoint": "sim-0001", "path": path, "requested_by": "api", "max_queued": 1000, **added}
    assert {name: told[name] for name in expected} == expected
    assert hints.published == HINTED


def test_the_parameters_of_an_operation_stand_in_the_url(start: Start, statements: Statements) -> None:
    query = "priority=7&expires_in=60&not_before=2099-01-02T03:04:05Z"
    headers = {"Idempotency-Key": '"k"'}
    start(statements).send("PUT", f"{EP}/3/0/15?{query}", "UTC", headers=headers)
    [asked] = statements.of("add_operation")
    assert (asked["priority"], asked["expires_in"], asked["idempotency_key"]) == (7, 60, "k")
    assert asked["not_before"] == datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("PUT", "/3/0/15", b"Europe/Berlin", 400, "the body is not JSON"),
        ("PUT", "/3/0/15", b"", 400, "the body is not JSON"),
        ("PUT", "/3/0/15", b"7", 422, "value: "),
        ("PUT", "/3", b'"x"', 422, "write takes that of an object instance or a resource"),
        ("PUT", "/3/0/15?priority=high", b'"x"', 422, "priority: is a number"),
        ("PUT", "/3/0/15?priority=0", b'"x"', 422, "priority: is a whole number from 1 to 1000"),
        ("PUT", "/3/0/15?expires_at=soon", b'"x"', 422, "expires_at: is a time with its offset"),
        ("POST", "/3/0", b"", 422, "execute takes that of a resource"),
        ("POST", "/3/0/4", b"0='x';reboot", 422, "arguments: "),
        ("POST", "/3/0/4", b"\xff", 400, "the body is not UTF-8"),
        ("DELETE", "/3/0/4", b"", 422, "delete takes that of an object instance"),
    ],
)
def test_what_cannot_be_asked_by_path_is_refused_with_what_would_be_right(
    start: Start,
    statements: Statements,
    hints: Hints,
    method: str,
    path: str,
    body: bytes,
    status: int,
    detail: str,
) -> None:
    answer = start(statements).send(method, EP + path, body)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert (statements.of("add_operation"), hints.published) == ([], [])


def test_an_execute_s_body_has_no_other_fields(start: Start, statements: Statements) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b'{"argument": "5"}', b"[]"):
        answer = start(statements).send("POST", f"{EP}/3/0/4", body, headers=headers)
        assert answer.status_code == 422
        assert '{"arguments"?, "repeatable"?}' in answer.json()["detail"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ('wait="10"', 10),
        ("wait=soon", None),
        ("wait=-1", None),
        ("wait", None),
        ("wait=0", 0),
        ("wait=" + "9" * 400, 9_999_999_999),
        ("return=minimal", None),
    ],
)
def test_a_preference_to_wait_is_seconds(header: str | None, seconds: float | None) -> None:
    assert preferred_wait_s(header) == seconds


def ends(*statuses: Status, **more: Any) -> Any:
    """Return what the operation is, one look after the other."""
    left = list(statuses)

    def look(_: Mapping[str, Any]) -> list[Operation]:
        status = left.pop(0) if len(left) > 1 else left[0]
        return [operation(status, **more)]

    return look


def test_an_operation_is_waited_for_until_it_is_confirmed(start: Start, statements: Statements) -> None:
    statements.rows["operation"] = ends(Status.QUEUED, Status.SENDING, Status.CONFIRMED, attempts=1)
    answer = start(statements, long_poll_timeout="30s").send(
        "PUT", f"{EP}/3/0/15", "UTC", headers={"Prefer": "wait=10"}
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "CONFIRMED")
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert answer.headers["Location"] == "/function/operations/41"
    assert len(statements.of("operation")) == 3


def test_one_that_ends_otherwise_is_a_409_with_its_reason(start: Start, statements: Statements) -> None:
    statements.rows["operation"] = ends(Status.FAILED, reason="NOT_FOUND(404)")
    answer = start(statements, long_poll_timeout="30s").send(
        "PUT", f"{EP}/3/0/15", "UTC", headers={"Prefer": "wait=10"}
    )
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["type"] == "urn:flownexus:problem:not-confirmed"
    assert problem["detail"] == "operation 41 ended as FAILED: NOT_FOUND(404)"
    assert problem["operation"]["status"] == "FAILED"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Location"] == "/function/operations/41"


def test_one_that_does_not_end_is_a_202_after_the_wait_which_is_bounded(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    answer = function.send("PUT", f"{EP}/3/0/15", "UTC", headers={"Prefer": "wait=3600"})
    assert (answer.status_code, answer.json()["status"]) == (202, "QUEUED")
    assert answer.headers["Preference-Applied"] == "wait=0"
    assert answer.headers["Location"] == "/function/operations/41"


# ---------------------------------------------------------------------------------------------------------
# History


def test_a_history_is_points_of_the_last_day(start: Start, statements: Statements) -> None:
    answer = start(statements).send("GET", f"{EP}/3303/0/5700/history").json()
    [asked] = statements.of("series")
    assert (asked["endpoint"], asked["path"], asked["points"]) == ("sim-0001", "/3303/0/5700", 300)
    assert asked["end"] - asked["start"] == timedelta(days=1)
    assert abs(asked["end"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert answer["points"] == [POINT.as_json()]
    assert (answer["endpoint"], answer["path"]) == ("sim-0001", "/3303/0/5700")
    assert (answer["from"], answer["to"]) == (asked["start"].isoformat(), asked["end"].isoformat())


def test_a_history_is_of_the_time_that_is_asked_for(start: Start, statements: Statements) -> None:
    # A plus sign that is not encoded arrives as a space.
    query = "from=2026-01-01T00:00:00%2B01:00&to=2027-01-01T00:00:00+01:00&points=2000"
    start(statements).send("GET", f"{EP}/3/0/7/1/history?{query}")
    [asked] = statements.of("series")
    assert (asked["path"], asked["points"]) == ("/3/0/7/1", 2000)
    assert asked["start"] == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert asked["end"] == datetime(2026, 12, 31, 23, tzinfo=UTC)


def test_points_are_csv_or_ndjson_too(start: Start, statements: Statements) -> None:
    function = start(statements)
    text = function.send("GET", f"{EP}/3303/0/5700/history", headers=CSV).text
    assert text.splitlines() == ["time,minimum,maximum,mean,last,count", f"{TEXT},1.0,3.0,2.0,3.0,2"]
    text = function.send("GET", f"{EP}/3303/0/5700/history", headers=NDJSON).text
    assert json.loads(text) == POINT.as_json()


@pytest.mark.parametrize(
    ("path", "query", "detail"),
    [
        ("/3303/0", "", "/3303/0 has no history; give that of a resource"),
        ("/3303/0/5700", "points=0", "points: a whole number from 1 to 2000"),
        ("/3303/0/5700", "points=2001", "points: a whole number from 1 to 2000"),
        ("/3303/0/5700", "from=yesterday", "from: a time with its offset, as RFC 3339 has it"),
        ("/3303/0/5700", "to=2026-01-01T00:00:00", "to: a time with its offset"),
        ("/3303/0/5700", "from=0001-01-01T00:00:00%2B14:00", "from: a time with its offset"),
        ("/3303/0/5700", "to=0001-01-01T01:00:00Z", "to: a time after the year 1"),
        ("/3303/0/5700", "from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z", "to: a time after `from`"),
        ("/3303/0/5700", "resolution=1h", "resolution: one of raw"),
        ("/3303/0/5700", "from=';DROP TABLE resource--", "from: a time with its offset"),
    ],
)
def test_a_history_that_cannot_be_is_refused(
    start: Start, statements: Statements, path: str, query: str, detail: str
) -> None:
    answer = start(statements).send("GET", f"{EP}{path}/history?{query}")
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]
    assert statements.sent == []


# ---------------------------------------------------------------------------------------------------------
# Events and registrations


def test_events_are_filtered(start: Start, statements: Statements) -> None:
    query = "endpoint=sim-0001&type=read&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z"
    answer = start(statements).send("GET", f"/v1/events?{query}").json()
    [asked] = statements.of("events")
    assert (asked["endpoint_id"], asked["types"]) == (7, ["read"])
    assert (asked["start"], asked["end"]) == (
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 2, 1, tzinfo=UTC),
    )
    assert answer["events"] == [EVENT.as_json()]


def test_registrations_are_the_events_that_tell_of_them(start: Start, statements: Statements) -> None:
    statements.rows["events"] = [EVENT._replace(type="updated", values=[])]
    answer = start(statements).send("GET", "/v1/registrations").json()
    assert statements.of("events")[0]["types"] == ["registered", "updated", "unregistered", "heard"]
    assert statements.of("events")[0]["endpoint_id"] is None
    assert answer["registrations"] == [
        {"time": TEXT, "endpoint": "sim-0001", "event": "updated", "stored_at": TEXT}
    ]


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        (
            "/v1/events?type=registering",
            "type: one of registered, unregistered, updated, heard, composite, read",
        ),
        ("/v1/registrations?event=read", "event: one of registered, updated, unregistered, heard"),
        ("/v1/events?endpoint=%00", "endpoint: an endpoint name has no NUL characters"),
        ("/v1/events?from=now()", "from: a time with its offset"),
        ("/v1/dead-letters?kind=x' OR '1", "kind: one of single, composite, registration, read"),
        ("/v1/dead-letters?settlement=open", "settlement: one of replayed, discarded"),
    ],
)
def test_a_filter_that_is_not_valid_is_refused_with_what_would_be(
    start: Start, statements: Statements, url: str, detail: str
) -> None:
    answer = start(statements).send("GET", url)
    assert (answer.status_code, answer.json()["detail"][: len(detail)]) == (422, detail)
    assert statements.sent == []


# ---------------------------------------------------------------------------------------------------------
# Dead letters


def test_dead_letters_that_wait_for_somebody_are_listed(start: Start, statements: Statements) -> None:
    answer = start(statements).send("GET", "/v1/dead-letters?endpoint=a%22b&kind=single").json()
    [asked] = statements.of("dead_letters")
    assert (asked["beginning"], asked["kind"], asked["settlement"]) == ('{"ep": "a\\"b"', "single", None)
    [letter] = answer["dead_letters"]
    assert (letter["id"], letter["endpoint"], letter["item"]) == (9, "sim-0001", ITEM)
    assert (letter["settlement"], letter["settled_by"]) == (None, None)


def test_a_dead_letter_is_delivered_again_as_a_webhook_does(start: Start, statements: Statements) -> None:
    settled = LETTER._replace(settlement="replayed", settled_at=TIME, settled_by="ann")
    answers = [[LETTER], [settled]]
    statements.rows["dead_letter"] = lambda _: answers.pop(0)
    answer = start(statements).send("POST", "/v1/dead-letters/9/replay", scopes=[Scope.OPERATE]).json()
    assert answer["outcome"] == {"stored": 1, "skipped": 0, "rejected": []}
    assert (answer["settlement"], answer["settled_by"]) == ("replayed", "ann")
    assert statements.of("settle_dead_letter") == [{"id": 9, "settlement": "replayed", "settled_by": "ann"}]
    [stored] = statements.of("store_few")
    assert stored["float_value"] == "{24.9}"
    [mark] = statements.of("lock_mark")
    assert mark == {"source": uuid5(_SOURCES, "9"), "kind": "single", "lane": 0}


def test_one_that_was_stored_before_is_skipped(start: Start, statements: Statements) -> None:
    settled = LETTER._replace(settlement="replayed", settled_at=TIME, settled_by="ann")
    statements.rows |= {"dead_letter": [settled], "lock_mark": [(1,)]}
    answer = start(statements).send("POST", "/v1/dead-letters/9/replay").json()
    assert answer["outcome"] == {"stored": 0, "skipped": 1, "rejected": []}
    assert statements.of("store_few") == []


def test_what_is_rejected_again_is_told(start: Start, statements: Statements) -> None:
    item = ITEM | {"node": NODE | {"value": "warm"}}
    statements.rows["dead_letter"] = [LETTER._replace(item=json.dumps(item))]
    answer = start(statements).send("POST", "/v1/dead-letters/9/replay").json()
    assert answer["outcome"]["stored"] == 0
    assert len(answer["outcome"]["rejected"]) == 1
    assert len(statements.of("add_dead_letters")) == 1


@pytest.mark.parametrize(
    ("letter", "detail"),
    [
        (LETTER._replace(kind="read"), "read the value again"),
        (LETTER._replace(kind="registration"), "is no value that could be delivered again"),
        (LETTER._replace(item='{"ep": "a", "path": "/3", "node": {"payload": "00"}}'), "is no value"),
        (LETTER._replace(item='{"reasons": {"no": 3}}'), "is no value that could be delivered again"),
        (LETTER._replace(item=json.dumps(ITEM | {"path": "?"})), "does not say which path it is of"),
        (LETTER._replace(settlement="discarded", settled_by="bob"), "was discarded by 'bob'"),
    ],
)
def test_what_cannot_be_delivered_again_stays_as_it_is(
    start: Start, statements: Statements, letter: DeadLetter, detail: str
) -> None:
    statements.rows["dead_letter"] = [letter]
    answer = start(statements).send("POST", "/v1/dead-letters/9/replay")
    assert answer.status_code == 409
    assert detail in answer.json()["detail"]
    assert (statements.of("store_few"), statements.of("settle_dead_letter")) == ([], [])


def test_a_dead_letter_is_discarded_by_somebody_once(start: Start, statements: Statements) -> None:
    settled = LETTER._replace(settlement="discarded", settled_at=TIME, settled_by="ann")
    statements.rows["dead_letter"] = [settled]
    answer = start(statements).send("DELETE", "/v1/dead-letters/9", scopes=[Scope.OPERATE])
    assert (answer.status_code, answer.json()["settled_by"]) == (200, "ann")
    assert statements.of("settle_dead_letter") == [{"id": 9, "settlement": "discarded", "settled_by": "ann"}]
    statements.rows["dead_letter"] = [settled._replace(settlement="replayed")]
    answer = start(statements).send("DELETE", "/v1/dead-letters/9")
    assert (answer.status_code, answer.json()["detail"][:40]) == (
        409,
        "dead letter 9 was replayed by 'ann'; it ",
    )


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("DELETE", ""), ("POST", "/replay")])
def test_a_dead_letter_that_is_not_there_is_a_404(
    start: Start, statements: Statements, method: str, end: str
) -> None:
    statements.rows |= {"dead_letter": [], "settle_dead_letter": []}
    for id_ in (10, 2**63):
        answer = start(statements).send(method, f"/v1/dead-letters/{id_}{end}")
        assert (answer.status_code, answer.json()["detail"]) == (404, f"there is no dead letter {id_}")


# ---------------------------------------------------------------------------------------------------------
# Live updates


def written(kind: int, id_: int, seconds: float = 0.0, **more: Any) -> Change:
    """Return a change so many seconds after TIME."""
    at = TIME + timedelta(seconds=seconds)
    given = {"endpoint": "sim-0001", "path": "/3303/0/5700", "what": "24.9", "status": None, "time": TIME}
    return Change(at, kind, id_, **given | more)


def events_of(text: str) -> list[dict[str, str]]:
    """Return the fields of each event of a stream."""
    return [dict(line.split(": ", 1) for line in event.splitlines()) for event in text.split("\n\n") if event]


def test_a_stream_tells_what_is_written_and_ends_by_itself(start: Start, statements: Statements) -> None:
    changes = [
        written(kinds.VALUE, 5),
        written(kinds.REGISTRATION, 6, path=None, what="registered"),
        written(kinds.QUEUED, 41, what="read", status="QUEUED"),
        written(kinds.ENDED, 41, 0.5, what="read", status="CONFIRMED"),
    ]
    statements.rows |= {
        "change_horizon": [(TIME + timedelta(seconds=1),)],
        "changes": lambda asked: [each for each in changes if each.position > Position(TIME)],
    }
    headers = {"Last-Event-ID": str(Position(TIME))}
    answer = start(statements).send("GET", "/v1/stream", headers=headers)
    assert answer.headers["Cache-Control"] == "no-store"
    first, *told = events_of(answer.text)
    assert first == {"retry": "1000", "id": str(Position(TIME))}
    shown = [(each["event"], json.loads(each["data"])) for each in told if "event" in each]
    name = {"endpoint": "sim-0001", "time": TEXT}
    op = {**name, "id": 41, "operation": "read", "path": "/3303/0/5700"}
    assert shown == [
        ("value", {**name, "path": "/3303/0/5700", "value": "24.9"}),
        ("presence", {**name, "event": "registered"}),
        ("operation", {**op, "status": "QUEUED"}),
        ("operation", {**op, "status": "CONFIRMED"}),
    ]
    assert [each["id"] for each in told if "event" in each] == [str(each.position) for each in changes]


def test_a_stream_is_of_the_endpoints_and_the_path_that_are_asked_for(
    start: Start, statements: Statements
) -> None:
    changes = [
        written(kinds.VALUE, 1),
        written(kinds.VALUE, 2, path="/3303/01/5700"),
        written(kinds.VALUE, 3, path="/3303/0"),
    ]
    statements.rows |= {"change_horizon": [(TIME + timedelta(seconds=1),)], "changes": changes}
    headers = {"Last-Event-ID": str(Position(TIME))}
    url = "/v1/stream?endpoint=sim-0001&endpoint=b&path=/3303/0"
    answer = start(statements).send("GET", url, headers=headers)
    assert [each["id"].split("-")[2] for each in events_of(answer.text) if "event" in each] == ["1", "3"]
    assert statements.of("changes")[0]["endpoints"] == ["b", "sim-0001"]


@pytest.mark.parametrize(
    "id_", ["", "x", "1-2", "1-2-3-4", "-1-0-0", "9" * 30 + "-0-0", "1-1-1; DROP TABLE a"]
)
def test_what_is_no_id_of_an_event_is_refused(start: Start, statements: Statements, id_: str) -> None:
    answer = start(statements).send("GET", "/v1/stream", headers={"Last-Event-ID": id_})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("Last-Event-ID: ")
    assert statements.sent == []


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("endpoint=", "endpoint: up to 100 names"),
        ("endpoint=a%00", "endpoint: up to 100 names"),
        ("&".join(["endpoint=a"] * 101), "endpoint: up to 100 names"),
        ("path=temperature", "path: 'temperature' is not a LwM2M path"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(
    start: Start, statements: Statements, query: str, detail: str
) -> None:
    answer = start(statements).send("GET", f"/v1/stream?{query}")
    assert (answer.status_code, answer.json()["detail"][: len(detail)]) == (422, detail)
    assert statements.sent == []


# ---------------------------------------------------------------------------------------------------------
# What is declared
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("event-types/Climate", {"paths": ["/3"]}, "the name of an event type is 1 to 63 small letters"),
        ("event-types/climate", {}, "paths: is missing"),
        ("event-types/climate", {"paths": []}, "paths: 1 to 100 LwM2M paths in which * stands for any id"),
        ("event-types/climate", {"paths": ["/3303/*/5700/0/1"]}, "paths: 1 to 100 LwM2M paths"),
        ("event-types/climate", {"paths": ["/65535"]}, "paths: 1 to 100 LwM2M paths"),
        ("event-types/climate", {"paths": ["/3"], "description": "a\0"}, "description: a text of at most"),
        ("log-resources/0/5", {}, "object 0 holds keys"),
        ("log-resources/21/1", {}, "object 21 holds keys"),
        ("log-resources/3/9", {"cumulative": 1}, "cumulative: true or false"),
    ],
)
def test_what_cannot_be_declared_is_refused(
    start: Start, statements: Statements, path: str, body: Any, detail: str
) -> None:
    answer = start(statements).send("PUT", f"/v1/{path}", body)
    assert (answer.status_code, answer.json()["detail"][: len(detail)]) == (422, detail)
    assert statements.of("put_event_type") == statements.of("put_log_resource") == []


def test_a_resource_that_is_no_text_is_no_log(start: Start, statements: Statements) -> None:
    statements.rows["types_of_resource"] = [("STRING",), ("FLOAT",)]
    answer = start(statements).send("PUT", "/v1/log-resources/3303/5700", {})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "/3303/*/5700 is FLOAT; a log is OPAQUE or STRING"


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("event-types/nothing", "there is no event type 'nothing'"),
        ("event-types/No", "there is no event type 'No'"),
        ("log-resources/5/1", "/5/*/1 is no log"),
        ("log-resources/65535/1", "/65535/*/1 is no resource"),
    ],
)
def test_what_is_not_declared_is_not_found(
    start: Start, statements: Statements, path: str, detail: str
) -> None:
    statements.rows |= {"remove_event_type": [], "remove_log_resource": []}
    answer = start(statements).send("DELETE", f"/v1/{path}")
    assert (answer.status_code, answer.json()["detail"][: len(detail)]) == (404, detail)


def test_too_much_is_not_declared(start: Start, statements: Statements) -> None:
    statements.rows |= {"put_event_type": [], "put_log_resource": []}
    function = start(statements)
    for path, body in (("event-types/more", {"paths": ["/3"]}), ("log-resources/32769/7", {})):
        answer = function.send("PUT", f"/v1/{path}", body)
        assert (answer.status_code, "remove one" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/v1/tokens", "tokens"),
        ("/v1/firmware", "firmware"),
        ("/v1/updates", "updates"),
        ("/v1/campaigns", "campaigns"),
        ("/v1/campaigns/5/targets", "targets"),
        ("/v1/models", "models"),
        ("/v1/logs", "entries"),
    ],
)
def test_every_list_comes_as_a_table_and_as_lines_too(
    start: Start, statements: Statements, url: str, name: str
) -> None:
    function = start(statements)
    shown = function.send("GET", url).json()[name]
    lines = function.send("GET", url, headers=NDJSON).text.splitlines()
    assert list(map(json.loads, lines)) == shown
    table = list(csv.DictReader(io.StringIO(function.send("GET", url, headers=CSV).text)))
    assert len(table) == len(shown) > 0
    assert set(table[0]) == set(shown[0])
    assert function.send("GET", url, headers={"Accept": "image/png"}).status_code == 406


def test_a_list_by_number_goes_on_behind_the_number_that_it_told(
    start: Start, statements: Statements
) -> None:
    statements.rows["tokens"] = [TOKEN, TOKEN._replace(id=6)]
    answer = start(statements).send("GET", "/v1/tokens?limit=1")
    assert answer.json()["next"] == 7
    assert answer.headers["Link"] == '<?limit=1&cursor=7>; rel="next"'
    start(statements).send("GET", "/v1/tokens?limit=1&cursor=7")
    assert statements.of("tokens")[-1]["cursor"] == 7
