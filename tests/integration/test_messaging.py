"""Publishing hints to a real NATS server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from flownexus.messaging import connection
from flownexus.messaging.connection import Servers, connect
from flownexus.messaging.publisher import Publisher
from flownexus.messaging.subjects import STREAM, Hint, HintKind, endpoint_name, token
from local import REPOSITORY
from local.servers.nats import NatsServerError, Server
from local.servers.ports import LOOPBACK, free_port
from tests.fixtures.waiting import until


@pytest.fixture
def publisher(nats_url: str) -> Iterator[Publisher]:
    with Publisher(nats_url) as publisher:
        assert publisher.wait_connected(5)
        yield publisher


async def jetstream(url: str) -> tuple[Client, JetStreamContext]:
    client = await nats.connect(url)
    return client, client.jetstream()


def in_stream(url: str) -> dict[str, bytes]:
    """Return subject and body of every message in the stream."""

    async def read() -> dict[str, bytes]:
        client, js = await jetstream(url)
        found: dict[str, bytes] = {}
        state = (await js.stream_info(STREAM)).state
        if state.messages:
            for sequence in range(state.first_seq, state.last_seq + 1):
                try:
                    message = await js.get_msg(STREAM, sequence)
                except nats.js.errors.NotFoundError:
                    continue
                assert message.subject is not None
                found[message.subject] = message.data or b""
        await client.close()
        return found

    return asyncio.run(read())


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Let a process do nothing for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        # The signal is only sent by then: a thread that runs on another core may still answer.
        until(lambda: all(_state(task) == "T" for task in Path(f"/proc/{pid}/task").iterdir()))
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


def test_a_hint_is_in_the_stream_under_its_subject(publisher: Publisher, nats_url: str) -> None:
    names = ["sim-0001", "it's a.name * > 😀", "😀" * 320, "", "\ud800"]
    assert publisher.publish([Hint(HintKind.REGISTERED, name) for name in names]) == 0
    found = in_stream(nats_url)
    assert {subject: json.loads(body) for subject, body in found.items()} == {
        f"lwm2m.registration.registered.{token(name)}": {"ep": name} for name in names
    }
    assert sorted(endpoint_name(subject.split(".")[3]) for subject in found) == sorted(names)


def test_hints_for_one_endpoint_coalesce(publisher: Publisher, nats_url: str) -> None:
    for _ in range(5):
        assert (
            publisher.publish(
                [Hint(HintKind.QUEUED, "a"), Hint(HintKind.QUEUED, "b"), Hint(HintKind.UPDATED, "a")]
            )
            == 0
        )
    assert len(in_stream(nats_url)) == 3


def test_a_thousand_are_published_at_once(publisher: Publisher, nats_url: str) -> None:
    began = time.monotonic()
    assert publisher.publish([Hint(HintKind.QUEUED, f"ep-{n}") for n in range(1000)], timeout=10) == 0
    assert time.monotonic() - began < 5
    assert len(in_stream(nats_url)) == 1000


def test_a_name_too_long_for_the_server_is_a_failure_and_harms_no_other(publisher: Publisher) -> None:
    assert publisher.publish([Hint(HintKind.QUEUED, "😀" * 2000), Hint(HintKind.QUEUED, "a")]) == 1
    assert publisher.connected


def test_nothing_to_publish_is_no_failure(publisher: Publisher) -> None:
    assert publisher.publish([]) == 0


def test_many_threads_publish_at_once(publisher: Publisher, nats_url: str) -> None:
    failures: list[int] = []
    threads = [
        threading.Thread(
            target=lambda n=n: failures.append(
                publisher.publish([Hint(HintKind.QUEUED, f"{n}-{m}") for m in range(10)], 5)
            )
        )
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [0] * 20
    assert len(in_stream(nats_url)) == 200


async def test_an_event_loop_publishes_without_being_blocked(publisher: Publisher) -> None:
    hints = [Hint(HintKind.QUEUED, f"ep-{n}") for n in range(50)]
    assert await asyncio.gather(*(publisher.publish_async(hints, 5) for _ in range(5))) == [0] * 5


def test_an_absent_server_fails_fast_and_is_found_when_it_comes(nats_server: Server) -> None:
    nats_server.stop()
    with Publisher(nats_server.url) as publisher:
        began = time.monotonic()
        assert publisher.publish([Hint(HintKind.QUEUED, "a")], timeout=5) == 1
        assert time.monotonic() - began < 2.5
        assert not publisher.connected
        nats_server.start()
        assert publisher.wait_connected(5)
        assert publisher.publish([Hint(HintKind.QUEUED, "a")]) == 0


@pytest.mark.parametrize("empty", [False, True])
def test_a_server_that_went_and_came_back_is_used_again(
    publisher: Publisher, nats_server: Server, empty: bool
) -> None:
    assert publisher.publish([Hint(HintKind.QUEUED, "a")]) == 0
    nats_server.stop()
    until(lambda: not publisher.connected)
    assert publisher.publish([Hint(HintKind.QUEUED, "b")], timeout=5) == 1
    if empty:
        nats_server.erase()
    nats_server.start()
    assert publisher.wait_connected(5)
    assert publisher.publish([Hint(HintKind.QUEUED, "c")]) == 0
    assert len(in_stream(nats_server.url)) == (1 if empty else 2)


def test_a_killed_server_is_no_error_to_who_publishes(publisher: Publisher, nats_server: Server) -> None:
    stop = threading.Event()
    slowest = 0.0

    def publish() -> None:
        nonlocal slowest
        n = 0
        while not stop.is_set():
            began = time.monotonic()
            publisher.publish([Hint(HintKind.QUEUED, f"ep-{n}")], timeout=1)
            slowest = max(slowest, time.monotonic() - began)
            n += 1

    thread = threading.Thread(target=publish)
    thread.start()
    for _ in range(3):
        time.sleep(0.1)
        nats_server.kill()
        time.sleep(0.1)
        nats_server.start()
        assert publisher.wait_connected(5)
    stop.set()
    thread.join()
    assert slowest < 1.3


def test_a_stream_that_was_removed_is_made_anew_by_the_next_hint(publisher: Publisher, nats_url: str) -> None:
    async def remove() -> None:
        client, js = await jetstream(nats_url)
        await js.delete_stream(STREAM)
        await client.close()

    asyncio.run(remove())
    assert publisher.publish([Hint(HintKind.QUEUED, f"ep-{n}") for n in range(10)], timeout=3) == 0
    assert len(in_stream(nats_url)) == 10


def test_a_stream_that_is_not_as_it_should_be_is_set_right(nats_url: str) -> None:
    async def prepare() -> None:
        client, js = await jetstream(nats_url)
        await js.add_stream(name=STREAM, subjects=["lwm2m.operation.>"], max_bytes=1_000_000, max_age=60)
        await client.close()

    async def look() -> nats.js.api.StreamConfig:
        client, js = await jetstream(nats_url)
        config = (await js.stream_info(STREAM)).config
        await client.close()
        return config

    asyncio.run(prepare())
    with Publisher(nats_url) as publisher:
        assert publisher.wait_connected(5)
    config = asyncio.run(look())
    assert (config.subjects, config.max_msgs_per_subject, config.max_age) == (["lwm2m.>"], 1, 3600)
    assert config.max_bytes == 1_000_000  # the operator's own


def test_a_server_that_says_nothing_costs_no_more_than_the_timeout() -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as mute,
        Publisher(f"nats://u:p@{LOOPBACK}:{mute.getsockname()[1]}") as it,
    ):
        began = time.monotonic()
        assert it.publish([Hint(HintKind.QUEUED, "a")], timeout=0.5) == 1
        assert time.monotonic() - began < 2.5


async def test_connecting_to_a_server_that_says_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_WITHIN_S", 0.5)
    with socket.create_server((LOOPBACK, 0)) as mute:
        servers = Servers.of(f"nats://u:p@{LOOPBACK}:{mute.getsockname()[1]}")
        with pytest.raises(TimeoutError, match=r"not connected within 0\.5 s"):
            await connect(servers, "test")


def test_a_server_that_stops_answering_costs_no_more_than_the_timeout(
    publisher: Publisher, nats_server: Server
) -> None:
    assert nats_server.pid
    with stopped(nats_server.pid):
        began = time.monotonic()
        assert publisher.publish([Hint(HintKind.QUEUED, "a")], timeout=0.5) == 1
        assert time.monotonic() - began < 2.5


def test_a_wrong_password_is_logged_without_any_password(
    nats_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Publisher(f"nats://flownexus:wrong-one@{LOOPBACK}:{nats_server.port}") as publisher:
        assert not publisher.wait_connected(0.5)
        until(lambda: "is away" in caplog.text)
    assert "Authorization Violation" in caplog.text
    assert "wrong-one" not in caplog.text
    assert nats_server.password not in caplog.text


def test_left_open_it_ends_before_the_interpreter_does() -> None:
    """A function crashed in the end: uvloop called back into an interpreter that was gone."""
    program = """
        import atexit, sys, threading
        from flownexus.messaging.publisher import Publisher
        atexit.register(lambda: print([thread.name for thread in threading.enumerate()]))
        Publisher(f"nats://127.0.0.1:{sys.argv[1]}")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(free_port())],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "['MainThread']\n")


def test_closed_while_it_connects_it_ends_all_the_same(nats_url: str) -> None:
    """One cancellation in seven was lost, in a moment in which nats-py waited for an answer."""
    for number in range(40):
        publisher = Publisher(nats_url)
        time.sleep(number % 8 * 0.004)
        began = time.monotonic()
        publisher.close()
        assert time.monotonic() - began < 2.5


def test_once_closed_it_fails_at_once(nats_url: str) -> None:
    publisher = Publisher(nats_url)
    publisher.close()
    publisher.close()
    assert publisher.publish([Hint(HintKind.QUEUED, "a")]) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "nats-publisher"]


def test_the_server_s_password_is_in_a_file_for_its_owner_only(nats_server: Server) -> None:
    assert nats_server.configuration.stat().st_mode & 0o777 == 0o600
    assert nats_server.password not in " ".join(nats_server.command())


def test_a_taken_port_is_explained(nats_server: Server) -> None:
    second = Server(nats_server.folder.with_name("second"), "other", port=nats_server.port)
    with pytest.raises(NatsServerError, match=r"address already in use|refuses our password"):
        second.start()
    assert second.pid is None


async def test_a_connection_is_closed_although_it_is_cancelled_again_while_it_closes(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await connect(Servers.of(nats_url), "tests")
    flushing = asyncio.Event()

    async def slow(timeout: float) -> None:  # noqa: ASYNC109
        flushing.set()
        await asyncio.sleep(min(timeout, 0.2))

    monkeypatch.setattr(opened.client, "flush", slow)
    closing = asyncio.create_task(opened.close())
    await flushing.wait()
    for _ in range(3):
        closing.cancel()
        await asyncio.sleep(0.02)
    with suppress(asyncio.CancelledError):
        await closing
    assert opened.client.is_closed
    assert opened.closed.is_set()
