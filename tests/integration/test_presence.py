"""Presence in PostgreSQL: what registration events, values and found sleepers make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from flownexus.leshan.webhook import Kind
from flownexus.operations.lifecycle import Outcome, Verdict, settle
from flownexus.store.operation_claims import Claim, claim
from flownexus.store.operation_results import End, record
from flownexus.store.telemetry import Telemetry
from flownexus.web.ingest import create_app
from tests.fixtures.guard import guard_of
from tests.fixtures.world import World

NAME = "sim-0001"
Post = Callable[..., None]


@pytest.fixture
def post(world: World) -> Post:
    """Post items to the webhook function of their kind."""
    telemetry = Telemetry(timedelta(days=365))
    apps: dict[Kind, FlaskClient] = {
        kind: create_app(kind, world.ingest_pool, telemetry, None, guard_of("secret")).test_client()
        for kind in Kind
    }

    def send(kind: Kind, *items: Any) -> None:
        answer = apps[kind].post(
            "/",
            data=json.dumps(items).encode(),
            headers={"Authorization": "Bearer secret"},
            content_type="application/json",
        )
        assert answer.status_code == 200
        assert answer.json is not None
        assert answer.json["rejected"] == []

    return send


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def event(resource: int, **reg: Any) -> dict[str, Any]:
    node = {"kind": "singleResource", "id": resource, "type": "TIME", "value": now_ms()}
    return {"ep": NAME, "obj_id": 10240, "val": node, "ts": now_ms(), "reg": {"id": "one", **reg}}


def value(ts: int) -> dict[str, Any]:
    node = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "1.5"}
    return {"ep": NAME, "obj_id": 3303, "val": node, "ts": ts}


def presence(world: World) -> str:
    [row] = world.execute("SELECT presence(e) AS presence FROM endpoint e")
    told: str = row["presence"]
    return told


def ago(world: World) -> float:
    [row] = world.execute("SELECT extract(epoch FROM now() - last_seen_at)::float AS ago FROM endpoint")
    told: float = row["ago"]
    return told


def pass_time(world: World, seconds: float) -> None:
    """Let so much time have passed."""
    world.execute(
        "UPDATE endpoint SET last_seen_at = last_seen_at - make_interval(secs => %s),"
        " expires_at = expires_at - make_interval(secs => %s)",
        seconds, seconds,
    )  # fmt: skip


def test_a_device_that_always_listens_is_registered_until_its_lifetime_is_over(
    world: World, post: Post
) -> None:
    world.execute("INSERT INTO endpoint (name) VALUES (%s)", NAME)
    assert presence(world) == "offline"
    post(Kind.REGISTRATION, event(0, binding="U", lifetime=300))
    assert presence(world) == "registered"
    pass_time(world, 299)
    assert presence(world) == "registered"
    pass_time(world, 2)
    assert presence(world) == "offline"
    post(Kind.REGISTRATION, event(2))
    assert presence(world) == "registered"
    post(Kind.REGISTRATION, event(1))
    assert presence(world) == "offline"


@pytest.mark.parametrize(
    ("told", "seconds"), [({}, 93), ({"awake": 20}, 20), ({"awake": 2.5, "awake_told": True}, 2.5)]
)
def test_a_sleeper_is_awake_for_as_long_as_it_says_or_leshan(
    world: World, post: Post, told: dict[str, Any], seconds: float
) -> None:
    post(Kind.REGISTRATION, event(0, binding="UQ", lifetime=300, **told))
    assert presence(world) == "awake"
    pass_time(world, seconds - 1)
    assert presence(world) == "awake"
    pass_time(world, 2)
    assert presence(world) == "asleep"
    post(Kind.REGISTRATION, event(3))
    assert presence(world) == "awake"
    pass_time(world, 300)
    assert presence(world) == "offline"


def test_a_sleeper_that_was_found_asleep_sleeps(world: World, post: Post) -> None:
    post(Kind.REGISTRATION, event(0, binding="UQ"))
    id_ = world.queue()
    dispatch(world, Outcome(Verdict.ABSENT, "the device sleeps"))
    assert presence(world) == "asleep"
    assert claim(world.dispatch_pool, [NAME], 50) == [None]
    post(Kind.REGISTRATION, event(3, address="192.0.2.7:1"))
    assert presence(world) == "awake"
    [row] = world.execute("SELECT address, contact_count FROM endpoint")
    assert (row["address"], row["contact_count"]) == ("192.0.2.7:1", 2)
    dispatch(world, Outcome(Verdict.CONFIRMED))
    assert world.status(id_) == ("CONFIRMED", 1)


def test_a_device_that_is_heard_again_stays_registered_for_no_longer(world: World, post: Post) -> None:
    post(Kind.REGISTRATION, event(0, lifetime=300))
    pass_time(world, 100)
    [before] = world.execute("SELECT expires_at FROM endpoint")
    post(Kind.REGISTRATION, event(3))
    [after] = world.execute("SELECT expires_at, contact_count FROM endpoint")
    assert (after["expires_at"], after["contact_count"]) == (before["expires_at"], 2)
    assert ago(world) < 5


def test_a_registration_that_is_over_is_not_heard_again(world: World, post: Post) -> None:
    post(Kind.REGISTRATION, event(0), {**event(0), "reg": {"id": "two"}}, event(3))
    [row] = world.execute("SELECT registration_id, contact_count FROM endpoint")
    assert (row["registration_id"], row["contact_count"]) == ("two", 2)


def dispatch(world: World, outcome: Outcome) -> None:
    [claimed] = claim(world.dispatch_pool, [NAME], 50)
    assert isinstance(claimed, Claim)
    record(
        world.dispatch_pool,
        Telemetry(timedelta(days=365)),
        [End(claimed, settle(claimed.attempt, outcome), datetime.now(UTC))],
    )


def test_a_device_that_answers_is_seen(world: World, post: Post) -> None:
    post(Kind.REGISTRATION, event(0, binding="UQ"))
    for outcome, seen in ((Verdict.UNKNOWN, False), (Verdict.CONFIRMED, True)):
        world.queue()
        pass_time(world, 50)
        dispatch(world, Outcome(outcome))
        assert (ago(world) < 5) is seen
        post(Kind.REGISTRATION, event(2))


def test_a_profile_says_how_long_a_device_listens_that_does_not_say_itself(world: World, post: Post) -> None:
    post(Kind.REGISTRATION, event(0, binding="UQ", awake=20))
    world.execute("UPDATE endpoint SET profile_id = (SELECT id FROM profile WHERE name = 'default')")
    world.execute("UPDATE profile SET awake_time_s = 7")
    pass_time(world, 8)
    assert presence(world) == "asleep"
    world.queue()
    [claimed] = claim(world.dispatch_pool, [NAME], 50)
    assert isinstance(claimed, Claim)
    assert claimed.awake_time_s == 7
    post(Kind.REGISTRATION, event(2, awake=20, awake_told=True))
    pass_time(world, 8)
    assert presence(world) == "awake"


def test_values_are_a_sign_of_life(world: World, post: Post) -> None:
    post(Kind.REGISTRATION, event(0, binding="U"))
    pass_time(world, 200)
    post(Kind.SINGLE, value(now_ms() - 3_600_000))
    assert 195 < ago(world) < 210  # what waited in the spool for an hour
    pass_time(world, 0)


def test_the_newest_value_is_when_its_device_was_last_seen(world: World, post: Post) -> None:
    post(Kind.REGISTRATION, event(0, binding="U"))
    pass_time(world, 200)
    post(Kind.SINGLE, value(now_ms() - 7000), value(now_ms() - 9000))
    assert 6 < ago(world) < 9
    post(Kind.SINGLE, value(now_ms()))
    assert 6 < ago(world) < 12  # seldom: it is recent enough


def test_who_holds_the_endpoint_s_row_holds_up_no_value(world: World, post: Post) -> None:
    post(Kind.REGISTRATION, event(0, binding="U"))
    pass_time(world, 200)
    with psycopg.connect(world.database.owner) as holder:
        holder.execute("SELECT FROM endpoint FOR NO KEY UPDATE")
        post(Kind.SINGLE, value(now_ms()))
        holder.rollback()
    assert ago(world) > 190
    [row] = world.execute("SELECT count(*) AS stored FROM telemetry WHERE object_id = 3303")
    assert row["stored"] == 1
