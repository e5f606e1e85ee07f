"""Transactions and what is done at their end, in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from flownexus.errors import (
    LockedError,
    StatementTimeoutError,
    TooWideError,
    UnavailableError,
)
from flownexus.store.operation_requests import list_newest
from flownexus.store.pool import Pool, open_pool
from flownexus.store.transaction import MAX_TRIES, Transaction, TryAgainError, transaction
from tests.fixtures.postgres import Database


@pytest.fixture
def pool(database: Database) -> Iterator[Pool]:
    with open_pool(database.ingest, 2, "test") as pool:
        yield pool


def test_hooks_are_called_around_the_commit(pool: Pool, database: Database) -> None:
    done: list[str] = []

    def others_see() -> str:
        with psycopg.connect(database.owner) as connection:
            return str(connection.execute("SELECT count(*) FROM endpoint").fetchone())

    def work(current: Transaction) -> str:
        current.connection.execute("INSERT INTO endpoint (name) VALUES ('new')")
        current.before_commit(lambda: done.append(f"before: {others_see()}"))
        current.after_commit(lambda: done.append(f"after: {others_see()}"))
        return "result"

    assert transaction(pool, work) == "result"
    assert done == ["before: (0,)", "after: (1,)"]


def test_hooks_of_what_is_rolled_back_are_not_called(pool: Pool) -> None:
    done: list[str] = []

    def work(current: Transaction) -> None:
        current.after_commit(lambda: done.append("kept"))
        with pytest.raises(psycopg.errors.DivisionByZero):
            in_savepoint(current)

    def in_savepoint(current: Transaction) -> None:
        with current.savepoint():
            current.before_commit(lambda: done.append("check of the savepoint"))
            current.after_commit(lambda: done.append("of the savepoint"))
            current.connection.execute("SELECT 1 / 0")

    transaction(pool, work)
    assert done == ["kept"]

    def fails(current: Transaction) -> None:
        current.after_commit(lambda: done.append("of the transaction"))
        current.connection.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        transaction(pool, fails)
    assert done == ["kept"]


def test_a_rehearsal_is_taken_back_with_its_hooks_and_raises_what_it_meets(
    pool: Pool, database: Database
) -> None:
    done: list[str] = []

    def work(current: Transaction) -> None:
        current.after_commit(lambda: done.append("kept"))
        with current.savepoint(rehearsal=True):
            current.before_commit(lambda: done.append("check of the rehearsal"))
            current.after_commit(lambda: done.append("of the rehearsal"))
            current.connection.execute("INSERT INTO endpoint (name) VALUES ('rehearsed')")
        with pytest.raises(KeyError), current.savepoint(rehearsal=True):
            raise KeyError
        current.connection.execute("INSERT INTO endpoint (name) VALUES ('stored')")

    transaction(pool, work)
    assert done == ["kept"]
    with psycopg.connect(database.owner) as connection:
        assert connection.execute("SELECT name FROM endpoint").fetchall() == [("stored",)]


def test_a_bug_after_the_commit_is_logged_and_the_other_hooks_are_called(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def bug() -> None:
        raise KeyError("unforeseen")

    def work(current: Transaction) -> str:
        current.after_commit(bug)
        current.after_commit(lambda: done.append("after"))
        return "result"

    assert (transaction(pool, work), done) == ("result", ["after"])
    [record] = caplog.records
    assert record.exc_info


def test_a_check_before_the_commit_can_have_the_work_done_again(pool: Pool) -> None:
    tries: list[Transaction] = []
    committed: list[int] = []

    def work(current: Transaction) -> None:
        tries.append(current)
        number = len(tries)

        def check() -> None:
            if number == 1:
                raise TryAgainError("once more")

        current.before_commit(check)
        current.after_commit(lambda: committed.append(number))

    transaction(pool, work)
    assert (len(tries), committed) == (2, [2])

    def never(current: Transaction) -> None:
        tries.append(current)
        raise TryAgainError("always")

    tries.clear()
    with pytest.raises(UnavailableError, match="given up"):
        transaction(pool, never)
    assert len(tries) == MAX_TRIES


def test_connections_that_were_lost_while_nobody_used_them_fail_no_request(
    pool: Pool, database: Database
) -> None:
    def pid(current: Transaction) -> Any:
        return current.connection.execute("SELECT pg_backend_pid()").fetchone()

    with pool.connection(), pool.connection():
        pass  # both are in the pool now
    lost = transaction(pool, pid)
    with psycopg.connect(database.owner, autocommit=True) as owner:
        ended = owner.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'flownexus test'"
        ).fetchall()
    assert ended == [(True,), (True,)]

    assert transaction(pool, pid) != lost


def test_a_cancelled_statement_and_a_lock_are_not_an_outage(pool: Pool, database: Database) -> None:
    def slow(current: Transaction) -> None:
        current.connection.execute("SET LOCAL statement_timeout = '50ms'")
        current.connection.execute("SELECT pg_sleep(10)")

    def locked(current: Transaction) -> None:
        current.connection.execute("SET LOCAL lock_timeout = '50ms'")
        current.connection.execute("SELECT FROM endpoint WHERE name = 'held' FOR UPDATE")

    with pytest.raises(StatementTimeoutError) as timeout:
        transaction(pool, slow)
    assert not isinstance(timeout.value, UnavailableError)
    assert (timeout.value.status, timeout.value.retry_after) == (503, 1)
    with psycopg.connect(database.owner) as connection:
        connection.execute("INSERT INTO endpoint (name) VALUES ('held')")
        connection.commit()
        connection.execute("SELECT FROM endpoint FOR UPDATE")
        with pytest.raises(LockedError) as lock:
            transaction(pool, locked)
    assert not isinstance(lock.value, UnavailableError)


def test_who_lists_too_much_is_told_to_ask_for_less(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flownexus.store.pool.STATEMENT_TIMEOUT_S", 0.3)
    with open_pool(database.api, 1, "test") as pool, psycopg.connect(database.owner) as owner:
        owner.execute("LOCK TABLE endpoint_operation IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TooWideError) as raised:
            list_newest(pool, None, None, None, 10)
    assert (raised.value.status, raised.value.retry_after) == (422, None)
