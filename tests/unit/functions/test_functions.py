"""What functions do before any service is asked: whom they let in, when they refuse to start."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from flownexus.errors import MissingSettingError
from flownexus.leshan.webhook import Kind
from flownexus.store.pool import Pool
from flownexus.store.telemetry import Telemetry
from flownexus.web.ingest import app_from_environment, create_app
from tests.fixtures.guard import guard_of
from tests.fixtures.handler import FUNCTIONS, load_handler

SECRETS = {
    "ingest-single": ["flownexus-webhook-token", "flownexus-nats-url", "flownexus-database-url"],
    "ingest-composite": ["flownexus-webhook-token", "flownexus-nats-url", "flownexus-database-url"],
    "registration": ["flownexus-webhook-token", "flownexus-nats-url", "flownexus-database-url"],
    "operations": ["flownexus-api-token", "flownexus-nats-url", "flownexus-database-url"],
    "housekeeping": [
        "flownexus-connector-token",
        "flownexus-nats-url",
        "flownexus-housekeeping-database-url",
    ],
    "dispatch-op": [
        "flownexus-connector-token",
        "flownexus-nats-url",
        "flownexus-database-url",
        "flownexus-leshan-token",
    ],
}
SECRET = {"Authorization": "Bearer secret"}
WEBHOOKS = {
    "ingest-single": Kind.SINGLE,
    "ingest-composite": Kind.COMPOSITE,
    "registration": Kind.REGISTRATION,
}


def starter(function: str) -> Callable[[], object]:
    """Return what makes the function's app from its environment."""
    if kind := WEBHOOKS.get(function):
        return lambda: app_from_environment(kind)
    start: Callable[[], object] = load_handler(function).app_from_environment
    return start


def test_every_function_is_known_here() -> None:
    assert {path.parent.name for path in FUNCTIONS.glob("*/handler.py")} == set(SECRETS)


@pytest.mark.parametrize(
    ("function", "missing"), [(function, secret) for function, names in SECRETS.items() for secret in names]
)
def test_a_function_without_one_of_its_secrets_refuses_to_start(
    function: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("secret_mount_path", str(tmp_path))
    monkeypatch.setenv("leshan_url", "http://127.0.0.1:1")
    for name in SECRETS[function]:
        if name != missing:
            (tmp_path / name).write_text("nats://user:password@127.0.0.1:1")
    with pytest.raises(MissingSettingError, match=re.escape(missing)):
        starter(function)()


@pytest.fixture(params=list(Kind))
def client(request: pytest.FixtureRequest) -> FlaskClient:
    """Return a webhook function whose database is never opened."""
    pool = Pool("", open=False)
    return create_app(
        request.param, pool, Telemetry(timedelta(days=1)), None, guard_of("secret")
    ).test_client()


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "Basic secret", "secret"])
def test_a_webhook_without_the_secret_is_refused_before_its_body_is_read(
    client: FlaskClient, header: str | None
) -> None:
    answer = client.post("/", data=b"{", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.json is not None
    assert "Authorization: Bearer" in answer.json["detail"]


@pytest.mark.parametrize("body", [b"", b"hello", b"{}", b'{"ep": 5}', b"[" * 10000])
def test_a_webhook_body_of_no_known_shape_is_refused(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/", data=body, headers=SECRET)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"


def test_other_paths_and_methods_are_refused(client: FlaskClient) -> None:
    assert client.get("/", headers=SECRET).status_code == 405
    answer = client.post("/elsewhere", headers=SECRET)
    assert answer.status_code == 404
    assert answer.get_json()["detail"] == "there is nothing at /elsewhere"
