"""The template does what OpenFaaS's watchdog would do, for WSGI and ASGI handlers alike."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.fixtures.nexus import wait_for
from tests.fixtures.served import Serve, Served

FLASK = """
    import time
    from flask import Flask, request
    app = Flask(__name__)

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def answer(path):
        time.sleep(float(request.args.get("sleep", 0)))
        body = request.get_data()
        topic = request.headers.get("X-Topic")
        who = request.environ["function_server.principal"]
        return {"path": path, "length": len(body), "head": body[:20].decode(), "topic": topic, "who": who}
"""
STARLETTE = """
    import asyncio
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def answer(request):
        await asyncio.sleep(float(request.query_params.get("sleep", 0)))
        body, path = await request.body(), request.path_params["path"]
        topic = request.headers.get("X-Topic")
        who = request.scope["function_server.principal"]
        said = {"length": len(body), "head": body[:20].decode(), "who": who}
        return JSONResponse({"path": path, "topic": topic, **said})

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
"""
GUARD = """
    asked = []

    def guard(method, path, headers):
        asked.append(f"{method} {path}")
        if path == "/open" or headers.get("authorization") == "Bearer right":
            return f"caller {len(asked)}", None
        return None, ({"title": "Who are you?"}, 401, {"WWW-Authenticate": "Bearer"})

    app.guard = guard
"""
RIGHT = {"Authorization": "Bearer right"}
Response = tuple[int, bytes, dict[str, str]]
both_kinds = pytest.mark.parametrize("source", [FLASK, STARLETTE], ids=["wsgi", "asgi"])


@contextlib.contextmanager
def in_flight(served: Served, path: str, number: int) -> Iterator[list[Future[Response]]]:
    """Send requests from threads and go on once they are being worked on."""
    with ThreadPoolExecutor(number) as pool:
        answers = [pool.submit(served.request, "GET", path) for _ in range(number)]
        deadline = time.monotonic() + 10
        while f"http_requests_in_flight {number}.0" not in served.metrics():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield answers


def accepts(served: Served) -> bool:
    try:
        served.connect().close()
    except ConnectionRefusedError:
        return False
    return True


@both_kinds
def test_a_request_reaches_the_handler_with_its_path_body_and_headers(serve: Serve, source: str) -> None:
    status, body, _ = serve(source).request("POST", "/a/b%20c", b"hello", {"X-Topic": "t"})
    assert (status, json.loads(body)) == (
        200,
        {"path": "a/b c", "length": 5, "head": "hello", "topic": "t", "who": None},
    )


@both_kinds
def test_a_chunked_body_arrives_whole(serve: Serve, source: str) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b"0123456789" * 100

    status, body, _ = serve(source).request("POST", "/", chunks())
    assert (status, json.loads(body)["length"]) == (200, 100_000)


def test_health_and_readiness_are_answered_without_the_handler(serve: Serve) -> None:
    served = serve(FLASK)
    assert served.request("GET", "/_/health")[0] == 200
    assert served.request("GET", "/_/ready")[0] == 200
    assert served.request("GET", "/_/nothing")[0] == 404


@both_kinds
def test_at_sigterm_a_request_under_way_is_finished_and_a_new_connection_refused(
    serve: Serve, source: str
) -> None:
    served = serve(source)
    with in_flight(served, "/?sleep=3", 1) as [answer]:
        served.process.terminate()
        while accepts(served):
            assert not answer.done()
            time.sleep(0.02)
        assert not answer.done()
        assert served.process.wait(10) == 0
    assert answer.result()[0] == 200


@both_kinds
def test_a_request_that_is_not_finished_in_drain_timeout_is_answered_503_and_the_process_ends(
    serve: Serve, source: str
) -> None:
    served = serve(source, drain_timeout="1s")
    with in_flight(served, "/?sleep=60", 1) as [answer]:
        started = time.monotonic()
        assert served.terminate(40) == 0
        assert 1 < time.monotonic() - started < 40
    status, body, headers = answer.result()
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body)["title"] == "The function is being stopped"


def test_a_body_that_does_not_come_and_an_answer_that_nobody_reads_do_not_hold_up_the_end(
    serve: Serve,
) -> None:
    served = serve(STREAM, drain_timeout="1s", read_timeout="60s", write_timeout="60s")
    with served.connect() as sending, served.connect() as reading:
        sending.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        reading.sendall(b"GET /pieces/100000/0.0 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert reading.recv(1)
        wait_for(lambda: "http_bodies_under_way 1.0" in served.metrics(), 10, "the body to begin")
        assert served.terminate(40) == 0
        assert status_of(sending) == 503


def test_an_application_is_told_at_sigterm_how_long_it_has(serve: Serve) -> None:
    told_of_it = "\napp.drain = lambda within: print(f'within {within:g}', file=__import__('sys').stderr)\n"
    served = serve(textwrap.dedent(STARLETTE) + told_of_it, drain_timeout="10s")
    assert served.terminate() == 0
    assert "within 8\n" in served.log.read_text()


def test_an_idle_connection_does_not_hold_up_the_end(serve: Serve) -> None:
    served = serve(FLASK)
    kept = http.client.HTTPConnection("127.0.0.1", served.port)
    kept.request("GET", "/")
    kept.getresponse().read()
    silent = served.connect()
    started = time.monotonic()
    assert served.terminate() == 0
    assert time.monotonic() - started < 5
    kept.close()
    silent.close()


@both_kinds
def test_above_max_inflight_429_and_not_ready_then_ready_again(serve: Serve, source: str) -> None:
    served = serve(source, max_inflight="2")
    with in_flight(served, "/?sleep=1.5", 2):
        status, _, headers = served.request("POST", "/", b"x" * 1_000_000)
        assert (status, headers["retry-after"]) == (429, "1")
        assert served.request("GET", "/_/ready")[0] == 503
        assert served.request("GET", "/_/health")[0] == 200
    assert served.request("GET", "/_/ready")[0] == 200
    assert served.request("GET", "/")[0] == 200


@both_kinds
def test_a_guard_refuses_on_the_head_before_the_body(serve: Serve, source: str) -> None:
    served = serve(source + GUARD)
    with served.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        assert status_of(connection) == 401
    assert served.request("GET", "/open")[0] == 200
    assert served.request("POST", "/", b"x", RIGHT)[0] == 200


@both_kinds
def test_a_guard_is_asked_once_and_the_handler_told_who_calls(serve: Serve, source: str) -> None:
    served = serve(source + GUARD)
    told = [json.loads(served.request("POST", "/", b"x", RIGHT)[1])["who"] for _ in range(3)]
    assert told == ["caller 1", "caller 2", "caller 3"]


@both_kinds
@pytest.mark.parametrize("length", [100, 5_000_000])
def test_who_sends_a_body_without_the_secret_can_read_the_answer(
    serve: Serve, source: str, length: int
) -> None:
    served = serve(source + GUARD)
    status, body, headers = served.request("POST", "/", b"x" * length)
    assert (status, json.loads(body)) == (401, {"title": "Who are you?"})
    assert headers["www-authenticate"] == "Bearer"


def test_an_endless_body_without_the_secret_is_cut_off(serve: Serve) -> None:
    served = serve(FLASK + GUARD, read_timeout="60s")
    with served.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(ConnectionError):
            send_for_ever(connection, b"400\r\n" + b"x" * 1024 + b"\r\n")


SLOW = 300
"""Callers whose bodies do not come, many times what the function takes at once."""


@both_kinds
@pytest.mark.parametrize("head", ["", "Authorization: Bearer right\r\n"], ids=["unknown", "known"])
def test_slow_bodies_leave_the_function_to_those_who_send_theirs(
    serve: Serve, source: str, head: str
) -> None:
    served = serve(source + GUARD, max_inflight="4", max_bodies="100", read_timeout="60s")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(served.connect()) for _ in range(SLOW)]
        for connection in slow:
            request = f"POST / HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 10\r\n\r\n12345"
            connection.sendall(request.encode())
        for _ in range(20):
            assert served.request("POST", "/", b"whole", RIGHT)[0] == 200
        assert served.request("GET", "/_/ready")[0] == 200
        assert "http_requests_in_flight 0.0" in served.metrics()
        answered = [connection for connection in slow if answers(connection)]
        # An unknown caller hears it at once; of those let in, the ones that took the longest made room.
        assert len(answered) == (SLOW - 99 if head else SLOW)
        for connection in answered:
            assert status_of(connection) == (429 if head else 401)


def test_large_bodies_under_way_are_bounded_together(serve: Serve) -> None:
    served = serve(FLASK, max_bodies_bytes="3000000", read_timeout="60s")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(served.connect()) for _ in range(5)]
        for number, connection in enumerate(slow, start=1):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000001\r\n\r\n")
            connection.sendall(b"x" * 1_000_000)
            until_bytes_under_way(served, min(number, 3) * 1_000_000)
        assert [answers(connection) for connection in slow] == [True, True, False, False, False]
        assert served.request("POST", "/", b"whole")[0] == 200


def bytes_under_way(served: Served) -> float:
    [line] = [
        line for line in served.metrics().splitlines() if line.startswith("http_bodies_under_way_bytes ")
    ]
    return float(line.split()[1])


def until_bytes_under_way(served: Served, number: float) -> None:
    wait_for(lambda: bytes_under_way(served) == number, what=f"{number} bytes under way")


def answers(connection: socket.socket) -> bool:
    """Say whether an answer has come, or comes within a moment."""
    return bool(select.select([connection], [], [], 0.05)[0])


@both_kinds
def test_above_exec_timeout_504_and_the_next_request_is_served(serve: Serve, source: str) -> None:
    served = serve(source, exec_timeout="300ms")
    started = time.monotonic()
    assert served.request("GET", "/?sleep=5")[0] == 504
    assert time.monotonic() - started < 4
    assert served.request("GET", "/")[0] == 200


def test_without_exec_timeout_a_slow_answer_is_waited_for(serve: Serve) -> None:
    assert serve(FLASK, exec_timeout="0", read_timeout="200ms").request("GET", "/?sleep=1")[0] == 200


def test_a_body_that_does_not_arrive_in_read_timeout_gets_408(serve: Serve) -> None:
    served = serve(FLASK, read_timeout="300ms")
    with served.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))  # to the end of the connection
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_head_that_does_not_arrive_in_read_timeout_is_hung_up_on(serve: Serve) -> None:
    served = serve(FLASK, read_timeout="300ms")
    with served.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost:")
        connection.settimeout(5)
        assert hung_up(connection)


def test_above_max_connections_the_longest_idle_ones_are_closed(serve: Serve) -> None:
    served = serve(FLASK, max_connections="20", read_timeout="60s")
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(served.connect())
        busy.sendall(b"GET /?sleep=3 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert served.request("GET", "/")[0] == 200  # so its head was read, too: it is not idle
        idle = [stack.enter_context(served.connect()) for _ in range(100)]
        for connection in idle:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"POST / HTTP/1.1\r\nHost:")
        assert served.request("GET", "/")[0] == 200
        assert all(hung_up(connection) for connection in idle[:82])
        assert not any(answers(connection) for connection in idle[82:])
        assert status_of(busy) == 200


@pytest.mark.parametrize("header", ["X-Call-Id", "X-Forwarded-For", "X-Forwarded-Host"])
def test_probes_are_not_for_who_comes_through_a_gateway(serve: Serve, header: str) -> None:
    served = serve(FLASK)
    for path in ("/_/ready", "/_/health", "/%5f/health"):
        assert served.request("GET", path)[0] == 200
        assert served.request("GET", path, None, {header: "x"})[0] == 404


def test_a_second_head_on_a_kept_connection_is_bounded_too(serve: Serve) -> None:
    served = serve(FLASK, read_timeout="300ms")
    with served.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(connection) == 200
        time.sleep(0.5)  # a kept connection may be idle for longer
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(connection) == 200
        connection.sendall(b"GET /")
        connection.settimeout(5)
        assert hung_up(connection)


def test_a_client_that_does_not_read_is_hung_up_on_after_write_timeout(serve: Serve) -> None:
    served = serve(
        """
        from flask import Flask
        app = Flask(__name__)

        @app.get("/")
        def answer():
            return b"x" * 50_000_000
        """,
        write_timeout="500ms",
    )
    with served.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(2)
        assert read_to_the_end(connection) < 50_000_000


STREAM = """
    import os
    import time
    from flask import Flask, Response, request
    app = Flask(__name__)
    closed = []

    class Pieces:
        def __init__(self, count, pause):
            self.left, self.pause = count, pause

        def __iter__(self):
            return self

        def __next__(self):
            if not self.left:
                raise StopIteration
            time.sleep(self.pause)
            self.left -= 1
            return b"x" * 1000

        def close(self):
            closed.append(self.left)

    @app.get("/pieces/<int:count>/<float:pause>")
    def pieces(count, pause):
        return Response(Pieces(count, pause), content_type="text/plain")

    @app.get("/closed")
    def told():
        status = open("/proc/self/status").read()
        memory = int(status.partition("VmRSS:")[2].split()[0])
        return {"closed": closed, "memory_kib": memory}
"""


def told(served: Served) -> dict[str, object]:
    answer: dict[str, object] = json.loads(served.request("GET", "/closed")[1])
    return answer


def test_a_response_without_a_length_is_streamed_piece_by_piece(serve: Serve) -> None:
    served = serve(STREAM)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/pieces/3/0.3")
        began = time.monotonic()
        response = connection.getresponse()
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert response.read1(1000) == b"x" * 1000
        assert time.monotonic() - began < 0.6
        assert len(response.read()) == 2000
    assert told(served)["closed"] == [0]
    status, body, headers = served.request("HEAD", "/pieces/3/0.0")
    assert (status, body, headers["content-type"]) == (200, b"", "text/plain")
    wait_for(lambda: told(served)["closed"] == [0, 3], 5, "the pieces that nobody took to be closed")


def test_a_stream_takes_the_memory_of_a_piece(serve: Serve) -> None:
    served = serve(STREAM)
    before = told(served)["memory_kib"]
    assert len(served.request("GET", "/pieces/100000/0.0", timeout=60)[1]) == 100_000_000
    after = told(served)["memory_kib"]
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after - before < 20_000, f"{before} KiB before, {after} KiB after 100 MB"


def test_a_stream_ends_when_its_client_has_gone(serve: Serve) -> None:
    served = serve(STREAM)
    with served.connect() as connection:
        connection.sendall(b"GET /pieces/1000/0.1 HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(1000)
    wait_for(lambda: len(told(served)["closed"]) == 1, 5, "the stream to end")  # type: ignore[arg-type]


def test_a_stream_is_broken_off_at_exec_timeout(serve: Serve) -> None:
    served = serve(STREAM, exec_timeout="500ms")
    with pytest.raises(http.client.IncompleteRead):
        served.request("GET", "/pieces/1000/0.1")
    wait_for(lambda: len(told(served)["closed"]) == 1, 5, "the stream to end")  # type: ignore[arg-type]


def test_a_stream_is_broken_off_at_drain_timeout(serve: Serve) -> None:
    served = serve(STREAM, drain_timeout="1s")
    with in_flight(served, "/pieces/1000/0.1", 1) as [answer]:
        assert served.terminate(40) == 0
    with pytest.raises(http.client.IncompleteRead):
        answer.result()


def test_a_hundred_streams_leave_threads_for_others(serve: Serve) -> None:
    served = serve(STREAM, threads="120", max_inflight="120")
    request = b"GET /pieces/100/0.1 HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(served.connect()) for _ in range(100)]
        for stream in streams:
            stream.sendall(request)
        for stream in streams:
            assert stream.recv(1000).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        told(served)
        assert time.monotonic() - began < 2


def read_to_the_end(connection: socket.socket) -> int:
    """Return how many bytes come before the other side ends the connection."""
    received = 0
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 20):
            received += len(chunk)
    return received


def status_of(connection: socket.socket) -> int:
    """Read one whole response, which may come in pieces, and return its status."""
    with http.client.HTTPResponse(connection) as response:
        response.begin()
        response.read()
        return response.status


def hung_up(connection: socket.socket) -> bool:
    """Wait until the other side ends the connection; False if it does not."""
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@both_kinds
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_gets_413_and_the_client_can_read_it(
    serve: Serve, source: str, chunked: bool
) -> None:
    served = serve(source, max_body_bytes="1000")
    body = b"x" * 10_000
    assert served.request("POST", "/", iter([body]) if chunked else body)[0] == 413
    exact = b"x" * 1000
    assert served.request("POST", "/", iter([exact]) if chunked else exact)[0] == 200


@pytest.mark.parametrize("limit", ["1048576", "8388608"])
def test_fifty_megabytes_get_413_and_the_function_lives_on(serve: Serve, limit: str) -> None:
    served = serve(FLASK, max_body_bytes=limit)
    assert served.request("POST", "/", b"x" * 50_000_000)[0] == 413
    assert served.request("POST", "/", b"x")[0] == 200


def test_a_client_that_waits_for_leave_to_send_too_much_is_refused_at_once(serve: Serve) -> None:
    served = serve(FLASK, max_body_bytes="1000")
    with served.connect() as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert status_of(connection) == 413


def test_an_endless_body_is_cut_off(serve: Serve) -> None:
    served = serve(FLASK, max_body_bytes="1000", read_timeout="30s")
    with served.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(ConnectionError):
            send_for_ever(connection, b"400\r\n" + b"x" * 1024 + b"\r\n")


def send_for_ever(connection: socket.socket, chunk: bytes) -> None:
    """Send the chunk again and again, or at least a hundred megabytes of it."""
    for _ in range(100_000):
        connection.sendall(chunk)


def test_a_handler_that_cannot_be_imported_is_one_clear_line_and_status_1(serve: Serve) -> None:
    served = serve("raise LookupError('secret flownexus-ingest-database-url is missing')", ready=False)
    assert served.process.wait(20) == 1
    (line,) = served.log.read_text().splitlines()
    assert "LookupError: secret flownexus-ingest-database-url is missing" in line
    assert "handler.py:1" in line


def test_a_handler_without_an_app_is_one_clear_line_and_status_1(serve: Serve) -> None:
    served = serve("x = 1", ready=False)
    assert served.process.wait(20) == 1
    (line,) = served.log.read_text().splitlines()
    assert "has no attribute 'app'" in line


def test_a_taken_port_is_one_clear_line_and_status_1(serve: Serve) -> None:
    first = serve(FLASK)
    second = serve(FLASK, ready=False, port=str(first.port))
    assert second.process.wait(20) == 1
    assert f"port {first.port} " in second.log.read_text().splitlines()[-1]


def test_a_setting_that_makes_no_sense_is_named(serve: Serve) -> None:
    served = serve(FLASK, ready=False, exec_timeout="soon")
    assert served.process.wait(20) == 1
    assert "exec_timeout must be a duration" in served.log.read_text()


@both_kinds
def test_an_exception_in_the_handler_is_500_and_logged(serve: Serve, source: str) -> None:
    served = serve(source)
    assert served.request("GET", "/?sleep=boom")[0] == 500
    assert served.request("GET", "/")[0] == 200
    assert served.terminate() == 0  # by then it is logged
    assert "could not convert string to float" in served.log.read_text()


def test_the_start_and_end_of_an_asgi_application_are_announced_to_it(serve: Serve) -> None:
    served = serve(
        STARLETTE
        + """
    import contextlib
    import sys

    @contextlib.asynccontextmanager
    async def lifespan(app):
        print("begun", file=sys.stderr)
        yield
        print("ended", file=sys.stderr)

    app = Starlette(lifespan=lifespan)
    """
    )
    assert served.terminate() == 0
    log = served.log.read_text()
    assert "begun" in log
    assert "ended" in log


def test_an_asgi_handler_takes_a_thousand_requests_at_once(serve: Serve) -> None:
    served = serve(STARLETTE)
    started = time.monotonic()
    connections = [served.connect() for _ in range(1000)]
    try:
        for connection in connections:
            connection.sendall(b"GET /?sleep=2 HTTP/1.1\r\nHost: x\r\n\r\n")
        for connection in connections:
            assert status_of(connection) == 200
    finally:
        for connection in connections:
            connection.close()
    assert time.monotonic() - started < 10


def test_metrics_are_not_where_requests_are(serve: Serve) -> None:
    served = serve(FLASK)
    assert served.request("GET", "/_/metrics")[0] == 404
    assert "http_requests_in_flight" in served.metrics()


def test_a_port_of_metrics_that_is_taken_is_named(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        served = serve(FLASK, ready=False, metrics_port=str(port))
        assert served.process.wait(20) == 1
    assert f"metrics_port {port} of 127.0.0.1: Address already in use" in served.log.read_text()


def test_a_log_line_is_a_json_object(serve: Serve) -> None:
    served = serve(FLASK)
    served.request("GET", "/?sleep=boom")
    lines = [json.loads(line) for line in served.log.read_text().splitlines()]
    assert lines[0]["message"] == f"listening on 127.0.0.1:{served.port}"
    assert "ValueError" in lines[-1]["exc_info"]


def test_a_log_may_be_text(serve: Serve) -> None:
    assert " INFO index: listening on " in serve(FLASK, log_format="text").log.read_text()


def test_metrics_count_the_answers_by_status(serve: Serve) -> None:
    served = serve(FLASK)
    served.request("GET", "/")
    served.request("GET", "/?sleep=boom")
    metrics = served.metrics()
    assert 'http_requests_total{code="200"} 1.0' in metrics
    assert 'http_requests_total{code="500"} 1.0' in metrics


def test_no_path_reaches_the_log(serve: Serve) -> None:
    served = serve(FLASK)
    served.request("GET", "/hook/geheim/leshan_api")
    assert served.terminate() == 0
    assert "geheim" not in served.log.read_text()


@both_kinds
def test_a_header_with_an_underscore_cannot_pass_for_one_with_a_dash(serve: Serve, source: str) -> None:
    _, body, _ = serve(source).request("GET", "/", None, {"X_Topic": "forged"})
    assert json.loads(body)["topic"] is None
