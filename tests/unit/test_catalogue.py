"""What may be asked of a device."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType
from flownexus.operations.catalogue import USER_PRIORITY, parse_operation, typed_value

READ = {"endpoint": "sim-0001", "operation": "read", "path": "/3/0/0"}
WRITE = READ | {"operation": "write", "path": "/3/0/15", "value": {"type": "STRING", "value": "UTC+2"}}
EXECUTE = READ | {"operation": "execute", "path": "/3/0/4"}


class TestParse:
    def test_what_is_not_said_has_its_default(self) -> None:
        new = parse_operation(READ)
        assert new.path == Path(3, 0, 0)
        assert (new.arguments, new.repeatable, new.priority) == (None, False, USER_PRIORITY)

    @pytest.mark.parametrize("path", ["/3", "/3/0", "/3/0/0", "/3/0/0/1"])
    @pytest.mark.parametrize("operation", ["read", "observe", "cancel-observe"])
    def test_reads_and_observations_take_any_path(self, operation: str, path: str) -> None:
        assert str(parse_operation(READ | {"operation": operation, "path": path}).path) == path

    @pytest.mark.parametrize("path", ["/3/0/15", "/3/0/15/1"])
    def test_a_write_takes_a_resource_or_an_instance_of_one(self, path: str) -> None:
        assert str(parse_operation(WRITE | {"path": path}).path) == path

    def test_an_execute_may_have_arguments_and_may_be_repeatable(self) -> None:
        new = parse_operation(EXECUTE | {"arguments": "0='now',3", "repeatable": True})
        assert (new.arguments, new.repeatable) == ("0='now',3", True)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ([], "an operation is a JSON object"),
            (READ | {"endpoint": ""}, "endpoint: "),
            (READ | {"endpoint": 3}, "endpoint: "),
            (READ | {"endpoint": "a\0b"}, "endpoint: "),
            (READ | {"operation": "reboot"}, "operation: is one of read, write"),
            (READ | {"operation": ["read"]}, "operation: "),
            (READ | {"path": "3303//5700"}, "path: "),
            (READ | {"path": "/-1"}, "path: "),
            (READ | {"path": "/70000"}, "path: "),
            (READ | {"path": 3}, "path: "),
            (
                WRITE | {"path": "/3/0"},
                "path: /3/0 is that of an object instance; write takes that of a resource or",
            ),
            (EXECUTE | {"path": "/3"}, "path: "),
            (EXECUTE | {"path": "/3/0/4/0"}, "path: "),
            (READ | {"value": 1}, "value: belongs to a write only"),
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
            (WRITE | {"arguments": "0"}, "arguments: belong to an execute only"),
            (WRITE | {"repeatable": True}, "repeatable: belongs to an execute only"),
            (EXECUTE | {"repeatable": 1}, "repeatable: is true or false"),
            (READ | {"priority": 0}, "priority: is a whole number from 1 to 1000"),
            (READ | {"priority": True}, "priority: "),
            (READ | {"priority": 1001}, "priority: "),
            (READ | {"argument": "0"}, "argument: is unknown"),
        ],
    )
    def test_what_is_not_valid_is_named(self, body: object, field: str) -> None:
        with pytest.raises(ValidationFailedError) as caught:
            parse_operation(body)
        assert caught.value.detail.startswith(field)

    def test_a_package_uri_may_have_255_bytes_and_other_resources_more(self) -> None:
        for path, value in (("/5/0/1", "x" * 255), ("/5/0/6", "x" * 256), ("/3/0/1", "x" * 256)):
            assert parse_operation(WRITE | {"path": path, "value": value}).value == value

    def test_all_fields_that_are_not_valid_are_named_at_once(self) -> None:
        with pytest.raises(ValidationFailedError) as caught:
            parse_operation({"operation": "read"})
        assert "endpoint: " in caught.value.detail
        assert "path: " in caught.value.detail

    @pytest.mark.parametrize("arguments", ["", "0", "0,1", "5='x'", "0='',1", "0='http://h/p?q=1',9='{}'"])
    def test_arguments_follow_the_standard(self, arguments: str) -> None:
        assert parse_operation(EXECUTE | {"arguments": arguments}).arguments == (arguments or None)

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


class TestTypedValue:
    def test_numbers_become_leshan_s_strings(self) -> None:
        assert typed_value({"type": "INTEGER", "value": 7}, None) == {"type": "INTEGER", "value": "7"}
        assert typed_value({"type": "FLOAT", "value": "1.5"}, None) == {"type": "FLOAT", "value": "1.5"}

    def test_a_value_alone_has_the_type_that_was_seen(self) -> None:
        assert typed_value("UTC", DataType.STRING) == {"type": "STRING", "value": "UTC"}
        link = {"objectId": 3, "objectInstanceId": 0}
        assert typed_value(link, DataType.OBJLNK) == {"type": "OBJLNK", "value": link}

    def test_a_value_alone_without_a_type_seen_is_refused_with_what_helps(self) -> None:
        with pytest.raises(ValidationFailedError, match="write the value as"):
            typed_value("UTC", None)

    def test_a_value_alone_that_does_not_fit_is_refused(self) -> None:
        with pytest.raises(ValidationFailedError, match='value: "warm" is not FLOAT'):
            typed_value("warm", DataType.FLOAT)


MULTIPLE = {"endpoint": "x", "operation": "write", "path": "/3/0/7"}


def test_a_multiple_resource_is_written_by_the_values_of_its_instances() -> None:
    value = {"type": "INTEGER", "values": {"0": 5, "7": -1}}
    assert parse_operation(MULTIPLE | {"value": value}).value == value
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
