"""The schema: partitions, sessions, and its drawing in the documents."""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from flownexus.migrate import SQL_FOLDER, migrate
from flownexus.operations.catalogue import KINDS
from flownexus.operations.filter import parse_filter
from flownexus.operations.plan import parse_plan, stored_plan
from tests.fixtures.postgres import PURPOSES, Database, TestCluster
from tools.diagram import SCHEMA_DOCUMENT, schema_document

NOW = datetime.now(UTC)


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.owner, autocommit=True) as connection:
        yield connection


@pytest.fixture
def housekeeping(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.housekeeping, autocommit=True) as connection:
        yield connection


def partitions(connection: psycopg.Connection, parent: str) -> list[str]:
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1"
    return [name for (name,) in connection.execute(query, (parent,))]


def month(ahead: int) -> str:
    months = NOW.year * 12 + NOW.month - 1 + ahead
    return f"y{months // 12}m{months % 12 + 1:02}"


@pytest.mark.parametrize("parent", ["resource", "event", "event_resource", "resource_hourly", "device_log"])
def test_partitions_are_there_from_the_start_and_made_ahead(
    owner: psycopg.Connection, housekeeping: psycopg.Connection, parent: str
) -> None:
    first = [f"{parent}_{month(ahead)}" for ahead in range(3)]
    assert partitions(owner, parent) == sorted([f"{parent}_default", *first])
    assert housekeeping.execute("SELECT make_partitions(4)").fetchone() == (10,)
    assert housekeeping.execute("SELECT make_partitions(4)").fetchone() == (0,)
    assert f"{parent}_{month(4)}" in partitions(owner, parent)


def test_rows_that_came_before_their_partition_move_into_it(
    owner: psycopg.Connection, housekeeping: psycopg.Connection
) -> None:
    insert = (
        "INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, float_value)"
        " VALUES (date_trunc('month', now()) + interval '3 months 1 day', 1, 1, 1, 0, 21.5)"
    )
    owner.execute(insert)
    assert owner.execute("SELECT count(*) FROM resource_default").fetchone() == (1,)
    housekeeping.execute("SELECT make_partitions(3)")
    assert owner.execute("SELECT count(*) FROM resource_default").fetchone() == (0,)
    assert owner.execute("SELECT tableoid::regclass::text, float_value FROM resource").fetchall() == [
        (f"resource_{month(3)}", 21.5)
    ]


def test_old_partitions_are_dropped_and_the_others_kept(
    owner: psycopg.Connection, housekeeping: psycopg.Connection
) -> None:
    for parent in ("resource", "event", "event_resource"):
        for name, start, end in (
            ("y2020m01", "2020-01-01", "2020-02-01"),
            ("y2020m02", "2020-02-01", "2020-03-01"),
        ):
            bounds = f"FROM ('{start} 00:00+00') TO ('{end} 00:00+00')"
            owner.execute(f"CREATE TABLE {parent}_{name} PARTITION OF {parent} FOR VALUES {bounds}".encode())
    owner.execute(
        "INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, float_value)"
        " VALUES ('2019-05-05', 1, 1, 1, 0, 1), (now() - interval '400 days', 2, 1, 1, 0, 2)"
    )
    retention = NOW - datetime(2020, 2, 15, tzinfo=UTC)
    assert housekeeping.execute("SELECT drop_partitions(%s)", (retention,)).fetchone() == (3,)
    for parent in ("resource", "event", "event_resource"):
        names = partitions(owner, parent)
        assert f"{parent}_y2020m01" not in names
        assert f"{parent}_y2020m02" in names
    assert owner.execute("SELECT id FROM resource").fetchall() == [(2,)]


def test_a_retention_that_would_drop_what_is_being_written_is_refused(
    housekeeping: psycopg.Connection,
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="at least one day"):
        housekeeping.execute("SELECT drop_partitions(%s)", (timedelta(hours=23),))


@pytest.mark.parametrize("role", PURPOSES)
def test_a_session_that_idles_in_a_transaction_is_ended(database: Database, role: str) -> None:
    """It may hold rows that others wait for."""
    with psycopg.connect(getattr(database, role)) as connection:
        assert connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("30s",)
        connection.execute("SET idle_in_transaction_session_timeout = '50ms'")
        connection.commit()

        def idle() -> None:
            while True:
                connection.execute("SELECT 1")
                time.sleep(0.1)
                connection.execute("SELECT 1")
                connection.commit()

        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            idle()


def test_the_schema_document_is_in_step_with_the_migrations(database: Database) -> None:
    assert SCHEMA_DOCUMENT.read_text(encoding="utf-8") == schema_document(database.owner), "run `make schema`"


def test_who_reads_by_hand_may_read_what_dashboards_do(database: Database) -> None:
    with psycopg.connect(database.reader) as connection:
        for table in ("telemetry", "telemetry_latest", "endpoint", "endpoint_operation", "dead_letter"):
            connection.execute(f"SELECT * FROM {table} LIMIT 1".encode())
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM dead_letter")


def test_what_profiles_may_ask_for_brings_values_or_serves_that(database: Database) -> None:
    allowed = set()
    with psycopg.connect(database.ingest, autocommit=True) as ingest:
        for name in KINDS:
            try:
                ingest.execute("SELECT queue_planned('{}', '{}', ARRAY[%s], '{}', '{}', '{}', true)", (name,))
            except psycopg.errors.NotNullViolation:  # of no endpoint
                allowed.add(name)
            except psycopg.errors.InvalidParameterValue:
                pass
    serves = {"write-attributes", "cancel-observe", "cancel-observe-composite"}
    assert allowed == {name for name, kind in KINDS.items() if kind.brings_values} | serves


def test_what_people_had_in_observe_plan_is_the_default_profile(
    bare_cluster: TestCluster, empty_database: str, tmp_path: Path
) -> None:
    old = tmp_path / "sql"
    shutil.copytree(SQL_FOLDER, old)
    for path in (old / "migrations").glob("*.sql"):
        if path.stem >= "039":
            path.unlink()
    migrate(empty_database, {}, old)
    with psycopg.connect(empty_database, autocommit=True) as owner:
        owner.execute("UPDATE observe_plan SET enabled = false WHERE object_id = 5")
        owner.execute("UPDATE observe_plan SET pmax = 30 WHERE object_id = 3303")
        owner.execute(
            "INSERT INTO observe_plan (operation_type, object_id, object_instance_id, resource_id)"
            " VALUES ('observe', 3304, 0, NULL)"
        )
        migrate(empty_database)
        [(filter_, tree, plan)] = owner.execute("SELECT filter, tree, plan FROM profile").fetchall()
    assert parse_filter(filter_).as_json() == tree
    assert plan == [
        {"operation": "read", "paths": ["/3"]},
        {"operation": "observe", "paths": ["/3303/*/5700"], "reports_within": 30},
        {"operation": "observe", "paths": ["/3304/0"]},
        {"operation": "observe", "paths": ["/10300"], "group": "all"},
    ]
    assert parse_plan(plan) == stored_plan(plan)


@pytest.mark.parametrize(
    "columns", ["'read', NULL, NULL", "'read', '/3', '{/3}'", "'read', NULL, '{}'", "'Read me', '/3', NULL"]
)
def test_an_operation_has_a_kind_and_either_a_path_or_paths(owner: psycopg.Connection, columns: str) -> None:
    owner.execute("INSERT INTO endpoint (name) VALUES ('x')")
    with pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(
            "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, paths)"
            f" SELECT id, {columns} FROM endpoint".encode()
        )
