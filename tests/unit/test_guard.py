"""Who is let in, as whom, and to what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from starlette.requests import Request
from starlette.routing import Route

from flownexus.errors import MissingSettingError, UnauthorizedError
from flownexus.web import flask, starlette
from flownexus.web.guard import PRINCIPAL, Guard, Principal, Scope, UndeclaredScopeError, guard_from_secrets
from flownexus.web.starlette import Json, ScopedRoute
from tests.fixtures.guard import guard_of

ANN = {"Authorization": "Bearer ann"}


class CountingGuard(Guard):
    """Says how often it was asked."""

    def __init__(self, guard: Guard) -> None:
        super().__init__([])
        self._guard = guard
        self.asked = 0

    def principal(self, path: str, authorization: str | None) -> Principal:
        self.asked += 1
        return self._guard.principal(path, authorization)


def flask_app(guard: Guard) -> flask.FunctionApp:
    app = flask.FunctionApp("test", guard, lambda: True)

    @app.get("/", scope=Scope.READ)
    def show() -> str:
        return flask.caller().name

    @app.post("/<int:number>", scope=Scope.OPERATE)
    def change(number: int) -> str:
        return f"{flask.caller().name} {number}"

    return app


async def show(request: Request) -> Json:
    return {"who": request.scope[PRINCIPAL].name}


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    yield


def starlette_app(guard: Guard) -> starlette.FunctionApp:
    routes = [
        ScopedRoute("/", show, methods=["GET"], scope=Scope.READ),
        ScopedRoute("/{number:int}", show, methods=["POST"], scope=Scope.OPERATE),
    ]
    return starlette.FunctionApp(routes, lifespan, guard, lambda: True)


@pytest.fixture(params=[flask_app, starlette_app], ids=["flask", "starlette"])
def ask(request: pytest.FixtureRequest) -> Callable[..., httpx.Response]:
    """Send a request to an app of either kind with this guard, without a server of ours before it."""

    async def sent(app: Any, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path, headers=headers)

    def ask(guard: Guard, *what: Any) -> Any:
        app = request.param(guard)
        if isinstance(app, starlette.FunctionApp):
            return asyncio.run(sent(app, *what))
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://test") as client:
            return client.request(*what[:2], headers=what[2] if what[2:] else None)

    return ask


Ask = Callable[..., httpx.Response]


class KeptElsewhere:
    """Tokens that begin with fnx; those of who is revoked stand for nobody."""

    def __init__(self) -> None:
        self.asked = 0

    def has_form(self, token: str) -> bool:
        return token.startswith("fnx")

    def principal(self, token: str) -> Principal:
        self.asked += 1
        if token == "fnx revoked":
            raise UnauthorizedError("the token 'old' was revoked")
        return Principal("ben", frozenset({Scope.READ}))


def test_a_flask_app_with_a_route_that_declares_no_scope_does_not_start() -> None:
    app = flask.FunctionApp("test", guard_of("ann"), lambda: True)
    with pytest.raises(UndeclaredScopeError, match="the route POST /values/<int:id_> declares no scope"):
        app.post("/values/<int:id_>")(lambda id_: "")


def test_a_starlette_app_with_a_route_that_declares_no_scope_does_not_start() -> None:
    with pytest.raises(UndeclaredScopeError, match="the route POST /values declares no scope"):
        ScopedRoute("/values", show, methods=["POST"])
    plain = Route("/plain", lambda request: None, methods=["POST"])
    with pytest.raises(UndeclaredScopeError, match="the route POST /plain declares no scope"):
        starlette.FunctionApp([plain], lifespan, guard_of("ann"), lambda: True)


def test_without_the_scope_of_the_route_a_caller_is_told_which_one_it_is(ask: Ask) -> None:
    guard = guard_of("ann", scopes=[Scope.READ])
    assert ask(guard, "GET", "/", ANN).status_code == 200
    answer = ask(guard, "POST", "/7", ANN)
    assert answer.status_code == 403
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="operate"'
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == "'ann' lacks the scope 'operate'"


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("DELETE", "/"), ("GET", "/elsewhere")])
def test_who_is_unknown_learns_nothing_of_what_there_is(ask: Ask, method: str, path: str) -> None:
    assert ask(guard_of("ann"), method, path).status_code == 401


@pytest.mark.parametrize("make", [flask_app, starlette_app])
@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/", "ann", None),
        ("GET", "/", "eve", 401),
        ("POST", "/7", "ann", 403),
        ("POST", "/seven", "ann", None),  # the app answers that there is nothing
        ("PUT", "/", "ann", None),
    ],
)
def test_a_server_hears_on_the_head_who_calls_or_how_they_are_refused(
    make: Any, method: str, path: str, token: str, status: int | None
) -> None:
    app = make(guard_of("ann", scopes=[Scope.READ]))
    principal, refusal = app.guard(method, path, {"authorization": f"Bearer {token}"})
    assert (principal and principal.name, refusal and refusal[1]) == (None if status else "ann", status)


def test_an_app_does_not_ask_again_of_whom_its_server_has_asked() -> None:
    guard = CountingGuard(guard_of("ann"))
    ben = Principal("ben", frozenset({Scope.READ}))
    app = flask_app(guard).test_client()
    assert app.get("/", environ_overrides={PRINCIPAL: ben}).text == "ben"
    assert app.post("/7", environ_overrides={PRINCIPAL: ben}).status_code == 403
    assert guard.asked == 0
    assert app.get("/", headers=ANN).text == "ann"
    assert guard.asked == 1


async def test_and_neither_does_one_of_starlette() -> None:
    guard = CountingGuard(guard_of("ann"))
    app = starlette_app(guard)
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        told.append(message)

    ben = Principal("ben", frozenset({Scope.READ}))
    head = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", PRINCIPAL: ben}
    await app(head, receive, send)
    assert (told[1]["body"], guard.asked) == (b'{"who":"ben"}', 0)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.get("/", headers=ANN)).json() == {"who": "ann"}
    assert guard.asked == 1


def test_a_token_that_is_kept_elsewhere_is_looked_up_where_that_may_block(ask: Ask) -> None:
    kept = KeptElsewhere()
    guard = guard_of("ann").with_issued(kept)
    ben = {"Authorization": "Bearer fnx ben"}
    assert ask(guard, "GET", "/", ben).status_code == 200
    refused = ask(guard, "POST", "/7", ben)
    assert (refused.status_code, refused.json()["detail"]) == (403, "'ben' lacks the scope 'operate'")
    revoked = ask(guard, "GET", "/", {"Authorization": "Bearer fnx revoked"})
    assert (revoked.status_code, revoked.json()["detail"]) == (401, "the token 'old' was revoked")
    assert ask(guard, "GET", "/", ANN).status_code == 200
    assert kept.asked == 3


@pytest.mark.parametrize("make", [flask_app, starlette_app])
def test_on_the_head_such_a_token_is_neither_let_in_nor_refused(make: Any) -> None:
    kept = KeptElsewhere()
    app = make(guard_of("ann").with_issued(kept))
    assert app.guard("GET", "/", {"authorization": "Bearer fnx revoked"}) == (None, None)
    assert app.guard("GET", "/", {"authorization": "Bearer eve"})[1][1] == 401
    assert kept.asked == 0


@pytest.mark.parametrize("token", ["\xff\xe9", "\udcff", "\N{SNOWMAN}", "secret\xff"])
def test_a_token_that_is_not_utf_8_is_a_wrong_one(token: str) -> None:
    guard = guard_of("secret", hooks=("hooked",))
    for path, header in (("/", f"Bearer {token}"), (f"/hook/{token}/x", None)):
        with pytest.raises(UnauthorizedError):
            guard.principal(path, header)


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("secret_mount_path", str(tmp_path))
    return tmp_path


def test_a_line_of_a_secret_may_give_its_token_a_name_and_fewer_scopes(secrets: Path) -> None:
    (secrets / "flownexus-api-token").write_text("one\ntwo ann\nthree dashboard read\n")
    guard = guard_from_secrets("flownexus-api-token")
    all_scopes = frozenset({Scope.ADMINISTER, Scope.OPERATE, Scope.READ})
    assert [guard.principal("/", f"Bearer {token}") for token in ("one", "two", "three")] == [
        Principal("api", all_scopes),
        Principal("ann", all_scopes),
        Principal("dashboard", frozenset({Scope.READ})),
    ]
    for wrong in ("two ann", "ann", "read"):
        with pytest.raises(UnauthorizedError):
            guard.principal("/", f"Bearer {wrong}")


def test_each_secret_has_a_name_and_scopes_of_its_own(secrets: Path) -> None:
    for name in ("webhook", "hook", "connector"):
        (secrets / f"flownexus-{name}-token").write_text(name)
    guard = guard_from_secrets("flownexus-webhook-token", hooks="flownexus-hook-token")
    assert guard.principal("/", "Bearer webhook") == Principal("webhook", frozenset({Scope.INGEST}))
    assert guard.principal("/hook/hook/x", None) == Principal("hook", frozenset({Scope.INGEST}))
    assert guard_from_secrets("flownexus-connector-token").principal("/", "Bearer connector").scopes == {
        Scope.DISPATCH,
        Scope.HOUSEKEEP,
    }


def test_a_scope_that_a_secret_does_not_have_is_a_refusal_to_start_without_its_token(secrets: Path) -> None:
    (secrets / "flownexus-api-token").write_text("hidden ann\nhidden ben read ingest\n")
    with pytest.raises(MissingSettingError, match=r"flownexus-api-token: line 2 .* 'ingest'") as refusal:
        guard_from_secrets("flownexus-api-token")
    assert "hidden" not in str(refusal.value)


def test_a_credential_shows_no_token(secrets: Path) -> None:
    (secrets / "flownexus-api-token").write_text("hidden")
    assert "hidden" not in repr(vars(guard_from_secrets("flownexus-api-token")))


def test_a_refusal_tells_no_token() -> None:
    functions: Flask = flask_app(guard_of("right", hooks=("hooked",)))
    answer = functions.test_client().get("/hook/hidden/elsewhere", headers={"Authorization": "Bearer hidden"})
    assert answer.status_code == 401
    assert "hidden" not in answer.text
