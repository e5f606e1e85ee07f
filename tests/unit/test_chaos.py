"""The audit finds what is lost, doubled, stuck or out of order: one that cannot fail is worth nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from chaos import downlink, upgrade, uplink
from chaos.downlink import Asked, Operation, Request
from chaos.finding import Finding
from chaos.firmware import Update, installed_otherwise, not_updated
from chaos.fleet import Fleet
from chaos.kills import PAUSE, VICTIMS, schedule
from chaos.revision import RevisionError, extract
from chaos.trial import PREFIX, ChaosError
from chaos.uplink import Lane, Mark, Telemetry, Value
from flownexus.lwm2m.path import Path as LwM2mPath
from local.options import Options, Ports


def values(*numbers: float, endpoint: str = "a") -> list[Value]:
    return [Value.of(endpoint, number) for number in numbers]


def texts(found: list[Value]) -> list[float]:
    return [value.value for value in found]


# ---------------------------------------------------------------------------------------------------------
# Telemetry


def test_what_is_stored_as_it_was_acknowledged_is_clean() -> None:
    telemetry = Telemetry(values(1, 2, 3), values(4), values(1, 2, 3, 4))
    assert all(finding.clean for finding in telemetry.findings("values"))
    assert not telemetry.disordered


def test_a_value_without_a_row_is_lost() -> None:
    assert texts(Telemetry(values(1, 2, 3), [], values(1, 3)).lost) == [2]
    # The same number of another device is no replacement.
    assert texts(Telemetry(values(1), [], values(1, endpoint="b")).lost) == [1]


def test_a_value_that_was_never_acknowledged_may_be_lost() -> None:
    assert not Telemetry(values(1), values(2), values(1)).lost


@pytest.mark.parametrize("acknowledged", [[1.0, 2.0], [1.0]])
def test_a_value_of_two_rows_is_doubled_whether_it_was_acknowledged_or_not(acknowledged: list[float]) -> None:
    assert texts(Telemetry(values(*acknowledged), values(2), values(1, 2, 2)).doubled) == [2]


def test_a_row_of_what_no_device_sent_is_unexplained() -> None:
    assert texts(Telemetry(values(1), values(2), values(1, 2, 3)).unexplained) == [3]


def test_rows_in_another_order_than_the_ledger_are_found_endpoint_by_endpoint() -> None:
    ledger = [*values(1, 2, 3), *values(1, 2, endpoint="b")]
    rows = [*values(1, endpoint="b"), *values(1, 3, 2), *values(2, endpoint="b")]
    assert texts(Telemetry(ledger, [], rows).disordered) == [2]


def test_the_longest_gap_is_that_between_two_rows_or_to_an_end() -> None:
    assert uplink.longest_gap([1, 2, 5, 6], 1, 7) == 3
    assert uplink.longest_gap([1, 2, 5, 6], 1.5, 4.5) == 2.5
    assert uplink.longest_gap([], 1, 4) == 3


# ---------------------------------------------------------------------------------------------------------
# Marks

LANE = Lane("single", 3, 17, 17)
MARK = Mark("single", 3, "source", 17, 0)


def test_marks_that_agree_with_the_sender_are_clean() -> None:
    unused = Lane("single", 4, 0, 0)
    assert uplink.marks_astray([LANE, unused], [MARK]) == []


@pytest.mark.parametrize(
    ("lane", "mark"),
    [
        (LANE, replace(MARK, mark=16)),
        (LANE, replace(MARK, mark=18)),
        (LANE, replace(MARK, gaps=1)),
        (replace(LANE, taken=16), MARK),
    ],
)
def test_a_mark_that_differs_or_has_gaps_is_found(lane: Lane, mark: Mark) -> None:
    assert len(uplink.marks_astray([lane], [mark])) == 1


def test_a_lane_of_several_lives_is_stored_under_as_many_sources() -> None:
    lives = [replace(MARK, mark=10), replace(MARK, mark=7, source="another")]
    assert uplink.marks_astray([LANE], lives) == []
    assert uplink.not_stored([LANE], lives) == []
    assert len(uplink.marks_astray([LANE], [*lives, replace(MARK, mark=1, source="third")])) == 1


def test_a_lane_without_its_mark_and_a_mark_without_its_lane_are_found() -> None:
    assert len(uplink.marks_astray([LANE], [])) == 1
    assert len(uplink.marks_astray([LANE], [MARK, replace(MARK, number=4)])) == 1


def test_a_lane_is_stored_when_its_mark_has_reached_what_was_given_whatever_came_since() -> None:
    unused = Lane("single", 4, 0, 0)
    assert uplink.not_stored([LANE, unused], [MARK]) == []
    assert uplink.not_stored([LANE], [replace(MARK, mark=99)]) == []


@pytest.mark.parametrize(
    ("marks", "reached"),
    [([], 0), ([replace(MARK, mark=16)], 16), ([replace(MARK, number=4)], 0)],
)
def test_a_lane_whose_mark_is_behind_or_missing_is_not_stored(marks: list[Mark], reached: int) -> None:
    assert uplink.not_stored([LANE], marks) == [f"single 3: 17 given, {reached} stored"]


# ---------------------------------------------------------------------------------------------------------
# Operations

ASKED = Asked("a", "write", "w1", began=1, ended=2, id=1, answer="201", concerns=(LwM2mPath(3, 0, 15),))
ROW = Operation(1, "a", "write", "w1", True, "CONFIRMED", 1, None, False, False)
RECEIVED = Request("a", "write", "w1", at=3)


def test_an_id_without_its_row_is_lost() -> None:
    assert downlink.operations_lost([ASKED], [ROW]) == []
    assert downlink.operations_lost([ASKED], []) == [ASKED]
    assert downlink.operations_lost([ASKED], [replace(ROW, mark="w2")]) == [ASKED]


def test_who_got_no_id_may_have_queued_once_and_no_more() -> None:
    uncertain = replace(ASKED, id=None, answer="502")
    assert downlink.operations_lost([uncertain], []) == []
    assert downlink.operations_unasked([uncertain], []) == []
    assert downlink.operations_unasked([uncertain], [ROW]) == []
    assert downlink.operations_unasked([uncertain], [ROW, replace(ROW, id=2)]) == [replace(ROW, id=2)]


def test_an_operation_nobody_asked_for_is_found_unless_it_is_the_plans() -> None:
    extra = replace(ROW, id=2, mark="w2")
    assert downlink.operations_unasked([ASKED], [ROW, extra]) == [extra]
    assert downlink.operations_unasked([ASKED], [ROW, replace(extra, asked=False)]) == []


@pytest.mark.parametrize(
    ("operation", "status", "attempts", "reason", "badly"),
    [
        ("write", "CONFIRMED", 3, None, False),
        ("write", "CONFIRMED", 4, None, True),
        ("write", "CONFIRMED", 0, None, True),
        ("write", "FAILED", 3, "the worker that sent it did not come back", False),
        ("write", "FAILED", 2, "the worker that sent it did not come back", True),
        ("write", "FAILED", 1, "outcome unknown: the worker that sent it did not come back", True),
        ("execute", "FAILED", 1, "outcome unknown: the worker that sent it did not come back", False),
        ("execute", "FAILED", 1, "the device answered 5.00", True),
        ("create", "FAILED", 1, "outcome unknown: the worker that sent it did not come back", False),
        ("delete", "FAILED", 1, "outcome unknown: the worker that sent it did not come back", False),
        ("create", "FAILED", 1, "the device answered 4.00", True),
        ("write-composite", "FAILED", 1, "outcome unknown: no answer", True),
        ("write", "CANCELLED", 0, None, True),
        ("write", "QUEUED", 2, None, False),
        ("write", "QUEUED", 4, None, True),
    ],
)
def test_an_operation_ends_confirmed_after_three_attempts_or_with_unknown_outcome_if_it_may_not_be_repeated(
    operation: str, status: str, attempts: int, reason: str | None, badly: bool
) -> None:
    row = replace(ROW, operation=operation, status=status, attempts=attempts, reason=reason)
    assert bool(downlink.ended_badly([row])) is badly


def test_a_delete_may_find_no_instance_only_where_its_create_was_not_confirmed() -> None:
    delete = replace(
        ROW,
        operation="delete",
        path="/3341/7",
        status="FAILED",
        reason="the device answered 4.04 (NOT_FOUND)",
    )
    create = replace(ROW, operation="create", path="/3341/7")
    lost = replace(create, status="FAILED", reason="outcome unknown: no answer")
    assert downlink.ended_badly([create, delete]) == [delete]
    assert downlink.ended_badly([lost, delete]) == []
    assert downlink.ended_badly([replace(lost, endpoint="b"), delete]) == [delete]


def test_what_becomes_of_an_operation_of_a_firmware_update_is_the_update_s_affair_but_for_its_attempts() -> (
    None
):
    refused = replace(ROW, status="FAILED", reason="the device answered 4.05", asked=False, of_update=True)
    assert downlink.ended_badly([refused]) == []
    assert downlink.ended_badly([replace(refused, attempts=4)]) != []


@pytest.mark.parametrize("kind", ["execute", "create", "delete"])
def test_what_may_not_be_repeated_and_reached_its_device_twice_is_found_and_a_write_is_not(kind: str) -> None:
    once = replace(RECEIVED, operation=kind)
    assert downlink.done_twice([once, RECEIVED, RECEIVED]) == []
    assert downlink.done_twice([once, once]) == [once.key]
    # An update's install has no mark: that it is begun once is looked at by the device's answer.
    assert downlink.done_twice([replace(once, mark="")] * 2) == []


def test_a_device_that_was_not_updated_or_twice_or_reports_another_version_is_found() -> None:
    update = Update("a", "CONFIRMED", "the device reports it")
    assert not_updated([update], ["a"], "2", {"a": "2"}) == []
    assert len(not_updated([update, update], ["a"], "2", {"a": "2"})) == 1
    assert len(not_updated([update], ["a"], "2", {"a": "1"})) == 1
    assert len(not_updated([replace(update, state="FAILED")], ["a"], "2", {"a": "2"})) == 1
    assert not_updated([update], ["b"], "2", {}) == ["b reports None; no update"]
    given_up = replace(update, state="FAILED", words="it is away; given up after 3 tries")
    assert not_updated([given_up, update], ["a"], "2", {"a": "2"}) == []
    assert len(not_updated([update, given_up], ["a"], "2", {"a": "2"})) == 1
    assert len(not_updated([replace(update, state="FAILED"), update], ["a"], "2", {"a": "2"})) == 1


def test_a_device_that_installs_twice_or_never_is_found_and_so_is_one_that_should_not() -> None:
    assert installed_otherwise(["a", "b"], ["b", "a"]) == []
    assert installed_otherwise(["a", "b"], ["a", "a", "c"]) == [
        "a: 2 installs",
        "b: 0 installs",
        "c: 1 installs",
    ]


@pytest.mark.parametrize(
    ("row", "times", "wrong"),
    [
        (ROW, 1, False),
        (ROW, 0, True),
        (ROW, 2, True),
        (replace(ROW, attempts=2), 2, False),
        (replace(ROW, status="FAILED", attempts=3), 0, False),
        (replace(ROW, status="QUEUED", attempts=0), 1, True),
    ],
)
def test_what_a_device_received_must_agree_with_status_and_attempts(
    row: Operation, times: int, wrong: bool
) -> None:
    assert bool(downlink.received_wrongly([row], [RECEIVED] * times)) is wrong


def test_what_was_asked_twice_alike_is_received_twice() -> None:
    again = replace(ROW, id=2)
    assert downlink.received_wrongly([ROW, again], [RECEIVED] * 2) == []
    assert len(downlink.received_wrongly([ROW, again], [RECEIVED])) == 1
    assert len(downlink.received_wrongly([ROW, again], [RECEIVED] * 3)) == 1


def test_what_a_device_received_and_no_row_has_is_found() -> None:
    assert len(downlink.received_wrongly([ROW], [RECEIVED, replace(RECEIVED, mark="w2")])) == 1


def test_an_operation_delivered_before_one_that_was_queued_first_is_found() -> None:
    second = replace(ASKED, mark="w2", id=2, began=2.5, ended=3)
    late = [replace(RECEIVED, at=5), replace(RECEIVED, mark="w2", at=4)]
    assert len(downlink.delivered_out_of_order([ASKED, second], late)) == 1
    assert downlink.delivered_out_of_order([ASKED, second], [RECEIVED, late[1]]) == []
    # Asked for at the same time there is no first one; and a repetition is no delay.
    assert downlink.delivered_out_of_order([ASKED, replace(second, began=1.5)], late) == []
    assert downlink.delivered_out_of_order([ASKED, second], [RECEIVED, *late]) == []
    # What has nothing to do with the other may go before it.
    assert downlink.delivered_out_of_order([ASKED, replace(second, concerns=(LwM2mPath(3341),))], late) == []
    execute = replace(second, concerns=(LwM2mPath(3341, 7), LwM2mPath(3, 0)))
    assert len(downlink.delivered_out_of_order([ASKED, execute], late)) == 1


def test_a_result_recorded_twice_or_not_at_all_is_found() -> None:
    read = replace(ROW, operation="read", mark="", has_content=True)
    assert downlink.results_miscounted([read, ROW], {"a": 1}) == []
    assert len(downlink.results_miscounted([read], {"a": 2})) == 1
    assert len(downlink.results_miscounted([read], {})) == 1
    assert len(downlink.results_miscounted([], {"a": 1})) == 1


def test_a_finding_shows_a_few_of_many() -> None:
    assert Finding("x", 1, []).clean
    assert Finding("x", 9, list(range(9))).examples == "0, 1, 2, 3, 4 and 4 more"


# ---------------------------------------------------------------------------------------------------------
# Kills


def test_a_seed_always_kills_the_same_and_another_one_otherwise() -> None:
    assert schedule(Random(7), 600) == schedule(Random(7), 600)
    assert schedule(Random(7), 600) != schedule(Random(8), 600)


def test_every_victim_has_its_turn_before_any_has_two() -> None:
    kills = schedule(Random(7), 600)
    for begin in range(0, len(kills) - len(VICTIMS) + 1, len(VICTIMS)):
        assert {kill.victim for kill in kills[begin : begin + len(VICTIMS)]} == set(VICTIMS)
    assert all(PAUSE[0] <= b.at - a.at <= PAUSE[1] for a, b in pairwise(kills))
    assert kills[-1].at < 600


# ---------------------------------------------------------------------------------------------------------
# Upgrade


def test_a_version_that_git_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match=r"no-such-version cannot be taken out of|git was not"):
        extract("no-such-version", tmp_path)


def test_a_version_before_that_does_not_start_tells_why(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("up:\n\t@echo it has no room for $(FLOWNEXUS_HOME); exit 1\n")
    before = upgrade._Before(tmp_path, Options(tmp_path / "world", Ports.any_free().settled()))
    with pytest.raises(ChaosError, match=rf"`make up` of the version before: it has no room for {tmp_path}"):
        before.up()


def test_metrics_are_summed_over_their_labels_by_whichever_name_they_have() -> None:
    names = ("new_total", "old_total")
    text = '# TYPE flownexus_leshan_old counter\nflownexus_leshan_old_total{kind="a"} 2.0\n'
    assert upgrade._sum(text + 'flownexus_leshan_old_total{kind="b"} 3\n', names) == 5
    with pytest.raises(ChaosError, match="Leshan has no metric new_total or old_total"):
        upgrade._sum("flownexus_leshan_other_total 1\n", names)


@pytest.mark.parametrize("devices", [2, 3, 5, 1000])
def test_the_groups_are_all_devices_each_once(devices: int) -> None:
    numbers: list[int] = []
    for group in Fleet(devices=devices).groups():
        found = dict(pair.split("=") for pair in group.split(","))
        numbers += range(int(found["start"]), int(found["start"]) + int(found["count"]))
    assert [f"{PREFIX}{number:04d}" for number in numbers] == Fleet(devices=devices).names()
