"""The command line's models and logs, against answers that a test gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli import logs
from cli.__main__ import parser
from cli.client import ClientError
from tests.fixtures.models import ENTRY, MODEL, XML

MODEL_JSON = MODEL.as_json()
SHOWN = MODEL_JSON | {
    "xml": XML,
    "resources": [
        {"id": 0, "operations": "R", "data_type": "FLOAT", "name": "Heat", "units": "Cel", "range": "0..9"}
    ],
}


class FakeClient:
    """Answers each request with the next of `answers`, and keeps what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, bytes | None]] = []

    def request(self, method: str, path: str, body: Any = None, *, content: bytes | None = None) -> Any:
        self.asked.append((method, path, content))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def pages(self, path: str, name: str, query: dict[str, str]) -> Any:
        return self.request("GET", f"{path}?{query}")[name]


def run(client: FakeClient, *arguments: str) -> int:
    given = parser().parse_args(arguments)
    status: int = given.run(client, given)
    return status


def test_a_file_is_sent_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "kiln.xml"
    file.write_text(XML)
    client = FakeClient({"models": [MODEL_JSON]})
    assert run(client, "models", "add", str(file), "--replace") == 0
    assert client.asked == [("POST", "/api/v1/models?replace=true", XML.encode())]
    assert capsys.readouterr().out == "33456  1.1  Kiln  added by ann 2026-11-22T13:27:27Z\n"
    with pytest.raises(ClientError, match="cannot read"):
        run(client, "models", "add", str(tmp_path / "none.xml"))


def test_a_model_is_shown_by_its_resources_or_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FakeClient(SHOWN), "models", "show", "33456", "1.1") == 0
    assert capsys.readouterr().out == "0  R  FLOAT  Heat  Cel  0..9\n"
    assert run(FakeClient(SHOWN), "models", "show", "33456", "1.1", "--xml") == 0
    assert capsys.readouterr().out == XML
    with pytest.raises(ClientError, match="only added files are stored"):
        run(FakeClient(SHOWN | {"xml": None}), "models", "show", "3303", "1.1", "--xml")


def test_models_are_listed_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient({"models": []}, MODEL_JSON)
    assert run(client, "models", "list", "--json") == 0
    assert capsys.readouterr().out == "[]\n"
    assert run(client, "models", "remove", "33456", "1.1", "--json") == 0
    assert client.asked[1] == ("DELETE", "/api/v1/models/33456/1.1", None)


def test_a_log_is_followed_by_the_numbers_of_its_entries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "POLL_INTERVAL_S", 0)
    old, new = ENTRY.as_json(), ENTRY._replace(id=8, message="00ff", hex=True, source=None).as_json()
    client = FakeClient(
        {"entries": [old]}, {"entries": [new, old]}, {"entries": [new, old]}, KeyboardInterrupt()
    )
    with pytest.raises(KeyboardInterrupt):
        run(client, "logs", "sim-0001", "-f", "--severity", "warning")
    assert capsys.readouterr().out.splitlines() == [
        "2026-11-22T13:27:27Z  sim-0001  error  fan  stuck",
        "2026-11-22T13:27:27Z  sim-0001  error  -  hex 00ff",
    ]
    assert client.asked[0][1] == "/api/v1/logs?endpoint=sim-0001&severity=warning&limit=50"


def test_a_log_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FakeClient({"entries": [ENTRY.as_json()]}), "logs", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [ENTRY.as_json()]
