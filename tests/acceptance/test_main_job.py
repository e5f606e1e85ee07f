"""The main job: what devices say becomes rows, each once, at the time it was said."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from local.supervise.logfile import read
from local.supervise.logline import fields_of
from tests.fixtures.device import StartDevice
from tests.fixtures.nexus import Nexus, Row, wait_for

ODD = "it's .*> \N{SNOWMAN} \N{SATELLITE}-"
LONG = (
    "urn:" + "long" * 60 + "-"
)  # a Uri-Query option, "ep=" included, has at most 255 bytes (RFC 7252, 5.10)
GROUPS = (
    "prefix=sim-,count=2,notify=400ms,lifetime=300,update=300s",
    f"prefix={ODD},count=1,notify=400ms,lifetime=300,update=300s",
    f"prefix={LONG},count=1,notify=400ms,lifetime=300,update=300s",
    "prefix=brief-,count=1,notify=0,lifetime=6,update=2s",
)
NEXUS = {"stack_environment": {"LOG_LEVEL": "debug"}}
ENDPOINTS = ["sim-0001", f"{ODD}0001", f"{LONG}0001"]
TEMPERATURE = "/3303/0/5700"
PROMISED = timedelta(seconds=10)


def milliseconds(time_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)


def flat(values: dict[str, Any]) -> dict[str, str]:
    """Return values by path as text, multi-instance resources by the paths of their instances."""
    texts: dict[str, str] = {}
    for path, value in values.items():
        if isinstance(value, dict):
            texts |= {f"{path}/{instance}": str(each) for instance, each in value.items()}
        else:
            texts[path] = str(value)
    return texts


def duplicates(nexus: Nexus, endpoint: str) -> list[Row]:
    """Return the temperatures stored more than once; of one device no two values are alike."""
    return nexus.sql(
        "SELECT value, count(*) AS n FROM telemetry WHERE endpoint = %s AND path = %s"
        " GROUP BY value HAVING count(*) > 1",
        endpoint, TEMPERATURE,
    )  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=["plain", "odd characters", "long"])
def test_within_10_s_of_its_registration_a_device_is_online_with_its_values(
    nexus: Nexus, endpoint: str
) -> None:
    device = nexus.control(endpoint)
    expected = {path: value for path, value in flat(device["values"]).items() if path.startswith("/3/")}
    del expected["/3/0/13"]  # its clock
    assert len(expected) > 15

    def missing() -> dict[str, str]:
        latest = {
            row["path"]: row["value"]
            for row in nexus.sql("SELECT path, value FROM telemetry_latest WHERE endpoint = %s", endpoint)
        }
        return {path: value for path, value in expected.items() if latest.get(path) != value}

    wait_for(lambda: not missing(), 10, "object 3's values")
    wait_for(lambda: len(nexus.values(endpoint, TEMPERATURE)) >= 2, 10, "temperatures")
    [registered] = nexus.sql(
        "SELECT r.time, r.stored_at, r.time_value FROM resource r"
        " JOIN endpoint e ON e.id = r.endpoint_id JOIN resource_type t ON t.id = r.resource_type_id"
        " WHERE e.name = %s AND (t.object_id, r.object_instance_id, t.resource_id) = (10240, 0, 0)",
        endpoint,
    )  # fmt: skip
    assert registered["time_value"] == registered["time"] < registered["stored_at"]
    row = nexus.endpoint(endpoint)
    assert row["registered"]
    assert row["registration_id"] == device["registration_id"].rpartition("/")[2]
    assert row["address"].endswith(f":{device['port']}")
    assert (row["lifetime"], row["binding"], row["lwm2m_version"]) == (300, "U", "1.1")
    assert {"/1/0", "/3/0", "/3303/0", "/5/0"} <= set(row["objects"])
    [late] = nexus.sql(
        "SELECT max(first) AS at FROM (SELECT min(stored_at) AS first FROM telemetry WHERE endpoint = %s"
        " AND (object_id = 3 OR path = %s) GROUP BY path) AS firsts",
        endpoint, TEMPERATURE,
    )  # fmt: skip
    assert late["at"] - registered["time"] < PROMISED
    assert nexus.sql("SELECT count(*) AS n FROM dead_letter")[0]["n"] == 0


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=["plain", "odd characters", "long"])
def test_every_acknowledged_notification_is_a_row_once_at_the_time_of_its_receipt(
    nexus: Nexus, endpoint: str
) -> None:
    sent = wait_for(lambda: lines if len(lines := nexus.ledger(endpoint)) >= 5 else [], 15, "notifications")

    def rows() -> dict[float, Row]:
        return {row["number"]: row for row in nexus.values(endpoint, TEMPERATURE)}

    wait_for(lambda: {line["value"] for line in sent} <= set(rows()), 5, "a row for each line of the ledger")
    found = rows()
    for line in sent:
        row = found[line["value"]]
        assert abs(row["time"] - milliseconds(line["t"])) < timedelta(seconds=0.5)
        assert (
            row["time"].microsecond % 1000 == 0
        )  # Leshan says milliseconds, the database would microseconds
        assert row["time"] < row["stored_at"]
    assert duplicates(nexus, endpoint) == []


def test_values_that_are_stored_late_keep_the_time_of_their_receipt_and_their_order(nexus: Nexus) -> None:
    endpoint = "sim-0002"
    nexus.await_idle(endpoint)
    with psycopg.connect(nexus.world.database_url) as connection:
        connection.execute("LOCK TABLE resource IN ACCESS EXCLUSIVE MODE")
        began = time.time()  # what comes from now on cannot be stored
        wait_for(
            lambda: [line for line in nexus.ledger(endpoint) if line["t"] > began * 1000 + 1500],
            10,
            "notifications acknowledged while nothing can be stored",
        )
    sent = [line for line in nexus.ledger(endpoint) if line["t"] > began * 1000]
    wait_for(
        lambda: (
            {line["value"] for line in sent} <= {row["number"] for row in nexus.values(endpoint, TEMPERATURE)}
        ),
        20,
        "the values of meanwhile",
    )
    rows = {row["number"]: row for row in nexus.values(endpoint, TEMPERATURE)}
    for line in sent:
        assert abs(rows[line["value"]]["time"] - milliseconds(line["t"])) < timedelta(seconds=0.5)
    first = rows[sent[0]["value"]]
    assert first["stored_at"] - first["time"] > timedelta(seconds=1)
    assert [rows[line["value"]]["time"] for line in sent] == sorted(
        rows[line["value"]]["time"] for line in sent
    )
    assert duplicates(nexus, endpoint) == []


def composites(nexus: Nexus, endpoint: str) -> list[Row]:
    """Return the composite events of an endpoint in order, each with its values by path."""
    return nexus.sql(
        "SELECT v.time, jsonb_object_agg(t.object_id || '/' || r.object_instance_id || '/' || t.resource_id"
        "   || coalesce('/' || r.resource_instance_id, ''),"
        "   coalesce(to_jsonb(r.float_value), to_jsonb(r.integer_value), to_jsonb(r.string_value))) AS got"
        " FROM event v JOIN endpoint e ON e.id = v.endpoint_id"
        " JOIN event_resource x ON (x.time, x.event_id) = (v.time, v.id)"
        " JOIN resource r ON (r.time, r.id) = (x.time, x.resource_id)"
        " JOIN resource_type t ON t.id = r.resource_type_id"
        " WHERE e.name = %s AND v.event_type = 'composite' GROUP BY v.time, v.id ORDER BY v.time",
        endpoint,
    )  # fmt: skip


def test_a_send_becomes_one_composite_event(nexus: Nexus) -> None:
    began = datetime.now(UTC)
    assert nexus.control("brief-0001", "send", path=f"{TEMPERATURE},/3/0/9,/3/0/15")["result"] == "2.04"
    [event] = wait_for(lambda: composites(nexus, "brief-0001"), 10, "the event")
    sent = {
        line["path"].lstrip("/"): line["value"]
        for line in wait_for(lambda: nexus.ledger("brief-0001", "send"), 5, "the ledger")
    }
    assert event["got"] == sent
    assert set(sent) == {"3303/0/5700", "3/0/9", "3/0/15"}
    assert began - timedelta(seconds=1) < event["time"] < datetime.now(UTC)


def test_a_send_with_timestamps_becomes_an_event_for_each_at_the_devices_time(nexus: Nexus) -> None:
    endpoint = "sim-0001"
    answer = nexus.control(endpoint, "send", path=f"{TEMPERATURE},/3/0/9", timestamps=4)
    assert answer["result"] == "2.04"
    events = wait_for(lambda: e if len(e := composites(nexus, endpoint)) >= 4 else [], 10, "events")
    expected: dict[datetime, dict[str, float]] = {}
    for line in wait_for(lambda: nexus.ledger(endpoint, "send"), 5, "the ledger"):
        expected.setdefault(milliseconds(line["ts"]), {})[line["path"].lstrip("/")] = line["value"]
    assert {event["time"]: event["got"] for event in events} == expected
    assert len(expected) == 4
    assert max(expected) - min(expected) == timedelta(seconds=3)
    assert all(set(values) == {"3303/0/5700", "3/0/9"} for values in expected.values())


def test_the_object_instance_of_a_notification_is_kept(nexus: Nexus, start_device: StartDevice) -> None:
    values = {"/3303/0/5700": "20.5", "/3303/2/5700": "22.5", "/3303/40000/5700": "24.5"}
    device = start_device(nexus.world.ports.coap, "three-sensors", values)
    device.register()
    wait_for(lambda: device.observed() == set(values), 10, "the plan's observations")
    nexus.await_idle("three-sensors")
    device.notify("/3303/2/5700", "22.25")
    device.notify("/3303/40000/5700", "24.25")
    wait_for(lambda: nexus.latest("three-sensors", "/3303/2/5700") == "22.25", 5, "instance 2")
    wait_for(lambda: nexus.latest("three-sensors", "/3303/40000/5700") == "24.25", 5, "instance 40000")
    stored = nexus.sql(
        "SELECT path, value FROM telemetry WHERE endpoint = 'three-sensors' AND object_id = 3303"
    )
    assert {(row["path"], row["value"]) for row in stored} >= {
        ("/3303/0/5700", "20.5"),
        ("/3303/2/5700", "22.5"),
        ("/3303/40000/5700", "24.5"),
    }
    assert not [row for row in stored if row["path"] == "/3303/0/5700" and row["value"] != "20.5"]


def test_a_device_that_falls_silent_is_offline_when_its_lifetime_is_over(nexus: Nexus) -> None:
    endpoint = "brief-0001"
    row = wait_for(lambda: r if (r := nexus.endpoint(endpoint)).get("registered") else {}, 10, "it online")
    assert row["lifetime"] == 6
    updates = len(nexus.values(endpoint, "/10240/0/2"))
    wait_for(lambda: len(nexus.values(endpoint, "/10240/0/2")) > updates, 5, "a registration update")
    nexus.control(endpoint, "stop")
    assert nexus.endpoint(endpoint)["registered"]
    expires_at = nexus.endpoint(endpoint)["expires_at"]
    wait_for(lambda: not nexus.endpoint(endpoint)["registered"], 15, "it offline")
    [gone] = nexus.values(endpoint, "/10240/0/1")
    assert timedelta(seconds=-1) < gone["time"] - expires_at < timedelta(seconds=6)
    nexus.control(endpoint, "start")
    wait_for(lambda: nexus.endpoint(endpoint)["registered"], 10, "it online again")


def test_deregistering_takes_a_device_offline_at_once(nexus: Nexus, start_device: StartDevice) -> None:
    device = start_device(nexus.world.ports.coap, "leaving", {"/3303/0/5700": "20"})
    device.register()
    wait_for(lambda: nexus.endpoint("leaving").get("registered"), 5, "it online")
    device.update()
    wait_for(lambda: nexus.values("leaving", "/10240/0/2"), 5, "the update's row")
    assert nexus.endpoint("leaving")["contact_count"] == 2
    device.deregister()
    wait_for(lambda: not nexus.endpoint("leaving")["registered"], 5, "it offline")
    assert len(nexus.values("leaving", "/10240/0/1")) == 1


def test_registering_again_does_not_take_a_device_offline(nexus: Nexus, start_device: StartDevice) -> None:
    device = start_device(nexus.world.ports.coap, "again", {"/3303/0/5700": "20"})
    device.register()
    wait_for(lambda: nexus.endpoint("again").get("registered"), 5, "it online")
    first = device.location
    device.register()
    assert device.location != first
    wait_for(lambda: nexus.endpoint("again")["registration_id"] == device.location[-1], 5, "the new one")
    # Leshan ends the old registration, too, and tells so.
    wait_for(lambda: nexus.values("again", "/10240/0/1"), 5, "the end of the old registration")
    assert nexus.endpoint("again")["registered"]


def logged(nexus: Nexus) -> dict[str, list[Row]]:
    """Return the lines that each part has logged in JSON."""
    return {
        path.stem: [fields for entry in read(path) if (fields := fields_of(entry.text)) is not None]
        for path in (nexus.world.home / "logs").rglob("*.log")
    }


def lines_about(nexus: Nexus, id_: str) -> dict[str, list[Row]]:
    """Return the lines of each part about a message, by its correlation id."""
    return {
        part: [line for line in lines if line.get("correlation_id") == id_]
        for part, lines in logged(nexus).items()
    }


def test_a_notification_is_followed_to_its_row_by_one_id(nexus: Nexus) -> None:
    def posted() -> list[Row]:
        return [
            line
            for line in logged(nexus)["leshan"]
            if line.get("endpoint") == "sim-0001" and line["message"] == "single webhook: item posted"
        ]

    def rows() -> list[Row]:
        lines = lines_about(nexus, id_)["ingest-single-1"]
        return [line["row"] for line in lines if line.get("endpoint") == "sim-0001"]

    id_ = wait_for(posted)[0]["correlation_id"]
    row = wait_for(rows)[0]
    query = "SELECT name FROM resource r JOIN endpoint e ON e.id = endpoint_id WHERE time = %s AND r.id = %s"
    assert nexus.sql(query, row["time"], row["id"]) == [{"name": "sim-0001"}]


def test_an_operation_is_followed_to_its_answer_by_one_id(nexus: Nexus) -> None:
    id_ = nexus.write("sim-0001", "/3/0/15", "Europe/Berlin")
    nexus.await_status(id_, "CONFIRMED")

    def followed() -> dict[str, list[str]] | None:
        found = lines_about(nexus, f"operation-{id_}")
        told = {name: [line["message"] for line in lines] for name, lines in found.items()}
        return told if "CONFIRMED" in told.get("dispatch-op-1", []) else None

    told = wait_for(followed)
    assert told is not None
    assert told["operations-1"] == ["write queued"]
    assert told["dispatch-op-1"][-1] == "CONFIRMED"
    assert [line.partition(" ")[0] for line in told["leshan"]] == ["PUT", "PUT"]
    assert told["leshan"][-1].endswith(": ok")
