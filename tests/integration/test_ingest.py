"""The webhook functions against a real PostgreSQL: what they store, once, and what they refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from werkzeug.test import TestResponse

from flownexus.errors import LockedError, TooMuchError
from flownexus.leshan import webhook
from flownexus.leshan.replay import replay_body
from flownexus.leshan.webhook import Item, Kind
from flownexus.lwm2m.path import Path as LwM2mPath
from flownexus.lwm2m.value import DataType, Reading
from flownexus.migrate import SQL_FOLDER, migrate
from flownexus.store.catalog import Catalog
from flownexus.store.delivery import MAX_DEAD_LETTERS_PER_BODY, Deliveries, DeliveryResult, Entries
from flownexus.store.pool import Pool, open_pool
from flownexus.store.telemetry import Telemetry
from flownexus.store.transaction import Transaction
from flownexus.web.ingest import create_app
from local.servers.postgres import binaries
from tests.fixtures import postgres
from tests.fixtures.guard import guard_of
from tests.fixtures.postgres import Database

PAYLOADS = Path(__file__).parent.parent / "payloads"
TOKEN = {"Authorization": "Bearer secret"}
HOOK = ("hooked", "hooked-before")
NOW_MS = int(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture
def pool(database: Database) -> Iterator[Pool]:
    with open_pool(database.ingest, 8, "test") as pool:
        yield pool


Replica = Callable[[Kind], FlaskClient]


@pytest.fixture
def replica(pool: Pool) -> Replica:
    """Make a replica of a webhook function: an app that shares nothing but the database."""
    return lambda kind: create_app(
        kind, pool, Telemetry(timedelta(days=365)), None, guard_of("secret", "older", hooks=HOOK)
    ).test_client()


@pytest.fixture
def rows(database: Database) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    with psycopg.connect(database.owner, autocommit=True) as connection:
        yield lambda query: connection.execute(query.encode()).fetchall()


Rows = Callable[[str], list[tuple[Any, ...]]]


def value(number: float, endpoint: str = "qemu_x86", **more: Any) -> dict[str, Any]:
    node = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": str(number)}
    return {"ep": endpoint, "obj_id": 3303, "val": node} | more


def envelope(
    items: list[Any], first_seq: int = 1, source: str | None = None, lane: int = 0
) -> dict[str, Any]:
    return {
        "source": source or str(uuid.uuid4()),
        "lane": lane,
        "first_seq": first_seq,
        "items": items,
    }


def post(client: FlaskClient, body: Any, path: str = "/") -> TestResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, data=data, headers=TOKEN, content_type="application/json")


def event(resource_id: int, endpoint: str = "sim-0001", **registration: Any) -> dict[str, Any]:
    node = {"kind": "singleResource", "id": resource_id, "type": "TIME", "value": NOW_MS}
    return {"ep": endpoint, "obj_id": 10240, "val": node, "ts": NOW_MS} | (
        {"reg": registration} if registration else {}
    )


# What is stored


@pytest.mark.parametrize("wrap", [lambda item: item, lambda item: [item], lambda item: envelope([item])])
def test_the_documents_single_body_is_taken_alone_as_an_array_and_in_the_envelope(
    replica: Replica, rows: Rows, wrap: Callable[[Any], Any]
) -> None:
    body = json.loads((PAYLOADS / "documented-single.json").read_text())
    answer = post(replica(Kind.SINGLE), wrap(body), "/leshan_api/resource/single")
    assert answer.status_code == 200
    assert answer.json is not None
    assert (answer.json["stored"], answer.json["rejected"]) == (1, [])
    assert rows("SELECT endpoint, path, number FROM telemetry") == [
        ("qemu_x86", "/3303/0/5700", 24.899181214836236)
    ]


@pytest.mark.parametrize("wrap", [lambda item: item, lambda item: [item], lambda item: envelope([item])])
def test_the_documents_composite_is_stored_but_for_its_multiresource_without_id_and_type(
    replica: Replica, rows: Rows, wrap: Callable[[Any], Any]
) -> None:
    body = json.loads((PAYLOADS / "documented-composite.json").read_text())
    answer = post(replica(Kind.COMPOSITE), wrap(body), "/leshan_api/resource/composite")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["stored"] == 1
    reason = "multiResource needs an id, a whole number from 0 to 65534"
    assert answer.json["rejected"] == [{"index": 0, "path": "/3/0", "reason": reason}]
    assert rows("SELECT path, value FROM telemetry ORDER BY path") == [
        ("/3/0/0", "Zephyr"),
        ("/3/0/17", "qemu_x86"),
    ]
    assert rows("SELECT reason FROM dead_letter") == [(reason,)]
    assert rows(
        "SELECT event_type, count(r.*) FROM event e JOIN event_resource r ON r.event_id = e.id GROUP BY 1"
    ) == [("composite", 2)]


def test_a_value_of_every_type_gets_its_own_column(replica: Replica, rows: Rows) -> None:
    values = [
        ("INTEGER", "-9223372036854775808"),
        ("UNSIGNED_INTEGER", "18446744073709551615"),
        ("FLOAT", "1.5"),
        ("STRING", "🛰️ it's"),
        ("BOOLEAN", False),
        ("TIME", 1795344335807),
        ("OPAQUE", "00ff"),
        ("OBJLNK", {"objectId": 3, "objectInstanceId": 0}),
        ("CORELINK", "</3/0>"),
    ]
    resources = [
        {"kind": "singleResource", "id": number, "type": data_type, "value": raw}
        for number, (data_type, raw) in enumerate(values)
    ]
    node = {"kind": "instance", "id": 4, "resources": resources}
    assert post(replica(Kind.COMPOSITE), {"ep": "x", "val": {"/40000/4": node}}).json == {
        "stored": 1, "skipped": 0, "mark": None, "rejected": []
    }  # fmt: skip
    columns = (
        "integer_value, unsigned_value, float_value, string_value, boolean_value, time_value, opaque_value,"
    )
    columns += " object_link_value, core_link_value"
    stored = rows(f"SELECT {columns} FROM resource ORDER BY id")
    assert [row[number] for number, row in enumerate(stored)] == [
        -(2**63), 2**64 - 1, 1.5, "🛰️ it's", False, datetime(2026, 11, 22, 10, 45, 35, 807000, UTC),
        b"\x00\xff", "3:0", "</3/0>",
    ]  # fmt: skip
    assert all(sum(cell is not None for cell in row) == 1 for row in stored)
    assert rows("SELECT data_type FROM resource_type ORDER BY resource_id") == [(name,) for name, _ in values]


def test_the_object_instance_and_resource_instances_are_kept(replica: Replica, rows: Rows) -> None:
    node = {"kind": "multiResource", "id": 7, "type": "INTEGER", "values": {"0": "3800", "1": "5000"}}
    post(replica(Kind.SINGLE), {"ep": "x", "obj_id": 3, "inst_id": 2, "val": node})
    assert rows("SELECT path, number FROM telemetry ORDER BY path") == [
        ("/3/2/7/0", 3800),
        ("/3/2/7/1", 5000),
    ]
    assert len(rows("SELECT * FROM resource_latest")) == 2


def test_a_value_has_the_devices_time_and_the_time_of_storing(replica: Replica, rows: Rows) -> None:
    post(replica(Kind.SINGLE), value(1, ts=NOW_MS - 3_600_000))
    [(time, stored_at, device_time)] = rows("SELECT time, stored_at, device_time_ms FROM resource")
    assert time == datetime.fromtimestamp((NOW_MS - 3_600_000) / 1000, UTC)
    assert stored_at > time + timedelta(minutes=59)
    assert device_time is None


@pytest.mark.parametrize(
    "ts",
    [-62135596800000, 300000 * 31556952000, 0, NOW_MS + 2 * 86_400_000, NOW_MS + 23 * 3_600_000, -(2**63)],
    ids=["year 1", "year 300000", "1970", "in two days", "23 hours ahead", "the smallest there is"],
)
def test_a_time_not_to_be_believed_is_kept_aside_and_never_the_latest(
    replica: Replica, rows: Rows, ts: int
) -> None:
    client = replica(Kind.SINGLE)
    post(client, value(1, ts=NOW_MS - 1000))
    assert post(client, value(2, ts=ts)).status_code == 200
    [(time, device_time)] = rows("SELECT time, device_time_ms FROM resource WHERE float_value = 2")
    assert abs(time - datetime.now(UTC)) < timedelta(minutes=1)
    assert device_time == ts
    assert rows("SELECT number FROM telemetry_latest") == [(1.0,)]


def test_a_clock_that_is_minutes_ahead_is_believed(replica: Replica, rows: Rows) -> None:
    ahead = int(datetime.now(UTC).timestamp() * 1000) + 180_000
    post(replica(Kind.SINGLE), value(1, ts=ahead))
    assert rows("SELECT device_time_ms, extract(epoch FROM time) * 1000 FROM resource") == [(None, ahead)]


def test_the_latest_value_is_the_newest_by_time_not_by_arrival(replica: Replica, rows: Rows) -> None:
    client = replica(Kind.SINGLE)
    post(client, [value(1, ts=NOW_MS - 5000), value(3, ts=NOW_MS - 1000), value(2, ts=NOW_MS - 3000)])
    post(client, value(0, ts=NOW_MS - 9000))
    assert rows("SELECT number FROM telemetry_latest") == [(3.0,)]
    post(client, value(4, ts=NOW_MS - 1000))
    assert rows("SELECT number FROM telemetry_latest") == [(4.0,)]


@pytest.mark.parametrize("count", [3, 100])
def test_of_values_of_the_same_time_the_last_is_the_latest(replica: Replica, rows: Rows, count: int) -> None:
    post(replica(Kind.SINGLE), [value(n, ts=NOW_MS - 1000) for n in range(count)])
    assert rows("SELECT number FROM telemetry_latest") == [(count - 1.0,)]


def test_the_latest_value_is_one_index_look_up(replica: Replica, rows: Rows, database: Database) -> None:
    post(replica(Kind.SINGLE), [value(n, endpoint=f"sim-{n:04}") for n in range(500)])
    with psycopg.connect(database.grafana, autocommit=True) as connection:
        plan = connection.execute(
            "EXPLAIN (FORMAT json) SELECT float_value FROM resource_latest"
            " WHERE endpoint_id = 7 AND resource_type_id = 1 AND object_instance_id = 0"
            " AND resource_instance_id IS NULL"
        ).fetchone()
    assert plan is not None
    node = plan[0][0]["Plan"]
    assert node["Node Type"] == "Index Scan"
    assert node["Plan Rows"] == 1


@pytest.mark.parametrize("count", [3, 100])
def test_values_are_counted_as_they_are_stored(replica: Replica, count: int) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("flownexus_store_values_total") or 0

    before = counted()
    body = envelope([*(value(n) for n in range(count)), {"ep": "no-value"}])
    for _ in range(2):  # what was stored before is not stored again
        assert post(replica(Kind.SINGLE), body).status_code == 200
    assert counted() - before == count


# Once


def test_an_envelope_posted_again_is_stored_once(replica: Replica, rows: Rows) -> None:
    client = replica(Kind.SINGLE)
    body = envelope([value(n) for n in range(10)])
    assert post(client, body).json == {"stored": 10, "skipped": 0, "mark": 10, "rejected": []}
    assert post(client, body).json == {"stored": 0, "skipped": 10, "mark": 10, "rejected": []}
    longer = body | {"items": [*body["items"], value(10), value(11)]}
    assert post(client, longer).json == {"stored": 2, "skipped": 10, "mark": 12, "rejected": []}
    assert rows("SELECT number FROM telemetry ORDER BY number") == [(float(n),) for n in range(12)]


@pytest.mark.parametrize("kind", Kind)
def test_an_envelope_posted_to_two_replicas_at_the_same_moment_is_stored_once(
    replica: Replica, rows: Rows, kind: Kind
) -> None:
    item = {
        Kind.SINGLE: value(1),
        Kind.COMPOSITE: {"ep": "x", "val": {"/3303/0/5700": value(1)["val"]}},
        Kind.REGISTRATION: event(0, id="r1", lifetime=60, links=[{"url": "/3/0"}]),
    }[kind]
    clients = [replica(kind), replica(kind)]
    together = threading.Barrier(2)

    def send(client: FlaskClient, body: Any) -> Any:
        together.wait()
        answer = post(client, body)
        assert answer.status_code == 200, answer.json
        return answer.json

    with ThreadPoolExecutor(2) as threads:
        for _ in range(20):
            body = envelope([item] * 5)
            answers = list(threads.map(send, clients, [body, body]))
            assert sorted(answer["stored"] for answer in answers) == [0, 5]
    assert rows("SELECT count(*) FROM resource") == [(100,)]


def test_numbers_are_counted_apart_by_source_kind_and_lane(replica: Replica, rows: Rows) -> None:
    client, source = replica(Kind.SINGLE), str(uuid.uuid4())
    for body in (
        envelope([value(1)], source=source),
        envelope([value(2)], source=source, lane=1),
        envelope([value(3)]),
    ):
        answer = post(client, body).json
        assert answer is not None
        assert answer["stored"] == 1
    answer = post(replica(Kind.REGISTRATION), envelope([event(0)], source=source)).json
    assert answer is not None
    assert answer["stored"] == 1


def test_a_gap_in_numbers_is_stored_and_counted(replica: Replica, rows: Rows) -> None:
    client, source = replica(Kind.SINGLE), str(uuid.uuid4())
    post(client, envelope([value(1)], source=source))
    assert post(client, envelope([value(2)], first_seq=5, source=source)).json == {
        "stored": 1, "skipped": 0, "mark": 5, "rejected": []
    }  # fmt: skip
    assert rows("SELECT mark, gaps FROM delivery_mark") == [(5, 3)]


def test_two_writers_of_the_same_new_endpoints_and_types_do_not_fail(replica: Replica, rows: Rows) -> None:
    clients = [replica(Kind.SINGLE) for _ in range(4)]
    bodies = [
        envelope([value(n, endpoint=f"sim-{(n * 7 + shift) % 100:04}") for n in range(100)])
        for shift in range(4)
    ]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(post, clients, bodies))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert rows("SELECT count(*), count(DISTINCT endpoint) FROM telemetry") == [(400, 100)]


# Registration


def test_a_registration_tells_all_of_the_endpoint_and_queues_its_plan(replica: Replica, rows: Rows) -> None:
    client = replica(Kind.REGISTRATION)
    told: dict[str, Any] = {
        "id": "aBc",
        "address": "127.0.0.1:40000",
        "lifetime": 300,
        "binding": "UQ",
        "version": "1.1",
        "links": [
            {"url": url, "attributes": {}} for url in ("/", "/1/0", "/3/0", "/3303/0", "/3303/1", "/5/0")
        ],
    }
    post(client, envelope([event(0, **told)]))
    [row] = rows(
        "SELECT registered, registration_id, address, lifetime, binding, lwm2m_version, objects,"
        " contact_count, expires_at - last_seen_at FROM endpoint"
    )
    assert row == (
        True, "aBc", "127.0.0.1:40000", 300, "UQ", "1.1", ["/1/0", "/3/0", "/3303/0", "/3303/1", "/5/0"], 1,
        timedelta(seconds=300),
    )  # fmt: skip
    assert rows("SELECT path, time_value FROM telemetry JOIN resource USING (time)") == [
        ("/10240/0/0", datetime.fromtimestamp(NOW_MS / 1000, UTC))
    ]
    assert rows("SELECT event_type FROM event") == [("registered",)]
    assert rows("SELECT operation_type, path, registration_id FROM endpoint_operation ORDER BY id") == [
        ("observe", "/3303/0/5700", "aBc"),
        ("observe", "/3303/1/5700", "aBc"),
        ("observe", "/5/0/3", "aBc"),
        ("observe", "/5/0/5", "aBc"),
        ("read", "/3", "aBc"),
    ]


def test_the_plan_is_queued_once_a_registration_and_anew_for_the_next(replica: Replica, rows: Rows) -> None:
    client = replica(Kind.REGISTRATION)
    links = [{"url": "/3/0"}]
    post(client, [event(0, id="one", links=links), event(0, id="one", links=links)])
    post(client, event(0, id="two", links=links))
    assert rows("SELECT path, registration_id, status FROM endpoint_operation ORDER BY id") == [
        ("/3", "one", "CANCELLED"),
        ("/3", "two", "QUEUED"),
    ]


def test_unregistered_counts_only_for_the_current_registration(replica: Replica, rows: Rows) -> None:
    client = replica(Kind.REGISTRATION)
    post(client, [event(0, id="one"), event(0, id="two"), event(1, id="one")])
    assert rows("SELECT registered, registration_id FROM endpoint") == [(True, "two")]
    post(client, event(1, id="two"))
    assert rows("SELECT registered FROM endpoint") == [(False,)]


def test_an_update_keeps_what_it_does_not_say(replica: Replica, rows: Rows) -> None:
    client = replica(Kind.REGISTRATION)
    post(client, event(0, id="one", lifetime=60, address="1.2.3.4:5", links=[{"url": "/3/0"}]))
    post(client, event(2, id="one", address="1.2.3.4:6"))
    assert rows("SELECT registered, lifetime, address, objects, contact_count FROM endpoint") == [
        (True, 60, "1.2.3.4:6", ["/3/0"], 2)
    ]


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.REGISTRATION])
def test_epoch_milliseconds_of_a_registration_overflow_nothing_at_either_url(
    replica: Replica, rows: Rows, kind: Kind
) -> None:
    """The peer's server posts registrations to the single URL, and its integer column could not hold them."""
    body = (
        b'{"ep":"sim-0001","obj_id":10240,'
        b'"val":{"kind":"singleResource","id":0,"type":"TIME","value":1795344335807}}'
    )
    answer = post(replica(kind), body).json
    assert answer is not None
    assert answer["stored"] == 1
    assert rows("SELECT registered FROM endpoint WHERE name = 'sim-0001'") == [(True,)]
    assert rows("SELECT path, value FROM telemetry") == [("/10240/0/0", "2026-11-22 10:45:35.807+00")]


def test_presence_follows_receipt_not_the_value_of_the_event(replica: Replica, rows: Rows) -> None:
    late = event(1, id="one")
    late["val"] = late["val"] | {"value": NOW_MS - 86_400_000}
    post(replica(Kind.REGISTRATION), [event(0, id="one"), late])
    assert rows("SELECT registered FROM endpoint") == [(False,)]


def test_the_registration_function_refuses_other_values(replica: Replica, rows: Rows) -> None:
    answer = post(replica(Kind.REGISTRATION), [value(1), event(0)]).json
    assert answer is not None
    assert answer["stored"] == 1
    assert [rejected["index"] for rejected in answer["rejected"]] == [0]
    assert "not a registration event" in answer["rejected"][0]["reason"]


def told(resource_id: int, registered_ms: int) -> dict[str, Any]:
    """Return an event as a Leshan tells it that knows no registration ids: with the registration's date."""
    node = {"kind": "singleResource", "id": resource_id, "type": "TIME", "value": registered_ms}
    return {"ep": "sim-0001", "obj_id": 10240, "val": node}


def test_without_ids_an_unregistered_that_is_overtaken_by_the_next_registered_does_not_count(
    replica: Replica, rows: Rows
) -> None:
    client, first, second = replica(Kind.SINGLE), NOW_MS - 60_000, NOW_MS - 1_000
    for each in (told(0, first), told(0, second), told(1, first)):
        assert post(client, each).status_code == 200
    assert rows("SELECT registered FROM endpoint") == [(True,)]
    post(client, told(1, second))
    assert rows("SELECT registered FROM endpoint") == [(False,)]
    for each in (told(0, NOW_MS), told(0, second), told(1, second)):  # an older registered, late
        post(client, each)
    assert rows("SELECT registered FROM endpoint") == [(True,)]


def test_without_ids_a_date_far_in_the_future_holds_back_no_later_unregistered(
    replica: Replica, rows: Rows
) -> None:
    client = replica(Kind.SINGLE)
    for each in (told(0, NOW_MS + 10**10), told(1, NOW_MS)):
        post(client, each)
    assert rows("SELECT registered FROM endpoint") == [(False,)]


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_registration_expires_by_one_clock_whatever_the_senders_says(
    replica: Replica, rows: Rows, hours: int
) -> None:
    client, ts = replica(Kind.REGISTRATION), NOW_MS + hours * 3_600_000
    for resource_id in (0, 2):
        post(client, event(resource_id, id="one", lifetime=300) | {"ts": ts})
        assert rows(
            "SELECT expires_at - now() BETWEEN interval '200 s' AND interval '300 s' FROM endpoint"
        ) == [(True,)]


@pytest.mark.parametrize("resource_id", [0, 2])
def test_a_device_whose_lifetime_nobody_told_expires_after_a_day(
    replica: Replica, rows: Rows, resource_id: int
) -> None:
    """86,400 s is LwM2M's default."""
    post(replica(Kind.SINGLE), told(resource_id, NOW_MS))
    assert rows("SELECT lifetime, expires_at - last_seen_at FROM endpoint") == [(None, timedelta(days=1))]


# Bad input


def test_one_item_by_itself_that_is_rejected_is_a_422_and_a_dead_letter(replica: Replica, rows: Rows) -> None:
    bad = value("nan")  # type: ignore[arg-type]
    client = replica(Kind.SINGLE)
    answer = post(client, bad)
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert answer.json is not None
    assert '"nan" is not FLOAT' in answer.json["detail"]
    assert rows("SELECT count(*) FROM dead_letter") == [(1,)]
    assert [post(client, wrap).status_code for wrap in ([bad], envelope([bad]))] == [200, 200]


@pytest.mark.parametrize("val", [{}, {"/3/0": None}, {"kind": "obj", "id": 3, "instances": []}])
def test_a_composite_that_holds_no_value_is_not_stored(replica: Replica, rows: Rows, val: Any) -> None:
    answer = post(replica(Kind.COMPOSITE), envelope([{"ep": "x", "val": val}])).json
    assert answer == {"stored": 0, "skipped": 0, "mark": 1, "rejected": []}
    assert rows("SELECT count(*) FROM event") == [(0,)]


def test_a_bad_item_never_holds_up_the_rest(replica: Replica, rows: Rows) -> None:
    source = str(uuid.uuid4())
    items = [value(1), {"ep": "x"}, value(2), 7, value(3) | {"obj_id": 70000}, value("nan"), value(4)]  # type: ignore[arg-type]
    answer = post(replica(Kind.SINGLE), envelope(items, first_seq=11, source=source)).json
    assert answer is not None
    assert (answer["stored"], answer["mark"]) == (3, 17)
    assert [rejected["index"] for rejected in answer["rejected"]] == [1, 3, 4, 5]
    assert rows("SELECT number FROM telemetry ORDER BY 1") == [(1.0,), (2.0,), (4.0,)]
    dead = rows("SELECT kind, source, lane, seq, item FROM dead_letter ORDER BY seq")
    assert [row[:4] for row in dead] == [("single", uuid.UUID(source), 0, seq) for seq in (12, 14, 15, 16)]
    assert json.loads(json.loads(dead[0][4])) == {"ep": "x"}
    assert json.loads(dead[3][4])["node"]["value"] == "nan"


@pytest.mark.parametrize(
    "bad",
    ["nan", "1e400", str(2**64), "a\0b", 7],
)
def test_one_bad_resource_of_a_composite_goes_to_the_dead_letters_alone(
    replica: Replica, rows: Rows, bad: Any
) -> None:
    data_type = {"a\0b": "STRING", 7: "STRING", str(2**64): "UNSIGNED_INTEGER"}.get(bad, "FLOAT")
    resources = [
        {"kind": "singleResource", "id": 1, "type": "STRING", "value": "good"},
        {"kind": "singleResource", "id": 2, "type": data_type, "value": bad},
        {"kind": "singleResource", "id": 3, "type": "STRING", "value": "good too"},
    ]
    node = {"kind": "obj", "id": 3, "instances": [{"kind": "instance", "id": 0, "resources": resources}]}
    answer = post(replica(Kind.COMPOSITE), {"ep": "x", "val": node}).json
    assert answer is not None
    assert answer["stored"] == 1
    assert [rejected["path"] for rejected in answer["rejected"]] == ["/3/0/2"]
    assert rows("SELECT path FROM telemetry ORDER BY 1") == [("/3/0/1",), ("/3/0/3",)]
    assert len(rows("SELECT * FROM dead_letter")) == 1


def test_what_a_device_sent_that_gives_no_value_ends_in_the_dead_letters(
    replica: Replica, rows: Rows
) -> None:
    failure = {"reason": "it cannot be read", "path": "/3303/0/5700", "format": 0, "payload": "77", "size": 1}
    items = [value(1), {"ep": "x", "ts": 1795344335807, "failure": failure}, value(2)]
    answer = post(replica(Kind.SINGLE), envelope(items)).json
    assert answer is not None
    assert (answer["stored"], answer["mark"]) == (2, 3)
    assert rows("SELECT number FROM telemetry ORDER BY 1") == [(1.0,), (2.0,)]
    [(reason, letter)] = rows("SELECT reason, item FROM dead_letter")
    assert reason == "it cannot be read"
    assert json.loads(letter) == {
        "ep": "x",
        "ts": 1795344335807,
        "path": "/3303/0/5700",
        "node": {"format": 0, "payload": "77", "size": 1, "suppressed": 0},
    }


def test_a_value_of_the_farthest_time_there_is_is_kept_under_its_receipt(
    replica: Replica, rows: Rows
) -> None:
    assert post(replica(Kind.SINGLE), [value(1) | {"ts": 2**63 - 1}]).status_code == 200
    assert rows("SELECT device_time_ms, time > now() - interval '1 hour' FROM resource") == [
        (2**63 - 1, True)
    ]


def test_what_postgresql_refuses_ends_alone_in_the_dead_letters(
    replica: Replica, rows: Rows, database: Database
) -> None:
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute("ALTER TABLE resource ADD CONSTRAINT unforeseen CHECK (float_value <> 13)")
    source = str(uuid.uuid4())
    items = [value(n, endpoint=f"sim-{n:04}") for n in range(30)]
    answer = post(replica(Kind.SINGLE), envelope(items, source=source)).json
    assert answer is not None
    assert (answer["stored"], answer["mark"]) == (29, 30)
    assert [rejected["index"] for rejected in answer["rejected"]] == [13]
    assert "unforeseen" in answer["rejected"][0]["reason"]
    assert rows("SELECT count(*) FROM resource") == [(29,)]
    assert rows("SELECT seq FROM dead_letter") == [(14,)]


def test_what_an_index_cannot_hold_ends_alone_in_the_dead_letters(
    replica: Replica, rows: Rows, database: Database
) -> None:
    """PostgreSQL's class 54, program limit exceeded, is an operational error to psycopg, but never ends."""
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute("CREATE INDEX unforeseen ON resource (string_value) WHERE string_value <> ''")
    text = "".join(chr(0x4E00 + number * 7 % 20000) for number in range(9000))  # does not compress
    node = {"kind": "singleResource", "id": 14, "type": "STRING", "value": text}
    body = envelope([value(1), {"ep": "x", "obj_id": 3, "val": node}, value(2)])
    answer = post(replica(Kind.SINGLE), body)
    assert answer.status_code == 200, answer.json
    assert answer.json is not None
    assert (answer.json["stored"], answer.json["mark"]) == (2, 3)
    assert "index row" in answer.json["rejected"][0]["reason"]
    assert rows("SELECT seq FROM dead_letter") == [(2,)]


@pytest.fixture
def slow(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replica]:
    """Make replicas where storing the value 13 takes longer than a statement may."""
    monkeypatch.setattr("flownexus.store.pool.STATEMENT_TIMEOUT_S", 0.4)
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE resource ADD CONSTRAINT slow CHECK (float_value <> 13 OR pg_sleep(60) IS NOT NULL)"
        )
    with open_pool(database.ingest, 4, "test") as pool:
        yield lambda kind: create_app(
            kind, pool, Telemetry(timedelta(days=365)), None, guard_of("secret")
        ).test_client()


def test_a_batch_that_takes_postgresql_too_long_is_for_its_sender_to_halve(slow: Replica, rows: Rows) -> None:
    answer = post(slow(Kind.SINGLE), envelope([value(n) for n in (12, 13, 14)]))
    assert (answer.status_code, "Retry-After" in answer.headers) == (413, False)
    assert answer.json is not None
    assert "3 items" in answer.json["detail"]
    assert rows("SELECT count(*) FROM resource") == [(0,)]


def test_one_item_that_takes_postgresql_too_long_is_a_dead_letter_and_its_lane_goes_on(
    slow: Replica, rows: Rows
) -> None:
    client, source = slow(Kind.SINGLE), str(uuid.uuid4())
    answer = post(client, envelope([value(13)], source=source))
    assert answer.status_code == 200, answer.json
    assert answer.json is not None
    assert (answer.json["stored"], answer.json["mark"]) == (0, 1)
    assert "too long" in answer.json["rejected"][0]["reason"]
    assert post(client, envelope([value(14)], first_seq=2, source=source)).status_code == 200
    assert rows("SELECT number FROM telemetry") == [(14.0,)]
    assert rows("SELECT seq FROM dead_letter") == [(1,)]


def test_one_body_that_takes_postgresql_too_long_does_not_hold_up_those_beside_it(
    slow: Replica, rows: Rows
) -> None:
    client = slow(Kind.SINGLE)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: post(client, [value(float(n))]).get_json(), range(20)))
    assert [n for n, answer in enumerate(answers) if answer["rejected"]] == [13]
    assert rows("SELECT count(*) FROM resource") == [(19,)]


@pytest.mark.parametrize("text", ["id", "address", "binding", "version"])
def test_an_endless_text_of_a_registration_is_rejected_by_name(
    replica: Replica, rows: Rows, text: str
) -> None:
    body = envelope([event(0, "first"), event(0, "second", **{text: "x" * 12_000}), event(0, "third")])
    answer = post(replica(Kind.REGISTRATION), body)
    assert answer.status_code == 200, answer.json
    assert answer.json is not None
    [rejected] = answer.json["rejected"]
    assert f"reg.{text} has 12000 bytes" in rejected["reason"]
    assert rows("SELECT name FROM endpoint ORDER BY id") == [("first",), ("third",)]


def test_one_registration_makes_a_bounded_number_of_operations(replica: Replica, rows: Rows) -> None:
    links = [{"url": f"/3303/{number}"} for number in range(60_000)]
    answer = post(replica(Kind.REGISTRATION), envelope([event(0, id="one", links=links)]))
    assert answer.json is not None
    assert answer.json["stored"] == 1
    [rejected] = answer.json["rejected"]
    assert "60000 objects and instances" in rejected["reason"]
    assert "first 1000" in rejected["reason"]
    assert rows("SELECT registered, cardinality(objects) FROM endpoint") == [(True, 1000)]
    assert rows("SELECT count(*) FROM endpoint_operation") == [(1000,)]


def test_a_long_plan_makes_a_bounded_number_of_operations(
    replica: Replica, rows: Rows, database: Database
) -> None:
    with psycopg.connect(database.owner, autocommit=True) as connection:
        paths = [f"/3303/*/{5601 + number}" for number in range(9)]
        plan = json.dumps([{"operation": "observe", "paths": paths}])
        connection.execute("UPDATE profile SET plan = %s", (plan,))
    links = [f"/3303/{number}" for number in range(500)]
    post(replica(Kind.REGISTRATION), event(0, id="one", links=links))
    assert rows("SELECT count(*) FROM endpoint_operation") == [(1000,)]


# Bugs of ours


class Poison:
    """Makes storing the items of some endpoints a bug of ours, after the rest of their batch is written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.endpoints: set[str] = set()
        self.everything = False
        self.error: Exception = UnicodeEncodeError("utf-8", "secret\ud83d", 6, 7, "surrogates not allowed")
        self.transactions = 0
        self.savepoints = 0
        store, run, savepoint = Telemetry.store, Transaction.run, Transaction.savepoint

        def store_or_not(
            telemetry: Telemetry, current: Transaction, items: Sequence[Item], *more: Any
        ) -> Any:
            stored = store(telemetry, current, items, *more)
            if self.everything or self.endpoints & {item.endpoint for item in items}:
                raise self.error
            return stored

        def count_transaction(current: Transaction, work: Any) -> Any:
            self.transactions += 1
            return run(current, work)

        def count_savepoint(current: Transaction, **how: Any) -> Any:
            self.savepoints += 1
            return savepoint(current, **how)

        monkeypatch.setattr(Telemetry, "store", store_or_not)
        monkeypatch.setattr(Transaction, "run", count_transaction)
        monkeypatch.setattr(Transaction, "savepoint", count_savepoint)


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    return Poison(monkeypatch)


def item_of(kind: Kind, endpoint: str, number: float = 1) -> dict[str, Any]:
    if kind is Kind.REGISTRATION:
        return event(0, endpoint, id=endpoint)
    single = value(number, endpoint)
    return single if kind is Kind.SINGLE else {"ep": endpoint, "val": {"/3303/0/5700": single["val"]}}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("count", [3, 60])
def test_an_item_that_meets_a_bug_of_ours_ends_alone_in_the_dead_letters(
    replica: Replica, rows: Rows, poison: Poison, caplog: pytest.LogCaptureFixture, kind: Kind, count: int
) -> None:
    client, source = replica(kind), str(uuid.uuid4())
    poison.endpoints = {"sim-0002"}
    items = [item_of(kind, f"sim-{number:04}") for number in range(count)]
    body = envelope(items, source=source)
    answer = post(client, body).json
    assert answer is not None
    assert (answer["stored"], answer["mark"]) == (count - 1, count)
    [rejected] = answer["rejected"]
    assert rejected["index"] == 2
    [(seq, reason, letter)] = rows("SELECT seq, reason, item FROM dead_letter")
    assert (seq, reason) == (3, rejected["reason"])
    assert "UnicodeEncodeError" in reason
    assert json.loads(letter)["ep"] == "sim-0002"
    assert "secret" not in reason + letter
    assert "Traceback" not in reason + letter
    assert rows("SELECT count(*), count(DISTINCT endpoint_id) FROM resource") == [(count - 1, count - 1)]
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert record.exc_info[1] is poison.error
    told = vars(record)
    assert (told["endpoint"], told["place"], told["seq"]) == ("sim-0002", 2, 3)

    again = post(client, body).json
    assert again is not None
    assert (again["stored"], again["skipped"]) == (0, count)
    after = post(client, envelope([item_of(kind, "sim-0000")], first_seq=count + 1, source=source)).json
    assert after == {"stored": 1, "skipped": 0, "mark": count + 1, "rejected": []}
    assert rows("SELECT count(*) FROM dead_letter") == [(1,)]


@pytest.mark.parametrize("count", [3, 60])
def test_a_text_that_is_none_in_the_midst_of_a_statement_or_copy_is_set_aside(
    pool: Pool, rows: Rows, count: int
) -> None:
    path = LwM2mPath(3, 0, 0)
    texts = ["good"] * (count - 1) + ["half a character: \ud83d"]
    items = [
        Item(f"sim-{number:04}", None, None, (Reading(path, DataType.STRING, text),))
        for number, text in enumerate(texts)
    ]
    result = Deliveries(pool, Telemetry(timedelta(days=365)), Kind.SINGLE)._store(items, None)
    assert result.stored == list(range(count - 1))
    assert rows("SELECT count(*) FROM resource") == [(count - 1,)]
    [(reason, letter)] = rows("SELECT reason, item FROM dead_letter")
    assert reason == "a bug of Flow Nexus: UnicodeEncodeError"
    assert json.loads(letter)["node"]["value"] == texts[-1]


def test_one_item_by_itself_that_meets_a_bug_of_ours_is_a_422_and_a_dead_letter(
    replica: Replica, rows: Rows, poison: Poison
) -> None:
    poison.endpoints = {"sim-0002"}
    answer = post(replica(Kind.SINGLE), value(1, "sim-0002"))
    assert answer.status_code == 422
    assert answer.json is not None
    assert "UnicodeEncodeError" in answer.json["detail"]
    assert rows("SELECT count(*) FROM dead_letter") == [(1,)]
    assert rows("SELECT count(*) FROM endpoint") == [(0,)]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("count", [1, 4000])
def test_a_bug_that_hits_everything_loses_nothing_and_is_found_soon(
    replica: Replica, rows: Rows, poison: Poison, kind: Kind, count: int
) -> None:
    client = replica(kind)
    poison.everything = True
    body = envelope([item_of(kind, f"sim-{number:04}") for number in range(count)])
    assert post(client, body).status_code == 500
    assert poison.transactions == 2
    assert poison.savepoints <= count.bit_length() + 2
    for table in ("resource", "dead_letter", "delivery_mark", "endpoint"):
        assert rows(f"SELECT count(*) FROM {table}") == [(0,)]
    poison.everything = False
    answer = post(client, body).json
    assert answer is not None
    assert (answer["stored"], answer["skipped"]) == (count, 0)


def test_of_thousands_of_items_the_one_that_meets_a_bug_is_found_by_halves(
    replica: Replica, rows: Rows, poison: Poison
) -> None:
    poison.endpoints = {"sim-2345"}
    answer = post(replica(Kind.SINGLE), envelope([value(n, f"sim-{n:04}") for n in range(4000)])).json
    assert answer is not None
    assert (answer["stored"], [each["index"] for each in answer["rejected"]]) == (3999, [2345])
    assert poison.transactions == 2
    assert poison.savepoints <= 2 * 12 + 2  # two for each halving, the first try, and the probe


def test_items_that_meet_a_bug_are_kept_whole_before_what_cannot_be_read(
    replica: Replica, rows: Rows, poison: Poison
) -> None:
    poison.endpoints = {f"sim-{number:04}" for number in range(MAX_DEAD_LETTERS_PER_BODY)}
    items = [7] * 200 + [value(1, endpoint) for endpoint in sorted(poison.endpoints)] + [value(2, "good")]
    answer = post(replica(Kind.SINGLE), envelope(items)).json
    assert answer is not None
    assert (answer["stored"], answer["more_rejected"]) == (1, 200)
    letters = [json.loads(item) for (item,) in rows("SELECT item FROM dead_letter WHERE reason LIKE '%bug%'")]
    assert {letter["ep"] for letter in letters} == poison.endpoints


def test_a_bug_that_more_items_meet_than_are_kept_loses_nothing(
    replica: Replica, rows: Rows, poison: Poison
) -> None:
    poison.endpoints = {f"sim-{number:04}" for number in range(MAX_DEAD_LETTERS_PER_BODY + 1)}
    items = [value(n, f"sim-{n:04}") for n in range(2000)]
    assert post(replica(Kind.SINGLE), envelope(items)).status_code == 500
    assert poison.savepoints < 2.2 * MAX_DEAD_LETTERS_PER_BODY
    for table in ("resource", "dead_letter", "delivery_mark"):
        assert rows(f"SELECT count(*) FROM {table}") == [(0,)]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError("too many open files"), 500),
        (MemoryError(), 500),
        (psycopg.InterfaceError("the cursor is closed"), 503),
        (psycopg.OperationalError("the server is away"), 503),
        (LockedError(), 503),
        (TooMuchError(), 413),
    ],
)
def test_an_error_that_says_nothing_of_an_item_rejects_none(
    replica: Replica, rows: Rows, poison: Poison, error: Exception, status: int
) -> None:
    poison.endpoints, poison.error = {"sim-0002"}, error
    body = envelope([value(1, "sim-0001"), value(2, "sim-0002")])
    assert post(replica(Kind.SINGLE), body).status_code == status
    assert (poison.transactions, poison.savepoints) == (1, 0)
    for table in ("resource", "dead_letter", "delivery_mark"):
        assert rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_bug_that_one_body_meets_does_not_hold_up_those_beside_it(
    replica: Replica, rows: Rows, poison: Poison
) -> None:
    poison.endpoints = {"sim-0013"}
    client = replica(Kind.SINGLE)
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda n: post(client, value(n, f"sim-{n:04}")), range(40)))
    assert [n for n, answer in enumerate(answers) if answer.status_code != 200] == [13]
    assert rows("SELECT count(*) FROM resource") == [(39,)]
    assert rows("SELECT count(*) FROM dead_letter") == [(1,)]


def test_bodies_stored_one_by_one_get_each_their_own_error(
    pool: Pool, rows: Rows, poison: Poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed before the one that fails is told to be so."""
    store = Deliveries._store

    def too_much_together(self: Deliveries, entries: Entries, *more: Any, **named: Any) -> Any:
        if len(entries) > 1:
            raise TooMuchError
        return store(self, entries, *more, **named)

    monkeypatch.setattr(Deliveries, "_store", too_much_together)
    poison.endpoints, poison.error = {"sim-0001"}, OSError()
    path = LwM2mPath(3303, 0, 5700)
    bodies = [
        [Item(f"sim-{number:04}", None, None, (Reading(path, DataType.FLOAT, 1.0),))] for number in range(3)
    ]
    deliveries = Deliveries(pool, Telemetry(timedelta(days=365)), Kind.SINGLE)
    first, second, third = deliveries._store_together(bodies)
    assert second is poison.error
    for result in (first, third):
        assert isinstance(result, DeliveryResult)
        assert result.stored == [0]
    assert rows("SELECT count(*) FROM resource") == [(2,)]


def test_a_bug_after_the_commit_stores_nothing_twice(
    replica: Replica, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def keep(*_: Any) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr(Catalog, "keep", keep)
    assert post(replica(Kind.SINGLE), [value(1), value(2)]).status_code == 200
    assert rows("SELECT count(*) FROM resource") == [(2,)]
    assert any(record.exc_info for record in caplog.records)


SEVERAL = {
    "/3303/0/5700": {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "1.5"},
    "/3/0/13": {"kind": "singleResource", "id": 13, "type": "TIME", "value": NOW_MS},
    "/3/0/11": {"kind": "multiResource", "id": 11, "type": "INTEGER", "values": {"0": "7", "3": "8"}},
    "/0/0/5": {"kind": "singleResource", "id": 5, "type": "OPAQUE", "value": "5ec2e7"},
}


@pytest.mark.parametrize(
    ("kind", "item", "event_types"),
    [
        (Kind.SINGLE, value(1.5, "sim-0001", ts=NOW_MS), []),
        (Kind.COMPOSITE, {"ep": "sim-0001", "val": SEVERAL, "ts": NOW_MS}, [("composite",)]),
        (Kind.SINGLE, {"ep": "sim-0001", "obj_id": 3, "val": SEVERAL["/3/0/11"]}, [("composite",)]),
    ],
)
def test_an_item_that_met_a_bug_is_delivered_again_whole_once_that_is_mended(
    replica: Replica, rows: Rows, poison: Poison, pool: Pool, kind: Kind, item: Any, event_types: list[Any]
) -> None:
    poison.endpoints = {"sim-0001"}
    assert post(replica(kind), [item]).status_code == 200
    [(id_, letter)] = rows("SELECT id, item FROM dead_letter")
    assert "5ec2e7" not in letter
    poison.endpoints = set()
    again, body = replay_body(id_, str(kind), letter)
    deliveries = Deliveries(pool, Telemetry(timedelta(days=365)), again)
    assert deliveries.deliver(body).stored == [0]
    assert deliveries.deliver(body).skipped == 1
    assert rows("SELECT event_type FROM event") == event_types
    replayed = rows("SELECT path, value FROM telemetry ORDER BY path")
    assert post(replica(kind), [item | {"ep": "sim-0002"}]).status_code == 200
    assert rows("SELECT path, value FROM telemetry WHERE endpoint = 'sim-0002' ORDER BY path") == replayed


@pytest.mark.parametrize("kind", Kind)
def test_an_item_whose_reading_meets_a_bug_of_ours_ends_alone_in_the_dead_letters_as_it_came(
    replica: Replica,
    rows: Rows,
    poison: Poison,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: Kind,
) -> None:
    check = webhook._check

    def check_or_not(endpoint: str, time_ms: int | None) -> None:
        if poison.everything or endpoint in poison.endpoints:
            raise poison.error
        check(endpoint, time_ms)

    monkeypatch.setattr(webhook, "_check", check_or_not)
    client = replica(kind)
    poison.endpoints = {"sim-0002"}
    items = [item_of(kind, f"sim-{number:04}") for number in range(5)]
    answer = post(client, envelope(items)).json
    assert answer is not None
    assert (answer["stored"], answer["mark"]) == (4, 5)
    [(seq, reason, letter)] = rows("SELECT seq, reason, item FROM dead_letter")
    assert (seq, reason) == (3, "a bug of Flow Nexus: UnicodeEncodeError")
    assert json.loads(json.loads(letter)) == items[2]
    assert [vars(record)["place"] for record in caplog.records if record.exc_info] == [2]
    assert post(client, items[2]).status_code == 422

    poison.everything = True
    for body in (items[0], [items[0]], envelope(items)):
        assert post(client, body).status_code == 500
    assert rows("SELECT count(*) FROM delivery_mark") == [(1,)]
    assert rows("SELECT count(*) FROM dead_letter") == [(2,)]


def test_what_is_nested_too_deeply_is_rejected_wherever_that_is_found(replica: Replica) -> None:
    client = replica(Kind.COMPOSITE)
    statuses = []
    for depth in range(850, 1000):
        deep = b'{"a":' * depth + b"1" + b"}" * depth
        statuses.append(post(client, b'[{"ep": "x", "val": {"/3/0": %b}}]' % deep).status_code)
    assert sorted(set(statuses)) == [200, 400]


@settings(
    max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    poisonous=st.lists(st.booleans(), min_size=1, max_size=40),
    bound=st.integers(1, 12),
    first_seq=st.integers(1, 5),
)
def test_whatever_meets_a_bug_all_is_stored_or_kept_in_order_or_nothing(
    replica: Replica,
    rows: Rows,
    poison: Poison,
    monkeypatch: pytest.MonkeyPatch,
    poisonous: list[bool],
    bound: int,
    first_seq: int,
) -> None:
    monkeypatch.setattr("flownexus.store.delivery.MAX_DEAD_LETTERS_PER_BODY", bound)
    source = str(uuid.uuid4())
    names = [f"{source}-{place:02}" for place in range(len(poisonous))]
    poison.endpoints = {name for name, bad in zip(names, poisonous, strict=True) if bad}
    body = envelope([value(1, name) for name in names], first_seq, source)
    answer = post(replica(Kind.SINGLE), body)
    stored = [
        name
        for (name,) in rows(f"SELECT endpoint FROM telemetry WHERE endpoint LIKE '{source}%' ORDER BY id")
    ]
    dead = [
        (seq, json.loads(item)["ep"])
        for seq, item in rows(f"SELECT seq, item FROM dead_letter WHERE source = '{source}' ORDER BY id")
    ]
    mark = rows(f"SELECT mark FROM delivery_mark WHERE source = '{source}'")
    if len(poison.endpoints) > bound:
        assert (answer.status_code, stored, dead, mark) == (500, [], [], [])
        return
    assert answer.status_code == 200
    assert mark == [(first_seq + len(names) - 1,)]
    assert stored == [name for name in names if name not in poison.endpoints]
    assert dead == [(first_seq + place, name) for place, name in enumerate(names) if name in poison.endpoints]


# Rubbish


@pytest.mark.parametrize("kind", Kind)
def test_of_a_body_of_rubbish_a_hundred_are_kept_in_one_statement_and_the_others_counted(
    replica: Replica, rows: Rows, kind: Kind
) -> None:
    body = envelope([7] * 20_000)
    answer = post(replica(kind), body)
    assert answer.status_code == 200
    assert answer.json is not None
    assert (answer.json["mark"], len(answer.json["rejected"]), answer.json["more_rejected"]) == (
        20_000, 100, 19_900,
    )  # fmt: skip
    assert rows("SELECT count(*), count(DISTINCT cmin::text) FROM dead_letter") == [(101, 1)]
    [(reason, item)] = rows("SELECT reason, item FROM dead_letter ORDER BY id DESC LIMIT 1")
    assert reason == "19900 more of this body are rejected and not kept"
    [(why, count)] = json.loads(item)["reasons"].items()
    assert "object" in why
    assert count == 19_900


def test_a_body_of_rubbish_does_not_share_a_transaction_with_small_ones(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rejection weighs as much as a value."""
    shared: list[int] = []
    together = Deliveries._store_together

    def note(self: Deliveries, bodies: Sequence[Entries]) -> Any:
        shared.extend(map(len, bodies))
        return together(self, bodies)

    monkeypatch.setattr(Deliveries, "_store_together", note)
    client = replica(Kind.SINGLE)
    assert post(client, [7] * 1000).status_code == 200
    node = {"kind": "instance", "id": 0, "resources": [7] * 1000}
    composite = replica(Kind.COMPOSITE)
    assert post(composite, [{"ep": "x", "val": {"/3/0": node}}]).status_code == 200
    assert shared == []
    assert post(client, [7] * 3).status_code == 200
    assert shared == [3]


def test_a_body_of_a_million_items_is_for_its_sender_to_halve(replica: Replica, rows: Rows) -> None:
    answer = post(replica(Kind.SINGLE), b"[" + b"7," * 999_999 + b"7]")
    assert answer.status_code == 413
    assert answer.json is not None
    assert "at most 100000" in answer.json["detail"]
    assert rows("SELECT count(*) FROM dead_letter") == [(0,)]


def test_ids_of_a_rolled_back_transaction_are_not_used_again(
    replica: Replica, rows: Rows, database: Database
) -> None:
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute("ALTER TABLE resource ADD CONSTRAINT unforeseen CHECK (float_value <> 13)")
    client = replica(Kind.SINGLE)
    post(client, [value(13, endpoint="new"), value(1, endpoint="other")])
    answer = post(client, value(2, endpoint="new")).json
    assert answer is not None
    assert answer["stored"] == 1
    assert rows("SELECT endpoint, number FROM telemetry ORDER BY 2") == [("other", 1.0), ("new", 2.0)]


@pytest.mark.parametrize(
    "name", ["x" * 300, "it's", "a.b", "a*", "a>b", "a b", "🛰️", "'; DROP TABLE resource; --"]
)
def test_an_endpoint_may_have_any_name(replica: Replica, rows: Rows, name: str) -> None:
    assert post(replica(Kind.SINGLE), value(1, endpoint=name)).status_code == 200
    assert rows("SELECT endpoint FROM telemetry") == [(name,)]


def test_a_megabyte_of_text_is_a_value(replica: Replica, rows: Rows) -> None:
    node = {"kind": "singleResource", "id": 14, "type": "STRING", "value": "x" * 1_000_000}
    assert post(replica(Kind.SINGLE), {"ep": "x", "obj_id": 3, "val": node}).status_code == 200
    assert rows("SELECT length(string_value) FROM resource") == [(1_000_000,)]


@pytest.mark.parametrize("body", [b"", b"hello", b"[" * 10000, b'{"ep":"x"}', b'{"ep":"a\\ud800b"}'])
@pytest.mark.parametrize("kind", Kind)
def test_a_body_that_is_none_of_the_shapes_is_a_400_and_nothing_is_stored(
    replica: Replica, rows: Rows, kind: Kind, body: bytes
) -> None:
    answer = post(replica(kind), body)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["detail"]
    assert answer.json["type"] == "urn:flownexus:problem:unreadable-delivery"  # by which Leshan sets aside
    assert rows("SELECT count(*) FROM endpoint") == [(0,)]


# Types of resources


def resource(data_type: str, raw: Any, resource_id: int = 5700) -> dict[str, Any]:
    return {"kind": "singleResource", "id": resource_id, "type": data_type, "value": raw}


def test_a_resource_is_described_by_its_model(replica: Replica, rows: Rows) -> None:
    items = [
        {"ep": "x", "obj_id": object_id, "val": resource("INTEGER", "5", resource_id)}
        for object_id, resource_id in ((3, 9), (40000, 1))
    ]
    assert post(replica(Kind.SINGLE), items).status_code == 200
    assert rows("SELECT object_id, name, data_type, units FROM resource_type ORDER BY 1") == [
        (3, "Battery Level", "INTEGER", "/100"),
        (40000, None, "INTEGER", None),
    ]


@pytest.mark.parametrize("copies", [1, 100], ids=["few", "many"])
@pytest.mark.parametrize(
    ("data_type", "raw"), [("OPAQUE", "41c40000"), ("OPAQUE", "4038800000000000"), ("INTEGER", "24")]
)
def test_a_value_of_another_type_is_stored_as_its_models(
    replica: Replica, rows: Rows, data_type: str, raw: str, copies: int
) -> None:
    """A foreign Leshan without a model decodes TLV as OPAQUE."""
    item = {"ep": "x", "obj_id": 3303, "val": resource(data_type, raw)}
    assert post(replica(Kind.SINGLE), [item] * copies).json == {
        "stored": copies, "skipped": 0, "mark": None, "rejected": []
    }  # fmt: skip
    number = 24.0 if data_type == "INTEGER" else 24.5
    assert rows("SELECT DISTINCT float_value, opaque_value, integer_value FROM resource") == [
        (number, None, None)
    ]
    assert rows("SELECT float_value, opaque_value FROM resource_latest") == [(number, None)]
    assert rows("SELECT data_type FROM resource_type") == [("FLOAT",)]


@pytest.mark.parametrize("copies", [1, 30], ids=["few", "many"])
def test_a_value_that_its_models_type_cannot_hold_is_a_dead_letter_and_the_others_are_stored(
    replica: Replica, rows: Rows, copies: int
) -> None:
    client = replica(Kind.COMPOSITE)
    bad = resource("FLOAT", "1.5", 9)
    both = {"ep": "x", "val": {"/3/0/9": bad, "/3303/0/5700": resource("FLOAT", "21.5")}}
    none = {"ep": "x", "val": {"/3/0/9": bad}}
    answer = post(client, [both, none] * copies).json
    assert answer is not None
    reason = answer["rejected"][0]["reason"]
    assert reason.startswith(
        '"1.5" of the type FLOAT is not INTEGER, the type in the object\'s model: a whole'
    )
    assert answer["rejected"] == [
        {"index": index, "reason": reason, "path": "/3/0/9"} for index in range(2 * copies)
    ]
    assert answer["stored"] == copies
    assert rows("SELECT DISTINCT path, number FROM telemetry") == [("/3303/0/5700", 21.5)]
    [(events, used)] = rows("SELECT count(*), (SELECT count(*) FROM event_resource) FROM event")
    assert (events, used) == (copies, copies)
    assert rows("SELECT DISTINCT reason, item::json->>'path', item::json->>'node' FROM dead_letter") == [
        (reason, "/3/0/9", json.dumps(bad))
    ]
    alone = post(client, none)
    assert alone.status_code == 422
    assert reason in alone.json["detail"]  # type: ignore[index]


def test_without_a_model_the_first_type_stays_but_opaque_gives_way_to_a_better_one(
    replica: Replica, rows: Rows
) -> None:
    def send(data_type: str, raw: str, client: FlaskClient) -> str:
        item = {"ep": "x", "obj_id": 40000, "val": resource(data_type, raw)}
        assert post(client, item).status_code == 200
        [(known,)] = rows("SELECT data_type FROM resource_type")
        return str(known)

    first, second = replica(Kind.SINGLE), replica(Kind.SINGLE)
    assert send("OPAQUE", "00", first) == "OPAQUE"
    assert send("OPAQUE", "01", second) == "OPAQUE"
    assert send("INTEGER", "1", first) == "INTEGER"
    assert send("FLOAT", "1.5", second) == "INTEGER"
    assert send("OPAQUE", "02", first) == "INTEGER"
    assert rows("SELECT integer_value, float_value, opaque_value FROM resource ORDER BY stored_at") == [
        (None, None, b"\0"), (None, None, b"\1"), (1, None, None), (None, 1.5, None), (None, None, b"\2")
    ]  # fmt: skip


def test_a_type_that_was_stored_before_the_models_is_mended_by_them(
    empty_database: str, tmp_path: Path
) -> None:
    """As an upgrade finds it."""
    before = tmp_path / "sql"
    shutil.copytree(SQL_FOLDER, before)
    [models] = (before / "migrations").glob("*_object_models.sql")
    for migration in (before / "migrations").iterdir():
        if migration.name >= models.name:
            migration.unlink()
    migrate(empty_database, folder=before)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO resource_type (object_id, resource_id, data_type)"
            " VALUES (3, 9, 'OPAQUE'), (40000, 1, 'OPAQUE')"
        )
        migrate(empty_database)
        found = connection.execute("SELECT object_id, data_type, name, units FROM resource_type ORDER BY 1")
        assert found.fetchall() == [(3, "INTEGER", "Battery Level", "/100"), (40000, "OPAQUE", None, None)]


# A restored database


def restore_tables(database: Database, cluster: postgres.TestCluster, dump: Path) -> None:
    """Restore into the same database, emptied before; connections stay."""
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
    run("pg_restore", "--dbname", database.owner, str(dump))


def restore_data(database: Database, cluster: postgres.TestCluster, dump: Path) -> None:
    """Restore the rows alone, into the same tables, emptied before; connections stay."""
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE endpoint, endpoint_operation, resource_type, resource_model, resource, resource_latest,"
            " operation_secret, object_model, object_model_resource, log_resource, device_log,"
            " device_log_tail, roll_up_state, event, event_resource, observe_plan, catalog_generation,"
            " endpoint_tag, batch, profile, enrolment, bootstrap_profile CASCADE"
        )
        connection.execute("DELETE FROM schema_migration")
    run("pg_restore", "--data-only", "--disable-triggers", "--dbname", database.owner, str(dump))


def restore_anew(database: Database, cluster: postgres.TestCluster, dump: Path) -> None:
    """Restore into a new database of the same name; connections are lost."""
    cluster.execute(f"DROP DATABASE {database.name} WITH (FORCE)")
    cluster.execute(f"CREATE DATABASE {database.name}")
    run("pg_restore", "--dbname", database.owner, str(dump))


def run(program: str, *arguments: str) -> None:
    subprocess.run([binaries() / program, *arguments], check=True, timeout=60)


@pytest.mark.parametrize("count", [1, 100], ids=["few", "many"])
@pytest.mark.parametrize("restore", [restore_tables, restore_data, restore_anew])
def test_values_after_a_restore_are_not_those_of_another_endpoint(
    replica: Replica,
    rows: Rows,
    database: Database,
    postgres_cluster: postgres.TestCluster,
    tmp_path: Path,
    restore: Callable[[Database, postgres.TestCluster, Path], None],
    count: int,
) -> None:
    """Ids are remembered, and no foreign key says that one is another endpoint's by now."""
    dump = tmp_path / "dump"
    run("pg_dump", "--format=custom", "--file", str(dump), database.owner)
    old, new = replica(Kind.SINGLE), replica(Kind.SINGLE)
    for _ in range(2):
        assert post(old, [value(n, endpoint="A") for n in range(count)]).status_code == 200
    restore(database, postgres_cluster, dump)
    body = value(2, endpoint="B") | {"obj_id": 3304}
    while post(new, body).status_code == 503:  # the connections are gone
        pass
    while post(old, [value(n, endpoint="A") for n in range(count)]).status_code == 503:
        pass
    with psycopg.connect(database.owner) as connection:
        found = connection.execute("SELECT endpoint, object_id, count(*) FROM telemetry GROUP BY 1, 2")
        assert sorted(found) == [("A", 3303, count), ("B", 3304, 1)]
        unique = connection.execute("SELECT count(DISTINCT id) = count(*) FROM resource").fetchone()
        assert unique == (True,)


def test_a_restart_of_postgresql_or_a_restore_costs_no_round_trip_of_its_own(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tells of it comes with a statement that is sent anyway."""
    client = replica(Kind.SINGLE)
    sent: list[str] = []
    execute = psycopg.Cursor.execute

    def note(self: psycopg.Cursor, query: Any, *arguments: Any, **more: Any) -> Any:
        sent.append(str(query))
        return execute(self, query, *arguments, **more)

    for count in (1, 100):
        post(client, [value(n) for n in range(count)])
        with monkeypatch.context() as patched:
            patched.setattr(psycopg.Cursor, "execute", note)
            sent.clear()
            post(client, [value(n) for n in range(count)])
        assert len(sent) == 1, sent


# Who may call


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}, {"Authorization": "Bearer "}],
)
def test_a_caller_without_the_secret_is_refused(
    replica: Replica, rows: Rows, kind: Kind, headers: dict[str, str]
) -> None:
    answer = replica(kind).post("/", data=json.dumps(value(1)), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert rows("SELECT count(*) FROM resource") == [(0,)]


def test_both_secrets_are_valid_during_a_rotation(replica: Replica) -> None:
    for secret in ("secret", "older"):
        answer = replica(Kind.SINGLE).post(
            "/", data=json.dumps(value(1)), headers={"Authorization": f"Bearer {secret}"}
        )
        assert answer.status_code == 200


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.COMPOSITE])
def test_a_sender_without_headers_has_one_address_with_a_secret_of_its_own(
    replica: Replica, rows: Rows, kind: Kind
) -> None:
    client = replica(kind)
    composite = (PAYLOADS / "documented-composite.json").read_bytes()
    for token in HOOK:
        base = f"/hook/{token}/leshan_api/resource"
        single = client.post(f"{base}/single", data=json.dumps(value(1)))
        assert (single.status_code, single.get_json()["stored"]) == (200, 1)
        answer = client.post(f"{base}/composite", data=composite)
        assert (answer.status_code, answer.get_json()["stored"]) == (200, 1)
    assert rows("SELECT count(*) FROM event") == [(2,)]


@pytest.mark.parametrize("token", ["wrong", "secret", "hooke", ""])
def test_the_webhook_s_own_secret_opens_nothing_in_a_path(replica: Replica, token: str) -> None:
    answer = replica(Kind.SINGLE).post(f"/hook/{token}/leshan_api/resource/single", data=json.dumps(value(1)))
    assert answer.status_code in {401, 404}
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_without_a_secret_of_its_own_the_path_for_senders_without_headers_is_off(pool: Pool) -> None:
    app = create_app(Kind.SINGLE, pool, Telemetry(timedelta(days=1)), None, guard_of("secret"))
    for path in ("/hook/secret/leshan_api/resource/single", "/hook//leshan_api/resource/single"):
        answer = app.test_client().post(path, data=json.dumps(value(1)), headers=TOKEN)
        assert answer.status_code == 404
        assert app.guard("POST", path, {})[1] is not None
        assert "secret" not in answer.text


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    "path", ["/leshan_api/resource/other", "/leshan_api/resource/single/", "//leshan_api/resource/single", ""]
)
@pytest.mark.parametrize("prefix", ["", "/x"])
def test_no_answer_has_the_secret_of_a_path(replica: Replica, method: str, prefix: str, path: str) -> None:
    answer = replica(Kind.SINGLE).open(f"{prefix}/hook/hooked{path}", method=method, headers=TOKEN)
    assert answer.status_code in {404, 405}
    assert "hooked" not in answer.text + str(answer.headers)


# PostgreSQL away


def test_while_a_lock_is_not_to_be_had_the_answer_is_503_with_retry_after(
    replica: Replica, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flownexus.store.pool.LOCK_TIMEOUT_S", 0.2)
    body = envelope([value(1)])
    with (
        open_pool(database.ingest, 2, "test") as pool,
        psycopg.connect(database.owner) as other,
    ):
        client = create_app(
            Kind.SINGLE, pool, Telemetry(timedelta(days=1)), None, guard_of("secret")
        ).test_client()
        post(client, body)
        other.execute("SELECT * FROM delivery_mark FOR UPDATE")
        answer = post(client, body)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        other.rollback()
        assert post(client, body).status_code == 200


def test_a_restart_of_postgresql_costs_one_503_and_no_restart_of_the_function(
    postgres_cluster: postgres.TestCluster, replica: Replica, rows: Rows, database: Database
) -> None:
    client = replica(Kind.SINGLE)
    assert post(client, value(1)).status_code == 200
    postgres_cluster.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flownexus test'"
    )
    statuses = [post(client, value(2)).status_code for _ in range(20)]
    assert set(statuses) <= {200, 503}
    assert statuses[-10:] == [200] * 10


def test_while_postgresql_is_away_the_answer_is_503_with_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flownexus.store.pool.CONNECTION_TIMEOUT_S", 0.5)
    with open_pool("postgresql://nobody@127.0.0.1:1/nothing", 1, "test") as pool:
        client = create_app(
            Kind.SINGLE, pool, Telemetry(timedelta(days=1)), None, guard_of("secret")
        ).test_client()
        answer = post(client, value(1))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"


def test_posted_at_the_same_time_each_gets_the_answer_to_its_own_body(replica: Replica, rows: Rows) -> None:
    """They share transactions: what is refused of one is told to its sender alone."""
    client = replica(Kind.SINGLE)
    good, bad = value(1.0), value(2.0) | {"inst_id": -1}
    bodies = [
        [value(number / 10, f"sim-{number:04}")] + [bad] * (number % 3 == 0) + [good] * (number % 2)
        for number in range(200)
    ]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda body: post(client, body).get_json(), bodies))
    for number, answer in enumerate(answers):
        assert answer["stored"] == 1 + number % 2
        assert [each["index"] for each in answer["rejected"]] == [1] * (number % 3 == 0)
    assert rows("SELECT count(*) FROM resource") == [(300,)]
    assert rows("SELECT count(*) FROM dead_letter") == [(67,)]
    assert rows("SELECT count(*) < 200 FROM (SELECT DISTINCT xmin::text FROM resource) committed") == [
        (True,)
    ]


def test_what_postgresql_refuses_of_one_body_does_not_hold_up_those_beside_it(
    replica: Replica, rows: Rows, database: Database
) -> None:
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute("ALTER TABLE resource ADD CONSTRAINT no_13 CHECK (float_value <> 13)")
    client = replica(Kind.SINGLE)
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda n: post(client, value(float(n))).get_json(), range(40)))
    assert [n for n, answer in enumerate(answers) if answer.get("status") == 422] == [13]
    assert "no_13" in answers[13]["detail"]
    assert rows("SELECT count(*) FROM resource") == [(39,)]
    assert rows("SELECT count(*) FROM dead_letter") == [(1,)]
