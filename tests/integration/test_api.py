"""The api function: REST over a real PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flownexus.leshan.webhook import Kind
from flownexus.settings import Timeouts
from flownexus.store.change_feed import ChangeFeed, Follower, TooManyStreamsError
from flownexus.store.changes import VALUE, Change, Position, change_horizon
from flownexus.store.dead_letters import settle_dead_letter
from flownexus.store.delivery import Deliveries
from flownexus.store.endpoint_values import OBSTACLES
from flownexus.store.pool import open_pool
from flownexus.store.telemetry import Telemetry
from flownexus.store.value_rows import Rows
from flownexus.web import dead_letters
from tests.fixtures.guard import guard_of
from tests.fixtures.handler import load_handler
from tests.fixtures.hints import Hints
from tests.fixtures.world import World

RETENTION = timedelta(days=365)
HISTORY = "/v1/endpoints/sim-0001/3303/0/5700/history"
NDJSON = {"Accept": "application/x-ndjson"}


@pytest.fixture
def client(world: World) -> FlaskClient:
    app = load_handler("api").create_app(
        world.api_pool, world.ingest_pool, RETENTION, Hints(), guard_of("ann"), Timeouts.of(3.0)
    )
    client: FlaskClient = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer ann"
    return client


def single(value: Any, at: datetime | None = None, endpoint: str = "sim-0001", **more: Any) -> dict[str, Any]:
    """Return an item as Leshan posts it."""
    node = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": value, **more}
    item = {"ep": endpoint, "obj_id": 3303, "inst_id": 0, "val": node}
    return item if at is None else {**item, "ts": round(at.timestamp() * 1000)}


def store(world: World, *items: dict[str, Any], kind: Kind = Kind.SINGLE) -> None:
    """Store items as ingest does."""
    Deliveries(world.ingest_pool, Telemetry(RETENTION), kind).deliver(json.dumps(items).encode())


def pages(client: FlaskClient, url: str, key: str, limit: int) -> Iterator[list[Any]]:
    """Yield the pages of a list, each asked for when the one before was taken."""
    following: str | None = f"{url}{'&' if '?' in url else '?'}limit={limit}"
    while following is not None:
        answer = client.get(following)
        assert answer.status_code == 200, answer.get_json()
        link = answer.headers.get("Link")
        following = None if link is None else url.partition("?")[0] + link[1:].partition(">")[0]
        assert (following is None) == (answer.get_json()["next"] is None)
        yield answer.get_json()[key]


# ---------------------------------------------------------------------------------------------------------
# Endpoints and their values


def given_values(world: World, name: str) -> None:
    """Let an endpoint have told values, one of a resource that no model has."""
    world.endpoint(name)
    world.execute(
        "INSERT INTO resource_type (object_id, resource_id, data_type, name, units) VALUES"
        " (3, 7, 'INTEGER', 'Power Source Voltage', 'mV'), (3303, 5700, 'FLOAT', 'Sensor Value', NULL),"
        " (40000, 1, 'STRING', NULL, NULL)"
        " ON CONFLICT DO NOTHING"
    )
    world.execute(
        "INSERT INTO resource_latest (endpoint_id, resource_type_id, object_instance_id,"
        " resource_instance_id, time, resource_id, integer_value, float_value, string_value)"
        " SELECT e.id, t.id, given.instance, given.resource_instance, '2026-01-02 03:04:05+00', 1,"
        "        CASE WHEN object = 3 THEN 3600 END, CASE WHEN object = 3303 THEN 22.5 END,"
        "        CASE WHEN object = 40000 THEN 'it''s' END"
        " FROM endpoint e,"
        "      (VALUES (3303, 10, NULL), (3303, 2, NULL), (3, 0, 1), (3, 0, 0), (40000, 0, NULL))"
        "      AS given (object, instance, resource_instance)"
        " JOIN resource_type t ON t.object_id = given.object"
        " WHERE e.name = %s",
        name,
    )


def test_endpoints_are_listed_by_name_page_by_page(client: FlaskClient, world: World) -> None:
    for name in ("sim-0002", "a/b?", "sim-0001"):
        world.endpoint(name, registered=name != "sim-0002")
    world.endpoint("expired", lifetime=-1)
    world.execute("INSERT INTO endpoint (name) VALUES ('silent')")
    names = sorted(["sim-0002", "a/b?", "sim-0001", "expired", "silent"])

    everything = client.get("/v1/endpoints").get_json()

    assert everything["next"] is None
    found = {each["name"]: each for each in everything["endpoints"]}
    assert list(found) == names
    assert [name for name in names if found[name]["registered"]] == ["a/b?", "sim-0001"]
    assert found["sim-0001"]["last_seen"].endswith("+00:00")
    assert found["silent"] == {"name": "silent", "registered": False, "presence": "offline"} | dict.fromkeys(
        ("awake_until", "offline_since", "last_seen", "registered_until", "expected")
    )
    paged = list(pages(client, "/v1/endpoints", "endpoints", 2))
    assert [len(page) for page in paged] == [2, 2, 1]
    assert [each for page in paged for each in page] == everything["endpoints"]
    part = client.get("/v1/endpoints?q=im-000").get_json()["endpoints"]
    assert [each["name"] for each in part] == ["sim-0001", "sim-0002"]


def test_endpoints_tell_how_they_can_be_reached(client: FlaskClient, world: World) -> None:
    for name in ("listens", "sleeper", "gone", "expired", "wakes"):
        world.endpoint(name)
    world.execute("UPDATE endpoint SET binding = 'UQ', awake_time_s = 60 WHERE name IN ('sleeper', 'wakes')")
    world.execute("UPDATE endpoint SET unreachable_at_contact = contact_count WHERE name = 'sleeper'")
    world.execute(
        "UPDATE endpoint SET registered = false, expires_at = NULL WHERE name = 'gone';"
        "UPDATE endpoint SET expires_at = now() - interval '5 s' WHERE name = 'expired';"
        "INSERT INTO event (time, id, endpoint_id, event_type) "
        "SELECT date_trunc('second', now()) - interval '1 min', -1, id, 'unregistered' "
        "FROM endpoint WHERE name = 'gone';"
        "INSERT INTO event (time, id, endpoint_id, event_type) "
        "SELECT now() - n * interval '1 min', -1 - n, id, 'updated' "
        "FROM endpoint, generate_series(1, 12) AS n WHERE name = 'sleeper'"
    )
    found = {each["name"]: each for each in client.get("/v1/endpoints").get_json()["endpoints"]}
    assert {name: each["presence"] for name, each in found.items()} == {
        "expired": "offline",
        "gone": "offline",
        "listens": "registered",
        "sleeper": "asleep",
        "wakes": "awake",
    }
    [row] = world.execute("SELECT max(time) AS time FROM event WHERE event_type = 'unregistered'")
    assert datetime.fromisoformat(found["gone"]["offline_since"]) == row["time"]
    assert found["expired"]["offline_since"] == found["expired"]["registered_until"]
    assert found["sleeper"]["expected"]["by"] == "rhythm"
    assert found["wakes"]["awake_until"] > found["wakes"]["last_seen"]
    for name, each in found.items():
        details = client.get(f"/v1/endpoints/{name}").get_json()
        assert {key: details[key] for key in each} == each
    asleep = client.get("/v1/endpoints?filter=presence==asleep,name==w*").get_json()["endpoints"]
    assert [each["name"] for each in asleep] == ["sleeper", "wakes"]


def test_events_have_the_names_that_are_declared(client: FlaskClient, world: World) -> None:
    node = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": 21.5}
    composite = {"ep": "sim-0001", "val": {"/3303/0/5700": node, "/3304/0/5700": node}}
    store(world, composite, kind=Kind.COMPOSITE)
    assert [each["name"] for each in client.get("/v1/events").get_json()["events"]] == [None]
    body = {"paths": ["/3303/*/5700", "/3304"], "description": "a room's climate"}
    assert client.put("/v1/event-types/climate", json=body).status_code == 201
    assert client.put("/v1/event-types/climate", json=body).status_code == 200
    [listed] = client.get("/v1/event-types").get_json()["event_types"]
    assert (listed["paths"], listed["set_by"]) == (body["paths"], "ann")
    assert [each["name"] for each in client.get("/v1/events").get_json()["events"]] == ["climate"]
    assert client.delete("/v1/event-types/climate").status_code == 200
    assert [each["name"] for each in client.get("/v1/events").get_json()["events"]] == [None]


def test_a_resource_is_declared_a_log_by_what_is_known_of_it(client: FlaskClient, world: World) -> None:
    assert client.put("/v1/log-resources/3303/5700", json={}).status_code == 422  # a FLOAT by OMA's model
    assert client.put("/v1/log-resources/3/1", json={"cumulative": False}).status_code == 201  # a STRING
    assert client.put("/v1/log-resources/32769/7", json={}).status_code == 201  # of no model
    item = {"ep": "sim-0001", "obj_id": 32769, "inst_id": 0}
    store(world, {**item, "val": {"kind": "singleResource", "id": 7, "type": "STRING", "value": "a\nb"}})
    entries = client.get("/v1/logs").get_json()["entries"]
    assert sorted(each["message"] for each in entries) == ["a", "b"]
    listed = client.get("/v1/log-resources").get_json()["log_resources"]
    known = [(each["object_id"], each["resource_id"]) for each in listed]
    assert known == [(3, 1), (20, 4014), (32769, 7)]
    assert client.delete("/v1/log-resources/32769/7").status_code == 200
    assert client.delete("/v1/log-resources/32769/7").status_code == 404


def test_an_endpoint_is_made_with_tags_before_it_registers(client: FlaskClient, world: World) -> None:
    new = {"name": "to/come ?", "tags": {"site": "bern"}}
    made = client.post("/v1/endpoints", json=new)
    assert made.status_code == 201
    again = client.get("/v1" + made.headers["Location"].partition("/v1")[2]).get_json()
    assert made.get_json() == again
    assert (again["name"], again["presence"], again["made_by"]) == ("to/come ?", "offline", "ann")
    assert client.post("/v1/endpoints", json=new).status_code == 409
    found = client.get("/v1/endpoints?filter=tag.site==bern").get_json()["endpoints"]
    assert [each["name"] for each in found] == ["to/come ?"]
    store(world, single(21.5, endpoint="to/come ?"))  # it has come
    shown = client.get("/v1" + made.headers["Location"].partition("/v1")[2]).get_json()
    assert (shown["first_seen"], shown["made_by"]) == (again["first_seen"], "ann")
    assert shown["last_seen"] is not None


@pytest.mark.parametrize(
    "name",
    ["sim-0001", "a/b", "/a//values", "values", "..", " it's ?#%2F&+", "two\nlines", "\N{GRINNING FACE}\\"],
)
def test_an_endpoint_s_newest_values_are_listed_whatever_its_name(
    client: FlaskClient, world: World, name: str
) -> None:
    given_values(world, name)
    given_values(world, "other")

    answer = client.get(f"/v1/endpoints/{quote(name, safe='')}/values")

    assert answer.status_code == 200, answer.get_json()
    assert answer.get_json()["next"] is None
    values = answer.get_json()["values"]
    assert [value["path"] for value in values] == [
        "/3/0/7/0", "/3/0/7/1", "/3303/2/5700", "/3303/10/5700", "/40000/0/1",
    ]  # fmt: skip
    time = "2026-01-02T03:04:05+00:00"
    age = datetime.now(UTC) - datetime.fromisoformat(time)
    assert all(abs(value.pop("age_s") - age.total_seconds()) < 60 for value in values)
    assert values[0] == {
        "path": "/3/0/7/0", "value": "3600", "time": time, "type": "INTEGER",
        "name": "Power Source Voltage", "units": "mV",
    }  # fmt: skip
    assert values[-1] == {
        "path": "/40000/0/1", "value": "it's", "time": time, "type": "STRING", "name": None, "units": None,
    }  # fmt: skip
    [one] = [client.get(f"/v1/endpoints/{quote(name, safe='')}/3303/2/5700").get_json()]
    assert (one["path"], one["value"]) == ("/3303/2/5700", "22.5")
    if "/values" not in name:  # what a server decodes cannot be told from the values of another one
        assert client.get(f"/v1/endpoints/{quote(name, safe='')}").get_json()["name"] == name


def test_values_are_asked_for_by_path_and_page_by_page(client: FlaskClient, world: World) -> None:
    given_values(world, "sim-0001")
    url = "/v1/endpoints/sim-0001/values"

    def found(query: str) -> list[str]:
        return [value["path"] for value in client.get(f"{url}?{query}").get_json()["values"]]

    assert found("path=/3303") == ["/3303/2/5700", "/3303/10/5700"]
    assert found("path=3303/10/5700") == ["/3303/10/5700"]
    assert found("path=/3/0/7/1") == ["/3/0/7/1"]
    assert found("path=/5") == []
    for limit in (1, 2, 5):
        paged = [value["path"] for page in pages(client, url, "values", limit) for value in page]
        assert paged == ["/3/0/7/0", "/3/0/7/1", "/3303/2/5700", "/3303/10/5700", "/40000/0/1"]
    listed = client.get("/v1/endpoints/sim-0001/3/0/7").get_json()["values"]
    assert [value["path"] for value in listed] == ["/3/0/7/0", "/3/0/7/1"]


def test_an_endpoint_without_values_has_none_and_one_never_seen_is_not_found(
    client: FlaskClient, world: World
) -> None:
    world.endpoint("silent")
    assert client.get("/v1/endpoints/silent/values").get_json() == {"values": [], "next": None}
    for name in ("nobody", "%00", "%FF", "silent%2F", "silent/values"):
        answer = client.get(f"/v1/endpoints/{name}/values")
        assert answer.status_code == 404
        assert answer.get_json()["detail"].startswith("no endpoint ")
    for path in ("3303/0/5700/history", "3303/0/5700", ""):
        assert client.get(f"/v1/endpoints/nobody/{path}".rstrip("/")).status_code == 404
    assert client.get("/v1/events?endpoint=nobody").status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "cursor=x", "cursor=/3", "path=", "path=/70000", "path=%00"]
)
def test_a_bad_query_for_values_is_refused(client: FlaskClient, world: World, query: str) -> None:
    world.endpoint()
    assert client.get(f"/v1/endpoints/sim-0001/values?{query}").status_code == 422


def test_what_is_written_by_path_is_queued_as_an_operation(client: FlaskClient, world: World) -> None:
    world.endpoint()
    answer = client.put("/v1/endpoints/sim-0001/3/0/15?priority=7", data='"Europe/Berlin"')
    assert answer.status_code == 202, answer.get_json()
    row = world.operation(answer.get_json()["id"])
    assert (row["operation_type"], row["path"], row["priority"]) == ("write", "/3/0/15", 7)
    assert row["value"] == {"type": "STRING", "value": "Europe/Berlin"}
    assert row["requested_by"] == "ann"
    assert answer.headers["Location"] == f"/function/operations/{row['id']}"


def test_an_operation_is_waited_for_until_it_ends(client: FlaskClient, world: World) -> None:
    world.endpoint()

    def confirm() -> None:
        while not world.execute("SELECT id FROM endpoint_operation"):
            time.sleep(0.01)
        world.execute("UPDATE endpoint_operation SET status = 'CONFIRMED', finished_at = now()")

    with ThreadPoolExecutor(1) as executor:
        confirming = executor.submit(confirm)
        answer = client.put(
            "/v1/endpoints/sim-0001/3/0/15",
            data='"UTC"',
            headers={"Prefer": "wait=3", "Idempotency-Key": "k"},
        )
        confirming.result()
    assert (answer.status_code, answer.get_json()["status"]) == (200, "CONFIRMED")
    again = client.put("/v1/endpoints/sim-0001/3/0/15", data='"UTC"', headers={"Idempotency-Key": "k"})
    assert again.get_json()["id"] == answer.get_json()["id"]


# ---------------------------------------------------------------------------------------------------------
# History


def test_the_history_of_a_resource_is_a_series_or_each_value(client: FlaskClient, world: World) -> None:
    begin = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
    store(world, *(single(number, begin + timedelta(seconds=number)) for number in range(100)))
    store(world, single(7.0, begin, endpoint="other"))
    span = {"from": begin.isoformat(), "to": (begin + timedelta(seconds=100)).isoformat()}

    answer = client.get(HISTORY, query_string={**span, "points": 10}).get_json()
    assert [point["count"] for point in answer["points"]] == [10] * 10
    assert answer["points"][0] == {
        "time": begin.isoformat(), "minimum": 0.0, "maximum": 9.0, "mean": 4.5, "last": 9.0, "count": 10,
    }  # fmt: skip
    assert sum(point["count"] for point in client.get(HISTORY).get_json()["points"]) == 100

    url = f"{HISTORY}?resolution=raw&from={quote(span['from'])}&to={quote(span['to'])}"
    paged = list(pages(client, url, "values", 30))
    assert [len(page) for page in paged] == [30, 30, 30, 10]
    assert [value["number"] for page in paged for value in page] == list(range(100))
    lines = client.get(url, headers=NDJSON).get_data(as_text=True).splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(100))
    rows = list(csv.DictReader(io.StringIO(client.get(url, headers={"Accept": "text/csv"}).text)))
    assert [row["value"] for row in rows] == [str(number) for number in range(100)]


def test_values_of_one_time_are_all_there_page_by_page(client: FlaskClient, world: World) -> None:
    at = datetime.now(UTC) - timedelta(minutes=5)
    store(world, *(single(number, at) for number in range(10)))
    url = f"{HISTORY}?resolution=raw"
    assert [v["number"] for page in pages(client, url, "values", 3) for v in page] == list(range(10))


# ---------------------------------------------------------------------------------------------------------
# Events and registrations


def registration(what: int, endpoint: str = "sim-0001") -> dict[str, Any]:
    """Return an item that says that a device registered (0), unregistered (1) or updated (2)."""
    now = round(time.time() * 1000)
    node = {"kind": "singleResource", "id": what, "type": "TIME", "value": now}
    reg = {"id": "r1", "address": "10.0.0.1:5683", "lifetime": 300, "binding": "U"}
    return {"ep": endpoint, "obj_id": 10240, "inst_id": 0, "ts": now, "val": node, "reg": reg}


def test_events_have_their_values_and_registrations_are_some_of_them(
    client: FlaskClient, world: World
) -> None:
    store(world, registration(0), kind=Kind.REGISTRATION)
    store(world, registration(2), kind=Kind.REGISTRATION)
    resources = [
        {"kind": "singleResource", "id": each, "type": "FLOAT", "value": 1.5} for each in (5700, 5601)
    ]
    composite = {"ep": "sim-0001", "val": {"/3303/0": {"kind": "instance", "id": 0, "resources": resources}}}
    store(world, composite, kind=Kind.COMPOSITE)
    store(world, registration(0, "other"), kind=Kind.REGISTRATION)

    found = client.get("/v1/events?endpoint=sim-0001").get_json()["events"]
    assert [event["type"] for event in found] == ["composite", "updated", "registered"]
    assert found[0]["values"] == [
        {"path": "/3303/0/5601", "value": "1.5"}, {"path": "/3303/0/5700", "value": "1.5"},
    ]  # fmt: skip
    assert [event["type"] for event in client.get("/v1/events?type=composite").get_json()["events"]] == [
        "composite"
    ]
    told = client.get("/v1/registrations").get_json()["registrations"]
    assert [(each["endpoint"], each["event"]) for each in told] == [
        ("other", "registered"), ("sim-0001", "updated"), ("sim-0001", "registered"),
    ]  # fmt: skip
    assert len(client.get("/v1/registrations?event=updated").get_json()["registrations"]) == 1
    assert [len(page) for page in pages(client, "/v1/events", "events", 3)] == [3, 1]


# ---------------------------------------------------------------------------------------------------------
# Cursors while rows arrive

Arrivals = Callable[[World, int], None]


def _endpoint_arrives(world: World, place: int) -> None:
    world.execute("INSERT INTO endpoint (name) VALUES (%s) ON CONFLICT DO NOTHING", f"sim-{place:04d}")


def _value_arrives(world: World, place: int) -> None:
    world.execute(
        "INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, float_value)"
        " SELECT timestamptz '2026-11-01' + make_interval(secs => %s), nextval('resource_id_block'), e.id,"
        "        t.id, 0, 1 FROM endpoint e, resource_type t"
        " WHERE e.name = 'sim-0001' AND t.object_id = 3303 AND t.resource_id = 5700",
        place % 7,
    )


def _event_arrives(world: World, place: int) -> None:
    world.execute(
        "INSERT INTO event (time, id, endpoint_id, event_type)"
        " SELECT timestamptz '2026-11-01' + make_interval(secs => %s), nextval('event_id_block'), id, 'read'"
        " FROM endpoint WHERE name = 'sim-0001'",
        place % 7,
    )


def _dead_letter_arrives(world: World, place: int) -> None:
    world.execute("INSERT INTO dead_letter (kind, reason, item) VALUES ('single', 'no', '{}')")


LISTS = {
    "endpoints": ("/v1/endpoints", "endpoints", "SELECT name FROM endpoint", "name", _endpoint_arrives),
    "values": (
        f"{HISTORY}?resolution=raw&from=2026-10-01T00:00:00Z&to=2026-12-01T00:00:00Z",
        "values", "SELECT stored_at FROM resource", "stored_at", _value_arrives,
    ),
    "events": ("/v1/events", "events", "SELECT id FROM event", "id", _event_arrives),
    "dead letters": (
        "/v1/dead-letters", "dead_letters", "SELECT id FROM dead_letter", "id", _dead_letter_arrives,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LISTS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(st.integers(0, 50), max_size=12),
    meanwhile=st.lists(st.lists(st.integers(0, 50), max_size=3), max_size=12),
    limit=st.integers(1, 5),
)
def test_cursors_show_each_row_once_while_rows_arrive(
    client: FlaskClient, world: World, what: str, first: list[int], meanwhile: list[list[int]], limit: int
) -> None:
    url, key, statement, column, arrive = LISTS[what]
    world.execute("TRUNCATE resource, event, dead_letter")
    world.execute("DELETE FROM endpoint")
    world.execute("INSERT INTO endpoint (name) VALUES ('sim-0001')")
    world.execute(
        "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (3303, 5700, 'FLOAT')"
        " ON CONFLICT DO NOTHING"
    )
    for place in first:
        arrive(world, place)

    def there() -> set[Any]:
        return {_shown(row[column]) for row in world.execute(statement)}

    before = there()
    seen: list[Any] = []
    arriving = iter(meanwhile)
    for page in pages(client, url, key, limit):
        assert len(page) <= limit
        seen += [row[column] for row in page]
        for place in next(arriving, []):
            arrive(world, place)
    assert len(seen) == len(set(seen)), "a row was shown twice"
    assert before <= set(seen), "a row that was there was not shown"
    assert set(seen) <= there()


def _shown(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


# ---------------------------------------------------------------------------------------------------------
# Dead letters


def letters(world: World) -> list[dict[str, Any]]:
    return world.execute("SELECT id, settlement, settled_by FROM dead_letter ORDER BY id")


def test_a_dead_letter_is_delivered_again_once_its_cause_is_gone(client: FlaskClient, world: World) -> None:
    world.execute(
        "INSERT INTO resource_model (object_id, resource_id, data_type, name)"
        " VALUES (3303, 5700, 'TIME', 'x')"
        " ON CONFLICT (object_id, resource_id) DO UPDATE SET data_type = 'TIME'"
    )
    store(world, single(21.5, datetime(2026, 11, 1, tzinfo=UTC)))
    [letter] = client.get("/v1/dead-letters?endpoint=sim-0001").get_json()["dead_letters"]
    assert (letter["endpoint"], letter["kind"]) == ("sim-0001", "single")
    again = client.post(f"/v1/dead-letters/{letter['id']}/replay").get_json()
    assert len(again["outcome"]["rejected"]) == 1
    [second] = client.get("/v1/dead-letters").get_json()["dead_letters"]
    assert second["id"] > letter["id"]

    world.execute("DELETE FROM resource_model WHERE object_id = 3303")
    replayed = client.post(f"/v1/dead-letters/{second['id']}/replay").get_json()
    assert replayed["outcome"] == {"stored": 1, "skipped": 0, "rejected": []}
    assert (replayed["settlement"], replayed["settled_by"]) == ("replayed", "ann")
    assert replayed["settled_at"] is not None
    twice = client.post(f"/v1/dead-letters/{second['id']}/replay").get_json()
    assert twice["outcome"] == {"stored": 0, "skipped": 1, "rejected": []}
    [row] = world.execute("SELECT time, number FROM telemetry WHERE endpoint = 'sim-0001'")
    assert row == {"time": datetime(2026, 11, 1, tzinfo=UTC), "number": 21.5}
    assert client.delete(f"/v1/dead-letters/{second['id']}").status_code == 409
    assert client.get("/v1/dead-letters").get_json()["dead_letters"] == []
    done = client.get("/v1/dead-letters?settlement=replayed").get_json()["dead_letters"]
    assert [each["id"] for each in done] == [second["id"], letter["id"]]


def test_a_part_of_a_composite_is_delivered_again_as_one(client: FlaskClient, world: World) -> None:
    world.execute(
        "INSERT INTO dead_letter (kind, reason, item) VALUES ('composite', 'no', %s)",
        json.dumps(
            {
                "ep": "sim-0001", "ts": None, "path": "/3/0/7/1",
                "node": {"kind": "resourceInstance", "id": 1, "type": "INTEGER", "value": 5},
            }
        ),
    )  # fmt: skip
    answer = client.post("/v1/dead-letters/1/replay").get_json()
    assert answer["outcome"]["stored"] == 1
    assert client.get("/v1/endpoints/sim-0001/3/0/7/1").get_json()["value"] == "5"
    assert [event["type"] for event in client.get("/v1/events").get_json()["events"]] == ["composite"]


def test_two_who_deliver_it_again_at_once_store_it_once(
    client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are held where the item was delivered and the dead letter is not settled yet."""
    item = {"ep": "sim-0001", "ts": None, "path": "/3303/0/5700", "node": single(1.0)["val"]}
    world.execute(
        "INSERT INTO dead_letter (kind, reason, item) VALUES ('single', 'no', %s)", json.dumps(item)
    )
    both = threading.Barrier(2, timeout=10)
    settle = settle_dead_letter

    def settle_together(*given: Any) -> Any:
        both.wait()
        return settle(*given)

    monkeypatch.setattr(dead_letters, "settle_dead_letter", settle_together)
    clients = [client.application.test_client() for _ in range(2)]
    with ThreadPoolExecutor(2) as executor:
        headers = {"Authorization": "Bearer ann"}
        answers = list(
            executor.map(
                lambda one: one.post("/v1/dead-letters/1/replay", headers=headers).get_json(), clients
            )
        )
    assert sorted(answer["outcome"]["stored"] for answer in answers) == [0, 1]
    assert world.execute("SELECT count(*) AS n FROM resource") == [{"n": 1}]
    assert letters(world) == [{"id": 1, "settlement": "replayed", "settled_by": "ann"}]


def test_a_dead_letter_is_discarded(client: FlaskClient, world: World) -> None:
    world.execute("INSERT INTO dead_letter (kind, reason, item) VALUES ('single', 'no', '\"no JSON\"')")
    assert client.get("/v1/dead-letters/1").get_json()["item"] == "no JSON"
    assert client.delete("/v1/dead-letters/1").get_json()["settlement"] == "discarded"
    assert client.delete("/v1/dead-letters/1").status_code == 200
    assert client.post("/v1/dead-letters/1/replay").status_code == 409
    assert letters(world) == [{"id": 1, "settlement": "discarded", "settled_by": "ann"}]


# ---------------------------------------------------------------------------------------------------------
# Changes


@pytest.fixture
def feed(world: World) -> ChangeFeed:
    return ChangeFeed(world.api_pool, max_followers=3, interval_s=0.02, max_kept=20)


def told(follower: Follower, count: int, seconds: float = 10.0) -> list[Change]:
    """Return so many changes that a follower is told, or those of so many seconds."""
    found: list[Change] = []
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        found += follower.next(0.1)
    return found


def numbers(changes: list[Change]) -> list[float]:
    return [float(change.what) for change in changes if change.kind == VALUE]


def test_what_is_committed_later_than_a_younger_change_is_not_missed(world: World, feed: ChangeFeed) -> None:
    """One transaction is held after it has stamped its value, while another one commits."""
    store(world, single(0.0))
    follower = feed.follow(None, None)
    insert = (
        "INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, float_value)"
        " SELECT now(), %s, e.id, t.id, 0, %s FROM endpoint e, resource_type t WHERE e.name = 'sim-0001'"
        " AND t.object_id = 3303"
    )
    with psycopg.connect(world.database.owner) as held:
        held.execute(insert.encode(), (-1, 1.0))
        store(world, single(2.0))
        assert told(follower, 1, 0.5) == []
        held.commit()
        assert numbers(told(follower, 2)) == [1.0, 2.0]
    # Who writes values holds it up from its first statement on, whether it has stamped anything or not.
    with psycopg.connect(world.database.ingest) as held:
        held.execute("SELECT 1 FROM endpoint")
        store(world, single(3.0))
        assert told(follower, 1, 0.5) == []
        held.rollback()
        assert numbers(told(follower, 1)) == [3.0]
    # Who only reads, or is a dump, holds up nobody.
    with psycopg.connect(world.database.owner) as held:
        held.execute("SELECT 1 FROM endpoint")
        store(world, single(4.0))
        assert numbers(told(follower, 1)) == [4.0]
    follower.leave()


def test_the_reader_of_changes_ends_with_its_pool(world: World) -> None:
    before = set(threading.enumerate())
    with open_pool(world.database.api, 1, "api") as pool:
        ChangeFeed(pool, interval_s=0.02).follow(None, None)
        (reader,) = [each for each in threading.enumerate() if each.name == "changes" and each not in before]
    reader.join(5)
    assert not reader.is_alive()


def test_who_comes_back_with_a_position_misses_nothing_and_gets_nothing_twice(
    world: World, feed: ChangeFeed
) -> None:
    store(world, single(0.0))
    first = feed.follow(None, None)
    store(world, *(single(float(number)) for number in range(1, 6)))
    got = told(first, 3)
    position = got[2].position
    first.leave()
    store(world, *(single(float(number)) for number in range(6, 60)))
    other = feed.follow(["nobody"], None)  # the feed has read on, and of somebody else
    second = feed.follow(["sim-0001"], position)
    store(world, single(60.0))
    assert numbers(told(second, 57)) == [float(number) for number in range(4, 61)]
    assert told(second, 1, 0.2) == []
    assert told(other, 1, 0.2) == []
    for each in (other, second):
        each.leave()


def test_who_falls_behind_what_is_kept_reads_for_himself(world: World, feed: ChangeFeed) -> None:
    store(world, single(0.0))
    slow, quick = feed.follow(None, None), feed.follow(None, None)
    for number in range(1, 50):
        store(world, single(float(number)))
    assert numbers(told(quick, 49)) == [float(number) for number in range(1, 50)]
    assert numbers(told(slow, 49)) == [float(number) for number in range(1, 50)]
    store(world, single(50.0))
    assert numbers(told(slow, 1)) == [50.0]
    slow.leave()
    quick.leave()


def test_registrations_and_operations_are_changes_too(world: World, feed: ChangeFeed) -> None:
    world.endpoint()
    follower = feed.follow(None, None)
    store(world, registration(0), kind=Kind.REGISTRATION)
    id_ = world.queue(path="/3/0/15")
    world.execute("UPDATE endpoint_operation SET status = 'CANCELLED', finished_at = clock_timestamp()")
    found = [change for change in told(follower, 4) if change.kind != VALUE]
    assert [(each.event, each.what, each.status) for each in found] == [
        ("presence", "registered", None),
        ("operation", "write", "QUEUED"),
        ("operation", "write", "CANCELLED"),
    ]
    assert {each.id for each in found[1:]} == {id_}
    follower.leave()


def test_one_reader_serves_all_and_ends_with_the_last(world: World, feed: ChangeFeed) -> None:
    followers = [feed.follow(None, None) for _ in range(3)]
    readers = [thread for thread in threading.enumerate() if thread.name == "changes"]
    assert len(readers) == 1
    with pytest.raises(TooManyStreamsError):
        feed.follow(None, None)
    for each in followers:
        each.leave()
    readers[0].join(5)
    assert not readers[0].is_alive()
    again = feed.follow(None, None)
    store(world, single(1.0))
    assert numbers(told(again, 1)) == [1.0]
    again.leave()


def test_a_stream_is_resumed_over_http(client: FlaskClient, world: World) -> None:
    store(world, single(0.0))
    begin = Position(change_horizon(world.api_pool))
    store(world, single(1.0), single(2.0))
    answer = client.get("/v1/stream?endpoint=sim-0001", headers={"Last-Event-ID": str(begin)}, buffered=False)
    pieces = iter(answer.response)
    text = ""
    while text.count("event: value") < 2:
        piece = next(pieces)
        assert isinstance(piece, bytes)
        text += piece.decode()
    answer.close()
    assert [line for line in text.splitlines() if "value" in line and "data" in line]
    last = [line[4:] for line in text.splitlines() if line.startswith("id: ")][1]
    again = client.get("/v1/stream?endpoint=sim-0001", headers={"Last-Event-ID": last})
    assert '"value":"2"' in again.text
    assert '"value":"1"' not in again.text


# ---------------------------------------------------------------------------------------------------------
# Endpoints that are deleted

KEPT = (
    "endpoint",
    "endpoint_operation",
    "endpoint_tag",
    "firmware_update",
    "resource",
    "resource_latest",
    "resource_hourly",
    "event",
    "event_resource",
    "device_log",
    "device_log_tail",
    "endpoint_remains",
)


def rows(world: World) -> dict[str, int]:
    """Count the rows of the tables that keep something of endpoints."""
    return {table: world.execute(f"SELECT count(*) FROM {table}")[0]["count"] for table in KEPT}


def given_all(client: FlaskClient, world: World, name: str) -> None:
    """Let a device that has gone since have told and done one of everything."""
    world.endpoint(name, registered=False)
    store(world, single(21.5, endpoint=name), single(22.5, endpoint=name))
    store(world, composite(name), composite(name), kind=Kind.COMPOSITE)
    node = {"kind": "singleResource", "id": 4014, "type": "OPAQUE", "value": "610a62"}
    store(world, {"ep": name, "obj_id": 20, "inst_id": 0, "val": node})
    client.put(f"/v1/endpoints/{name}/tags/site", json={"value": "bern"})
    world.queue(name)
    world.execute("UPDATE endpoint_operation SET status = 'CANCELLED', finished_at = now()")
    world.execute(
        "INSERT INTO resource_hourly (time, endpoint_id, resource_type_id, object_instance_id, minimum,"
        " maximum, mean, last, last_at, count) SELECT date_trunc('hour', now()), e.id, t.id, 0, 1, 1, 1, 1,"
        " now(), 1 FROM endpoint e, resource_type t WHERE e.name = %s",
        name,
    )


def composite(name: str) -> dict[str, Any]:
    """Return a composite as Leshan posts it."""
    nodes = {"/3/0/9": {"kind": "singleResource", "id": 9, "type": "INTEGER", "value": "90"}}
    return {"ep": name, "val": nodes, "ts": round(time.time() * 1000)}


def test_an_endpoint_is_deleted_with_all_that_is_kept_of_it(client: FlaskClient, world: World) -> None:
    given_all(client, world, "stays")
    before = rows(world)
    given_all(client, world, "goes")
    assert {table: count for table, count in rows(world).items() if count < 1} == {
        "firmware_update": 0,
        "endpoint_remains": 0,
    }

    answer = client.delete("/v1/endpoints/goes")
    assert (answer.status_code, answer.get_json()) == (200, {"name": "goes"})
    assert client.get("/v1/endpoints/goes").status_code == 404
    assert client.delete("/v1/endpoints/goes").status_code == 404
    assert client.get("/v1/operations?endpoint=goes").status_code == 404
    assert {each["endpoint"] for each in client.get("/v1/events").get_json()["events"]} == {"stays"}
    assert {each["endpoint"] for each in client.get("/v1/logs").get_json()["entries"]} == {"stays"}

    removed = []
    with psycopg.connect(world.database.housekeeping, autocommit=True) as connection:
        while rows(world)["endpoint_remains"]:
            removed.append(int(connection.execute("SELECT remove_remains(1)").fetchone()[0]))  # type: ignore[index]
    assert rows(world) == before
    assert max(removed) <= 3  # one of each of three tables

    store(world, single(23.5, endpoint="goes"))  # a device of that name is a new one
    [value] = client.get("/v1/endpoints/goes/values").get_json()["values"]
    assert value["value"] == "23.5"
    assert client.get("/v1/endpoints/goes/tags").get_json() == {"tags": {}}


@pytest.mark.parametrize(
    ("in_use", "told"),
    [
        ("UPDATE endpoint SET registered = true, expires_at = now() + interval '1 h'", "is registered"),
        (
            (
                "INSERT INTO enrolled_endpoint (name, revision) VALUES ('sim-0001', 1);"
                " INSERT INTO device_credential (endpoint, mode, identity, sealed_key, created_by)"
                " VALUES ('sim-0001', 'psk', 'a', 'x', 'ann')"
            ),
            "has a valid credential",
        ),
        (
            (
                "INSERT INTO endpoint_operation (endpoint_id, operation_type, path, status, lease_expires_at)"
                " SELECT id, 'read', '/3', 'SENDING', now() FROM endpoint"
            ),
            "is being sent an operation",
        ),
        (
            (
                "INSERT INTO firmware (version, file_name, download_url, size_bytes, sha256, uploaded_by)"
                " VALUES ('1', 'a', '', 1, sha256(''), 'ann');"
                " INSERT INTO firmware_update (endpoint_id, firmware_id, token, requested_by)"
                " SELECT e.id, f.id, repeat('t', 20), 'ann' FROM endpoint e, firmware f"
            ),
            "gets new firmware",
        ),
    ],
)
def test_an_endpoint_that_is_in_use_is_not_deleted(
    client: FlaskClient, world: World, in_use: str, told: str
) -> None:
    world.endpoint("sim-0001", registered=False)
    for statement in in_use.split(";"):
        world.execute(statement)
    answer = client.delete("/v1/endpoints/sim-0001")
    assert (answer.status_code, answer.get_json()["detail"]) == (
        409,
        f"'sim-0001' {next(words for words in OBSTACLES.values() if words.startswith(told))}",
    )
    forced = client.delete("/v1/endpoints/sim-0001?force=true")
    assert forced.status_code == (200 if told == "is registered" else 409)


def test_a_value_that_is_stored_while_its_endpoint_is_deleted_belongs_to_a_new_one(
    client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.endpoint("sim-0001", registered=False)
    store(world, single(21.5))
    write = Rows.write
    deleted: list[int] = []

    def delete_first(self: Rows, connection: psycopg.Connection) -> Any:
        if not deleted:
            deleted.append(client.delete("/v1/endpoints/sim-0001").status_code)
        return write(self, connection)

    monkeypatch.setattr(Rows, "write", delete_first)
    store(world, single(22.5))
    assert deleted == [200]
    [value] = client.get("/v1/endpoints/sim-0001/values").get_json()["values"]
    assert value["value"] == "22.5"
    assert world.execute("SELECT count(*) FROM telemetry") == [{"count": 1}]
