"""The kinds of operations."""

from __future__ import annotations

import inspect
import re
from pathlib import Path as File
from typing import Any, NamedTuple

import pytest

from flownexus.errors import ValidationFailedError
from flownexus.leshan.requests import call_of
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType
from flownexus.operations.catalogue import KINDS, Known, Unknown, stored_operation
from flownexus.operations.catalogue.base import LEVELS, with_article
from flownexus.operations.catalogue.one_path import CancelObserve, Create, Execute, Observe, Read, Write
from flownexus.operations.known_resource import KnownResource
from flownexus.operations.new_operation import parse_operation

RESOURCE = Path(3, 0, 15)
STRING = {"type": "STRING", "value": "UTC"}
API_DOCUMENT = File(__file__).parents[2] / "docs" / "api.md"


class Row(NamedTuple):
    operation: str
    path: str | None
    value: Any = None
    arguments: str | None = None
    repeatable: bool = False
    paths: list[str] | None = None


ROWS = {
    "write": Row("write", "/3/0/15", STRING),
    "write-attributes": Row("write-attributes", "/3/0/15", {"pmin": 1}),
    "create": Row("create", "/3442/1", {"resources": {"110": STRING}}),
    "delete": Row("delete", "/3442/1"),
    **{
        name: Row(name, None, paths=["/3/0/14", "/3/0/15"])
        for name in ("read-composite", "observe-composite", "cancel-observe-composite")
    },
    "write-composite": Row("write-composite", None, {"/3/0/15": STRING}, paths=["/3/0/15"]),
    **{
        name: Row(name, str(kind.usual_path))
        for name, kind in KINDS.items()
        if getattr(kind, "usual_path", None) is not None
    },
}
"""Rows of the kinds that are not just for a resource."""


def row_of(name: str) -> Row:
    return ROWS.get(name, Row(name, "/3/0/15"))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_says_what_is_particular_to_it(kind: type[Known]) -> None:
    assert isinstance(kind.repetition_is_harmless, bool)
    assert inspect.getdoc(kind)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_that_is_known_has_a_request(name: str) -> None:
    operation = stored_operation(row_of(name))
    assert call_of(operation).path.startswith(f"/{operation.targets[0].object_id}") or "composite" in name


def test_what_is_done_twice_without_harm() -> None:
    assert all(each.may_repeat for each in (Read(path=RESOURCE), Write(path=RESOURCE, value=1)))
    assert all(each.may_repeat for each in (Observe(path=RESOURCE), CancelObserve(path=RESOURCE)))
    assert not Execute(path=RESOURCE).may_repeat
    unrepeatable = {name for name in KINDS if not stored_operation(row_of(name)).may_repeat}
    assert unrepeatable == {"execute", "create", "delete", "reboot", "factory-reset", "disable"}
    assert Execute(path=RESOURCE, repeatable=True).may_repeat


def test_what_the_kinds_bring() -> None:
    observing = {"observe", "observe-composite"}
    reading = {"read", "read-composite"}
    assert {name for name, kind in KINDS.items() if kind.brings_values} == observing | reading
    assert {name for name, kind in KINDS.items() if kind.observes} == observing


def test_an_execute_concerns_its_object_instance_a_create_its_object_and_others_their_paths() -> None:
    for name in KINDS:
        operation = stored_operation(row_of(name))
        depth = 2 if isinstance(operation, Execute) else 1 if isinstance(operation, Create) else None
        above = Path(*operation.targets[0].ids[:depth])
        assert operation.concerns == ((above,) if depth else operation.targets)


def test_a_row_has_the_fields_of_its_kind() -> None:
    row = Row("execute", "/3/0/4", arguments="0='x'", repeatable=True)
    stored = stored_operation(row)
    assert stored == Execute(path=Path(3, 0, 4), arguments="0='x'", repeatable=True)
    assert stored_operation(row._replace(operation="read", path="/3")) == Read(path=Path(3))


def test_a_row_of_a_newer_version_is_kept_apart() -> None:
    unknown = stored_operation(Row("teleport", "/3"))
    assert isinstance(unknown, Unknown)
    assert (unknown.kind, unknown.may_repeat) == ("teleport", False)
    with pytest.raises(ValueError, match="knows no operation 'teleport'"):
        call_of(unknown)


def test_the_documents_have_each_kind_and_what_its_path_is_of() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| (an? [^|]+) \|$", API_DOCUMENT.read_text(), re.MULTILINE)
    documented = {name: text for names, text in rows for name in re.findall(r"`([^`]+)`", names)}
    assert {name: documented.get(name) for name in KINDS} == {
        name: with_article(_either([LEVELS[depth] for depth in kind.depths])) for name, kind in KINDS.items()
    }


def _either(words: list[str]) -> str:
    return " or ".join([*([", ".join(words[:-1])] if words[:-1] else []), words[-1]])


@pytest.mark.parametrize("value", [{"package": "of-another"}, {"type": "OPAQUE", "package": "of-another"}])
def test_no_request_writes_a_firmware_package_by_its_token(value: dict[str, str]) -> None:
    known = {(5, 0): KnownResource(DataType.OPAQUE)}
    body = {"endpoint": "sim-0001", "operation": "write", "path": "/5/0/0", "value": value}
    with pytest.raises(ValidationFailedError, match="value"):
        parse_operation(body).operation.typed(known)
