"""Every kind of operation, at devices of Leshan's client library: a row each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from flownexus.operations.catalogue import KINDS
from flownexus.operations.catalogue.one_path import Execute
from tests.fixtures.nexus import LONG_POLL_TIMEOUT, Nexus, wait_for

COUNT = 20
"""Devices of a group: one for each row, and two."""
OBJECTS = "objects=3+3303+3304+3341"
GROUPS = (
    f"prefix=kind-,count={COUNT},notify=0,lifetime=600,update=600s,{OBJECTS}",
    f"prefix=lost-,count={COUNT},notify=0,lifetime=600,update=600s,{OBJECTS}",
    f"prefix=doze-,count={COUNT},notify=0,lifetime=600,update=600s,sleepy,awake=2500ms,{OBJECTS}",
)
NEXUS = {"awake_time": 1.5}
TOO_SLOW = LONG_POLL_TIMEOUT + 2
"""Seconds after which a device answers when nobody waits for it any more."""
TEMPERATURE = "/3303/0/5700"
TIMEZONE = "/3/0/15"


class Row(NamedTuple):
    """What is asked of a device, and what becomes of it."""

    kind: str
    right: Mapping[str, Any]
    status: str
    """How the device answers what is right."""
    refused: Mapping[str, Any]
    why: str
    """How the reason begins that a device, or Leshan, gives for what is refused."""
    wrong: Mapping[str, Any]
    detail: str
    """How the answer to a request that is wrong begins."""
    before: Mapping[str, Any] | None = None
    """What is done before what is right."""


ROWS = (
    Row(
        "read",
        {"path": TEMPERATURE},
        "CONTENT(205)",
        {"path": "/3303/7/5700"},
        "the device answered 4.04",
        {"path": "3303//5700"},
        "path: '3303//5700' is not a LwM2M path",
    ),
    Row(
        "write",
        {"path": "/3341/0", "value": {"resources": {"5527": "x", "5528": 7}, "replace": False}},
        "CHANGED(204)",
        {"path": "/3/7", "value": {"resources": {"15": "Europe/Berlin"}, "replace": False}},
        "the device answered 4.04",
        {"path": "/3341/0", "value": {"resources": {"5528": {"type": "STRING", "value": "7"}}}},
        "value: resource 5528: the type is INTEGER, as the object's model has it, not STRING",
    ),
    Row(
        "execute",
        {"path": "/3341/0/5530"},
        "CHANGED(204)",
        {"path": "/3341/7/5530"},
        "the device answered 4.04",
        {"path": "/3341/0/5530", "arguments": "reboot"},
        "arguments: are digits",
    ),
    Row(
        "observe",
        {"path": TIMEZONE},
        "CONTENT(205)",
        {"path": "/3303/7/5700"},
        "the device answered 4.04",
        {"path": "/70000"},
        "path: ",
    ),
    Row(
        "cancel-observe",
        {"path": TIMEZONE},
        "CONTENT(205)",
        {"path": "/3303/7/5700"},
        "Leshan refuses the request: HTTP 404 No such observation",
        {"path": ""},
        "path: ",
        before={"operation": "observe", "path": TIMEZONE},
    ),
    Row(
        "discover",
        {"path": "/3303/0"},
        "CONTENT(205)",
        {"path": "/3303/7"},
        "the device answered 4.04",
        {"path": "/3/0/7/1"},
        "path: /3/0/7/1 is that of a resource instance; discover takes",
    ),
    Row(
        "write-attributes",
        {"path": TEMPERATURE, "value": {"pmin": 1, "pmax": 60, "gt": 30.5, "lt": -2, "st": 0.5}},
        "CHANGED(204)",
        {"path": TIMEZONE, "value": {"gt": 1}},
        "the device answered 4.00",
        {"path": TEMPERATURE, "value": {"pmin": "10"}},
        "value: pmin is whole seconds",
    ),
    Row(
        "create",
        {"path": "/3341/7", "value": {"resources": {"5527": "x", "5548": 1.5}}},
        "CREATED(201)",
        {"path": "/3", "value": {"resources": {}}},
        "the device answered 4.00",
        {"path": "/3341", "value": {"resources": {"5548": "warm"}}},
        'value: resource 5548: "warm" is not FLOAT',
    ),
    Row(
        "delete",
        {"path": "/3341/0"},
        "DELETED(202)",
        {"path": "/3/0"},
        "the device answered 4.05",
        {"path": "/3341"},
        "path: /3341 is that of an object; delete takes that of an object instance",
    ),
    Row(
        "read-composite",
        {"paths": [TEMPERATURE, "/3/0/9"]},
        "CONTENT(205)",
        {"paths": ["/3303/7", "/3304/7/5700"]},
        "the device answered 4.04",
        {"paths": ["/3", "/3/0"]},
        "paths: /3 and /3/0 overlap",
    ),
    Row(
        "write-composite",
        {"value": {TIMEZONE: "Europe/Berlin", "/3341/0/5528": 7}},
        "CHANGED(204)",
        {"value": {"/3/7/15": "Europe/Berlin"}},
        "the device answered 4.04",
        {"value": {TIMEZONE: {"type": "INTEGER", "value": 1}}},
        "value: /3/0/15: the type is STRING, as the object's model has it, not INTEGER",
    ),
    Row(
        "observe-composite",
        {"paths": ["/3/0/14", TIMEZONE]},
        "CONTENT(205)",
        {"paths": ["/3303/7", "/3304/7/5700"]},
        "the device answered 4.04",
        {"paths": []},
        "paths: are 1 to 100 LwM2M paths",
    ),
    Row(
        "cancel-observe-composite",
        {"paths": [TIMEZONE, "/3/0/14"]},
        "CONTENT(205)",
        {"paths": ["/3/0/9"]},
        "Leshan refuses the request: HTTP 404 No such observation",
        {"paths": "/3/0/14"},
        "paths: are 1 to 100 LwM2M paths",
        before={"operation": "observe-composite", "paths": ["/3/0/14", TIMEZONE]},
    ),
    Row(
        "reboot",
        {},
        "CHANGED(204)",
        {"path": "/3/1/4"},
        "the device answered 4.04",
        {"path": "/3/0/5"},
        "path: /3/0/5 is not what reboot is for",
    ),
    Row(
        "factory-reset",
        {},
        "CHANGED(204)",
        {"path": "/3/1/5"},
        "the device answered 4.04",
        {"path": "/3/0/4"},
        "path: /3/0/4 is not what factory-reset is for",
    ),
    Row(
        "registration-update-trigger",
        {},
        "CHANGED(204)",
        {"path": "/1/7/8"},
        "the device answered 4.04",
        {"arguments": "now"},
        "arguments: are digits",
    ),
    Row(
        "disable",
        {},
        "CHANGED(204)",
        {"path": "/1/7/4"},
        "the device answered 4.04",
        {"repeatable": "yes"},
        "repeatable: is true or false",
    ),
    Row(
        "set-clock",
        {},
        "CHANGED(204)",
        {"path": "/3/1/13"},
        "the device answered 4.04",
        {"value": 0},
        "value: belongs to a write or",
    ),
)
NAMES = [row.kind for row in ROWS]


def test_each_kind_has_a_row() -> None:
    assert sorted(NAMES) == sorted(KINDS)
    assert len(ROWS) <= COUNT - 2


def device(group: str, row: Row) -> str:
    """Return the device of a group that is this row's own."""
    return f"{group}-{ROWS.index(row) + 1:04}"


def queue(nexus: Nexus, endpoint: str, row: Row, asked: Mapping[str, Any]) -> int:
    """Queue an operation of the row's kind, unless what is asked says another."""
    body = {"endpoint": endpoint, "operation": row.kind, **asked}
    answer = nexus.request("POST", "/function/operations", body, token=nexus.token("api"))
    assert answer.status == 201, answer
    id_: int = answer.json["id"]
    return id_


def prepare(nexus: Nexus, endpoint: str, row: Row) -> None:
    nexus.await_idle(endpoint)
    if row.before is not None:
        nexus.await_status(queue(nexus, endpoint, row, row.before), "CONFIRMED")


def received(nexus: Nexus, endpoint: str, row: Row) -> int:
    """Return how often a device was asked for an operation that is not to be repeated."""
    name = "execute" if issubclass(KINDS[row.kind], Execute) else row.kind
    return len(nexus.requests(endpoint, name))


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_what_a_device_refuses_fails_at_once_with_its_reason(nexus: Nexus, row: Row) -> None:
    endpoint = device("kind", row)
    nexus.await_idle(endpoint)
    refused = nexus.await_status(queue(nexus, endpoint, row, row.refused), "FAILED")
    assert refused["reason"].startswith(row.why), refused["reason"]
    assert refused["attempts"] == (0 if row.why.startswith("Leshan") else 1)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_what_is_wrong_is_refused_before_it_is_queued(nexus: Nexus, row: Row) -> None:
    body = {"endpoint": device("kind", row), "operation": row.kind, **row.wrong}
    answer = nexus.request("POST", "/function/operations", body, token=nexus.token("api"))
    assert (answer.status, answer.json["detail"][: len(row.detail)]) == (422, row.detail)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_what_is_right_is_done_by_the_device(nexus: Nexus, row: Row) -> None:
    endpoint = device("kind", row)
    prepare(nexus, endpoint, row)
    done = nexus.await_status(queue(nexus, endpoint, row, row.right), "CONFIRMED")
    assert (done["attempts"], done["reason"], done["result"]["status"]) == (1, None, row.status)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_a_device_that_sleeps_is_asked_when_it_wakes(nexus: Nexus, row: Row) -> None:
    endpoint = device("doze", row)
    if row.before is not None:
        before = queue(nexus, endpoint, row, row.before)
        nexus.control(endpoint, "update")
        nexus.await_status(before, "CONFIRMED")
    wait_for(lambda: nexus.state(endpoint) == "asleep", 10, "it asleep")
    id_ = queue(nexus, endpoint, row, row.right)
    time.sleep(1)
    assert nexus.status(id_) == ("QUEUED", 0)
    nexus.control(endpoint, "update")
    assert nexus.await_status(id_, "CONFIRMED")["attempts"] == 1


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_what_a_lost_answer_leaves_unknown_is_repeated_only_where_that_is_harmless(
    nexus: Nexus, row: Row
) -> None:
    endpoint = device("lost", row)
    prepare(nexus, endpoint, row)
    nexus.control(endpoint, "slow", seconds=str(TOO_SLOW))
    id_ = queue(nexus, endpoint, row, row.right)
    if not KINDS[row.kind].repetition_is_harmless:
        lost = nexus.await_status(id_, "FAILED", TOO_SLOW + 5)
        assert lost["reason"] == "outcome unknown: the device did not answer in time"
        wait_for(lambda: received(nexus, endpoint, row), 5, "the device to have done it")
        nexus.control(endpoint, "slow", seconds="0")
        if nexus.state(endpoint) == "registered":
            nexus.control(endpoint, "update")
        nexus.await_idle(endpoint)
        assert (received(nexus, endpoint, row), nexus.status(id_)) == (1, ("FAILED", 1))
        return
    wait_for(lambda: nexus.status(id_) == ("QUEUED", 1), TOO_SLOW + 5, "the first attempt's end")
    nexus.control(endpoint, "slow", seconds="0")
    time.sleep(3)  # until the device has answered the first one
    nexus.control(endpoint, "update")
    assert nexus.await_status(id_, "CONFIRMED")["attempts"] == 2


def test_what_a_composite_brings_is_one_event_and_its_notifications_come_until_it_is_cancelled(
    nexus: Nexus,
) -> None:
    endpoint, offset = f"kind-{COUNT:04}", "/3/0/14"
    nexus.await_idle(endpoint)
    paths = {"endpoint": endpoint, "paths": [TIMEZONE, offset]}

    def ask(operation: str) -> Mapping[str, Any]:
        answer = nexus.request(
            "POST", "/function/operations", paths | {"operation": operation}, token=nexus.token("api")
        )
        return nexus.await_status(answer.json["id"], "CONFIRMED")

    def events(since: Any) -> list[tuple[str, int]]:
        rows = nexus.sql(
            "SELECT v.event_type, count(*) AS n FROM event v JOIN endpoint e ON e.id = v.endpoint_id"
            " JOIN event_resource x ON (x.time, x.event_id) = (v.time, v.id)"
            " WHERE e.name = %s AND v.event_type IN ('read', 'composite') AND v.time >= %s"
            " GROUP BY v.time, v.id, v.event_type ORDER BY v.time",
            endpoint, since,
        )  # fmt: skip
        return [(row["event_type"], row["n"]) for row in rows]

    read = ask("read-composite")
    assert sorted(read["result"]["content"]) == [offset, TIMEZONE]
    assert events(read["last_attempt_at"]) == [("read", 2)]
    observed = ask("observe-composite")
    nexus.control(endpoint, "set", path=TIMEZONE, value="Asia/Tokyo")
    wait_for(lambda: nexus.latest(endpoint, TIMEZONE) == "Asia/Tokyo", 5, "the notification")
    assert events(observed["last_attempt_at"]) == [("read", 2), ("composite", 2)]
    ask("cancel-observe-composite")
    nexus.control(endpoint, "set", path=TIMEZONE, value="Asia/Seoul")
    time.sleep(1)
    assert nexus.latest(endpoint, TIMEZONE) == "Asia/Tokyo"


def test_what_is_written_created_and_set_is_there(nexus: Nexus) -> None:
    endpoint = f"kind-{COUNT - 1:04}"
    nexus.await_idle(endpoint)

    def ask(operation: str, **fields: Any) -> Any:
        body = {"endpoint": endpoint, "operation": operation, **fields}
        answer = nexus.request("POST", "/function/operations", body, token=nexus.token("api"))
        return nexus.await_status(answer.json["id"], "CONFIRMED")["result"].get("content")

    assert ask("create", path="/3341", value={"resources": {"5527": "new", "5528": 7}}) == "/3341/1"
    assert ask("read", path="/3341/1/5527")["value"] == "new"
    ask("write", path="/3341/1", value={"resources": {"5528": 8}, "replace": False})
    assert [ask("read", path=f"/3341/1/{id_}")["value"] for id_ in (5527, 5528)] == ["new", "8"]
    ask("write", path="/3341/1", value={"resources": {"5527": "newer"}})
    assert [ask("read", path=f"/3341/1/{id_}")["value"] for id_ in (5527, 5528)] == ["newer", "0"]
    ask("write-attributes", path="/3341/1/5528", value={"pmin": 3, "gt": 1.5})
    links = {link["url"]: link["attributes"] for link in ask("discover", path="/3341/1/5528")}
    assert {name: str(value) for name, value in links["/3341/1/5528"].items()} == {"pmin": "3", "gt": "1.5"}
    ask("write-attributes", path="/3341/1/5528", value={"pmin": None})
    links = {link["url"]: link["attributes"] for link in ask("discover", path="/3341/1/5528")}
    assert list(links["/3341/1/5528"]) == ["gt"]
    ask("delete", path="/3341/1")
    assert "/3341/1" not in [link["url"] for link in ask("discover", path="/3341")]
    ask("write", path="/3/0/13", value=946684800000)
    ask("set-clock")
    assert abs(ask("read", path="/3/0/13")["value"] / 1000 - time.time()) < 10


def test_nothing_is_stuck(nexus: Nexus) -> None:
    """What the observe plan has for a device that was disabled waits for its next registration."""
    assert nexus.sql(
        "SELECT id, operation_type, status, reason FROM endpoint_operation"
        " WHERE registration_id IS NULL AND status IN ('QUEUED', 'SENDING')"
    ) == []  # fmt: skip
