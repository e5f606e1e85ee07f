"""Operations: what is queued reaches the device, in order, and what the device said is what is told."""

from __future__ import annotations

import itertools
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local import web
from tests.fixtures.device import StartDevice
from tests.fixtures.nexus import Nexus, Row, wait_for

ODD = "it's .*> \N{SNOWMAN} \N{SATELLITE}-"
AWAKE = 1.5
"""Seconds that the server takes a sleepy device for awake after it has spoken; it is so for longer."""
GROUPS = (
    "prefix=op-,count=10,notify=0,lifetime=600,update=600s",
    "prefix=wave-,count=1,notify=200ms,lifetime=600,update=600s",
    f"prefix={ODD},count=1,notify=0,lifetime=600,update=600s",
    "prefix=sleepy-,count=1,notify=0,lifetime=600,update=600s,sleepy,awake=2500ms",
    "prefix=brief-,count=1,notify=0,lifetime=5,update=2s",
)
NEXUS = {"awake_time": AWAKE}
TEMPERATURE = "/3303/0/5700"
TIMEZONE = "/3/0/15"
TEN = [f"Etc/GMT+{number}" for number in range(10)]


def go_offline(nexus: Nexus, endpoint: str) -> None:
    nexus.await_idle(endpoint)
    nexus.control(endpoint, "deregister")
    wait_for(lambda: not nexus.endpoint(endpoint)["registered"], 10, f"{endpoint} offline")
    wait_for(lambda: nexus.state(endpoint) == "deregistered", 5, f"{endpoint} off")


def writes(nexus: Nexus, endpoint: str, path: str = TIMEZONE) -> list[Row]:
    return [line for line in nexus.requests(endpoint, "write") if line["path"] == path]


def await_writes(nexus: Nexus, endpoint: str, count: int) -> list[Row]:
    """Return the writes a device has answered, once they are so many."""
    return wait_for(
        lambda: lines if len(lines := writes(nexus, endpoint)) >= count else [],
        5,
        f"{count} writes in the requests of {endpoint}",
    )


def sleeping(nexus: Nexus, endpoint: str) -> bool:
    """Ask Leshan whether it takes a device for asleep."""
    status, text = web.request(
        nexus.world.ports.leshan,
        "GET",
        f"/api/clients/{endpoint}",
        headers=web.bearer(nexus.token("leshan")),
    )
    assert status == 200, text
    return bool(json.loads(text)["sleeping"])


# What becomes of a write


@pytest.mark.parametrize("endpoint", ["op-0001", f"{ODD}0001"], ids=["plain", "odd characters"])
def test_a_write_to_an_awake_device_is_confirmed_and_read_back(nexus: Nexus, endpoint: str) -> None:
    nexus.await_idle(endpoint)
    write = nexus.await_status(nexus.write(endpoint, TIMEZONE, "Europe/Berlin"), "CONFIRMED")
    assert (write["attempts"], write["reason"]) == (1, None)
    assert write["result"] == {"status": "CHANGED(204)"}
    read = nexus.await_status(nexus.queue(endpoint, "read", TIMEZONE), "CONFIRMED")
    assert read["result"]["content"]["value"] == "Europe/Berlin"
    assert nexus.latest(endpoint, TIMEZONE) == "Europe/Berlin"
    assert nexus.control(endpoint)["values"][TIMEZONE] == "Europe/Berlin"
    shown = nexus.request("GET", f"/function/operations/{write['id']}", token=nexus.token("api")).json
    assert (shown["endpoint"], shown["status"], shown["attempts"]) == (endpoint, "CONFIRMED", 1)
    [asked] = await_writes(nexus, endpoint, 1)
    assert (asked["value"], asked["result"]) == ("Europe/Berlin", "2.04")


def test_a_read_of_a_whole_object_stores_each_value_as_one_event(nexus: Nexus) -> None:
    nexus.await_idle("op-0001")
    read = nexus.await_status(nexus.queue("op-0001", "read", "/3303"), "CONFIRMED")
    events = nexus.sql(
        "SELECT count(*) AS n FROM event v JOIN endpoint e ON e.id = v.endpoint_id"
        " JOIN event_resource x ON (x.time, x.event_id) = (v.time, v.id)"
        " WHERE e.name = 'op-0001' AND v.event_type = 'read' AND v.time >= %s",
        read["last_attempt_at"],
    )
    assert events[0]["n"] == 7
    assert nexus.latest("op-0001", "/3303/0/5701") == "Cel"


def test_leshan_logs_an_operation_by_its_id_from_the_request_to_the_answer(nexus: Nexus) -> None:
    nexus.await_idle("op-0001")
    operation = nexus.await_status(nexus.queue("op-0001", "read", TIMEZONE), "CONFIRMED")
    id_ = f"operation-{operation['id']}"
    log = nexus.logs()["logs/leshan.log"].splitlines()
    lines = [json.loads(line.partition(" ")[2]) for line in log if f'"{id_}"' in line]
    assert [(line["correlation_id"], line["endpoint"]) for line in lines] == [(id_, "op-0001")] * 2
    asked, ended = (line["message"] for line in lines)
    assert asked == f"GET /api/clients/op-0001{TIMEZONE}"
    assert re.fullmatch(rf"{re.escape(asked)} ended after \d+ ms: ok", ended)


def test_a_discover_shows_what_the_device_has(nexus: Nexus) -> None:
    nexus.await_idle("op-0001")
    discovered = nexus.await_status(nexus.queue("op-0001", "discover", "/3303/0"), "CONFIRMED")
    assert discovered["result"]["status"] == "CONTENT(205)"
    links = discovered["result"]["content"]
    assert {"/3303/0", TEMPERATURE, "/3303/0/5701"} <= {link["url"] for link in links}


def test_an_operation_on_a_sleeping_device_waits_without_an_attempt_for_its_next_update(
    nexus: Nexus,
) -> None:
    endpoint = "sleepy-0001"
    wait_for(lambda: sleeping(nexus, endpoint), 10, "Leshan to take it for asleep")
    wait_for(lambda: nexus.state(endpoint) == "asleep", 10, "it asleep")
    operation = nexus.write(endpoint, TIMEZONE, "Asia/Tokyo")
    wait_for(lambda: nexus.operation(operation)["reason"], 5, "dispatch-op to have seen that it sleeps")
    assert nexus.status(operation) == ("QUEUED", 0)
    assert writes(nexus, endpoint) == []
    nexus.control(endpoint, "update")
    assert nexus.await_status(operation, "CONFIRMED")["attempts"] == 1
    assert nexus.control(endpoint)["values"][TIMEZONE] == "Asia/Tokyo"
    assert len(await_writes(nexus, endpoint, 1)) == 1


def test_an_operation_on_a_deregistered_device_waits_without_an_attempt_for_its_registration(
    nexus: Nexus,
) -> None:
    endpoint = "op-0002"
    go_offline(nexus, endpoint)
    operation = nexus.write(endpoint, TIMEZONE, "Asia/Tokyo")
    time.sleep(1)
    row = nexus.operation(operation)
    assert (row["status"], row["attempts"], row["fence"]) == ("QUEUED", 0, 0)
    nexus.control(endpoint, "register")
    assert nexus.await_status(operation, "CONFIRMED")["attempts"] == 1
    assert nexus.control(endpoint)["values"][TIMEZONE] == "Asia/Tokyo"


def test_an_operation_on_a_device_whose_lifetime_is_over_waits_without_an_attempt(nexus: Nexus) -> None:
    endpoint = "brief-0001"
    nexus.await_idle(endpoint)
    nexus.control(endpoint, "stop")
    wait_for(lambda: not nexus.endpoint(endpoint)["registered"], 15, "it offline")
    operation = nexus.write(endpoint, TIMEZONE, "Asia/Tokyo")
    time.sleep(1)
    row = nexus.operation(operation)
    assert (row["status"], row["attempts"], row["fence"]) == ("QUEUED", 0, 0)
    nexus.control(endpoint, "start")
    assert nexus.await_status(operation, "CONFIRMED")["attempts"] == 1


def test_a_registered_but_silent_device_costs_an_attempt(nexus: Nexus) -> None:
    endpoint = "op-0003"
    nexus.await_idle(endpoint)
    nexus.control(endpoint, "stop")
    wait_for(lambda: nexus.state(endpoint) == "stopped", 5, "it off")
    assert nexus.endpoint(endpoint)["registered"]
    operation = nexus.write(endpoint, TIMEZONE, "Asia/Tokyo")
    nexus.await_status(operation, "SENDING", 3)
    row = nexus.await_status(operation, "QUEUED", 10)
    assert (row["attempts"], row["reason"]) == (1, "the device did not answer in time")
    nexus.control(endpoint, "start")
    assert nexus.await_status(operation, "CONFIRMED")["attempts"] == 2
    assert len(await_writes(nexus, endpoint, 1)) == 1


def test_a_device_that_answers_an_error_is_asked_again_after_a_growing_delay_and_then_given_up(
    nexus: Nexus,
) -> None:
    endpoint = "op-0004"
    go_offline(nexus, endpoint)
    nexus.control(endpoint, "fail", on="true")
    operation = nexus.write(endpoint, TIMEZONE, "Asia/Tokyo")
    nexus.control(endpoint, "register")

    def tried(attempts: int, timeout: float = 10) -> Row:
        wait_for(lambda: nexus.operation(operation)["attempts"] == attempts, timeout, f"attempt {attempts}")
        return wait_for(
            lambda: row if (row := nexus.operation(operation))["status"] != "SENDING" else {}, 5, "its end"
        )

    row = tried(1)
    assert (row["status"], row["result"]) == ("QUEUED", {"status": "INTERNAL_SERVER_ERROR(500)"})
    assert "5.00" in row["reason"]
    # Neither a hint nor an update sends it again before its delay is over.
    for _ in range(3):
        nexus.request("POST", "/function/dispatch-op", {"ep": endpoint}, token=nexus.token("connector"))
    nexus.update(endpoint)
    [waits] = nexus.sql("SELECT not_before > now() AS waits FROM endpoint_operation WHERE id = %s", operation)
    assert nexus.status(operation) == ("QUEUED", 1) or not waits["waits"]
    # Housekeeping sends it then, without an update; it repeats a hint of its own after 20 s at most.
    wait_for(lambda: nexus.status(operation) == ("QUEUED", 2), 40, "the second attempt")
    for attempt in (3, 4):  # the delays are 30 s and 120 s by now
        nexus.sql("UPDATE endpoint_operation SET not_before = now() WHERE id = %s", operation)
        row = tried(attempt, 40)
    assert (row["status"], row["result"]) == ("FAILED", {"status": "INTERNAL_SERVER_ERROR(500)"})
    assert "5.00" in row["reason"]
    assert [line["result"] for line in await_writes(nexus, endpoint, 4)] == ["5.00"] * 4
    nexus.control(endpoint, "fail", on="false")
    nexus.update(endpoint)
    last = nexus.write(endpoint, TIMEZONE, "Asia/Seoul")
    nexus.await_status(last, "CONFIRMED")
    assert [line["result"] for line in await_writes(nexus, endpoint, 5)] == ["5.00"] * 4 + ["2.04"]


@pytest.mark.parametrize(
    ("operation", "path", "more", "code"),
    [
        ("read", "/3303/7/5700", {}, "4.04"),
        ("write", "/3/7/15", {"value": "Asia/Seoul"}, "4.04"),
        ("execute", "/3/7/4", {}, "4.04"),
        ("observe", "/3303/7/5700", {}, "4.04"),
    ],
)
def test_what_a_device_refuses_for_good_fails_at_once_with_its_reason(
    nexus: Nexus, operation: str, path: str, more: dict[str, Any], code: str
) -> None:
    nexus.await_idle("op-0005")
    row = nexus.await_status(nexus.queue("op-0005", operation, path, **more), "FAILED")
    assert row["attempts"] == 1
    assert code in row["reason"]
    assert row["result"]["status"].endswith(f"({code.replace('.', '')})")


# The other operations


def test_an_execute_reaches_the_device_once_with_its_arguments(
    nexus: Nexus, start_device: StartDevice
) -> None:
    device = start_device(nexus.world.ports.coap, "raw-execute", {"/3303/0/5700": "19.5"})
    device.register()
    wait_for(lambda: device.observed() == {TEMPERATURE}, 10, "the plan's observation")
    nexus.await_idle("raw-execute")
    for arguments in ("0='low',3", None):
        reset = nexus.queue("raw-execute", "execute", "/3303/0/5605", arguments=arguments)
        assert nexus.await_status(reset, "CONFIRMED")["attempts"] == 1
    assert device.executed == [("/3303/0/5605", "0='low',3"), ("/3303/0/5605", "")]


def test_a_reboot_reaches_the_device_once_though_it_registers_again(nexus: Nexus) -> None:
    endpoint = "op-0006"
    nexus.await_idle(endpoint)
    registered = nexus.endpoint(endpoint)["registration_id"]
    reboot = nexus.queue(endpoint, "execute", "/3/0/4")
    assert nexus.await_status(reboot, "CONFIRMED")["attempts"] == 1
    wait_for(lambda: nexus.endpoint(endpoint)["registration_id"] != registered, 10, "the device back")
    nexus.await_idle(endpoint)
    [asked] = wait_for(lambda: nexus.requests(endpoint, "execute"), 5, "the request")
    assert (asked["path"], asked["result"]) == ("/3/0/4", "2.04")


def test_cancel_observe_ends_the_notifications_and_observe_starts_them(nexus: Nexus) -> None:
    endpoint = "wave-0001"

    def sent() -> int:
        return len(nexus.ledger(endpoint))

    nexus.await_idle(endpoint)
    wait_for(lambda: sent() > 2, 10, "notifications by the observe plan")
    cancelled = nexus.await_status(nexus.queue(endpoint, "cancel-observe", TEMPERATURE), "CONFIRMED")
    assert cancelled["attempts"] == 1
    time.sleep(1)  # what was under way has come, and the ledger is written out
    silent, stored = sent(), len(nexus.values(endpoint, TEMPERATURE))
    time.sleep(1.2)
    assert (sent(), len(nexus.values(endpoint, TEMPERATURE))) == (silent, stored)
    nexus.await_status(nexus.queue(endpoint, "observe", TEMPERATURE), "CONFIRMED")
    wait_for(lambda: sent() > silent + 2, 5, "notifications again")
    wait_for(lambda: len(nexus.values(endpoint, TEMPERATURE)) > stored + 2, 5, "their rows")


def test_a_multi_instance_resource_is_observed_with_its_instances(nexus: Nexus) -> None:
    endpoint = "op-0001"
    nexus.await_idle(endpoint)
    nexus.await_status(nexus.queue(endpoint, "observe", "/3/0/7"), "CONFIRMED")
    nexus.control(endpoint, "set", path="/3/0/7/1", value="4999")
    wait_for(lambda: nexus.latest(endpoint, "/3/0/7/1") == "4999", 5, "the new value")
    assert nexus.latest(endpoint, "/3/0/7/0") == "3800"


def test_a_cancelled_operation_never_reaches_the_device(nexus: Nexus) -> None:
    endpoint = "op-0007"
    go_offline(nexus, endpoint)
    first = nexus.write(endpoint, TIMEZONE, "Asia/Tokyo")
    second = nexus.write(endpoint, TIMEZONE, "Asia/Seoul")
    url = f"/function/operations/{first}"
    answer = nexus.request("DELETE", url, token=nexus.token("api"))
    assert (answer.status, answer.json["status"]) == (200, "CANCELLED")
    nexus.control(endpoint, "register")
    nexus.await_status(second, "CONFIRMED")
    nexus.await_idle(endpoint)
    assert [line["value"] for line in await_writes(nexus, endpoint, 1)] == ["Asia/Seoul"]
    assert nexus.status(first) == ("CANCELLED", 0)
    assert nexus.request("DELETE", url, token=nexus.token("api")).status == 409


# Order


def assert_in_order_one_at_a_time(asked: list[Row], values: list[str]) -> None:
    assert [line["value"] for line in asked] == values
    for one, following in itertools.pairwise(asked):
        assert following["t"] >= one["answered"]


def test_ten_operations_of_one_endpoint_arrive_in_order_one_at_a_time(nexus: Nexus) -> None:
    endpoint = "op-0008"
    nexus.await_idle(endpoint)
    nexus.control(endpoint, "slow", seconds="0.1")
    ids = [nexus.write(endpoint, TIMEZONE, value) for value in TEN]
    for id_ in ids:
        nexus.await_status(id_, "CONFIRMED", 15)
    nexus.control(endpoint, "slow", seconds="0")
    assert_in_order_one_at_a_time(await_writes(nexus, endpoint, 10), TEN)
    assert [nexus.status(id_)[1] for id_ in ids] == [1] * 10


def test_order_is_kept_when_updates_come_at_once_and_two_replicas_dispatch(nexus: Nexus) -> None:
    endpoints = ["op-0009", "op-0010"]
    for endpoint in endpoints:
        go_offline(nexus, endpoint)
        nexus.control(endpoint, "slow", seconds="0.1")
    ids = [nexus.write(endpoint, TIMEZONE, value) for value in TEN for endpoint in endpoints]
    nexus.world.scale("dispatch-op", 2)
    connector = nexus.token("connector")
    with ThreadPoolExecutor(12) as threads:
        for endpoint in endpoints:
            nexus.control(endpoint, "register")
            wait_for(lambda endpoint=endpoint: nexus.state(endpoint) == "registered", 5, "it on")  # type: ignore[misc]
        for endpoint in endpoints * 2:
            threads.submit(nexus.control, endpoint, "update")
        # What the connector does when hints come at the same moment, and more of it.
        answers = list(
            threads.map(
                lambda endpoint: nexus.request(
                    "POST", "/function/dispatch-op", {"ep": endpoint}, token=connector
                ),
                endpoints * 12,
            )
        )
    assert {answer.status for answer in answers} == {200}
    for id_ in ids:
        nexus.await_status(id_, "CONFIRMED", 20)
    for endpoint in endpoints:
        assert_in_order_one_at_a_time(await_writes(nexus, endpoint, 10), TEN)
    assert [nexus.status(id_)[1] for id_ in ids] == [1] * 20
    nexus.world.scale("dispatch-op", 1)


def test_an_operation_reaches_a_client_that_is_not_leshan_s(nexus: Nexus, start_device: StartDevice) -> None:
    endpoint = "raw:urn/\N{SNOWMAN}?x=1&y#*.>"
    device = start_device(nexus.world.ports.coap, endpoint, {"/3303/1/5700": "19.5"})
    device.register()
    wait_for(lambda: device.observed() == {"/3303/1/5700"}, 10, "the plan's observation")
    nexus.await_idle(endpoint)
    read = nexus.await_status(nexus.queue(endpoint, "read", "/3303/1/5700"), "CONFIRMED")
    assert float(read["result"]["content"]["value"]) == 19.5
    refused = nexus.await_status(nexus.queue(endpoint, "read", "/3303/1/5601"), "FAILED")
    assert "4.04" in refused["reason"]
    nexus.await_status(nexus.queue(endpoint, "cancel-observe", "/3303/1/5700"), "CONFIRMED")
    assert device.observed() == set()
