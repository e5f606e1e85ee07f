"""api: firmware packages, updates by them, campaigns: how they are asked for and answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flownexus.store.firmware import Package
from flownexus.store.update import UncancelledUpdate
from flownexus.web.guard import Scope
from tests.fixtures.firmware_rows import (
    ANNOUNCED,
    CAMPAIGN,
    FIRMWARE_ROWS,
    NEW_CAMPAIGN,
    PACKAGE,
    TIME,
    UPDATE,
    UPLOADING,
)
from tests.fixtures.function import Start
from tests.fixtures.statements import Rows, Statements

ROWS: Mapping[str, Rows] = {**FIRMWARE_ROWS, "endpoint_ids": [("sim-0001", 7)]}


# ---------------------------------------------------------------------------------------------------------
# Firmware


def test_the_same_package_announced_again_goes_on_where_it_was(start: Start, statements: Statements) -> None:
    statements.rows |= {
        "add_package": [],
        "package_of_name": [UPLOADING._replace(sha256=bytes.fromhex("01" * 32))],
        "missing_chunks": [(0,)],
    }
    answer = start(statements).send("POST", "/v1/firmware", ANNOUNCED)
    assert (answer.status_code, answer.json()["id"], answer.json()["missing_chunks"]) == (200, 6, [0])


def test_another_package_of_the_same_name_is_refused(start: Start, statements: Statements) -> None:
    statements.rows |= {"add_package": [], "package_of_name": [UPLOADING._replace(size=5)]}
    answer = start(statements).send("POST", "/v1/firmware", ANNOUNCED)
    assert answer.status_code == 409
    assert "give this one another version or file name" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("/v1/firmware/6/chunks/1", b"four", 422, "package 6 has the chunks 0 to 0"),
        ("/v1/firmware/6/chunks/0", b"fo", 422, "chunk 0 has 4 bytes, and 2 came"),
        ("/v1/firmware/5/chunks/0", b"four", 409, "package 5 is complete"),
        ("/v1/firmware/99999999999/chunks/0", b"four", 404, "there is no package 99999999999"),
    ],
)
def test_a_chunk_that_does_not_belong_is_refused(
    start: Start, statements: Statements, path: str, body: bytes, status: int, detail: str
) -> None:
    answer = start(statements).send("PUT", path, body)
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert statements.of("add_chunk") == []


def test_a_package_that_lacks_chunks_is_not_complete(start: Start, statements: Statements) -> None:
    answer = start(statements).send("POST", "/v1/firmware/6/complete")
    assert (answer.status_code, answer.json()["detail"]) == (409, "package 6 lacks 1 chunks: 0")


def test_a_package_whose_content_is_another_is_told_the_two_hashes(
    start: Start, statements: Statements
) -> None:
    statements.rows |= {"missing_chunks": [], "chunk_part": [(b"four", None, 4)]}
    answer = start(statements).send("POST", "/v1/firmware/6/complete")
    assert answer.status_code == 422
    assert "not 0101" in answer.json()["detail"]


def test_an_update_tells_how_far_the_download_is_and_how_fast(start: Start, statements: Statements) -> None:
    later = TIME + timedelta(seconds=2)
    moved: dict[str, Any] = {
        "reached": 3,
        "served": 6,
        "download_started_at": TIME,
        "download_moved_at": later,
    }
    statements.rows["shown_updates"] = [UPDATE._replace(**moved)]
    answer = start(statements).send("GET", "/v1/updates/9").json()
    assert (answer["percent"], answer["bytes_per_second"]) == (75.0, 3.0)
    assert answer["steps"] == [
        {"time": "2026-11-22T13:27:27+00:00", "state": "ASKING", "words": "the device is asked"}
    ]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"endpoint": "a"}, "firmware: is missing; it is"),
        ({"endpoint": "a", "firmware": 5, "windows": [{"cron": "0 2 * * *"}]}, "windows: are 1 to 10 of"),
        ({"endpoint": "a", "firmware": 5, "time_zone": "UTC"}, "windows: are 1 to 10 of"),
        (
            {
                "endpoint": "a",
                "firmware": 5,
                "windows": [{"cron": "0 2 * * *", "minutes": 9}],
                "time_zone": "x",
            },
            'time_zone: is "server", "device" or',
        ),
        ({"endpoint": "a", "firmware": 5, "when": "now"}, "when: is unknown; there is endpoint, firmware"),
        ({"endpoint": "", "firmware": 5}, "endpoint: "),
        ({"endpoint": "a", "firmware": True}, "firmware: "),
        ({"endpoint": "a", "firmware": 2**31}, "firmware: "),
    ],
)
def test_an_update_that_is_not_valid_is_refused(
    start: Start, statements: Statements, body: Any, detail: str
) -> None:
    answer = start(statements).send("POST", "/v1/updates", body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(detail)


@pytest.mark.parametrize(
    ("package", "detail"),
    [
        (UPLOADING, "package 6 is still being uploaded"),
        (PACKAGE._replace(retired_at=TIME), "package 5 was retired"),
    ],
)
def test_only_a_package_that_is_ready_is_used(
    start: Start, statements: Statements, package: Package, detail: str
) -> None:
    statements.rows["package"] = [package]
    body = {"endpoint": "sim-0001", "firmware": package.id}
    answer = start(statements).send("POST", "/v1/updates", body)
    assert (answer.status_code, answer.json()["detail"]) == (409, detail)


def test_an_update_may_have_windows_for_its_install(start: Start, statements: Statements) -> None:
    windows = {"windows": [{"cron": "0 2 * * *", "minutes": 120}], "time_zone": "device"}
    body = {"endpoint": "sim-0001", "firmware": 5, **windows}
    assert start(statements).send("POST", "/v1/updates", body).status_code == 201
    [added] = statements.of("add_update")
    assert added["install_in"].obj == {**windows, "windows": ({"cron": "0 2 * * *", "minutes": 120},)}


def test_a_device_has_one_update_at_a_time(start: Start, statements: Statements) -> None:
    statements.rows |= {"add_update": [], "open_update_of": [(8,)]}
    answer = start(statements).send("POST", "/v1/updates", {"endpoint": "sim-0001", "firmware": 5})
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("update 8 of 'sim-0001' is open")


def test_updates_may_be_asked_for_by_device_and_by_whether_they_are_open(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    function.send("GET", "/v1/updates?endpoint=sim-0001&open=true&limit=1")
    [asked] = statements.of("shown_updates")
    assert (asked["endpoint"], asked["open"], asked["limit"]) == ("sim-0001", True, 2)
    assert function.send("GET", "/v1/updates?open=perhaps").status_code == 422


def test_a_device_that_installs_is_not_stopped(start: Start, statements: Statements) -> None:
    statements.rows |= {
        "uncancelled_updates": [UncancelledUpdate(9, "INSTALLING", "/5/0/2", "SENDING")],
        "ask_to_cancel": lambda asked: [()] * len(asked["ids"]),
        "shown_updates": [UPDATE._replace(state="INSTALLING")],
    }
    answer = start(statements).send("DELETE", "/v1/updates/9")
    assert answer.status_code == 409
    assert answer.json()["detail"].endswith("a device that was told to install cannot be stopped")


# ---------------------------------------------------------------------------------------------------------
# Campaigns


def test_a_plan_tells_its_waves_and_how_long_it_takes(start: Start, statements: Statements) -> None:
    answer = start(statements).send("POST", "/v1/campaigns", NEW_CAMPAIGN).json()
    assert (answer["targets"], [wave["targets"] for wave in answer["waves"]]) == (412, [1, 411])
    assert answer["estimated_seconds"] == 300 + 9 * 300 + 60
    assert answer["failures"] == {"no-space": 2}
    [spread] = statements.of("spread_targets")
    assert (spread["bounds"], spread["first"]) == ([1, 42], 1)


def test_a_plan_whose_end_is_beyond_all_dates_is_shown_without_an_estimate(
    start: Start, statements: Statements
) -> None:
    """It was answered 500, each time."""
    far = datetime(9999, 12, 31, 23, tzinfo=UTC)
    statements.rows["campaigns"] = [CAMPAIGN._replace(starts_at=far, rules={"soak": 86_400})]
    answer = start(statements).send("GET", "/v1/campaigns/3")
    assert (answer.status_code, answer.json()["estimated_seconds"]) == (200, None)


def test_devices_that_were_never_seen_are_named(start: Start, statements: Statements) -> None:
    statements.rows["unknown_endpoints"] = [("nobody",)]
    answer = start(statements).send("POST", "/v1/campaigns", NEW_CAMPAIGN)
    assert (answer.status_code, answer.json()["detail"]) == (422, "endpoints: never seen: 'nobody'")


def test_a_campaign_that_fits_no_device_is_refused(start: Start, statements: Statements) -> None:
    statements.rows["waves_of_campaign"] = []
    answer = start(statements).send("POST", "/v1/campaigns", NEW_CAMPAIGN)
    assert (answer.status_code, answer.json()["detail"][:17]) == (422, "no device matches")


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/v1/campaigns/3/start", 409, "campaign 3 is RUNNING; start is possible where it is PLANNED"),
        ("/v1/campaigns/3/burn", 404, "a campaign has the actions start, pause"),
        ("/v1/campaigns/3/cancel?hard=perhaps", 422, "hard: true"),
    ],
)
def test_an_action_that_is_not_possible_is_refused_with_those_that_are(
    start: Start, statements: Statements, path: str, status: int, detail: str
) -> None:
    answer = start(statements).send("POST", path)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)
    assert statements.of("move_campaign") == []


def test_who_paused_a_campaign_stands_in_its_steps(start: Start, statements: Statements) -> None:
    start(statements).send("POST", "/v1/campaigns/3/pause", scopes=[Scope.OPERATE])
    assert statements.of("note_campaign_step") == [{"id": 3, "by": "ann", "words": "paused"}]
    [moved] = statements.of("move_campaign")
    assert (moved["status"], moved["wave_opens"]) == ("PAUSED", False)
