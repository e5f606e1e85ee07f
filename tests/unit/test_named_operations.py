"""Operations by the names of what they do."""

from __future__ import annotations

import pytest

from flownexus.errors import ValidationFailedError
from flownexus.leshan.requests import Call, call_of
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import KINDS
from flownexus.operations.catalogue.named import SetClock
from flownexus.operations.new_operation import parse_operation

NAMED = {
    "reboot": "/3/0/4",
    "factory-reset": "/3/0/5",
    "registration-update-trigger": "/1/0/8",
    "disable": "/1/0/4",
    "set-clock": "/3/0/13",
}


def test_these_are_all() -> None:
    paths = {name: getattr(kind, "usual_path", None) for name, kind in KINDS.items()}
    assert {name: str(path) for name, path in paths.items() if path} == NAMED


@pytest.mark.parametrize(("name", "path"), NAMED.items())
def test_it_is_for_one_resource_of_instance_0_or_another(name: str, path: str) -> None:
    body = {"endpoint": "sim-0001", "operation": name}
    assert parse_operation(body) == parse_operation(body | {"path": path})
    assert call_of(parse_operation(body).operation).path == path
    other = path.replace("/0/", "/1/")
    assert call_of(parse_operation(body | {"path": other}).operation).path == other
    for wrong in ("/3/0/15", "/3/0", 4):
        with pytest.raises(ValidationFailedError, match="path: "):
            parse_operation(body | {"path": wrong})


def test_an_execute_by_name_may_have_what_an_execute_has() -> None:
    body = {"endpoint": "sim-0001", "operation": "reboot", "arguments": "0='now'", "repeatable": True}
    operation = parse_operation(body).operation
    assert call_of(operation) == Call("POST", "/3/0/4", {}, text="0='now'")
    assert operation.may_repeat


def test_a_clock_is_set_to_the_time_of_sending() -> None:
    call = call_of(SetClock(path=Path(3, 0, 13)), clock=lambda: 1795344335.807)
    node = {"kind": "singleResource", "id": 13, "type": "TIME", "value": 1795344335807}
    assert call == Call("PUT", "/3/0/13", {"replace": "true"}, json=node)
