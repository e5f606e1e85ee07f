"""The command line against an API that answers what a test says."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from cli import dead_letters, operations, waiting
from cli.__main__ import main, parser
from cli.history import plot
from cli.numbers import shortest
from cli.waiting import NOT_CONFIRMED, STILL_OPEN
from flownexus.enrolment.authority import Authority, certificate_pem, now
from flownexus.enrolment.keys import private_pem
from flownexus.errors import UnknownDataTypeError
from flownexus.operations.lifecycle import Status
from flownexus.operations.new_operation import parse_operation
from flownexus.operations.typed_value import typed_value
from flownexus.web.problem import problem

API_DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


class Api(ThreadingHTTPServer):
    """Answers each request with the next of `answers`, and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, str | None, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((self.command, self.path, self.headers["Authorization"], body))
        status, answer = self.server.answers.pop(0)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        (tmp_path / "token").write_text("secret\n")
        monkeypatch.setenv("FLOWNEXUS_URL", f"http://127.0.0.1:{server.server_port}/function")
        monkeypatch.setenv("FLOWNEXUS_API_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setattr(waiting, "POLL_INTERVAL_S", 0)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["flownexus", *arguments])
        return main()

    return run


def operation(status: str, reason: str | None = None, result: Any = None) -> dict[str, Any]:
    return {
        "id": 7,
        "endpoint": "sim-0003",
        "operation": "write",
        "path": "/3/0/15",
        "status": status,
        "reason": reason,
        "result": result,
    }


def test_over_tls_only_who_is_signed_by_the_ca_file_is_asked(
    api: Api, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority.new("Test CA", now())
    certificate, key = authority.site(["localhost"], now())
    (tmp_path / "site.pem").write_text(certificate_pem(certificate) + private_pem(key))
    (tmp_path / "ca.pem").write_text(certificate_pem(authority.certificate))
    (tmp_path / "other.pem").write_text(certificate_pem(Authority.new("Test CA", now()).certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "site.pem")
    api.socket = context.wrap_socket(api.socket, server_side=True)
    monkeypatch.setenv("FLOWNEXUS_URL", f"https://localhost:{api.server_port}/function")
    for file, told in (
        *(("", "CERTIFICATE_VERIFY_FAILED"), ("other.pem", "CERTIFICATE_VERIFY_FAILED")),
        *(("token", "must be a CA's certificate"), ("missing", "must be a CA's certificate")),
    ):
        monkeypatch.setenv("FLOWNEXUS_CA_FILE", file and str(tmp_path / file))
        assert run("read", "sim-0003", "/3/0/15") == 1
        assert told in capsys.readouterr().err
    assert api.asked == []
    monkeypatch.setenv("FLOWNEXUS_CA_FILE", str(tmp_path / "ca.pem"))
    api.answers = [(201, operation("QUEUED"))]
    assert run("read", "sim-0003", "/3/0/15") == 0


def test_a_write_is_waited_for(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = [
        *((201, operation("QUEUED")), (200, operation("QUEUED")), (200, operation("CONFIRMED"))),
    ]
    assert run("write", "--wait", "sim-0003", "/3/0/15", "Europe/Berlin") == 0
    assert capsys.readouterr().out == (
        "operation 7  write sim-0003 /3/0/15  QUEUED\noperation 7  write sim-0003 /3/0/15  CONFIRMED\n"
    )
    body = {"endpoint": "sim-0003", "operation": "write", "path": "/3/0/15", "value": "Europe/Berlin"}
    assert api.asked == [
        ("POST", "/function/operations/", "Bearer secret", body),
        *[("GET", "/function/operations/7", "Bearer secret", None)] * 2,
    ]


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["discover", "a", "/3"], {"operation": "discover", "path": "/3"}),
        (["cancel-observe", "a", "/3"], {"operation": "cancel-observe", "path": "/3"}),
        (
            ["write", "a", "/9/0/1", "5", "--type", "INTEGER"],
            {"operation": "write", "path": "/9/0/1", "value": {"type": "INTEGER", "value": "5"}},
        ),
        (["write", "a", "/9/0/1", ""], {"operation": "write", "path": "/9/0/1", "value": ""}),
        (
            ["write-attributes", "a", "/3303/0/5700", "pmin=10", "gt=-1.5", "st"],
            {
                "operation": "write-attributes",
                "path": "/3303/0/5700",
                "value": {"pmin": 10, "gt": -1.5, "st": None},
            },
        ),
        (
            ["create", "a", "/3442/7", "110=a=b", "9:INTEGER=5"],
            {
                "operation": "create",
                "path": "/3442/7",
                "value": {"resources": {"110": "a=b", "9": {"type": "INTEGER", "value": "5"}}},
            },
        ),
        (
            ["instance-write", "a", "/3442/7", "110=a", "9:INTEGER=5"],
            {
                "operation": "write",
                "path": "/3442/7",
                "value": {"resources": {"110": "a", "9": {"type": "INTEGER", "value": "5"}}},
            },
        ),
        (
            ["instance-write", "a", "/3442/7", "110=a", "--keep"],
            {
                "operation": "write",
                "path": "/3442/7",
                "value": {"resources": {"110": "a"}, "replace": False},
            },
        ),
        (["create", "a", "/3442"], {"operation": "create", "path": "/3442", "value": {"resources": {}}}),
        (
            ["read-composite", "a", "/3/0/9", "/3303/0/5700"],
            {"operation": "read-composite", "paths": ["/3/0/9", "/3303/0/5700"]},
        ),
        (
            ["write-composite", "a", "/3/0/15=UTC", "/9/0/1:INTEGER=5"],
            {
                "operation": "write-composite",
                "value": {"/3/0/15": "UTC", "/9/0/1": {"type": "INTEGER", "value": "5"}},
            },
        ),
        (["reboot", "a"], {"operation": "reboot"}),
        (["disable", "a", "/1/1/4"], {"operation": "disable", "path": "/1/1/4"}),
        (["set-clock", "a"], {"operation": "set-clock"}),
        (["delete", "a", "/3442/7"], {"operation": "delete", "path": "/3442/7"}),
        (
            ["read", "a", "/3", "--not-before", "2099-01-02T03:04:05Z", "--expires-in", "60"],
            {"operation": "read", "path": "/3", "not_before": "2099-01-02T03:04:05Z", "expires_in": 60},
        ),
        (["execute", "a", "/3/0/4"], {"operation": "execute", "path": "/3/0/4"}),
        (
            ["execute", "a", "/3/0/4", "--arguments", "0='x'", "--repeatable"],
            {"operation": "execute", "path": "/3/0/4", "arguments": "0='x'", "repeatable": True},
        ),
    ],
)
def test_an_operation_is_asked_for(api: Api, run: Any, words: list[str], body: Any) -> None:
    api.answers = [(201, operation("QUEUED"))]
    assert run(*words) == 0
    [(_, _, _, asked)] = api.asked
    assert asked == {"endpoint": "a", **body}
    parse_operation(asked)  # the API takes it


@pytest.mark.parametrize("name", operations.COMMANDS)
def test_each_kind_of_operation_is_a_command(run: Any, capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(name, "--help")
    assert ended.value.code == 0
    assert f"flownexus {name} " in capsys.readouterr().out
    [documented] = [
        part for part in API_DOCUMENT.read_text().split("\n## ") if part.startswith("The command")
    ]
    assert re.search(f"`{name}[` ]", documented)


def test_a_resource_that_nobody_knows_takes_a_type(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnknownDataTypeError) as raised:
        typed_value("5", None)
    api.answers = [(422, problem(raised.value)[0])]
    assert run("write", "sim-0003", "/40000/0/1", "5") == 1
    error = capsys.readouterr().err
    assert "no object model has /40000/0/1" in error
    assert "add --type, one of INTEGER, " in error
    assert "{" not in error


WHY = {"id": 7, "cause": "same-target", "why": "It waits for operation 6.\n", "operation": 6}


@pytest.mark.parametrize(
    ("words", "told"), [([], "It waits for operation 6.\\n\n"), (["--json"], json.dumps(WHY) + "\n")]
)
def test_why_an_operation_has_not_ended_is_told(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    api.answers = [(200, WHY)]
    assert run("why", "7", *words) == 0
    assert capsys.readouterr().out == told
    assert api.asked[0][1] == "/function/operations/7/why"


def test_how_an_operation_ends_is_the_exit_status(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers = [(200, operation("FAILED", "4.04"))]
    assert run("operation", "7", "--wait") == NOT_CONFIRMED
    api.answers = [(200, operation("QUEUED")), (200, WHY)]
    assert run("operation", "7", "--wait", "--timeout", "0") == STILL_OPEN
    assert capsys.readouterr().err == (
        "It waits for operation 6.\\n\n"
        "the operation is still open; to wait longer: flownexus operation 7 --wait\n"
    )
    api.answers = [(200, operation("QUEUED"))]
    assert run("operation", "7") == 0


def test_operations_are_listed_as_json(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = [(200, {"operations": [operation("QUEUED")], "next": None})]
    assert run("operations", "sim-0003", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [operation("QUEUED")]
    assert api.asked[0][1] == "/function/operations/?limit=20&endpoint=sim-0003"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ({"kind": "singleResource", "id": 15, "type": "STRING", "value": "UTC"}, "  UTC"),
        ({"kind": "multiResource", "id": 15, "type": "STRING", "values": {"0": "é"}}, '  {"0": "é"}'),
        ({"kind": "instance", "id": 0, "resources": []}, ""),
        ([{"url": "/3/0", "attributes": {}}], ""),
        (None, ""),
    ],
)
def test_what_a_read_brought_is_shown(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], content: Any, shown: str
) -> None:
    result = {"status": "CONTENT(205)", **({} if content is None else {"content": content})}
    api.answers = [(201, operation("CONFIRMED", result=result))]
    assert run("read", "--wait", "sim-0003", "/3/0/15") == 0
    assert capsys.readouterr().out.endswith(f"  CONFIRMED{shown}\n")


def test_the_paths_of_an_operation_that_has_several_are_shown(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    several = {**operation("QUEUED"), "operation": "read-composite", "paths": ["/3/0/9", "/3303/0/5700"]}
    del several["path"]
    api.answers = [(201, several)]
    assert run("read-composite", "sim-0003", "/3/0/9", "/3303/0/5700") == 0
    assert capsys.readouterr().out == "operation 7  read-composite sim-0003 /3/0/9 /3303/0/5700  QUEUED\n"


def test_a_pair_without_a_value_is_refused_with_what_would_be_right(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("create", "sim-0003", "/3442", "110") == 1
    assert capsys.readouterr().err == "error: 110: write it as 110=VALUE\n"
    assert api.asked == []
    detail = "value: resource 9: this resource is in no object model"
    api.answers = [(422, {"type": UnknownDataTypeError.type, "title": "Not valid", "detail": detail})]
    assert run("create", "sim-0003", "/3442", "9=1") == 1
    assert "resource 9: this resource is in no object model" in (error := capsys.readouterr().err)
    assert "ID:TYPE=VALUE if no model has it" in error


AT = "2026-01-02T03:04:05+00:00"
DEVICES = [
    {
        "name": "sim-0001",
        "presence": "asleep",
        "awake_until": None,
        "offline_since": None,
        "last_seen": "2026-01-02T03:04:05.678901+00:00",
        "expected": {"by": "rhythm", "until": AT, "at": AT, "earliest": AT},
    },
    {
        "name": "a",
        "presence": "offline",
        "awake_until": None,
        "offline_since": None,
        "last_seen": None,
        "expected": None,
    },
]


def test_devices_of_all_pages_are_listed(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = [
        (200, {"endpoints": DEVICES[:1], "next": "sim-0001"}),
        (200, {"endpoints": DEVICES[1:], "next": None}),
    ] * 2
    assert run("endpoints") == 0
    assert capsys.readouterr().out == (
        "sim-0001  asleep   2026-01-02T03:04:05Z  expected about 2026-01-02T03:04:05Z\n"
        "a         offline  never seen\n"
    )
    assert [asked[1] for asked in api.asked] == [
        "/function/api/v1/endpoints?limit=500",
        "/function/api/v1/endpoints?limit=500&cursor=sim-0001",
    ]
    assert run("devices", "--json") == 0
    assert json.loads(capsys.readouterr().out) == DEVICES


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"presence": "awake", "awake_until": AT}, "awake    never seen  until 2026-01-02T03:04:05Z"),
        ({"offline_since": AT}, "offline  never seen  since 2026-01-02T03:04:05Z"),
        (
            {"expected": {"by": "lifetime", "until": AT, "at": None, "earliest": None}},
            "offline  never seen  expected before 2026-01-02T03:04:05Z",
        ),
    ],
)
def test_a_device_is_listed_with_when_it_can_be_reached(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], told: Any, shown: str
) -> None:
    api.answers = [(200, {"endpoints": [DEVICES[1] | told], "next": None})]
    assert run("endpoints", "--filter", "name==a") == 0
    assert capsys.readouterr().out.split("  ", 1) == ["a", shown.replace("awake    ", "awake  ") + "\n"]
    assert api.asked[0][1] == "/function/api/v1/endpoints?filter=name%3D%3Da&limit=500"


def test_a_device_is_made_known_before_it_registers(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers = [(201, DEVICES[1])]
    assert run("add-endpoint", "a", "site=bern", "note=a=b") == 0
    assert capsys.readouterr().out == "a is added; it has not registered yet\n"
    assert api.asked[0][0] == "POST"
    assert run("add-endpoint", "a", "site") == 1
    assert capsys.readouterr().err == "error: site: write it as site=VALUE\n"


def test_a_device_is_deleted(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = [(200, {"name": "a/b"}), (409, {"detail": "'a/b' is registered"}), (200, {"name": "a/b"})]
    assert run("delete-endpoint", "a/b") == 0
    assert capsys.readouterr().out == "a/b is deleted\n"
    assert run("delete-endpoint", "a/b") == 1
    assert capsys.readouterr().err == "error: 'a/b' is registered\n"
    assert run("delete-endpoint", "a/b", "--force") == 0
    assert [asked[:2] for asked in api.asked] == [
        ("DELETE", "/function/api/v1/endpoints/a%2Fb"),
        ("DELETE", "/function/api/v1/endpoints/a%2Fb"),
        ("DELETE", "/function/api/v1/endpoints/a%2Fb?force=true"),
    ]


def test_who_was_not_let_in_is_listed_with_what_to_do(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {
        "endpoint": "a",
        "address": None,
        "cause": "wrong-key",
        "detail": None,
        "count": 3,
        "first_at": AT,
        "last_at": AT,
        "remedy": "compare",
    }
    api.answers = [(200, {"refusals": [refusal], "next": None})]
    assert run("refusals", "a") == 0
    assert capsys.readouterr().out == "2026-01-02T03:04:05Z  a    3 x  wrong-key; compare\n"
    assert api.asked[0][1] == "/function/api/v1/refusals?limit=20&endpoint=a"
    api.answers = [(200, {"refusals": [refusal | {"endpoint": None}], "next": None})]
    assert run("refusals") == 0
    assert capsys.readouterr().out == "2026-01-02T03:04:05Z  (unknown)    3 x  wrong-key; compare\n"
    api.answers = [(200, {"refusals": [], "next": None})]
    assert run("refusals") == 0
    assert capsys.readouterr().err == "no device was refused\n"


def test_what_is_declared_is_listed_set_and_removed(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    type_ = {"name": "climate", "paths": ["/3303/*/5700", "/3304/*/5700"], "description": "both"}
    log = {"object_id": 32769, "resource_id": 7, "cumulative": True}
    api.answers = [
        (200, {"event_types": [type_]}),
        (201, type_),
        (200, type_),
        (200, {"log_resources": [log]}),
        (200, log),
        (200, log),
    ]
    assert run("event-types", "list") == 0
    assert run("event-types", "set", "climate", *type_["paths"], "--description", "both") == 0
    assert run("event-types", "remove", "climate") == 0
    assert capsys.readouterr().out == "climate  /3303/*/5700 /3304/*/5700  both\n" * 3
    assert run("log-resources", "list") == 0
    assert run("log-resources", "set", "/32769/7", "--cumulative") == 0
    assert run("log-resources", "remove", "32769/7") == 0
    assert capsys.readouterr().out == "32769/7  cumulative\n" * 3
    assert run("log-resources", "set", "7") == 1
    assert capsys.readouterr().err.startswith("error: 7: write it as OBJECT/RESOURCE")
    assert [asked[:2] for asked in api.asked if asked[0] != "GET"] == [
        ("PUT", "/function/api/v1/event-types/climate"),
        ("DELETE", "/function/api/v1/event-types/climate"),
        ("PUT", "/function/api/v1/log-resources/32769/7"),
        ("DELETE", "/function/api/v1/log-resources/32769/7"),
    ]


def test_without_a_device_it_is_said_so(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = [(200, {"endpoints": [], "next": None})]
    assert run("endpoints") == 0
    assert capsys.readouterr() == ("", "no device is known yet\n")


VALUES: list[dict[str, Any]] = [
    {
        "path": "/3/0/7/0",
        "value": "3600",
        "time": "2026-01-02T03:04:05+00:00",
        "type": "INTEGER",
        "name": "Power Source Voltage",
        "units": "mV",
    },
    {
        "path": "/40000/0/1",
        "value": "two\nlines \x1b[2J",
        "time": "2026-01-02T03:04:06+00:00",
        "type": "STRING",
        "name": None,
        "units": None,
    },
]


def test_a_number_of_32_bits_is_shown_as_the_device_sent_it(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    value = VALUES[0] | {"value": "20.700000762939453", "type": "FLOAT", "units": "Cel"}
    api.answers = [(200, {"values": [value], "next": None})] * 2
    assert run("values", "a") == 0
    assert "20.7 Cel" in capsys.readouterr().out
    assert run("values", "a", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [value]


def test_a_device_s_values_are_listed(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = [(200, {"values": VALUES, "next": None})] * 3
    assert run("values", "a/b?", "/3") == 0
    assert capsys.readouterr().out == (
        "/3/0/7/0    3600 mV             2026-01-02T03:04:05Z  Power Source Voltage\n"
        "/40000/0/1  two\\nlines \\x1b[2J  2026-01-02T03:04:06Z\n"
    )
    assert run("values", "sim-0001") == 0
    assert [asked[1] for asked in api.asked] == [
        "/function/api/v1/endpoints/a%2Fb%3F/values?path=%2F3&limit=500",
        "/function/api/v1/endpoints/sim-0001/values?limit=500",
    ]
    capsys.readouterr()
    assert run("values", "sim-0001", "--json") == 0
    assert json.loads(capsys.readouterr().out) == VALUES
    api.answers = [(200, {"values": [], "next": None})]
    assert run("values", "sim-0001") == 0
    assert capsys.readouterr() == ("", "no value is stored yet\n")


DETAILS = {
    "name": "sim-0001",
    "registered": True,
    "lifetime": 300,
    "binding": None,
    "objects": ["/3/0", "/5"],
    "expected": {"at": None, "by": "lifetime", "earliest": None, "until": AT},
}


def test_an_endpoint_is_shown_with_what_it_registered(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers = [(200, DETAILS)] * 2
    assert run("endpoint", "a/b") == 0
    assert capsys.readouterr().out == (
        "name        sim-0001\nregistered  true\nlifetime    300\nobjects     /3/0 /5\n"
        f"expected    by=lifetime until={AT}\n"
    )
    assert api.asked[0][1] == "/function/api/v1/endpoints/a%2Fb"
    assert run("endpoint", "a/b", "--json") == 0
    assert json.loads(capsys.readouterr().out) == DETAILS


def test_devices_are_found_by_a_part_of_their_name(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers = [(200, {"endpoints": [], "next": None})]
    assert run("devices", "--match", "a b") == 0
    assert api.asked[0][1] == "/function/api/v1/endpoints?q=a+b&limit=500"
    assert capsys.readouterr().err == "no device matches\n"


TIME = "2026-01-02T03:04:05.6+00:00"


def test_events_and_registrations_are_listed(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    values = [{"path": "/3303/0/5700", "value": "21\n"}, {"path": "/3303/0/5601", "value": "1"}]
    event = {"time": TIME, "id": 1, "endpoint": "a", "type": "read", "values": values}
    api.answers = [(200, {"events": [event], "next": None})] * 2
    assert run("events", "a", "--limit", "1") == 0
    assert capsys.readouterr().out == ("2026-01-02T03:04:05Z  a  read  /3303/0/5700=21\\n  /3303/0/5601=1\n")
    assert api.asked[0][1] == "/function/api/v1/events?limit=1&endpoint=a"
    assert run("events", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [event]
    registration = {"time": TIME, "endpoint": "a", "event": "updated", "stored_at": TIME}
    api.answers = [
        (200, {"registrations": [registration], "next": None}),
        (200, {"registrations": [], "next": None}),
    ]
    assert run("registrations") == 0
    assert capsys.readouterr().out == "2026-01-02T03:04:05Z  a  updated\n"
    assert run("registrations") == 0
    assert capsys.readouterr() == ("", "there are no registrations yet\n")


def point(minute: int, mean: float, count: int = 2) -> dict[str, Any]:
    time = f"2026-01-02T00:{minute:02d}:00+00:00"
    return {
        "time": time,
        "minimum": mean - 1,
        "maximum": mean + 1,
        "mean": mean,
        "last": mean,
        "count": count,
    }


HISTORY = {
    "endpoint": "sim-0001",
    "path": "/3303/0/5700",
    "from": "2026-01-02T00:00:00+00:00",
    "to": "2026-01-02T01:00:00+00:00",
    "points": [point(0, 1.0), point(1, 3.0), point(59, 3.0, 6)],
}


def test_a_history_is_a_plot(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = [(200, HISTORY)]
    command = ("history", "sim-0001", "3303/0/5700", "--to", "2026-01-02T01:00:00Z", "--last", "60m")
    assert run(*command) == 0
    title, *rows, summary = capsys.readouterr().out.splitlines()
    assert title == "sim-0001 /3303/0/5700  2026-01-02T00:00:00Z to 2026-01-02T01:00:00Z"
    assert len(rows) == 8
    assert [row.partition("|")[0] for row in rows] == ["4 ", *["  "] * 6, "0 "]
    bottom, middle = (rows[place].partition("|")[2] for place in (7, 4))
    assert (len(bottom), bottom[:3], bottom[-1]) == (60, "██ ", "█")
    assert middle[:2] == " █"
    assert summary == "10 values, mean 2.6, last 3"
    query = "from=2026-01-02T00%3A00%3A00%2B00%3A00&to=2026-01-02T01%3A00%3A00Z&points=60"
    assert api.asked[0][1] == f"/function/api/v1/endpoints/sim-0001/3303/0/5700/history?{query}"


def test_a_history_that_never_changes_is_a_plot_too() -> None:
    same = {**HISTORY, "points": [{**point(0, 1.0), "minimum": 1.0, "maximum": 1.0}]}
    lines = plot(same, columns=10, rows=4)
    assert [line.partition("|")[2] for line in lines[:4]] == ["", "▁", "█", "█"]


def test_a_plot_has_room_for_the_greatest_numbers() -> None:
    greatest = sys.float_info.max
    points = [
        {"time": time, "minimum": value, "maximum": value, "mean": value, "last": value, "count": 2}
        for time, value in (("2026-01-02T00:00:00Z", greatest), ("2026-01-02T06:00:00Z", -greatest))
    ]
    lines = plot({"from": "2026-01-02T00:00:00Z", "to": "2026-01-02T12:00:00Z", "points": points}, 4, 2)
    assert lines == [" 1.79769e+308 |█", "-1.79769e+308 |█ ▁", "4 values, mean 0, last -1.79769e+308"]


def test_each_value_of_a_history_is_listed(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    value = {"time": TIME, "value": "21.5", "number": 21.5, "stored_at": TIME}
    api.answers = [(200, {"values": [value], "next": "c"}), (200, {"values": [value], "next": None})]
    assert run("history", "a", "/3303/0/5700", "--raw", "--from", TIME) == 0
    assert capsys.readouterr().out == "2026-01-02T03:04:05Z  21.5\n" * 2
    assert "resolution=raw&limit=500&cursor=c" in api.asked[1][1]
    api.answers = [(200, {**HISTORY, "points": []})]
    assert run("history", "a", "/3/0/0") == 0
    assert "--raw also lists other values" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--last", "soon"], "--last soon: write it as"),
        (["--last", "0m"], "--last 0m: write it as"),
        (["--last", "\u0663m"], "--last \u0663m: write it as"),
        (["--last", "999999d"], "--last 999999d: begins before the year 1"),
        (["--to", "soon"], "--to soon: write it as"),
    ],
)
def test_a_time_that_is_none_is_refused_with_an_example(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], words: list[str], error: str
) -> None:
    assert run("history", "a", "/3/0/9", *words) == 1
    assert error in capsys.readouterr().err
    assert api.asked == []


LETTER = {
    "id": 9,
    "kind": "single",
    "endpoint": "a",
    "reason": "no\x1b[2J",
    "received_at": TIME,
    "settlement": None,
    "item": {"ep": "a"},
}


def test_dead_letters_are_listed_and_looked_at(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers = [(200, {"dead_letters": [LETTER], "next": None}), (200, LETTER)]
    assert run("dead-letters", "list", "a", "--settled", "replayed") == 0
    assert capsys.readouterr().out == "9  2026-01-02T03:04:05Z  single  a  no\\x1b[2J\n"
    assert api.asked[0][1] == "/function/api/v1/dead-letters?limit=20&endpoint=a&settlement=replayed"
    assert run("dead-letters", "show", "9") == 0
    assert 'item         {"ep": "a"}' in capsys.readouterr().out
    api.answers = [(200, {"dead_letters": [], "next": None}), (200, LETTER)]
    assert run("dead-letters", "list") == 0
    assert capsys.readouterr().err == "there are no dead letters\n"
    assert run("dead-letters", "show", "9", "--json") == 0
    assert json.loads(capsys.readouterr().out) == LETTER


def test_a_dead_letter_is_delivered_again_or_discarded(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def replayed(stored: int, *rejected: str) -> tuple[int, Any]:
        return 200, {**LETTER, "outcome": {"stored": stored, "skipped": 0, "rejected": list(rejected)}}

    api.answers = [replayed(1), replayed(0), replayed(0, "still no"), (200, LETTER)]
    assert run("dead-letters", "replay", "9") == 0
    assert run("dead-letters", "replay", "9") == 0
    assert capsys.readouterr().out == "dead letter 9: stored\ndead letter 9: already stored\n"
    assert run("dead-letters", "replay", "9") == dead_letters.REJECTED
    assert capsys.readouterr().err == "it was rejected again: still no\n"
    assert run("dead-letters", "discard", "9") == 0
    assert capsys.readouterr().out == "dead letter 9: discarded\n"
    assert [(method, url) for method, url, _, _ in api.asked] == [
        *[("POST", "/function/api/v1/dead-letters/9/replay")] * 3,
        ("DELETE", "/function/api/v1/dead-letters/9"),
    ]


def test_the_url_of_the_version_before_still_works(
    api: Api, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWNEXUS_URL", f"http://127.0.0.1:{api.server_port}/function/operations/")
    api.answers = [(200, WHY)]
    assert run("why", "7", "--json") == 0
    assert api.asked[0][1] == "/function/operations/7/why"


def test_an_error_says_what_to_do(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers = [(404, {"title": "Not found", "status": 404, "detail": "there is no operation 7"})]
    assert run("operation", "7") == 1
    assert capsys.readouterr().err == "error: there is no operation 7\n"
    api.answers = [(401, {"title": "Unauthorized", "status": 401, "detail": "the token 'ci' was revoked"})]
    assert run("operation", "7") == 1
    told = capsys.readouterr().err
    assert told.startswith("error: the token 'ci' was revoked; the token is from /")
    assert told.endswith("/token\n")
    monkeypatch.setenv("FLOWNEXUS_URL", "http://127.0.0.1:1")
    assert run("operation", "7") == 1
    assert "no answer from http://127.0.0.1:1: " in capsys.readouterr().err
    monkeypatch.delenv("FLOWNEXUS_URL")
    assert run("operation", "7") == 1
    assert ". .flownexus/env" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer",
    [
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\nnull",
    ],
)
def test_an_answer_that_is_none_of_the_api_s_is_said_to_be_so(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("FLOWNEXUS_URL", f"http://127.0.0.1:{port}")

        def answer_once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=answer_once)
        thread.start()
        assert run("operation", "7") == 1
        thread.join()
    assert capsys.readouterr().err.startswith(f"error: no answer from http://127.0.0.1:{port}: ")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "http://[1", "http://127.0.0.1:port"])
def test_a_url_that_is_none_is_said_to_be_so(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("FLOWNEXUS_URL", url)
    assert run("operation", "7") == 1
    assert capsys.readouterr().err.startswith(f"error: no answer from {url}: ")


def test_a_file_that_is_no_token_is_said_to_be_so(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert run("operation", "7") == 1
    assert capsys.readouterr().err.endswith("/token is not UTF-8; it must contain a token\n")


@pytest.mark.parametrize(
    "words",
    [
        ["values", ""],
        ["tags", "", "site=berlin"],
        ["tags", "sim-0001", "=berlin"],
        ["plan", ""],
        ["profiles", "delete", ""],
        ["event-types", "remove", ""],
    ],
)
def test_an_empty_name_asks_nothing(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run(*words) == 1
    assert "a name is empty" in capsys.readouterr().err
    assert api.asked == []


@pytest.mark.parametrize("command", ["operations", "events", "registrations", "refusals", "updates list"])
def test_the_list_of_a_device_with_an_empty_name_is_not_that_of_all(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    api.answers = [(404, {"title": "Not found", "detail": "no endpoint '' has been seen"})]
    assert run(*command.split(), "") == 1
    [(_, path, _, _)] = api.asked
    assert "endpoint=" in path


def test_a_word_that_is_not_utf_8_is_said_to_be_so(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["values", "\udcff"], ["read", "\udcff", "/3/0/0"], ["operations", "\udcff"]):
        assert run(*words) == 1
        assert "is not UTF-8" in capsys.readouterr().err
    assert api.asked == []


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "soon"])
@pytest.mark.parametrize(
    "words",
    [
        ["operation", "7", "--wait", "--timeout"],
        ["read", "a", "/3/0/0", "--expires-in"],
        ["tokens", "create", "ci", "read", "--expires-in"],
        ["credentials", "rotate", "7", "--overlap"],
    ],
)
def test_what_is_no_number_of_seconds_is_wrong_usage(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], words: list[str], number: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(*words, number)
    assert f"{number!r} is not a number of seconds, such as 60" in capsys.readouterr().err


def test_an_instance_is_not_written_without_a_value(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """That would take all that it has."""
    with pytest.raises(SystemExit, match="2"):
        run("instance-write", "a", "/3341/0")
    assert "required: ID=VALUE" in capsys.readouterr().err


MADE = {
    "id": 7,
    "name": "ci",
    "owner": "Ann",
    "scopes": ["operate", "read"],
    "created_by": "api",
    "prefix": "0123abcd",
    "created_at": "2026-01-02T03:04:05.5+00:00",
    "expires_at": None,
    "last_used_at": None,
    "revoked_at": None,
    "revoked_by": None,
}
REVOKED = MADE | {"id": 5, "revoked_at": "2026-01-02T03:04:06+00:00", "revoked_by": "api"}


def test_a_token_alone_is_printed_when_it_is_made(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers = [(201, MADE | {"token": "fnx_0123abcd_x", "expires_at": "2027-01-02T03:04:05+00:00"})]
    assert run("tokens", "create", "ci", "read", "operate", "--owner", "Ann", "--expires-in", "60") == 0
    out, err = capsys.readouterr()
    assert out == "fnx_0123abcd_x\n"
    assert err.startswith("token 7, ci: until 2027-01-02T03:04:05Z. It is not shown again; ")
    body = {"name": "ci", "scopes": ["read", "operate"], "owner": "Ann", "expires_in": 60}
    assert api.asked == [("POST", "/function/api/v1/tokens", "Bearer secret", body)]


def test_tokens_are_listed_with_their_end(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    used = MADE | {"name": "x", "last_used_at": "2026-01-02T03:04:06+00:00"}
    api.answers = [(200, {"tokens": [used, REVOKED], "next": None})] * 2
    assert run("tokens", "list") == 0
    assert capsys.readouterr().out == (
        "7  x   Ann  operate read  does not expire               used 2026-01-02T03:04:06Z\n"
        "5  ci  Ann  operate read  revoked 2026-01-02T03:04:06Z  never used\n"
    )
    assert run("tokens", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [used, REVOKED]


@pytest.mark.parametrize("token", ["7", "ci"])
def test_a_token_is_revoked_by_its_number_or_its_name(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    api.answers = [(200, REVOKED | {"id": 7})]
    if token == "ci":
        api.answers.insert(0, (200, {"tokens": [MADE, REVOKED], "next": None}))
    assert run("tokens", "revoke", token) == 0
    assert capsys.readouterr().out == "token 7, ci: revoked 2026-01-02T03:04:06Z\n"
    assert api.asked[-1][:2] == ("DELETE", "/function/api/v1/tokens/7")


def test_a_name_that_no_valid_token_has_is_said_to_be_so(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers = [(200, {"tokens": [REVOKED], "next": None})]
    assert run("tokens", "revoke", "ci") == 1
    assert capsys.readouterr().err == (
        "error: no valid token is named 'ci'; `flownexus tokens list` shows all tokens\n"
    )


@pytest.mark.parametrize("command", ["why", "operation"])
def test_what_is_no_number_of_an_operation_is_refused_with_where_to_see_one(
    run: Any, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(command, "sim-0003")
    assert ended.value.code == 2
    assert (
        "'sim-0003' is not the number of an operation, such as 17; `flownexus operations` lists them"
        in capsys.readouterr().err
    )


def test_help_lists_every_command_once_in_a_section(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--help")
    text = capsys.readouterr().out
    listed = re.findall(r"^    ([a-z-]+)(?: |$)", text, re.MULTILINE)
    [subparsers] = [each for each in parser()._actions if isinstance(each, argparse._SubParsersAction)]
    assert sorted(listed) == sorted(action.dest for action in subparsers._get_subactions())
    assert text.index("  Look at devices:\n") < text.index("  Administer:\n")
    assert "  More:\n" not in text


def test_without_a_command_the_commands_are_shown(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    assert "  Look at devices:\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("endpionts", "there is no command 'endpionts': did you mean endpoints or endpoint?"),
        ("zzz", "there is no command 'zzz': flownexus --help lists them"),
    ],
)
def test_a_command_that_is_none_is_answered_with_those_that_are_like_it(
    run: Any, capsys: pytest.CaptureFixture[str], given: str, told: str
) -> None:
    """All fifty were listed."""
    with pytest.raises(SystemExit) as ended:
        run(given, "a")
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"flownexus: error: {told}"


@pytest.mark.parametrize(
    ("words", "name", "told"),
    [
        (["batches"], "batches", "no operation was queued by a filter yet\n"),
        (["campaign", "list"], "campaigns", "there are no campaigns yet\n"),
        (["firmware", "list"], "firmware", "there are no packages yet\n"),
        (["updates", "list"], "updates", "there are no such updates\n"),
        (["operations"], "operations", "there are no such operations\n"),
    ],
)
def test_a_list_of_nothing_says_so(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], words: list[str], name: str, told: str
) -> None:
    api.answers = [(200, {name: [], "next": None})]
    assert run(*words) == 0
    assert capsys.readouterr() == ("", told)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("20.700000762939453", "20.7"),  # 32 bits
        ("20.7000000005", "20.7000000005"),  # 64
        ("52.520008", "52.520008"),
        ("0", "0"),
        ("-40.5", "-40.5"),
        ("16777216", "16777216"),
        ("1e+300", "1e+300"),
        ("Infinity", "Infinity"),
        ("NaN", "NaN"),
    ],
)
def test_a_number_of_32_bits_is_shown_with_the_digits_that_it_has(stored: str, shown: str) -> None:
    assert shortest(stored) == shown


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_every_command_without_a_world(
    run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.delenv("FLOWNEXUS_URL", raising=False)
    assert run("completion", shell) == 0
    script = capsys.readouterr().out
    for word in ("write-composite", "tokens", "revoke", "--wait"):
        assert word in script
    checked = subprocess.run([shell, "-n"], input=script, text=True, check=False) if which(shell) else None
    assert checked is None or checked.returncode == 0


MAX_MODULES = 240
"""Of a bare Python some 30 are there at once; asyncio alone would bring 60 more."""
SLOW = ("asyncio", "psycopg", "flask", "starlette", "aiohttp", "nats", "shtab", "prometheus_client")


def test_the_first_line_does_not_wait_for_modules_that_no_command_needs() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", "import sys, cli.__main__; cli.__main__.parser(); print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    loaded = asked.stdout.split()
    assert [name for name in SLOW if name in loaded] == []
    assert len(loaded) < MAX_MODULES


def batch(*, ended: bool = False, **counts: int) -> dict[str, Any]:
    return {
        "id": 5,
        "filter": "name==sim-*",
        "operation": "write",
        "targets": ["/3/0/15"],
        "endpoints": 2,
        "left_out": 0,
        "progress": dict.fromkeys(Status, 0) | counts,
        "ended": ended,
    }


MATCHING = {"filter": "name==sim-*", "count": 4, "examples": ["sim-1", "sim-2", "sim-3"]}


def test_a_write_to_all_that_fit_a_filter_is_waited_for(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers = [
        (201, batch(QUEUED=2)),
        (200, batch(QUEUED=1, CONFIRMED=1)),
        (200, batch(ended=True, CONFIRMED=2)),
    ]
    words = ("write", "--wait", "--yes", "--supersede", "--filter", "name==sim-*", "/3/0/15", "UTC")
    assert run(*words) == 0
    shown = "batch 5  write /3/0/15  name==sim-*  "
    assert capsys.readouterr().out == (f"{shown}2 QUEUED\n{shown}1 QUEUED 1 CONFIRMED\n{shown}2 CONFIRMED\n")
    body = {"filter": "name==sim-*", "operation": "write", "path": "/3/0/15", "value": "UTC"}
    assert api.asked[0] == (
        "POST",
        "/function/operations/batches",
        "Bearer secret",
        {**body, "supersede": True},
    )
    assert [asked[:2] for asked in api.asked[1:]] == [("GET", "/function/operations/batches/5")] * 2


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (batch(ended=True, CONFIRMED=1, FAILED=1), NOT_CONFIRMED),
        (batch(QUEUED=2), STILL_OPEN),
    ],
)
def test_how_a_batch_ends_is_the_exit_status(api: Api, run: Any, answer: Any, status: int) -> None:
    api.answers = [(200, answer)]
    assert run("batch", "5", "--wait", "--timeout=0") == status


def test_which_devices_are_meant_is_shown_before_anything_is_queued(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = io.StringIO("n\ny\n")
    monkeypatch.setattr(asking, "isatty", lambda: True)
    api.answers = [(200, MATCHING), (200, MATCHING), (201, batch(QUEUED=4)), (200, MATCHING)]
    monkeypatch.setattr(sys, "stdin", asking)
    assert run("reboot", "--filter", "name==sim-*") == 1
    assert capsys.readouterr().err == (
        "4 devices match: sim-1, sim-2, sim-3, ...; queue the operation for each? [y/N] "
        "error: nothing was queued\n"
    )
    assert run("reboot", "--filter", "name==sim-*") == 0
    assert [asked[:2] for asked in api.asked] == [
        *[("GET", "/function/api/v1/matching?filter=name%3D%3Dsim-%2A")] * 2,
        ("POST", "/function/operations/batches"),
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    capsys.readouterr()
    assert run("reboot", "--filter", "name==sim-*") == 1
    assert "add --yes to queue the operation for each" in capsys.readouterr().err


def test_batches_are_listed_and_cancelled(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = [(200, {"batches": [batch(QUEUED=2)], "next": None}), (200, batch(CANCELLED=2, ended=True))]
    assert run("batches", "--limit", "3") == 0
    assert run("batch", "5", "--cancel", "--json") == 0
    assert api.asked[0][:2] == ("GET", "/function/operations/batches?limit=3")
    assert api.asked[1][:2] == ("DELETE", "/function/operations/batches/5")
    listed, cancelled = capsys.readouterr().out.splitlines()
    assert listed == "batch 5  write /3/0/15  name==sim-*  2 QUEUED"
    assert json.loads(cancelled)["progress"]["CANCELLED"] == 2


def test_tags_are_set_removed_and_listed(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = [(200, {"tags": {}})] * 2 + [(200, {"tags": {"site": "berlin", "a": "\x1b"}})]
    assert run("tags", "a/b", "site=berlin", "--remove", "floor") == 0
    path = "/function/api/v1/endpoints/a%2Fb/tags"
    assert [(method, path, body) for method, path, _, body in api.asked] == [
        ("DELETE", f"{path}/floor", None),
        ("PUT", f"{path}/site", {"value": "berlin"}),
        ("GET", path, None),
    ]
    assert capsys.readouterr().out == "a=\\x1b\nsite=berlin\n"
    assert run("tags", "a", "site") == 1
    assert "write it as site=VALUE" in capsys.readouterr().err


def test_what_fits_a_filter_is_said(api: Api, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = [
        (200, MATCHING | {"count": 1, "examples": ["a"]}),
        (200, MATCHING | {"count": 0, "examples": []}),
    ]
    assert run("matching", "name==a") == 0
    assert run("matching", "name==b") == 0
    assert capsys.readouterr().out == "1 device matches: a\nno device matches\n"


PROFILE = {
    "name": "trackers",
    "filter": "",
    "priority": 7,
    "plan": [{"operation": "read", "paths": ["/3"]}],
    "enabled": False,
    "changed_by": "ann",
    "changed_at": "2026-01-02T03:04:05+00:00",
    "applies_to": 12,
}


def test_profiles_are_listed_shown_set_and_deleted(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    api.answers = [(200, {"profiles": [PROFILE]}), (200, PROFILE), (201, PROFILE), (200, PROFILE)]
    line = "   7  trackers  all devices  applies to 12  disabled\n"
    assert run("profiles", "list") == 0
    assert capsys.readouterr().out == line
    assert run("profiles", "show", "trackers") == 0
    file = tmp_path / "trackers.json"
    file.write_text(capsys.readouterr().out)
    assert run("profiles", "set", "trackers", str(file)) == 0
    assert run("profiles", "delete", "trackers") == 0
    assert capsys.readouterr().out == f"{line}profile trackers deleted\n"
    path = "/function/api/v1/profiles/trackers"
    given = {"filter": "", "priority": 7, "plan": PROFILE["plan"], "enabled": False}
    assert [(method, path, body) for method, path, _, body in api.asked[1:]] == [
        ("GET", path, None),
        ("PUT", path, given),
        ("DELETE", path, None),
    ]
    file.write_text("{")
    assert run("profiles", "set", "trackers", str(file)) == 1
    assert f"cannot read a profile from {file}" in capsys.readouterr().err


def test_which_devices_a_profile_would_fit_is_said(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers = [(200, MATCHING)]
    assert run("profiles", "preview", "name==sim-*") == 0
    assert capsys.readouterr().out == "4 devices match: sim-1, sim-2, sim-3, ...\n"


def test_what_became_of_a_device_s_plan_is_shown(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [
        {"operation": "observe", "path": "/3303/0/5700", "state": "observed", "reason": None},
        {"operation": "observe-composite", "paths": ["/3", "/5"], "state": "refused", "reason": "no room"},
    ]
    api.answers = [(200, {"profile": "default", "registered": False, "plan": told})]
    assert run("plan", "sim-1") == 0
    assert capsys.readouterr().out == (
        "profile default; not registered\n"
        "observed      observe /3303/0/5700\n"
        "refused       observe-composite /3 /5: no room\n"
    )


def test_what_is_observed_of_a_device_now_is_listed(
    api: Api, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [
        {"composite": False, "paths": ["/3303/0/5700"]},
        {"composite": True, "paths": ["/3/0/9", "/5/0/3"]},
    ]
    api.answers = [
        (200, {"registered": True, "observations": told}),
        (200, {"registered": False, "observations": []}),
    ]
    assert run("observations", "sim-1") == 0
    assert capsys.readouterr().out == "single     /3303/0/5700\ncomposite  /3/0/9 /5/0/3\n"
    assert run("observations", "sim-1") == 0
    assert capsys.readouterr().err == "the device is not registered, so nothing is observed\n"


def test_who_reads_no_further_gets_no_traceback() -> None:
    """As `| head` does, which ends before all is written."""
    reading, writing = os.pipe()
    os.close(reading)
    asked = subprocess.run(
        [sys.executable, "-m", "cli", "completion", "bash"],
        cwd=Path(__file__).parents[2],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (asked.returncode, asked.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_what_cannot_be_written_is_said_to_be_so() -> None:
    with Path("/dev/full").open("w") as full:
        asked = subprocess.run(
            [sys.executable, "-m", "cli", "completion", "bash"],
            cwd=Path(__file__).parents[2],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (asked.returncode, asked.stderr) == (1, "error: the output: No space left on device\n")


def test_a_sign_that_the_terminal_lacks_is_escaped(api: Api) -> None:
    api.answers = [(200, {"tags": {"site": "K\xf6ln"}})]
    asked = subprocess.run(
        [sys.executable, "-m", "cli", "tags", "sim-0001"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "site=K\\xf6ln\n", "")
