"""The webhooks through the gateway: the documents' bodies, repetitions, bad input, Leshan's restart."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from local.servers.ports import LOOPBACK
from tests.fixtures.nexus import Answer, Nexus, wait_for

GROUPS = ("prefix=hook-,count=3,notify=200ms,lifetime=600,update=600s",)
PAYLOADS = Path(__file__).parent.parent / "payloads"
SINGLE, COMPOSITE = "/leshan_api/resource/single", "/leshan_api/resource/composite"
TEMPERATURE = "/3303/0/5700"


def documented(kind: str, endpoint: str) -> dict[str, Any]:
    """Return the documents' own body, for an endpoint of the test's own."""
    body: dict[str, Any] = json.loads((PAYLOADS / f"documented-{kind}.json").read_text())
    return body | {"ep": endpoint}


def single(endpoint: str, value: float, **more: Any) -> dict[str, Any]:
    node = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": str(value)}
    return {"ep": endpoint, "obj_id": 3303, "val": node} | more


def envelope(items: list[Any], source: str | None = None, first_seq: int = 1) -> dict[str, Any]:
    return {"source": source or str(uuid.uuid4()), "lane": 0, "first_seq": first_seq, "items": items}


def stored(nexus: Nexus, endpoint: str) -> list[tuple[str, str]]:
    rows = nexus.sql("SELECT path, value FROM telemetry WHERE endpoint = %s ORDER BY path", endpoint)
    return [(row["path"], row["value"]) for row in rows]


# The documents' bodies at the documents' URLs

WAYS = pytest.mark.parametrize("way", ["header", "path"])
SHAPES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda item: item,
    "array": lambda item: [item],
    "envelope": lambda item: envelope([item]),
}


def post(nexus: Nexus, path: str, body: Any, way: str) -> Answer:
    """Post with the token in the header, or in the path as a sender does that cannot set headers."""
    if way == "path":
        return nexus.request("POST", f"/hook/{quote(nexus.token('hook'), safe='')}{path}", body)
    return nexus.request("POST", path, body, token=nexus.token("webhook"))


@WAYS
@pytest.mark.parametrize("shape", SHAPES)
def test_the_documents_single_body_is_stored(nexus: Nexus, shape: str, way: str) -> None:
    endpoint = f"doc-{shape}-{way}"
    answer = post(nexus, SINGLE, SHAPES[shape](documented("single", endpoint)), way)
    assert (answer.status, answer.json["stored"], answer.json["rejected"]) == (200, 1, [])
    assert stored(nexus, endpoint) == [(TEMPERATURE, "24.899181214836236")]


@WAYS
@pytest.mark.parametrize("shape", SHAPES)
def test_the_documents_composite_body_is_stored_but_for_what_has_no_id(
    nexus: Nexus, shape: str, way: str
) -> None:
    endpoint = f"doc-composite-{shape}-{way}"
    answer = post(nexus, COMPOSITE, SHAPES[shape](documented("composite", endpoint)), way)
    assert (answer.status, answer.json["stored"]) == (200, 1)
    [rejected] = answer.json["rejected"]
    assert "multiResource" in rejected["reason"]
    assert stored(nexus, endpoint) == [("/3/0/0", "Zephyr"), ("/3/0/17", "qemu_x86")]


def test_a_registration_event_at_the_single_url_puts_a_device_online(nexus: Nexus) -> None:
    node = {"kind": "singleResource", "id": 0, "type": "TIME", "value": int(time.time() * 1000)}
    item = {"ep": "peer-0001", "obj_id": 10240, "val": node}
    assert nexus.webhook(item).json["stored"] == 1
    assert nexus.endpoint("peer-0001")["registered"]


def test_the_token_of_a_path_appears_in_no_log(nexus: Nexus) -> None:
    token = nexus.token("hook")
    for path in (SINGLE, COMPOSITE, "/nowhere"):
        post(nexus, path, b"no JSON", "path")
    assert nexus.request("GET", f"/hook/{token}{SINGLE}").status == 405
    for line in (f"POST /hook/{token}{SINGLE} HTTP/9.x", f"POST /hook/{token}/with a space HTTP/1.1"):
        with socket.create_connection((LOOPBACK, nexus.world.ports.gateway), timeout=10) as connection:
            connection.sendall(f"{line}\r\nHost: x\r\n\r\n".encode())
            assert b" 400 " in connection.recv(4096)
    logs = nexus.logs()
    assert "logs/gateway.log" in logs
    assert [name for name, text in logs.items() if token in text] == []


# Repetitions


def test_the_same_envelope_posted_twice_stores_once(nexus: Nexus) -> None:
    body = envelope([single("twice", 20 + number) for number in range(5)])
    first, second = nexus.webhook(body), nexus.webhook(body)
    assert (first.json["stored"], first.json["skipped"], first.json["mark"]) == (5, 0, 5)
    assert (second.json["stored"], second.json["skipped"], second.json["mark"]) == (0, 5, 5)
    assert len(stored(nexus, "twice")) == 5


def test_the_same_envelope_at_two_replicas_at_the_same_moment_stores_once(nexus: Nexus) -> None:
    nexus.world.scale("ingest-single", 2)
    source = str(uuid.uuid4())
    with ThreadPoolExecutor(8) as threads:
        for batch in range(10):
            items = [single("at-once", 100 * batch + number) for number in range(20)]
            body = envelope(items, source, 1 + 20 * batch)
            answers = [answer.json for answer in threads.map(nexus.webhook, [body] * 8)]
            assert sorted(answer["stored"] for answer in answers) == [0] * 7 + [20]
            assert {answer["mark"] for answer in answers} == {20 * (batch + 1)}
    rows = stored(nexus, "at-once")
    assert (len(rows), len(set(rows))) == (200, 200)
    asked = [served(replica["metrics_port"]) for replica in nexus.world.replicas("ingest-single")]
    nexus.world.scale("ingest-single", 1)
    assert len(asked) == 2
    assert min(asked) > 10


def served(metrics_port: int) -> int:
    """Return how many items a replica of a webhook function has taken or skipped."""
    connection = http.client.HTTPConnection(LOOPBACK, metrics_port, timeout=10)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return round(
        sum(float(line.split()[-1]) for line in lines if line.startswith("flownexus_webhook_items_total{"))
    )


# Bad input


def assert_healthy(nexus: Nexus) -> None:
    """Assert that every function still answers and that none was started again."""
    marker = f"healthy-{uuid.uuid4()}"
    assert nexus.webhook(single(marker, 20.5)).json["stored"] == 1
    assert nexus.webhook(documented("composite", marker), "composite").status == 200
    assert nexus.request("GET", "/function/operations", token=nexus.token("api")).status == 200
    replicas = nexus.world.gateway("GET", "/system/replicas")
    assert [r["name"] for r in replicas if not r["ready"] or r["crashes"]] == []


BAD_BODIES = {
    "empty": b"",
    "white space": b" \n",
    "not JSON": b"temperature=24",
    "cut off": b'{"ep": "x", "obj_id": 3303, "val": {"kind"',
    "not UTF-8": b'{"ep": "\xff", "obj_id": 3303}',
    "a string": b'"x"',
    "a number": b"1",
    "null": b"null",
    "arrays 10,000 deep": b"[" * 10_000 + b"]" * 10_000,
    "objects 10,000 deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a value 10,000 deep": b'{"ep":"deep","obj_id":3303,"val":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    "an envelope without numbers": b'{"items": []}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
@pytest.mark.parametrize(
    "path", [SINGLE, COMPOSITE, "/function/registration", "/function/operations", "/function/dispatch-op"]
)
def test_a_bad_body_is_answered_400_with_the_reason(nexus: Nexus, path: str, body: bytes) -> None:
    token = {"operations": "api", "dispatch-op": "connector"}.get(path.rpartition("/")[2], "webhook")
    before = nexus.sql("SELECT count(*) AS n FROM endpoint")
    answer = nexus.request("POST", path, body, token=nexus.token(token))
    if path == "/function/operations" and body[:1] in b'"1n{[' and answer.status == 422:
        pass  # JSON, but not an operation
    else:
        assert answer.status == 400, answer
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json["status"] == answer.status
    assert answer.json["detail"]
    assert nexus.sql("SELECT count(*) AS n FROM endpoint") == before


def post_blanks(nexus: Nexus, path: str, size: int, *, chunked: bool) -> int:
    """Post a body of so many bytes, taking the answer whenever it comes, and return its status."""
    token = nexus.token("api" if path.endswith("/operations") else "webhook")
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{length}\r\n\r\n"
    body = b"".join((b"%x\r\n" % size, b" " * size, b"\r\n0\r\n\r\n")) if chunked else b" " * size
    with socket.create_connection((LOOPBACK, nexus.world.ports.gateway), timeout=20) as connection:

        def send() -> None:
            with contextlib.suppress(OSError):  # refused before it was taken whole
                connection.sendall(head.encode() + body)

        sender = threading.Thread(target=send)
        sender.start()
        answer = connection.recv(65536)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        sender.join()
    assert answer, "no answer"
    return int(answer.split()[1])


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("path", [SINGLE, COMPOSITE, "/function/registration", "/function/operations"])
def test_a_body_of_50_mb_is_answered_413(nexus: Nexus, path: str, chunked: bool) -> None:
    assert post_blanks(nexus, path, 50_000_000, chunked=chunked) == 413


def test_a_body_of_3_mb_is_no_problem(nexus: Nexus) -> None:
    items = [single("much", number) for number in range(20_000)]
    assert nexus.webhook(envelope(items)).json["stored"] == 20_000


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("POST", SINGLE, None, 401),
        ("POST", SINGLE, "api", 401),
        ("POST", COMPOSITE, "leshan", 401),
        ("POST", f"/hook/wrong{SINGLE}", None, 401),
        ("POST", "/function/registration", "connector", 401),
        ("POST", "/function/operations", "webhook", 401),
        ("POST", "/function/dispatch-op", "api", 401),
        ("POST", "/function/housekeeping", "webhook", 401),
        ("POST", "/function/ingest-single/nowhere", "webhook", 404),
        ("POST", "/function/nothing", "webhook", 404),
        ("POST", "/leshan_api/resource/nothing", "webhook", 404),
        ("GET", SINGLE, "webhook", 405),
        ("PUT", COMPOSITE, "webhook", 405),
        ("GET", "/function/registration", "webhook", 405),
        ("DELETE", "/function/operations", "api", 405),
    ],
)
def test_a_wrong_token_url_or_method_is_said_so(
    nexus: Nexus, method: str, path: str, token: str | None, status: int
) -> None:
    body = single("never", 1) if method in {"POST", "PUT"} else None
    answer = nexus.request(method, path, body, token=None if token is None else nexus.token(token))
    assert answer.status == status, answer
    assert nexus.endpoint("never") == {}


NAMES = {
    "300 characters": "x" * 300,
    "quote": "o'brien'; DROP TABLE endpoint; --",
    "dot": ".a..b.",
    "wildcards": "*.>",
    "spaces": " a b ",
    "emoji": "\N{SATELLITE}\N{VARIATION SELECTOR-16} 1",
    "slashes": "urn:dev/../a%2Fb?c#d",
}


@pytest.mark.parametrize("endpoint", NAMES.values(), ids=NAMES)
def test_any_endpoint_name_can_have_values_and_operations(nexus: Nexus, endpoint: str) -> None:
    node = {"kind": "singleResource", "id": 0, "type": "TIME", "value": int(time.time() * 1000)}
    assert (
        nexus.webhook([single(endpoint, 20.5), {"ep": endpoint, "obj_id": 10240, "val": node}]).status == 200
    )
    assert nexus.latest(endpoint, TEMPERATURE) == "20.5"
    # It is online, by its own word: the hint comes through NATS, and Leshan is asked for this very name.
    operation = nexus.queue(endpoint, "read", TEMPERATURE)
    row = wait_for(
        lambda: row if (row := nexus.operation(operation))["reason"] else {},
        5,
        "dispatch-op to have asked Leshan",
    )
    assert (row["status"], row["attempts"]) == ("QUEUED", 0)
    assert row["reason"] == "the device is not registered at Leshan"


def test_the_functions_are_healthy_after_all_that(nexus: Nexus) -> None:
    assert_healthy(nexus)


# Leshan's restart


def test_after_a_restart_of_leshan_values_go_on_and_none_is_taken_for_a_repetition(nexus: Nexus) -> None:
    """Registrations, observations and numbers are in the spool; the device's next packet is as any other."""
    endpoints = ["hook-0001", "hook-0002", "hook-0003"]
    for endpoint in endpoints:
        wait_for(lambda endpoint=endpoint: len(nexus.ledger(endpoint)) > 5, 15, "notifications")  # type: ignore[misc]
    before = _marks(nexus)
    registrations = nexus.sql("SELECT name, registration_id FROM endpoint ORDER BY name")
    nexus.world.restart_part("leshan")
    restarted = time.time()

    def news(endpoint: str) -> int:
        return sum(line["t"] > restarted * 1000 for line in nexus.ledger(endpoint))

    for endpoint in endpoints:
        wait_for(lambda endpoint=endpoint: news(endpoint) > 5, 20, "notifications again")  # type: ignore[misc]
    for endpoint in endpoints:
        sent = {line["value"] for line in nexus.ledger(endpoint)}

        def values(endpoint: str = endpoint) -> list[float]:
            return [row["number"] for row in nexus.values(endpoint, TEMPERATURE)]

        wait_for(lambda sent=sent, values=values: sent <= set(values()), 10, "all the ledger's values")  # type: ignore[misc]
        found = values()
        assert len(found) == len(set(found))
    after = _marks(nexus)
    assert set(after) >= set(before), "the source of the numbers has changed"
    assert all(after[lane] >= mark for lane, mark in before.items())
    assert sum(after.values()) > sum(before.values())
    assert nexus.sql("SELECT DISTINCT gaps FROM delivery_mark") == [{"gaps": 0}]
    assert nexus.sql("SELECT name, registration_id FROM endpoint ORDER BY name") == registrations


def _marks(nexus: Nexus) -> dict[tuple[Any, int], int]:
    rows = nexus.sql("SELECT source, lane, mark FROM delivery_mark WHERE kind = 'single'")
    return {(row["source"], row["lane"]): row["mark"] for row in rows}
