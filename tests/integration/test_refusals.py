"""Devices that are not let in: rows that people read, and no more than are kept."""

from __future__ import annotations

import psycopg
import pytest

from flownexus.leshan.refusals import REMEDIES, Refusal
from flownexus.store import refusal
from flownexus.store.refusal import list_refusals, note_refusals
from flownexus.store.transaction import transaction
from tests.fixtures.world import World


def note(world: World, *refusals: Refusal) -> None:
    transaction(world.ingest_pool, lambda current: note_refusals(current.connection, refusals))


def test_a_device_that_goes_on_trying_is_one_row_with_its_remedy(world: World) -> None:
    note(world, Refusal("dev", "192.0.2.1", "wrong-key", 3), Refusal("dev", "192.0.2.1", "wrong-key", 1))
    note(world, Refusal("dev", "192.0.2.1", "wrong-key", 4, "detail"), Refusal("", "", "unknown-identity", 9))
    [unknown, dev] = sorted(list_refusals(world.api_pool, None, None, 10), key=lambda row: row.endpoint or "")
    assert (dev.endpoint, dev.address, dev.count, dev.detail) == ("dev", "192.0.2.1", 8, "detail")
    assert dev.first_at < dev.last_at
    assert dev.as_json()["remedy"] == REMEDIES["wrong-key"]
    assert (unknown.endpoint, unknown.address, unknown.count) == (None, None, 9)
    assert [row.endpoint for row in list_refusals(world.api_pool, "dev", None, 10)] == ["dev"]


def test_pages_are_the_newest_first_and_have_each_row_once(world: World) -> None:
    for number in range(7):
        note(world, Refusal(f"dev-{number}", "192.0.2.1", "wrong-key", 1))
    seen: list[str | None] = []
    before = None
    while page := list_refusals(world.api_pool, None, before, 3):
        seen += [row.endpoint for row in page]
        before = (page[-1].last_at, page[-1].id)
    assert seen == [f"dev-{number}" for number in reversed(range(7))]


def test_made_up_names_fill_no_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal, "MAX_REFUSALS", 100)
    for first in range(0, 500, 50):
        names = [f"x{first + n:04}" for n in range(50)]
        note(world, *(Refusal(name, "192.0.2.1", "unsupported-version", 1) for name in names))
    [row] = world.execute("SELECT count(*) AS n, min(endpoint) AS oldest FROM registration_refusal")
    assert (row["n"], row["oldest"]) == (100, "x0400")


def test_who_stores_at_once_waits_for_nobody_in_a_circle(world: World) -> None:
    with psycopg.connect(world.database.ingest) as one:
        note_refusals(one, [Refusal("a", "", "wrong-key", 1)])
        note(world, Refusal("b", "", "wrong-key", 1))
        one.commit()
    assert len(list_refusals(world.api_pool, None, None, 10)) == 2
