"""Logs of devices: kept apart from values, once a line, and searched."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flownexus.errors import NotFoundError
from flownexus.leshan.webhook import Kind
from flownexus.lwm2m.device_log import Severity
from flownexus.store.device_log import LogSearch, search_log
from flownexus.store.telemetry import Telemetry
from flownexus.web.ingest import create_app
from tests.fixtures.guard import guard_of
from tests.fixtures.world import World

NOW = datetime.now(UTC).replace(microsecond=0)
Tell = Callable[..., dict[str, Any]]


@pytest.fixture
def tell(world: World) -> Tell:
    """Let a device tell the value of a resource, to one replica."""
    app = create_app(Kind.SINGLE, world.ingest_pool, Telemetry(timedelta(days=365)), None, guard_of("hook"))
    client = app.test_client()

    def tell(
        content: bytes | str,
        at: datetime = NOW,
        *,
        path: tuple[int, int, int] = (20, 0, 4014),
        endpoint: str = "sim-0001",
    ) -> dict[str, Any]:
        type_, value = ("OPAQUE", content.hex()) if isinstance(content, bytes) else ("STRING", content)
        object_id, instance, resource = path
        node = {"kind": "singleResource", "id": resource, "type": type_, "value": value}
        body = {"ep": endpoint, "obj_id": object_id, "inst_id": instance, "val": node}
        body["ts"] = round(at.timestamp() * 1000)
        answer = client.post("/", data=json.dumps([body]).encode(), headers={"Authorization": "Bearer hook"})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    return tell


def entries(world: World, **search: Any) -> list[tuple[str | None, str]]:
    """Return severity and message of what is found, the oldest first."""
    found = search_log(world.api_pool, LogSearch(**search), 100)
    return [(entry.severity_name, entry.message) for entry in reversed(found)]


def test_a_log_that_tells_all_that_it_holds_is_kept_once_and_not_among_the_values(
    world: World, tell: Tell
) -> None:
    for content in (b"boot\n", b"boot\n<11>hot\n", b"boot\n<11>hot\n", b"ot\n<11>hot\ncold\n"):
        assert tell(content)["stored"] == 1
    assert entries(world) == [(None, "boot"), ("error", "hot"), (None, "cold")]
    for table in ("resource", "resource_latest", "resource_type", "dead_letter"):
        assert world.execute(f"SELECT * FROM {table}") == []


def test_each_instance_of_each_device_has_a_log_of_its_own(world: World, tell: Tell) -> None:
    tell(b"one\n")
    tell(b"one\n", path=(20, 1, 4014))
    tell(b"one\n", endpoint="sim-0002")
    assert len(entries(world)) == 3
    assert entries(world, endpoint="sim-0002") == [(None, "one")]


def test_a_resource_that_is_marked_as_a_log_is_one_from_the_next_value_on(world: World, tell: Tell) -> None:
    path = (3441, 0, 110)
    tell("a value", path=path)
    world.execute("INSERT INTO log_resource (object_id, resource_id) VALUES (3441, 110)")
    tell("a line", path=path)
    tell("a line", path=path)  # each value is lines of its own
    assert entries(world) == [(None, "a line")] * 2
    assert [row["value"] for row in world.execute("SELECT value FROM telemetry")] == ["a value"]


def test_an_entry_has_its_own_time_where_that_is_to_be_believed(world: World, tell: Tell) -> None:
    old, wrong = NOW - timedelta(hours=3), NOW - timedelta(days=5000)
    items = [
        {"time": old.timestamp(), "severity": 4, "source": "main", "message": "hot"},
        {"time": wrong.timestamp(), "message": "clock not set"},
        {"message": "no clock"},
    ]
    tell(json.dumps(items).encode())
    found = world.execute("SELECT time, source, message FROM log_entry ORDER BY id")
    assert [(row["time"], row["source"], row["message"]) for row in found] == [
        (old, "main", "hot"), (NOW, None, "clock not set"), (NOW, None, "no clock"),
    ]  # fmt: skip


def test_what_is_no_text_is_shown_in_hex(world: World, tell: Tell) -> None:
    tell(b"\x00\xff")
    [entry] = search_log(world.api_pool, LogSearch(), 10)
    assert (entry.message, entry.hex) == ("00ff", True)


def test_half_a_character_in_an_entry_of_json_holds_up_nothing(world: World, tell: Tell) -> None:
    assert tell(rb'[{"message": "half \ud83d"}, {"message": "whole"}]')["stored"] == 1
    assert entries(world) == [(None, "half \N{REPLACEMENT CHARACTER}"), (None, "whole")]


def test_a_log_is_searched_by_endpoint_time_severity_source_and_text(world: World, tell: Tell) -> None:
    for n, line in enumerate(["<11>1 - - fan - - - 100% worn_out", "<14>1 - - fan - - - Fine", "no mark"]):
        tell(line.encode(), NOW - timedelta(hours=n), path=(20, n, 4014))
    tell(b"<8>elsewhere", endpoint="sim-0002")
    assert entries(world, endpoint="sim-0001", severity=Severity.INFO) == [
        ("info", "Fine"), ("error", "100% worn_out"),
    ]  # fmt: skip
    assert entries(world, severity=Severity.ERROR) == [("error", "100% worn_out"), ("emergency", "elsewhere")]
    assert entries(world, source="fan", text="fine") == [("info", "Fine")]
    assert entries(world, text="0% W") == [("error", "100% worn_out")]
    assert entries(world, text="100%_worn") == []
    assert entries(world, text="\\") == []
    assert entries(world, to_time=NOW, from_time=NOW - timedelta(hours=2)) == [
        (None, "no mark"), ("info", "Fine"),
    ]  # fmt: skip
    with pytest.raises(NotFoundError, match="no endpoint 'nobody'"):
        entries(world, endpoint="nobody")


def test_pages_follow_each_other_whatever_comes_between(world: World, tell: Tell) -> None:
    tell("\n".join(f"line {n}" for n in range(10)).encode())
    seen: list[str] = []
    before: tuple[datetime, int] | None = None
    while page := search_log(world.api_pool, LogSearch(before=before), 3):
        seen += [entry.message for entry in page]
        before = (page[-1].time, page[-1].id)
        tell(f"new {len(seen)}".encode(), NOW + timedelta(seconds=1), path=(20, 1, 4014))
    assert seen == [f"line {n}" for n in reversed(range(10))]


def test_a_value_beside_a_log_in_a_composite_is_kept(world: World) -> None:
    app = create_app(
        Kind.COMPOSITE, world.ingest_pool, Telemetry(timedelta(days=365)), None, guard_of("hook")
    )
    log = {"kind": "singleResource", "id": 4014, "type": "OPAQUE", "value": b"hot".hex()}
    number = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "90.5"}
    more = log | {"value": b"hot\nhotter".hex()}
    body = [
        {"ep": "sim-0001", "val": {"/20/0/4014": log, "/3303/0/5700": number}},
        {"ep": "sim-0001", "val": {"/20/0/4014": more}},
    ]
    answer = app.test_client().post(
        "/", data=json.dumps(body).encode(), headers={"Authorization": "Bearer hook"}
    )
    assert answer.get_json() == {"stored": 2, "skipped": 0, "mark": None, "rejected": []}
    assert entries(world) == [(None, "hot"), (None, "hotter")]
    assert [row["path"] for row in world.execute("SELECT path FROM telemetry")] == ["/3303/0/5700"]
    assert len(world.execute("SELECT * FROM event")) == 1
