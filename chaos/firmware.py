"""New firmware for some devices of a trial, by a campaign, and what must be in the end."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from chaos import evidence
from chaos.finding import Finding
from flownexus.firmware.package import VERSION_PATH
from flownexus.firmware.state import ENDED, State
from flownexus.firmware.steps import MAX_TRIES
from local import REPOSITORY
from local.world import World

VERSION: Final = "chaos-2"
IMAGE: Final = f"version={VERSION}\n\n".encode() + b"image" * 20_000
SHORT: Final[Mapping[str, str]] = {
    "FIRMWARE_ASK_AFTER": "3s",
    "FIRMWARE_GRACE": "10s",
    "FIRMWARE_RETRY_DELAY": "5s",
}
"""Settings by which an update goes on soon after a kill, and no three tries end before a part is back."""
GIVEN_UP: Final = f"given up after {MAX_TRIES} tries"
CLI_TIMEOUT: Final = 60.0
STARTS_WITHIN: Final = 0.7
"""The share of the time in which all updates have started."""


class FirmwareError(RuntimeError):
    """The campaign cannot be started."""


def begin(world: World, devices: Sequence[str], seconds: float) -> None:
    """Begin a campaign, as its users do, whose updates start over so many seconds."""
    file = world.home / "chaos.bin"
    file.write_bytes(IMAGE)
    a_minute = math.ceil(len(devices) / (seconds * STARTS_WITHIN) * 60)
    _cli(world, "firmware", "upload", str(file), "--version", VERSION)
    _cli(
        world, "campaign", "create", "chaos", VERSION, *devices, "--yes",
        "--waves", "rest", "--starts-per-minute", str(a_minute),
    )  # fmt: skip


def retry_failed(world: World) -> int:
    """Begin again what was given up, and return how much that is.

    A kill may meet each of a device's three tries; so may an outage, and then its users do this.
    """
    with psycopg.connect(world.database_url) as connection:
        failed = sum(each.given_up for each in updates(connection))
        [campaign] = evidence.texts(connection, "SELECT id::text FROM campaign")
    if failed:
        _cli(world, "campaign", "retry", campaign)
    return failed


def _cli(world: World, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words],
        cwd=REPOSITORY,
        env={**os.environ, **world.environment()},
        capture_output=True,
        text=True,
        timeout=CLI_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise FirmwareError(f"flownexus {' '.join(words)}: {done.stdout}{done.stderr}")


def findings(world: World, connection: psycopg.Connection[Any], devices: Sequence[str]) -> list[Finding]:
    """Return what must not be among the devices that the campaign was for."""
    reported = {name: evidence.values(world, name).get(VERSION_PATH) for name in devices}
    ended = evidence.texts(connection, "SELECT status || ': ' || words FROM campaign")
    return [
        Finding("campaigns not finished", 1, [each for each in ended if not each.startswith("FINISHED")]),
        Finding(
            "devices not updated, or twice",
            len(devices),
            not_updated(updates(connection), devices, VERSION, reported),
        ),
        Finding(
            "devices that did not install once",
            len(devices),
            installed_otherwise(devices, evidence.installs(world)),
        ),
    ]


def ended(world: World) -> bool:
    """Say whether all campaigns and updates have."""
    with psycopg.connect(world.database_url) as connection:
        return not undone(connection)


def undone(connection: psycopg.Connection[Any]) -> list[str]:
    """Return campaigns and updates that have not ended."""
    running = evidence.texts(connection, "SELECT 'campaign ' || id FROM campaign WHERE status = 'RUNNING'")
    return running + [str(each) for each in updates(connection) if each.state not in ENDED]


def updates(connection: psycopg.Connection[Any]) -> list[Update]:
    """Read the firmware updates, in the order in which they began."""
    rows = connection.execute(
        "SELECT e.name, u.state, u.words FROM firmware_update u JOIN endpoint e ON e.id = u.endpoint_id"
        " ORDER BY u.id"
    )
    return [Update(*row) for row in rows]


@dataclass(frozen=True)
class Update:
    """The firmware update of a device as its row has it."""

    endpoint: str
    state: str
    words: str

    @property
    def given_up(self) -> bool:
        """Say whether each of its tries met a kill."""
        return self.state == State.FAILED and self.words.endswith(GIVEN_UP)

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.state}, {self.words}"


def not_updated(
    updates: Iterable[Update], devices: Iterable[str], version: str, versions: Mapping[str, str | None]
) -> list[str]:
    """Return devices that have not one update, CONFIRMED, or that report another version in the end.

    Before it there may be some that were given up, and begun again.
    """
    rows: dict[str, list[Update]] = defaultdict(list)
    for update in updates:
        rows[update.endpoint].append(update)
    wrong = []
    for device in devices:
        own, reported = rows[device], versions.get(device)
        counted = [update for update in own if not update.given_up]
        is_last = bool(own) and own[-1].state == State.CONFIRMED
        if len(counted) != 1 or not is_last or reported != version:
            wrong.append(f"{device} reports {reported}; {'; '.join(map(str, own)) or 'no update'}")
    return wrong


def installed_otherwise(devices: Iterable[str], installs: Iterable[str]) -> list[str]:
    """Return devices that did not install once; `installs` has the device of each install that one began."""
    begun = Counter(installs)
    expected = Counter(devices)
    return [
        f"{device}: {begun[device]} installs"
        for device in sorted({*begun, *expected})
        if begun[device] != expected[device]
    ]
