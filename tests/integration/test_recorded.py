"""What our Leshan posts, as tests/payloads/record.py recorded it, means to the webhook functions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from psycopg.rows import dict_row

from flownexus.leshan.webhook import Kind
from flownexus.store.pool import open_pool
from flownexus.store.telemetry import Telemetry
from flownexus.web.ingest import create_app
from tests.fixtures.guard import guard_of
from tests.fixtures.payloads import just_sent, recorded
from tests.fixtures.postgres import Database

RECORDED = [name for kind in Kind for name in recorded(kind)]
ANY = object()
THERMOMETER = {
    "/3303/0/5601": ANY,
    "/3303/0/5602": ANY,
    "/3303/0/5603": "-40",
    "/3303/0/5604": "85",
    "/3303/0/5701": "Cel",
    "/3303/0/5750": "",
}
EXPECTED: dict[str, tuple[list[str], list[dict[str, Any]]]] = {
    # The events, and the values of each time in order.
    "single-float": ([], [{"/3303/0/5700": "24.9"}]),
    "single-string": ([], [{"/3/0/15": "Europe/Zürich \N{SNOWMAN}"}]),
    "single-multi-resource": ([], [{"/3/0/7/0": "3800", "/3/0/7/1": "4987"}]),
    "single-instance-2": ([], [{"/3303/2/5700": "22.5"}]),
    "composite-instance-observation": (["composite"], [THERMOMETER | {"/3303/0/5700": "25.1"}]),
    "composite-object-observation": (["composite"], [THERMOMETER | {"/3303/0/5700": "25.2"}]),
    "composite-composite-observation": (["composite"], [{"/3303/0/5700": "25.3", "/3/0/9": "95"}]),
    "composite-send": (["composite"], [{"/3303/0/5700": ANY, "/3/0/9": "95", "/3/0/0": "Flow Nexus"}]),
    "composite-timestamped-send": (["composite"] * 3, [{"/3303/0/5700": ANY, "/3/0/9": "95"}] * 3),
    "registration-registered": (["registered"], [{"/10240/0/0": ANY}]),
    "registration-updated": (["updated"], [{"/10240/0/2": ANY}]),
    "registration-unregistered": (["unregistered"], [{"/10240/0/1": ANY}]),
}


class Functions:
    """The webhook functions on a database of their own."""

    def __init__(self, database: Database, clients: dict[Kind, FlaskClient]) -> None:
        self._connection = psycopg.connect(database.owner, autocommit=True, row_factory=dict_row)
        self._clients = clients

    def close(self) -> None:
        self._connection.close()

    def post(self, kind: Kind, body: Any) -> dict[str, Any]:
        answer = self._clients[kind].post("/", json=body, headers={"Authorization": "Bearer secret"})
        assert answer.status_code == 200, answer.text
        assert isinstance(answer.json, dict)
        return answer.json

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self._connection.execute(query.encode()).fetchall()


@pytest.fixture
def functions(database: Database) -> Iterator[Functions]:
    with open_pool(database.ingest, 4, "test") as pool:
        apps = {
            kind: create_app(kind, pool, Telemetry(timedelta(days=365)), None, guard_of("secret"))
            for kind in Kind
        }
        functions = Functions(database, {kind: app.test_client() for kind, app in apps.items()})
        yield functions
        functions.close()


def load(name: str) -> tuple[Kind, Any]:
    return Kind(name.split("-")[1]), just_sent(name)


def test_every_recording_is_expected() -> None:
    assert {f"recorded-{name}.json" for name in EXPECTED} == set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_body_is_stored_whole_once_at_its_own_times(functions: Functions, name: str) -> None:
    kind, body = load(name)
    events, values = EXPECTED[name.removeprefix("recorded-").removesuffix(".json")]
    last = body["first_seq"] + len(body["items"]) - 1
    first = functions.post(kind, body)
    assert first == {"stored": len(values), "skipped": 0, "mark": last, "rejected": []}
    again = functions.post(kind, body)
    assert again == {"stored": 0, "skipped": len(values), "mark": last, "rejected": []}

    rows = functions.rows(
        "SELECT endpoint, path, value, (extract(epoch FROM time) * 1000)::bigint AS ms FROM telemetry"
    )
    assert {row["endpoint"] for row in rows} == {item["ep"] for item in body["items"]}
    stored: dict[int, dict[str, str]] = {}
    for row in rows:
        assert stored.setdefault(row["ms"], {}).setdefault(row["path"], row["value"]) is row["value"]
    assert sorted(stored) == [item["ts"] for item in body["items"]]
    for at, expected in zip(sorted(stored), values, strict=True):
        found = {path: ANY if expected.get(path) is ANY else value for path, value in stored[at].items()}
        assert found == expected
    assert [row["event_type"] for row in functions.rows("SELECT event_type FROM event")] == events
    assert functions.rows("SELECT * FROM dead_letter") == []


def test_a_recorded_registration_says_all_of_the_endpoint(functions: Functions) -> None:
    functions.post(*load("recorded-registration-registered.json"))
    [row] = functions.rows("SELECT * FROM endpoint")
    assert row["registered"]
    assert (row["lifetime"], row["binding"], row["lwm2m_version"]) == (300, "U", "1.1")
    assert row["address"].startswith("127.0.0.1:")
    assert row["content_formats"] == [60, 110, 112, 11542, 11543]
    assert {"/1/0", "/3/0", "/5/0", "/20/0", "/3303/0"} <= set(row["objects"])
    planned = functions.rows("SELECT operation_type, path FROM endpoint_operation ORDER BY id")
    assert [(plan["operation_type"], plan["path"]) for plan in planned] == [
        ("observe", "/3303/0/5700"),
        ("observe", "/5/0/3"),
        ("observe", "/5/0/5"),
        ("read", "/3"),
    ]


def test_recorded_registered_updated_and_unregistered_follow_each_other(functions: Functions) -> None:
    contact_count = []
    for what in ("registered", "updated", "unregistered"):
        functions.post(*load(f"recorded-registration-{what}.json"))
        [row] = functions.rows("SELECT registered, contact_count FROM endpoint")
        contact_count.append((row["registered"], row["contact_count"]))
    assert contact_count == [(True, 1), (True, 2), (False, 2)]
