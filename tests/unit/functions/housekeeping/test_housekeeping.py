"""housekeeping: the call of the connector's clock, and what a round hands to the store and to NATS."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from flownexus.messaging.subjects import Hint, HintKind
from flownexus.store.credential import Enrolment
from flownexus.web.guard import Scope
from tests.fixtures.function import Start
from tests.fixtures.hints import Hints
from tests.fixtures.routes import RightRequest, RouteTests
from tests.fixtures.statements import Rows, Statements

DAY_S = 24 * 3600.0
ROWS: Mapping[str, Rows] = {
    "try_housekeeping_lock": [(True,)],
    "enrolment": [Enrolment("a", 0, "refused", False)],
    "set_statement_timeout": [()],
    "expired_operations": [],
    "end_expired_operations": [()],
    "forget_expired_endpoints": [(), ()],
    "endpoints_to_reconcile": [],
    "endpoints_to_hint": [("sim-0001", [41, 42]), ("sim-0002", [43])],
    "forget_operations": [(3,)],
    "remove_remains": [(6,)],
    "make_partitions": [(1,)],
    "drop_partitions": [(0,)],
    "forget_marks": [()],
    "forget_endpoints": [(4,)],
    "forget_dead_letters": [(), (), ()],
    "drop_partitions_of": [(2,)],
    "roll_up": [(False,)],
    "forget_batches": [(), ()],
    "asked_replays": [],
}


class TestRoutes(RouteTests):
    requests = (RightRequest("POST", "/", Scope.HOUSEKEEP, b""),)


def test_the_clock_s_call_has_a_round_done_and_told(
    start: Start, statements: Statements, hints: Hints
) -> None:
    answer = start(statements).send("POST", "/", b"", headers={"X-Topic": "cron-function"})
    assert answer.json() == {
        "revived": 0,
        "expired": 1,
        "forgotten": 2,
        "credentials_carried": 0,
        "renewed": 0,
        "hinted": 2,
        "hints_failed": 0,
        "operations_forgotten": 3,
        "remains_removed": 6,
        "partitions_made": 1,
        "partitions_dropped": 0,
        "marks_forgotten": 1,
        "endpoints_forgotten": 4,
        "dead_letters_forgotten": 3,
        "roll_ups_dropped": 2,
        "logs_dropped": 2,
        "rolled_up": 1,
        "batches_forgotten": 2,
        "replayed": 0,
    }
    assert hints.published == [Hint(HintKind.QUEUED, "sim-0001"), Hint(HintKind.QUEUED, "sim-0002")]


def test_whatever_the_body_is_it_is_not_read(start: Start, statements: Statements) -> None:
    for body in (b"{", {"retention": "1s"}):
        assert start(statements).send("POST", "/", body).status_code == 200
    assert {sent["retention"] for sent in statements.of("drop_partitions")} == {365 * DAY_S}


@pytest.mark.parametrize(
    ("setting", "statement", "parameter"),
    [
        ("retention", "drop_partitions", "retention"),
        ("operation_retention", "forget_operations", "retention"),
        ("mark_retention", "forget_marks", "retention"),
        ("endpoint_retention", "forget_endpoints", "unseen"),
        ("dead_letter_retention", "forget_dead_letters", "retention"),
    ],
)
def test_how_long_things_are_kept_is_a_setting_each(
    start: Start, statements: Statements, setting: str, statement: str, parameter: str
) -> None:
    start(statements, **{setting: "1000h"}).send("POST", "/")
    [sent] = statements.of(statement)
    assert sent[parameter] == 1000 * 3600.0


def test_roll_ups_and_logs_are_kept_as_long_as_their_settings_say(
    start: Start, statements: Statements
) -> None:
    start(statements, roll_up_retention="1000h", log_retention="2000h").send("POST", "/")
    assert statements.of("drop_partitions_of") == [
        {"parent": "resource_hourly", "retention": 1000 * 3600.0},
        {"parent": "device_log", "retention": 2000 * 3600.0},
    ]


def test_each_step_is_done_by_who_has_its_lock(start: Start, statements: Statements) -> None:
    start(statements).send("POST", "/")
    steps = [sent["step"] for sent in statements.of("try_housekeeping_lock")]
    assert sorted(steps) == sorted(set(steps))
    statements.rows["try_housekeeping_lock"] = [(False,)]
    statements.sent.clear()
    answer = start(statements).send("POST", "/").json()
    assert {name for name, done in answer.items() if done is not None} == {
        *("credentials_carried", "hinted", "hints_failed", "replayed")  # they need no lock
    }
    assert {name for name, _ in statements.sent} == {
        *("try_housekeeping_lock", "endpoints_to_hint", "enrolment", "asked_replays")
    }


def test_hints_that_fail_are_told(start: Start, statements: Statements, hints: Hints) -> None:
    hints.fail = 1
    answer = start(statements).send("POST", "/").json()
    assert (answer["hinted"], answer["hints_failed"]) == (1, 1)
