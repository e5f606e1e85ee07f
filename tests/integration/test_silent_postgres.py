"""PostgreSQL's host vanishes in the middle of a query: no FIN, no RST, and a new server answers."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from flownexus.credentials import SecretFolder
from local.servers.ports import free_port
from tests.fixtures.nexus import wait_for
from tests.fixtures.postgres import Database
from tests.fixtures.relay import Relay
from tests.fixtures.served import FUNCTIONS, Serve, Served

POOL = 4
SOON = 45.0
"""Seconds: far beyond the bound of a statement, far below the two hours of TCP's own keepalive."""


@pytest.fixture
def ingest(relay: Relay, database: Database, serve: Serve, tmp_path: Path) -> Served:
    secrets = SecretFolder(tmp_path / "secrets")
    secrets.write("flownexus-ingest-database-url", relay.through(database.ingest))
    secrets.write("flownexus-nats-url", f"nats://127.0.0.1:{free_port()}")
    secrets.write("flownexus-webhook-token", "webhook")
    return serve(
        folder=FUNCTIONS / "ingest-single",
        database_pool_size=str(POOL),
        secret_mount_path=str(secrets.folder),
    )


def post(served: Served, number: int = 1) -> int:
    """Post an envelope of one value, of a source of its own: it shares no transaction; return the status."""
    node = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": str(number)}
    items = [{"ep": f"device-{number}", "obj_id": 3303, "val": node}]
    body = {"source": str(uuid.uuid4()), "lane": 0, "first_seq": 1, "items": items}
    headers = {"Authorization": "Bearer webhook"}
    status, _, _ = served.request("POST", "/", json.dumps(body).encode(), headers, timeout=90)
    return status


def ready(served: Served) -> int:
    return served.request("GET", "/_/ready")[0]


def test_requests_succeed_again_soon_after_postgresql_vanished_mid_query_and_readiness_tells(
    ingest: Served, relay: Relay, database: Database
) -> None:
    assert post(ingest) == 200
    with psycopg.connect(database.owner) as holder, ThreadPoolExecutor(POOL + 1) as callers:
        holder.execute("LOCK TABLE delivery_mark IN ACCESS EXCLUSIVE MODE")
        answers = [callers.submit(post, ingest, number) for number in range(POOL)]
        wait_for(lambda: waiting(database) == POOL, what="all connections of the pool in a query")
        assert relay.fall_silent() >= POOL
        holder.rollback()
        answers.append(callers.submit(post, ingest))  # there is no connection for it
        wait_for(lambda: ready(ingest) == 503, SOON, "readiness to tell of it")
        assert [answer.result() for answer in answers] == [503] * (POOL + 1)
    wait_for(lambda: post(ingest) == 200, SOON, "a request to succeed")
    assert ready(ingest) == 200


def test_connections_that_fell_silent_while_idle_are_replaced_and_readiness_returns_by_itself(
    ingest: Served, relay: Relay
) -> None:
    with ThreadPoolExecutor(POOL) as callers:
        assert set(callers.map(lambda number: post(ingest, number), range(40))) == {200}
    assert relay.fall_silent() >= 1
    assert post(ingest) == 503
    wait_for(lambda: ready(ingest) == 200, SOON, "readiness without any request")
    assert post(ingest) == 200


def waiting(database: Database) -> int:
    """Return how many of the function's sessions wait for a lock."""
    with psycopg.connect(database.owner) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database() AND application_name = 'flownexus ingest-single'"
        ).fetchone()
    assert row is not None
    return int(row[0])
