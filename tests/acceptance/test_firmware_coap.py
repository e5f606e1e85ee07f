"""Firmware by CoAP: many devices download at once, block by block, through a Leshan that keeps no package."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path

import pytest

from tests.fixtures.firmware import cli, upload
from tests.fixtures.nexus import Nexus, wait_for

DEVICES = 100
SIZE = 1024 * 1024
MEGABYTE = 1024 * 1024
GROUPS = (f"prefix=coap-,count={DEVICES},notify=0,lifetime=600,update=120s,download=coap",)
NEXUS = {"stack_environment": {"FIRMWARE_ASK_AFTER": "20s"}}


@pytest.mark.timeout(420)
def test_a_hundred_devices_download_a_megabyte_each_in_blocks_of_256_bytes(
    nexus: Nexus, tmp_path: Path
) -> None:
    """Each compares the SHA-256 of what came before it installs it."""
    body = random.Random(3).randbytes(SIZE)
    content = f"version=2\nsha256={hashlib.sha256(body).hexdigest()}\n\n".encode() + body
    package = upload(nexus, tmp_path, content, "2")
    before = nexus.world.metric("heap_kept_bytes")
    most = 0
    began = time.monotonic()
    done = cli(
        nexus, "campaign", "create", "all", str(package), "--yes", "--waves", "rest",
        "--max-open", "100", "--starts-per-minute", "1000",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    def finished() -> bool:
        nonlocal most
        most = max(most, nexus.world.metric("heap_kept_bytes"))
        [row] = nexus.sql("SELECT status FROM campaign")
        return bool(row["status"] != "RUNNING")

    wait_for(finished, 360, "the campaign's end", interval=1)
    took = time.monotonic() - began
    ended = nexus.sql("SELECT state, count(*) AS n FROM firmware_update GROUP BY 1")
    print(f"{took:.0f} s, Leshan's heap {(most - before) / MEGABYTE:+.1f} MB")
    assert ended == [{"state": "CONFIRMED", "n": DEVICES}]
    assert most - before < 20 * MEGABYTE
    [row] = nexus.sql("SELECT sum(served) AS served FROM firmware_download")
    assert row["served"] >= DEVICES * len(content)
