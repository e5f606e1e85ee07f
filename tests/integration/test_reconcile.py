"""Observations that devices gave up: housekeeping finds them by the plan and the silence, and asks again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from psycopg import Cursor

from flownexus.housekeeping.settings import HousekeepingSettings
from flownexus.leshan.webhook import Kind
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.operations.profile import parse_profile
from flownexus.store import queries
from flownexus.store.pool import Pool, open_pool
from flownexus.store.profile import plan_of, put, remove
from flownexus.store.tag import set_tag
from flownexus.store.telemetry import Telemetry
from flownexus.web.ingest import create_app
from tests.fixtures.guard import guard_of
from tests.fixtures.handler import load_handler
from tests.fixtures.replay import deliver_nothing
from tests.fixtures.world import World

TEMPERATURE = "/3303/0/5700"
LINKS = ("/3/0", "/3303/0")
REFRESH = 6 * 3600.0


class Fleet:
    """Devices that register, update and report through the webhook functions, and housekeeping's rounds."""

    def __init__(self, world: World, housekeeping: Pool) -> None:
        self.world = world
        self.published: list[Hint] = []
        telemetry = Telemetry(timedelta(days=365))
        self._registration = self._app(Kind.REGISTRATION, telemetry)
        self._single = self._app(Kind.SINGLE, telemetry)
        app = load_handler("housekeeping").create_app(
            housekeeping, self, guard_of("connector"), HousekeepingSettings(refresh=REFRESH), deliver_nothing
        )
        self._housekeeping = app.test_client()

    def _app(self, kind: Kind, telemetry: Telemetry) -> FlaskClient:
        return create_app(kind, self.world.ingest_pool, telemetry, None, guard_of("secret")).test_client()

    def publish(self, hints: Any, timeout: float) -> int:
        self.published += hints
        return 0

    def round(self) -> dict[str, Any]:
        response = self._housekeeping.post("/", headers={"Authorization": "Bearer connector"})
        assert response.status_code == 200, response.data
        summary: dict[str, Any] = response.get_json()
        return summary

    def post(self, client: FlaskClient, items: list[dict[str, Any]]) -> None:
        answer = client.post("/", json=items, headers={"Authorization": "Bearer secret"})
        assert answer.status_code == 200, answer.data
        assert answer.get_json()["rejected"] == []

    def tell(self, resource: int, *endpoints: str, links: Any = None, **more: Any) -> None:
        """Let registration events of endpoints come: 0 registered, 2 updated."""
        reg = {"id": "one", "lifetime": 86_400} | more
        if links is not None:
            reg["links"] = [{"url": url} for url in links]
        val = {"kind": "singleResource", "id": resource, "type": "TIME", "value": 1_795_344_335_807}
        self.post(
            self._registration, [{"ep": ep, "obj_id": 10240, "val": val, "reg": reg} for ep in endpoints]
        )

    def report(self, endpoint: str = "a", resource: int = 5700, *, ago: float = 0) -> None:
        """Let a value of a resource of object 3303 come, so many seconds ago."""
        val = {"kind": "singleResource", "id": resource, "type": "FLOAT", "value": "21.5"}
        ts = milliseconds(ago)
        self.post(self._single, [{"ep": endpoint, "obj_id": 3303, "val": val, "ts": ts}])

    def plan(self, *more: dict[str, Any], **of_temperature: Any) -> None:
        """Let the default profile read /3, and observe the temperature so, firmware's state, and more."""
        temperature = {"operation": "observe", "paths": ["/3303/*/5700"]} | of_temperature
        firmware = {"operation": "observe", "paths": ["/5/0/3", "/5/0/5"]}
        put(
            self.world.api_pool,
            parse_profile("default", {"priority": 0, "plan": [{"operation": "read", "paths": ["/3"]},
                                                               temperature, firmware, *more]}),
            "test",
        )  # fmt: skip

    def confirm(self, ago: float = 0) -> None:
        """Let all operations have been confirmed so many seconds ago."""
        self.world.execute(
            "UPDATE endpoint_operation SET status = 'CONFIRMED', attempts = 1, last_attempt_at = now(),"
            " lease_expires_at = NULL, finished_at = now() - make_interval(secs => %s)",
            ago,
        )

    def age(self, seconds: float) -> None:
        """Let all that was to be looked at later be due so much sooner."""
        self.world.execute(
            "UPDATE endpoint SET reconcile_at = reconcile_at - make_interval(secs => %s)", seconds
        )

    def queued(self, endpoint: str = "a") -> list[tuple[str, str]]:
        """Return what waits for an endpoint: operation type and path."""
        rows = self.world.execute(
            "SELECT operation_type, path FROM endpoint_operation o JOIN endpoint e ON e.id = o.endpoint_id"
            " WHERE e.name = %s AND o.status = 'QUEUED' ORDER BY o.id",
            endpoint,
        )
        return [(row["operation_type"], row["path"]) for row in rows]


def milliseconds(ago: float) -> int:
    return round((datetime.now(UTC).timestamp() - ago) * 1000)


@pytest.fixture
def fleet(world: World) -> Iterator[Fleet]:
    with open_pool(world.database.housekeeping, 2, "housekeeping") as pool:
        yield Fleet(world, pool)


OBSERVED = [("observe", TEMPERATURE)]


def test_an_observation_that_brought_nothing_for_the_refresh_interval_is_asked_for_anew(fleet: Fleet) -> None:
    fleet.tell(0, "a", links=LINKS)
    fleet.confirm(ago=REFRESH + 60)
    fleet.age(60)

    fleet.tell(2, "a")
    assert fleet.round()["renewed"] == 1
    assert fleet.queued() == OBSERVED
    assert Hint(HintKind.QUEUED, "a") in fleet.published
    [row] = fleet.world.execute("SELECT * FROM endpoint_operation WHERE status = 'QUEUED'")
    assert (row["attempts"], row["retry_after_contact"], row["last_attempt_at"], row["finished_at"]) == (
        0, 0, None, None,
    )  # fmt: skip


def test_what_waits_is_not_queued_a_second_time(fleet: Fleet) -> None:
    fleet.plan(reports_within=30)
    fleet.tell(0, "a", links=LINKS)
    fleet.confirm(ago=100)
    fleet.age(120)
    assert fleet.round()["renewed"] == 1
    for _ in range(3):
        fleet.tell(2, "a")
        fleet.age(120)
        assert fleet.round()["renewed"] == 0
    assert fleet.queued() == OBSERVED
    [count] = fleet.world.execute("SELECT count(*) FROM endpoint_operation")
    assert count["count"] == 2


def test_a_device_that_reports_is_left_alone_however_often_it_updates(fleet: Fleet) -> None:
    fleet.plan(reports_within=30)
    fleet.tell(0, "a", links=LINKS)
    fleet.confirm(ago=1000)
    fleet.report()
    for _ in range(5):
        fleet.tell(2, "a")
        fleet.age(1000)
        assert fleet.round()["renewed"] == 0
    assert fleet.queued() == []


def test_a_value_of_another_resource_and_one_from_the_future_prove_nothing(fleet: Fleet) -> None:
    fleet.plan(reports_within=30)
    fleet.tell(0, "a", links=LINKS)
    fleet.confirm(ago=1000)
    fleet.report(resource=5601)
    fleet.report(ago=-3600)
    fleet.world.execute("UPDATE resource SET stored_at = now() - interval '1 h'")
    fleet.age(120)
    assert fleet.round()["renewed"] == 1
    assert fleet.queued() == OBSERVED


def test_the_plan_says_by_pmax_how_long_silence_may_be(fleet: Fleet) -> None:
    fleet.plan(reports_within=30)
    fleet.tell(0, "a", links=LINKS)
    fleet.confirm(ago=1000)
    fleet.report(ago=50)
    fleet.age(120)
    assert fleet.round()["renewed"] == 0
    fleet.age(5)
    assert fleet.round()["renewed"] == 0
    fleet.world.execute("UPDATE resource_latest SET time = now() - interval '61 s'")
    fleet.age(60)
    assert fleet.round()["renewed"] == 1


def test_after_a_gap_in_what_leshan_heard_the_next_update_brings_the_observations_back(fleet: Fleet) -> None:
    fleet.tell(0, "a", "b", links=LINKS, heard_since=milliseconds(5000))
    fleet.confirm(ago=100)
    fleet.report("b", ago=10)

    fleet.tell(2, "a", "b", heard_since=milliseconds(5000))
    assert fleet.round()["renewed"] == 0
    fleet.tell(2, "a", "b", heard_since=milliseconds(60))
    assert fleet.round()["renewed"] == 1
    assert (fleet.queued("a"), fleet.queued("b")) == (OBSERVED, [])

    # What has been asked for since is not asked for again.
    fleet.confirm()
    fleet.tell(2, "a", "b", heard_since=milliseconds(60))
    fleet.age(60)
    assert fleet.round()["renewed"] == 0


def test_an_update_with_new_objects_gets_the_plan_for_them_and_only_them(fleet: Fleet) -> None:
    fleet.tell(0, "a", links=LINKS)
    fleet.confirm()
    fleet.tell(2, "a", links=(*LINKS, "/3303/1", "/5/0"))
    assert fleet.round()["renewed"] == 3
    assert sorted(fleet.queued()) == [
        ("observe", "/3303/1/5700"),
        ("observe", "/5/0/3"),
        ("observe", "/5/0/5"),
    ]
    fleet.tell(2, "a", links=(*LINKS, "/3303/1", "/5/0"))
    assert fleet.round()["renewed"] == 0


def test_an_endpoint_that_is_first_heard_of_by_an_update_gets_its_plan(fleet: Fleet) -> None:
    fleet.tell(2, "a", links=LINKS)
    assert fleet.round()["renewed"] == 2
    assert sorted(fleet.queued()) == [*OBSERVED, ("read", "/3")]


def test_what_a_user_took_back_stays_so_until_the_device_registers_anew(fleet: Fleet) -> None:
    fleet.plan(reports_within=30)
    fleet.tell(0, "a", links=LINKS)
    fleet.confirm(ago=1000)
    fleet.world.queue("a", "cancel-observe", TEMPERATURE)
    fleet.world.execute(
        "UPDATE endpoint_operation SET status = 'CONFIRMED', finished_at = now() WHERE status = 'QUEUED'"
    )
    fleet.age(120)
    assert fleet.round()["renewed"] == 0
    fleet.tell(0, "a", links=LINKS, id="two")
    assert sorted(fleet.queued()) == [*OBSERVED, ("read", "/3")]


def test_who_has_unregistered_is_not_asked(fleet: Fleet) -> None:
    fleet.tell(0, "a", links=LINKS)
    fleet.confirm(ago=2 * REFRESH)
    fleet.age(60)
    fleet.tell(1, "a")
    assert fleet.round()["renewed"] == 0


def test_thousands_that_are_due_at_once_are_looked_at_a_few_hundred_a_round(fleet: Fleet) -> None:
    names = [f"d-{number:04d}" for number in range(600)]
    fleet.tell(0, *names, links=LINKS)
    fleet.confirm(ago=100)
    fleet.tell(2, *names, heard_since=milliseconds(60))
    assert [fleet.round()["renewed"] for _ in range(4)] == [250, 250, 100, 0]
    assert {hint.ep for hint in fleet.published} == set(names)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Keep the statements that connections execute."""
    statements: list[Any] = []
    execute = Cursor.execute

    def counting(self: Cursor, query: Any, *arguments: Any, **more: Any) -> Cursor:
        statements.append(query)
        return execute(self, query, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Cursor, "execute", counting)
        yield statements


def test_an_update_costs_its_own_statement_and_a_round_a_few_however_many_are_due(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def statements(names: list[str]) -> tuple[int, int]:
        fleet.tell(0, *names, links=LINKS)
        fleet.confirm(ago=100)
        with counted(monkeypatch) as updates:
            fleet.tell(2, *names)
        fleet.tell(2, *names, heard_since=milliseconds(60))
        with counted(monkeypatch) as round_:
            assert fleet.round()["renewed"] == len(names)
        return len(updates), len(round_)

    fleet.round()
    few, many = statements([f"x-{n}" for n in range(30)]), statements([f"y-{n}" for n in range(230)])
    assert many[0] <= few[0] + 200
    assert many[1] == few[1]


def test_an_update_of_a_device_that_is_well_leaves_the_index_alone(fleet: Fleet) -> None:
    """Where an indexed column changes, each index gets an entry."""
    fleet.tell(0, "a", links=LINKS, heard_since=milliseconds(5000))
    before = fleet.world.execute("SELECT reconcile_at FROM endpoint")
    for _ in range(3):
        fleet.tell(2, "a", links=LINKS)
    assert fleet.world.execute("SELECT reconcile_at FROM endpoint") == before


def scans(plan: dict[str, Any], large: set[str]) -> list[dict[str, Any]]:
    """Return the nodes of a plan that read large tables."""
    below = [scan for child in plan.get("Plans", []) for scan in scans(child, large)]
    reads = "Scan" in plan["Node Type"] and plan.get("Relation Name", "") in large
    return [plan, *below] if reads else below


def test_a_round_among_twenty_thousand_devices_reads_only_what_belongs_to_those_due(fleet: Fleet) -> None:
    world = fleet.world
    fleet.tell(0, "a", links=LINKS)
    fleet.report()
    world.execute(
        "INSERT INTO endpoint (name, registered, registration_id, objects, reconcile_at)"
        " SELECT 'd-' || n, true, 'one', '{/3/0,/3303/0}', now() + interval '1 h'"
        " FROM generate_series(1, 20000) n"
    )
    world.execute(
        "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, priority, registration_id,"
        " status, finished_at)"
        " SELECT e.id, 'observe', path, 0, 'one', 'CONFIRMED', now() - interval '7 h'"
        " FROM endpoint e, unnest('{/3303/0/5700,/3303/0/5601}'::text[]) path WHERE e.name LIKE 'd-%%'"
    )
    world.execute(
        "INSERT INTO resource_latest"
        " (endpoint_id, resource_type_id, object_instance_id, time, resource_id)"
        " SELECT e.id, t.id, 0, now() - interval '7 h', 0 FROM endpoint e, resource_type t"
        " WHERE e.name LIKE 'd-%%'"
    )
    world.execute("ANALYZE endpoint, endpoint_operation, resource_latest, resource_type")
    ids = [row["id"] for row in world.execute("SELECT id FROM endpoint ORDER BY id LIMIT 250")]
    keys: dict[str, Any] = {"endpoint_ids": ids, "registration_ids": ["one"] * 250}
    statements: dict[str, dict[str, Any]] = {
        "endpoints_to_reconcile": {"limit": 250},
        "profiles_of": {"ids": ids},
        "planned_rows": keys,
        "drop_older_plans": keys,
    }
    for name, values in statements.items():
        with psycopg.connect(world.database.housekeeping) as connection:
            statement = f"EXPLAIN (FORMAT json) {getattr(queries, name).sql}"
            row = connection.execute(statement.encode(), values).fetchone()
        assert row is not None
        large = {"endpoint", "endpoint_operation", "resource_latest"}
        found = scans(row[0][0]["Plan"], large)
        assert found
        assert [scan for scan in found if "Index Cond" not in scan] == [], name


# ---------------------------------------------------------------------------------------------------------
# A profile that changes


HUMIDITY = {"operation": "observe", "paths": ["/3304/*/5700"]}
BOTH = ("/3/0", "/3303/0", "/3304/0")


def planned_now(fleet: Fleet, endpoint: str = "a") -> list[tuple[str, str, str]]:
    """Return operation, path (or paths) and state of what its profile asks of an endpoint."""
    return [
        (each["operation"], each.get("path") or ",".join(each["paths"]), each["state"])
        for each in (state.as_json() for state in plan_of(fleet.world.api_pool, endpoint).states)
    ]


def test_what_a_changed_profile_adds_is_queued_and_nothing_else_again(fleet: Fleet) -> None:
    fleet.tell(0, "a", links=LINKS)
    fleet.confirm()
    fleet.plan({"operation": "observe", "paths": ["/3303/0/5601", "/3303/0", "/3303/0/5700"]})
    assert fleet.round()["renewed"] == 1
    assert fleet.queued() == [("observe", "/3303/0/5601")]
    assert planned_now(fleet) == [
        ("observe", TEMPERATURE, "observed"),
        ("observe", "/3303/0/5601", "queued"),
        ("read", "/3", "done"),
    ]
    fleet.confirm()
    fleet.age(REFRESH + 60)
    assert fleet.round()["renewed"] == 0


def test_what_a_changed_profile_leaves_out_is_ended_and_comes_back_when_it_is_asked_for_again(
    fleet: Fleet,
) -> None:
    fleet.plan(HUMIDITY)
    fleet.tell(0, "a", links=BOTH)
    fleet.confirm(ago=5)
    fleet.plan()
    assert fleet.round()["renewed"] == 1
    assert fleet.queued() == [("cancel-observe", "/3304/0/5700")]
    assert planned_now(fleet)[-1] == ("cancel-observe", "/3304/0/5700", "ending")
    # It stays queued until the device hears of it, however often it is looked at.
    fleet.age(REFRESH + 60)
    assert fleet.round()["renewed"] == 0
    assert fleet.queued() == [("cancel-observe", "/3304/0/5700")]
    # Asked for again before the device has heard: nothing is to be ended any more.
    fleet.plan(HUMIDITY)
    assert fleet.round()["renewed"] == 1
    assert fleet.queued() == [("observe", "/3304/0/5700")]
    fleet.confirm()
    fleet.plan()
    assert fleet.round()["renewed"] == 1
    fleet.confirm()
    fleet.plan(HUMIDITY)
    assert fleet.round()["renewed"] == 1
    assert fleet.queued() == [("observe", "/3304/0/5700")]


def test_of_attributes_those_that_changed_are_written_and_those_left_out_taken_back(fleet: Fleet) -> None:
    fleet.plan(attributes={"pmin": 5, "pmax": 60})
    fleet.tell(0, "a", links=LINKS)
    assert fleet.queued()[:2] == [("write-attributes", TEMPERATURE), ("observe", TEMPERATURE)]
    fleet.confirm()
    fleet.plan(attributes={"pmax": 30})
    assert fleet.round()["renewed"] == 1
    [row] = fleet.world.execute(
        "SELECT operation_type, value FROM endpoint_operation WHERE status = 'QUEUED'"
    )
    assert (row["operation_type"], row["value"]) == ("write-attributes", {"pmax": 30})
    fleet.confirm()
    fleet.plan()
    assert fleet.round()["renewed"] == 1
    [row] = fleet.world.execute(
        "SELECT operation_type, value FROM endpoint_operation WHERE status = 'QUEUED'"
    )
    assert (row["operation_type"], row["value"]) == ("write-attributes", {"pmax": None})
    fleet.age(REFRESH + 60)
    assert fleet.round()["renewed"] == 0
    fleet.confirm()
    fleet.age(REFRESH + 60)
    assert fleet.round()["renewed"] == 0


def test_paths_that_become_a_composite_are_ended_before_it_begins(fleet: Fleet) -> None:
    fleet.tell(0, "a", links=BOTH)
    fleet.confirm()
    all_of = {"operation": "observe", "paths": ["/3303/*/5700", "/3304/*/5700"], "group": "all"}
    body = {"priority": 0, "plan": [{"operation": "read", "paths": ["/3"]}, all_of]}
    put(fleet.world.api_pool, parse_profile("default", body), "test")
    assert fleet.round()["renewed"] == 3
    rows = fleet.world.execute(
        "SELECT o.operation_type, o.path, o.paths FROM endpoint_operation o"
        " WHERE status = 'QUEUED' ORDER BY priority DESC, id"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("cancel-observe", TEMPERATURE, None),
        ("cancel-observe", "/3304/0/5700", None),
        ("observe-composite", None, [TEMPERATURE, "/3304/0/5700"]),
    ]
    fleet.confirm()
    fleet.age(REFRESH + 60)
    assert fleet.round()["renewed"] == 0


def test_the_profile_with_the_highest_priority_that_fits_applies(fleet: Fleet) -> None:
    fleet.tell(0, "a", "b", links=BOTH)
    fleet.confirm()
    berlin = {"filter": "tag.site==berlin", "priority": 10, "plan": [HUMIDITY]}
    put(fleet.world.api_pool, parse_profile("berlin", berlin), "ann")
    put(fleet.world.api_pool, parse_profile("off", berlin | {"priority": 20, "enabled": False}), "ann")
    fleet.round()
    assert plan_of(fleet.world.api_pool, "a").profile == "default"
    set_tag(fleet.world.api_pool, "a", "site", "berlin", "ann")
    assert fleet.round()["renewed"] == 1
    assert (plan_of(fleet.world.api_pool, "a").profile, plan_of(fleet.world.api_pool, "b").profile) == (
        "berlin", "default",
    )  # fmt: skip
    assert sorted(fleet.queued()) == [("cancel-observe", TEMPERATURE)]
    remove(fleet.world.api_pool, "berlin", "ann")
    fleet.confirm()
    assert fleet.round()["renewed"] == 1
    assert fleet.queued() == [("observe", TEMPERATURE)]
    remove(fleet.world.api_pool, "default", "ann")
    fleet.confirm()
    fleet.round()
    assert sorted(fleet.queued()) == [("cancel-observe", TEMPERATURE), ("cancel-observe", "/3304/0/5700")]
    assert plan_of(fleet.world.api_pool, "a").profile is None


def test_a_registration_gets_the_profile_that_fits_what_it_registers_with(fleet: Fleet) -> None:
    humid = {"filter": "object==3304", "priority": 10, "plan": [HUMIDITY]}
    put(fleet.world.api_pool, parse_profile("humid", humid), "ann")
    fleet.tell(0, "a", links=BOTH)
    fleet.tell(0, "b", links=LINKS)
    assert fleet.queued("a") == [("observe", "/3304/0/5700")]
    assert sorted(fleet.queued("b")) == [*OBSERVED, ("read", "/3")]


def test_a_profile_that_changes_is_carried_out_at_two_hundred_devices_in_one_round(fleet: Fleet) -> None:
    names = [f"d-{number:04d}" for number in range(200)]
    fleet.tell(0, *names, links=BOTH)
    fleet.confirm()
    fleet.plan(HUMIDITY | {"paths": ["/3304/*/5601"]}, attributes={"pmax": 60})
    # Of each: attributes of one path, one path more, and one less.
    assert fleet.round()["renewed"] == 3 * 200
    fleet.confirm()
    fleet.age(300)
    assert fleet.round()["renewed"] == 0


def test_what_a_device_refused_is_told_with_its_reason(fleet: Fleet) -> None:
    fleet.tell(0, "a", links=LINKS)
    fleet.confirm()
    fleet.report()
    fleet.world.execute(
        "UPDATE endpoint_operation SET status = 'FAILED', reason = 'the device answered 5.00: no room'"
        " WHERE operation_type = 'read'"
    )
    told = [state.as_json() for state in plan_of(fleet.world.api_pool, "a").states]
    assert [(each["state"], each["reason"]) for each in told] == [
        ("observed", None), ("refused", "the device answered 5.00: no room"),
    ]  # fmt: skip
    assert told[0]["last_value_at"] is not None
