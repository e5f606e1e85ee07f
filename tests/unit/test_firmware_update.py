"""An update's next step, from what its device and its operations told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.firmware.decision import decide, reads, zone_read
from flownexus.firmware.device import CANCEL, INSTALL, PACKAGE, PACKAGE_URI
from flownexus.firmware.state import ENDED, Failure, State
from flownexus.firmware.steps import MAX_TRIES
from flownexus.firmware.update import Patience, Step, Terms, Update
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue.one_path import Execute, Read, Write

NOW = datetime(2026, 11, 22, 13, 27, 27, tzinfo=UTC)
TERMS = Terms({"http": "http://fw.example/{token}", "coap": "coap://fw.example/{token}"})
EMPTY: dict[str, Any] = dict.fromkeys(Update._fields)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def update(state: State, **more: Any) -> Update:
    """Return an update whose state began a minute ago, of a device that is registered."""
    return Update(
        **EMPTY
        | {"id": 7, "endpoint": "sim-0001", "state": str(state), "since": ago(60), "created_at": ago(300)}
        | {"tries": 1, "token": "t" * 24, "asks": 0, "registration_seen": "r1", "registration_id": "r1"}
        | {"now": NOW, "version": "2.0.1", "success": "version", "version_path": "/3/0/3", "retired": False}
        | {"registered": True}
        | more
    )


def command(path: Path, status: str = "CONFIRMED", sent: float = 30, **more: Any) -> dict[str, Any]:
    """Return the columns of a command that was sent so many seconds ago and answered a second later."""
    return {
        "command": 3,
        "command_path": str(path),
        "command_status": status,
        "command_sent_at": ago(sent),
        "command_ended_at": ago(sent - 1) if status in ("CONFIRMED", "FAILED", "CANCELLED") else None,
        **more,
    }


def asked(state: str = "CONFIRMED", version: str = "CONFIRMED", **more: Any) -> dict[str, Any]:
    return {
        "state_ask": 1,
        "state_ask_status": state,
        "version_ask": 2,
        "version_ask_status": version,
        **more,
    }


def told(state: int | None = None, result: int | None = None, since: float = 1) -> dict[str, Any]:
    """Return what the device told so many seconds ago."""
    columns: dict[str, Any] = {}
    if state is not None:
        columns |= {"device_state": state, "device_state_at": ago(since)}
    if result is not None:
        columns |= {"result": result, "result_at": ago(since)}
    return columns


def reports(version: str, since: float = 1) -> dict[str, Any]:
    return {"device_version": version, "device_version_at": ago(since)}


def step(of: Update, terms: Terms = TERMS) -> Step:
    found = decide(of, terms)
    assert found is not None
    return found


# ---------------------------------------------------------------------------------------------------------
# Up to the download


def test_a_new_one_asks_the_device_for_its_object_and_its_version() -> None:
    new = update(State.QUEUED)
    assert step(new).asks
    assert step(new).state is State.ASKING
    assert reads(new) == (Read(path=Path(5, 0)), Read(path=Path(3, 0, 3)))
    assert reads(update(State.QUEUED, success="result")) == (Read(path=Path(5, 0)),)


@pytest.mark.parametrize("status", ["QUEUED", "SENDING"])
def test_a_device_that_sleeps_is_waited_for(status: str) -> None:
    assert decide(update(State.ASKING, **asked(version=status)), TERMS) is None


def test_who_has_the_version_already_is_skipped() -> None:
    found = step(update(State.ASKING, **asked(), **told(0), **reports("2.0.1")))
    assert (found.state, found.words) == (State.SKIPPED, "the device already has version 2.0.1")


@pytest.mark.parametrize("version", ["2.0.10", "2.0.1 ", "v2.0.1", "2.0", None])
def test_a_version_is_compared_as_exact_text(version: str | None) -> None:
    found = step(update(State.ASKING, **asked(), **told(0), device_version=version))
    assert found.state is State.OFFERING


def test_an_idle_device_is_written_the_uri_with_the_token_of_this_update() -> None:
    found = step(update(State.ASKING, tries=0, **asked(), **told(0), protocols=[2, 0]))
    assert found.command == Write(
        path=PACKAGE_URI, value={"type": "STRING", "value": "http://fw.example/" + "t" * 24}
    )
    assert found.is_try


@pytest.mark.parametrize(
    ("protocols", "secure", "link"),
    [
        (None, None, "coap"),
        (None, False, "coap"),
        (None, True, "coaps"),
        ([0], True, "coap"),
        ([1], False, "coaps"),
        ([0, 1], None, "coap"),
        ([0, 1], False, "coap"),
        ([1, 0], True, "coaps"),
        ([3, 2, 0], False, "http"),
        ([0, 1, 2, 3, 4], True, "http"),
    ],
)
def test_the_way_is_the_best_of_those_that_the_device_takes_and_of_coap_the_one_that_it_registered_by(
    protocols: list[int] | None, secure: bool | None, link: str
) -> None:
    terms = Terms({**TERMS.links, "coaps": "coaps://fw.example/{token}"})
    found = step(update(State.ASKING, **asked(), **told(0), protocols=protocols, secure=secure), terms)
    assert isinstance(found.command, Write)
    assert found.command.value["value"].startswith(f"{link}://")


@pytest.mark.parametrize(
    "columns", [{"delivery": 1}, {"delivery": 1, "protocols": [0, 2]}, {"delivery": 2, "protocols": [4]}]
)
def test_who_takes_a_package_in_no_other_way_is_written_it(columns: dict[str, Any]) -> None:
    found = step(update(State.ASKING, tries=0, **asked(), **told(0), **columns))
    assert (found.state, found.is_try) == (State.DOWNLOADING, True)
    assert found.command == Write(path=PACKAGE, value={"type": "OPAQUE", "package": "t" * 24})


@pytest.mark.parametrize(
    ("way", "columns", "found"),
    [
        ("push", {"delivery": 0, "protocols": [2]}, "push"),
        ("http", {"delivery": 1, "protocols": [0]}, "http"),
        ("http", {}, "http"),
        ("coap", {"protocols": [2], "secure": True}, "coaps"),
        ("coap", {"protocols": [2, 0], "secure": True}, "coap"),
        ("coap", {"delivery": 2, "uri": "/binaries/{token}"}, "/binaries/" + "t" * 24),
    ],
)
def test_the_profile_s_word_on_the_way_counts_for_more_than_the_device_s(
    way: str, columns: dict[str, Any], found: str
) -> None:
    terms = Terms({**TERMS.links, "coaps": "coaps://fw.example/{token}"})
    offer = step(update(State.ASKING, tries=0, **asked(), **told(0), way=way, **columns), terms).command
    assert isinstance(offer, Write)
    assert offer.value.get("value", "push").partition("://")[0] == found


def test_a_way_that_is_not_served_is_told_of_and_nothing_is_written() -> None:
    only = Terms({"coap": "coap://fw.example/{token}"})
    found = step(update(State.ASKING, **asked(), **told(0), way="http", delivery=2), only)
    assert (found.state, found.failure, found.command) == (State.FAILED, Failure.UNSUPPORTED_PROTOCOL, None)
    assert found.words == "packages are served over coap; the device's profile requires http (firmware_way)"


def test_a_package_that_is_being_written_is_waited_for_and_its_refusal_is_tried_again() -> None:
    writing = command(PACKAGE, "SENDING")
    assert decide(update(State.DOWNLOADING, **writing), TERMS) is None
    assert step(update(State.DOWNLOADING, **writing, **told(2))).state is State.INSTALLING
    assert step(update(State.DOWNLOADING, **writing, **told(0, 5))).failure is Failure.BAD_CHECKSUM
    refused = command(PACKAGE, "FAILED", command_verdict="refused", command_reason="4.05")
    assert step(update(State.DOWNLOADING, **refused)) == Step(State.DOWNLOADING, asks=True)
    found = step(update(State.DOWNLOADING, **refused, **told(0)))
    assert (found.state, found.failure) == (State.WAITING, Failure.REFUSED)
    assert step(update(State.DOWNLOADING, **refused, **told(2))).state is State.INSTALLING
    lost = command(PACKAGE, "FAILED", command_verdict="unknown")
    assert step(update(State.DOWNLOADING, **lost)).failure is Failure.NO_ANSWER
    assert step(update(State.DOWNLOADING, **command(PACKAGE))).asks


def test_a_uri_of_the_package_s_own_is_written_as_it_is() -> None:
    found = step(update(State.ASKING, **asked(), **told(0), protocols=[4], uri="/binaries/{token}"))
    assert isinstance(found.command, Write)
    assert found.command.value["value"] == "/binaries/" + "t" * 24


@pytest.mark.parametrize(
    ("columns", "failure", "words"),
    [
        (
            {"protocols": [1, 4]},
            Failure.UNSUPPORTED_PROTOCOL,
            "served over http, coap; the device supports coaps",
        ),
        ({"protocols": [4], "delivery": 0}, Failure.UNSUPPORTED_PROTOCOL, "the device supports protocol 4"),
        ({"retired": True}, Failure.RETIRED, "was retired"),
    ],
)
def test_what_cannot_be_served_is_not_offered(columns: dict[str, Any], failure: Failure, words: str) -> None:
    found = step(update(State.ASKING, **asked(), **told(0), **columns))
    assert (found.state, found.failure, found.command) == (State.FAILED, failure, None)
    assert words in str(found.words)


@pytest.mark.parametrize("state", [1, 2])
def test_a_package_of_before_is_forgotten_first(state: int) -> None:
    found = step(update(State.ASKING, **asked(), **told(state)))
    assert found.state is State.RESETTING
    assert found.command == Write(path=PACKAGE_URI, value={"type": "STRING", "value": ""})
    after = update(State.RESETTING, **command(PACKAGE_URI), **told(2, since=100))
    assert step(after).state is State.OFFERING


def test_a_device_without_the_object_fails_at_once() -> None:
    found = step(update(State.ASKING, **asked("FAILED", state_ask_answer="NOT_FOUND(404)")))
    assert (found.state, found.failure) == (State.FAILED, Failure.NO_FIRMWARE_OBJECT)


def test_a_device_without_the_version_s_resource_is_told_how_to_go_on() -> None:
    found = step(update(State.ASKING, **asked(version="FAILED", version_ask_answer="NOT_FOUND(404)")))
    assert (found.state, found.failure) == (State.FAILED, Failure.NO_VERSION)
    assert "success=result" in str(found.words)


def test_who_never_says_where_it_stands_is_tried_three_times_too() -> None:
    silent = asked("FAILED", state_ask_reason="no answer")
    first = step(update(State.ASKING, tries=0, **silent))
    assert (first.state, first.is_try, first.wait) == (State.WAITING, True, 600)
    assert step(update(State.ASKING, tries=1, **silent)).wait == 1200
    last = step(update(State.ASKING, tries=2, **silent))
    assert (last.state, last.failure) == (State.FAILED, Failure.NO_ANSWER)


# ---------------------------------------------------------------------------------------------------------
# The download


def test_who_has_confirmed_the_uri_downloads() -> None:
    assert step(update(State.OFFERING, **command(PACKAGE_URI))).state is State.DOWNLOADING


def test_who_downloads_although_its_answer_was_lost_downloads() -> None:
    lost = command(PACKAGE_URI, "QUEUED")
    assert decide(update(State.OFFERING, **lost), TERMS) is None
    assert step(update(State.OFFERING, **lost, **told(1))).state is State.DOWNLOADING


def test_a_uri_that_is_refused_is_told_with_the_answer() -> None:
    refused = command(PACKAGE_URI, "FAILED", command_verdict="refused", command_reason="4.05")
    found = step(update(State.OFFERING, **refused))
    assert (found.state, found.failure) == (State.WAITING, Failure.REFUSED)
    assert str(found.words).startswith("the device refused the package's URI: 4.05")


def test_what_was_told_before_the_command_does_not_count() -> None:
    """A device that failed before still shows that result when the URI is written."""
    stale = told(2, 9, since=31)
    assert decide(update(State.DOWNLOADING, **command(PACKAGE_URI, sent=20), **stale), TERMS) is None


def test_a_registration_in_the_middle_is_no_failure() -> None:
    """The device is asked, and goes on downloading."""
    anew = update(State.DOWNLOADING, **command(PACKAGE_URI), **told(1), registration_id="r2")
    assert step(anew) == Step(State.DOWNLOADING, asks=True)
    answered = anew._replace(registration_seen="r2")
    assert decide(answered, TERMS) is None


def test_a_downloaded_package_is_installed() -> None:
    found = step(update(State.DOWNLOADING, **command(PACKAGE_URI), **told(2, 0)))
    assert (found.state, found.command) == (State.INSTALLING, Execute(path=INSTALL))


@pytest.mark.parametrize("result", [2, 3, 4, 8])
def test_a_result_that_may_pass_is_tried_again_with_a_growing_delay(result: int) -> None:
    failed = {**command(PACKAGE_URI), **told(0, result)}
    for tries, wait in ((1, 600), (2, 1200)):
        found = step(update(State.DOWNLOADING, tries=tries, **failed))
        assert (found.state, found.wait) == (State.WAITING, wait)
        assert f"(result {result})" in str(found.words)
    last = step(update(State.DOWNLOADING, tries=MAX_TRIES, **failed))
    assert last.state is State.FAILED
    assert str(last.words).endswith("given up after 3 tries")


@pytest.mark.parametrize(
    ("result", "failure"),
    [
        (5, Failure.BAD_CHECKSUM),
        (6, Failure.UNSUPPORTED_PACKAGE),
        (7, Failure.INVALID_URI),
        (9, Failure.UNSUPPORTED_PROTOCOL),
        (10, Failure.GIVEN_UP),
        (77, Failure.GIVEN_UP),
    ],
)
def test_a_result_that_stays_ends_it(result: int, failure: Failure) -> None:
    found = step(update(State.DOWNLOADING, **command(PACKAGE_URI), **told(0, result)))
    assert (found.state, found.failure) == (State.FAILED, failure)


def test_who_restarts_while_it_downloads_is_offered_the_package_again() -> None:
    found = step(update(State.DOWNLOADING, **command(PACKAGE_URI), **told(0, 0)))
    assert (found.state, found.failure) == (State.WAITING, Failure.DOWNLOAD_GONE)


def test_who_is_idle_just_after_the_uri_may_begin_yet() -> None:
    just = update(State.DOWNLOADING, **command(PACKAGE_URI, sent=5), **told(0, 0, since=1))
    assert decide(just, TERMS) is None


def test_a_silent_device_is_asked_ever_more_seldom() -> None:
    for asks, silence in ((0, 30), (1, 60), (4, 480), (9, 960)):
        of = {**command(PACKAGE_URI, sent=2000), "asks": asks, "since": ago(silence - 1)}
        assert decide(update(State.DOWNLOADING, **of), TERMS) is None
        assert step(update(State.DOWNLOADING, **of | {"since": ago(silence)})).asks


def test_blocks_that_are_served_are_a_sign_of_life() -> None:
    of = update(State.DOWNLOADING, **command(PACKAGE_URI, sent=500), since=ago(500))
    assert step(of).asks
    assert decide(of._replace(served_at=ago(5)), TERMS) is None


def test_only_one_question_is_open() -> None:
    of = update(State.DOWNLOADING, **command(PACKAGE_URI, sent=500), since=ago(500))
    assert decide(of._replace(state_ask=1, state_ask_status="QUEUED"), TERMS) is None


# ---------------------------------------------------------------------------------------------------------
# The install


def test_it_waits_until_a_sleeper_is_told_to_install() -> None:
    waits = {"command": 3, "command_path": str(INSTALL), "command_status": "QUEUED"}
    assert decide(update(State.INSTALLING, registration_id="r2", **waits), TERMS) is None


@pytest.mark.parametrize("more", [told(0, 1), told(0, 0), told(0), {}])
def test_the_new_version_is_success_whatever_the_result(more: dict[str, Any]) -> None:
    """Zephyr's client reports 0/0 after its restart."""
    found = step(update(State.INSTALLING, **command(INSTALL), **reports("2.0.1"), **more))
    assert found.state is State.CONFIRMED


def test_success_alone_is_not_believed() -> None:
    found = step(update(State.INSTALLING, **command(INSTALL), **told(0, 1), **reports("1.0.0")))
    assert (found.state, found.asks) == (State.RETURNED, True)


def test_success_is_believed_of_devices_that_report_no_version() -> None:
    found = step(update(State.INSTALLING, **command(INSTALL), **told(0, 1), success="result"))
    assert found.state is State.CONFIRMED


@pytest.mark.parametrize(
    ("result", "failure", "words"),
    [
        (
            0,
            Failure.ROLLED_BACK,
            "version 1.0.0, not 2.0.1 and without a result: it rolled back, or never booted",
        ),
        (1, Failure.WRONG_VERSION, "reports success (result 1), and version 1.0.0, not 2.0.1"),
    ],
)
def test_who_is_back_with_the_old_version_has_a_grace(result: int, failure: Failure, words: str) -> None:
    back = {**command(INSTALL, sent=200), **told(0, result), **reports("1.0.0")}
    assert decide(update(State.RETURNED, since=ago(119), **back), TERMS) is None
    found = step(update(State.RETURNED, since=ago(120), **back))
    assert (found.state, found.failure) == (State.FAILED, failure)
    assert words in str(found.words)


def test_an_old_version_told_before_it_was_back_does_not_condemn_it() -> None:
    back = {**command(INSTALL, sent=400), **told(0, 1, since=350), **reports("1.0.0", since=350)}
    assert step(update(State.RETURNED, since=ago(300), **back)).asks


def test_who_comes_back_with_the_new_version_within_the_grace_is_done() -> None:
    back = {**command(INSTALL, sent=200), **told(0, 1), **reports("2.0.1")}
    assert step(update(State.RETURNED, since=ago(100), **back)).state is State.CONFIRMED


def test_a_failed_install_is_tried_again_from_the_start() -> None:
    found = step(update(State.INSTALLING, **command(INSTALL), **told(2, 8)))
    assert (found.state, found.failure) == (State.WAITING, Failure.INSTALL_FAILED)


def test_a_device_may_defer_and_install_later() -> None:
    deferred = {**command(INSTALL), **told(2, 11)}
    found = step(update(State.INSTALLING, **deferred))
    assert (found.state, found.failure) == (State.DEFERRED, None)
    assert decide(update(State.DEFERRED, **deferred), TERMS) is None
    assert step(update(State.DEFERRED, **command(INSTALL), **told(3, 0))).state is State.INSTALLING
    assert step(update(State.DEFERRED, **deferred, **reports("2.0.1"))).state is State.CONFIRMED


def test_an_install_that_nobody_knows_to_have_been_told_is_told_again_where_it_has_not_begun() -> None:
    lost = command(INSTALL, "FAILED", command_verdict="unknown")
    assert decide(update(State.INSTALLING, **lost, **told(2, since=29.5)), TERMS) is None
    found = step(update(State.INSTALLING, **lost, **told(2)))
    assert (found.state, found.command, found.is_try) == (State.INSTALLING, Execute(path=INSTALL), True)
    assert decide(update(State.INSTALLING, **lost, **told(3)), TERMS) is None


def test_who_restarts_before_it_has_installed_is_told_again_three_times_at_most() -> None:
    back = {**command(INSTALL), **told(2, 0)}
    assert decide(update(State.INSTALLING, **command(INSTALL, sent=4), **told(2, 0)), TERMS) is None
    found = step(update(State.INSTALLING, **back))
    assert (found.state, found.command) == (State.INSTALLING, Execute(path=INSTALL))
    last = step(update(State.INSTALLING, tries=3, **back))
    assert (last.state, last.failure) == (State.FAILED, Failure.INSTALL_FAILED)


def test_a_device_that_refuses_to_install_is_told_of() -> None:
    refused = command(INSTALL, "FAILED", command_verdict="refused", command_reason="METHOD_NOT_ALLOWED(405)")
    assert step(update(State.INSTALLING, **refused)) == Step(State.INSTALLING, asks=True)
    found = step(update(State.INSTALLING, **refused, **told(2)))
    assert (found.failure, "to install: METHOD_NOT_ALLOWED" in str(found.words)) == (Failure.REFUSED, True)


def test_who_refuses_to_install_for_it_does_already_is_not_failed() -> None:
    """The answer to the first command was lost under load, and it was told again."""
    refused = command(INSTALL, "FAILED", command_verdict="refused", command_reason="METHOD_NOT_ALLOWED(405)")
    assert decide(update(State.INSTALLING, tries=3, **refused, **told(3, 0)), TERMS) is None
    back = update(State.INSTALLING, tries=3, **refused, **told(0, 1))
    assert step(back).state is State.RETURNED
    assert step(back._replace(device_version="2.0.1", device_version_at=ago(1))).state is State.CONFIRMED
    silent = asked("FAILED", state_ask_ended_at=ago(2))
    assert step(update(State.INSTALLING, **refused, **silent)).failure is Failure.REFUSED


def test_who_shows_the_package_right_after_a_lost_answer_may_still_begin_to_install() -> None:
    """It was told again three times within seconds, and failed, while it was about to install."""
    lost = command(INSTALL, "FAILED", command_verdict="unknown", sent=6)
    assert decide(update(State.INSTALLING, **lost, **told(2, since=3)), TERMS) is None
    assert step(update(State.INSTALLING, **lost, **told(2, since=0))).command == Execute(path=INSTALL)


def test_who_never_returns_fails_once_its_registration_is_over_for_long() -> None:
    gone = {**command(INSTALL, sent=4000), "since": ago(4001), "asks": 9}
    assert step(update(State.INSTALLING, **gone)).asks  # registered: a sleeper may come yet
    found = step(update(State.INSTALLING, **gone, registered=False))
    assert (found.state, found.failure) == (State.FAILED, Failure.NO_RETURN)


def test_who_installs_by_itself_is_followed() -> None:
    offered = command(PACKAGE_URI)
    found = step(update(State.DOWNLOADING, **offered, **told(3)))
    assert (found.state, found.command) == (State.INSTALLING, None)
    assert step(update(State.INSTALLING, **offered, **told(0, 1))).state is State.RETURNED


# ---------------------------------------------------------------------------------------------------------
# The end of patience, and of its user's


def test_nothing_goes_on_for_ever() -> None:
    for state in set(State) - ENDED - {State.CANCELLING}:
        found = step(update(state, created_at=ago(7 * 86400)))
        assert (found.state, found.failure) == (State.FAILED, Failure.TIMED_OUT)


@pytest.mark.parametrize("state", [State.QUEUED, State.ASKING, State.WAITING])
def test_what_no_device_knows_of_is_cancelled_at_once(state: State) -> None:
    found = step(update(state, cancelled_by="ann", **command(PACKAGE_URI)))
    assert (found.state, found.words) == (State.CANCELLED, "cancelled by ann")


def test_a_device_is_told_to_forget_it_one_way_or_the_other() -> None:
    found = step(update(State.DOWNLOADING, cancelled_by="ann", **command(PACKAGE_URI)))
    assert (found.state, found.command) == (State.CANCELLING, Execute(path=CANCEL, repeatable=True))
    refused = command(CANCEL, "FAILED", command_verdict="refused", cancelled_by="ann")
    found = step(update(State.CANCELLING, **refused))
    assert found.command == Write(path=PACKAGE_URI, value={"type": "STRING", "value": ""})
    assert step(update(State.CANCELLING, cancelled_by="ann", **command(PACKAGE_URI))).state is State.CANCELLED


def test_a_version_that_was_not_answered_is_asked_for_again_and_one_that_is_refused_is_a_failure() -> None:
    """A kill on the way to the device made an update fail that had succeeded."""
    back = command(INSTALL, sent=400) | told(0, 1, since=350) | {"since": ago(300)}
    unanswered = asked(version="FAILED", version_ask_reason="Leshan did not answer in time")
    assert step(update(State.RETURNED, **back, **unanswered)).asks
    found = step(update(State.RETURNED, **back, **unanswered, version_ask_answer="NOT_FOUND(404)"))
    assert (found.state, found.failure) == (State.FAILED, Failure.NO_VERSION)


# ---------------------------------------------------------------------------------------------------------
# Windows: NOW is 14:27:27 in Berlin


def windows(cron: str, minutes: int = 60, time_zone: str = "Europe/Berlin") -> dict[str, Any]:
    return {"install_in": {"windows": [{"cron": cron, "minutes": minutes}], "time_zone": time_zone}}


READY = command(PACKAGE_URI, sent=100) | told(2, 0)


def test_a_device_downloads_at_any_time_and_is_told_to_install_in_its_window_only() -> None:
    found = step(update(State.DOWNLOADING, **READY, **windows("0 2 * * *")))
    assert (found.state, found.command) == (State.DOWNLOADED, None)
    assert found.words == (
        "the device has downloaded the package; the install waits for its window, "
        "which opens Monday 2026-11-23 02:00 (Europe/Berlin)"
    )
    assert found.wait == (datetime(2026, 11, 23, 1, tzinfo=UTC) - NOW).total_seconds()
    at_once = step(update(State.DOWNLOADING, **READY, **windows("0 14 * * *")))
    assert (at_once.state, at_once.command) == (State.INSTALLING, Execute(path=INSTALL))
    assert at_once.expires_at == datetime(2026, 11, 22, 14, tzinfo=UTC)


def test_what_waits_for_its_window_installs_when_that_opens_and_waits_on_if_it_was_missed() -> None:
    waits = {**READY, "since": ago(3600)}
    for_it = update(State.DOWNLOADED, **waits, **windows("0 15 * * *"), not_before=ago(-1000))
    assert decide(for_it, TERMS) is None
    opened = update(State.DOWNLOADED, **waits, **windows("27 14 * * *"), not_before=ago(0))
    assert step(opened).state is State.INSTALLING
    missed = step(update(State.DOWNLOADED, **waits, **windows("0 13 * * *"), not_before=ago(5000)))
    assert (missed.state, missed.wait) == (State.DOWNLOADED, 22 * 3600 + 32 * 60 + 33)


def test_a_device_that_was_asleep_for_the_whole_window_is_not_told_after_it() -> None:
    missed = command(INSTALL, "EXPIRED", command_sent_at=None)
    found = step(update(State.INSTALLING, **missed, **windows("0 2 * * *")))
    assert found.state is State.DOWNLOADED
    assert "the device was not reached in its window; the install waits" in str(found.words)


def test_a_device_that_loses_the_package_while_it_waits_downloads_it_again() -> None:
    waits = windows("0 2 * * *") | {"not_before": ago(-9999)}
    idle = update(State.DOWNLOADED, **command(PACKAGE_URI, sent=100), **told(0, 0), **waits)
    found = step(idle)
    assert (found.state, found.failure) == (State.WAITING, Failure.DOWNLOAD_GONE)
    anew = update(State.DOWNLOADED, **READY, **waits, registration_id="r2")
    assert step(anew) == Step(State.DOWNLOADED, asks=True)
    by_itself = update(State.DOWNLOADED, **command(PACKAGE_URI, sent=100), **told(3, 0), **waits)
    assert step(by_itself).state is State.INSTALLING


@pytest.mark.parametrize(
    ("time_zone", "device", "offset", "opens"),
    [
        ("server", "Asia/Tokyo", None, "02:00 (America/New_York)"),
        ("device", "Asia/Tokyo", "+01:00", "02:00 (the device's time, Asia/Tokyo)"),
        ("device", None, "+05:30", "02:00 (the device's time, UTC+05:30)"),
        ("device", "", None, "02:00 (America/New_York; the device reports no time zone)"),
    ],
)
def test_a_window_is_of_the_device_s_time_zone_or_of_the_server_s(
    time_zone: str, device: str | None, offset: str | None, opens: str
) -> None:
    terms = Terms(TERMS.links, zone=ZoneInfo("America/New_York"))
    of = windows("0 2 * * *", time_zone=time_zone) | {"device_zone": device, "device_offset": offset}
    assert opens in str(step(update(State.DOWNLOADING, **READY, **of), terms).words)
    asked_for = zone_read(update(State.ASKING, **of))
    assert asked_for == (Read(path=Path(3, 0, 15)) if time_zone == "device" else None)


def test_the_time_that_an_update_waits_for_its_window_does_not_count_against_it() -> None:
    old = {"created_at": ago(9 * 24 * 3600), "since": ago(8 * 24 * 3600)}
    monthly = windows("0 2 1 * *") | {"not_before": ago(-9999)}
    assert decide(update(State.DOWNLOADED, **READY, **old, **monthly), TERMS) is None
    found = step(update(State.DOWNLOADING, **command(PACKAGE_URI), **old, **monthly))
    assert found.failure is Failure.TIMED_OUT
    recent = old | {"since": ago(60)}
    assert decide(update(State.DOWNLOADING, **command(PACKAGE_URI), **recent, **monthly), TERMS) is None


def test_one_that_waits_for_its_window_is_taken_back_by_telling_the_device() -> None:
    waits = windows("0 2 * * *") | {"not_before": ago(-9999), "cancelled_by": "ann"}
    expired = command(INSTALL, "EXPIRED", command_sent_at=None)
    for before in (READY, expired):
        assert step(update(State.DOWNLOADED, **before, **waits)).state is State.CANCELLING


def test_a_campaign_that_is_paused_holds_an_install_back_until_it_is_resumed() -> None:
    open_now, held = windows("0 14 * * *"), {"held_back": "campaign 3 is PAUSED"}
    waits = update(State.DOWNLOADED, **READY, **open_now, **held, not_before=ago(0))
    for of in (waits, update(State.DOWNLOADING, **READY, **open_now, **held)):
        found = step(of)
        assert (found.state, found.command, found.wait) == (State.DOWNLOADED, None, None)
        assert str(found.words).endswith("the install is held back: campaign 3 is PAUSED")
    noted = waits._replace(not_before=None)
    assert decide(noted, TERMS) is None
    assert step(noted._replace(registration_id="r2")) == Step(State.DOWNLOADED, asks=True)
    assert step(noted._replace(held_back=None)).command == Execute(path=INSTALL)
    missed = step(noted._replace(held_back=None, **windows("0 2 * * *")))
    assert (missed.state, missed.command) == (State.DOWNLOADED, None)
    assert step(update(State.DOWNLOADING, **READY)).command == Execute(path=INSTALL)


def test_a_campaign_that_is_paused_takes_back_an_install_that_its_sleeper_was_not_told_yet() -> None:
    asleep = update(
        State.INSTALLING, **command(INSTALL, "QUEUED", command_sent_at=None), **windows("0 14 * * *")
    )
    assert decide(asleep, TERMS) is None
    found = step(asleep._replace(held_back="campaign 3 is PAUSED"))
    assert (found.state, found.command, found.asks) == (State.DOWNLOADED, None, False)
    assert found.words == "the install is held back before the device was told: campaign 3 is PAUSED"
    found_asleep = asleep._replace(command_sent_at=ago(1), held_back="campaign 3 is PAUSED")
    assert step(found_asleep).state is State.DOWNLOADED
    told = asleep._replace(command_sent_at=ago(1), command_status="SENDING", held_back="campaign 3 is PAUSED")
    assert decide(told, TERMS) is None


def test_an_install_that_its_sleeper_was_not_told_yet_is_taken_back() -> None:
    """Its device woke, and installed what somebody had cancelled."""
    asleep = update(State.INSTALLING, cancelled_by="ann", **command(INSTALL, "QUEUED", command_sent_at=None))
    found = step(asleep)
    assert (found.state, found.command) == (State.CANCELLING, Execute(path=CANCEL, repeatable=True))
    found_asleep = asleep._replace(command_sent_at=ago(1))
    assert step(found_asleep).state is State.CANCELLING
    assert decide(found_asleep._replace(command_status="SENDING"), TERMS) is None
    by_itself = asleep._replace(command_path=str(PACKAGE_URI))
    assert step(by_itself._replace(registration_id="r2")) == Step(State.INSTALLING, asks=True)


@pytest.mark.parametrize("state", [State.INSTALLING, State.RETURNED])
def test_who_installs_goes_on(state: State) -> None:
    found = step(update(state, cancelled_by="ann", **command(INSTALL), **reports("2.0.1")))
    assert found.state is State.CONFIRMED


@pytest.mark.parametrize("state", sorted(ENDED))
def test_what_has_ended_takes_no_step(state: State) -> None:
    assert decide(update(state, cancelled_by="ann"), TERMS) is None


TIMES = st.none() | st.floats(0, 500).map(ago)


@given(
    st.sampled_from(sorted(State)),
    st.fixed_dictionaries(
        {
            "tries": st.integers(0, 3),
            "device_state": st.none() | st.integers(0, 3),
            "device_state_at": TIMES,
            "result": st.none() | st.integers(0, 12),
            "result_at": TIMES,
            "device_version": st.sampled_from([None, "1.0.0", "2.0.1"]),
            "device_version_at": TIMES,
            "command": st.none() | st.just(3),
            "command_path": st.sampled_from(
                [None, str(INSTALL), str(PACKAGE), str(PACKAGE_URI), str(CANCEL)]
            ),
            "command_status": st.sampled_from(
                [None, "QUEUED", "SENDING", "CONFIRMED", "FAILED", "CANCELLED"]
            ),
            "command_verdict": st.sampled_from([None, "refused", "failed", "unknown"]),
            "command_sent_at": TIMES,
            "command_ended_at": TIMES,
            "state_ask_status": st.sampled_from([None, "QUEUED", "CONFIRMED", "FAILED"]),
            "version_ask_status": st.sampled_from([None, "QUEUED", "CONFIRMED", "FAILED"]),
            "registered": st.booleans(),
            "registration_id": st.sampled_from(["r1", "r2"]),
            "cancelled_by": st.sampled_from([None, "ann"]),
            "protocols": st.none() | st.lists(st.integers(0, 5)),
            "delivery": st.none() | st.integers(0, 2),
            "way": st.sampled_from([None, "http", "coap", "push"]),
            "held_back": st.sampled_from([None, "campaign 3 is PAUSED"]),
            "install_in": st.none() | st.just(windows("0 2 * * *")["install_in"]),
            "not_before": TIMES,
            "since": st.floats(0, 500).map(ago),
        }
    ),
)
def test_whatever_comes_a_step_is_whole_and_tries_are_bounded(state: State, columns: dict[str, Any]) -> None:
    of = update(state, **columns)
    found = decide(of, TERMS)
    if found is None:
        return
    if found.state is not state:
        assert found.words
    if found.state is State.FAILED:
        assert found.failure
    if found.state is State.WAITING:
        assert found.wait
        assert of.tries + found.is_try < MAX_TRIES
    if found.state is State.CONFIRMED:
        assert of.device_version == of.version
    if found.state in ENDED:
        assert (found.command, found.asks) == (None, False)


def test_patience_is_a_setting() -> None:
    hasty = Terms(TERMS.links, Patience(ask=1, grace=2, absence=3, retry=4, limit=1000))
    found = step(update(State.DOWNLOADING, **command(PACKAGE_URI), **told(0, 4)), hasty)
    assert (found.wait, "the next try comes in 4 seconds" in str(found.words)) == (4, True)
