"""Many endpoints at once in a real PostgreSQL: tags, filters, batches, writes that supersede older ones."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flownexus.errors import ConflictError, TooManyError, ValidationFailedError
from flownexus.operations.filter import (
    AllOf,
    AnyOf,
    Comparison,
    Field,
    Filter,
    Pattern,
    Presence,
    parse_filter,
)
from flownexus.operations.new_operation import parse_batch, parse_operation
from flownexus.operations.why import why
from flownexus.store import batch, queries
from flownexus.store.operation_claims import Claim, claim
from flownexus.store.operation_requests import create
from flownexus.store.operation_why import facts_of
from flownexus.store.tag import count_matching, remove_tag, set_tag, tags_of
from tests.fixtures.plans import nodes, plan_of
from tests.fixtures.world import World

LEASE_S = 60.0
PATH = "/3/0/15"
READ = {"operation": "read", "path": "/3303/0/5700"}


def fits(world: World, text: str) -> set[str]:
    """Return the names of the endpoints that fit a filter."""
    matching = count_matching(world.api_pool, parse_filter(text))
    assert len(matching.examples) == min(matching.total, 3)
    rows = world.execute(
        "SELECT name FROM endpoint e WHERE endpoint_matches(e, %s)",
        psycopg.types.json.Jsonb(parse_filter(text).as_json()),
    )
    assert len(rows) == matching.total
    return {row["name"] for row in rows}


# ---------------------------------------------------------------------------------------------------------
# Filters

NOW = datetime.now(UTC)
OLD = NOW - timedelta(hours=2)
ENDPOINTS: Mapping[str, Mapping[str, Any]] = {
    "sim-0001": {Field.PRESENCE: "awake", Field.OBJECT: ["/3/0", "/3303/0"], Field.LAST_SEEN: NOW,
                 Field.FIRMWARE: "1.2", Field.MODEL: "x", "site": "berlin", "floor": "2"},
    "sim-0002": {Field.PRESENCE: "asleep", Field.OBJECT: ["/3/0", "/33"], Field.LAST_SEEN: OLD,
                 Field.FIRMWARE: "1.3", "site": "bern"},
    "raw_0%1\\": {Field.PRESENCE: "offline", Field.OBJECT: None, Field.LAST_SEEN: None, "site": "b*rlin"},
    "rawx0y1\\": {Field.PRESENCE: "offline", Field.OBJECT: [], Field.LAST_SEEN: OLD,
                  Field.MANUFACTURER: "acme", Field.FIRMWARE: "1.2"},
    "'; DROP TABLE endpoint; --": {Field.PRESENCE: "registered", Field.OBJECT: ["/3"], Field.LAST_SEEN: NOW,
                                   "floor": ""},
}  # fmt: skip
"""What there is, by name and field; what is no field is a tag."""
DEVICE_RESOURCES = {Field.MANUFACTURER: 0, Field.MODEL: 1, Field.FIRMWARE: 3}


def populate(world: World) -> None:
    """Make these endpoints."""
    for resource in DEVICE_RESOURCES.values():
        world.execute(
            "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (3, %s, 'STRING')", resource
        )
    for name, has in ENDPOINTS.items():
        presence = has[Field.PRESENCE]
        [row] = world.execute(
            "INSERT INTO endpoint (name, registered, binding, contact_count, unreachable_at_contact, objects,"
            " last_seen_at, expires_at, awake_time_s) VALUES (%s, %s, %s, 1, %s, %s, %s, now() + %s, 86400)"
            " RETURNING id",
            name,
            presence != "offline" or name.startswith("rawx"),
            "UQ" if presence in ("awake", "asleep") else "U",
            1 if presence == "asleep" else -1,
            has[Field.OBJECT],
            has[Field.LAST_SEEN],
            timedelta(hours=-1 if presence == "offline" else 1),
        )
        for field, resource in DEVICE_RESOURCES.items():
            if field in has:
                world.execute(
                    "INSERT INTO resource_latest (endpoint_id, resource_type_id, object_instance_id, time,"
                    " resource_id, string_value)"
                    " SELECT %s, id, 0, now(), 0, %s FROM resource_type WHERE resource_id = %s",
                    row["id"], has[field], resource,
                )  # fmt: skip
        for key, value in has.items():
            if not isinstance(key, Field):
                set_tag(world.api_pool, name, key, value, "test")


def is_fit(name: str, has: Mapping[Any, Any], tree: Filter) -> bool:
    """Say whether an endpoint fits, as the language is described."""
    match tree:
        case AllOf(terms):
            return all(is_fit(name, has, term) for term in terms)
        case AnyOf(terms):
            return any(is_fit(name, has, term) for term in terms)
        case Comparison(field, operator, value, key):
            if operator == "!=":
                return not is_fit(name, has, Comparison(field, "==", value, key))
            match value:
                case Pattern(parts) if operator == "=has=":
                    return like(name.lower(), Pattern(("", *(part.lower() for part in parts), "")))
                case Pattern():
                    text = name if field is Field.NAME else has.get(field if key is None else key)
                    return text is not None and like(text, value)
                case Presence():
                    return bool(has[field] == value)
                case bool():
                    return bool(value == (has[Field.PRESENCE] != "offline"))
                case int():
                    paths = has[field] or ()
                    return any(path.split("/")[1] == str(value) for path in paths)
                case _:
                    at = NOW - value if isinstance(value, timedelta) else value
                    seen = has[field] or datetime.min.replace(tzinfo=UTC)
                    compared: Mapping[str, bool] = {
                        "<": seen < at, "<=": seen <= at, ">": seen > at, ">=": seen >= at,
                    }  # fmt: skip
                    return compared[operator]


def like(text: str, pattern: Pattern) -> bool:
    """Say whether a text fits a pattern."""
    parts = ("".join(f"[{each}]" if each in "*?[" else each for each in part) for part in pattern.parts)
    return fnmatch.fnmatchcase(text, "*".join(parts))


WORDS = st.sampled_from(
    [
        "",
        "sim-",
        "SIM",
        "0001",
        "raw",
        "_",
        "%",
        "\\",
        "x0y1",
        "1.2",
        "1.",
        "berlin",
        "b",
        "*",
        "rlin",
        "'",
        "acme",
        "x",
    ]
)
PATTERNS = st.lists(WORDS, min_size=1, max_size=3).map(tuple).map(Pattern)
EQUAL = st.sampled_from(["==", "!="])
COMPARISONS = st.one_of(
    st.builds(Comparison, st.sampled_from([Field.NAME, *DEVICE_RESOURCES]), EQUAL, PATTERNS),
    st.builds(Comparison, st.just(Field.NAME), st.just("=has="), PATTERNS),
    st.builds(Comparison, st.just(Field.TAG), EQUAL, PATTERNS, st.sampled_from(["site", "floor", "none"])),
    st.builds(Comparison, st.just(Field.PRESENCE), EQUAL, st.sampled_from(Presence)),
    st.builds(Comparison, st.just(Field.REGISTERED), EQUAL, st.booleans()),
    st.builds(Comparison, st.just(Field.OBJECT), EQUAL, st.sampled_from([3, 33, 3303, 330])),
    st.builds(
        Comparison,
        st.just(Field.LAST_SEEN),
        st.sampled_from(["<", "<=", ">", ">="]),
        st.one_of(
            st.sampled_from([timedelta(minutes=30), timedelta(hours=3), timedelta(days=30_000)]),
            st.sampled_from([NOW, OLD, datetime(2, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)]),
        ),
    ),
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple).map(AllOf), st.lists(inner, max_size=3).map(tuple).map(AnyOf)
    ),
    max_leaves=6,
)


def test_postgresql_chooses_what_the_language_says(world: World) -> None:
    populate(world)

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(FILTERS)
    def check(tree: Filter) -> None:
        rows = world.execute(
            "SELECT name FROM endpoint e WHERE endpoint_matches(e, %s)",
            psycopg.types.json.Jsonb(tree.as_json()),
        )
        assert {row["name"] for row in rows} == {
            name for name, has in ENDPOINTS.items() if is_fit(name, has, tree)
        }

    check()


def test_a_filter_of_each_field_is_answered_to_who_asks_by_rest(world: World) -> None:
    populate(world)
    assert fits(world, "") == set(ENDPOINTS)
    assert fits(world, "name==sim-*;tag.site==ber*") == {"sim-0001", "sim-0002"}
    assert fits(world, "fw!=1.2") == set(ENDPOINTS) - {"sim-0001", "rawx0y1\\"}
    assert fits(world, "tag.site==*") == {"sim-0001", "sim-0002", "raw_0%1\\"}
    assert fits(world, "tag.floor==''") == {"'; DROP TABLE endpoint; --"}
    assert fits(world, "presence==asleep,manufacturer==acme") == {"sim-0002", "rawx0y1\\"}
    assert fits(world, "last_seen<-1h;registered==true") == {"sim-0002"}
    assert fits(world, 'name=="\'; DROP TABLE endpoint; --"') == {"'; DROP TABLE endpoint; --"}


def test_tags_are_set_replaced_and_removed_and_go_with_their_endpoint(world: World) -> None:
    world.endpoint("a")
    set_tag(world.api_pool, "a", "site", "bern", "ann")
    assert set_tag(world.api_pool, "a", "site", "berlin", "bob") == {"site": "berlin"}
    assert set_tag(world.api_pool, "a", "floor", "2", "bob") == {"site": "berlin", "floor": "2"}
    [row] = world.execute("SELECT set_by FROM endpoint_tag WHERE key = 'site'")
    assert row["set_by"] == "bob"
    assert remove_tag(world.api_pool, "a", "site") == {"floor": "2"}
    assert tags_of(world.api_pool, "a") == {"floor": "2"}
    for number in range(49):
        set_tag(world.api_pool, "a", f"k{number}", "x", "bob")
    with pytest.raises(ValidationFailedError, match="50 tags"):
        set_tag(world.api_pool, "a", "one-more", "x", "bob")
    set_tag(world.api_pool, "a", "floor", "3", "bob")
    world.execute("DELETE FROM endpoint")
    assert world.execute("SELECT FROM endpoint_tag") == []


# ---------------------------------------------------------------------------------------------------------
# Batches


def many(world: World, count: int) -> None:
    """Make so many endpoints that registered."""
    world.execute(
        "INSERT INTO endpoint (name, registered, contact_count, last_seen_at, expires_at)"
        " SELECT 'd-' || lpad(n::text, 5, '0'), true, 1, now(), now() + interval '1 h'"
        " FROM generate_series(1, %s) n",
        count,
    )


def queue(
    world: World, filter_: str, key: str | None = None, max_queued: int = 1000, **more: Any
) -> batch.Queued:
    return batch.create(
        world.api_pool, parse_batch(READ | {"filter": filter_} | more), "ann", key, max_queued
    )


def test_an_operation_for_a_thousand_endpoints_is_queued_in_under_two_seconds(world: World) -> None:
    many(world, 10_000)
    world.execute("ANALYZE endpoint")
    began = time.monotonic()
    queued = queue(world, "name==d-00*;presence==registered", priority=7)
    took = time.monotonic() - began
    assert (queued.batch.endpoints, queued.batch.left_out, len(queued.endpoints)) == (999, 0, 999)
    assert took < 2, f"{took:.2f} s"
    rows = world.execute(
        "SELECT DISTINCT operation_type, path, priority, requested_by, status FROM endpoint_operation"
    )
    assert [tuple(row.values()) for row in rows] == [("read", "/3303/0/5700", 7, "ann", "QUEUED")]


def test_a_batch_s_progress_is_one_query_by_its_index_in_under_20_ms(world: World) -> None:
    many(world, 1000)
    others = [queue(world, "name==*", path=f"/3303/0/{number}").batch.id for number in range(20)]
    world.execute("ANALYZE endpoint_operation")
    world.execute(
        "UPDATE endpoint_operation SET status = 'CONFIRMED', finished_at = now()"
        " WHERE batch_id = %s AND endpoint_id %% 2 = 0",
        others[7],
    )
    with psycopg.connect(world.database.api) as connection:
        times = []
        for _ in range(20):
            began = time.monotonic()
            row = queries.batch(connection, id=others[7])
            times.append(time.monotonic() - began)
        assert row[-1] == {"QUEUED": 500, "CONFIRMED": 500}
        assert sorted(times)[-2] < 0.02, times
        plan = plan_of(connection, queries.batch.sql, {"id": others[7]})
    reads = [node for node in nodes(plan) if node.get("Relation Name") == "endpoint_operation"]
    assert reads
    assert all("Index" in node["Node Type"] or "Bitmap" in node["Node Type"] for node in reads), reads


def test_a_batch_is_a_snapshot_of_who_fits_when_it_is_queued(world: World) -> None:
    world.endpoint("a")
    world.endpoint("b")
    set_tag(world.api_pool, "a", "site", "berlin", "ann")
    queued = queue(world, "tag.site==berlin")
    assert queued.endpoints == ["a"]
    set_tag(world.api_pool, "b", "site", "berlin", "ann")
    remove_tag(world.api_pool, "a", "site")
    shown = batch.show(world.api_pool, queued.batch.id)
    assert (shown.endpoints, shown.progress) == (1, {"QUEUED": 1})


def test_the_same_key_queues_a_batch_once_and_is_its_caller_s_own(world: World) -> None:
    world.endpoint("a")
    first = queue(world, "name==a", "key")
    again = queue(world, "name==a", "key")
    assert (again.batch, again.endpoints) == (first.batch, [])
    with pytest.raises(ValidationFailedError, match="was made by this key"):
        queue(world, "name==*", "key")
    other = batch.create(world.api_pool, parse_batch(READ | {"filter": "name==a"}), "bob", "key")
    assert other.batch.id != first.batch.id
    with pytest.raises(ValidationFailedError, match="no endpoint fits"):
        queue(world, "name==nobody", "another")
    assert [each.id for each in batch.list_newest(world.api_pool, None, 10)] == [
        other.batch.id,
        first.batch.id,
    ]


def test_who_has_too_many_that_wait_is_left_out_and_counted(world: World) -> None:
    for name in ("a", "b"):
        world.endpoint(name)
    world.queue("a", "read")
    queued = queue(world, "name==*", max_queued=1)
    assert (queued.endpoints, queued.batch.endpoints, queued.batch.left_out) == (["b"], 1, 1)
    with pytest.raises(TooManyError):
        queue(world, "name==*", max_queued=1)


def test_a_batch_is_cancelled_but_for_what_is_under_way(world: World) -> None:
    many(world, 3)
    queued = queue(world, "name==*")
    [claimed] = claim(world.dispatch_pool, ["d-00002"], LEASE_S)
    assert isinstance(claimed, Claim)
    cancelled = batch.cancel(world.api_pool, queued.batch.id, "bob")
    assert sorted(cancelled.endpoints) == ["d-00001", "d-00003"]
    assert cancelled.batch.progress == {"CANCELLED": 2, "SENDING": 1}
    assert (cancelled.batch.cancelled_by, cancelled.batch.has_ended) == ("bob", False)
    [row] = world.execute("SELECT DISTINCT reason FROM endpoint_operation WHERE status = 'CANCELLED'")
    assert row["reason"] == "its batch was cancelled by bob"
    world.execute(
        "UPDATE endpoint_operation SET status = 'CONFIRMED', finished_at = now(), lease_expires_at = NULL"
        " WHERE status = 'SENDING'"
    )
    with pytest.raises(ConflictError):
        batch.cancel(world.api_pool, queued.batch.id, "bob")


def test_a_batch_is_forgotten_after_its_operations(world: World) -> None:
    world.endpoint("a")
    kept, forgotten = queue(world, "name==a").batch.id, queue(world, "name==a").batch.id
    world.execute("UPDATE batch SET created_at = now() - interval '100 days'")
    world.execute("DELETE FROM endpoint_operation WHERE batch_id = %s", forgotten)
    with psycopg.connect(world.database.housekeeping) as connection:
        assert queries.forget_batches(connection, retention=86_400.0 * 90, limit=10) == 1
    assert [each.id for each in batch.list_newest(world.api_pool, None, 10)] == [kept]


# ---------------------------------------------------------------------------------------------------------
# Supersede


def write(world: World, value: str, endpoint: str = "a", path: str = PATH, **more: Any) -> int:
    """Queue a write that supersedes older ones; return its id."""
    body = {"endpoint": endpoint, "operation": "write", "path": path, "supersede": True}
    return create(
        world.api_pool, parse_operation(body | {"value": {"type": "STRING", "value": value}} | more), "ann"
    ).id


def waiting(world: World) -> list[int]:
    return [
        row["id"]
        for row in world.execute("SELECT id FROM endpoint_operation WHERE status = 'QUEUED' ORDER BY id")
    ]


def at_once(count: int, do: Callable[[int], object]) -> None:
    """Let so many threads do something at the same moment."""
    together = threading.Barrier(count)

    def work(number: int) -> None:
        together.wait()
        do(number)

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(work, range(count)))


def test_of_a_hundred_writes_to_a_path_the_newest_is_left(world: World) -> None:
    world.endpoint("a")
    world.endpoint("b")
    other = [write(world, "x", "b"), write(world, "x", "a", "/3/0/14"), world.queue("a", "read", PATH)]
    last = [write(world, str(number)) for number in range(97)][-1]
    at_once(3, lambda number: write(world, f"at once {number}"))
    [newest] = set(waiting(world)) - set(other)
    assert newest > last
    told = why(facts_of(world.api_pool, last)).as_json()
    assert (told["cause"], told["superseded_by"]) == ("superseded", world.operation(last)["superseded_by"])
    assert told["why"].startswith(
        f"Operation {told['superseded_by']}, a newer write to the same path, replaced it"
    )
    assert world.operation(last)["reason"] == f"superseded by operation {told['superseded_by']}"


def test_what_is_under_way_is_not_superseded(world: World) -> None:
    world.endpoint("a")
    first = write(world, "1")
    [claimed] = claim(world.dispatch_pool, ["a"], LEASE_S)
    assert isinstance(claimed, Claim)
    second = write(world, "2")
    assert (world.status(first)[0], world.status(second)[0]) == ("SENDING", "QUEUED")


def test_a_write_that_another_operation_waits_for_stays(world: World) -> None:
    """An execute finds what was written before it was asked for."""
    world.endpoint("a")
    uri = {"type": "STRING", "value": "coap://h/1"}
    kept = [world.queue("a", "write", "/5/0/1", value=uri), world.queue("a", "execute", "/5/0/2")]
    gone = world.queue("a", "write", "/5/0/1", value=uri)
    last = write(world, "coap://h/2", path="/5/0/1")
    assert waiting(world) == [*kept, last]
    assert world.status(gone)[0] == "CANCELLED"


def test_a_batch_supersedes_for_each_of_its_endpoints(world: World) -> None:
    many(world, 3)
    old = [write(world, "1", f"d-0000{number}") for number in (1, 2, 3)]
    body = {"operation": "write", "path": PATH, "value": {"type": "STRING", "value": "2"}, "supersede": True}
    new = batch.create(world.api_pool, parse_batch(body | {"filter": "name==d-0000*;name!=d-00003"}), "ann")
    assert new.batch.progress == {"QUEUED": 2}
    assert [world.status(id_)[0] for id_ in old] == ["CANCELLED", "CANCELLED", "QUEUED"]


def test_two_batches_at_once_that_supersede_leave_one_write_to_each(world: World) -> None:
    many(world, 50)
    body = {"operation": "write", "path": PATH, "filter": "name==d-*", "supersede": True}

    def both(number: int) -> None:
        new = parse_batch(body | {"value": {"type": "STRING", "value": str(number)}})
        batch.create(world.api_pool, new, "ann")

    at_once(3, both)
    assert len(waiting(world)) == 50
