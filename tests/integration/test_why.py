"""Why an operation has not ended, by rows that the functions' own code has made."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from flownexus.operations.lifecycle import Outcome, Verdict, settle
from flownexus.operations.why import MAX_CONTACTS, Cause, Why, why
from flownexus.store import queries
from flownexus.store.operation_claims import Claim, claim
from flownexus.store.operation_requests import cancel
from flownexus.store.operation_results import End, Recorded, record
from flownexus.store.operation_why import facts_of, reasons_of
from flownexus.store.telemetry import Telemetry
from tests.fixtures.plans import nodes, plan_of
from tests.fixtures.world import World

NAME = "sim-0001"
NO_ANSWER = Outcome(Verdict.UNKNOWN, "the device did not answer in time")


def take(world: World) -> Claim:
    [claimed] = claim(world.dispatch_pool, [NAME], 50)
    assert isinstance(claimed, Claim)
    return claimed


def attempt(world: World, outcome: Outcome) -> int:
    """Let what is next be sent and end so; return its id."""
    claimed = take(world)
    end = End(claimed, settle(claimed.attempt, outcome), datetime.now(UTC))
    [recorded] = record(world.dispatch_pool, Telemetry(timedelta(days=365)), [end])
    assert recorded in (Recorded.LAST, Recorded.MORE)
    return claimed.id


def told(world: World, id_: int) -> Why:
    return why(facts_of(world.api_pool, id_))


def contacts(world: World, seconds: float, count: int = 20) -> None:
    """Let the device have updated every so many seconds until now, and told composites meanwhile."""
    world.execute(
        "INSERT INTO event (time, id, endpoint_id, event_type)"
        " SELECT now() - make_interval(secs => %s * n), n, 1, 'updated' FROM generate_series(0, %s) n",
        seconds, count,
    )  # fmt: skip
    world.execute(
        "INSERT INTO event (time, id, endpoint_id, event_type)"
        " SELECT now() - make_interval(secs => n), 1000 + n, 1, 'composite' FROM generate_series(1, 100) n"
    )


def test_it_is_due(world: World) -> None:
    world.endpoint(NAME)
    assert told(world, world.queue()).cause is Cause.DUE


def test_it_is_under_way(world: World) -> None:
    world.endpoint(NAME)
    id_ = world.queue()
    take(world)
    assert told(world, id_).fields == {
        "since": world.operation(id_)["last_attempt_at"], "attempt": 1,
    }  # fmt: skip


def test_the_device_has_never_registered(world: World) -> None:
    [row] = world.execute("INSERT INTO endpoint (name) VALUES ('sim-0001') RETURNING first_seen_at")
    found = told(world, world.queue())
    assert (found.cause, found.fields["since"]) == (Cause.NEVER_REGISTERED, row["first_seen_at"])


def test_the_device_s_registration_has_ended(world: World) -> None:
    world.endpoint(NAME, lifetime=-5)
    id_ = world.queue()
    [row] = world.execute("SELECT expires_at FROM endpoint")
    for _ in range(2):
        found = told(world, id_)
        assert (found.cause, found.fields["since"]) == (Cause.OFFLINE, row["expires_at"])
        world.execute("UPDATE endpoint SET registered = false")  # as housekeeping does


def test_the_device_has_deregistered(world: World) -> None:
    world.endpoint(NAME)
    id_ = world.queue()
    [row] = world.execute(
        "INSERT INTO event (time, id, endpoint_id, event_type) VALUES (now(), 1, 1, 'unregistered')"
        " RETURNING time"
    )
    world.execute("UPDATE endpoint SET registered = false, expires_at = NULL")
    found = told(world, id_)
    assert (found.cause, found.fields["since"]) == (Cause.OFFLINE, row["time"])


def test_the_device_sleeps_and_is_expected_by_its_rhythm(world: World) -> None:
    world.endpoint(NAME)
    contacts(world, 30)
    first, second = world.queue(), world.queue(path="/3/0/14")
    assert attempt(world, Outcome(Verdict.ABSENT, "the device sleeps")) == first
    [row] = world.execute("SELECT max(time) AS newest FROM event WHERE event_type = 'updated'")
    for id_ in (first, second):
        found = told(world, id_)
        assert found.cause is Cause.ASLEEP
        at = row["newest"] + timedelta(seconds=30)
        assert found.fields["expected"] == {"by": "rhythm", "at": at, "earliest": at, "until": at}
    assert "the device sleeps" in told(world, first).sentence
    world.update(NAME)
    assert told(world, first).cause is Cause.DUE


def test_another_one_is_under_way(world: World) -> None:
    world.endpoint(NAME)
    first, second = world.queue(), world.queue(path="/3/0/14")
    take(world)
    found = told(world, second)
    assert (found.cause, found.fields["operation"]) == (Cause.OTHER_UNDER_WAY, first)


def test_it_waits_for_a_contact_after_no_answer(world: World) -> None:
    world.endpoint(NAME)
    id_ = world.queue()
    assert attempt(world, NO_ANSWER) == id_
    found = told(world, id_)
    assert (found.cause, found.fields["attempts"]) == (Cause.AWAITS_CONTACT, 1)
    assert found.fields["expected"]["by"] == "lifetime"


def test_too_many_are_unanswered(world: World) -> None:
    world.endpoint(NAME)
    ids = [world.queue(operation="read", path=f"/3/0/{number}") for number in range(4)]
    assert [attempt(world, NO_ANSWER) for _ in ids[:3]] == ids[:3]
    found = told(world, ids[3])
    assert (found.cause, found.fields["unanswered"]) == (Cause.TOO_MANY_UNANSWERED, 3)


def test_the_device_is_asked_again_after_a_delay(world: World) -> None:
    world.endpoint(NAME)
    id_ = world.queue()
    attempt(world, Outcome(Verdict.FAILED, "5.03", "SERVICE_UNAVAILABLE(503)"))
    found = told(world, id_)
    assert (found.cause, found.fields["until"]) == (Cause.RETRY_DELAY, world.operation(id_)["not_before"])


def test_an_older_one_has_the_same_target(world: World) -> None:
    world.endpoint(NAME)
    first, second, third = world.queue(), world.queue(operation="execute"), world.queue(path="/3/0/14")
    assert (told(world, first).cause, told(world, third).cause) == (Cause.DUE, Cause.SAME_TARGET)
    found = told(world, second)
    assert (found.cause, found.fields["operation"]) == (Cause.SAME_TARGET, first)


def test_others_go_first(world: World) -> None:
    world.endpoint(NAME)
    first, second = world.queue(), world.queue(path="/3/0/14")
    found = told(world, second)
    assert (found.cause, found.fields["operation"]) == (Cause.OTHERS_FIRST, first)
    urgent = world.queue(operation="read", path="/3/0/1", priority=500)
    found = told(world, first)
    assert (found.cause, found.fields["operation"]) == (Cause.OTHERS_FIRST, urgent)
    assert "higher priority" in found.sentence


def test_leshan_is_away(world: World) -> None:
    world.endpoint(NAME)
    id_ = world.queue()
    attempt(world, Outcome(Verdict.AWAY, "Connection refused"))
    found = told(world, id_)
    assert (found.cause, found.fields["reason"]) == (Cause.LESHAN_AWAY, "Connection refused")


def test_what_is_to_be_created_need_not_be_among_the_objects_yet(world: World) -> None:
    world.endpoint(NAME)
    world.execute("UPDATE endpoint SET objects = '{/3/0,/3341/0}'")
    for path in ("/3341", "/3341/7"):
        id_ = world.queue(operation="create", path=path, value={"resources": {}})
        assert "missing" not in told(world, id_).fields
    id_ = world.queue(operation="create", path="/3342/7", value={"resources": {}})
    assert told(world, id_).fields["missing"] == ["/3342"]


def test_the_path_is_not_among_the_objects(world: World) -> None:
    world.endpoint(NAME)
    world.execute("UPDATE endpoint SET objects = '{/3/0}'")
    id_ = world.queue(operation="read", path="/3303/1/5700")
    assert told(world, id_).fields == {"missing": ["/3303/1"]}
    attempt(world, Outcome(Verdict.REFUSED, "NOT_FOUND(404)", "NOT_FOUND(404)"))
    found = told(world, id_)
    assert (found.cause, found.fields["missing"]) == (Cause.NOT_AMONG_OBJECTS, ["/3303/1"])


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Outcome(Verdict.CONFIRMED, None, "CHANGED(204)"), Cause.CONFIRMED),
        (Outcome(Verdict.REFUSED, "METHOD_NOT_ALLOWED(405)", "METHOD_NOT_ALLOWED(405)"), Cause.FAILED),
    ],
)
def test_it_has_ended(world: World, outcome: Outcome, cause: Cause) -> None:
    world.endpoint(NAME)
    id_ = world.queue()
    attempt(world, outcome)
    found = told(world, id_)
    assert (found.cause, found.fields["at"]) == (cause, world.operation(id_)["finished_at"])


def test_its_user_wants_it_later(world: World) -> None:
    world.endpoint(NAME)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    first, second = world.queue(not_before=later), world.queue()
    found = told(world, first)
    assert (found.cause, found.fields["until"].isoformat()) == (Cause.NOT_BEFORE, later)
    assert told(world, second).cause is Cause.DUE  # what is for later holds up nobody
    world.execute("UPDATE endpoint_operation SET not_before = now() WHERE id = %s", first)
    assert told(world, first).cause is Cause.DUE
    assert told(world, second).fields["operation"] == first


def test_it_has_expired(world: World) -> None:
    world.endpoint(NAME, registered=False)
    id_ = world.queue(expires_in=0.01)
    time.sleep(0.02)
    at = world.operation(id_)["expires_at"]
    found = told(world, id_)
    assert (found.cause, found.fields["at"]) == (Cause.EXPIRED, at)


def test_it_was_cancelled(world: World) -> None:
    world.endpoint(NAME)
    id_ = world.queue()
    cancel(world.api_pool, id_)
    found = told(world, id_)
    assert (found.cause, found.fields["reason"]) == (Cause.CANCELLED, "cancelled by its user")


def given_anything(world: World, chance: random.Random) -> None:
    """Let an endpoint be in any state, and have operations that are in any."""

    def any_of(*choices: Any) -> Any:
        return chance.choice(choices)

    world.execute("TRUNCATE endpoint_operation, endpoint RESTART IDENTITY CASCADE")
    world.endpoint(NAME, registered=chance.random() < 0.9, lifetime=any_of(300, 300, 300, None, -1))
    world.execute("UPDATE endpoint SET unreachable_at_contact = %s", any_of(-1, 0, 0, 0, 1))
    for _ in range(chance.randrange(1, 8)):
        path = any_of("/3/0/15", "/3/0/14", "/3/0", "/3303/0/5700", "/1")
        id_ = world.queue(operation="read", path=path, priority=any_of(100, 100, 100, 500))
        tried = any_of(True, False)
        world.execute(
            "UPDATE endpoint_operation SET retry_after_contact = %s,"
            " last_attempt_at = CASE WHEN %s THEN now() END, not_before = now() + make_interval(secs => %s),"
            " registration_id = %s, expires_at = now() + make_interval(secs => %s)"
            " WHERE id = %s",
            any_of(0, 0, 1, 2), tried, any_of(None, None, 60, -60),
            any_of(None, None, f"r{id_}"), any_of(None, None, 60, -60), id_,
        )  # fmt: skip
    if chance.random() < 0.2:
        world.execute(
            "UPDATE endpoint_operation SET status = 'SENDING', lease_expires_at = now() + interval '1 min'"
            " WHERE id = 1"
        )


def test_it_is_said_to_be_due_where_it_is_what_goes_next_and_nowhere_else(world: World) -> None:
    chance = random.Random(7)
    causes: set[Cause] = set()
    for _ in range(300):
        given_anything(world, chance)
        following = {row["id"] for row in world.execute("SELECT id FROM next_operation(1)")}
        queued = world.execute("SELECT id FROM endpoint_operation WHERE status = 'QUEUED'")
        found = {row["id"]: told(world, row["id"]).cause for row in queued}
        assert {id_ for id_, cause in found.items() if cause is Cause.DUE} == following
        causes |= set(found.values())
    assert len(causes) >= 9


def test_a_page_of_operations_is_asked_about_by_one_query_that_reads_by_index(world: World) -> None:
    ids: list[int] = []
    for number in range(50):
        name = f"sim-{number:04}"
        world.endpoint(name)
        ids.append(world.queue(name))
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, status, finished_at)"
        " SELECT e.id, 'read', '/3', 'CONFIRMED', now() FROM endpoint e, generate_series(1, 400)"
    )
    world.execute("ANALYZE endpoint_operation")
    reasons = reasons_of(world.api_pool, ids)
    assert reasons.keys() == set(ids)
    assert reasons[ids[7]] == told(world, ids[7]).sentence
    with psycopg.connect(world.database.console) as connection:
        plan = plan_of(connection, queries.why_facts.sql, {"ids": ids, "max_contacts": MAX_CONTACTS})
    reads = [node for node in nodes(plan) if node.get("Relation Name") == "endpoint_operation"]
    assert reads
    assert [node for node in reads if node["Node Type"] == "Seq Scan"] == []
