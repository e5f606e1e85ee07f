"""Hourly roll-ups: each value is in them once, whenever it comes, and series() reads them in its place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from tests.fixtures.postgres import Database
from tests.fixtures.roll_ups import roll_up_all

HOUR = timedelta(hours=1)
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=20)
"""A whole hour."""


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with psycopg.connect(database.owner, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("INSERT INTO endpoint (name) VALUES ('sim-0001'), ('sim-0002')")
        connection.execute(
            "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (3303, 5700, 'FLOAT')"
        )
        yield connection


Owner = psycopg.Connection[dict[str, Any]]


def store(owner: Owner, values: list[tuple[timedelta, float]], endpoint: int = 1) -> None:
    """Store values of these times after START."""
    [first] = owner.execute("SELECT coalesce(max(id), 0) + 1 AS id FROM resource").fetchall()
    times, numbers = ([START + at for at, _ in values], [number for _, number in values])
    owner.execute(
        "INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, float_value)"
        " SELECT time, %s + place, %s, 1, 0, number"
        " FROM unnest(%s::timestamptz[], %s::float8[]) WITH ORDINALITY AS v (time, number, place)",
        (first["id"], endpoint, times, numbers),
    )


def hours(owner: Owner) -> list[dict[str, Any]]:
    return owner.execute(
        "SELECT time, minimum, maximum, mean, last, count FROM resource_hourly ORDER BY endpoint_id, time"
    ).fetchall()


def series(owner: Owner, start: datetime, end: datetime, buckets: int) -> list[dict[str, Any]]:
    return owner.execute(
        "SELECT * FROM series(ARRAY['sim-0001'], ARRAY['/3303/0/5700'], %s, %s, %s)", (start, end, buckets)
    ).fetchall()


def test_an_hour_is_told_by_its_values(owner: Owner) -> None:
    minute = timedelta(minutes=1)
    store(owner, [(minute, 3.0), (30 * minute, 1.0), (59 * minute, 2.0), (60 * minute, 7.0)])
    store(owner, [(minute, 9.0)], endpoint=2)
    roll_up_all(owner)
    assert hours(owner) == [
        {"time": START, "minimum": 1, "maximum": 3, "mean": 2, "last": 2, "count": 3},
        {"time": START + HOUR, "minimum": 7, "maximum": 7, "mean": 7, "last": 7, "count": 1},
        {"time": START, "minimum": 9, "maximum": 9, "mean": 9, "last": 9, "count": 1},
    ]


def test_a_late_value_is_added_to_its_hour_and_none_is_counted_twice(owner: Owner) -> None:
    store(owner, [(timedelta(minutes=50), 4.0)])
    for _ in range(3):
        roll_up_all(owner)
    store(owner, [(timedelta(minutes=10), 1.0), (timedelta(minutes=20), 1.0)])
    for _ in range(3):
        roll_up_all(owner)
    assert hours(owner) == [
        {"time": START, "minimum": 1, "maximum": 4, "mean": pytest.approx(2), "last": 4, "count": 3}
    ]


def test_a_value_of_a_transaction_that_is_still_open_is_waited_for(owner: Owner, database: Database) -> None:
    """Its time of storing is before that of others which are committed."""
    with psycopg.connect(database.owner) as other:
        other.execute(
            "INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, float_value)"
            " VALUES (%s, 99, 1, 1, 0, 5)",
            (START,),
        )
        store(owner, [(timedelta(minutes=1), 7.0)])
        roll_up_all(owner)
        assert hours(owner) == []
    owner.execute("SELECT roll_up('1000 years')")
    assert [hour["count"] for hour in hours(owner)] == [2]


def test_what_is_much_is_rolled_up_in_steps(owner: Owner) -> None:
    store(owner, [(timedelta(minutes=n), float(n)) for n in range(10)])
    owner.execute("UPDATE resource SET stored_at = now() - make_interval(hours => 20 - id::integer)")
    owner.execute("UPDATE roll_up_state SET rolled_until = now() - interval '30 hours'")
    owner.execute(
        "UPDATE roll_up_state SET pending_until = now(),"
        " pending_xid = pg_snapshot_xmax(pg_current_snapshot())"
    )
    steps = 1
    while owner.execute("SELECT roll_up('7 hours') AS more").fetchall() == [{"more": True}]:
        steps += 1
    assert steps == 5
    assert [hour["count"] for hour in hours(owner)] == [10]


@pytest.mark.parametrize(
    "values",
    [
        [1.7e308, 1.7e308, 1.6e308],
        [-1.7e308, 1.7e308],
        [5e-324, 1e-310, -1e-310],
        [1e-200, -1e-200 * (1 + 2**-52)],
        [0.0, -0.0],
    ],
)
def test_no_device_s_numbers_keep_others_from_being_rolled_up(owner: Owner, values: list[float]) -> None:
    store(owner, [(timedelta(minutes=n), value) for n, value in enumerate(values)])
    roll_up_all(owner)
    store(owner, [(timedelta(minutes=30 + n), value) for n, value in enumerate(values)])
    store(owner, [(timedelta(0), 1.0)], endpoint=2)
    roll_up_all(owner)
    [first, second] = hours(owner)
    assert first["count"] == 2 * len(values)
    assert first["minimum"] <= first["mean"] <= first["maximum"] or abs(first["mean"]) < 1e-200
    assert second["count"] == 1


@pytest.mark.parametrize(
    "values",
    [[1.7976931348623157e308] * 3, [-1.7e308, 1.7e308, 1.7e308], [1e-310, 5e-324, 1e-200], [1e308, 1.0]],
)
@pytest.mark.parametrize("buckets", [1, 24])
def test_a_series_has_a_mean_however_great_or_small_its_numbers_are(
    owner: Owner, values: list[float], buckets: int
) -> None:
    store(owner, [(timedelta(minutes=n), value) for n, value in enumerate(values)])
    store(owner, [(HOUR + timedelta(minutes=n), value) for n, value in enumerate(values)])

    def means() -> list[tuple[float, float, float]]:
        rows = series(owner, START, START + 24 * timedelta(minutes=50), buckets)
        return [(row["minimum"], row["mean"], row["maximum"]) for row in rows]

    owner.execute("UPDATE roll_up_state SET rolled_until = %s, pending_until = %s", (START, START))
    from_values = means()
    roll_up_all(owner)
    from_hours = means()
    assert len(from_values) == len(from_hours) == min(buckets, 2)
    for lowest, mean, highest in from_values + from_hours:
        assert lowest <= mean <= highest or abs(mean) < 1e-200
        assert math.isclose(mean, float(sum(map(Fraction, values)) / len(values)), abs_tol=1e-200)


VALUES = st.lists(
    st.tuples(
        st.integers(0, 14 * 24 * 3600).map(lambda s: timedelta(seconds=s)),
        st.floats(-1e6, 1e6, allow_nan=False).map(lambda f: round(f, 3)),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda value: value[0],
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(VALUES, min_size=1, max_size=3),
    from_s=st.integers(0, 3 * 24 * 3600),
    width_s=st.sampled_from([60, 1800, 3599, 3600, 5000, 7200, 86_400, 100_000]),
    buckets=st.integers(1, 60),
)
def test_a_series_from_roll_ups_is_that_of_the_values(
    owner: Owner, batches: list[list[tuple[timedelta, float]]], from_s: int, width_s: int, buckets: int
) -> None:
    owner.execute("TRUNCATE resource, resource_hourly")
    values: dict[timedelta, float] = {}
    for batch in batches:
        new = [(at, number) for at, number in batch if at not in values]
        values |= dict(new)
        if new:
            store(owner, new)
        roll_up_all(owner)
    start = START + timedelta(seconds=from_s)
    end = start + timedelta(seconds=width_s * buckets)
    found = series(owner, start, end, buckets)
    assert len(found) <= buckets
    expected = _buckets(values, start, end, buckets)
    assert [row["time"] for row in found] == sorted(expected)
    for row in found:
        inside = expected[row["time"]]
        numbers = [number for _, number in inside]
        assert (row["minimum"], row["maximum"], row["count"]) == (min(numbers), max(numbers), len(numbers))
        assert row["last"] == max(inside)[1]
        assert row["mean"] == pytest.approx(math.fsum(numbers) / len(numbers), rel=1e-9, abs=1e-6)


def _buckets(
    values: dict[timedelta, float], start: datetime, end: datetime, buckets: int
) -> dict[datetime, list[tuple[timedelta, float]]]:
    """Return the values of each bucket: of whole hours where one is an hour or longer."""
    width, origin = (end - start) / buckets, start
    if width >= HOUR:
        origin = start.replace(minute=0, second=0)
        width = HOUR * -(-(end - origin) // (HOUR * buckets))
    expected: dict[datetime, list[tuple[timedelta, float]]] = {}
    for at, number in values.items():
        if start <= START + at < end:
            begin = max(origin + (START + at - origin) // width * width, start)
            expected.setdefault(begin, []).append((at, number))
    return expected


def test_a_wide_series_reads_roll_ups_where_values_are_gone(owner: Owner) -> None:
    store(owner, [(HOUR * n, float(n)) for n in range(48)])
    roll_up_all(owner)
    before = series(owner, START, START + timedelta(days=10), 20)
    owner.execute("TRUNCATE resource")
    assert series(owner, START, START + timedelta(days=10), 20) == before
    assert sum(row["count"] for row in before) == 48


def test_what_is_not_rolled_up_yet_is_read_from_the_values(owner: Owner) -> None:
    store(owner, [(HOUR * n, float(n)) for n in range(48)])
    owner.execute("UPDATE roll_up_state SET rolled_until = %s, pending_until = %s", (START, START))
    assert sum(row["count"] for row in series(owner, START, START + timedelta(days=10), 20)) == 48


def test_partitions_of_roll_ups_have_a_retention_of_their_own(database: Database, owner: Owner) -> None:
    for parent in ("resource", "resource_hourly"):
        owner.execute(
            f"CREATE TABLE {parent}_y2020m01 PARTITION OF {parent} FOR VALUES"
            " FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00')".encode()
        )
    with psycopg.connect(database.housekeeping, autocommit=True) as housekeeping:
        drop = "SELECT drop_partitions_of('resource_hourly', %s)"
        assert housekeeping.execute(drop, (timedelta(days=36500),)).fetchone() == (0,)
        assert housekeeping.execute(drop, (timedelta(days=365),)).fetchone() == (1,)
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="endpoint has no partitions"):
            housekeeping.execute("SELECT drop_partitions_of('endpoint', '400 days')")
    assert owner.execute("SELECT to_regclass('resource_y2020m01') IS NOT NULL AS there").fetchall() == [
        {"there": True}
    ]
