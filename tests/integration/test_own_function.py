"""The function of one's own that docs/own-function.md has: it is deployed and does what the page says."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from local.openfaas.stack import read_stack
from tests.fixtures.postgres import Database

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "own-function.md").read_text(encoding="utf-8")
TEMPERATURES = """
INSERT INTO endpoint (name) VALUES ('hot'), ('cool'), ('silent');
INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (3303, 5700, 'FLOAT')
ON CONFLICT DO NOTHING;
INSERT INTO resource_latest
    (time, resource_id, endpoint_id, resource_type_id, object_instance_id, float_value)
SELECT now() - CASE e.name WHEN 'silent' THEN interval '1 h' ELSE interval '1 s' END, 1, e.id, t.id, 0,
       CASE e.name WHEN 'cool' THEN 29.5 ELSE 30.5 END
FROM endpoint e, resource_type t WHERE (t.object_id, t.resource_id) = (3303, 5700);
"""


def written(language: str) -> str:
    """Return what the page has one reader write."""
    [text] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


def test_the_local_provider_serves_its_entry(tmp_path: Path) -> None:
    folder = tmp_path / "functions" / "heat-alarm"
    folder.mkdir(parents=True)
    (folder / "handler.py").write_text(written("python"))
    (tmp_path / "stack.yml").write_text("functions:\n" + written("yaml"))
    [function] = read_stack(tmp_path / "stack.yml", {}).values()
    assert function.handler == folder
    assert function.annotations == {"topic": "cron-function", "schedule": "0 * * * * *"}


def test_it_tells_who_is_too_hot(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute(TEMPERATURES.encode())
    (tmp_path / "flownexus-connector-token").write_text("t" * 32)
    (tmp_path / "flownexus-grafana-database-url").write_text(database.grafana)
    told: list[object] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    with HTTPServer(("127.0.0.1", 0), Hook) as hook:
        thread = threading.Thread(target=hook.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("secret_mount_path", str(tmp_path))
        monkeypatch.setenv("limit", "30")
        monkeypatch.setenv("webhook_url", f"http://127.0.0.1:{hook.server_port}/")
        handler = ModuleType("handler")
        exec(written("python"), handler.__dict__)
        client = handler.app.test_client()
        assert client.post("/").status_code == 401
        assert client.post("/", headers={"Authorization": f"Bearer {'t' * 32}"}).json == {"hot": 30.5}
        hook.shutdown()
        thread.join()
    assert told == [{"too_hot": {"hot": 30.5}}]
