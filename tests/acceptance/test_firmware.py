"""Firmware over the air, in the whole world: by the command line, and how updates end."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from chaos.kills import kill
from tests.fixtures.firmware import cli, follow, image, upload
from tests.fixtures.nexus import Nexus, Row, wait_for

DEVICES = 10
KILL_EVERY = 4.0
"""Seconds between two kills."""
FAULTS = (
    *("loses", "resumes", "reboots-downloading", "reboots-installing", "rolls-back", "forgets", "defers"),
    *("misreads", "no-protocol"),
)
"""What goes wrong on a device each, by the simulator's --group."""
GROUPS = (
    "prefix=fw-,count=6,notify=0,lifetime=60,update=10s",
    f"prefix=many-,count={DEVICES},notify=0,lifetime=60,update=10s",
    *(f"prefix={fault}-,count=1,notify=0,lifetime=60,update=10s,firmware={fault}" for fault in FAULTS),
    "prefix=never-returns-,count=1,notify=0,lifetime=10,update=3s,firmware=never-returns",
)
NEXUS = {
    "stack_environment": {
        "FIRMWARE_ASK_AFTER": "3s",
        "FIRMWARE_GRACE": "6s",
        "FIRMWARE_RETRY_DELAY": "1s",
        "FIRMWARE_ABSENCE": "5s",
    },
    "simulator_arguments": ("--max-package-bytes", "200000"),
}


def open_operations(nexus: Nexus) -> list[Row]:
    return nexus.sql(
        "SELECT id, path FROM endpoint_operation WHERE requested_by = 'firmware' AND finished_at IS NULL"
    )


def test_one_device_from_the_upload_to_the_new_version_by_the_command_line_in_under_a_minute(
    nexus: Nexus, tmp_path: Path
) -> None:
    began = time.monotonic()
    package = upload(nexus, tmp_path, image("2.0.1"), "2.0.1", label="spring")
    done = cli(nexus, "update", "fw-0001", "spring", "--wait")
    took = time.monotonic() - began
    print(f"{took:.1f} s\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert took < 60
    assert "update 1  fw-0001  to spring  CONFIRMED  100 %: the device reports version 2.0.1" in done.stdout
    assert nexus.control("fw-0001")["values"]["/3/0/3"] == "2.0.1"
    assert "package 1 spring  version 2.0.1" in cli(nexus, "firmware", "show", str(package)).stdout

    again = follow(nexus, "fw-0001", package)
    assert (again["state"], again["words"]) == ("SKIPPED", "the device already has version 2.0.1")
    wait_for(lambda: not open_operations(nexus), 10, "the updates to leave nothing behind")


@pytest.mark.parametrize(
    ("content", "version", "state", "failure", "tries", "words"),
    [
        (b"x" * 200_001, "3", "FAILED", "no-space", 3, "enough flash for the package (result 2)"),
        (image("3", "sha256=00"), "3", "FAILED", "bad-checksum", 1, "integrity check (result 5)"),
        (
            image("3", "result=8"),
            "3",
            "FAILED",
            "install-failed",
            3,
            "failed to install the package (result 8)",
        ),
        (image("1.1.10"), "1.1.1", "FAILED", "wrong-version", 1, "version 1.1.10, not 1.1.1"),
    ],
    ids=["no space", "bad checksum", "install fails", "1.1.10 is not 1.1.1"],
)
def test_an_update_that_fails_says_why(
    nexus: Nexus,
    tmp_path: Path,
    content: bytes,
    version: str,
    state: str,
    failure: str,
    tries: int,
    words: str,
) -> None:
    package = upload(nexus, tmp_path, content, version)
    found = follow(nexus, "fw-0002", package)
    assert (found["state"], found["failure"], found["tries"]) == (state, failure, tries), found["steps"]
    assert words in found["words"]


def kinds(update: dict[str, Any]) -> list[str]:
    """Return the states that an update went through."""
    return [step["state"] for step in update["steps"]]


@pytest.mark.parametrize(
    ("fault", "state", "failure", "tries", "words"),
    [
        ("loses", "CONFIRMED", "connection-lost", 2, "reports version 2.0.1"),
        ("resumes", "CONFIRMED", None, 1, "reports version 2.0.1"),
        ("reboots-downloading", "CONFIRMED", "download-gone", 2, "reports version 2.0.1"),
        ("reboots-installing", "CONFIRMED", None, 2, "reports version 2.0.1"),
        ("forgets", "CONFIRMED", None, 1, "reports version 2.0.1"),
        ("defers", "CONFIRMED", None, 1, "reports version 2.0.1"),
        ("rolls-back", "FAILED", "rolled-back", 1, "version 1.0.0, not 2.0.1 and without a result"),
        ("never-returns", "FAILED", "no-return", 1, "was told to install and has been absent for 5 seconds"),
        ("misreads", "FAILED", "invalid-uri", 1, "found nothing there (result 7)"),
        ("no-protocol", "FAILED", "unsupported-protocol", 1, "does not support the protocol"),
    ],
)
def test_each_ending_has_its_state_and_its_words(
    nexus: Nexus,
    tmp_path: Path,
    fault: str,
    state: str,
    failure: str | None,
    tries: int,
    words: str,
) -> None:
    content = image("2.0.1", "name=endings") + b"." * 100_000
    found = follow(nexus, f"{fault}-0001", upload(nexus, tmp_path, content, "2.0.1"))
    assert (found["state"], found["failure"], found["tries"]) == (state, failure, tries), found["steps"]
    assert words in found["words"]
    if fault == "defers":
        assert "DEFERRED" in kinds(found)
    if state == "CONFIRMED":
        assert nexus.control(f"{fault}-0001")["values"]["/3/0/3"] == "2.0.1"


def test_a_registration_before_the_install_is_no_failure(nexus: Nexus, tmp_path: Path) -> None:
    """A new registration in the middle marked an update as failed once, in another house."""
    package = upload(nexus, tmp_path, image("4"), "4")
    cli(nexus, "update", "fw-0003", str(package))
    wait_for(
        lambda: nexus.sql(
            "SELECT number FROM firmware_step WHERE state = 'DOWNLOADING'"
            " AND update_id = (SELECT max(id) FROM firmware_update)"
        ),
        20,
    )
    nexus.control("fw-0003", "register")
    [row] = nexus.sql("SELECT max(id) AS id FROM firmware_update")
    done = cli(nexus, "updates", "show", str(row["id"]), "--wait")
    assert done.returncode == 0, done.stdout
    assert "CONFIRMED" in done.stdout


def test_the_download_url_is_short_enough_for_small_devices(nexus: Nexus) -> None:
    """Zephyr's client has room for 255 characters, and none for a query."""
    written = nexus.sql("SELECT value ->> 'value' AS uri FROM endpoint_operation WHERE path = '/5/0/1'")
    uris = {row["uri"] for row in written} - {""}
    assert uris
    for uri in uris:
        assert len(uri) <= 200
        assert "?" not in uri
        assert max(map(len, uri.split("/"))) < 100


@pytest.mark.timeout(240)
def test_a_campaign_ends_the_same_whatever_is_killed_meanwhile(nexus: Nexus, tmp_path: Path) -> None:
    package = upload(nexus, tmp_path, image("5") + b"." * 100_000, "5")
    names = [f"many-{number:04}" for number in range(1, DEVICES + 1)]
    done = cli(
        nexus, "campaign", "create", "spring", str(package), *names, "--yes", "--json",
        "--waves", "1,rest", "--soak", "0", "--max-open", "5", "--starts-per-minute", "1000",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    id_ = json.loads(done.stdout)["id"]
    victims = [f"function {name}" for name in ("firmware", "dispatch-op", "registration", "ingest-single")]
    deck = itertools.cycle([*victims, "leshan", "downloads", "connector"])
    random = Random(3)
    deadline = time.monotonic() + 150
    while (status := campaign(nexus, id_)["status"]) == "RUNNING" and time.monotonic() < deadline:
        assert kill(nexus.world, next(deck), random)
        time.sleep(KILL_EVERY)
    assert status == "FINISHED"
    ended = nexus.sql(
        "SELECT u.state, count(*) AS n FROM campaign_target t JOIN firmware_update u ON u.id = t.update_id"
        " WHERE t.campaign_id = %s GROUP BY 1",
        id_,
    )
    assert ended == [{"state": "CONFIRMED", "n": DEVICES}]
    assert {nexus.control(name)["values"]["/3/0/3"] for name in names} == {"5"}


def campaign(nexus: Nexus, id_: int) -> Row:
    [row] = nexus.sql("SELECT status, words FROM campaign WHERE id = %s", id_)
    return row


def test_a_campaign_stops_within_a_second_of_the_result_that_decides(nexus: Nexus, tmp_path: Path) -> None:
    package = upload(nexus, tmp_path, image("6", "sha256=00"), "6")
    names = [f"many-{number:04}" for number in range(1, DEVICES + 1)]
    done = cli(
        nexus, "campaign", "create", "bad", str(package), *names, "--yes", "--json",
        "--waves", "rest", "--max-open", "3", "--min-finished", "3", "--failures", "10",
    )  # fmt: skip
    id_ = json.loads(done.stdout)["id"]
    wait_for(lambda: campaign(nexus, id_)["status"] == "STOPPED", 60, "it to stop")
    [row] = nexus.sql(
        "SELECT extract(epoch FROM s.time - (SELECT max(finished_at) FROM (SELECT u.finished_at"
        " FROM campaign_target t JOIN firmware_update u ON u.id = t.update_id"
        " WHERE t.campaign_id = %s AND u.state = 'FAILED'"
        " ORDER BY u.finished_at LIMIT 3) first)) AS late,"
        " (SELECT count(*) FROM campaign_target WHERE campaign_id = %s AND update_id IS NOT NULL) AS begun"
        " FROM campaign_step s WHERE s.campaign_id = %s AND s.by IS NULL ORDER BY s.number DESC LIMIT 1",
        id_, id_, id_,
    )  # fmt: skip
    print(f"stopped {float(row['late']):.2f} s after the third failure, {row['begun']} had begun")
    assert float(row["late"]) < 1
    assert row["begun"] <= 6
    shown = cli(nexus, "campaign", "show", str(id_))
    assert "bad-checksum" in shown.stdout
    assert "updates failed, more than 10 %" in shown.stdout
