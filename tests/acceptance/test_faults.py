"""Parts killed and stopped in the midst of it: nothing is lost, nothing is done twice, nobody has to help."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from chaos.evidence import TEMPERATURES, Reading, temperatures
from chaos.uplink import Telemetry
from local.world import World
from tests.fixtures.nexus import Nexus, StartNexus, wait_for

LOADED = 50
TEMPERATURE = "/3303/0/5700"
TIMEZONE = "/3/0/15"
RESET_ERRORS = "/3/0/12"
ANSWER_TIME = 2.0  # seconds that a slow device takes
UNTOLD = 33.25
"""A temperature of which no notification tells."""
LEASE = 5.0  # seconds: five thirds of the long poll of 3 s
ROUND = 5.0  # seconds between two rounds of housekeeping

GROUPS = (
    "prefix=sim-,count=2,notify=1s,lifetime=300",
    "prefix=slow-,count=4,notify=0,lifetime=300",
    f"prefix=load-,count={LOADED},notify=200ms,lifetime=300",
)
# PostgreSQL is killed here: what it has confirmed must be on disk.
NEXUS = {"durable": True}


# ---------------------------------------------------------------------------------------------------------
# The uplink: what devices had acknowledged, against the rows


def audit(nexus: Nexus, prefix: str) -> Telemetry:
    """Compare the devices' files to the rows that notifications made."""
    return temperatures(nexus.world, lambda: stored(nexus, prefix), prefix)


def stored(nexus: Nexus, prefix: str) -> list[Reading]:
    """Return the rows of temperatures."""
    return [(row["name"], row["float_value"], row["event_type"]) for row in nexus.sql(TEMPERATURES, prefix)]


def await_stored(nexus: Nexus, prefix: str, timeout: float = 30) -> Telemetry:
    """Wait until all that was acknowledged is stored and Leshan has nothing more; return the comparison."""

    def nothing_missing() -> Telemetry | None:
        found = audit(nexus, prefix)
        return None if found.lost else found

    wait_for(nothing_missing, timeout, "every acknowledged value to be a row", 0.25)
    wait_for(
        lambda: nexus.world.metric("spool_pending_items") == 0, timeout, "Leshan to have posted everything"
    )
    time.sleep(1)  # what was never acknowledged is written down half a second later
    return audit(nexus, prefix)


def await_more(count: Callable[[], int], more: int, timeout: float = 20) -> None:
    """Wait until a number has risen by so much."""
    begin = count()
    wait_for(lambda: count() >= begin + more, timeout, f"{more} more than {begin}", 0.25)


def processes(world: World) -> dict[str, int]:
    """Return the process ids of the functions."""
    replicas = world.gateway("GET", "/system/replicas")
    return {replica["name"]: replica["pid"] for replica in replicas}


@pytest.fixture
def load(nexus: Nexus) -> Iterator[list[str]]:
    """Let many devices notify; return their names."""
    names = [f"load-{number:04d}" for number in range(1, LOADED + 1)]
    for name in names:
        nexus.control(name, "start")
    started = time.time() * 1000
    wait_for(
        lambda: {line["ep"] for line in nexus.ledger() if line["t"] > started} >= set(names),
        30,
        "all of them to notify",
        0.25,
    )
    # A device that stops with a request open would cost this its time.
    for name in names:
        nexus.await_idle(name, 30)
    yield names
    for name in names:
        nexus.control(name, "stop")


def restart(world: World) -> None:
    world.restart_part("postgres")


def kill(world: World) -> None:
    world.kill_part("postgres")


def stop_immediately(world: World) -> None:
    world.parts["postgres"].process.signal(signal.SIGQUIT)


@pytest.mark.parametrize("disturb", [restart, kill, stop_immediately])
def test_postgresql_restarted_under_load_loses_and_doubles_nothing_and_no_function_restarts(
    nexus: Nexus, load: list[str], disturb: Callable[[World], None]
) -> None:
    before = processes(nexus.world)
    postgres = nexus.world.parts["postgres"].process.pid
    await_more(lambda: len(stored(nexus, "load-")), 5 * LOADED)

    disturb(nexus.world)
    wait_for(lambda: nexus.world.parts["postgres"].process.pid not in {None, postgres}, 20)
    nexus.world.await_part("postgres")
    await_more(lambda: len(stored(nexus, "load-")), 5 * LOADED)
    for name in load:
        nexus.control(name, "stop")

    found = await_stored(nexus, "load-")
    assert not found.lost
    assert not found.doubled
    assert not found.disordered
    assert len(found.acknowledged) >= 10 * LOADED
    # One that is on its way when its device is turned off may be stored, although the device never knows.
    assert not found.unexplained
    assert not nexus.sql("SELECT * FROM dead_letter")
    assert processes(nexus.world) == before


def test_values_wait_in_leshan_while_the_gateway_is_away_and_arrive(nexus: Nexus) -> None:
    nexus.world.stop_part("gateway")
    await_more(lambda: len(nexus.ledger("sim-0001")), 3)
    waited = {line["value"] for line in nexus.ledger("sim-0001")}
    nexus.world.start_part("gateway")

    found = await_stored(nexus, "sim-")
    assert {round(value, 10) for value in waited} <= {
        each.value for each in found.stored if each.endpoint == "sim-0001"
    }
    assert not found.doubled


def test_the_answer_to_an_observation_that_a_killed_leshan_asked_for_is_a_value_its_device_sent(
    nexus: Nexus,
) -> None:
    name = "slow-0004"
    nexus.await_idle(name)
    nexus.control(name, "slow", seconds=ANSWER_TIME)
    nexus.control(name, "register")  # it forgets its observations
    nexus.control(name, "set", path=TEMPERATURE, value=UNTOLD)
    wait_for(lambda: nexus.control(name)["open_requests"], 10, "to be observed again", 0.05)
    time.sleep(ANSWER_TIME / 4)  # until the observation is in the spool

    nexus.world.kill_part("leshan")
    wait_for(lambda: UNTOLD in [float(row["value"]) for row in nexus.values(name, TEMPERATURE)], 20)

    found = await_stored(nexus, name)
    assert (name, UNTOLD) not in [(each.endpoint, each.value) for each in found.acknowledged]
    assert not found.unexplained
    assert not found.doubled


# ---------------------------------------------------------------------------------------------------------
# The downlink: workers killed while devices think


@dataclass(frozen=True)
class UnderWay:
    """Operations to slow devices, all of them sent, none answered."""

    write: int
    read: int
    execute: int

    @property
    def all(self) -> tuple[int, int, int]:
        return self.write, self.read, self.execute


def send_to_slow_devices(nexus: Nexus, value: str) -> UnderWay:
    for name in ("slow-0001", "slow-0002", "slow-0003"):
        nexus.await_idle(name)
        nexus.control(name, "slow", seconds=ANSWER_TIME)
    sent = UnderWay(
        nexus.write("slow-0001", TIMEZONE, value),
        nexus.queue("slow-0002", "read", "/3/0/2"),
        nexus.queue("slow-0003", "execute", RESET_ERRORS),
    )
    for id_ in sent.all:
        nexus.await_status(id_, "SENDING")
    time.sleep(ANSWER_TIME / 8)  # until the requests have left
    return sent


def reads_of(nexus: Nexus, endpoint: str) -> int:
    [found] = nexus.sql(
        "SELECT count(*) FROM event v JOIN endpoint e ON e.id = v.endpoint_id"
        " WHERE e.name = %s AND v.event_type = 'read'",
        endpoint,
    )
    count: int = found["count"]
    return count


def requests_with(nexus: Nexus, endpoint: str, operation: str, path: str) -> int:
    return sum(line["path"] == path for line in nexus.requests(endpoint, operation))


def written(nexus: Nexus, endpoint: str) -> list[str]:
    """Return what was written to a device, in order; known half a second after its answer."""
    return [line["value"] for line in nexus.requests(endpoint, "write") if line["path"] == TIMEZONE]


@dataclass(frozen=True)
class Killed:
    """What was under way when the only dispatch-op was killed."""

    sent: UnderWay
    pid: int
    reads_before: int
    executed_before: int


@pytest.fixture(scope="module")
def killed(nexus: Nexus) -> Killed:
    """Kill dispatch-op while three devices think, and wait until the leases are over."""
    nexus.await_idle("slow-0002")
    reads, executed = reads_of(nexus, "slow-0002"), requests_with(nexus, "slow-0003", "execute", RESET_ERRORS)
    [replica] = nexus.world.replicas("dispatch-op")
    sent = send_to_slow_devices(nexus, "killed")
    os.kill(replica["pid"], signal.SIGKILL)
    for id_ in sent.all:
        wait_for(
            lambda id_=id_: nexus.operation(id_)["status"] in {"CONFIRMED", "FAILED"},  # type: ignore[misc]
            LEASE + ROUND + ANSWER_TIME + 10,
            f"operation {id_} to end",
        )
    return Killed(sent, replica["pid"], reads, executed)


def test_a_write_outlives_the_dispatch_op_that_was_killed_while_its_device_answered(
    nexus: Nexus, killed: Killed
) -> None:
    row = nexus.operation(killed.sent.write)
    assert (row["status"], row["attempts"], row["reason"]) == ("CONFIRMED", 2, None)
    # It was not tried again before the lease was over.
    assert (row["last_attempt_at"] - row["created_at"]).total_seconds() >= LEASE
    nexus.control("slow-0001", "slow", seconds=0)
    assert nexus.await_status(nexus.queue("slow-0001", "read", TIMEZONE), "CONFIRMED")
    assert nexus.latest("slow-0001", TIMEZONE) == "killed"


def test_a_read_whose_dispatch_op_was_killed_is_recorded_once(nexus: Nexus, killed: Killed) -> None:
    assert nexus.status(killed.sent.read) == ("CONFIRMED", 2)
    assert reads_of(nexus, "slow-0002") == killed.reads_before + 1


def test_an_execute_whose_dispatch_op_was_killed_is_failed_and_not_sent_again(
    nexus: Nexus, killed: Killed
) -> None:
    row = nexus.operation(killed.sent.execute)
    assert (row["status"], row["attempts"]) == ("FAILED", 1)
    assert row["reason"].startswith("outcome unknown")
    assert requests_with(nexus, "slow-0003", "execute", RESET_ERRORS) == killed.executed_before + 1


def test_a_killed_function_is_started_again_by_itself(nexus: Nexus, killed: Killed) -> None:
    [replica] = nexus.world.replicas("dispatch-op")
    assert replica["ready"]
    assert replica["pid"] != killed.pid
    assert replica["last_exit"] == "signal SIGKILL"
    nexus.await_status(nexus.write("sim-0001", TIMEZONE, "after"), "CONFIRMED")


def test_operations_under_way_end_although_the_connector_is_killed(nexus: Nexus) -> None:
    pid = nexus.world.parts["connector"].process.pid
    sent = send_to_slow_devices(nexus, "connector killed")
    nexus.world.kill_part("connector")
    for id_ in sent.all:
        row = nexus.await_status(id_, "CONFIRMED", LEASE + ROUND + 10)
        # dispatch-op has finished what it began: nothing had to be sent again.
        assert row["attempts"] == 1
    wait_for(lambda: nexus.world.parts["connector"].process.pid not in {None, pid}, 20)
    nexus.world.await_part("connector")
    nexus.await_status(nexus.write("sim-0001", TIMEZONE, "connected"), "CONFIRMED", 2 * ROUND)
    wait_for(lambda: "connected" in written(nexus, "sim-0001"), 5)
    assert written(nexus, "slow-0001").count("connector killed") == 1


# ---------------------------------------------------------------------------------------------------------
# NATS


@pytest.mark.parametrize("store", ["kept", "emptied"])
def test_operations_queued_while_nats_is_away_are_delivered_when_it_is_back(nexus: Nexus, store: str) -> None:
    nexus.world.stop_part("nats")
    queued = [
        nexus.write(name, TIMEZONE, f"{store} {number}")
        for number in range(2)
        for name in ("sim-0001", "sim-0002")
    ]
    assert [nexus.status(id_) for id_ in queued] == [("QUEUED", 0)] * 4
    if store == "emptied":
        shutil.rmtree(nexus.world.home / "nats" / "store")
    nexus.world.start_part("nats")

    for id_ in queued:
        assert nexus.await_status(id_, "CONFIRMED", 3 * ROUND)["attempts"] == 1
    for name in ("sim-0001", "sim-0002"):
        wait_for(lambda name=name: f"{store} 1" in written(nexus, name), 5)  # type: ignore[misc]
        assert written(nexus, name)[-2:] == [f"{store} 0", f"{store} 1"]


# ---------------------------------------------------------------------------------------------------------
# The end


def test_a_world_whose_devices_are_gone_stops_without_waiting_for_their_answers(
    start_nexus: StartNexus,
) -> None:
    nexus = start_nexus(groups=("prefix=sim-,count=1,notify=0,lifetime=300",), long_poll_timeout=30.0)
    nexus.await_idle("sim-0001")
    nexus.world.stop_part("simulator")
    id_ = nexus.write("sim-0001", TIMEZONE, "Europe/Berlin")
    nexus.await_status(id_, "SENDING")

    began = time.monotonic()
    nexus.world.stop()

    assert time.monotonic() - began < 8  # the connector alone would wait for ten seconds
