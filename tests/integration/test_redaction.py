"""Keys: what is written to objects 0 and 21 is sent, and can be read back nowhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from flownexus.leshan.requests import call_of
from flownexus.leshan.webhook import Kind
from flownexus.operations.catalogue.one_path import Write
from flownexus.operations.lifecycle import Earlier, Outcome, Verdict, settle
from flownexus.operations.new_operation import parse_operation
from flownexus.store.operation_claims import Claim, claim
from flownexus.store.operation_requests import cancel, create, list_newest, show
from flownexus.store.operation_results import End, record
from flownexus.store.operation_why import facts_of
from flownexus.store.telemetry import Telemetry
from flownexus.web.ingest import create_app
from tests.fixtures.guard import guard_of
from tests.fixtures.world import World

KEY = "c0ffee00c0ffee00c0ffee00c0ffee00"
TYPED = {"type": "OPAQUE", "value": KEY}
WRITES: list[dict[str, Any]] = [
    {"operation": "write", "path": "/0/0/5", "value": TYPED},
    {"operation": "write", "path": "/0/1/3", "value": {"type": "OPAQUE", "values": {"0": KEY}}},
    {"operation": "write", "path": "/21/0", "value": {"resources": {"0": TYPED, "1": TYPED}}},
    {"operation": "create", "path": "/0", "value": {"resources": {"5": TYPED, "3": TYPED}}},
    {"operation": "write-composite", "value": {"/0/0/5": TYPED, "/3/0/15": "Europe/Berlin"}},
]


def found_in(world: World, needle: str) -> set[str]:
    """Return the tables and views of which a row has such a text."""
    tables = world.execute(
        "SELECT relname FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"
    )
    pattern = f"%{needle}%"
    return {
        name
        for name in (row["relname"] for row in tables)
        if world.execute(f'SELECT 1 AS found FROM "{name}" AS t WHERE t::text ILIKE %s LIMIT 1', pattern)
    }


def seen_by_users(world: World, id_: int) -> str:
    """Return all that the API answers about an operation."""
    shown = [show(world.api_pool, id_), *list_newest(world.api_pool, None, None, None, 50)]
    return json.dumps([each.as_json() for each in shown]) + str(facts_of(world.api_pool, id_))


def queue(world: World, asked: dict[str, Any]) -> int:
    return create(world.api_pool, parse_operation({"endpoint": "sim-0001", **asked}), "ann", "key").id


def take(world: World) -> Claim:
    [claimed] = claim(world.dispatch_pool, ["sim-0001"], 50)
    assert isinstance(claimed, Claim)
    return claimed


def end(world: World, claimed: Claim, outcome: Outcome) -> None:
    settlement = settle(claimed.attempt, outcome)
    telemetry = Telemetry(timedelta(days=365))
    record(world.dispatch_pool, telemetry, [End(claimed, settlement, datetime.now(UTC))])


@pytest.mark.parametrize("asked", WRITES, ids=lambda asked: f"{asked['operation']} {asked.get('path', '')}")
def test_a_key_is_sent_and_read_back_nowhere(world: World, asked: dict[str, Any]) -> None:
    world.endpoint()
    id_ = queue(world, asked)
    # Until it is sent it is in one place, which only who sends it may read.
    assert found_in(world, KEY) == {"operation_secret"}
    assert KEY not in seen_by_users(world, id_)
    assert '"redacted": true' in seen_by_users(world, id_)
    for role in ("api", "ingest", "housekeeping", "grafana", "reader"):
        with (
            psycopg.connect(getattr(world.database, role)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("SELECT * FROM operation_secret")
    claimed = take(world)
    assert KEY in json.dumps(call_of(claimed.operation).json)
    end(world, claimed, Outcome(Verdict.CONFIRMED, None, "CHANGED(204)"))
    assert world.status(id_)[0] == "CONFIRMED"
    assert found_in(world, KEY) == set()
    assert KEY not in seen_by_users(world, id_)


def test_what_else_is_written_beside_a_key_can_be_read_back(world: World) -> None:
    world.endpoint()
    id_ = queue(world, WRITES[-1])
    assert show(world.api_pool, id_).value == {
        "/0/0/5": {"type": "OPAQUE", "value": None, "redacted": True},
        "/3/0/15": {"type": "STRING", "value": "Europe/Berlin"},
    }


def test_a_key_that_is_tried_again_is_sent_again(world: World) -> None:
    world.endpoint()
    id_ = queue(world, WRITES[0])
    end(world, take(world), Outcome(Verdict.AWAY, "Leshan is away"))
    assert world.status(id_)[0] == "QUEUED"
    assert KEY in json.dumps(call_of(take(world).operation).json)


def test_a_key_that_is_never_sent_is_gone_with_its_operation(world: World) -> None:
    world.endpoint()
    cancel(world.api_pool, queue(world, WRITES[0]))
    assert found_in(world, KEY) == set()


def test_a_function_of_the_version_before_does_not_send_something_else_in_its_place(world: World) -> None:
    """It reads the row alone, which has no value."""
    world.endpoint()
    id_ = queue(world, WRITES[0])
    claimed = take(world)
    world.execute("DELETE FROM operation_secret")
    assert isinstance(claimed.operation, Write)
    operation = Write(path=claimed.operation.path, value=world.operation(id_)["value"])
    with pytest.raises(ValueError, match="OPAQUE"):
        call_of(operation)


def test_what_a_device_answers_of_keys_is_kept_nowhere(world: World) -> None:
    world.endpoint()
    node = {"kind": "singleResource", "id": 5, "type": "OPAQUE", "value": KEY}
    other = {"kind": "singleResource", "id": 15, "type": "STRING", "value": "Europe/Berlin"}
    first = queue(world, {"operation": "read", "path": "/0/0/5"})
    end(world, take(world), Outcome(Verdict.CONFIRMED, None, "CONTENT(205)", node, None, [Earlier(node, 1)]))
    body = {"endpoint": "sim-0001", "operation": "read-composite", "paths": ["/0/0/5", "/3/0/15"]}
    second = create(world.api_pool, parse_operation(body), "ann").id
    content = {"/0/0/5": node, "/3/0/15": other}
    history = [Earlier(content, 1), Earlier("?", 2)]
    end(world, take(world), Outcome(Verdict.CONFIRMED, None, "CONTENT(205)", content, None, history))
    assert found_in(world, KEY) == set()
    assert world.operation(first)["result"] == {"status": "CONTENT(205)"}
    assert world.operation(second)["result"]["content"] == {"/0/0/5": None, "/3/0/15": other}
    assert [each["content"] for each in world.operation(second)["result"]["history"]] == [
        {"/0/0/5": None, "/3/0/15": other}
    ]
    assert {row["path"] for row in world.execute("SELECT path FROM telemetry")} == {"/3/0/15"}


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.COMPOSITE])
def test_what_a_device_tells_of_keys_by_itself_is_kept_nowhere(world: World, kind: Kind) -> None:
    telemetry = Telemetry(timedelta(days=365))
    app = create_app(kind, world.ingest_pool, telemetry, None, guard_of("hook"))
    good = {"kind": "singleResource", "id": 5, "type": "OPAQUE", "value": KEY}
    bad = {"kind": "singleResource", "id": 5, "type": "INTEGER", "value": f"{KEY}!"}
    failure = {"reason": f"no value: {KEY}", "path": "/0/0/5", "payload": KEY, "size": 16}
    items: list[dict[str, Any]] = (
        [{"ep": "sim-0001", "obj_id": 0, "val": node} for node in (good, bad)]
        if kind is Kind.SINGLE
        else [{"ep": "sim-0001", "val": {"/0/0/5": good, "/21/0/5": bad}}]
    )
    items.append({"ep": "sim-0001", "failure": failure})
    answer = app.test_client().post(
        "/", data=json.dumps(items).encode(), headers={"Authorization": "Bearer hook"}
    )
    assert answer.status_code == 200
    assert KEY not in answer.get_data(as_text=True)
    assert found_in(world, KEY) == set()
