"""The command line's bootstrap: what it sends, writes and says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.client import API, ClientError
from tests.unit.test_cli_models import FakeClient, run

ROW: dict[str, Any] = {
    "id": 3,
    "endpoint": "a",
    "identity": "a",
    "profile": "default",
    "used_at": None,
    "revoked_at": None,
}


def test_the_files_of_a_factory_key_are_written_and_its_key_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient({**ROW, "files": {"psk-key.hex": "00ff\n"}})
    assert run(client, "bootstrap", "add", "a", "--profile", "field", "-o", str(tmp_path)) == 0
    assert (tmp_path / "a" / "psk-key.hex").read_text() == "00ff\n"
    told = capsys.readouterr().out
    assert told.startswith("factory key 3 of a: may bootstrap\n")
    assert "00ff" not in told
    assert [each[:2] for each in client.asked] == [("POST", f"{API}/bootstrap/keys")]


def test_a_csv_file_with_an_unknown_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text("endpoint,mode\na,psk\n")
    with pytest.raises(ClientError, match="endpoint, and of identity, key, profile"):
        run(FakeClient(), "bootstrap", "import", str(tmp_path / "fleet.csv"), "-o", str(tmp_path))


def test_a_profile_that_is_deleted_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FakeClient({"name": "field"}), "bootstrap", "delete", "field") == 0
    assert capsys.readouterr().out == "profile field deleted\n"


def test_sessions_say_why_they_were_refused_and_how_often(capsys: pytest.CaptureFixture[str]) -> None:
    session = {
        "id": 1,
        "endpoint": "a",
        "state": "refused",
        "times": 5,
        "address": "192.0.2.1",
        "detail": "its factory key is used up",
        "begun_at": "2026-01-02T03:04:05+00:00",
        "ended_at": "2026-01-02T03:04:06+00:00",
    }
    client = FakeClient({"sessions": [session], "next": None})
    assert run(client, "bootstrap", "sessions", "--endpoint", "a") == 0
    told = capsys.readouterr().out
    assert "refused 5 times  192.0.2.1  its factory key is used up" in told
