"""What a user may ask for."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import Known
from flownexus.operations.catalogue.one_path import Execute, Read, Write
from flownexus.operations.new_operation import USER_PRIORITY, parse_operation
from flownexus.operations.typed_value import typed_value

READ = {"endpoint": "sim-0001", "operation": "read", "path": "/3/0/0"}
WRITE = READ | {"operation": "write", "path": "/3/0/15", "value": {"type": "STRING", "value": "UTC+2"}}
EXECUTE = READ | {"operation": "execute", "path": "/3/0/4"}


Kind = TypeVar("Kind", bound=Known)


def asked(body: object, kind: type[Kind]) -> Kind:
    """Return what is asked for, which is of this kind."""
    operation = parse_operation(body).operation
    assert isinstance(operation, kind)
    return operation


class TestParse:
    def test_what_is_not_said_has_its_default(self) -> None:
        new = parse_operation(READ)
        assert (new.operation, new.priority) == (Read(path=Path(3, 0, 0)), USER_PRIORITY)
        assert parse_operation(EXECUTE).operation == Execute(
            path=Path(3, 0, 4), arguments=None, repeatable=False
        )

    @pytest.mark.parametrize("path", ["/3", "/3/0", "/3/0/0", "/3/0/0/1"])
    @pytest.mark.parametrize("operation", ["read", "observe", "cancel-observe"])
    def test_reads_and_observations_take_any_path(self, operation: str, path: str) -> None:
        new = parse_operation(READ | {"operation": operation, "path": path})
        assert [str(target) for target in new.operation.targets] == [path]
        assert new.operation.kind == operation

    @pytest.mark.parametrize("path", ["/3/0/15", "/3/0/15/1"])
    def test_a_write_takes_a_resource_or_an_instance_of_one(self, path: str) -> None:
        assert str(asked(WRITE | {"path": path}, Write).path) == path

    def test_an_execute_may_have_arguments_and_may_be_repeatable(self) -> None:
        execute = asked(EXECUTE | {"arguments": "0='now',3", "repeatable": True}, Execute)
        assert (execute.arguments, execute.repeatable) == ("0='now',3", True)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ([], "an operation is a JSON object"),
            (READ | {"endpoint": ""}, "endpoint: "),
            (READ | {"endpoint": 3}, "endpoint: "),
            (READ | {"endpoint": "a\0b"}, "endpoint: "),
            (READ | {"operation": "explode"}, "operation: is one of read, write"),
            (READ | {"operation": ["read"]}, "operation: "),
            (READ | {"path": "3303//5700"}, "path: "),
            (READ | {"path": "/-1"}, "path: "),
            (READ | {"path": "/70000"}, "path: "),
            (READ | {"path": 3}, "path: "),
            (
                WRITE | {"path": "/3"},
                "path: /3 is that of an object; write takes that of an object instance or",
            ),
            (EXECUTE | {"path": "/3"}, "path: "),
            (
                EXECUTE | {"path": "/3/0/4/0"},
                "path: /3/0/4/0 is that of a resource instance; execute takes that of a resource",
            ),
            (READ | {"value": 1}, "value: belongs to a write or "),
            (WRITE | {"value": None}, "value: is what to write"),
            (WRITE | {"value": {"type": "STRING", "value": 1}}, "value: 1 is not STRING"),
            (WRITE | {"value": {"type": "STRING", "value": "a\0"}}, "value: "),
            (WRITE | {"value": {"type": "INTEGER", "value": 2**64}}, "value: "),
            (WRITE | {"value": {"type": "NUMBER", "value": 1}}, "value: the type is one of"),
            (WRITE | {"value": {"type": "STRING"}}, "value: write it as"),
            (
                WRITE | {"path": "/5/0/1", "value": {"type": "STRING", "value": "coap://h/" + "x" * 247}},
                "value: has 256 bytes, and a Package URI (/5/0/1) at most 255",
            ),
            (WRITE | {"path": "/5/1/1", "value": "\N{EURO SIGN}" * 86}, "value: has 258 bytes"),
            (WRITE | {"arguments": "0"}, "arguments: belong to an execute or a reboot or "),
            (WRITE | {"repeatable": True}, "repeatable: belongs to an execute or a reboot or "),
            (EXECUTE | {"repeatable": 1}, "repeatable: is true or false"),
            (READ | {"priority": 0}, "priority: is a whole number from 1 to 1000"),
            (READ | {"priority": True}, "priority: "),
            (READ | {"priority": 1001}, "priority: "),
            (READ | {"argument": "0"}, "argument: is unknown; the fields are endpoint, operation, path"),
            (READ | {"value": 0}, "value: belongs to a write or "),
            (READ | {"value": False}, "value: belongs to a write or "),
        ],
    )
    def test_what_is_not_valid_is_named(self, body: object, field: str) -> None:
        with pytest.raises(ValidationFailedError) as caught:
            parse_operation(body)
        assert caught.value.detail.startswith(field)

    def test_a_package_uri_may_have_255_bytes_and_other_resources_more(self) -> None:
        for path, value in (("/5/0/1", "x" * 255), ("/5/0/6", "x" * 256), ("/3/0/1", "x" * 256)):
            assert asked(WRITE | {"path": path, "value": value}, Write).value == value

    def test_all_fields_that_are_not_valid_are_named_at_once(self) -> None:
        with pytest.raises(ValidationFailedError) as caught:
            parse_operation({"operation": "read"})
        assert "endpoint: " in caught.value.detail
        assert "path: " in caught.value.detail

    @pytest.mark.parametrize("arguments", ["", "0", "0,1", "5='x'", "0='',1", "0='http://h/p?q=1',9='{}'"])
    def test_arguments_follow_the_standard(self, arguments: str) -> None:
        assert asked(EXECUTE | {"arguments": arguments}, Execute).arguments == (arguments or None)

    @pytest.mark.parametrize(
        "arguments",
        [
            "reboot",
            "10",
            "0,",
            ",0",
            "0=x",
            "0='x",
            "0='a b'",
            "0='a\"'",
            "0='a\\'",
            "0='é'",
            "0,0",
            "0='a',0",
            "0\n",
            5,
        ],
    )
    def test_other_arguments_are_refused(self, arguments: object) -> None:
        with pytest.raises(ValidationFailedError, match="arguments: are digits"):
            parse_operation(EXECUTE | {"arguments": arguments})

    @given(st.text(max_size=30))
    def test_no_text_breaks_the_arguments(self, arguments: str) -> None:
        with contextlib.suppress(ValidationFailedError):
            parse_operation(EXECUTE | {"arguments": arguments})

    @given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner)))
    def test_no_json_breaks_the_check(self, anything: object) -> None:
        for name in READ:
            with pytest.raises(ValidationFailedError):
                parse_operation(READ | {name: [anything]})


MULTIPLE = {"endpoint": "x", "operation": "write", "path": "/3/0/7"}


def test_a_multiple_resource_is_written_by_the_values_of_its_instances() -> None:
    value = {"type": "INTEGER", "values": {"0": 5, "7": -1}}
    assert asked(MULTIPLE | {"value": value}, Write).value == value
    assert typed_value(value, None) == {
        "type": "INTEGER",
        "values": {"0": "5", "7": "-1"},
        "replace": True,
    }
    assert typed_value(value | {"replace": False}, None)["replace"] is False


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("/3/0/7", {"type": "INTEGER", "values": {"0": "five"}}, "five"),
        ("/3/0/7", {"type": "INTEGER", "values": [5]}, "multiple resource"),
        ("/3/0/7", {"type": "INTEGER", "values": {"0": 5}, "value": 5}, "multiple resource"),
        ("/3/0/7", {"type": "INTEGER", "values": {"00": 5}}, "no instance id"),
        ("/3/0/7", {"type": "INTEGER", "values": {"65535": 5}}, "no instance id"),
        ("/3/0/7", {"type": "INTEGER", "values": {"0": 5}, "replace": "no"}, "replace is true"),
        ("/3/0/7", {"type": "NUMBER", "values": {"0": 5}}, "the type is one of"),
        ("/3/0/7/1", {"type": "INTEGER", "values": {"0": 5}}, "not of /3/0/7/1"),
        ("/5/0/1", {"type": "STRING", "values": {"x": "http://x"}}, "no instance id"),
    ],
)
def test_values_that_are_not_those_of_a_multiple_resource_are_refused(
    path: str, value: Any, reason: str
) -> None:
    with pytest.raises(ValidationFailedError, match=re.escape(reason)):
        parse_operation(MULTIPLE | {"path": path, "value": value})


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (READ, "787294dfb1df5a85"),
        (
            WRITE | {"value": {"value": "x", "type": "STRING"}, "priority": 7},
            "76042f5babd19967",
        ),
        (
            EXECUTE | {"arguments": "0", "repeatable": True},
            "6766ab1e52296495",
        ),
    ],
)
def test_a_fingerprint_is_the_same_in_each_version(body: object, digest: str) -> None:
    """A POST that an upgrade cut off is sent again to the next version."""
    assert parse_operation(body).fingerprint.hex()[:16] == digest


def test_fields_that_are_not_said_are_as_if_they_were_null() -> None:
    assert parse_operation(READ | {"value": None, "arguments": None, "repeatable": False}) == parse_operation(
        READ
    )


def test_times_are_taken_in_any_offset() -> None:
    made = parse_operation(
        READ | {"not_before": "2026-01-02T03:04:05+01:00", "expires_at": "2026-01-02T03:04:05.5Z"}
    )
    assert made.not_before == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert made.expires_at == datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)
    assert parse_operation(READ | {"expires_in": 90}).expires_in == 90
    assert parse_operation(READ | {"expires_in": None, "expires_at": None}) == parse_operation(READ)
    prints = {
        parse_operation(READ | more).fingerprint
        for more in ({}, {"expires_in": 90}, {"expires_in": 91}, {"expires_at": "2026-01-02T03:04:05Z"})
    }
    assert len(prints) == 4


NO_TIMES: tuple[Any, ...] = (
    "",
    "soon",
    "2026-01-02T03:04:05",
    "2026-01-02",
    5,
    [],
    "9999-12-31T23:59:59-01:00",
)
NO_SECONDS: tuple[Any, ...] = (0, -1, True, "60", 1e12, [])


@pytest.mark.parametrize(
    ("times", "wrong"),
    [
        *(({"not_before": each}, "not_before: is a time with its offset") for each in NO_TIMES),
        *(({"expires_at": each}, "expires_at: is a time with its offset") for each in NO_TIMES),
        *(({"expires_in": each}, "expires_in: is a number of seconds, above 0") for each in NO_SECONDS),
        (
            {"not_before": "2026-01-02T03:04:05Z", "expires_at": "2026-01-02T03:04:05Z"},
            "expires_at: is after not_before",
        ),
        (
            {"expires_at": "2026-01-02T03:04:05Z", "expires_in": 5},
            "expires_in: cannot be combined with expires_at",
        ),
    ],
)
def test_what_is_no_time_is_refused(times: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationFailedError) as raised:
        parse_operation(READ | times)
    assert raised.value.detail.startswith(wrong)
