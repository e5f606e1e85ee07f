"""api: what Leshan observes of a device now."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from tests.fixtures.function import NOBODY, Start
from tests.fixtures.leshan import Answer, LeshanDouble, plain
from tests.fixtures.statements import Statements

ROWS = {"only_read": [()], "endpoint_ids": [("a/b", 7)]}
URL = "/v1/endpoints/a%2Fb/observations"


def told(body: Any, status: int = 200) -> Answer:
    async def reply(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return reply


def test_each_observation_is_told_singles_first(
    start: Start, statements: Statements, leshan: LeshanDouble
) -> None:
    leshan.default = told([{"paths": ["/3/0/9", "/5/0/3"]}, {"path": "/3303/0/5700"}, {"path": "/3"}])
    answer = start(statements, leshan_url=leshan.url).send("GET", URL)
    assert answer.json() == {
        "registered": True,
        "observations": [
            {"composite": False, "paths": ["/3"]},
            {"composite": False, "paths": ["/3303/0/5700"]},
            {"composite": True, "paths": ["/3/0/9", "/5/0/3"]},
        ],
    }
    [seen] = leshan.seen
    assert (seen.endpoint, seen.path) == ("a/b", "/observations")
    assert seen.headers["Authorization"] == "Bearer secret"


def test_of_a_device_that_is_not_registered_nothing_is_observed(
    start: Start, statements: Statements, leshan: LeshanDouble
) -> None:
    leshan.default = told({"code": "not-registered", "message": "No registered client"}, 400)
    answer = start(statements, leshan_url=leshan.url).send("GET", URL)
    assert answer.json() == {"registered": False, "observations": []}


def test_of_an_endpoint_never_seen_leshan_is_not_asked(
    start: Start, statements: Statements, leshan: LeshanDouble
) -> None:
    statements.rows["endpoint_ids"] = []
    answer = start(statements, leshan_url=leshan.url).send("GET", URL)
    assert (answer.status_code, answer.json()["detail"]) == (404, "no endpoint 'a/b' has been seen")
    assert leshan.seen == []


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        (plain(401), "Leshan answers 401 about its observations"),
        (plain(500, "x"), "Leshan answers 500, and no JSON"),
        (told({}), "Leshan answers 200 about its observations"),
        (told([{"path": 3}]), "Leshan's answer about its observations makes no sense"),
    ],
)
def test_a_leshan_that_does_not_say_is_a_503(
    start: Start, statements: Statements, leshan: LeshanDouble, reply: Answer, detail: str
) -> None:
    leshan.default = reply
    answer = start(statements, leshan_url=leshan.url).send("GET", URL)
    assert (answer.status_code, answer.json()["detail"].startswith(detail)) == (503, True), answer.text


def test_a_leshan_that_is_away_or_silent_is_a_503(
    start: Start, statements: Statements, leshan: LeshanDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = start(statements, leshan_url=NOBODY).send("GET", URL)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["detail"].startswith("Leshan is away: ")

    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    leshan.default = silent
    monkeypatch.setattr("flownexus.leshan.asking.TIMEOUT_S", 0.2)
    answer = start(statements, leshan_url=leshan.url).send("GET", URL)
    assert (answer.status_code, answer.json()["detail"]) == (503, "Leshan is away: timed out")
