"""Updates are taken on together, and none holds up another, whatever a device tells or a user wants."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from flownexus.errors import ValidationFailedError
from flownexus.firmware.decision import decide
from flownexus.firmware.package import NewPackage
from flownexus.firmware.update import Step, Terms, Update
from flownexus.store import update_steps as store
from flownexus.store.firmware import announce
from flownexus.store.pool import Pool, open_pool
from flownexus.store.update import start_update
from flownexus.store.update_steps import take_steps
from tests.fixtures.packages import upload
from tests.fixtures.world import World

TERMS = Terms({"http": "http://fw.example/{token}"})


@pytest.fixture
def driver(world: World) -> Iterator[Pool]:
    """Return the pool of the function that takes updates on."""
    with open_pool(world.database.firmware, 2, "test firmware") as pool:
        yield pool


@pytest.fixture
def two(world: World) -> list[str]:
    """Begin the updates of two devices, and return their names: the first comes first."""
    package = upload(world).id
    names = [world.endpoint(name) for name in ("odd", "plain")]
    for name in names:
        world.execute("UPDATE endpoint SET objects = '{/5/0}' WHERE name = %s", name)
        start_update(world.api_pool, name, package, "ann")
    return names


def states(world: World) -> dict[str, str]:
    rows = world.execute(
        "SELECT e.name, u.state FROM firmware_update u JOIN endpoint e ON e.id = u.endpoint_id"
    )
    return {row["name"]: row["state"] for row in rows}


def tell_several(world: World, resource: int) -> None:
    """Let the odd device have told two instances of a resource of its firmware object."""
    world.execute(
        "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (5, %s, 'INTEGER')", resource
    )
    world.execute(
        "INSERT INTO resource_latest (endpoint_id, resource_type_id, object_instance_id,"
        " resource_instance_id, time, resource_id, integer_value)"
        " SELECT e.id, t.id, 0, instance, now(), instance, 1"
        " FROM endpoint e, resource_type t, generate_series(0, 1) instance"
        " WHERE e.name = 'odd' AND t.object_id = 5 AND t.resource_id = %s",
        resource,
    )


@pytest.mark.parametrize("resource", [3, 5, 9])
def test_a_device_that_tells_several_of_what_it_has_one_of_holds_up_nobody(
    world: World, driver: Pool, two: list[str], resource: int
) -> None:
    tell_several(world, resource)
    done = take_steps(driver, TERMS, 0, 10)
    assert (done.looked_at, states(world)) == (2, dict.fromkeys(two, "ASKING"))


def test_a_package_whose_version_cannot_be_read_is_refused(world: World) -> None:
    new = NewPackage("3", "app.bin", 4, hashlib.sha256(b"four").digest(), version_path="/5/0/2")
    with pytest.raises(ValidationFailedError, match=r"version_path: /5/0/2 \(Update\) cannot be read"):
        announce(world.api_pool, new, "ann")


def test_a_version_that_an_object_model_hides_later_ends_its_own_updates_alone(
    world: World, driver: Pool, two: list[str]
) -> None:
    hidden = announce(
        world.api_pool,
        NewPackage("3", "x.bin", 4, hashlib.sha256(b"four").digest(), version_path="/3/0/18"),
        "ann",
    )[0].id
    world.execute("UPDATE firmware_update SET firmware_id = %s WHERE id = 1", hidden)
    world.execute(
        "UPDATE object_model_resource SET operations = 'E' WHERE object_id = 3 AND resource_id = 18"
    )
    take_steps(driver, TERMS, 0, 10)
    assert states(world) == {"odd": "FAILED", "plain": "ASKING"}
    [row] = world.execute("SELECT failure, words FROM firmware_update WHERE id = 1")
    assert row["failure"] == "refused"
    assert "/3/0/18" in row["words"]


def test_what_goes_wrong_with_one_update_is_logged_and_holds_up_no_other(
    world: World,
    driver: Pool,
    two: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def odd(update: Update, terms: Terms) -> Step | None:
        if update.endpoint == "odd":
            raise RuntimeError("nobody thought of this")
        return decide(update, terms)

    monkeypatch.setattr(store, "decide", odd)
    assert take_steps(driver, TERMS, 0, 10).steps == 1
    assert states(world) == {"odd": "QUEUED", "plain": "ASKING"}
    assert "update 1 of odd cannot be taken on" in caplog.text
