"""Profiles, batches and superseding writes, on a real Leshan with two hundred devices."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from local import web
from tests.fixtures.nexus import Nexus, wait_for

DEVICES = 200
GROUPS = (
    f"prefix=sim-,count={DEVICES},notify=0,lifetime=3600,update=3600s",
    "prefix=sleepy-,count=1,notify=0,lifetime=600,update=600s,sleepy,awake=2500ms",
)
NEXUS = {"awake_time": 2.0, "long_poll_timeout": 30.0}  # two hundred devices are asked at once
TIMEZONE = "/3/0/15"
READ = {"operation": "read", "paths": ["/3"]}
TEMPERATURE = {"operation": "observe", "paths": ["/3303/*/5700"]}
STATE = {"operation": "observe", "paths": ["/5/*/3"]}
BATTERY = {"operation": "observe", "paths": ["/3/0/9"]}
CARRIED_OUT_IN_S = 10.0


def put_profile(nexus: Nexus, name: str, *plan: dict[str, Any], **more: Any) -> None:
    body = {"plan": list(plan), **more}
    answer = nexus.request("PUT", f"/function/api/v1/profiles/{name}", body, token=nexus.token("api"))
    assert answer.status in (200, 201), answer


def observations(nexus: Nexus, endpoint: str) -> list[tuple[str, ...]]:
    """Return what Leshan's list of a device has, in order."""
    token = web.bearer(nexus.token("leshan"))
    path = f"/api/clients/{quote(endpoint, safe='')}/observations"
    status, text = web.request(nexus.world.ports.leshan, "GET", path, headers=token)
    assert status == 200, text
    return sorted(tuple(each.get("paths") or [each["path"]]) for each in json.loads(text))


def open_operations(nexus: Nexus) -> int:
    [row] = nexus.sql(
        "SELECT count(*) AS n FROM endpoint_operation o JOIN endpoint e ON e.id = o.endpoint_id"
        " WHERE o.status IN ('QUEUED', 'SENDING') AND e.name LIKE 'sim-%%'"
    )
    count: int = row["n"]
    return count


@pytest.mark.timeout(300)
def test_a_profile_that_changes_is_carried_out_at_two_hundred_devices_within_ten_seconds(
    nexus: Nexus,
) -> None:
    """A path more, a path less, and one with other attributes: a packet each."""
    names = [f"sim-{number:04d}" for number in range(1, DEVICES + 1)]
    wait_for(lambda: open_operations(nexus) == 0, 60, "the profile as it was at first")
    time.sleep(1)  # the simulator's records are written out
    before = Counter(asked["ep"] for asked in nexus.requests())
    began = time.monotonic()
    put_profile(
        nexus, "default", READ, TEMPERATURE | {"attributes": {"pmax": 3000}}, STATE, BATTERY, priority=0
    )
    wanted = [("/3/0/9",), ("/3303/0/5700",), ("/5/0/3",)]
    added = "SELECT count(*) AS n FROM endpoint_operation WHERE path = '/3/0/9'"
    wait_for(lambda: nexus.sql(added)[0]["n"] >= DEVICES, CARRIED_OUT_IN_S, "operations of all devices")
    wait_for(lambda: open_operations(nexus) == 0, CARRIED_OUT_IN_S, "all of them to have ended")
    took = time.monotonic() - began
    assert took < CARRIED_OUT_IN_S, f"{took:.1f} s"
    assert {name: observations(nexus, name) for name in names} == dict.fromkeys(names, wanted)
    time.sleep(1)
    packets = Counter(asked["ep"] for asked in nexus.requests()) - before
    most = max(packets[name] for name in names)
    assert most <= len(wanted) + 1, packets.most_common(3)
    assert {nexus.control(name)["observations"] for name in names[:20]} == {len(wanted)}


def fall_asleep(nexus: Nexus, endpoint: str) -> None:
    """Wait until a sleeper has all that its profile has for it, and Leshan, too, takes it for asleep."""
    nexus.update(endpoint)  # its row, for Leshan and the database call it asleep before, too
    nexus.await_idle(endpoint)

    def asleep() -> bool:
        known = [client["sleeping"] for client in nexus.world.clients() if client["endpoint"] == endpoint]
        return known == [True] and nexus.state(endpoint) == "asleep"

    wait_for(asleep, 20, "it asleep")


def test_a_hundred_writes_to_a_sleeper_that_supersede_are_one_packet(nexus: Nexus) -> None:
    endpoint = "sleepy-0001"
    fall_asleep(nexus, endpoint)
    values = ({"type": "STRING", "value": f"Etc/GMT+{number}"} for number in range(100))
    ids = [nexus.queue(endpoint, "write", TIMEZONE, value=value, supersede=True) for value in values]
    nexus.control(endpoint, "update")
    nexus.await_status(ids[-1], "CONFIRMED")
    nexus.await_idle(endpoint)
    time.sleep(1)
    assert [each["value"] for each in nexus.requests(endpoint, "write")] == ["Etc/GMT+99"]
    assert {nexus.status(id_) for id_ in ids[:-1]} == {("CANCELLED", 0)}
    answer = nexus.request("GET", f"/function/operations/{ids[0]}/why", token=nexus.token("api"))
    assert answer.json["cause"] == "superseded"


def test_an_expired_operation_is_never_sent(nexus: Nexus) -> None:
    """The clock is moved by its row: what was to expire in an hour has."""
    endpoint = "sleepy-0001"
    fall_asleep(nexus, endpoint)
    before = len(nexus.requests(endpoint))
    id_ = nexus.queue(endpoint, "read", "/3/0/9", expires_in=3600)

    def waits_for_contact() -> bool:  # a claim under way as the clock moves would count as before it
        return bool(nexus.operation(id_)["retry_after_contact"] > nexus.endpoint(endpoint)["contact_count"])

    wait_for(waits_for_contact, 10, "its first try to have found the device asleep")
    nexus.sql("UPDATE endpoint_operation SET expires_at = now() - interval '1 s' WHERE id = %s", id_)
    nexus.control(endpoint, "update")
    nexus.await_status(id_, "EXPIRED", 15)
    time.sleep(1)
    assert len(nexus.requests(endpoint)) == before


def test_one_operation_for_all_that_fit_is_done_by_each(nexus: Nexus) -> None:
    token = nexus.token("api")
    for name in ("sim-0001", "sim-0002"):
        answer = nexus.request(
            "PUT", f"/function/api/v1/endpoints/{name}/tags/site", {"value": "berlin"}, token=token
        )
        assert answer.json == {"tags": {"site": "berlin"}}
    body = {"filter": "name==sim-*;tag.site!=berlin", "operation": "read", "path": "/3/0/15"}
    began = time.monotonic()
    made = nexus.request("POST", "/function/operations/batches", body, token=token)
    assert (made.status, made.json["endpoints"]) == (201, DEVICES - 2)
    assert time.monotonic() - began < 2

    def progress() -> Any:
        return nexus.request("GET", made.headers["location"], token=token).json

    wait_for(lambda: progress()["ended"], 20, "the batch to end")
    shown = progress()
    assert shown["progress"]["CONFIRMED"] == DEVICES - 2
    rows = nexus.sql(
        "SELECT e.name FROM endpoint_operation o JOIN endpoint e ON e.id = o.endpoint_id"
        " WHERE o.batch_id = %s",
        made.json["id"],
    )
    assert {row["name"] for row in rows} == {f"sim-{number:04d}" for number in range(3, DEVICES + 1)}
