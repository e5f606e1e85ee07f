"""Events that users name, and values of one instance and time that are one although they came one by one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from flownexus.leshan.webhook import Kind
from flownexus.store.telemetry import Telemetry
from flownexus.web.ingest import create_app
from tests.fixtures.guard import guard_of
from tests.fixtures.world import World

NOW_MS = round(datetime.now(UTC).timestamp() * 1000) // 1000 * 1000


def node(resource: int, value: float = 21.5) -> dict[str, Any]:
    return {"kind": "singleResource", "id": resource, "type": "FLOAT", "value": str(value)}


def single(resource: int, ms: int = NOW_MS, *, instance: int = 0, object_id: int = 3303) -> dict[str, Any]:
    body = {"ep": "sim-0001", "obj_id": object_id, "inst_id": instance, "val": node(resource)}
    return body | {"ts": ms}


def tell(world: World, kind: Kind, *items: dict[str, Any]) -> None:
    app = create_app(kind, world.ingest_pool, Telemetry(timedelta(days=365)), None, guard_of("hook"))
    body = json.dumps(items).encode()
    answer = app.test_client().post("/", data=body, headers={"Authorization": "Bearer hook"})
    assert answer.status_code == 200, answer.text


def read(world: World, query: str, role: str = "reader") -> list[dict[str, Any]]:
    with psycopg.connect(getattr(world.database, role), row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def test_values_of_one_instance_and_time_are_an_event(world: World) -> None:
    tell(world, Kind.SINGLE, single(5700), single(5700, instance=1), single(5700, NOW_MS + 1))
    assert read(world, "SELECT * FROM value_event") == []
    tell(world, Kind.SINGLE, single(5601), single(5602, NOW_MS + 2), single(5701, object_id=3304))
    assert read(world, "SELECT endpoint, instance, paths FROM value_event") == [
        {"endpoint": "sim-0001", "instance": "/3303/0", "paths": ["/3303/0/5601", "/3303/0/5700"]}
    ]


def test_values_that_are_an_event_already_are_no_other_one(world: World) -> None:
    composite = {"/3303/0/5700": node(5700), "/3303/0/5601": node(5601)}
    tell(world, Kind.COMPOSITE, {"ep": "sim-0001", "ts": NOW_MS, "val": composite})
    assert read(world, "SELECT * FROM value_event") == []
    assert [row["event_type"] for row in read(world, "SELECT event_type FROM named_event")] == ["composite"]


@pytest.mark.parametrize("role", ["api", "grafana", "reader"])
def test_an_event_has_the_name_of_the_type_that_it_fits_best(world: World, role: str) -> None:
    world.execute(
        "INSERT INTO event_type (name, paths) VALUES ('warm', '{/3303/*/5700}'),"
        " ('extremes', '{/3303/*/5700,/3303/0/5601}'), ('dry', '{/3304}'), ('odd', '{/330}')"
    )
    both = {"/3303/0/5700": node(5700), "/3303/0/5601": node(5601)}
    tell(
        world,
        Kind.COMPOSITE,
        *(
            {"ep": "sim-0001", "ts": NOW_MS + n, "val": values}
            for n, values in enumerate(
                [
                    both,
                    {"/3303/7/5700": node(5700)},
                    {"/3304/0/5700": node(5700)},
                    {"/3305/0/5700": node(5700)},
                ]
            )
        ),
    )
    tell(world, Kind.SINGLE, single(5700, NOW_MS + 9), single(5601, NOW_MS + 9))
    found = read(world, "SELECT event_type, name FROM named_event ORDER BY time", role)
    assert [(row["event_type"], row["name"]) for row in found] == [
        ("composite", "extremes"),
        ("composite", "warm"),
        ("composite", "dry"),
        ("composite", None),
        ("instance", "extremes"),
    ]


def test_a_name_and_paths_are_checked(world: World) -> None:
    for name, paths in (("Door open", "{/3}"), ("door", "{}"), ("door", "{/3/.}"), ("door", "{NULL}")):
        with pytest.raises(psycopg.errors.CheckViolation):
            world.execute("INSERT INTO event_type (name, paths) VALUES (%s, %s)", name, paths)
