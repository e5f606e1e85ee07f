"""Devices that move and sleep: what reaches them, and when, over DTLS behind a NAT.

REACH_DEVICES and REACH_AWAKE_S give the sizes; by default they are small.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from chaos.evidence import read_lines
from local import web
from local.options import PARTS
from tests.fixtures.nat import Nat
from tests.fixtures.nexus import Nexus, running, wait_for
from tests.fixtures.simulator import simulator

COUNT = int(os.environ.get("REACH_DEVICES", "20"))
AWAKE_S = [int(each) for each in os.environ.get("REACH_AWAKE_S", "2,5,12").split(",")]
"""Of three devices side by side."""
TEMPERATURE = "/3303/0/5700"
ESTABLISHED = "established_sessions_total"
LISTENS_S = 4


class Fleet:
    """Devices over DTLS behind a NAT."""

    def __init__(self, nexus: Nexus, nat: Nat, folder: Path, prefix: str, count: int) -> None:
        self.nexus = nexus
        self.nat = nat
        self.ledger = folder / "ledger.jsonl"
        self.names = [f"{prefix}{number:04d}" for number in range(1, count + 1)]

    def acknowledged(self) -> list[dict[str, Any]]:
        return [line for line in read_lines(self.ledger) if line["path"] == TEMPERATURE and "why" not in line]

    def await_idle(self) -> None:
        """Wait until the plan of each device is done."""
        wait_for(
            lambda: (
                not self.nexus.sql(
                    "SELECT FROM endpoint_operation WHERE status IN ('QUEUED', 'SENDING') LIMIT 1"
                )
            ),
            60,
            "the plan of all devices to be done",
        )

    def await_values(self, timeout: float = 60) -> None:
        """Wait until each device has had another value acknowledged."""
        seen = len(read_lines(self.ledger))

        def all_have() -> bool:
            lines = read_lines(self.ledger)[seen:]
            return {line["ep"] for line in lines if line["path"] == TEMPERATURE} >= set(self.names)

        wait_for(all_have, timeout, "another value of each device")

    def queue(self, names: Sequence[str] = ()) -> list[int]:
        return [self.nexus.write(name, "/3/0/15", secrets.token_hex(4)) for name in names or self.names]

    def asleep(self) -> list[str]:
        """Return devices that sleep, of which there will be some."""

        def found() -> list[str]:
            return [client["endpoint"] for client in self.nexus.world.clients() if client["sleeping"]]

        wait_for(lambda: 2 * len(found()) > len(self.names), 60, "half of the devices to sleep")
        time.sleep(1)  # PostgreSQL takes them for awake a little longer
        return found()

    def lost(self) -> set[tuple[str, float]]:
        """Return the values that devices were acknowledged and that are no rows."""
        told = {(line["ep"], line["value"]) for line in self.acknowledged()}
        rows = self.nexus.sql("SELECT endpoint, number FROM telemetry WHERE path = %s", TEMPERATURE)
        return told - {(row["endpoint"], row["number"]) for row in rows}

    def registrations(self) -> int:
        [row] = self.nexus.sql("SELECT count(*) AS n FROM event WHERE event_type = 'registered'")
        count: int = row["n"]
        return count

    def update(self, name: str) -> None:
        """Let a device update its registration."""
        port = json.loads((self.ledger.parent / "ready.json").read_text())["control"]
        status, text = web.request(port, "POST", f"/devices/{name}/update")
        assert status == 200, text

    def await_presence(self, name: str, wanted: str, timeout: float) -> None:
        wait_for(lambda: presence(self.nexus, name) == wanted, timeout, f"{name} to be {wanted}")

    def await_reason(self, id_: int) -> dict[str, Any]:
        """Wait until an operation has been looked at and left for later."""
        return wait_for(lambda: (row := self.nexus.operation(id_))["reason"] and row, 5, "a look at it")

    def heard(self) -> int:
        [row] = self.nexus.sql("SELECT count(*) AS n FROM event WHERE event_type = 'heard'")
        heard: int = row["n"]
        return heard


@pytest.fixture
def nexus(tmp_path: Path) -> Iterator[Nexus]:
    parts = frozenset(PARTS) - {"simulator"}
    with running(tmp_path / "home", parts=parts, long_poll_timeout=15.0) as nexus:
        yield nexus


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start_fleet(
    nexus: Nexus, stack: ExitStack, folder: Path, groups: Sequence[str], prefix: str, count: int = COUNT
) -> Fleet:
    """Run groups of devices over DTLS, behind a NAT, until their plan is done."""
    key = secrets.token_hex(16)
    for number in range(1, count + 1):
        name = f"{prefix}{number:04d}"
        entry = {
            "endpoint": name,
            "tls": {"mode": "psk", "details": {"identity": f"id-{name}", "key": key}},
        }
        status, text = web.request(
            nexus.world.ports.leshan,
            "PUT",
            "/api/security/clients",
            body=entry,
            headers=web.bearer(nexus.token("leshan")),
        )
        assert status == 200, text
    folder.mkdir()
    (folder / "psk").touch(mode=0o600)
    (folder / "psk").write_text(key)
    nat = stack.enter_context(Nat(nexus.world.ports.coaps))
    arguments = ("--psk-identity-prefix", "id-", "--psk-key-file", str(folder / "psk"))
    stack.enter_context(
        simulator(nexus.world, f"coaps://127.0.0.1:{nat.port}", *groups, arguments=arguments, folder=folder)
    )
    nexus.await_online(count, 120)
    fleet = Fleet(nexus, nat, folder, prefix, count)
    fleet.await_idle()
    return fleet


def presence(nexus: Nexus, name: str) -> str:
    [row] = nexus.sql("SELECT presence(e) AS presence FROM endpoint e WHERE name = %s", name)
    told: str = row["presence"]
    return told


def percentile(numbers: Sequence[float], share: float) -> float:
    return sorted(numbers)[math.ceil(share * len(numbers)) - 1]


def durations(nexus: Nexus, ids: Sequence[int]) -> list[float]:
    rows = nexus.sql(
        "SELECT extract(epoch FROM finished_at - created_at)::float AS s FROM endpoint_operation"
        " WHERE id = ANY(%s) AND status = 'CONFIRMED'",
        list(ids),
    )
    return [row["s"] for row in rows]


@pytest.mark.timeout(300)
def test_devices_with_another_source_port_are_reached_from_their_next_message_on(
    nexus: Nexus, stack: ExitStack, tmp_path: Path
) -> None:
    groups = [f"prefix=dev-,count={COUNT},notify=3s,lifetime=3600,update=3600s"]
    fleet = start_fleet(nexus, stack, tmp_path / "fleet", groups, "dev-")
    fleet.await_values()
    handshakes = nexus.world.metric(ESTABLISHED)
    assert handshakes == COUNT

    for moves in (1, 2):
        assert fleet.nat.move() == COUNT
        before = fleet.queue()  # nobody knows yet where they are
        fleet.await_values()
        for id_ in before:
            nexus.await_status(id_, "CONFIRMED", 20)
        after = fleet.queue()
        for id_ in after:
            nexus.await_status(id_, "CONFIRMED", 20)
        took = durations(nexus, after)
        print(f"{len(took)} operations, s: median {median(took):.3f}, longest {max(took):.3f}")
        assert max(took) < 2
        assert fleet.heard() == moves * COUNT

    assert nexus.world.metric(ESTABLISHED) == handshakes
    wait_for(lambda: not fleet.lost(), 10, "every acknowledged value to be a row")
    [twice] = nexus.sql(
        "SELECT count(*) AS n FROM (SELECT FROM endpoint_operation WHERE operation_type = 'observe'"
        " GROUP BY endpoint_id, path HAVING count(*) > 1) AS again"
    )
    assert twice["n"] == 0


@pytest.mark.timeout(300)
def test_a_notification_of_a_sleeper_brings_what_is_queued_for_it(
    nexus: Nexus, stack: ExitStack, tmp_path: Path
) -> None:
    asleep = f"sleepy,awake={LISTENS_S}s,wakes,tells"
    groups = [f"prefix=doze-,count={COUNT},notify=15s,lifetime=3600,update=3600s,{asleep}"]
    fleet = start_fleet(nexus, stack, tmp_path / "fleet", groups, "doze-")
    handshakes, registrations = nexus.world.metric(ESTABLISHED), fleet.registrations()
    for _ in range(2):
        names = fleet.asleep()
        [sleepers] = nexus.sql(
            "SELECT count(*) AS n FROM endpoint e WHERE presence(e) = 'asleep' AND name = ANY(%s)", names
        )
        assert sleepers["n"] >= 0.9 * len(names)  # one may have woken meanwhile
        ids = fleet.queue(names)
        for id_ in ids:
            nexus.await_status(id_, "CONFIRMED", 40)
        rows = nexus.sql(
            "SELECT o.attempts, extract(epoch FROM o.finished_at - greatest(v.time, o.created_at))::float s"
            " FROM endpoint_operation o JOIN endpoint e ON e.id = o.endpoint_id"
            " CROSS JOIN LATERAL (SELECT max(time) AS time FROM event h"
            "   WHERE h.endpoint_id = e.id AND h.event_type = 'heard' AND h.time <= o.finished_at) AS v"
            " WHERE o.id = ANY(%s)",
            ids,
        )
        took = [row["s"] for row in rows]
        print(
            f"{len(took)} operations after the packet, s: median {median(took):.3f},"
            f" p95 {percentile(took, 0.95):.3f}, longest {max(took):.3f}"
        )
        assert percentile(took, 0.95) < 0.5
        assert {row["attempts"] for row in rows} == {1}
    [again] = nexus.sql(
        "SELECT count(*) AS n FROM"
        " (SELECT time - lag(time) OVER (PARTITION BY endpoint_id ORDER BY time) AS gap FROM event"
        "  WHERE event_type = 'heard') AS waking WHERE gap < make_interval(secs => %s)",
        LISTENS_S,
    )
    assert again["n"] == 0  # one event each time that it wakes, not one a value
    # After a slow start a device may register once more.
    assert nexus.world.metric(ESTABLISHED) - handshakes <= fleet.registrations() - registrations


@pytest.mark.timeout(600)
def test_devices_that_listen_for_different_times_are_asked_in_theirs(
    nexus: Nexus, stack: ExitStack, tmp_path: Path
) -> None:
    groups = [
        f"prefix=win-,start={number},count=1,notify=0,lifetime=3600,update=3600s,sleepy,awake={awake}s,tells"
        for number, awake in enumerate(AWAKE_S, 1)
    ]
    fleet = start_fleet(nexus, stack, tmp_path / "fleet", groups, "win-", len(AWAKE_S))
    for name, awake in zip(fleet.names, AWAKE_S, strict=True):
        fleet.await_presence(name, "asleep", 2 * awake + 30)
        late = nexus.write(name, "/3/0/15", "late")
        row = fleet.await_reason(late)
        assert (row["status"], row["attempts"]) == ("QUEUED", 0)
        fleet.update(name)
        nexus.await_status(late, "CONFIRMED", 2)
        time.sleep(0.8 * awake)
        timely = nexus.write(name, "/3/0/15", "timely")
        assert nexus.await_status(timely, "CONFIRMED", 2)["attempts"] == 1
        assert presence(nexus, name) == "awake"
    [row] = nexus.sql("SELECT max(attempts) AS most FROM endpoint_operation")
    assert row["most"] == 1  # none was sent to a device that did not listen


@pytest.mark.timeout(300)
def test_an_orderly_restart_of_leshan_costs_no_handshake(
    nexus: Nexus, stack: ExitStack, tmp_path: Path
) -> None:
    groups = [f"prefix=dev-,count={COUNT},notify=2s,lifetime=3600,update=3600s"]
    fleet = start_fleet(nexus, stack, tmp_path / "fleet", groups, "dev-")
    fleet.await_values()
    nexus.world.restart_part("leshan")
    nexus.world.await_part("leshan")
    assert not list((nexus.world.home / "leshan").glob("dtls-sessions*"))
    fleet.await_values(30)
    ids = fleet.queue()
    for id_ in ids:
        nexus.await_status(id_, "CONFIRMED", 20)
    assert nexus.world.metric(ESTABLISHED) == 0
    wait_for(lambda: not fleet.lost(), 10, "every acknowledged value to be a row")
