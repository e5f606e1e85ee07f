"""Devices that forgot that they are observed, and stayed registered: their values come again."""

from __future__ import annotations

import json
import signal

from chaos.evidence import read_lines
from tests.fixtures.device import Device, StartDevice
from tests.fixtures.nexus import Nexus, wait_for

# It gives a notification up after 31 to 46 times `ack`.
GROUPS = ("prefix=sim-,count=1,notify=500ms,ack=100ms,lifetime=3600,update=1800s",)
NEXUS = {"leshan_arguments": ("--bridged-gap", "2s")}
TEMPERATURE = "/3303/0/5700"
ROUNDS = 20.0  # seconds: some rounds of housekeeping


def await_value(nexus: Nexus, device: Device, value: str) -> None:
    """Let a device report, and wait until that is stored."""
    device.notify(TEMPERATURE, value)
    wait_for(lambda: nexus.latest(device.endpoint, TEMPERATURE) == value, 10)


def ended(nexus: Nexus) -> set[str]:
    """Return how messages ended that were not acknowledged."""
    return {line["ended"] for line in read_lines(nexus.world.unacknowledged)}


def test_after_the_server_was_halted_a_device_that_gave_up_reports_again_once_it_updates(
    nexus: Nexus,
) -> None:
    wait_for(lambda: nexus.values("sim-0001", TEMPERATURE), 20)
    nexus.await_idle("sim-0001")  # an observe that is still under way would go on after the halt
    before = nexus.endpoint("sim-0001")
    leshan = nexus.world.parts["leshan"].process

    leshan.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: "timed out" in ended(nexus), 20, "the device to give up")
    finally:
        leshan.signal(signal.SIGCONT)
    wait_for(lambda: "devices were not heard for" in nexus.logs()["logs/leshan.log"], 10)
    assert nexus.control("sim-0001")["observations"] == 0
    assert nexus.state("sim-0001") == "registered"

    silent = len(nexus.values("sim-0001", TEMPERATURE))
    nexus.control("sim-0001", "update")
    wait_for(lambda: len(nexus.values("sim-0001", TEMPERATURE)) > silent + 3, ROUNDS, "values")
    after = nexus.endpoint("sim-0001")
    assert (after["registered"], after["registration_id"]) == (True, before["registration_id"])
    assert nexus.control("sim-0001")["registration_id"] == f"/rd/{before['registration_id']}"


def test_a_device_that_is_silent_for_longer_than_its_pmax_is_observed_again_by_the_same_token(
    nexus: Nexus, start_device: StartDevice
) -> None:
    reports = {"operation": "observe", "paths": ["/3303/*/5700"], "reports_within": 2}
    nexus.sql("UPDATE profile SET plan = jsonb_build_array(%s::jsonb)", json.dumps(reports))
    device = start_device(nexus.world.ports.coap, "raw-forgets", {TEMPERATURE: "19.5"})
    device.register()
    wait_for(lambda: device.observed() == {TEMPERATURE}, 10)
    await_value(nexus, device, "20.5")

    token = device.forget(TEMPERATURE)
    wait_for(lambda: device.observed() == {TEMPERATURE}, ROUNDS, "to be observed again")
    assert device.token(TEMPERATURE) == token
    await_value(nexus, device, "21.5")
    del reports["reports_within"]
    nexus.sql("UPDATE profile SET plan = jsonb_build_array(%s::jsonb)", json.dumps(reports))


def test_an_update_with_a_new_instance_gets_the_plan_for_it(nexus: Nexus, start_device: StartDevice) -> None:
    device = start_device(nexus.world.ports.coap, "raw-grows", {TEMPERATURE: "19.5"})
    device.register()
    wait_for(lambda: device.observed() == {TEMPERATURE}, 10)
    device.values["/3303/1/5700"] = "30.5"
    device.update(links=True)
    wait_for(lambda: device.observed() == {TEMPERATURE, "/3303/1/5700"}, ROUNDS)
    wait_for(lambda: nexus.latest("raw-grows", "/3303/1/5700") == "30.5", 10)


def test_a_device_with_an_alternate_root_has_its_objects_and_its_plan(
    nexus: Nexus, start_device: StartDevice
) -> None:
    device = start_device(nexus.world.ports.coap, "raw-rooted", {TEMPERATURE: "19.5"}, root="/lwm2m")
    device.register()
    wait_for(lambda: device.observed() == {TEMPERATURE}, 10)
    assert nexus.endpoint("raw-rooted")["objects"] == ["/3303/0"]
    await_value(nexus, device, "22.5")
