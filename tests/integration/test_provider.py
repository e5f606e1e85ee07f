"""The embedded gateway: the provider API as faas-cli speaks it, and the way to a function and back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import http.client
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from local import web
from local.servers.ports import free_port

REPOSITORY = Path(__file__).resolve().parent.parent.parent
LOGIN = web.basic("admin", "right")

ECHO = """
    import os, sys, time
    from flask import Flask, request
    app = Flask(__name__)
    app.guard = lambda method, path, headers: (None, ({}, 401, {}) if "x-unknown" in headers else None)
    print("hello from", os.environ["greeting"], file=sys.stderr)

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST", "PUT"])
    @app.route("/<path:path>", methods=["GET", "POST", "PUT"])
    @app.errorhandler(404)  # Flask's paths have no line breaks
    def answer(path):
        time.sleep(float(request.args.get("sleep", 0)))
        return {
            "path": request.path,
            "query": request.query_string.decode(),
            "length": len(request.get_data()),
            "pid": os.getpid(),
            "secrets": sorted(os.listdir(os.environ["secret_mount_path"])),
            "greeting": os.environ["greeting"],
            "topic": request.headers.get("X-Topic"),
            "coding": request.headers.get("Content-Encoding"),
            "body": request.get_data()[:100].hex(),
            "call_id": request.headers.get("X-Call-Id"),
            "pad": "x" * int(request.args.get("pad", 0)),
        }, int(request.args.get("status", 200)), {"X-Answer": "yes"}
"""
SLEEPER = """
    import asyncio
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    hung_up = 0

    async def answer(request):
        global hung_up
        await request.body()
        try:
            async with asyncio.timeout(1.5):
                await request.receive()  # nothing comes after a body but the end of the connection
            hung_up += 1
        except TimeoutError:
            pass
        return JSONResponse({})

    async def count(request):
        return JSONResponse({"hung_up": hung_up})

    app = Starlette(routes=[Route("/", answer, methods=["POST"]), Route("/hung-up", count)])
"""
STACK = """
    version: 1.0
    provider: {name: openfaas, gateway: http://127.0.0.1:8080}
    functions:
      ingest-single: &echo
        lang: python3-flownexus
        handler: ./functions/echo
        image: echo:latest
        environment: {greeting: "${GREETING:-world}"}
        secrets: [one]
        annotations: {topic: "a.>"}
      sleeper:
        lang: python3-flownexus
        handler: ./functions/sleeper
        image: sleeper:latest
        environment: {max_inflight: 5000, exec_timeout: 60s}
      greedy:
        <<: *echo
        secrets: [missing]
"""


class Gateway:
    """A running provider."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "gateway.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "local.openfaas.provider", "--port", str(self.port)),
                    *("--stack", str(self.folder / "stack.yml"), "--secrets", str(self.folder / "secrets")),
                    *("--state", str(self.folder / "state"), "--logs", str(self.folder / "logs")),
                    *("--long-poll-timeout", "3s"),
                ],
                cwd=REPOSITORY,
                stderr=log,
                env={**os.environ, "GREETING": "tests"},
            )

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        status, text = web.request(self.port, method, path, body=body, headers=headers, timeout=30)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def system(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.call(method, f"/system/{path}", body, **LOGIN)

    def replicas(self, function: str) -> list[dict[str, Any]]:
        return [r for r in self.system("GET", "replicas")[1] if r["function"] == function]

    def await_ready(self, function: str, number: int = 1) -> None:
        until(lambda: sum(r["ready"] for r in self.replicas(function)) == number)


def until(condition: Callable[[], object], timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("a provider")
    for name, source in (("echo", ECHO), ("sleeper", SLEEPER)):
        (folder / "functions" / name).mkdir(parents=True)
        (folder / "functions" / name / "handler.py").write_text(textwrap.dedent(source))
    stack = textwrap.dedent(STACK)
    (folder / "stack.yml").write_text(stack.partition("  greedy:")[0])
    (folder / "secrets").mkdir()
    for name, value in {
        "basic-auth-user": "admin",
        "basic-auth-password": "right",
        "one": "1",
        "two": "2",
    }.items():
        (folder / "secrets" / name).write_text(value)
    gateway = Gateway(folder)
    gateway.start()
    try:
        gateway_ready(gateway)
        (folder / "stack.yml").write_text(stack)
        yield gateway
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(30) == 0
    finally:
        gateway.process.kill()
        gateway.process.wait()


STUCK = """
    import time
    from flask import Flask
    app = Flask(__name__)

    @app.route("/")
    def answer():
        time.sleep(300)
"""


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Gateway]:
    """A provider of a function that never answers."""
    (tmp_path / "functions" / "stuck").mkdir(parents=True)
    (tmp_path / "functions" / "stuck" / "handler.py").write_text(textwrap.dedent(STUCK))
    (tmp_path / "stack.yml").write_text(
        "{version: 1.0, provider: {name: openfaas}, functions: {stuck: {lang: python3-flownexus,"
        " handler: ./functions/stuck, image: stuck, environment: {exec_timeout: 300s}}}}"
    )
    (tmp_path / "secrets").mkdir()
    for name, value in {"basic-auth-user": "admin", "basic-auth-password": "right"}.items():
        (tmp_path / "secrets" / name).write_text(value)
    gateway = Gateway(tmp_path)
    gateway.start()
    try:
        gateway.await_ready("stuck")
        yield gateway
    finally:
        gateway.process.kill()
        gateway.process.wait()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_provider_that_is_stopped_or_killed_leaves_no_replica_that_waits_for_an_answer(
    stuck: Gateway, how: signal.Signals
) -> None:
    [replica] = stuck.replicas("stuck")
    server = int(Path(f"/proc/{replica['pid']}/stat").read_text().rpartition(")")[2].split()[1])
    with ThreadPoolExecutor(20) as callers:
        calls = [callers.submit(stuck.call, "GET", "/function/stuck") for _ in range(20)]
        until(lambda: stuck.replicas("stuck")[0]["inflight"] == 20)
        began = time.monotonic()
        stuck.process.send_signal(how)
        stuck.process.wait(25)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (replica["pid"], server)), 15)
        # Ten seconds on a machine that has time for it; the function itself takes 300.
        assert time.monotonic() - began < 30
    if how is signal.SIGTERM:
        assert stuck.process.returncode == 0
        # The function's own end, or the gateway's upstream_timeout: here the two are as long.
        assert {call.result()[0] for call in calls} <= {503, 504}


def gateway_ready(gateway: Gateway) -> None:
    gateway.await_ready("ingest-single")
    gateway.await_ready("sleeper")


def test_system_asks_for_the_password(gateway: Gateway) -> None:
    assert gateway.call("GET", "/system/functions")[0] == 401
    assert gateway.call("GET", "/system/functions", **web.basic("admin", "wrong"))[0] == 401
    assert gateway.call("GET", "/system/functions", Authorization="Basic !")[0] == 401
    assert gateway.system("GET", "functions")[0] == 200
    assert gateway.call("GET", "/healthz")[0] == 200


def test_functions_are_listed_and_described_as_openfaas_does(gateway: Gateway) -> None:
    _, functions = gateway.system("GET", "functions")
    assert [f["name"] for f in functions] == ["ingest-single", "sleeper"]
    status, function = gateway.system("GET", "function/ingest-single")
    assert status == 200
    assert function["annotations"] == {"topic": "a.>"}
    assert function["namespace"] == "openfaas-fn"
    assert (function["replicas"], function["availableReplicas"]) == (1, 1)
    assert gateway.system("GET", "function/nothing")[0] == 404


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/function/ingest-single", "/"),
        ("/function/ingest-single/", "/"),
        ("/function/ingest-single/a%20b/c", "/a b/c"),
        ("/function/ingest-single/a%0Ab%2Fc", "/a\nb/c"),
        ("/function/ingest-single.openfaas-fn/x", "/x"),
        (
            "/function/ingest-single/hook/geheim/leshan_api/resource/composite",
            "/hook/geheim/leshan_api/resource/composite",
        ),
        ("/leshan_api/resource/single", "/leshan_api/resource/single"),
        ("/hook/geheim/leshan_api/resource/single", "/hook/geheim/leshan_api/resource/single"),
    ],
)
def test_a_function_sees_the_rest_of_the_path(gateway: Gateway, path: str, seen: str) -> None:
    status, answer = gateway.call("POST", path + "?q=1%202", {"a": 1}, X_Topic="t")
    assert status == 200
    assert (answer["path"], answer["query"], answer["topic"]) == (seen, "q=1%202", "t")
    assert answer["length"] == 8
    assert answer["call_id"]


@pytest.mark.parametrize(
    "path", ["/", "/function/", "/function/nothing", "/function/sleeper.other", "/leshan_api"]
)
def test_what_is_no_function_is_404(gateway: Gateway, path: str) -> None:
    status, answer = gateway.call("POST", path)
    assert status == 404
    assert answer["detail"].endswith("; there are: ingest-single, sleeper")


def test_a_function_that_there_is_not_is_named(gateway: Gateway) -> None:
    _, answer = gateway.call("GET", "/function/ingest-singel/x")
    assert answer["detail"] == "there is no function 'ingest-singel'; there are: ingest-single, sleeper"


@pytest.mark.parametrize("path", ["/hook/geheim/x", "/hook/geheim%0A/x"])
def test_the_token_of_a_path_that_there_is_not_is_not_told(gateway: Gateway, path: str) -> None:
    assert "geheim" not in json.dumps(gateway.call("POST", path)[1])


def test_the_answer_comes_back_as_the_function_gave_it(gateway: Gateway) -> None:
    status, answer = gateway.call("GET", "/function/ingest-single?status=418")
    assert (status, answer["greeting"]) == (418, "tests")


@pytest.mark.parametrize("path", ["/_/metrics", "/_/ready", "/%5F/metrics", "/_%2fhealth"])
def test_what_a_function_s_server_tells_of_itself_does_not_pass(gateway: Gateway, path: str) -> None:
    status, answer = gateway.call("GET", f"/function/ingest-single{path}")
    assert (status, answer["title"]) == (404, "There is no such function")


@pytest.mark.parametrize(
    ("path", "status"), [("/system/functions", b"401"), ("/function/ingest-single", b"200")]
)
def test_a_header_that_is_not_utf_8_is_no_error_of_the_gateway(
    gateway: Gateway, path: str, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Topic: ".encode()
        connection.sendall(head + b"\xff\xfe\r\nAuthorization: Bearer \xff\xe9\r\n\r\n")
        assert connection.recv(1000).split(b" ")[1] == status


def test_a_request_that_is_not_http_is_not_repeated_in_the_answer(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(b"POST /hook/verysecret/x HTTP/9.9 y\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b" 400 " in answer
    assert b"verysecret" not in answer


def test_a_function_sees_only_the_secrets_it_declares(gateway: Gateway) -> None:
    assert gateway.call("GET", "/function/ingest-single")[1]["secrets"] == ["one"]


def test_a_missing_secret_is_refused_by_name(gateway: Gateway) -> None:
    status, text = gateway.system("POST", "functions", {"service": "greedy", "image": "x"})
    assert status == 400
    assert "missing" in text
    assert gateway.system("GET", "function/greedy")[0] == 404


def test_a_function_that_is_not_in_stack_yml_is_refused(gateway: Gateway) -> None:
    status, text = gateway.system("POST", "functions", {"service": "figlet", "image": "figlet"})
    assert status == 400
    assert "figlet is not in" in text
    assert gateway.system("PUT", "functions", {"service": "figlet"})[0] == 404


def test_deploying_restarts_the_processes(gateway: Gateway) -> None:
    (before,) = gateway.replicas("ingest-single")
    assert gateway.system("PUT", "functions", {"service": "ingest-single", "image": "x"})[0] == 202
    gateway.await_ready("ingest-single")
    assert gateway.replicas("ingest-single")[0]["pid"] != before["pid"]


def test_a_deployment_is_finished_though_whoever_asked_for_it_hung_up(gateway: Gateway) -> None:
    """A gateway gives up on its provider after a while; the old replica was stopped, and no new one came."""
    (before,) = gateway.replicas("ingest-single")
    with ThreadPoolExecutor() as pool:
        busy = pool.submit(gateway.call, "GET", "/function/ingest-single?sleep=2")
        until(lambda: [r for r in gateway.replicas("ingest-single") if r["inflight"]])
        with pytest.raises(TimeoutError):
            web.request(
                gateway.port,
                "PUT",
                "/system/functions",
                body={"service": "ingest-single"},
                headers=LOGIN,
                timeout=0.5,
            )
        assert busy.result(20)[0] == 200
    gateway.await_ready("ingest-single")
    assert gateway.replicas("ingest-single")[0]["pid"] != before["pid"]


def test_scaling_is_from_one_to_five_and_replicas_take_turns(gateway: Gateway) -> None:
    for replicas in (0, 6, -1, "2"):
        assert gateway.system("POST", "scale-function/ingest-single", {"replicas": replicas})[0] == 400
    assert gateway.system("POST", "scale-function/ingest-single", {"replicas": 2})[0] == 202
    gateway.await_ready("ingest-single", 2)
    pids = {gateway.call("GET", "/function/ingest-single")[1]["pid"] for _ in range(6)}
    assert pids == {replica["pid"] for replica in gateway.replicas("ingest-single")}
    assert len(pids) == 2
    assert gateway.system("POST", "scale-function/ingest-single", {"replicas": 1})[0] == 202
    gateway.await_ready("ingest-single")


def test_a_killed_replica_comes_back_and_requests_meanwhile_are_answered(gateway: Gateway) -> None:
    (before,) = gateway.replicas("ingest-single")
    os.kill(before["pid"], signal.SIGKILL)
    status, answer = gateway.call("GET", "/function/ingest-single")
    # One that reached the dying process is not sent again, it may have been processed.
    assert status in {200, 502}
    gateway.await_ready("ingest-single")
    status, answer = gateway.call("GET", "/function/ingest-single")
    assert (status, answer["pid"] != before["pid"]) == (200, True)


def test_a_request_whose_replica_dies_is_not_repeated(gateway: Gateway) -> None:
    (before,) = gateway.replicas("ingest-single")
    answers: list[int] = []
    caller = threading.Thread(
        target=lambda: answers.append(gateway.call("POST", "/function/ingest-single?sleep=5")[0])
    )
    caller.start()
    until(lambda: gateway.replicas("ingest-single")[0]["inflight"] == 1)
    os.kill(before["pid"], signal.SIGKILL)
    caller.join(4)
    assert answers == [502]
    gateway.await_ready("ingest-single")


def test_a_function_that_takes_too_long_is_504(gateway: Gateway) -> None:
    assert gateway.call("GET", "/function/ingest-single?sleep=7")[0] == 504  # upstream_timeout is twice 3 s


def test_a_caller_that_hangs_up_is_noticed_by_the_function(gateway: Gateway) -> None:
    before = gateway.call("GET", "/function/sleeper/hung-up")[1]["hung_up"]
    with pytest.raises(OSError, match="timed out"):
        web.request(gateway.port, "POST", "/function/sleeper", body={}, timeout=0.3)
    until(lambda: gateway.call("GET", "/function/sleeper/hung-up")[1]["hung_up"] == before + 1, 1.0)


def test_a_body_that_does_not_arrive_is_408(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(b"POST /function/ingest-single HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("size", [2, 65_536, 65_537, 3_000_000])
def test_bodies_pass_whole_however_long_they_are(gateway: Gateway, size: int) -> None:
    status, answer = gateway.call("POST", f"/function/ingest-single?pad={size}", "x" * (size - len('""')))
    assert (status, answer["length"], answer["pad"]) == (200, size, "x" * size)


@pytest.mark.parametrize("size", [2, 300_000])
def test_a_compressed_body_passes_as_it_came(gateway: Gateway, size: int) -> None:
    body = gzip.compress(random.Random(1).randbytes(size))  # noise, not a secret
    head = f"Host: x\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(f"POST /function/ingest-single HTTP/1.1\r\n{head}\r\n".encode() + body)
        with http.client.HTTPResponse(connection) as response:
            response.begin()
            answer = json.loads(response.read())
    assert (answer["coding"], answer["length"], answer["body"]) == ("gzip", len(body), body[:100].hex())


def test_strangers_whose_long_bodies_do_not_come_are_answered_and_hold_nobody_up(gateway: Gateway) -> None:
    head = b"POST /function/ingest-single HTTP/1.1\r\nHost: x\r\nX-Unknown: 1\r\n"
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(300):
            connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
            slow.append(stack.enter_context(connection))
            connection.sendall(head + b"Content-Length: 999999\r\n\r\n1")
        assert gateway.call("POST", "/function/ingest-single", {})[0] == 200
        assert {connection.recv(1000).split(b" ")[1] for connection in slow} == {b"401"}
        assert gateway.call("POST", "/function/ingest-single", {})[0] == 200


async def test_a_thousand_requests_are_open_at_once(gateway: Gateway) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

        async def call() -> int:
            async with client.post(f"http://127.0.0.1:{gateway.port}/function/sleeper", json={}) as answer:
                return answer.status

        began = time.monotonic()
        statuses = await asyncio.gather(*(call() for _ in range(1000)))
    # Overload may be slow, but one after the other would be 1,500 seconds.
    assert set(statuses) == {200}
    assert time.monotonic() - began < 60


async def test_a_chunked_body_streams_through(gateway: Gateway) -> None:
    async def chunks() -> Any:
        for _ in range(64):
            yield b"x" * 16384

    async with (
        aiohttp.ClientSession() as client,
        client.post(f"http://127.0.0.1:{gateway.port}/function/ingest-single", data=chunks()) as answer,
    ):
        assert (await answer.json())["length"] == 1 << 20


def test_fifty_megabytes_are_refused_by_the_function_and_the_caller_sees_it(gateway: Gateway) -> None:
    async def post() -> int:
        async with (
            aiohttp.ClientSession() as client,
            client.post(
                f"http://127.0.0.1:{gateway.port}/function/ingest-single", data=io.BytesIO(b"x" * 50_000_000)
            ) as answer,
        ):
            return answer.status

    assert asyncio.run(post()) == 413


def test_secrets_are_made_listed_changed_and_removed_but_never_shown(gateway: Gateway) -> None:
    raw = base64.b64encode(b"geheim").decode()
    assert gateway.system("POST", "secrets", {"name": "new", "rawValue": raw})[0] == 201
    path = gateway.folder / "secrets" / "new"
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("geheim", 0o600)
    assert gateway.system("PUT", "secrets", {"name": "new", "value": "other"})[0] == 202
    assert path.read_text() == "other"
    _, listed = gateway.system("GET", "secrets")
    assert {"name": "new", "namespace": "openfaas-fn"} in listed
    assert "other" not in json.dumps(listed)
    assert not any(secret["name"].startswith("basic-auth") for secret in listed)
    assert gateway.system("DELETE", "secrets", {"name": "new"})[0] == 202
    assert gateway.system("DELETE", "secrets", {"name": "new"})[0] == 404
    assert not path.exists()


@pytest.mark.parametrize("name", ["../stack.yml", "a/b", "", ".hidden", "basic-auth-password", 7])
def test_a_secret_with_a_bad_name_is_refused(gateway: Gateway, name: object) -> None:
    assert gateway.system("POST", "secrets", {"name": name, "value": "x"})[0] == 400


def log_lines(gateway: Gateway, query: str) -> list[dict[str, Any]]:
    status, text = web.request(gateway.port, "GET", f"/system/logs?{query}", headers=LOGIN)
    assert status == 200
    return [json.loads(line) for line in text.splitlines()]


def test_logs_are_lines_of_json_by_tail_and_since(gateway: Gateway) -> None:
    lines = log_lines(gateway, "name=ingest-single")
    assert {"hello from tests"} <= {line["text"] for line in lines}
    assert {line["name"] for line in lines} == {"ingest-single"}
    assert len(log_lines(gateway, "name=ingest-single&tail=1")) == 1
    assert log_lines(gateway, "name=ingest-single&since=2999-01-01T00:00:00Z") == []
    assert gateway.system("GET", "logs?name=nothing")[0] == 404


async def test_logs_are_followed(gateway: Gateway) -> None:
    url = f"http://127.0.0.1:{gateway.port}"
    async with (
        aiohttp.ClientSession(headers=LOGIN) as client,
        client.get(f"{url}/system/logs?name=ingest-single&follow=true&since=2999-01-01T00:00:00Z") as lines,
    ):
        async with client.put(f"{url}/system/functions", json={"service": "ingest-single"}) as answer:
            assert answer.status == 202
        line = json.loads(await asyncio.wait_for(lines.content.readline(), 10))
        assert line["instance"] == "ingest-single-1"
    await asyncio.to_thread(gateway.await_ready, "ingest-single")


def test_a_removed_function_is_gone_until_it_is_deployed(gateway: Gateway) -> None:
    assert gateway.system("DELETE", "functions", {"functionName": "sleeper"})[0] == 202
    assert gateway.call("GET", "/function/sleeper/hung-up")[0] == 404
    assert gateway.system("POST", "functions", {"service": "sleeper", "image": "x"})[0] == 202
    gateway.await_ready("sleeper")
    assert gateway.call("GET", "/function/sleeper/hung-up")[0] == 200


@pytest.mark.parametrize("body", [[], "x", {}, {"service": 7}])
def test_a_deployment_that_makes_no_sense_is_400(gateway: Gateway, body: Any) -> None:
    assert gateway.system("POST", "functions", body)[0] == 400


def test_a_token_in_a_path_reaches_no_log(gateway: Gateway) -> None:
    gateway.call("POST", "/hook/verysecret/leshan_api/resource/single")
    gateway.call("POST", "/hook/verysecret/leshan_api/resource/single?sleep=4")
    logs = [gateway.log, *(gateway.folder / "logs").iterdir()]
    assert not [path for path in logs if "verysecret" in path.read_text()]
