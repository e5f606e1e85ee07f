"""firmware: the call of the connector's clock, and what a round hands to the store and to NATS."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from flownexus.errors import MissingSettingError
from flownexus.firmware.update import Update
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.store.operation_requests import Operation
from flownexus.web.guard import Scope
from tests.fixtures.function import Start
from tests.fixtures.hints import Hints
from tests.fixtures.routes import RightRequest, RouteTests
from tests.fixtures.statements import Rows, Statements

NOW = datetime(2026, 11, 22, 13, 27, 27, tzinfo=UTC)
_COLUMNS: dict[str, Any] = dict.fromkeys(Update._fields)
NEW = Update(
    **_COLUMNS
    | {"id": 7, "endpoint": "sim-0001", "state": "QUEUED", "since": NOW, "created_at": NOW, "now": NOW}
    | {"tries": 0, "asks": 0, "version": "2", "success": "version", "version_path": "/3/0/3"}
)
_OPERATION: dict[str, Any] = dict.fromkeys(Operation._fields)
ROWS: Mapping[str, Rows] = {
    "try_updates_lock": [(True,)],
    "open_updates": [NEW],
    "drop_operations": [],
    "known_resources": [],
    "add_operation": [Operation(**_OPERATION | {"id": 41})],
    "take_step": [()],
    "note_step": [()],
    "running_campaigns": [],
}


class TestRoutes(RouteTests):
    requests = (RightRequest("POST", "/", Scope.HOUSEKEEP, b""),)


def test_a_round_takes_each_update_a_step_on_and_hints_at_what_it_queued(
    start: Start, statements: Statements, hints: Hints
) -> None:
    answer = start(statements).send("POST", "/", b"", headers={"X-Topic": "cron-function"})
    assert answer.json() == {"open": 1, "steps": 1, "started": 0}
    assert [(sent["operation"], sent["path"]) for sent in statements.of("add_operation")] == [
        ("read", "/5/0"),
        ("read", "/3/0/3"),
    ]
    assert {sent["requested_by"] for sent in statements.of("add_operation")} == {"firmware"}
    [step] = statements.of("take_step")
    assert (step["state"], step["state_ask"], step["version_ask"], step["ended"]) == ("ASKING", 41, 41, False)
    assert hints.published == [Hint(HintKind.QUEUED, "sim-0001")]


def test_an_update_that_waits_costs_no_write(start: Start, statements: Statements, hints: Hints) -> None:
    statements.rows["open_updates"] = [NEW._replace(state="ASKING", state_ask=1, state_ask_status="QUEUED")]
    assert start(statements).send("POST", "/").json() == {"open": 1, "steps": 0, "started": 0}
    assert {name for name, _ in statements.sent} == {"try_updates_lock", "open_updates", "running_campaigns"}
    assert hints.published == []


def test_while_another_round_is_at_it_nothing_is_done(start: Start, statements: Statements) -> None:
    statements.rows["try_updates_lock"] = [(False,)]
    assert start(statements).send("POST", "/").json() == {"open": 0, "steps": 0, "started": 0}
    assert statements.of("open_updates") == []


def test_many_updates_are_taken_on_in_several_transactions(start: Start, statements: Statements) -> None:
    waits = NEW._replace(state="ASKING", state_ask=1, state_ask_status="QUEUED")

    def updates(asked: Mapping[str, Any]) -> list[Update]:
        ids = range(asked["after"] + 1, min(asked["after"] + asked["limit"], 1200) + 1)
        return [waits._replace(id=id_) for id_ in ids]

    statements.rows["open_updates"] = updates
    assert start(statements).send("POST", "/").json() == {"open": 1200, "steps": 0, "started": 0}
    assert [sent["after"] for sent in statements.of("open_updates")] == [0, 500, 1000]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("firmware_urls", "ftp://fw.example"),
        ("firmware_urls", "fw.example:8095"),
        ("firmware_urls", "http://fw.example/?a=b"),
        ("firmware_urls", "http://fw.example/" + "x" * 200),
        ("firmware_grace", "0s"),
        ("firmware_time_zone", "Mars/Base"),
        ("firmware_retry_delay", "soon"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    start: Start, statements: Statements, name: str, value: str
) -> None:
    with pytest.raises(MissingSettingError, match=name):
        start(statements, **{name: value})
