"""housekeeping with its own role: what was left behind is repaired, partitions are made and dropped."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from flownexus.housekeeping import rounds
from flownexus.housekeeping.settings import HousekeepingSettings
from flownexus.leshan.webhook import Kind as Webhook
from flownexus.messaging.publisher import Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.store.operation_claims import Claim, claim
from flownexus.store.pool import Pool, open_pool
from flownexus.store.telemetry import Telemetry
from flownexus.store.transaction import Transaction
from flownexus.store.value_rows import Rows
from flownexus.web.ingest import create_app as create_ingest
from local.servers.nats import Server
from local.servers.ports import free_port
from tests.fixtures.guard import guard_of
from tests.fixtures.handler import load_handler
from tests.fixtures.hints import Hints
from tests.fixtures.replay import deliver_nothing
from tests.fixtures.world import World

HEADERS = {"Authorization": "Bearer connector"}


@pytest.fixture
def pool(world: World) -> Iterator[Pool]:
    with open_pool(world.database.housekeeping, 2, "housekeeping") as pool:
        yield pool


@pytest.fixture
def client(pool: Pool, hints: Hints) -> Any:
    return (
        load_handler("housekeeping")
        .create_app(pool, hints, guard_of("connector"), HousekeepingSettings(), deliver_nothing)
        .test_client()
    )


def do_round(client: Any) -> dict[str, Any]:
    response = client.post("/", headers=HEADERS)
    assert response.status_code == 200, response.data
    summary: dict[str, Any] = response.get_json()
    return summary


def age(world: World, seconds: float = 11) -> None:
    """Let all operations have been queued and tried so long ago."""
    world.execute(
        "UPDATE endpoint_operation SET created_at = created_at - make_interval(secs => %s),"
        " last_attempt_at = last_attempt_at - make_interval(secs => %s)",
        seconds, seconds,
    )  # fmt: skip


def months(world: World, table: str) -> list[str]:
    rows = world.execute(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1",
        table,
    )
    return [row["name"] for row in rows if row["name"] != f"{table}_default"]


def test_only_the_connector_may_call(client: Any) -> None:
    assert client.post("/").status_code == 401
    assert client.post("/", headers={"Authorization": "Bearer api"}).status_code == 401
    assert client.get("/", headers=HEADERS).status_code == 405


def test_nothing_to_do_is_no_error(client: Any) -> None:
    assert do_round(client) == {
        "revived": 0,
        "expired": 0,
        "forgotten": 0,
        "renewed": 0,
        "hinted": 0,
        "hints_failed": 0,
        "operations_forgotten": 0,
        "remains_removed": 0,
        "partitions_made": 0,
        "partitions_dropped": 0,
        "marks_forgotten": 0,
        "endpoints_forgotten": 0,
        "dead_letters_forgotten": 0,
        "batches_forgotten": 0,
        "roll_ups_dropped": 0,
        "logs_dropped": 0,
        "rolled_up": 1,
        "replayed": 0,
    }
    assert "partitions_made" not in do_round(client)  # an hour later again


def test_expired_leases_are_revived_and_get_a_hint(client: Any, world: World, hints: Hints) -> None:
    """The peer left operations SENDING for ever."""
    for name in ("a", "b", "c"):
        world.endpoint(name)
    write, execute, fresh = world.queue("a"), world.queue("b", "execute"), world.queue("c")
    for name in ("a", "b", "c"):
        claim(world.dispatch_pool, [name], 50)
    world.expire_lease(write)
    world.expire_lease(execute)
    age(world)
    assert do_round(client)["revived"] == 2
    assert world.status(write) == ("QUEUED", 1)
    assert world.status(execute) == ("FAILED", 1)
    assert world.operation(execute)["reason"].startswith("outcome unknown")
    assert world.status(fresh) == ("SENDING", 1)
    assert hints.published == [Hint(HintKind.QUEUED, "a")]


def test_lost_hints_are_sent_again(client: Any, world: World, hints: Hints) -> None:
    for name in ("late", "first", "fresh", "offline", "over", "waiting", "busy"):
        world.endpoint(name, registered=name != "offline", lifetime=-1 if name == "over" else 300)
        world.queue(name)
    age(world)
    world.execute("UPDATE endpoint_operation SET created_at = now() WHERE endpoint_id = 3")
    world.execute("UPDATE endpoint_operation SET created_at = now() - interval '1 h' WHERE endpoint_id = 2")
    world.execute("UPDATE endpoint_operation SET retry_after_contact = 2 WHERE endpoint_id = 6")
    world.queue("busy")
    age(world)
    world.execute("UPDATE endpoint_operation SET created_at = now() WHERE endpoint_id = 3")
    claim(world.dispatch_pool, ["busy"], 50)
    hints.fail = 2
    assert do_round(client)["hints_failed"] == 2
    hints.fail = 0
    assert do_round(client)["hinted"] == 2
    assert [hint.ep for hint in hints.published][-2:] == ["first", "late"]


def test_a_hint_that_jetstream_has_is_not_repeated_in_every_round(
    client: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands that only waited their turn got hints again and again, which slowed them further."""
    for name in ("a", "b"):
        world.endpoint(name)
        world.queue(name)
    age(world)
    assert [do_round(client)["hinted"] for _ in range(2)] == [2, 0]
    world.endpoint("c")
    world.queue("c")
    age(world)
    assert do_round(client)["hinted"] == 1
    monkeypatch.setattr(rounds, "REPEAT_HINT_AFTER_S", 0.0)
    assert do_round(client)["hinted"] == 3


def test_one_whose_delay_is_over_gets_a_hint_at_once_and_not_before(
    client: Any, world: World, hints: Hints
) -> None:
    """Nobody else tells of it."""
    for name in ("over", "not yet"):
        world.endpoint(name)
        world.queue(name)
    age(world)
    world.execute(
        "UPDATE endpoint_operation SET not_before = now() + interval '5 s', last_attempt_at = now()"
    )
    assert do_round(client)["hinted"] == 0
    world.execute("UPDATE endpoint_operation SET not_before = now() WHERE endpoint_id = 1")
    assert do_round(client)["hinted"] == 1
    assert hints.published == [Hint(HintKind.QUEUED, "over")]


def test_an_endpoint_that_somebody_holds_stops_no_round(client: Any, world: World, hints: Hints) -> None:
    for name in ("held", "free"):
        world.endpoint(name)
        id_ = world.queue(name)
        claim(world.dispatch_pool, [name], 50)
        world.expire_lease(id_)
    age(world)
    with psycopg.connect(world.database.owner) as other:
        other.execute("SELECT FROM endpoint WHERE name = 'held' FOR UPDATE")
        assert do_round(client)["revived"] == 1
    assert hints.published == [Hint(HintKind.QUEUED, "free")]
    assert do_round(client)["revived"] == 1


def test_one_that_waits_holds_back_those_behind_it(client: Any, world: World, hints: Hints) -> None:
    world.endpoint()
    head = world.queue()
    world.queue()
    world.execute("UPDATE endpoint_operation SET retry_after_contact = 2 WHERE id = %s", head)
    age(world)
    assert do_round(client)["hinted"] == 0
    world.update()
    assert do_round(client)["hinted"] == 1


def test_a_device_that_went_without_a_word_is_marked_gone(client: Any, world: World) -> None:
    world.endpoint("gone", lifetime=-3600)
    world.endpoint("just over", lifetime=-5)
    world.endpoint("there")
    world.endpoint("for ever", lifetime=None)
    assert do_round(client)["forgotten"] == 1
    rows = world.execute("SELECT name FROM endpoint WHERE NOT registered")
    assert [row["name"] for row in rows] == ["gone"]


def test_partitions_are_made_ahead(client: Any, world: World) -> None:
    tables = ("resource", "event", "event_resource", "resource_hourly", "device_log")
    before = {table: months(world, table) for table in tables}
    for table in tables:
        world.execute(f"DROP TABLE {before[table][-1]}")
    assert do_round(client)["partitions_made"] == 5
    assert {table: months(world, table) for table in tables} == before


def test_old_partitions_are_dropped(client: Any, world: World) -> None:
    world.execute(
        "CREATE TABLE resource_y2020m01 PARTITION OF resource"
        " FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')"
    )
    kept = months(world, "resource")
    assert do_round(client)["partitions_dropped"] == 1
    assert [name for name in kept if name not in months(world, "resource")] == ["resource_y2020m01"]


def test_partitions_that_writers_hold_are_left_for_the_next_round(client: Any, world: World) -> None:
    last = months(world, "resource")[-1]
    world.execute(f"DROP TABLE {last}")
    with psycopg.connect(world.database.ingest) as writer:
        writer.execute("SELECT count(*) FROM resource_latest")
        writer.execute(
            "INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id)"
            " VALUES ('2050-01-01', 1, 1, 1, 0)"
        )
        summary = do_round(client)
        assert summary["partitions_made"] is None
        assert (summary["revived"], summary["hinted"]) == (0, 0)
    assert do_round(client)["partitions_made"] == 1
    assert months(world, "resource")[-1] == last


def test_marks_of_senders_long_gone_are_forgotten(client: Any, world: World) -> None:
    world.execute(
        "INSERT INTO delivery_mark (source, kind, lane, mark, moved_at) VALUES"
        " (gen_random_uuid(), 'single', 0, 1, now() - interval '366 days'),"
        " (gen_random_uuid(), 'single', 0, 2, now())"
    )
    assert do_round(client)["marks_forgotten"] == 1
    assert world.execute("SELECT mark FROM delivery_mark") == [{"mark": 2}]


def test_operations_that_ended_long_ago_are_forgotten_a_batch_a_round(
    client: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.endpoint()
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, status, created_at, finished_at)"
        " SELECT 1, 'read', '/3', s, now() - interval '1 year', f"
        " FROM (VALUES ('CONFIRMED', now() - interval '91 days'), ('FAILED', now() - interval '92 days'),"
        "       ('CANCELLED', now() - interval '93 days'), ('CONFIRMED', now() - interval '89 days'),"
        "       ('QUEUED', NULL)) AS ended (s, f)"
    )
    # What the plan has observed by the registration of today, and what a user took back, are still needed.
    world.execute("UPDATE endpoint SET registration_id = 'now'")
    world.execute(
        "INSERT INTO endpoint_operation"
        " (endpoint_id, operation_type, path, status, finished_at, registration_id, priority)"
        " SELECT 1, type, '/3303', 'CONFIRMED', now() - interval '1 year', registration, 0"
        " FROM (VALUES ('observe', 'now'), ('cancel-observe', NULL)) AS needed (type, registration)"
    )
    monkeypatch.setattr(rounds, "MAX_ROWS_PER_STEP", 2)
    assert [do_round(client)["operations_forgotten"] for _ in range(3)] == [2, 1, 0]
    rows = world.execute("SELECT status FROM endpoint_operation ORDER BY id")
    assert [row["status"] for row in rows] == ["CONFIRMED", "QUEUED", "CONFIRMED", "CONFIRMED"]


def test_a_retention_of_operations_below_a_day_is_refused(pool: Pool, world: World) -> None:
    with pool.connection() as connection, pytest.raises(psycopg.errors.InvalidParameterValue):
        connection.execute("SELECT forget_operations('23 hours', 1)")


def test_a_mark_outlives_values_that_are_kept_for_a_day(pool: Pool, hints: Hints, world: World) -> None:
    """A sender whose spool held items for two days was told that it had never sent them."""
    world.execute(
        "INSERT INTO delivery_mark (source, kind, lane, mark, moved_at)"
        " VALUES (gen_random_uuid(), 'single', 0, 1, now() - interval '2 days')"
    )
    make = load_handler("housekeeping").create_app
    client = make(
        pool, hints, guard_of("connector"), HousekeepingSettings(retention=24 * 3600.0), deliver_nothing
    ).test_client()
    assert do_round(client)["marks_forgotten"] == 0
    assert world.execute("SELECT mark FROM delivery_mark") == [{"mark": 1}]


def test_of_too_many_marks_the_longest_unmoved_are_forgotten(
    client: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Leshan that starts again and again takes a new source each time."""
    monkeypatch.setattr("flownexus.store.retention.MAX_MARKS", 10)
    world.execute(
        "INSERT INTO delivery_mark (source, kind, lane, mark, moved_at)"
        " SELECT gen_random_uuid(), 'single', 0, number, now() - make_interval(days => number)"
        " FROM generate_series(20, 49) AS number"
    )
    assert do_round(client)["marks_forgotten"] == 20
    assert [row["mark"] for row in world.execute("SELECT mark FROM delivery_mark ORDER BY 1")] == [
        *range(20, 30)
    ]


def test_endpoints_that_told_nothing_and_did_not_come_back_are_forgotten(client: Any, world: World) -> None:
    """A thousand names made up in five seconds stayed rows for ever."""
    for name in ("made up", "planned", "told", "asked", "lately", "registered"):
        world.endpoint(name, registered=name == "registered")
    world.queue("asked")
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, priority, registration_id)"
        " SELECT id, 'observe', '/3303/0/5700', 0, 'old' FROM endpoint WHERE name = 'planned'"
    )
    ingest = create_ingest(
        Webhook.SINGLE, world.ingest_pool, Telemetry(timedelta(days=365)), None, guard_of("token")
    ).test_client()
    node = {"kind": "singleResource", "id": 0, "type": "TIME", "value": 1795344335807}
    for name, obj_id in (("told", 3), ("made up", 10240)):
        resource = node | ({"id": 1} if obj_id == 10240 else {"type": "STRING", "value": "x"})
        body = json.dumps({"ep": name, "obj_id": obj_id, "val": resource})
        headers = {"Authorization": "Bearer token"}
        assert ingest.post("/", data=body, headers=headers).status_code == 200
    world.execute(
        "UPDATE endpoint SET last_seen_at = now() - interval '91 days',"
        " first_seen_at = now() - interval '91 days'"
        " WHERE name <> 'lately'"
    )
    assert do_round(client)["endpoints_forgotten"] == 2
    names = [row["name"] for row in world.execute("SELECT name FROM endpoint ORDER BY id")]
    assert names == ["told", "asked", "lately", "registered"]
    # Its id is remembered by that replica; it comes back as one that was never seen.
    body = json.dumps({"ep": "made up", "obj_id": 3, "val": {**node, "type": "STRING", "value": "x"}})
    assert ingest.post("/", data=body, headers=headers).status_code == 200
    rows = world.execute("SELECT endpoint FROM telemetry WHERE object_id = 3")
    assert [row["endpoint"] for row in rows] == ["told", "made up"]


def unseen(world: World) -> None:
    """Let all endpoints have been silent so long that they may be forgotten."""
    world.execute(
        "UPDATE endpoint SET registered = false, last_seen_at = now() - interval '91 days',"
        " first_seen_at = now() - interval '91 days'"
    )


TOLD = json.dumps(
    {"ep": "back", "obj_id": 3, "val": {"kind": "singleResource", "id": 0, "type": "STRING", "value": "x"}}
)


@pytest.mark.parametrize("remembered", [True, False])
def test_a_value_is_never_stored_for_an_endpoint_that_is_forgotten_meanwhile(
    client: Any, world: World, monkeypatch: pytest.MonkeyPatch, remembered: bool
) -> None:
    """Its id was remembered, or just looked up, before it went."""
    ingest = create_ingest(
        Webhook.SINGLE, world.ingest_pool, Telemetry(timedelta(days=365)), None, guard_of("token")
    )
    post = partial(ingest.test_client().post, "/", headers={"Authorization": "Bearer token"})
    world.endpoint("back")
    if remembered:
        assert post(data=TOLD).status_code == 200
        world.execute("DELETE FROM resource; DELETE FROM resource_latest")
    unseen(world)
    done: list[dict[str, Any]] = []
    write = Rows.write

    def forget_first(self: Rows, connection: psycopg.Connection) -> Any:
        if not done:
            done.append(do_round(client))
        return write(self, connection)

    monkeypatch.setattr(Rows, "write", forget_first)
    assert post(data=TOLD).status_code == 200
    assert done[0]["endpoints_forgotten"] == 1
    assert world.execute("SELECT endpoint, value FROM telemetry_latest") == [
        {"endpoint": "back", "value": "x"}
    ]
    assert world.execute("SELECT count(*) FROM resource") == [{"count": 1}]


def test_an_endpoint_whose_value_is_being_stored_is_not_forgotten(
    client: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = create_ingest(
        Webhook.SINGLE, world.ingest_pool, Telemetry(timedelta(days=365)), None, guard_of("token")
    )
    world.endpoint("back")
    unseen(world)
    done: list[dict[str, Any]] = []
    run = Transaction.run

    def round_before_commit(self: Transaction, work: Any) -> Any:
        result = run(self, work)
        if not done:
            done.append({})  # the round's own transactions come here too
            done[0] = do_round(client)
        return result

    monkeypatch.setattr(Transaction, "run", round_before_commit)
    headers = {"Authorization": "Bearer token"}
    assert ingest.test_client().post("/", data=TOLD, headers=headers).status_code == 200
    assert done[0]["endpoints_forgotten"] is None
    assert do_round(client)["endpoints_forgotten"] == 0
    assert [row["endpoint"] for row in world.execute("SELECT endpoint FROM telemetry")] == ["back"]


def test_of_too_many_endpoints_those_without_values_are_forgotten_after_a_day(
    client: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flownexus.store.retention.MAX_UNREGISTERED_ENDPOINTS", 10)
    world.execute(
        "INSERT INTO endpoint (name, first_seen_at) SELECT 'made-up-' || number,"
        " now() - make_interval(hours => number) FROM generate_series(20, 39) AS number"
    )
    assert do_round(client)["endpoints_forgotten"] == 16


def test_dead_letters_are_forgotten_by_age_and_by_number_in_batches(
    client: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flownexus.store.retention.MAX_DEAD_LETTERS", 50)
    monkeypatch.setattr(rounds, "MAX_ROWS_PER_STEP", 40)
    world.execute(
        "INSERT INTO dead_letter (kind, reason, item, received_at)"
        " SELECT 'single', 'bad', '7', now() - make_interval(days => 100 - number)"
        " FROM generate_series(1, 100) AS number"
    )
    forgotten = [do_round(client).get("dead_letters_forgotten") for _ in range(3)]
    assert forgotten == [40, 10, None]
    assert world.execute("SELECT min(id), count(*) FROM dead_letter") == [{"min": 51, "count": 50}]


def test_two_rounds_at_once_do_each_thing_once(pool: Pool, world: World) -> None:
    for number in range(50):
        world.endpoint(f"sim-{number}")
        id_ = world.queue(f"sim-{number}")
        claim(world.dispatch_pool, [f"sim-{number}"], 50)
        world.expire_lease(id_)
    start = threading.Barrier(2)

    def round_() -> int:
        app = load_handler("housekeeping").create_app(
            pool, Hints(), guard_of("connector"), HousekeepingSettings(), deliver_nothing
        )
        client = app.test_client()
        start.wait()
        return do_round(client)["revived"] or 0

    with ThreadPoolExecutor(2) as threads:
        revived = [future.result() for future in [threads.submit(round_) for _ in range(2)]]
    assert sum(revived) == 50
    assert world.execute("SELECT DISTINCT status, attempts FROM endpoint_operation") == [
        {"status": "QUEUED", "attempts": 1}
    ]


def test_what_was_queued_while_nats_was_away_gets_a_hint(
    pool: Pool, world: World, nats_server: Server
) -> None:
    world.endpoint()
    with Publisher(nats_server.url) as publisher:
        assert publisher.wait_connected(5)
        client = (
            load_handler("housekeeping")
            .create_app(pool, publisher, guard_of("connector"), HousekeepingSettings(), deliver_nothing)
            .test_client()
        )
        nats_server.kill()
        world.queue()
        age(world)
        assert do_round(client)["hints_failed"] == 1
        nats_server.erase()
        nats_server.start()
        deadline = time.monotonic() + 10
        while not publisher.connected and time.monotonic() < deadline:
            time.sleep(0.05)
        assert do_round(client)["hinted"] == 1


def test_without_postgresql_the_caller_is_asked_to_come_again(hints: Hints) -> None:
    with open_pool(f"postgresql://nobody@127.0.0.1:{free_port()}/x", 2, "test") as pool:
        client = (
            load_handler("housekeeping")
            .create_app(pool, hints, guard_of("connector"), HousekeepingSettings(), deliver_nothing)
            .test_client()
        )
        assert client.post("/", headers=HEADERS).status_code == 503


def test_its_role_may_do_no_more(world: World) -> None:
    for statement in (
        "INSERT INTO endpoint (name) VALUES ('x')",
        "UPDATE endpoint SET name = 'x'",
        "DELETE FROM endpoint_operation",
        "SELECT * FROM resource",
        "UPDATE delivery_mark SET mark = 0",
        "DELETE FROM endpoint",
        "DELETE FROM resource_latest",
        "UPDATE dead_letter SET item = ''",
        "DROP TABLE resource_default",
    ):
        with (
            psycopg.connect(world.database.housekeeping) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement.encode())


def test_an_expired_operation_is_never_sent_and_ends_with_its_reason(
    client: Any, world: World, hints: Hints
) -> None:
    """It is refused at the claim, by the database's clock, also before a round has ended it."""
    world.endpoint()
    ids = [world.queue(path=f"/3/0/{number}", expires_in=3600) for number in (14, 15)]
    other = world.queue(path="/3/0/14")
    world.execute("UPDATE endpoint_operation SET expires_at = expires_at - interval '1 h'")  # the clock moved
    world.execute(
        "UPDATE endpoint_operation SET attempts = 2, reason = 'no answer', last_attempt_at = now()"
        " WHERE id = %s",
        ids[1],
    )
    [claimed] = claim(world.dispatch_pool, ["sim-0001"], 50)
    assert isinstance(claimed, Claim)
    assert claimed.id == other  # and what has expired holds up nobody
    assert do_round(client)["expired"] == 2
    world.execute(
        "UPDATE endpoint_operation SET status = 'CONFIRMED', lease_expires_at = NULL,"
        " finished_at = now() WHERE id = %s",
        other,
    )
    world.update()
    assert claim(world.dispatch_pool, ["sim-0001"], 50) == [None]
    assert [(row["status"], row["reason"]) for row in map(world.operation, ids)] == [
        ("EXPIRED", "it expired before it was sent"),
        ("EXPIRED", "it expired after 2 attempts: no answer"),
    ]
    assert all(world.operation(id_)["finished_at"] for id_ in ids)
    assert do_round(client)["expired"] == 0


def test_what_is_under_way_when_it_expires_goes_on_and_is_not_sent_again(client: Any, world: World) -> None:
    world.endpoint()
    id_ = world.queue(expires_in=0.3)
    [claimed] = claim(world.dispatch_pool, ["sim-0001"], 50)
    assert isinstance(claimed, Claim)
    time.sleep(0.4)
    assert do_round(client)["expired"] == 0
    assert world.status(id_) == ("SENDING", 1)
    world.expire_lease(id_)
    summary = do_round(client)
    assert (summary["revived"], summary["expired"]) == (1, 1)
    assert world.status(id_) == ("EXPIRED", 1)
    assert world.operation(id_)["reason"] == (
        "it expired after one attempt: the worker that sent it did not come back"
    )


def test_what_is_for_later_gets_its_hint_when_it_is_time(client: Any, world: World, hints: Hints) -> None:
    world.endpoint()
    later = datetime.now(UTC) + timedelta(seconds=0.5)
    id_ = world.queue(not_before=later.isoformat())
    age(world, 600)
    assert do_round(client)["hinted"] == 0
    assert claim(world.dispatch_pool, ["sim-0001"], 50) == [None]
    time.sleep(0.6)
    assert do_round(client)["hinted"] == 1
    [claimed] = claim(world.dispatch_pool, ["sim-0001"], 50)
    assert isinstance(claimed, Claim)
    assert claimed.id == id_
