"""What Grafana asks PostgreSQL: each panel, variable, annotation and alert rule, as the role that reads.

deploy/grafana/statements.py expands macros as Grafana documents them for its PostgreSQL data source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from deploy.grafana import statements
from tests.fixtures.postgres import Database
from tests.fixtures.roll_ups import roll_up_all

PANELS = statements.panels()
NOTES = statements.notes()
VARIABLES = statements.variables()
RULES = statements.rules()
NUMBERS = {"int2", "int4", "int8", "float4", "float8", "numeric"}
MAX_ROWS = 2000

FROM = datetime.now(UTC) - timedelta(hours=6)
TO = FROM + timedelta(hours=7)
CHOSEN = {"search": ["sim"], "endpoint": ["sim-0001"], "path": ["/3303/0/5700"]}

FILL = """
INSERT INTO endpoint (name, registered, binding, lifetime, last_seen_at, expires_at)
SELECT 'sim-000' || n, n < 4, CASE n WHEN 3 THEN 'UQ' ELSE 'U' END, 300,
       now() - n * interval '1 min', now() - n * interval '1 min' + interval '300 s'
FROM generate_series(1, 5) n;
INSERT INTO resource_type (object_id, resource_id, data_type)
VALUES (3303, 5700, 'FLOAT'), (3, 3, 'STRING'), (3, 9, 'INTEGER'), (4, 2, 'INTEGER'), (3, 10, 'INTEGER')
ON CONFLICT DO NOTHING;
INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, float_value)
SELECT now() - i * interval '10 s', i * 10 + e.id, e.id, t.id, 0, 20 + i % 10
FROM generate_series(1, 1000) i, endpoint e, resource_type t
WHERE t.object_id = 3303 AND t.resource_id = 5700 AND e.name IN ('sim-0001', 'sim-0002');
INSERT INTO device_log (time, endpoint_id, object_id, object_instance_id, resource_id, severity, message)
SELECT now(), id, 20, 0, 4014, 5, 'restarted' FROM endpoint WHERE name = 'sim-0001';
INSERT INTO resource_latest (time, resource_id, endpoint_id, resource_type_id, object_instance_id,
                             float_value, integer_value, string_value)
SELECT now() - interval '10 s', 11, e.id, t.id, 0, CASE t.object_id WHEN 3303 THEN 21 END,
       CASE WHEN t.data_type = 'INTEGER' THEN 80 END, CASE t.data_type WHEN 'STRING' THEN '1.0.0' END
FROM endpoint e, resource_type t WHERE e.name IN ('sim-0001', 'sim-0002') AND t.object_id IN (3303, 3, 4)
    AND (t.object_id, t.resource_id) IN ((3303, 5700), (3, 3), (3, 9), (3, 10), (4, 2));
INSERT INTO event (time, id, endpoint_id, event_type)
SELECT now() - n * interval '1 min', n, e.id, (ARRAY['registered', 'updated', 'unregistered', 'composite'])[n]
FROM generate_series(1, 4) n, endpoint e WHERE e.name = 'sim-0001';
INSERT INTO endpoint_operation (endpoint_id, operation_type, path, status, attempts, reason, created_at,
                                finished_at, lease_expires_at)
SELECT e.id, 'execute', '/3/0/4', s, 1, CASE s WHEN 'FAILED' THEN 'refused' END, now() - interval '2 h',
       CASE WHEN s IN ('CONFIRMED', 'FAILED', 'CANCELLED', 'EXPIRED') THEN now() - interval '119 min' END,
       CASE s WHEN 'SENDING' THEN now() END
FROM endpoint e, unnest(ARRAY['QUEUED', 'SENDING', 'CONFIRMED', 'FAILED', 'CANCELLED', 'EXPIRED']) s
WHERE e.name = 'sim-0001';
INSERT INTO firmware (version, file_name, size_bytes, sha256, completed_at)
VALUES ('2.0.1', 'app.bin', 100, sha256('x'), now());
INSERT INTO firmware_update (endpoint_id, firmware_id, token, state, failure, requested_by, created_at,
                             since, finished_at)
SELECT e.id, f.id, 'token-of-24-characters-' || e.id, (ARRAY['CONFIRMED', 'FAILED', 'DOWNLOADING'])[e.id],
       CASE e.id WHEN 2 THEN 'no-space' END, 'ann', now() - interval '2 days', now() - interval '2 days',
       CASE WHEN e.id < 3 THEN now() - interval '1 h' END
FROM endpoint e, firmware f WHERE e.id <= 3;
INSERT INTO campaign (name, firmware_id, rules, seed, requested_by, status)
SELECT 'spring', id, '{}', 7, 'ann', 'STOPPED' FROM firmware;
INSERT INTO campaign_target (campaign_id, endpoint_id, wave, place, update_id)
SELECT c.id, u.endpoint_id, 1, u.id, u.id FROM campaign c, firmware_update u;
INSERT INTO delivery_mark (source, kind, lane, mark) VALUES (gen_random_uuid(), 'single', 0, 1000);
INSERT INTO dead_letter (kind, reason, item) VALUES ('single', 'no value', '{}');
"""


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with psycopg.connect(database.owner, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(FILL.encode())
        yield connection


@pytest.fixture
def grafana(owner: object, database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.grafana, autocommit=True) as connection:
        yield connection


def expanded(sql: str, **chosen: list[str]) -> bytes:
    """Expand Grafana's macros and variables."""
    return statements.expanded(sql, FROM, TO, CHOSEN | chosen)


def target(panel: dict[str, Any]) -> dict[str, Any]:
    [found] = panel["targets"]
    return dict(found)


def columns(cursor: psycopg.Cursor[Any]) -> list[tuple[str, str]]:
    """Return a result's columns with the names of their types."""
    assert cursor.description is not None
    types = psycopg.adapters.types
    return [(column.name, getattr(types.get(column.type_code), "name", "")) for column in cursor.description]


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_gets_the_columns_that_its_type_needs(grafana: psycopg.Connection, name: str) -> None:
    panel = PANELS[name]
    cursor = grafana.execute(expanded(target(panel)["rawSql"]))
    found = columns(cursor)
    rows = cursor.fetchall()
    assert 1 <= len(rows) <= MAX_ROWS
    if panel["type"] == "timeseries":
        assert target(panel)["format"] == "time_series"
        assert found[0] == ("time", "timestamptz")
        numbers = [kind for label, kind in found[1:] if label != "metric"]
        assert numbers
        assert set(numbers) <= NUMBERS
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    elif panel["type"] == "stat":
        assert len(found) == len(rows) == 1
        assert rows[0][0] is not None
    elif panel["type"] == "bargauge":
        assert len(rows) == 1
        assert {kind for _, kind in found} <= NUMBERS
    for override in panel.get("fieldConfig", {}).get("overrides", []):
        assert override["matcher"]["options"] in dict(found)


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_offers_a_bounded_choice(grafana: psycopg.Connection, name: str) -> None:
    sql = VARIABLES[name]["query"]
    assert re.search(r"LIMIT 500\b", sql)
    rows = grafana.execute(expanded(sql)).fetchall()
    expected = "/3303/0/5700" if name.endswith("path") else "sim-0001"
    assert (expected,) in rows


@pytest.mark.parametrize("name", NOTES)
def test_annotations_are_moments_with_a_text(grafana: psycopg.Connection, name: str) -> None:
    cursor = grafana.execute(expanded(NOTES[name]["target"]["rawSql"]))
    assert columns(cursor) == [("time", "timestamptz"), ("text", "text")]
    assert cursor.fetchall()


@pytest.mark.parametrize("name", [*PANELS, *NOTES])
def test_no_partition_is_read_whole(grafana: psycopg.Connection, name: str) -> None:
    statement = PANELS[name]["targets"][0] if name in PANELS else NOTES[name]["target"]
    # So few rows are read whole for choice: what is left then could not be read otherwise.
    grafana.execute("SET enable_seqscan = off")
    plan = grafana.execute(b"EXPLAIN " + expanded(statement["rawSql"])).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert not re.search(r"Seq Scan on (resource|event|event_resource)_(y|default)", text), text


def test_an_endpoint_s_name_is_data_and_not_sql(grafana: psycopg.Connection) -> None:
    sql = VARIABLES["device: path"]["query"]
    assert grafana.execute(expanded(sql, endpoint=["x' OR true --"])).fetchall() == []


def test_silent_devices_are_counted_by_age(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    sql = expanded(target(PANELS["fleet: silent, by age"])["rawSql"])
    assert grafana.execute(sql).fetchall() == [(2, 0, 0, 0, 3)]
    for age, counts in (("2 h", (1, 1, 0, 0, 3)), ("2 days", (1, 0, 1, 0, 3)), ("8 days", (1, 0, 0, 1, 3))):
        owner.execute(
            "UPDATE resource_latest SET time = now() - %s::interval"
            " WHERE endpoint_id = (SELECT id FROM endpoint WHERE name = 'sim-0002')",
            [age],
        )
        assert grafana.execute(sql).fetchall() == [counts]


def test_the_lag_is_sampled_over_all_of_the_time(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    owner.execute(
        "UPDATE resource SET stored_at = time + CASE WHEN time < now() - interval '2 h'"
        " THEN interval '3 s' ELSE interval '1 s' END"
    )
    rows = grafana.execute(expanded(target(PANELS["pipeline: from device to row"])["rawSql"])).fetchall()
    lags = [(float(median), float(highest)) for _, median, highest in rows]
    assert (lags[0], lags[-1]) == ((3, 3), (1, 1))
    assert lags == sorted(lags, reverse=True)
    assert 78 <= len(rows) <= 81  # FILL has 10,000 s of values; of seven hours each part is 126 s


def test_a_series_is_never_more_than_the_buckets_asked_for_and_loses_no_value(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    sql = (
        "SELECT * FROM series(ARRAY['sim-0001', 'sim-0002', 'sim-0001'],"
        " ARRAY['/3303/0/5700', '/3/0/9'], %s, %s, %s)"
    )
    roll_up_all(owner)
    end = datetime.now(UTC) + timedelta(minutes=1)
    for buckets in (1, 7, 500):
        for days in (1, 30, 365):
            with grafana.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(sql.encode(), (end - timedelta(days=days), end, buckets)).fetchall()
            for endpoint in ("sim-0001", "sim-0002"):
                of_one = [row for row in rows if row["endpoint"] == endpoint]
                assert 1 <= len(of_one) <= buckets
                assert sum(row["count"] for row in of_one) == 1000
                assert {row["path"] for row in of_one} == {"/3303/0/5700"}
                assert min(row["minimum"] for row in of_one) == 20
                assert max(row["maximum"] for row in of_one) == 29
                assert of_one[-1]["last"] == 21  # the newest value that FILL made
                mean = sum(row["mean"] * row["count"] for row in of_one) / 1000
                assert mean == pytest.approx(24.5)


def test_a_series_of_a_resource_instance_is_told_from_its_resource(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    owner.execute(
        "INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id,"
        " resource_instance_id, integer_value)"
        " SELECT now() - interval '1 min', 200000 + i, e.id, t.id, 0, i, i"
        " FROM generate_series(0, 2) i, endpoint e, resource_type t"
        " WHERE e.name = 'sim-0003' AND t.object_id = 3 AND t.resource_id = 9"
    )
    sql = "SELECT count, last FROM series(ARRAY['sim-0003'], ARRAY[%s], now() - interval '1 h', now())"
    assert grafana.execute(sql.encode(), ("/3/0/9/2",)).fetchall() == [(1, 2.0)]
    assert grafana.execute(sql.encode(), ("/3/0/9",)).fetchall() == []


def test_who_reads_can_do_nothing_else_and_not_for_long(
    grafana: psycopg.Connection, database: Database
) -> None:
    assert grafana.execute("SHOW statement_timeout").fetchone() == ("30s",)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        grafana.execute("DELETE FROM dead_letter")
    grafana.execute("SET default_transaction_read_only = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        grafana.execute("DELETE FROM dead_letter")
    asked = "SELECT * FROM series(ARRAY['a'], ARRAY['/3/0/9'], now() - interval '1 h', now())"
    with (
        psycopg.connect(database.housekeeping, autocommit=True) as other,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        other.execute(asked)


def fires(connection: psycopg.Connection, uid: str) -> list[tuple[Any, ...]]:
    """Return the rows of a rule whose number is above its threshold."""
    asked, threshold = RULES[uid]["data"]
    [condition] = threshold["model"]["conditions"]
    assert (threshold["model"]["type"], condition["evaluator"]) == (
        "threshold",
        {"type": "gt", "params": [0]},
    )
    cursor = connection.execute(asked["model"]["rawSql"].encode())
    kinds = [kind for _, kind in columns(cursor)]
    assert sum(kind in NUMBERS for kind in kinds) == 1
    assert set(kinds) - NUMBERS <= {"text"}
    return [
        row for row in cursor.fetchall() if any(isinstance(cell, (int, float)) or cell > "" for cell in row)
    ]


def test_silent_for_three_intervals_of_its_own_fires_and_clears(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    assert fires(grafana, "flownexus-device-silent") == []
    for table in ("resource", "resource_latest"):
        owner.execute(
            f"UPDATE {table} SET time = time - interval '2 min'"
            " WHERE endpoint_id = (SELECT id FROM endpoint WHERE name = 'sim-0002')".encode()
        )
    [(endpoint, intervals)] = fires(grafana, "flownexus-device-silent")
    assert endpoint == "sim-0002"
    assert 12 < intervals < 60
    owner.execute("UPDATE resource_latest SET time = now()")
    assert fires(grafana, "flownexus-device-silent") == []


def test_an_operation_that_waits_an_hour_fires_and_clears(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    [(endpoint, waits)] = fires(grafana, "flownexus-operation-waits")
    assert endpoint == "sim-0001"
    assert 7000 < waits < 8000
    owner.execute("UPDATE endpoint SET registered = false")
    assert fires(grafana, "flownexus-operation-waits") == []


def test_dead_letters_fire_and_clear(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    assert fires(grafana, "flownexus-dead-letters") == [("single", 1)]
    owner.execute("UPDATE dead_letter SET received_at = now() - interval '1 h'")
    assert fires(grafana, "flownexus-dead-letters") == []


def test_values_that_are_stored_late_fire_and_clear(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    owner.execute("UPDATE resource SET stored_at = time + interval '2 min'")
    assert fires(grafana, "flownexus-values-late") == [(120.0,)]
    owner.execute("UPDATE resource SET stored_at = time + interval '1 s'")
    assert fires(grafana, "flownexus-values-late") == []


def test_a_campaign_that_has_stopped_fires_and_clears(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    assert fires(grafana, "flownexus-campaign-stopped") == [("spring", 1)]
    owner.execute("UPDATE campaign SET status = 'RUNNING'")
    assert fires(grafana, "flownexus-campaign-stopped") == []


def test_downloads_of_devices_that_can_be_reached_fire_when_they_stall_and_clear(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    owner.execute(
        "UPDATE endpoint SET registered = true, binding = 'U', expires_at = now() + interval '1 h'"
        " WHERE name = 'sim-0003'"
    )
    assert fires(grafana, "flownexus-downloads-stall") == [("2.0.1", 1)]
    owner.execute(
        "INSERT INTO firmware_download (update_id, reached) SELECT max(id), 50 FROM firmware_update"
    )
    assert fires(grafana, "flownexus-downloads-stall") == []
    owner.execute("UPDATE firmware_download SET moved_at = now() - interval '11 min'")
    assert fires(grafana, "flownexus-downloads-stall") == [("2.0.1", 1)]
    owner.execute("UPDATE endpoint SET registered = false")
    assert fires(grafana, "flownexus-downloads-stall") == []


def test_an_update_that_does_not_move_for_a_day_fires_and_clears(
    owner: psycopg.Connection[dict[str, Any]], grafana: psycopg.Connection
) -> None:
    [(endpoint, state, waits)] = fires(grafana, "flownexus-update-waits")
    assert (endpoint, state) == ("sim-0003", "DOWNLOADING")
    assert waits == pytest.approx(2 * 86_400, abs=60)
    owner.execute("UPDATE firmware_update SET state = 'DOWNLOADED' WHERE state = 'DOWNLOADING'")
    assert fires(grafana, "flownexus-update-waits") == []  # it waits for its window
    owner.execute("UPDATE firmware_update SET state = 'INSTALLING', since = now() WHERE state = 'DOWNLOADED'")
    assert fires(grafana, "flownexus-update-waits") == []
