"""Firmware by CoAP: many devices download at once, block by block, through a Leshan that keeps no package.

Full size: COAP_DEVICES=100 COAP_BYTES=1048576.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from pathlib import Path

import pytest

from benchmarks.heap import kept
from chaos.kills import kill
from tests.fixtures.device import CONTENT, NOT_FOUND, StartDevice
from tests.fixtures.firmware import cli, follow, image, upload, whole
from tests.fixtures.nexus import Nexus, wait_for

DEVICES = int(os.environ.get("COAP_DEVICES", "12"))
SIZE = int(os.environ.get("COAP_BYTES", str(256 * 1024)))
IS_FULL = DEVICES >= 100
MEGABYTE = 1024 * 1024
QUIET_S = 30 if IS_FULL else 5
"""How long values are ingested before anything is downloaded."""
GROUPS = (
    f"prefix=coap-,count={DEVICES},notify=0,lifetime=600,update=120s,download=coap",
    "prefix=push-,count=5,notify=0,lifetime=60,update=5s,download=push",
    "prefix=sim-,count=20,notify=250ms,lifetime=600,update=120s",
)
NEXUS = {
    "stack_environment": {"FIRMWARE_ASK_AFTER": "20s", "FIRMWARE_RETRY_DELAY": "1s"},
    "long_poll_timeout": 30.0 if IS_FULL else 3.0,  # so many devices are busy for longer
    "simulator_arguments": ("--max-package-bytes", str(16 * MEGABYTE)),
}


@pytest.mark.timeout(900 if IS_FULL else 150)
def test_many_devices_download_in_blocks_of_256_bytes_at_once_and_leshan_s_heap_does_not_grow(
    nexus: Nexus, tmp_path: Path
) -> None:
    """Each device compares the SHA-256 of what came before it installs it."""
    content = whole("2", SIZE)
    package = upload(nexus, tmp_path, content, "2")
    before = kept(nexus.world)
    time.sleep(QUIET_S)
    quiet = ingest_p99(nexus, QUIET_S)
    names = [f"coap-{number:04}" for number in range(1, DEVICES + 1)]
    began = time.monotonic()
    done = cli(
        nexus, "campaign", "create", "all", str(package), *names, "--yes", "--waves", "rest",
        "--max-open", str(DEVICES), "--starts-per-minute", "1000",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    most = busy = 0.0

    def downloaded() -> bool:
        nonlocal most, busy
        most = max(most, kept(nexus.world))
        [row] = nexus.sql("SELECT coalesce(sum(served), 0) AS served FROM firmware_download")
        if row["served"] < DEVICES * len(content):
            busy = time.monotonic() - began
        return bool(row["served"] >= DEVICES * len(content))

    wait_for(downloaded, 600 if IS_FULL else 90, "all to be downloaded", interval=2)
    loaded = ingest_p99(nexus, busy)
    wait_for(
        lambda: nexus.sql("SELECT status FROM campaign") != [{"status": "RUNNING"}], 60, "the campaign's end"
    )
    print(
        f"downloaded in {busy:.0f} s; Leshan's heap {(most - before) / MEGABYTE:+.1f} MB;"
        f" ingest p99 {loaded * 1000:.0f} ms, {quiet * 1000:.0f} ms without"
    )
    ended = nexus.sql("SELECT state, tries, words, count(*) AS n FROM firmware_update GROUP BY 1, 2, 3")
    words = "the device reports version 2"
    assert ended == [{"state": "CONFIRMED", "tries": 1, "words": words, "n": DEVICES}]
    assert most - before < 20 * MEGABYTE
    offered = nexus.sql("SELECT value ->> 'value' AS uri FROM endpoint_operation WHERE path = '/5/0/1'")
    assert {row["uri"].split("/fw/")[0] for row in offered} == {nexus.world.coap_url}


def test_a_device_that_takes_packages_only_by_a_write_is_written_it(nexus: Nexus, tmp_path: Path) -> None:
    found = follow(nexus, "push-0001", upload(nexus, tmp_path, whole("3", 100_000), "3"))
    assert (found["state"], found["tries"], found["percent"]) == ("CONFIRMED", 1, 100), found["steps"]
    assert nexus.control("push-0001")["values"]["/5/0/1"] == ""
    assert nexus.control("push-0001")["values"]["/3/0/3"] == "3"


@pytest.mark.timeout(500)  # a block takes far longer on a busy machine
@pytest.mark.parametrize("gone", ["device", "leshan", "function dispatch-op"])
def test_a_write_that_is_lost_in_the_middle_begins_again(nexus: Nexus, tmp_path: Path, gone: str) -> None:
    name, version = {
        "device": ("push-0002", "4"),
        "leshan": ("push-0003", "5"),
        "function dispatch-op": ("push-0004", "6"),
    }[gone]
    content = whole(version, 3 * MEGABYTE // 2)
    package = upload(nexus, tmp_path, content, version)
    assert cli(nexus, "update", name, str(package)).returncode == 0
    query = (
        "SELECT u.id, u.state, u.finished_at, d.reached"
        " FROM firmware_update u JOIN endpoint e ON e.id = u.endpoint_id"
        " LEFT JOIN firmware_download d ON d.update_id = u.id WHERE e.name = %s"
    )
    wait_for(lambda: (nexus.sql(query, name)[0]["reached"] or 0) >= 64 * 1024, 90, "the first of it")
    if gone == "device":
        nexus.control(name, "stop")
    else:
        assert kill(nexus.world, gone, random.Random(3))
    [row] = nexus.sql(query, name)
    assert (row["state"], row["reached"] < len(content)) == ("DOWNLOADING", True)
    if gone == "device":
        nexus.control(name, "start")
    wait_for(lambda: nexus.sql(query, name)[0]["finished_at"], 300, "its end")
    [row] = nexus.sql(query, name)
    assert row["state"] == "CONFIRMED", cli(nexus, "updates", "show", str(row["id"])).stdout
    assert nexus.control(name)["values"]["/3/0/3"] == version


def test_a_write_that_is_cancelled_ends_at_once_and_the_device_forgets_what_came(
    nexus: Nexus, tmp_path: Path
) -> None:
    package = upload(nexus, tmp_path, whole("7", 12 * MEGABYTE), "7")
    assert cli(nexus, "update", "push-0005", str(package)).returncode == 0
    query = (
        "SELECT u.id, d.reached, c.status FROM firmware_update u JOIN endpoint e ON e.id = u.endpoint_id"
        " LEFT JOIN firmware_download d ON d.update_id = u.id"
        " LEFT JOIN endpoint_operation c ON c.endpoint_id = e.id AND c.path = '/5/0/0'"
        " WHERE e.name = 'push-0005'"
    )
    wait_for(lambda: nexus.sql(query)[0]["reached"], 90, "the first of it")
    [row] = nexus.sql(query)
    assert cli(nexus, "updates", "cancel", str(row["id"])).returncode == 0
    shown = cli(nexus, "updates", "show", str(row["id"]), "--wait", "--json")
    update = json.loads(shown.stdout)
    assert (update["state"], update["words"]) == ("CANCELLED", "the device has discarded the package")
    assert update["percent"] < 100
    wait_for(lambda: nexus.sql(query)[0]["status"] in ("CANCELLED", "EXPIRED"), 30, "its operation's end")
    values = nexus.control("push-0005")["values"]
    assert (values["/5/0/3"], values["/3/0/3"]) == (0, "1.0.0")


def ingest_p99(nexus: Nexus, seconds: float) -> float:
    """Return within how many seconds 99 % of the values of so many last seconds were stored."""
    rows = nexus.sql(
        "SELECT extract(epoch FROM stored_at - time)::float8 AS took FROM telemetry"
        " WHERE path = '/3303/0/5700' AND time > now() - make_interval(secs => %s)",
        seconds,
    )
    took: list[float] = [row["took"] for row in rows]
    return statistics.quantiles(took, n=100)[98]


def test_a_token_of_another_device_or_of_a_retired_package_or_another_path_is_nothing(
    nexus: Nexus, tmp_path: Path, start_device: StartDevice
) -> None:
    one, other = (start_device(nexus.world.ports.coap, name, {"/3/0/3": "1"}) for name in ("one", "other"))
    for device in (one, other):
        device.register()
    wait_for(lambda: nexus.endpoint("one"), 10, "the device to be known")
    package = upload(nexus, tmp_path, image("9") + b"." * 100_000, "9")
    # The device that it is of is stopped before it is asked for its firmware object, which it has not.
    nexus.sql("INSERT INTO firmware_update (endpoint_id, firmware_id, token, requested_by, not_before)"
              " SELECT id, %s, %s, 'test', now() + interval '1 hour' FROM endpoint WHERE name = 'one'",
              package, "T" * 24)  # fmt: skip
    path = "/fw/" + "T" * 24
    assert one.get(path, 0).code == CONTENT
    assert other.get(path, 0).code == NOT_FOUND
    for wrong in (
        "/fw/" + "U" * 24,
        "/fw/..",
        "/fw/../../etc/passwd",
        "/fw/%2e%2e%2fetc%2fpasswd",
        path + "/x",
    ):
        assert one.get(wrong, 0).code == NOT_FOUND, wrong
    assert cli(nexus, "firmware", "retire", str(package)).returncode == 0
    assert one.get(path, 300).code == NOT_FOUND
