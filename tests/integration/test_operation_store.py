"""Claims, leases, fences and order, in a real PostgreSQL."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import KINDS
from flownexus.operations.catalogue.one_path import Execute, Write
from flownexus.operations.known_resource import Access
from flownexus.operations.lifecycle import Settlement, Status, Wait, settle_unanswered
from flownexus.operations.new_operation import parse_operation
from flownexus.store import queries
from flownexus.store.operation_claims import (
    HELD,
    Claim,
    Held,
    UnansweredClaimError,
    claim,
    concerns_all,
    renew,
)
from flownexus.store.operation_requests import create
from flownexus.store.operation_results import End, Recorded, record
from flownexus.store.pool import open_pool
from flownexus.store.telemetry import Telemetry
from tests.fixtures.relay import Relay
from tests.fixtures.world import World

LEASE = 50.0
CONFIRMED = Settlement(Status.CONFIRMED)
FAILED_TRY = Settlement(Status.QUEUED, "the device did not answer in time", wait=Wait.NEWER_THAN_NOW)
ANSWERED = Settlement(Status.QUEUED, "the device answered 5.00", delay_s=30)
ASLEEP = Settlement(
    Status.QUEUED, "asleep", attempt_counts=False, wait=Wait.NEWER_THAN_CLAIM, device_is_absent=True
)
AWAY = Settlement(Status.QUEUED, "away", attempt_counts=False, leshan_is_away=True)


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(timedelta(days=365))


def take(world: World, endpoint: str = "sim-0001") -> Claim:
    [claimed] = claim(world.dispatch_pool, [endpoint], LEASE)
    assert isinstance(claimed, Claim)
    return claimed


def claim_of(id_: int, endpoint_id: int, fence: int) -> Claim:
    """Return what the dispatcher knows of a claim of an execute."""
    return Claim(
        id=id_,
        fence=fence,
        endpoint_id=endpoint_id,
        endpoint="sim-0001",
        contact_count=1,
        operation=Execute(path=Path(3, 0, 4)),
        attempts=1,
    )


def put_back(world: World, telemetry: Telemetry, claimed: Claim, settlement: Settlement) -> Recorded:
    [recorded] = record(world.dispatch_pool, telemetry, [End(claimed, settlement, datetime.now(UTC))])
    assert recorded is not Recorded.LATE
    return recorded


def node(value: str = "21.5") -> dict[str, Any]:
    return {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": value}


def test_an_endpoint_that_is_asked_for_twice_at_once_has_one_operation_to_be_sent(world: World) -> None:
    world.endpoint()
    first, _ = world.queue(), world.queue()
    claimed, nothing = claim(world.dispatch_pool, ["sim-0001", "sim-0001"], LEASE)
    assert isinstance(claimed, Claim)
    assert (claimed.id, nothing) == (first, None)


def test_a_claim_is_a_lease_and_counts_the_attempt(world: World) -> None:
    world.endpoint()
    id_ = world.queue(value={"type": "STRING", "value": "UTC+2"})
    claimed = take(world)
    row = world.operation(id_)
    assert (claimed.id, claimed.fence, claimed.attempts) == (id_, 1, 1)
    assert claimed.operation == Write(path=Path(3, 0, 15), value={"type": "STRING", "value": "UTC+2"})
    assert (row["status"], row["attempts"]) == ("SENDING", 1)
    assert timedelta(seconds=48) < row["lease_expires_at"] - datetime.now(UTC) < timedelta(seconds=52)


def scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes of a plan that read operations."""
    below = [scan for child in plan.get("Plans", []) for scan in scans(child)]
    reads = "Scan" in plan["Node Type"] and plan.get("Relation Name") == "endpoint_operation"
    return [plan, *below] if reads else below


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("claim_operation", {"endpoint_id": 1, "lease": LEASE}),
        (
            "settle_operation",
            {
                "status": "CONFIRMED",
                "given_back": 0,
                "result": None,
                "reason": None,
                "verdict": None,
                "newer_than_now": False,
                "retry_after_contact": None,
                "delay": None,
                "refused_format": None,
                "finished": True,
                "id": 1,
                "fence": 1,
            },
        ),
        ("renew_leases", {"ids": [1], "fences": [1], "lease": LEASE}),
        ("has_eligible_operation", {"endpoint_id": 1}),
        ("cancel_operation", {"id": 1}),
        ("drop_older_plans", {"endpoint_ids": [1], "registration_ids": ["a"]}),
        ("planned_rows", {"endpoint_ids": [1], "registration_ids": ["a"]}),
        ("supersede_operations", {"ids": [1]}),
        ("expired_operations_of_endpoints", {"names": ["sim-0001"]}),
        ("expired_operations", {"limit": 100}),
    ],
)
def test_no_index_is_read_whole_where_statistics_know_of_no_open_operation(
    world: World, query: str, values: dict[str, Any]
) -> None:
    """After a quiet time there is none, and a moment later there are thousands, read for each of them."""
    world.endpoint()
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, status, finished_at)"
        " SELECT id, 'read', '/3/0/0', 'CONFIRMED', now() FROM endpoint, generate_series(1, 2000)"
    )
    world.execute("ANALYZE endpoint_operation")
    with psycopg.connect(world.database.owner) as connection:
        sql = f"EXPLAIN (FORMAT json) {getattr(queries, query).sql}"
        row = connection.execute(sql.encode(), values).fetchone()
    assert row is not None
    found = scans(row[0][0]["Plan"])
    assert found
    assert [scan for scan in found if "Index Cond" not in scan] == []


def test_one_operation_of_an_endpoint_is_under_way(world: World) -> None:
    world.endpoint()
    world.queue()
    world.queue()
    take(world)
    assert claim(world.dispatch_pool, ["sim-0001"], LEASE) == [None]


@pytest.mark.parametrize("registered", [True, False])
def test_an_offline_device_costs_no_attempt(world: World, registered: bool) -> None:
    """The peer burnt an attempt on each try. Offline: deregistered, or its lifetime is over."""
    world.endpoint(registered=registered, lifetime=-1)
    id_ = world.queue()
    assert claim(world.dispatch_pool, ["sim-0001"], LEASE) == [None]
    assert world.status(id_) == ("QUEUED", 0)


def test_a_device_without_a_known_lifetime_does_not_expire(world: World) -> None:
    world.endpoint(lifetime=None)
    id_ = world.queue()
    assert take(world).id == id_


def test_an_endpoint_never_seen_has_nothing(world: World) -> None:
    assert claim(world.dispatch_pool, ["nobody"], LEASE) == [None]


def test_a_failed_try_waits_for_a_newer_presence(world: World, telemetry: Telemetry) -> None:
    world.endpoint()
    id_ = world.queue()
    put_back(world, telemetry, take(world), FAILED_TRY)
    assert world.status(id_) == ("QUEUED", 1)
    assert claim(world.dispatch_pool, ["sim-0001"], LEASE) == [None]
    world.update()
    assert take(world).attempts == 2


def test_an_update_during_a_failed_try_is_not_newer_than_the_failure(
    world: World, telemetry: Telemetry
) -> None:
    world.endpoint()
    world.queue()
    claimed = take(world)
    world.update()
    put_back(world, telemetry, claimed, FAILED_TRY)
    assert claim(world.dispatch_pool, ["sim-0001"], LEASE) == [None]


def test_an_update_while_leshan_called_it_asleep_is_enough(world: World, telemetry: Telemetry) -> None:
    world.endpoint()
    id_ = world.queue()
    claimed = take(world)
    world.update()
    assert put_back(world, telemetry, claimed, ASLEEP) is Recorded.MORE
    assert world.status(id_) == ("QUEUED", 0)
    assert put_back(world, telemetry, take(world), ASLEEP) is Recorded.LAST
    assert claim(world.dispatch_pool, ["sim-0001"], LEASE) == [None]


def test_what_leshan_could_not_take_may_go_at_once(world: World, telemetry: Telemetry) -> None:
    world.endpoint()
    id_ = world.queue()
    put_back(world, telemetry, take(world), AWAY)
    assert world.status(id_) == ("QUEUED", 0)
    assert take(world).attempts == 1


def test_the_oldest_of_the_highest_priority_goes_first(world: World, telemetry: Telemetry) -> None:
    world.endpoint()
    ids = [world.queue(priority=priority) for priority in (100, 5, 100, 900)]
    world.execute("UPDATE endpoint_operation SET priority = 0 WHERE id = %s", ids[1])
    order = []
    for _ in ids:
        claimed = take(world)
        order.append(claimed.id)
        put_back(world, telemetry, claimed, CONFIRMED)
    assert order == [ids[3], ids[0], ids[2], ids[1]]


def end_delay(world: World, id_: int) -> None:
    """Let the delay of an operation be over."""
    world.execute(
        "UPDATE endpoint_operation SET not_before = now() WHERE id = %s AND not_before > now()", id_
    )


def test_what_was_answered_goes_out_again_after_its_delay_without_an_update(
    world: World, telemetry: Telemetry
) -> None:
    world.endpoint()
    id_ = world.queue()
    assert put_back(world, telemetry, take(world), ANSWERED) is Recorded.LAST
    world.update()
    assert claim(world.dispatch_pool, ["sim-0001"], LEASE) == [None]
    end_delay(world, id_)
    again = take(world)
    assert (again.id, again.attempts) == (id_, 2)
    assert world.operation(id_)["not_before"] is None


@pytest.mark.parametrize("failed", [ANSWERED, FAILED_TRY])
def test_one_that_waits_holds_back_those_of_its_priority_whose_targets_overlap_and_no_others(
    world: World, telemetry: Telemetry, failed: Settlement
) -> None:
    """It held back all younger ones."""
    world.endpoint()
    first = world.queue(path="/3/0/15")
    same = world.queue(path="/3/0/15")
    beside = world.queue(operation="read", path="/3/0/1")
    lookalike = world.queue(operation="read", path="/3/0/150")
    above = world.queue(operation="read", path="/3/0")
    below = world.queue(operation="read", path="/3/0/15/0")
    execute = world.queue(operation="execute", path="/3/0/4")
    elsewhere = world.queue(operation="read", path="/30")
    lower = world.queue(path="/3/0/15", priority=1)
    assert put_back(world, telemetry, take(world), failed) is Recorded.MORE
    order = []
    while True:
        [claimed] = claim(world.dispatch_pool, ["sim-0001"], LEASE)
        if not isinstance(claimed, Claim):
            break
        order.append(claimed.id)
        put_back(world, telemetry, claimed, CONFIRMED)
    assert order == [beside, lookalike, elsewhere, lower]
    world.update()
    end_delay(world, first)
    order = []
    for _ in range(5):
        claimed = take(world)
        order.append(claimed.id)
        put_back(world, telemetry, claimed, CONFIRMED)
    assert order == [first, same, above, below, execute]


def test_one_of_several_targets_waits_for_an_older_one_of_any_of_them(
    world: World, telemetry: Telemetry
) -> None:
    world.endpoint()
    first = world.queue(path="/3/0/15")
    [both] = world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, paths)"
        " VALUES (1, 'read-several', '{/3303/0,/3/0/15}') RETURNING id"
    )
    behind = world.queue(operation="read", path="/3303/0/5700")
    beside = world.queue(operation="read", path="/3/0/1")
    assert put_back(world, telemetry, take(world), ANSWERED) is Recorded.MORE
    order = []
    for _ in range(4):
        [claimed] = claim(world.dispatch_pool, ["sim-0001"], LEASE)
        if isinstance(claimed, Claim):
            order.append(claimed.id)
            put_back(world, telemetry, claimed, CONFIRMED)
        end_delay(world, first)
    assert order == [beside, first, both["id"], behind]


STRING = {"type": "STRING", "value": "UTC"}
PATHS = {"paths": ["/3/0/15", "/3303/0/5700"]}
REQUESTS: dict[str, dict[str, Any]] = {
    "write": {"path": "/3/0/15", "value": STRING},
    "write-attributes": {"path": "/3303/0/5700", "value": {"pmin": 1, "gt": 1.5, "lt": None}},
    "create": {"path": "/3442", "value": {"resources": {"110": STRING}}},
    "delete": {"path": "/3442/1"},
    "read-composite": PATHS,
    "write-composite": {"value": {"/3/0/15": STRING, "/3442/0/110": STRING}},
    "observe-composite": PATHS,
    "cancel-observe-composite": PATHS,
}
"""What is asked of the kinds that are not just for a resource."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_queued_and_claimed(world: World, kind: str) -> None:
    world.endpoint()
    readable = KINDS[kind].access is Access.READ
    usual = str(KINDS[kind].usual_path or ("/3/0/9" if readable else "/3/0/4"))
    asked = {"endpoint": "sim-0001", "operation": kind, **REQUESTS.get(kind, {"path": usual})}
    new = parse_operation(asked)
    shown = create(world.api_pool, new, "test", key="1").as_json()
    assert {name: shown[name] for name in asked} == asked
    assert create(world.api_pool, parse_operation(asked), "test", key="1").id == shown["id"]
    claimed = take(world)
    assert claimed.operation == new.operation
    assert set(claimed.formats) == set(new.operation.formats)


def test_a_row_of_a_kind_that_is_not_known_holds_up_no_other_endpoint(world: World) -> None:
    """A newer version, or a hand, has queued it."""
    world.endpoint()
    world.endpoint("sim-0002")
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path) VALUES (1, 'teleport', '/3')"
    )
    world.queue("sim-0002")
    claims = claim(world.dispatch_pool, ["sim-0001", "sim-0002"], LEASE)
    assert [each.operation.kind for each in claims if isinstance(each, Claim)] == ["teleport", "write"]


@pytest.mark.parametrize("failed", [ANSWERED, FAILED_TRY])
def test_the_plan_s_operations_do_not_wait_for_each_other(
    world: World, telemetry: Telemetry, failed: Settlement
) -> None:
    """A device that failed at the read of /3 was not observed until it had updated two or three times."""
    world.endpoint()
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, priority, registration_id)"
        " VALUES (1, 'read', '/3', 0, 'a'), (1, 'observe', '/3/0/9', 0, 'a'), (1, 'observe', '/3303', 0, 'a')"
    )
    assert put_back(world, telemetry, take(world), failed) is Recorded.MORE
    assert str(take(world).operation.targets[0]) == "/3/0/9"


def test_a_device_that_sleeps_is_sent_nothing_else_before_its_next_update(
    world: World, telemetry: Telemetry
) -> None:
    world.endpoint()
    for path in ("/3/0/15", "/3/0/14", "/5/0/1"):
        world.queue(path=path, priority=1 + len(path))
    assert put_back(world, telemetry, take(world), ASLEEP) is Recorded.LAST
    assert claim(world.dispatch_pool, ["sim-0001"], LEASE) == [None]
    world.update()
    assert take(world).attempts == 1


def test_who_left_three_unanswered_is_not_asked_for_more_before_it_speaks(
    world: World, telemetry: Telemetry
) -> None:
    world.endpoint()
    ids = [world.queue(operation="read", path=f"/{number}") for number in range(10)]
    tried = []
    for last in (False, False, True):
        claimed = take(world)
        tried.append(claimed.id)
        recorded = put_back(world, telemetry, claimed, FAILED_TRY)
        assert recorded is (Recorded.LAST if last else Recorded.MORE)
    assert tried == ids[:3]
    assert claim(world.dispatch_pool, ["sim-0001"], LEASE) == [None]
    world.update()
    assert take(world).id == ids[0]


def test_two_replicas_at_once_claim_one(world: World) -> None:
    """The peer sent operations of one endpoint at once."""
    world.endpoint()
    for _ in range(10):
        world.queue()
    start = threading.Barrier(4)

    def replica() -> Claim | Held | None:
        start.wait()
        return claim(world.dispatch_pool, ["sim-0001"], LEASE)[0]

    with ThreadPoolExecutor(4) as threads:
        claims = [future.result() for future in [threads.submit(replica) for _ in range(4)]]
    assert [claimed.id for claimed in claims if isinstance(claimed, Claim)] == [1]


def test_who_claims_while_an_end_is_being_recorded_is_told_to_ask_again_and_gets_the_next(
    world: World,
) -> None:
    """It would go without, and its hint be lost, if it were told that there is none."""
    world.endpoint()
    first, second = world.queue(operation="read"), world.queue()
    claimed = take(world)
    assert claimed.id == first
    in_transaction, released = threading.Event(), threading.Event()

    class Slow(Telemetry):
        def store(self, *arguments: Any) -> Any:
            in_transaction.set()
            assert released.wait(5)
            return super().store(*arguments)

    with ThreadPoolExecutor(2) as threads:
        settlement = Settlement(Status.CONFIRMED, content=node())
        recording = threads.submit(put_back, world, Slow(timedelta(days=365)), claimed, settlement)
        assert in_transaction.wait(5)
        assert claim(world.dispatch_pool, ["sim-0001"], LEASE) == [HELD]
        released.set()
        assert recording.result(5) is Recorded.MORE
    assert take(world).id == second


def test_an_expired_lease_is_claimed_again_and_the_late_worker_is_fenced_off(
    world: World, telemetry: Telemetry
) -> None:
    """The peer left an operation SENDING for ever when its worker was gone."""
    world.endpoint()
    id_ = world.queue(operation="read")
    late = take(world)
    world.expire_lease(id_)
    newer = take(world)
    assert (newer.id, newer.fence, newer.attempts) == (id_, 2, 2)
    with_values = Settlement(Status.CONFIRMED, result={"status": "CONTENT(205)"}, content=node("1.0"))
    assert record(world.dispatch_pool, telemetry, [End(late, with_values, datetime.now(UTC))]) == [
        Recorded.LATE
    ]
    assert world.operation(id_)["status"] == "SENDING"
    assert world.execute("SELECT * FROM resource") == []
    put_back(world, telemetry, newer, Settlement(Status.CONFIRMED, content=node("2.0")))
    assert record(world.dispatch_pool, telemetry, [End(late, FAILED_TRY, datetime.now(UTC))]) == [
        Recorded.LATE
    ]
    assert world.status(id_) == ("CONFIRMED", 2)
    assert [row["value"] for row in world.execute("SELECT value FROM telemetry")] == ["2"]


def test_an_expired_lease_of_an_execute_ends_it_with_outcome_unknown(world: World) -> None:
    world.endpoint()
    once = world.queue(operation="execute")
    again = world.queue(operation="execute", repeatable=True)
    take(world)
    world.expire_lease(once)
    assert take(world).id == again
    row = world.operation(once)
    assert (row["status"], row["reason"]) == (
        "FAILED",
        "outcome unknown: the worker that sent it did not come back",
    )
    world.expire_lease(again)
    assert (take(world).id, world.status(again)) == (again, ("SENDING", 2))


def test_a_worker_that_never_comes_back_three_times_fails_it(world: World) -> None:
    world.endpoint()
    id_ = world.queue()
    for _ in range(3):
        take(world)
        world.expire_lease(id_)
    assert claim(world.dispatch_pool, ["sim-0001"], LEASE) == [None]
    assert world.status(id_) == ("FAILED", 3)


def test_a_fence_is_of_one_claim_also_of_one_that_was_rolled_back(world: World, relay: Relay) -> None:
    """Who does not know whether its claim was committed would give back the next one's."""
    world.endpoint()
    id_ = world.queue(operation="execute")
    relay.cut_at_commit(done=False)
    with (
        open_pool(relay.through(world.database.dispatch), 1, "test") as pool,
        pytest.raises(UnansweredClaimError) as raised,
    ):
        claim(pool, ["sim-0001"], LEASE)
    [unanswered] = raised.value.claims
    with world.dispatch_pool.connection() as connection:  # waits until the server has rolled it back
        connection.execute("SELECT FROM endpoint FOR UPDATE")
    another = take(world)
    assert (unanswered.id, another.id) == (id_, id_)
    end = End(unanswered, settle_unanswered(), datetime.now(UTC))
    assert record(world.dispatch_pool, Telemetry(timedelta(days=365)), [end]) == [Recorded.LATE]
    assert world.status(id_) == ("SENDING", 1)


def test_whether_a_claim_was_committed_is_known_when_its_transaction_has_ended(
    world: World, telemetry: Telemetry
) -> None:
    """A host that vanished leaves it open until the server ends it."""
    world.endpoint()
    id_ = world.queue(operation="execute")
    with psycopg.connect(world.database.dispatch) as connection:
        [(endpoint_id, _)] = queries.try_lock_endpoints_named(connection, names=["sim-0001"])
        _, fence, *_ = queries.claim_operation(connection, endpoint_id=endpoint_id, lease=LEASE)
        end = End(claim_of(id_, endpoint_id, fence), settle_unanswered(), datetime.now(UTC))
        assert record(world.dispatch_pool, telemetry, [end]) == [Recorded.HELD]
    assert world.status(id_) == ("SENDING", 1)
    assert record(world.dispatch_pool, telemetry, [end]) == [Recorded.MORE]
    assert world.status(id_) == ("QUEUED", 0)


def test_leases_of_the_newest_claims_are_renewed_and_who_settles_is_not_waited_for(
    world: World, telemetry: Telemetry
) -> None:
    names = ["good", "late", "ended", "held"]
    ids = [world.queue(world.endpoint(name)) for name in names]
    claims = [take(world, name) for name in names]
    good, late, ended, held = ids
    for id_ in ids:
        world.expire_lease(id_)
    newer = take(world, "late")
    put_back(world, telemetry, claims[2], CONFIRMED)
    with psycopg.connect(world.database.dispatch) as connection:
        connection.execute("SELECT FROM endpoint_operation WHERE id = %s FOR UPDATE", [held])
        assert renew(world.dispatch_pool, claims, LEASE) == {(good, claims[0].fence)}
    leases = {id_: world.operation(id_)["lease_expires_at"] for id_ in ids}
    assert leases[good] > datetime.now(UTC) > leases[held]
    assert leases[ended] is None
    assert renew(world.dispatch_pool, [newer, claims[3]], LEASE) == {
        (late, newer.fence),
        (held, claims[3].fence),
    }
    assert renew(world.dispatch_pool, claims[1:2], LEASE) == set()


def test_values_are_stored_like_any_others(world: World, telemetry: Telemetry) -> None:
    world.endpoint()
    world.queue(operation="read", path="/3303/0")
    content = {
        "kind": "instance",
        "id": 0,
        "resources": [node(), {"kind": "singleResource", "id": 5701, "type": "FLOAT", "value": "nan"}],
    }
    received = datetime(2026, 7, 1, 12, tzinfo=UTC)
    settlement = Settlement(Status.CONFIRMED, result={"content": content}, content=content)
    assert record(world.dispatch_pool, telemetry, [End(take(world), settlement, received)]) == [Recorded.LAST]
    assert world.execute("SELECT endpoint, path, number, time FROM telemetry") == [
        {"endpoint": "sim-0001", "path": "/3303/0/5700", "number": 21.5, "time": received}
    ]
    assert [row["event_type"] for row in world.execute("SELECT event_type FROM event")] == ["read"]
    assert [row["value"] for row in world.execute("SELECT value FROM telemetry_latest")] == ["21.5"]
    [dead] = world.execute("SELECT kind, reason FROM dead_letter")
    assert dead["kind"] == "read"
    assert dead["reason"].startswith('/3303/0/5701: "nan" is not FLOAT')


def test_of_content_what_its_models_type_cannot_hold_is_a_dead_letter(
    world: World, telemetry: Telemetry
) -> None:
    world.endpoint()
    bad = {"kind": "singleResource", "id": 5701, "type": "FLOAT", "value": "1.5"}
    for path, resources in (("/3303/0/5700", [node()]), ("/3303/0", [node("22"), bad])):
        world.queue(operation="read", path=path)
        content = (
            resources[0] if len(resources) == 1 else {"kind": "instance", "id": 0, "resources": resources}
        )
        put_back(world, telemetry, take(world), Settlement(Status.CONFIRMED, content=content))
    assert [row["number"] for row in world.execute("SELECT number FROM telemetry ORDER BY 1")] == [21.5, 22]
    [dead] = world.execute("SELECT kind, reason, item FROM dead_letter")
    assert dead["kind"] == "read"
    assert dead["reason"].startswith('/3303/0/5701: "1.5" of the type FLOAT is not STRING')
    assert json.loads(dead["item"]) == {"ep": "sim-0001", "operation": 2, "path": "/3303/0", "node": bad}


def test_content_that_is_no_node_does_not_keep_it_from_being_confirmed(
    world: World, telemetry: Telemetry
) -> None:
    world.endpoint()
    id_ = world.queue(operation="read")
    put_back(world, telemetry, take(world), Settlement(Status.CONFIRMED, content=["?"]))
    assert world.status(id_) == ("CONFIRMED", 1)
    assert len(world.execute("SELECT * FROM dead_letter")) == 1


def test_content_that_postgresql_refuses_does_not_leave_it_sending(
    world: World, telemetry: Telemetry
) -> None:
    world.endpoint()
    id_ = world.queue(operation="read", path="/3303/0/5701")
    content = {"kind": "singleResource", "id": 5701, "type": "STRING", "value": "\ud800"}
    settlement = Settlement(Status.CONFIRMED, result={"content": content}, content=content)
    put_back(world, telemetry, take(world), settlement)
    assert world.status(id_) == ("CONFIRMED", 1)
    assert [row["kind"] for row in world.execute("SELECT kind FROM dead_letter")] == ["read"]


# ---------------------------------------------------------------------------------------------------------
# Several at once


def test_each_endpoint_of_a_batch_gets_its_own_operation_or_none(world: World) -> None:
    for name in ("b", "a", "offline", "expired", "idle"):
        world.endpoint(name, registered=name != "offline")
    ids = {name: world.queue(name) for name in ("b", "a", "offline", "expired")}
    take(world, "expired")
    world.expire_lease(ids["expired"])
    claims = claim(world.dispatch_pool, ["b", "nobody", "offline", "a", "expired", "idle", "b"], LEASE)
    assert [claimed.id if isinstance(claimed, Claim) else claimed for claimed in claims] == [
        ids["b"], None, None, ids["a"], ids["expired"], None, None,
    ]  # fmt: skip
    assert [claimed.endpoint for claimed in claims if isinstance(claimed, Claim)] == ["b", "a", "expired"]
    assert world.status(ids["expired"]) == ("SENDING", 2)


def test_the_ends_of_a_batch_are_recorded_each_by_itself(world: World, telemetry: Telemetry) -> None:
    names = ["c", "late", "a", "failed"]
    for name in names:
        world.endpoint(name)
    ids = {name: world.queue(name, operation="read") for name in names}
    more = world.queue("a", operation="read")
    claims = {name: take(world, name) for name in names}
    world.expire_lease(ids["late"])
    take(world, "late")
    times = {name: datetime(2026, 7, 1, 12, minute, tzinfo=UTC) for minute, name in enumerate(names)}
    good = Settlement(Status.CONFIRMED, content=node())
    ends = [End(claims[name], FAILED_TRY if name == "failed" else good, times[name]) for name in names]
    assert record(world.dispatch_pool, telemetry, ends) == [
        Recorded.LAST, Recorded.LATE, Recorded.MORE, Recorded.LAST,
    ]  # fmt: skip
    assert {name: world.status(ids[name])[0] for name in names} == {
        "c": "CONFIRMED", "late": "SENDING", "a": "CONFIRMED", "failed": "QUEUED",
    }  # fmt: skip
    assert world.status(more)[0] == "QUEUED"
    assert world.execute("SELECT endpoint, time FROM telemetry ORDER BY endpoint") == [
        {"endpoint": "a", "time": times["a"]},
        {"endpoint": "c", "time": times["c"]},
    ]


def test_one_that_postgresql_refuses_is_to_be_recorded_apart_and_nothing_is_half_done(
    world: World, telemetry: Telemetry
) -> None:
    for name in ("good", "refused"):
        world.endpoint(name)
        world.queue(name, operation="read")
    refused = {**node("\ud800"), "type": "STRING"}
    ends = [
        End(take(world, "good"), Settlement(Status.CONFIRMED, content=node()), datetime.now(UTC)),
        End(
            take(world, "refused"),
            Settlement(Status.CONFIRMED, result={"content": refused}),
            datetime.now(UTC),
        ),
    ]
    with pytest.raises(psycopg.DataError) as raised:
        record(world.dispatch_pool, telemetry, ends)
    assert not concerns_all(raised.value)
    assert world.execute("SELECT DISTINCT status FROM endpoint_operation") == [{"status": "SENDING"}]
    assert world.execute("SELECT * FROM resource") == []
    assert [record(world.dispatch_pool, telemetry, [end]) for end in ends] == [[Recorded.LAST]] * 2


def test_endpoints_that_another_holds_hold_up_no_others(world: World, telemetry: Telemetry) -> None:
    """Forty held rows were waited for one after the other, five seconds each, by everybody."""
    held = [f"held-{number}" for number in range(40)]
    free = [f"free-{number}" for number in range(20)]
    ids = {}
    for name in (*held, *free):
        world.endpoint(name)
        ids[name] = world.queue(name)
    ended = [take(world, name) for name in ("held-0", "free-0")]
    with world.dispatch_pool.connection() as other:
        other.execute("SELECT FROM endpoint WHERE name LIKE 'held-%%' FOR UPDATE", prepare=False)
        claims = claim(world.dispatch_pool, ["nobody", *held, *free], LEASE)
        assert claims[:42] == [None, *[HELD] * 40, None]
        assert [claimed.id for claimed in claims[42:] if isinstance(claimed, Claim)] == [
            ids[name] for name in free[1:]
        ]
        ends = [End(claimed, CONFIRMED, datetime.now(UTC)) for claimed in ended]
        assert record(world.dispatch_pool, telemetry, ends) == [Recorded.HELD, Recorded.LAST]
    assert world.status(ids["held-0"]) == ("SENDING", 1)
    assert record(world.dispatch_pool, telemetry, ends) == [Recorded.LAST, Recorded.LATE]


def test_batches_at_once_whose_endpoints_overlap_claim_each_operation_once(world: World) -> None:
    names = [f"sim-{number:02d}" for number in range(20)]
    for name in names:
        world.endpoint(name)
    ids = {world.queue(name) for name in names for _ in range(2)}
    batches = [names, names[::-1], names[5:] + names[:5], names[::2] + names[1::2]]

    def claim_all(batch: list[str]) -> list[Claim | None]:
        claims = claim(world.dispatch_pool, batch, LEASE)
        while HELD in claims:
            again = iter(
                claim(
                    world.dispatch_pool, [n for n, c in zip(batch, claims, strict=True) if c is HELD], LEASE
                )
            )
            claims = [next(again) if claimed is HELD else claimed for claimed in claims]
        return [claimed for claimed in claims if not isinstance(claimed, Held)]

    with ThreadPoolExecutor(len(batches)) as workers:
        found = list(workers.map(claim_all, batches))
    claimed = [each.id for claims in found for each in claims if each]
    assert len(claimed) == len(set(claimed)) == len(names)
    assert set(claimed) <= ids
