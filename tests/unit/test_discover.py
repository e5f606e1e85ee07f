"""Discover: the instances and resources that a device has, and their attributes."""

from __future__ import annotations

import pytest

from flownexus.errors import ValidationFailedError
from flownexus.leshan.answers import Answered, judge, readings_of
from flownexus.leshan.requests import Call, call_of
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue.one_path import Discover
from flownexus.operations.lifecycle import Attempt, Status, settle
from flownexus.operations.new_operation import parse_operation

BODY = {"endpoint": "sim-0001", "operation": "discover", "path": "/3303/0"}
LINKS = [{"url": "/3303/0", "attributes": {"pmin": 10}}, {"url": "/3303/0/5700", "attributes": {}}]


@pytest.mark.parametrize("path", ["/3303", "/3303/0", "/3303/0/5700"])
def test_it_goes_out_as_the_demo_s_request(path: str) -> None:
    operation = parse_operation(BODY | {"path": path}).operation
    assert operation == Discover(path=Path.parse(path))
    assert call_of(operation) == Call("GET", f"{path}/discover", {})


def test_it_takes_no_resource_instance_and_no_value() -> None:
    with pytest.raises(ValidationFailedError) as caught:
        parse_operation(BODY | {"path": "/3/0/7/1", "value": 1})
    assert "discover takes that of an object or an object instance or a resource" in caught.value.detail
    assert "value: belongs to a write or " in caught.value.detail


def test_its_links_are_the_result_and_no_values() -> None:
    operation = Discover(path=Path(3303, 0))
    answer = Answered(200, {"status": "CONTENT(205)", "success": True, "objectLinks": LINKS})
    settled = settle(Attempt(operation.may_repeat, 1), judge(answer))
    assert settled.status is Status.CONFIRMED
    assert settled.result == {"status": "CONTENT(205)", "content": LINKS}
    assert readings_of(operation, settled.content).good == []


def test_it_may_be_asked_again() -> None:
    assert Discover(path=Path(3)).may_repeat
