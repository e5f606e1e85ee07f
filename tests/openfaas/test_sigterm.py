"""SIGTERM to a function's container while it works: no error at the caller, nothing lost."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from local import web
from tests.fixtures.nexus import Answer, Nexus, wait_for
from tests.openfaas.cluster import Cluster

TIMEZONE = "/3/0/15"
BATCH = 500
ANSWER_TIME_S = 2.0
"""How long the slow device takes, less than the long poll's 3 s."""


def batch(source: str, number: int) -> dict[str, Any]:
    """Make an envelope of values, each at a time of its own."""
    first = number * BATCH
    start = 1_700_000_000_000
    items = [
        {
            "ep": "terminated",
            "obj_id": 3303,
            "inst_id": 0,
            "ts": start + first + n,
            "val": {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": str(first + n)},
        }
        for n in range(BATCH)
    ]
    return {"source": source, "lane": 0, "first_seq": first + 1, "items": items}


def terminate(cluster: Cluster, function: str) -> set[str]:
    """Send the container of a function's only replica SIGTERM; return its id."""
    found = cluster.containers(f"{function}-")
    [pid] = found.values()
    os.kill(pid, signal.SIGTERM)
    return set(found)


def await_another(cluster: Cluster, function: str, old: set[str]) -> None:
    wait_for(lambda: set(cluster.containers(f"{function}-")) - old, 30, f"another container of {function}")
    cluster.await_functions()


def stored(nexus: Nexus) -> list[float]:
    return [row["number"] for row in nexus.values("terminated", "/3303/0/5700")]


@pytest.fixture
def forget(nexus: Nexus) -> None:
    """Let nothing be stored of the endpoint of these tests yet."""
    nexus.sql(
        "DELETE FROM resource USING endpoint"
        " WHERE endpoint.id = resource.endpoint_id AND endpoint.name = 'terminated'"
    )


def post(nexus: Nexus, source: str, number: int) -> Answer:
    return nexus.request(
        "POST", "/function/ingest-single", batch(source, number), token=nexus.token("webhook")
    )


def test_sigterm_while_a_batch_is_being_stored(cluster: Cluster, nexus: Nexus, forget: None) -> None:
    with ThreadPoolExecutor() as pool:
        with psycopg.connect(cluster.database_url) as connection:
            connection.execute("LOCK TABLE resource IN ACCESS EXCLUSIVE MODE")
            answer: Future[Answer] = pool.submit(post, nexus, str(uuid.uuid4()), 0)
            wait_for(lambda: waiting(nexus), 10, "the batch to wait for the table")
            old = terminate(cluster, "ingest-single")
            time.sleep(1)
            assert not answer.done()
            assert set(cluster.containers("ingest-single-")) == old, "it ended with a batch under way"
        assert answer.result(20).status == 200
    assert sorted(stored(nexus)) == list(range(BATCH))
    await_another(cluster, "ingest-single", old)


def waiting(nexus: Nexus) -> bool:
    """Say whether somebody waits for the lock."""
    found = nexus.sql("SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return bool(found[0]["n"])


def test_sigterm_under_a_stream_of_batches(cluster: Cluster, nexus: Nexus, forget: None) -> None:
    """As in an upgrade: replicas are replaced one by one while callers go on."""
    scale(cluster, 2)
    stop, answers = threading.Event(), list[int]()
    source = str(uuid.uuid4())

    def stream() -> None:
        number = 0
        while not stop.is_set():
            answers.append(post(nexus, source, number).status)
            number += 1

    sender = threading.Thread(target=stream)
    sender.start()
    try:
        for old, pid in cluster.containers("ingest-single-").items():
            enough(lambda: len(answers), 5)
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda old=old: old not in cluster.containers("ingest-single-"), 30, "its end")  # type: ignore[misc]
            wait_for(lambda: len(cluster.containers("ingest-single-")) == 2, 30, "another in its place")
            cluster.await_functions()
        enough(lambda: len(answers), 5)
    finally:
        stop.set()
        sender.join()
        scale(cluster, 1)
    print(f"{len(answers)} batches of {BATCH}, answered {sorted(set(answers))}")
    assert set(answers) == {200}
    assert sorted(stored(nexus)) == list(range(len(answers) * BATCH))


def enough(count: Callable[[], int], more: int) -> None:
    """Wait until so many more have come."""
    begun = count()
    wait_for(lambda: count() >= begun + more, 30, f"{more} more")


def scale(cluster: Cluster, replicas: int) -> None:
    """Set the number of ingest-single's replicas, through the gateway."""
    body = {"serviceName": "ingest-single", "replicas": replicas}
    status, text = web.request(
        cluster.ports.gateway,
        "POST",
        "/system/scale-function/ingest-single",
        body=body,
        headers=web.basic(
            cluster.secrets.read("basic-auth-user"), cluster.secrets.read("basic-auth-password")
        ),
        timeout=60,
    )
    assert status in {200, 202}, text
    wait_for(lambda: len(cluster.containers("ingest-single-")) == replicas, 30, f"{replicas} replicas")
    cluster.await_functions()


def test_sigterm_while_a_device_thinks(cluster: Cluster, nexus: Nexus) -> None:
    endpoint = "slow-0001"
    nexus.await_idle(endpoint)
    asked = writes(nexus, endpoint)
    nexus.control(endpoint, "slow", seconds=ANSWER_TIME_S)
    try:
        id_ = nexus.write(endpoint, TIMEZONE, "Asia/Tokyo")
        nexus.await_status(id_, "SENDING")
        old = terminate(cluster, "dispatch-op")
        row = nexus.await_status(id_, "CONFIRMED", 15)
    finally:
        nexus.control(endpoint, "slow", seconds=0)
    assert row["attempts"] == 1
    assert nexus.control(endpoint)["values"][TIMEZONE] == "Asia/Tokyo"
    wait_for(lambda: writes(nexus, endpoint) == asked + 1, 5, "the device's own record")
    await_another(cluster, "dispatch-op", old)
    nexus.await_status(nexus.queue(endpoint, "read", TIMEZONE), "CONFIRMED")


def writes(nexus: Nexus, endpoint: str) -> int:
    """Return how often the device was asked to write its time zone."""
    return sum(line["path"] == TIMEZONE for line in nexus.requests(endpoint, "write"))
