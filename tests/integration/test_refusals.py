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


def test_devices_of_one_address_with_unknown_identities_are_a_row_each(world: World) -> None:
    behind_nat = [Refusal("", "192.0.2.1", "unknown-identity", 1, f"identity '{name}'") for name in "aba"]
    note(world, *behind_nat)
    note(world, behind_nat[1], Refusal("", "192.0.2.1", "unknown-identity", 5))
    rows = list_refusals(world.api_pool, None, None, 10)
    counts = {row.detail: row.count for row in rows}
    assert counts == {"identity 'a'": 2, "identity 'b'": 2, None: 5}


def test_what_is_said_last_is_kept_of_others(world: World) -> None:
    said = [Refusal("dev", "192.0.2.1", "malformed-registration", 1, detail) for detail in ("z", "a")]
    note(world, *said, Refusal("dev", "192.0.2.1", "malformed-registration", 1))
    [row] = list_refusals(world.api_pool, None, None, 10)
    assert (row.count, row.detail) == (3, "a")


def test_an_identity_of_any_length_can_be_stored(world: World) -> None:
    note(world, Refusal("\U0001f600" * 255, "192.0.2.1", "unknown-identity", 1, "\U0001f600" * 500))
    [row] = list_refusals(world.api_pool, None, None, 10)
    assert row.detail == "\U0001f600" * 500


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
