"""console: firmware packages, updates by them, campaigns: what their forms say, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from flownexus.campaigns.plan import Rules, parse_campaign
from flownexus.errors import ValidationFailedError
from flownexus.firmware.package import CHUNK_BYTES, parse_package
from flownexus.store.update import UncancelledUpdate
from flownexus.web.console.app import Access
from flownexus.web.console.browser import URL
from flownexus.web.console.campaigns import DEFAULTS, campaign_of
from flownexus.web.console.firmware import package_of
from tests.fixtures.firmware_rows import (
    ANNOUNCED_BY_FORM,
    CAMPAIGN,
    FIRMWARE_ROWS,
    PACKAGE,
    UPDATE,
)
from tests.fixtures.function import Start
from tests.fixtures.pages import ask, sessions
from tests.fixtures.statements import Rows, Statements

ROWS: Mapping[str, Rows] = {**FIRMWARE_ROWS, "session": sessions, "keep_session": [()], "only_read": [()]}
SCRIPT = "<script>alert(1)</script>"


def test_an_upload_is_told_which_chunks_are_missing_and_where_they_go(
    start: Start, statements: Statements
) -> None:
    statements.rows |= {
        "add_package": [PACKAGE._replace(id=6, completed_at=None)],
        "missing_chunks": [(0,), (2,)],
    }
    answer = ask(
        start(statements),
        "POST",
        "/firmware",
        of=Access.ADMIN,
        form={**ANNOUNCED_BY_FORM, "uploaded_by": "x"},
    )
    assert answer.json() == {
        "missing": [0, 2],
        "chunk_size": CHUNK_BYTES,
        "chunks": f"{URL}/firmware/6/chunks/",
        "complete": f"{URL}/firmware/6/complete",
    }
    [added] = statements.of("add_package")
    assert added["uploaded_by"] == "some-admin"
    [noted] = statements.of("append_audit")
    assert (noted["by"], noted["action"]) == ("some-admin", "firmware-added")


@pytest.mark.parametrize(
    ("path", "content", "status", "told"),
    [
        ("/firmware/6/chunks/1", b"four", 422, "package 6 has the chunks 0 to 0"),
        ("/firmware/6/chunks/0", b"x" * (CHUNK_BYTES + 1), 422, "chunk 0 has 4 bytes, and 524289 came"),
        ("/firmware/5/chunks/0", b"four", 409, "package 5 is complete"),
        (f"/firmware/{2**31}/chunks/0", b"four", 404, "there is no package"),
        ("/firmware/../users/chunks/0", b"four", 404, "nothing at this address"),
    ],
)
def test_a_chunk_that_does_not_belong_is_refused(
    start: Start, statements: Statements, path: str, content: bytes, status: int, told: str
) -> None:
    answer = ask(start(statements), "POST", path, of=Access.ADMIN, content=content)
    assert answer.status_code == status
    assert told in answer.text
    assert statements.of("add_chunk") == []


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({**ANNOUNCED_BY_FORM, "size": "-4"}, "size: is its size in bytes"),
        ({**ANNOUNCED_BY_FORM, "size": str(2**40)}, "size: is its size in bytes, 1 to 1073741824"),
        ({**ANNOUNCED_BY_FORM, "sha256": "01"}, "sha256: is the SHA-256"),
        ({**ANNOUNCED_BY_FORM, "success": "perhaps"}, "success: is one of"),
        ({**ANNOUNCED_BY_FORM, "version_path": "../../etc/passwd"}, "version_path: is the path"),
    ],
)
def test_a_package_that_is_not_valid_is_refused_with_what_would_be(
    start: Start, statements: Statements, form: Mapping[str, str], told: str
) -> None:
    answer = ask(start(statements), "POST", "/firmware", of=Access.ADMIN, form=form)
    assert answer.status_code == 422
    assert told in answer.text
    assert statements.of("add_package") == []


def test_a_form_names_a_package_as_the_rest_api_does() -> None:
    parsed = parse_package(package_of({**ANNOUNCED_BY_FORM, "label": " ", "model": "T-1", "uri": ""}))
    assert (parsed.size, parsed.label, parsed.model, parsed.uri) == (4, None, "T-1", None)


def test_names_with_scripts_in_them_are_text(start: Start, statements: Statements) -> None:
    statements.rows |= {
        "packages": [PACKAGE._replace(version=SCRIPT, file_name=SCRIPT, label=SCRIPT, model=SCRIPT)],
        "package": [
            PACKAGE._replace(version=SCRIPT, file_name=f'x"onerror={SCRIPT}', mcuboot={SCRIPT: SCRIPT})
        ],
        "campaigns": [CAMPAIGN._replace(name=SCRIPT, words=SCRIPT, requested_by=SCRIPT)],
        "shown_updates": [UPDATE._replace(endpoint=SCRIPT, words=SCRIPT)],
    }
    function = start(statements)
    for path in (
        *("/firmware", "/firmware/5", "/updates", "/updates/9", "/updates/new", "/campaigns", "/campaigns/3"),
        *("/campaigns/new", "/campaigns/3/end"),
    ):
        page = ask(function, "GET", path, of=Access.ADMIN).text
        assert "<script>alert" not in page, path
        assert "&lt;script&gt;" in page, path
        assert " onerror" not in page.replace("&#34;onerror", "")


def test_an_update_tells_why_it_waits_and_may_be_cancelled_until_the_device_installs(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    page = ask(function, "GET", "/updates/9", of=Access.OPERATOR).text
    assert "update 9 of sim-0001 is DOWNLOADING since 2026-11-22 13:27:27 UTC: the device downloads" in page
    assert "Cancel this update" in page
    assert "Cancel this update" not in ask(function, "GET", "/updates/9", of=Access.VIEWER).text
    statements.rows["uncancelled_updates"] = [UncancelledUpdate(9, "INSTALLING", "/5/0/2", "CONFIRMED")]
    assert "Cancel this update" not in ask(function, "GET", "/updates/9", of=Access.OPERATOR).text


@pytest.mark.parametrize(("status", "offered"), [("QUEUED", True), ("SENDING", False)])
def test_an_install_that_its_sleeping_device_was_not_told_yet_may_be_cancelled(
    start: Start, statements: Statements, status: str, offered: bool
) -> None:
    statements.rows["uncancelled_updates"] = [UncancelledUpdate(9, "INSTALLING", "/5/0/2", status)]
    page = ask(start(statements), "GET", "/updates/9", of=Access.OPERATOR).text
    assert ("Cancel this update" in page) == offered


@pytest.mark.parametrize(
    ("status", "actions"),
    [
        ("PLANNED", {"start"}),
        ("RUNNING", {"pause", "next-wave"}),
        ("PAUSED", {"resume"}),
        ("STOPPED", {"resume", "next-wave"}),
        ("FINISHED", set()),
    ],
)
def test_a_campaign_offers_what_is_possible_to_whom_may(
    start: Start, statements: Statements, status: str, actions: set[str]
) -> None:
    statements.rows["campaigns"] = [CAMPAIGN._replace(status=status)]
    function = start(statements)
    page = ask(function, "GET", "/campaigns/3", of=Access.OPERATOR).text
    offered = {
        each for each in ("start", "pause", "resume", "retry", "next-wave") if f'value="{each}"' in page
    }
    assert offered == actions
    assert ("/campaigns/3/end" in page) == (status != "FINISHED")
    assert "<form" not in ask(function, "GET", "/live/campaigns/3", of=Access.VIEWER).text


def test_the_form_of_an_update_may_name_a_window_for_the_install(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    form = {"device": "sim-0001", "firmware": "5", "cron": "0 2 * * *", "minutes": "120"}
    assert ask(function, "POST", "/updates", of=Access.OPERATOR, form=form).status_code == 303
    [added] = statements.of("add_update")
    assert added["install_in"].obj == {
        "windows": ({"cron": "0 2 * * *", "minutes": 120},),
        "time_zone": "server",
    }
    wrong = ask(function, "POST", "/updates", of=Access.OPERATOR, form={**form, "minutes": "many"})
    assert wrong.status_code == 422
    assert "minutes is a whole number from 1 to" in wrong.text


def test_a_plan_is_shown_before_anything_begins(start: Start, statements: Statements) -> None:
    statements.rows["campaigns"] = [CAMPAIGN._replace(status="PLANNED", left_out=2)]
    form = {"name": "spring", "firmware": "5", "seed": "1", "requested_by": "x", "status": "RUNNING"}
    answer = ask(start(statements), "POST", "/campaigns", of=Access.OPERATOR, form=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{URL}/campaigns/3")
    [added] = statements.of("add_campaign")
    assert (added["requested_by"], added["firmware_id"]) == ("some-operator", 5)
    assert statements.of("move_campaign") == []
    page = ask(start(statements), "GET", "/campaigns/3", of=Access.OPERATOR).text
    assert "412 devices to 2.0.1, in 2 waves." in page
    assert "2 devices do not match" in page


def test_what_a_person_does_with_a_campaign_is_noted(start: Start, statements: Statements) -> None:
    ask(
        start(statements),
        "POST",
        "/campaigns/3/act",
        of=Access.OPERATOR,
        form={"action": "cancel", "hard": ""},
    )
    [noted] = statements.of("append_audit")
    assert (noted["by"], noted["action"]) == ("some-operator", "campaign-changed")
    assert noted["detail"].obj["did"] == "cancel"
    assert statements.of("lock_open_updates") == []
    answer = ask(start(statements), "POST", "/campaigns/3/act", of=Access.OPERATOR, form={"action": "burn"})
    assert answer.status_code == 422
    assert "action: one of start, pause" in answer.text


def test_a_plan_that_is_refused_comes_back_with_what_was_typed(start: Start, statements: Statements) -> None:
    form = {"name": "spring <b>", "firmware": "5", "waves": "many"}
    answer = ask(start(statements), "POST", "/campaigns", of=Access.OPERATOR, form=form)
    assert answer.status_code == 422
    assert "waves: are 1 to 100 numbers of devices" in answer.text
    assert 'value="spring &lt;b&gt;"' in answer.text


def test_the_form_as_it_is_shown_has_the_usual_rules() -> None:
    parsed = parse_campaign(campaign_of({**DEFAULTS, "name": "x", "firmware": "5"}), 7)
    assert parsed.rules == Rules()
    assert (parsed.waves, parsed.endpoints, parsed.model) == (("1", "10 %", "rest"), None, None)


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"endpoints": "a,b\r\n c \n\n"}, "endpoints", ["a,b", "c"]),
        ({"from_versions": "1.0, 1.1,"}, "from_versions", ["1.0", "1.1"]),
        ({"soak": "1m30s"}, "soak", 90.0),
        ({"failures": "2.5"}, "failures", 2.5),
        ({"max_open": "20"}, "max_open", 20),
        ({"starts_at": "2026-01-02T03:04"}, "starts_at", "2026-01-02T03:04:00Z"),
        ({"approval": "true"}, "approval", True),
        ({"cron": "0 2 * * *", "minutes": "120"}, "windows", [{"cron": "0 2 * * *", "minutes": 120}]),
        ({"cron": "0 2 * * *", "minutes": "9", "time_zone": "device"}, "time_zone", "device"),
        ({"cron": "0 2 * * *", "minutes": "9", "time_zone": " "}, "time_zone", "server"),
        ({"filter": " name==sim-* "}, "filter", "name==sim-*"),
        ({"joining": "true"}, "joining", True),
    ],
)
def test_a_field_of_the_form_becomes_what_the_rest_api_takes(
    given: Mapping[str, str], field: str, value: Any
) -> None:
    assert campaign_of({"name": "x", "firmware": "5", **given})[field] == value


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"firmware": ""}, "firmware: choose a package"),
        ({"soak": "soon"}, "soak: is a duration, such as 90m"),
        ({"failures": "nan"}, "failures: is a share in percent"),
        ({"max_open": "many"}, "max_open: is a whole number"),
        ({"starts_at": "tomorrow"}, "starts_at: is a time"),
    ],
)
def test_a_field_that_is_not_valid_is_named(given: Mapping[str, str], told: str) -> None:
    with pytest.raises(ValidationFailedError, match=told):
        parse_campaign(campaign_of({"name": "x", "firmware": "5", **given}), 7)
