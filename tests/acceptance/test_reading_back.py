"""Reading back: what devices do is seen by REST, as it is and as it happens."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from local.servers.ports import LOOPBACK
from tests.fixtures.nexus import Nexus, wait_for

GROUPS = (
    "prefix=seen-,count=2,notify=200ms,lifetime=600,update=600s",
    "prefix=still-,count=2,notify=0,lifetime=600,update=600s",
)
NEXUS = {"long_poll_timeout": 6.0}
API = "/function/api/v1"
TEMPERATURE = "/3303/0/5700"
PROMPT_S = 1.0
"""Seconds from a value's commit to the stream."""


def get(nexus: Nexus, path: str, **headers: str) -> Any:
    answer = nexus.request("GET", API + path, token=nexus.token("api"), headers=headers)
    assert answer.status == 200, answer
    return answer.json


class Stream:
    """The events of a stream, each with the time at which it came."""

    def __init__(self, nexus: Nexus, query: str, last_event_id: str | None = None) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, nexus.world.ports.gateway, timeout=30)
        headers = {"Authorization": f"Bearer {nexus.token('api')}"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        self._connection.request("GET", f"{API}/stream?{query}", headers=headers)
        self._response = self._connection.getresponse()
        assert self._response.status == 200, self._response.read()
        assert self._response.headers["Content-Type"] == "text/event-stream"

    def __iter__(self) -> Iterator[dict[str, str]]:
        event: dict[str, str] = {}
        while line := self._response.readline().decode():
            if line == "\n":
                if "event" in event:
                    yield {**event, "came": str(time.time())}
                event = {}
            else:
                name, _, value = line.rstrip("\n").partition(": ")
                event[name] = value

    def close(self) -> None:
        self._connection.close()


def test_the_list_and_one_device_and_its_values(nexus: Nexus) -> None:
    names = [each["name"] for each in get(nexus, "/endpoints?q=s")["endpoints"]]
    assert {"seen-0001", "still-0002"} <= set(names)
    one = get(nexus, "/endpoints/seen-0001")
    assert (one["registered"], one["lifetime"]) == (True, 600)
    assert "/3303/0" in one["objects"]
    wait_for(lambda: nexus.latest("seen-0001", TEMPERATURE), 10, "a temperature")
    latest = get(nexus, f"/endpoints/seen-0001{TEMPERATURE}")
    assert latest["type"] == "FLOAT"
    assert latest["age_s"] < 5
    told = get(nexus, "/registrations?endpoint=seen-0001")["registrations"]
    assert told[-1]["event"] == "registered"


def test_a_write_by_path_is_confirmed_while_it_is_waited_for(nexus: Nexus) -> None:
    nexus.await_idle("still-0001")
    url = f"{API}/endpoints/still-0001/3/0/15"
    answer = nexus.request(
        "PUT", url, "Europe/Berlin", token=nexus.token("api"), headers={"Prefer": "wait=10"}
    )
    assert (answer.status, answer.json["status"]) == (200, "CONFIRMED"), answer
    assert nexus.control("still-0001")["values"]["/3/0/15"] == "Europe/Berlin"
    none_such = nexus.request("POST", url, token=nexus.token("api"), headers={"Prefer": "wait=10"})
    assert none_such.status == 422, none_such  # the model says that it cannot be executed
    refused = nexus.request(
        "POST", f"{API}/endpoints/still-0001/3/7/4", token=nexus.token("api"), headers={"Prefer": "wait=10"}
    )
    assert (refused.status, refused.json["operation"]["status"]) == (409, "FAILED"), refused
    nexus.control("still-0002", "deregister")
    waits = nexus.request(
        "PUT",
        f"{API}/endpoints/still-0002/3/0/15",
        "UTC",
        token=nexus.token("api"),
        headers={"Prefer": "wait=1"},
    )
    assert (waits.status, waits.json["status"]) == (202, "QUEUED")
    shown = nexus.request("GET", waits.headers["location"], token=nexus.token("api"))
    assert shown.json["id"] == waits.json["id"]


def test_a_stream_shows_values_soon_after_their_commit_and_is_resumed_without_a_gap(nexus: Nexus) -> None:
    """Each value is as late as the time from its row's stamp to its arrival here."""
    query = f"endpoint=seen-0001&path={quote(TEMPERATURE)}"
    events: list[dict[str, str]] = []
    with contextlib.closing(Stream(nexus, query)) as stream:
        for event in stream:
            events.append(event)
            if len(events) >= 10:
                break
    time.sleep(1.5)  # values come while nobody listens
    ended = False
    for _ in range(3):  # a stream ends by itself: connect again, as an EventSource does
        with contextlib.closing(Stream(nexus, query, events[-1]["id"])) as stream:
            for event in stream:
                events.append(event)
                if len(events) >= 60:
                    break
            else:
                ended = True
        if len(events) >= 60:
            break
    assert ended, "no stream ended before the gateway's timeout"
    values = [event for event in events if event["event"] == "value"]
    assert len({event["id"] for event in events}) == len(events), "an event came twice"
    shown = [json.loads(event["data"]) for event in values]
    assert {each["path"] for each in shown} == {TEMPERATURE}
    first, last = shown[0]["time"], shown[-1]["time"]
    stored = [
        row for row in nexus.values("seen-0001", TEMPERATURE) if first <= row["time"].isoformat() <= last
    ]
    assert [each["value"] for each in shown] == [row["value"] for row in stored]
    late = [
        float(event["came"]) - row["stored_at"].timestamp() for event, row in zip(values, stored, strict=True)
    ][:10]
    assert max(late) < PROMPT_S, late


def test_an_operation_is_seen_from_queued_to_its_end(nexus: Nexus) -> None:
    nexus.await_idle("still-0001")
    with contextlib.closing(Stream(nexus, "endpoint=still-0001&path=/3/0/15")) as stream:
        timer = threading.Timer(0.5, nexus.write, ("still-0001", "/3/0/15", "UTC"))
        timer.start()
        told = []
        for event in stream:
            if event["event"] == "operation":
                told.append(json.loads(event["data"])["status"])
            if len(told) == 2:
                break
        timer.join()
    assert told == ["QUEUED", "CONFIRMED"]


@pytest.mark.parametrize("path", ["/stream", "/endpoints", "/events", "/dead-letters"])
def test_nothing_is_read_back_without_a_token(nexus: Nexus, path: str) -> None:
    assert nexus.request("GET", API + path).status == 401
    assert nexus.request("GET", API + path, token=nexus.token("webhook")).status == 401
