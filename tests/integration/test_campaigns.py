"""Campaigns on rows: who is in which wave, what is started, and what stops it."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from flownexus.campaigns.plan import NewCampaign, Rules, parse_campaign
from flownexus.campaigns.progress import Action
from flownexus.errors import ConflictError, NotFoundError, ValidationFailedError
from flownexus.firmware.package import NewPackage
from flownexus.firmware.update import Terms
from flownexus.firmware.window import schedule_of
from flownexus.store.campaign import (
    act,
    create_campaign,
    list_targets,
    show_campaign,
    take_campaigns_on,
)
from flownexus.store.campaign_rows import Campaign
from flownexus.store.firmware import add_chunk, announce, complete
from flownexus.store.pool import Pool, open_pool
from flownexus.store.update import cancel_update, show_update, start_update
from flownexus.store.update_steps import take_steps
from tests.fixtures.world import World


@pytest.fixture
def driver(world: World) -> Iterator[Pool]:
    """Return the pool of the function that takes campaigns on."""
    with open_pool(world.database.firmware, 2, "test firmware") as pool:
        yield pool


@pytest.fixture
def package(world: World) -> int:
    new = NewPackage("2", "app.bin", 4, hashlib.sha256(b"four").digest())
    announced, _ = announce(world.api_pool, new, "ann")
    add_chunk(world.api_pool, announced.id, 0, b"four")
    return complete(world.api_pool, announced.id).id


def devices(world: World, count: int) -> list[str]:
    """Add registered devices with a firmware object."""
    world.execute(
        "INSERT INTO endpoint (name, registered, contact_count, objects, expires_at)"
        " SELECT 'dev-' || to_char(i, 'FM00000'), true, 1, '{/5/0}', now() + interval '1 day'"
        " FROM generate_series(1, %s) i",
        count,
    )
    return [f"dev-{number:05}" for number in range(1, count + 1)]


def plan(world: World, package: int, **more: Any) -> Campaign:
    new = parse_campaign({"name": "spring", "firmware": package, "soak": 0, **more}, 7)
    return create_campaign(world.api_pool, new, "ann")


def started(world: World, package: int, **more: Any) -> int:
    """Plan a campaign, start it, and return its id."""
    id_ = plan(world, package, **more).row.id
    act(world.api_pool, id_, Action.START, "ann")
    return id_


def end_open(world: World, failing: set[str]) -> int:
    """Let all open updates end, those of some devices badly; return how many."""
    ended = world.execute(
        "UPDATE firmware_update u SET state = CASE WHEN e.name = ANY (%s) THEN 'FAILED' ELSE 'CONFIRMED' END,"
        " failure = CASE WHEN e.name = ANY (%s) THEN 'no-space' END, finished_at = clock_timestamp()"
        " FROM endpoint e WHERE e.id = u.endpoint_id AND u.finished_at IS NULL RETURNING u.id",
        sorted(failing), sorted(failing),
    )  # fmt: skip
    return len(ended)


def open_updates(world: World) -> int:
    [row] = world.execute("SELECT count(*) AS n FROM firmware_update WHERE finished_at IS NULL")
    return int(row["n"])


def status(world: World, id_: int) -> str:
    return show_campaign(world.api_pool, id_).row.status


def run(world: World, driver: Pool, id_: int, failing: set[str], rounds: int = 200) -> int:
    """Take a campaign on until it does nothing more; return the most updates that were open at once."""
    most = 0
    for _ in range(rounds):
        # A minute has gone by.
        world.execute("UPDATE campaign_target SET started_at = started_at - interval '1 minute'")
        take_campaigns_on(driver)
        most = max(most, open_updates(world))
        if status(world, id_) != "RUNNING":
            return most
        end_open(world, failing)
    raise AssertionError(f"campaign {id_} does not end: {show_campaign(world.api_pool, id_)}")


@pytest.mark.parametrize(("failures", "ends"), [(10, "FINISHED"), (3, "STOPPED")])
def test_of_500_devices_5_percent_fail(
    world: World, driver: Pool, package: int, failures: int, ends: str
) -> None:
    names = devices(world, 500)
    failing = set(random.Random(1).sample(names, 25))
    id_ = started(world, package, failures=failures, success=80, first_success=0, max_open=40)
    most = run(world, driver, id_, failing)
    campaign = show_campaign(world.api_pool, id_)
    assert (campaign.row.status, most <= 40) == (ends, True)
    assert [wave.targets for wave in campaign.waves] == [1, 50, 449]
    if ends == "FINISHED":
        assert sum(wave.failed for wave in campaign.waves) == 25
        assert campaign.row.words == "475 succeeded, 25 failed"
    else:
        begun = sum(wave.targets - wave.waiting for wave in campaign.waves)
        assert "more than 3 %: no-space" in campaign.row.words
        assert take_campaigns_on(driver) == 0
        print(f"stopped after {begun} of 500")


def test_it_stops_in_the_round_after_the_deciding_result(world: World, driver: Pool, package: int) -> None:
    names = devices(world, 200)
    id_ = started(world, package, waves=["rest"], max_open=20, min_finished=5)
    take_campaigns_on(driver)
    assert open_updates(world) == 20
    world.execute(
        "UPDATE firmware_update SET state = 'FAILED', failure = 'no-space', finished_at = now()"
        " WHERE id IN (SELECT id FROM firmware_update LIMIT 5)"
    )
    began = time.monotonic()
    take_campaigns_on(driver)
    assert time.monotonic() - began < 1
    assert (status(world, id_), open_updates(world)) == ("STOPPED", 15)
    assert names


def test_what_was_stopped_goes_on_when_somebody_resumes_it_and_retries(
    world: World, driver: Pool, package: int
) -> None:
    names = devices(world, 30)
    id_ = started(world, package, waves=["rest"], max_open=10)
    run(world, driver, id_, set(names))
    assert status(world, id_) == "STOPPED"
    act(world.api_pool, id_, Action.RETRY, "bob")
    run(world, driver, id_, set())
    campaign = show_campaign(world.api_pool, id_)
    assert campaign.row.words == "30 succeeded, 0 failed"
    assert [(step.by, step.words) for step in campaign.steps if step.by] == [
        ("ann", "planned for 30 devices"),
        ("ann", "started"),
        ("bob", "10 that failed begin again"),
    ]


def test_a_retry_of_a_campaign_that_is_paused_does_not_resume_it(
    world: World, driver: Pool, package: int
) -> None:
    names = devices(world, 2)
    id_ = started(world, package, waves=["rest"], max_open=1)
    take_campaigns_on(driver)
    end_open(world, set(names))
    act(world.api_pool, id_, Action.PAUSE, "ann")
    campaign = act(world.api_pool, id_, Action.RETRY, "ann")
    assert (campaign.row.status, campaign.row.words) == ("PAUSED", "1 that failed begin again")
    assert take_campaigns_on(driver) == 0
    act(world.api_pool, id_, Action.RESUME, "ann")
    run(world, driver, id_, set())
    assert show_campaign(world.api_pool, id_).row.words == "2 succeeded, 0 failed"


def test_a_campaign_whose_wave_cannot_succeed_any_more_stops_until_somebody_retries_or_goes_on(
    world: World, driver: Pool, package: int
) -> None:
    names = devices(world, 3)
    id_ = started(world, package, waves=[1, 1, 1])
    run(world, driver, id_, set(names))
    campaign = act(world.api_pool, id_, Action.RETRY, "ann")
    assert (campaign.row.status, campaign.row.wave) == ("RUNNING", 1)
    run(world, driver, id_, set(names))
    words = show_campaign(world.api_pool, id_).row.words
    assert words.startswith("wave 1 ended with 0 of 1 updates successful, less than 100 %: retry")
    act(world.api_pool, id_, Action.RESUME, "ann")
    run(world, driver, id_, set())
    assert (status(world, id_), show_campaign(world.api_pool, id_).row.words) == ("STOPPED", words)
    campaign = act(world.api_pool, id_, Action.NEXT_WAVE, "ann")
    assert (campaign.row.status, campaign.row.wave) == ("RUNNING", 2)
    run(world, driver, id_, set())
    assert show_campaign(world.api_pool, id_).row.words == "2 succeeded, 1 failed"


def test_who_opens_the_next_wave_of_a_campaign_that_has_stopped_counts_failures_from_then_on(
    world: World, driver: Pool, package: int
) -> None:
    names = devices(world, 3)
    id_ = started(world, package, waves=[1, "rest"], min_finished=1)
    run(world, driver, id_, set(names))
    assert "1 of 1 updates failed" in show_campaign(world.api_pool, id_).row.words
    act(world.api_pool, id_, Action.NEXT_WAVE, "ann")
    run(world, driver, id_, set())
    assert show_campaign(world.api_pool, id_).row.words == "2 succeeded, 1 failed"


def test_a_retry_leaves_out_what_a_newer_campaign_has(world: World, driver: Pool, package: int) -> None:
    """It brought a device back to the version before the one that the newer campaign had installed."""
    names = devices(world, 3)
    older = started(world, package, waves=["rest"])
    run(world, driver, older, set(names))
    newer = started(world, package, waves=["rest"], endpoints=names[:2])
    run(world, driver, newer, set())
    plan(world, package, endpoints=names[2:])  # nobody has started it
    cancelled = started(world, package, endpoints=names[2:])
    act(world.api_pool, cancelled, Action.CANCEL, "ann")
    campaign = act(world.api_pool, older, Action.RETRY, "bob")
    assert campaign.row.words == "1 that failed begin again, 2 are left out for newer campaigns"
    left_out = list_targets(world.api_pool, older, "LEFT_OUT", None, 10)
    assert {(target.endpoint, target.words) for target in left_out} == {
        (name, f"superseded by campaign {newer}") for name in names[:2]
    }
    run(world, driver, older, set())
    assert show_campaign(world.api_pool, older).row.words == "1 succeeded, 0 failed"


def test_what_failed_in_a_campaign_whose_end_has_come_is_not_retried(
    world: World, driver: Pool, package: int
) -> None:
    """Its failures were lost, and nothing was started."""
    names = devices(world, 1)
    id_ = started(world, package, ends_at=f"{datetime.now(UTC) + timedelta(hours=1):%FT%TZ}")
    run(world, driver, id_, set(names))
    world.execute("UPDATE campaign SET ends_at = now() - interval '1 s'")
    with pytest.raises(ConflictError, match=f"the end of campaign {id_} has come"):
        act(world.api_pool, id_, Action.RETRY, "ann")
    campaign = show_campaign(world.api_pool, id_)
    assert (campaign.row.status, campaign.waves[0].failed) == ("FINISHED", 1)


def test_a_pause_takes_effect_at_once_and_never_meets_a_start(
    world: World, driver: Pool, package: int
) -> None:
    devices(world, 100)
    id_ = started(world, package, waves=["rest"], max_open=5)
    take_campaigns_on(driver)
    with world.api_pool.connection() as connection:
        connection.execute("SELECT FROM campaign WHERE id = %s FOR NO KEY UPDATE", (id_,))
        connection.execute("UPDATE campaign SET status = 'PAUSED' WHERE id = %s", (id_,))
        with ThreadPoolExecutor(1) as pool:
            end_open(world, set())
            round_ = pool.submit(take_campaigns_on, driver)
            time.sleep(0.3)
            assert not round_.done()  # it waits for the pause
            connection.commit()
            assert round_.result(10) == 0
    assert open_updates(world) == 0
    with pytest.raises(ConflictError, match="pause is possible where it is RUNNING"):
        act(world.api_pool, id_, Action.PAUSE, "ann")
    act(world.api_pool, id_, Action.RESUME, "ann")
    assert take_campaigns_on(driver) == 5


def test_a_device_of_the_first_wave_that_sleeps_for_a_day_does_not_hold_it_for_ever(
    world: World, driver: Pool, package: int
) -> None:
    devices(world, 10)
    id_ = started(world, package, sleepers_after=86_400)
    take_campaigns_on(driver)
    assert open_updates(world) == 1
    take_campaigns_on(driver)
    assert show_campaign(world.api_pool, id_).row.wave == 1
    world.execute("UPDATE campaign SET wave_opened_at = wave_opened_at - interval '1 day'")
    take_campaigns_on(driver)
    take_campaigns_on(driver)
    take_campaigns_on(driver)
    campaign = show_campaign(world.api_pool, id_)
    assert (campaign.row.wave, open_updates(world)) == (2, 2)
    assert "unfinished devices: 1" in " ".join(step.words for step in campaign.steps)


def test_the_same_seed_draws_the_same_order(world: World, package: int) -> None:
    devices(world, 50)

    def order(seed: int) -> list[str]:
        id_ = plan(world, package, seed=seed).row.id
        return [target.endpoint for target in list_targets(world.api_pool, id_, None, None, 100)]

    assert order(3) == order(3)
    assert order(3) != order(4)


def tell_model(world: World, names: list[str], model: str) -> None:
    """Let devices have told their model number."""
    world.execute(
        "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (3, 1, 'STRING')"
        " ON CONFLICT DO NOTHING"
    )
    world.execute(
        "INSERT INTO resource_latest (endpoint_id, resource_type_id, object_instance_id, time, resource_id,"
        " string_value) SELECT e.id, t.id, 0, now(), 1, %s FROM endpoint e, resource_type t"
        " WHERE e.name = ANY (%s) AND (t.object_id, t.resource_id) = (3, 1)",
        model, names,
    )  # fmt: skip


def test_devices_are_chosen_by_model_and_version_and_those_named_are_left_out_with_a_reason(
    world: World, package: int
) -> None:
    names = devices(world, 3)
    tell_model(world, names[:1], "A")
    tell_model(world, names[1:2], "B")
    assert sum(wave.targets for wave in plan(world, package, model="A").waves) == 1
    named = plan(world, package, model="A", endpoints=names)
    targets = list_targets(world.api_pool, named.row.id, "LEFT_OUT", None, 10)
    assert {target.endpoint: target.words for target in targets} == {
        names[1]: "its model is B, not A",
        names[2]: "its model is not known, not A",
    }
    with pytest.raises(ValidationFailedError, match="no device matches"):
        plan(world, package, from_versions=["1.0.0"])
    with pytest.raises(ValidationFailedError, match="never seen: 'nobody'"):
        plan(world, package, endpoints=["nobody"])
    with pytest.raises(NotFoundError):
        create_campaign(world.api_pool, NewCampaign("x", 99, None, None, None, ("1",), Rules(), 1), "ann")


def tag(world: World, names: list[str], value: str) -> None:
    """Set a tag of these devices, as a user does."""
    world.execute(
        "INSERT INTO endpoint_tag (endpoint_id, key, value, set_by)"
        " SELECT id, 'site', %s, 'ann' FROM endpoint WHERE name = ANY (%s)",
        value, names,
    )  # fmt: skip


def look_again(world: World, driver: Pool) -> int:
    """Let the time between two looks for devices go by; return how many updates are started then."""
    world.execute("UPDATE campaign SET joined_at = joined_at - interval '30 s'")
    return take_campaigns_on(driver)


def test_a_filter_chooses_its_devices_once(world: World, driver: Pool, package: int) -> None:
    names = devices(world, 6)
    tag(world, names[:3], "berlin")
    id_ = started(world, package, filter="tag.site==berlin;name!=dev-00001", waves=["rest"])
    chosen = {target.endpoint for target in list_targets(world.api_pool, id_, None, None, 10)}
    assert chosen == set(names[1:3])
    tag(world, names[3:], "berlin")
    assert look_again(world, driver) == 2
    assert sum(wave.targets for wave in show_campaign(world.api_pool, id_).waves) == 2
    with pytest.raises(ValidationFailedError, match="no device matches: look at endpoints, filter"):
        plan(world, package, filter="tag.site==rome")


def test_a_device_that_fits_later_joins_the_last_wave_of_an_open_campaign(
    world: World, driver: Pool, package: int
) -> None:
    names = devices(world, 5)
    tag(world, names[:2], "berlin")
    id_ = started(world, package, filter="tag.site==berlin", joining=True, waves=["1", "rest"], model="A")
    assert show_campaign(world.api_pool, id_).waves == []  # nobody has told its model yet
    tell_model(world, names[:3], "A")
    assert look_again(world, driver) == 2  # of the one wave that there is: all others are to come
    end_open(world, set())
    assert take_campaigns_on(driver) == 0
    assert status(world, id_) == "RUNNING"
    tag(world, names[2:], "berlin")
    assert take_campaigns_on(driver) == 0  # it looks every half minute
    assert look_again(world, driver) == 1
    targets = list_targets(world.api_pool, id_, None, None, 10)
    assert [(target.endpoint, target.place) for target in targets[2:]] == [(names[2], 3)]
    end_open(world, set())
    world.execute("UPDATE campaign SET ends_at = now()")
    take_campaigns_on(driver)
    assert (status(world, id_), show_campaign(world.api_pool, id_).row.words) == (
        "FINISHED",
        "3 succeeded, 0 failed",
    )


def test_devices_join_the_last_wave_and_wait_until_it_opens(world: World, driver: Pool, package: int) -> None:
    devices(world, 4)
    id_ = started(world, package, joining=True, waves=["1", "rest"], filter="name==dev-*")
    take_campaigns_on(driver)
    world.execute(
        "INSERT INTO endpoint (name, registered, objects)"
        " VALUES ('dev-late', true, '{/5/0}'), ('x', true, '{/5/0}')"
    )
    assert look_again(world, driver) == 0
    [late] = [t for t in list_targets(world.api_pool, id_, None, None, 10) if t.endpoint == "dev-late"]
    assert (late.wave, late.state, late.place) == (2, "WAITING_TO_BEGIN", 5)


def test_a_device_of_a_newer_campaign_joins_no_older_one_and_who_joins_leaves_an_older_one(
    world: World, driver: Pool, package: int
) -> None:
    devices(world, 1)
    older = started(world, package, joining=True, waves=["1", "rest"], filter="name==dev-*")
    later = f"{datetime.now(UTC) + timedelta(days=1):%FT%TZ}"
    closed = started(world, package, filter="name==dev-*", waves=["rest"], starts_at=later)
    newer = started(world, package, joining=True, filter="name==new-*")
    world.execute(
        "INSERT INTO endpoint (name, registered, objects)"
        " VALUES ('new-1', true, '{/5/0}'), ('dev-2', true, '{/5/0}')"
    )
    world.execute(
        "INSERT INTO campaign_target (campaign_id, endpoint_id, wave, place)"
        " SELECT %s, id, 1, 9 FROM endpoint WHERE name = 'new-1'",
        closed,
    )
    look_again(world, driver)
    of_newer = list_targets(world.api_pool, newer, None, None, 10)
    assert [target.endpoint for target in of_newer] == ["new-1"]
    [left] = list_targets(world.api_pool, closed, "LEFT_OUT", None, 10)
    assert (left.endpoint, left.words) == ("new-1", f"superseded by campaign {newer}")
    assert [t.endpoint for t in list_targets(world.api_pool, older, None, None, 10)] == ["dev-00001", "dev-2"]
    world.execute(
        "DELETE FROM campaign_target t USING endpoint e WHERE e.id = t.endpoint_id AND e.name = 'dev-2'"
    )
    world.execute(
        "INSERT INTO campaign_target (campaign_id, endpoint_id, wave, place)"
        " SELECT %s, id, 1, 9 FROM endpoint WHERE name = 'dev-2'",
        newer,
    )
    look_again(world, driver)
    assert [t.endpoint for t in list_targets(world.api_pool, older, None, None, 10)] == ["dev-00001"]


def test_a_newer_campaign_supersedes_what_an_older_one_has_not_begun(
    world: World, driver: Pool, package: int
) -> None:
    names = devices(world, 4)
    older = started(world, package, waves=["1", "rest"])
    take_campaigns_on(driver)
    newer = plan(world, package, endpoints=names[:3])
    assert show_campaign(world.api_pool, older).row.left_out == 0
    act(world.api_pool, newer.row.id, Action.START, "bob")
    left_out = list_targets(world.api_pool, older, "LEFT_OUT", None, 10)
    assert {target.words for target in left_out} == {f"superseded by campaign {newer.row.id}"}
    assert 2 <= len(left_out) <= 3


def test_a_device_with_an_update_of_somebody_else_s_waits_for_its_end(
    world: World, driver: Pool, package: int
) -> None:
    [first, _] = devices(world, 2)
    start_update(world.api_pool, first, package, "bob")
    started(world, package, waves=["rest"])
    assert take_campaigns_on(driver) == 1
    assert open_updates(world) == 2
    assert take_campaigns_on(driver) == 0


def test_a_hard_cancel_takes_open_updates_back_but_for_those_that_install(
    world: World, driver: Pool, package: int
) -> None:
    devices(world, 3)
    id_ = started(world, package, waves=["rest"])
    take_campaigns_on(driver)
    world.execute(
        "UPDATE firmware_update SET state = 'INSTALLING' WHERE id = (SELECT min(id) FROM firmware_update)"
    )
    act(world.api_pool, id_, Action.CANCEL, "ann", hard=True)
    [row] = world.execute("SELECT count(*) AS n FROM firmware_update WHERE cancelled_by = 'ann'")
    assert row["n"] == 2


def test_a_cancel_before_the_start_says_nothing_of_open_updates(world: World, package: int) -> None:
    devices(world, 1)
    id_ = plan(world, package).row.id
    assert act(world.api_pool, id_, Action.CANCEL, "ann").row.words == "cancelled before it was started"


def test_ten_thousand_devices_are_planned_in_under_five_seconds_and_shown_in_under_fifty_milliseconds(
    world: World, driver: Pool, package: int
) -> None:
    devices(world, 10_000)
    began = time.monotonic()
    id_ = started(world, package, max_open=10_000, starts_per_minute=100_000, waves=["rest"])
    planned = time.monotonic() - began
    take_campaigns_on(driver)
    assert open_updates(world) == 10_000
    world.execute("ANALYZE campaign_target, firmware_update")
    took = []
    for _ in range(5):
        began = time.monotonic()
        show_campaign(world.api_pool, id_)
        took.append(time.monotonic() - began)
    print(f"planned and started in {planned:.2f} s; shown in {min(took) * 1000:.0f} ms")
    assert planned < 5
    assert min(took) < 0.05


# ---------------------------------------------------------------------------------------------------------
# What devices are told


def answered(world: World, **told: int) -> None:
    """Let the devices of updates that ask have answered: /5/0/3 and what else of object 5 they tell."""
    numbers = {"state": 3, "delivery": 9}
    for name, value in {"state": 0, **told}.items():
        world.execute(
            "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (5, %s, 'INTEGER')",
            numbers[name],
        )
        world.execute(
            "INSERT INTO resource_latest (endpoint_id, resource_type_id, object_instance_id, time,"
            " resource_id, integer_value) SELECT e.id, t.id, 0, now(), t.id, %s"
            " FROM endpoint e, resource_type t WHERE t.object_id = 5 AND t.resource_id = %s",
            value,
            numbers[name],
        )
    world.execute("UPDATE endpoint_operation SET status = 'CONFIRMED', finished_at = now()")


def test_a_package_is_written_to_a_device_that_takes_it_in_no_other_way_until_somebody_cancels(
    world: World, driver: Pool, package: int
) -> None:
    [name] = devices(world, 1)
    update = start_update(world.api_pool, name, package, "ann")
    take_steps(driver, TERMS, 0, 10)
    answered(world, delivery=1)
    take_steps(driver, TERMS, 0, 10)
    assert the_update(world)["state"] == "DOWNLOADING"
    [token] = [row["token"] for row in world.execute("SELECT token FROM firmware_update")]
    [written] = world.execute("SELECT id, value FROM endpoint_operation WHERE path = '/5/0/0'")
    assert written["value"] == {"type": "OPAQUE", "package": token}
    world.execute(
        "UPDATE endpoint_operation SET status = 'SENDING', attempts = 1, last_attempt_at = now(),"
        " lease_expires_at = now() + interval '1 min', fence = 1 WHERE id = %s",
        written["id"],
    )
    cancel_update(world.api_pool, update.id, "ann")
    take_steps(driver, TERMS, 0, 10)
    assert the_update(world)["state"] == "CANCELLING"
    [left] = world.execute(
        "SELECT status, expires_at <= now() AS expires FROM endpoint_operation WHERE id = %s", written["id"]
    )
    assert left == {"status": "SENDING", "expires": True}


def test_what_an_object_model_does_not_allow_ends_one_update_and_holds_up_no_other(
    world: World, driver: Pool, package: int
) -> None:
    """A package whose write was refused as not valid held up the updates of all devices."""
    for name in devices(world, 2):
        start_update(world.api_pool, name, package, "ann")
    take_steps(driver, TERMS, 0, 10)
    answered(world)
    world.execute(
        "UPDATE object_model_resource SET data_type = 'INTEGER' WHERE object_id = 5 AND resource_id = 1"
    )
    take_steps(driver, TERMS, 0, 10)
    rows = world.execute("SELECT state, failure, words FROM firmware_update")
    assert {(row["state"], row["failure"]) for row in rows} == {("FAILED", "refused")}
    assert all("it cannot be told: value: the type is INTEGER" in row["words"] for row in rows)


# ---------------------------------------------------------------------------------------------------------
# Windows


TERMS = Terms({"http": "http://fw.example/{token}"})


def has_downloaded(world: World, driver: Pool, package: int, **rules: Any) -> str:
    """Start a campaign of one device, let the device download the package, and return its name."""
    [name] = devices(world, 1)
    started(world, package, **rules)
    take_campaigns_on(driver)
    for resource, kind in ((3, "INTEGER"), (5, "INTEGER")):
        world.execute(
            "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (5, %s, %s)", resource, kind
        )
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, value, status, attempts,"
        " last_attempt_at, finished_at, requested_by)"
        " SELECT id, 'write', '/5/0/1', '{}', 'CONFIRMED', 1, now() - interval '1 min',"
        " now() - interval '1 min', 'firmware' FROM endpoint"
    )
    world.execute(
        "UPDATE firmware_update SET state = 'DOWNLOADING', tries = 1,"
        " command = (SELECT max(id) FROM endpoint_operation)"
    )
    world.execute(
        "INSERT INTO resource_latest (endpoint_id, resource_type_id, object_instance_id, time, resource_id,"
        " integer_value) SELECT e.id, t.id, 0, now(), t.id, CASE t.resource_id WHEN 3 THEN 2 ELSE 0 END"
        " FROM endpoint e, resource_type t WHERE t.object_id = 5"
    )
    return name


def the_update(world: World) -> dict[str, Any]:
    [row] = world.execute("SELECT * FROM firmware_update")
    return dict(row)


def test_a_device_with_the_package_waits_for_its_window_and_is_told_until_that_closes(
    world: World, driver: Pool, package: int
) -> None:
    now = datetime.now(UTC)
    later, current = now + timedelta(hours=2), now - timedelta(minutes=1)
    has_downloaded(
        world, driver, package, windows=[{"cron": f"{later:%M %H} * * *", "minutes": 30}], time_zone="UTC"
    )
    take_steps(driver, TERMS, 0, 10)
    waits = the_update(world)
    opens_at = later.replace(second=0, microsecond=0)
    assert (waits["state"], waits["command"]) == ("DOWNLOADED", 1)
    assert abs(waits["not_before"] - opens_at) < timedelta(seconds=1)
    assert (
        f"the install waits for its window, which opens {opens_at:%A %Y-%m-%d %H:%M} (UTC)" in waits["words"]
    )
    assert waits["words"] in show_update(world.api_pool, waits["id"])[0].why(None)
    # The device registers anew: it is asked, and the window is not forgotten.
    world.execute("UPDATE endpoint SET registration_id = 'another'")
    assert take_steps(driver, TERMS, 0, 10).steps == 1
    assert the_update(world)["not_before"] == waits["not_before"]
    assert take_steps(driver, TERMS, 0, 10).steps == 0
    # Its window is another one now, and open.
    world.execute(
        "UPDATE firmware_update SET not_before = now(), install_in = %s",
        Jsonb({"windows": [{"cron": f"{current:%M %H} * * *", "minutes": 30}], "time_zone": "server"}),
    )
    take_steps(driver, TERMS, 0, 10)
    installs = the_update(world)
    [told] = world.execute(
        "SELECT path, expires_at FROM endpoint_operation WHERE id = %s", installs["command"]
    )
    assert (installs["state"], told["path"]) == ("INSTALLING", "/5/0/2")
    assert told["expires_at"] == current.replace(second=0, microsecond=0) + timedelta(minutes=30)
    # The device slept for as long as that was open.
    world.execute(
        "UPDATE endpoint_operation SET status = 'EXPIRED', finished_at = now() WHERE id = %s",
        installs["command"],
    )
    world.execute(
        "UPDATE firmware_update SET install_in = %s",
        Jsonb({"windows": [{"cron": f"{later:%M %H} * * *", "minutes": 30}], "time_zone": "server"}),
    )
    take_steps(driver, TERMS, 0, 10)
    assert the_update(world)["state"] == "DOWNLOADED"
    assert "was not reached in its window" in the_update(world)["words"]


@pytest.mark.parametrize("how", ["PAUSED", "STOPPED"])
def test_a_campaign_that_was_paused_or_has_stopped_holds_back_what_waits_for_its_window(
    world: World, driver: Pool, package: int, how: str
) -> None:
    """It was told to install when its window opened, although the campaign had stopped by its failures."""
    current = datetime.now(UTC) - timedelta(minutes=1)
    has_downloaded(
        world, driver, package, windows=[{"cron": f"{current:%M %H} * * *", "minutes": 30}], time_zone="UTC"
    )
    if how == "PAUSED":
        act(world.api_pool, 1, Action.PAUSE, "ann")
    else:
        world.execute("UPDATE campaign SET status = 'STOPPED'")
    world.execute("UPDATE firmware_update SET state = 'DOWNLOADED', not_before = now()")
    assert take_steps(driver, TERMS, 0, 10).steps == 1
    held = the_update(world)
    assert held["words"].endswith(f"the install is held back: campaign 1 is {how}")
    assert (held["state"], take_steps(driver, TERMS, 0, 10).steps) == ("DOWNLOADED", 0)
    act(world.api_pool, 1, Action.RESUME, "ann")
    take_steps(driver, TERMS, 0, 10)
    assert the_update(world)["state"] == "INSTALLING"


def test_a_pause_takes_back_an_install_that_a_sleeping_device_was_not_told_yet(
    world: World, driver: Pool, package: int
) -> None:
    """It woke, and installed in a campaign that had been paused hours before."""
    current = datetime.now(UTC) - timedelta(minutes=1)
    has_downloaded(
        world, driver, package, windows=[{"cron": f"{current:%M %H} * * *", "minutes": 30}], time_zone="UTC"
    )
    take_steps(driver, TERMS, 0, 10)
    queued = the_update(world)
    assert queued["state"] == "INSTALLING"
    act(world.api_pool, 1, Action.PAUSE, "ann")
    assert take_steps(driver, TERMS, 0, 10).steps == 1
    assert the_update(world)["state"] == "DOWNLOADED"
    statuses = world.execute("SELECT status FROM endpoint_operation WHERE id = %s", queued["command"])
    assert statuses == [{"status": "CANCELLED"}]
    assert take_steps(driver, TERMS, 0, 10).steps == 0
    act(world.api_pool, 1, Action.RESUME, "ann")
    take_steps(driver, TERMS, 0, 10)
    again = the_update(world)
    assert (again["state"], again["command"] != queued["command"]) == ("INSTALLING", True)


@pytest.mark.parametrize("how", ["update", "campaign"])
def test_an_install_that_a_sleeping_device_was_not_told_yet_can_be_cancelled(
    world: World, driver: Pool, package: int, how: str
) -> None:
    """It could not, not even by a hard cancel: the device woke, and installed."""
    has_downloaded(world, driver, package)
    take_steps(driver, TERMS, 0, 10)
    queued = the_update(world)
    assert queued["state"] == "INSTALLING"
    world.execute(  # it was found asleep once
        "UPDATE endpoint_operation SET last_attempt_at = now() WHERE id = %s", queued["command"]
    )
    if how == "update":
        assert cancel_update(world.api_pool, queued["id"], "ann").cancelled_by == "ann"
    else:
        campaign = act(world.api_pool, 1, Action.CANCEL, "ann", hard=True)
        assert campaign.row.words == "cancelled with 1 updates that were open"
    take_steps(driver, TERMS, 0, 10)
    taken_back = the_update(world)
    operations = world.execute("SELECT id, path, status FROM endpoint_operation ORDER BY id")
    assert {"id": queued["command"], "path": "/5/0/2", "status": "CANCELLED"} in operations
    assert {"id": taken_back["command"], "path": "/5/0/10", "status": "QUEUED"} in operations
    assert taken_back["state"] == "CANCELLING"


def test_an_install_that_a_device_was_told_is_not_cancelled(world: World, driver: Pool, package: int) -> None:
    has_downloaded(world, driver, package)
    take_steps(driver, TERMS, 0, 10)
    installs = the_update(world)
    world.execute(
        "UPDATE endpoint_operation SET status = 'SENDING', attempts = 1, last_attempt_at = now(),"
        " lease_expires_at = now() + interval '1 min', fence = 1 WHERE id = %s",
        installs["command"],
    )
    with pytest.raises(ConflictError, match="a device that was told to install cannot be stopped"):
        cancel_update(world.api_pool, installs["id"], "ann")
    campaign = act(world.api_pool, 1, Action.CANCEL, "ann", hard=True)
    assert campaign.row.words == "cancelled with 0 updates that were open"


def test_the_update_of_a_single_device_may_have_windows(world: World, driver: Pool, package: int) -> None:
    [name] = devices(world, 1)
    now = datetime.now(UTC)
    schedule = schedule_of([{"cron": f"{now:%M %H} * * *", "minutes": 5}], "UTC")
    begun = start_update(world.api_pool, name, package, "ann", schedule)
    assert begun.install_in == {
        "windows": [{"cron": f"{now:%M %H} * * *", "minutes": 5}],
        "time_zone": "UTC",
    }
    assert the_update(world)["install_in"] == begun.install_in
    assert take_steps(driver, TERMS, 0, 10).steps == 1


def test_a_window_in_the_device_s_time_zone_goes_by_what_the_device_tells(
    world: World, driver: Pool, package: int
) -> None:
    has_downloaded(world, driver, package, windows=[{"cron": "0 2 * * *", "minutes": 1}], time_zone="device")
    world.execute("INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (3, 15, 'STRING')")
    world.execute(
        "INSERT INTO resource_latest (endpoint_id, resource_type_id, object_instance_id, time, resource_id,"
        " string_value) SELECT e.id, t.id, 0, now(), 9, 'Asia/Kathmandu' FROM endpoint e, resource_type t"
        " WHERE t.resource_id = 15"
    )
    take_steps(driver, TERMS, 0, 10)
    words = the_update(world)["words"]
    assert words.endswith("02:00 (the device's time, Asia/Kathmandu)")
    world.execute("UPDATE firmware_update SET state = 'QUEUED', not_before = NULL")
    take_steps(driver, TERMS, 0, 10)
    asked = world.execute("SELECT path FROM endpoint_operation WHERE status = 'QUEUED' ORDER BY path")
    assert [row["path"] for row in asked] == ["/3/0/15", "/3/0/3", "/5/0"]
