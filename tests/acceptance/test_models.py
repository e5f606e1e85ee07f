"""Models that a user adds while everything runs, and logs of devices: real Leshan, real devices."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.fixtures.device import StartDevice
from tests.fixtures.nexus import Nexus, wait_for

GROUPS = ("prefix=log-,count=1,notify=0,lifetime=600,update=600s,objects=3+20+3303",)
OBJECT = 33456
HEAT = f"/{OBJECT}/0/0"


def kiln(version: str, type_: str, operations: str = "R") -> bytes:
    """Return the XML of an object with one resource."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<LWM2M><Object ObjectType="MODefinition">
  <Name>Kiln</Name><ObjectID>{OBJECT}</ObjectID><ObjectVersion>{version}</ObjectVersion>
  <MultipleInstances>Multiple</MultipleInstances>
  <Resources><Item ID="0">
    <Name>Heat</Name><Operations>{operations}</Operations><Type>{type_}</Type>
    <RangeEnumeration>0..1000</RangeEnumeration><Units>Cel</Units>
  </Item></Resources>
</Object></LWM2M>""".encode()


def api(nexus: Nexus, method: str, path: str, body: Any = None) -> Any:
    answer = nexus.request(method, f"/function/api/v1{path}", body, token=nexus.token("api"))
    assert answer.status < 300, answer
    return answer.json


def newest(nexus: Nexus, endpoint: str) -> list[tuple[Any, ...]]:
    found = api(nexus, "GET", f"/endpoints/{endpoint}/values?path={HEAT}")["values"]
    return [(each["value"], each["type"], each["name"], each["units"]) for each in found]


def test_a_resource_of_a_model_that_a_user_has_added_is_observed_with_its_name_and_unit(
    nexus: Nexus, start_device: StartDevice
) -> None:
    device = start_device(nexus.world.ports.coap, "kiln-1", {HEAT: "700"}, versions={OBJECT: "1.1"})
    older = start_device(nexus.world.ports.coap, "kiln-2", {HEAT: "7"}, versions={OBJECT: "1.0"})
    for each in (device, older):
        each.register()
        wait_for(partial(nexus.endpoint, each.endpoint), 10, f"{each.endpoint} to be known")
        nexus.await_status(nexus.queue(each.endpoint, "observe", HEAT), "CONFIRMED")
    assert newest(nexus, "kiln-1") == [("700", "STRING", None, None)]  # nobody knows better yet
    for version, type_ in (("1.1", "Float"), ("1.0", "Integer")):
        api(nexus, "POST", "/models", kiln(version, type_))

    def number(endpoint: str, value: str) -> bool:
        told = {each.endpoint: each for each in (device, older)}[endpoint]
        told.notify(HEAT, value)
        found = nexus.sql(
            "SELECT float_value, integer_value FROM resource r JOIN endpoint e ON e.id = r.endpoint_id"
            " WHERE e.name = %s ORDER BY r.time DESC, r.id DESC LIMIT 1",
            endpoint,
        )[0]
        return found[{"kiln-1": "float_value", "kiln-2": "integer_value"}[endpoint]] is not None

    # No part is restarted, and no device registers anew: each is read by the version that it has told.
    wait_for(lambda: number("kiln-1", "700.5"), 15, "a FLOAT", interval=0.5)
    wait_for(lambda: number("kiln-2", "8"), 15, "an INTEGER", interval=0.5)
    assert newest(nexus, "kiln-1")[0][0::2] == ("700.5", "Heat")
    assert newest(nexus, "kiln-1")[0][3] == "Cel"
    assert newest(nexus, "kiln-2")[0][0] == "8"
    refused = nexus.request(
        "POST",
        "/function/operations",
        {"endpoint": "kiln-1", "operation": "write", "path": HEAT, "value": 20},
        token=nexus.token("api"),
    )
    assert refused.status == 422
    assert "(Heat) cannot be written: by the model of object 33456, version 1.1" in refused.json["detail"]


def test_what_a_device_logs_is_found_line_by_line(nexus: Nexus) -> None:
    endpoint = "log-0001"
    nexus.await_idle(endpoint)
    for operation, path in (("execute", "/20/0/4011"), ("observe", "/20/0/4014")):
        nexus.await_status(nexus.queue(endpoint, operation, path), "CONFIRMED")
    for _ in range(2):  # goes on with what it holds, and says so
        again = nexus.queue(endpoint, "execute", "/20/0/4011", arguments="0")
        nexus.await_status(again, "CONFIRMED")

    def lines() -> list[str]:
        found = api(nexus, "GET", f"/endpoints/{endpoint}/logs")["entries"]
        return [each["message"] for each in reversed(found)]

    wait_for(lambda: len(lines()) == 3, 15, "three lines")
    assert lines() == ["log started"] * 3
    assert nexus.values(endpoint, "/20/0/4014") == []
    found = api(nexus, "GET", "/logs?text=LOG%20started&limit=1")["entries"]
    assert [(each["endpoint"], each["path"]) for each in found] == [(endpoint, "/20/0/4014")]
