"""What a plan asks of a device."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.lwm2m.path import Path
from flownexus.operations.plan import MAX_PATHS_OF_COMPOSITE, Planned, parse_plan, planned, stored_plan

READ = {"operation": "read", "paths": ["/3"]}
TEMPERATURE = {"operation": "observe", "paths": ["/3303/*/5700"]}
FIRMWARE = {"operation": "observe", "paths": ["/5/0/3"]}


def asked(objects: list[str], *entries: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return what a plan asks of a device with these objects."""
    return [
        (each.operation, each.path or list(each.paths or ()), *((dict(each.value),) if each.value else ()))
        for each in planned(parse_plan(list(entries)), objects)
    ]


def test_a_plan_asks_for_what_the_device_has_and_nothing_else_observations_first() -> None:
    plan = (READ, TEMPERATURE, FIRMWARE)
    assert asked(["/3/0", "/3303/1", "/3303/0", "/5"], *plan) == [
        ("observe", "/3303/0/5700"),
        ("observe", "/3303/1/5700"),
        ("read", "/3"),
    ]
    assert asked(["/5/0"], *plan) == [("observe", "/5/0/3")]
    assert asked([], *plan) == []


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("/3303", ["/3303"]),
        ("/3303/*", ["/3303/0", "/3303/10", "/3303/7"]),
        ("/3303/7", ["/3303/7"]),
        ("/3303/8", []),
        ("/3303/*/5700", ["/3303/0/5700", "/3303/10/5700", "/3303/7/5700"]),
        ("/3303/10/5700", ["/3303/10/5700"]),
        ("/330", []),
        ("/5", ["/5"]),
        ("/5/*/3", []),
    ],
)
def test_a_pattern_stands_for_each_path_that_there_is(pattern: str, paths: list[str]) -> None:
    has = ["/3303/7", "/3303/0", "/3303/10", "/5"]
    assert sorted(path for _, path in asked(has, {"operation": "observe", "paths": [pattern]})) == paths


def test_paths_go_each_for_itself_or_as_a_composite_of_an_object_or_of_all() -> None:
    has = ["/3303/0", "/3303/1", "/3304/0"]
    entry = {"operation": "observe", "paths": ["/3304/*/5700", "/3303/*/5700"]}
    temperatures, humidity = ["/3303/0/5700", "/3303/1/5700"], ["/3304/0/5700"]
    assert [path for _, path in asked(has, entry)] == [*temperatures, *humidity]
    assert asked(has, entry | {"group": "object"}) == [
        ("observe-composite", temperatures),
        ("observe-composite", humidity),
    ]
    assert asked(has, entry | {"group": "all"}) == [("observe-composite", [*temperatures, *humidity])]
    assert asked(has, entry | {"group": "all", "operation": "read"}) == [
        ("read-composite", [*temperatures, *humidity])
    ]


def test_a_composite_of_many_paths_is_several() -> None:
    has = [f"/3303/{number}" for number in range(2 * MAX_PATHS_OF_COMPOSITE + 1)]
    found = asked(has, TEMPERATURE | {"group": "all"})
    assert [len(paths) for _, paths in found] == [MAX_PATHS_OF_COMPOSITE, MAX_PATHS_OF_COMPOSITE, 1]


def test_attributes_of_each_path_go_before_its_observation() -> None:
    entry = TEMPERATURE | {"attributes": {"pmax": 60}}
    assert asked(["/3303/0", "/3303/1"], entry | {"group": "all"}) == [
        ("write-attributes", "/3303/0/5700", {"pmax": 60}),
        ("write-attributes", "/3303/1/5700", {"pmax": 60}),
        ("observe-composite", ["/3303/0/5700", "/3303/1/5700"]),
    ]


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({}, None),
        ({"reports_within": 30}, 30),
        ({"attributes": {"pmax": 60}}, 60),
        ({"attributes": {"pmax": 60}, "reports_within": 90}, 90),
        ({"attributes": {"pmax": 0, "pmin": 0}}, None),
    ],
)
def test_within_which_time_a_device_reports_is_known_by_its_pmax_or_told(
    more: dict[str, Any], seconds: int | None
) -> None:
    found = planned(parse_plan([TEMPERATURE | more]), ["/3303/0"])
    assert found[-1] == Planned("observe", "/3303/0/5700", reports_within=seconds)


IDS = st.integers(0, 2)
PATTERNS = st.one_of(
    st.builds("/{}".format, IDS),
    st.builds("/{}/{}".format, IDS, st.sampled_from(["*", 0, 1])),
    st.builds("/{}/{}/{}".format, IDS, st.sampled_from(["*", 0, 1]), IDS),
)
ENTRIES = st.fixed_dictionaries(
    {
        "operation": st.sampled_from(["observe", "observe", "read"]),
        "paths": st.lists(PATTERNS, min_size=1, max_size=4),
        "group": st.sampled_from(["each", "object", "all"]),
    }
)
OBJECTS = st.lists(
    st.one_of(st.builds("/{}".format, IDS), st.builds("/{}/{}".format, IDS, st.integers(0, 1))), unique=True
)


@given(st.lists(ENTRIES, max_size=5), OBJECTS)
def test_no_path_is_observed_twice_nor_below_another(
    entries: list[dict[str, Any]], objects: list[str]
) -> None:
    found = planned(parse_plan(entries), objects)
    assert len({each.key for each in found}) == len(found)
    observed = [
        Path.parse(path).ids
        for each in found
        if each.operation.startswith("observe")
        for path in (each.paths or (each.path or "",))
    ]
    assert len(set(observed)) == len(observed)
    for one in observed:
        assert not [other for other in observed if other != one and other[: len(one)] == one]


def test_a_stored_plan_is_read_as_it_was_checked() -> None:
    plan = [READ, TEMPERATURE | {"group": "all", "attributes": {"st": 0.5}}]
    assert stored_plan(plan) == parse_plan(plan)
