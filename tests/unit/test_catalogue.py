"""The kinds of operations."""

from __future__ import annotations

import inspect

import pytest

from flownexus.leshan.requests import call_of
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import (
    KINDS,
    CancelObserve,
    Execute,
    Known,
    Observe,
    Read,
    Unknown,
    Write,
    stored_operation,
)

RESOURCE = Path(3, 0, 15)
NOTHING = (None, None, None, False)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_says_what_is_particular_to_it(kind: type[Known]) -> None:
    assert isinstance(kind.repetition_is_harmless, bool)
    assert inspect.getdoc(kind)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_that_is_known_has_a_request(name: str) -> None:
    value = {"type": "STRING", "value": "UTC"}
    assert call_of(stored_operation(name, "/3/0/15", None, value, None, False)).path.startswith("/3/0/15")


def test_what_is_done_twice_without_harm() -> None:
    assert all(each.may_repeat for each in (Read(path=RESOURCE), Write(path=RESOURCE, value=1)))
    assert all(each.may_repeat for each in (Observe(path=RESOURCE), CancelObserve(path=RESOURCE)))
    assert not Execute(path=RESOURCE).may_repeat
    assert Execute(path=RESOURCE, repeatable=True).may_repeat


def test_what_the_kinds_bring() -> None:
    assert {name for name, kind in KINDS.items() if kind.brings_values} == {"read", "observe"}
    assert {name for name, kind in KINDS.items() if kind.observes} == {"observe"}


def test_an_execute_concerns_its_object_instance_and_all_others_their_path() -> None:
    for name in KINDS:
        concerns = stored_operation(name, "/3/0/15", *NOTHING).concerns
        assert concerns == ((Path(3, 0),) if name == "execute" else (RESOURCE,))


def test_a_row_has_the_fields_of_its_kind() -> None:
    columns = (None, None, "0='x'", True)
    stored = stored_operation("execute", "/3/0/4", *columns)
    assert stored == Execute(path=Path(3, 0, 4), arguments="0='x'", repeatable=True)
    assert stored_operation("read", "/3", *columns) == Read(path=Path(3))


def test_a_row_of_a_newer_version_is_kept_apart() -> None:
    unknown = stored_operation("teleport", "/3", *NOTHING)
    assert isinstance(unknown, Unknown)
    assert (unknown.kind, unknown.may_repeat) == ("teleport", False)
    with pytest.raises(ValueError, match="knows no operation 'teleport'"):
        call_of(unknown)
