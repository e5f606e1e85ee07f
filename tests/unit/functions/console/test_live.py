"""console: what Leshan alone knows of a device."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from aiohttp import web

from flownexus.leshan.coap_log import follow_messages
from flownexus.settings import Timeouts
from flownexus.web.console import live
from flownexus.web.console.app import Access
from tests.fixtures.function import STACK, Start
from tests.fixtures.leshan import Answer, LeshanDouble
from tests.fixtures.pages import ask, sessions
from tests.fixtures.statements import Rows, Statements

ROWS: dict[str, Rows] = {
    "only_read": [()],
    "session": sessions,
    "keep_session": [()],
    "endpoint_ids": [("a&b", 7)],
}
OBSERVATIONS = "/device/observations?name=a%26b"
COAP = "/live/device/coap?name=a%26b"
MESSAGE = {
    "timestamp": 1795944000123, "incoming": True, "type": "NON", "code": "2.05", "mId": 7, "token": "0A",
    "options": "Observe: 3", "payload": "<b>21.5</b>", "ep": "a&b",
}  # fmt: skip


def told(body: Any, status: int = 200) -> Answer:
    async def reply(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return reply


def events(*parts: str) -> bytes:
    return "".join(f"{part}\n\n" for part in parts).encode()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LONGEST_S", 0.5)


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (told([{"path": "/3303/0/5700"}, {"paths": ["/3/0", "/5/0"]}]), ["/3303/0/5700", "/3/0", "together"]),
        (told([]), ["Nothing is observed."]),
        (told({"code": "not-registered"}, 400), ["The device is not registered"]),
    ],
)
def test_what_is_observed_now_is_shown(
    start: Start, statements: Statements, leshan: LeshanDouble, reply: Answer, shown: list[str]
) -> None:
    leshan.default = reply
    answer = ask(start(statements, leshan_url=leshan.url), "GET", OBSERVATIONS, of=Access.VIEWER)
    assert answer.status_code == 200
    assert [each for each in shown if each not in answer.text] == []
    assert leshan.seen[0].endpoint == "a&b"


def test_where_leshan_is_away_the_part_says_so(start: Start, statements: Statements) -> None:
    headers = {"HX-Request": "true"}
    answer = ask(start(statements), "GET", OBSERVATIONS, of=Access.VIEWER, headers=headers)
    assert (answer.status_code, "Leshan is away" in answer.text) == (503, True)
    assert "HX-Reswap" not in answer.headers


@pytest.mark.usefixtures("short")
def test_coap_messages_are_told_as_they_pass_and_the_stream_ends_by_itself(
    start: Start, statements: Statements, leshan: LeshanDouble
) -> None:
    leshan.events = events(
        'event: AWAKE\ndata: {"ep": "a&b"}', f"event: COAPLOG\ndata: {json.dumps(MESSAGE)}", ":"
    )
    function = start(statements, leshan_url=leshan.url)
    before = time.monotonic()
    headers = {"Accept-Encoding": "gzip"}
    answer = ask(function, "GET", COAP, of=Access.OPERATOR, headers=headers)
    assert time.monotonic() - before > 0.4
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    pieces = answer.text.split("\n\n")
    assert pieces[0] == "retry: 1000"
    [data] = [each.removeprefix("data: ") for each in pieces if each.startswith("data: ")]
    assert json.loads(data) == {name: each for name, each in MESSAGE.items() if name != "ep"}
    assert "event: turn\ndata:" in pieces, "whoever follows opens the next one"
    assert ":" in pieces
    [seen] = leshan.seen
    assert (seen.endpoint, seen.headers["Authorization"]) == ("a&b", "Bearer secret")


@pytest.mark.usefixtures("short")
def test_streams_are_bounded_and_each_gives_its_place_back(
    start: Start, statements: Statements, leshan: LeshanDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_STREAMS", 1)
    function = start(statements, leshan_url=leshan.url)
    inner: list[Any] = []

    def while_open(*given: Any) -> Any:
        lines = follow_messages(*given)
        monkeypatch.setattr(live, "follow_messages", follow_messages)
        inner.append(ask(function, "GET", COAP, of=Access.OPERATOR))
        return lines

    monkeypatch.setattr(live, "follow_messages", while_open)
    assert ask(function, "GET", COAP, of=Access.OPERATOR).status_code == 200
    assert inner[0].status_code == 429
    assert "1 CoAP logs are open already" in inner[0].text
    assert ask(function, "GET", COAP, of=Access.OPERATOR).status_code == 200


def test_what_follows_ends_before_the_function_is_ended() -> None:
    assert float(STACK["console"].environment["exec_timeout"].removesuffix("s")) > live.LONGEST_S


def test_what_follows_ends_before_the_gateway_ends_it(
    start: Start, statements: Statements, leshan: LeshanDouble
) -> None:
    function = start(statements, leshan_url=leshan.url, long_poll_timeout="1s")
    before = time.monotonic()
    assert ask(function, "GET", COAP, of=Access.OPERATOR).status_code == 200
    assert time.monotonic() - before < Timeouts.of(1).upstream_s
