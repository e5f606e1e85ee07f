"""Notification attributes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flownexus.leshan.requests import Call, call_of
from flownexus.lwm2m.attributes import BadAttributeError, check, in_query
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue.one_path import WriteAttributes

RESOURCE = Path(3303, 0, 5700)


@pytest.mark.parametrize("path", [Path(3303), Path(3303, 0), RESOURCE, Path(3, 0, 7, 1)])
def test_periods_are_those_of_any_path(path: Path) -> None:
    check({"pmin": 0, "pmax": 2**32 - 1, "epmin": 1, "epmax": 1}, path)


def test_steps_are_numbers_of_a_resource_and_null_takes_one_back() -> None:
    check({"gt": 30, "lt": -2.5, "st": 0.5}, RESOURCE)
    check({"gt": None, "pmin": None, "lt": 5}, RESOURCE)


@pytest.mark.parametrize(
    ("attributes", "path", "reason"),
    [
        (None, RESOURCE, "are attributes by name"),
        ({}, RESOURCE, "are attributes by name"),
        ([], RESOURCE, "are attributes by name"),
        ({"pmim": 1}, RESOURCE, '"pmim" is no attribute; one of pmin, pmax'),
        ({"gt": 1}, Path(3303, 0), "gt is an attribute of a resource"),
        ({"pmin": "10"}, RESOURCE, "pmin is whole seconds"),
        ({"pmin": 1.5}, RESOURCE, "pmin is whole seconds"),
        ({"pmin": True}, RESOURCE, "pmin is whole seconds"),
        ({"pmax": 2**32}, RESOURCE, "pmax is whole seconds"),
        ({"pmin": 10, "pmax": 9}, RESOURCE, "pmax 9 is at least pmin, 10"),
        ({"epmin": 10, "epmax": 9}, RESOURCE, "epmax 9 is at least epmin, 10"),
        ({"gt": "1"}, RESOURCE, "gt is a number"),
        ({"gt": float("inf")}, RESOURCE, "gt is a number"),
        ({"st": 0}, RESOURCE, "st is a number above 0"),
        ({"gt": 3, "lt": 1, "st": 1}, RESOURCE, "lt + 2 * st is less than gt"),
    ],
)
def test_what_is_no_attribute_of_the_path_is_refused(attributes: Any, path: Path, reason: str) -> None:
    with pytest.raises(BadAttributeError, match=re.escape(reason)):
        check(attributes, path)


def test_a_query_has_no_exponents_and_no_value_of_what_is_taken_back() -> None:
    asked = {"pmin": 10, "gt": 1e-7, "lt": -2e20, "st": None}
    query = {"pmin": "10", "gt": "0.0000001", "lt": "-200000000000000000000", "st": None}
    assert in_query(asked) == query
    assert call_of(WriteAttributes(path=RESOURCE, value=asked)) == Call(
        "PUT", "/3303/0/5700/attributes", query
    )
