"""Operations as Leshan's requests."""

from __future__ import annotations

import pytest

from flownexus.leshan.requests import PUSH_POLL_S, Call, call_of
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue.one_path import CancelObserve, Execute, Observe, Read, Write

RESOURCE = Path(3, 0, 15)


def test_each_operation_is_the_demo_s_request() -> None:
    assert call_of(Read(path=RESOURCE)) == Call("GET", "/3/0/15", {})
    assert call_of(Observe(path=RESOURCE)) == Call("POST", "/3/0/15/observe", {})
    assert call_of(CancelObserve(path=RESOURCE)) == Call("DELETE", "/3/0/15/observe", {"active": "true"})
    assert call_of(Execute(path=Path(3, 0, 4), arguments="0='x'")) == Call("POST", "/3/0/4", {}, text="0='x'")


def test_a_write_replaces_the_resource_by_its_node() -> None:
    call = call_of(Write(path=RESOURCE, value={"type": "STRING", "value": "UTC"}))
    assert call == Call(
        "PUT",
        "/3/0/15",
        {"replace": "true"},
        json={"kind": "singleResource", "id": 15, "type": "STRING", "value": "UTC"},
    )


def test_a_package_is_named_by_its_token() -> None:
    call = call_of(Write(path=Path(5, 0, 0), value={"type": "OPAQUE", "package": "t" * 24}))
    assert call == Call("PUT", "/5/0/0/push", {"token": "t" * 24}, longest_s=PUSH_POLL_S)


def test_the_instance_of_a_resource_is_not_lost_on_the_way() -> None:
    call = call_of(Write(path=Path(3, 1, 7, 2), value={"type": "INTEGER", "value": "5"}))
    assert call.path == "/3/1/7/2"
    assert call.json == {"kind": "resourceInstance", "id": 2, "type": "INTEGER", "value": "5"}


@pytest.mark.parametrize(("replace", "word"), [(True, "true"), (False, "false")])
def test_instances_of_a_multiple_resource_go_as_one_node(replace: bool, word: str) -> None:
    value = {"type": "INTEGER", "values": {"0": "5", "65534": "-1"}, "replace": replace}
    assert call_of(Write(path=Path(3, 0, 7), value=value)) == Call(
        "PUT",
        "/3/0/7",
        {"replace": word},
        json={"kind": "multiResource", "id": 7, "type": "INTEGER", "values": {"0": "5", "65534": "-1"}},
    )
