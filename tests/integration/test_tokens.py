"""Tokens in the database: who is let in with one, what the row keeps of it, and when that ends."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from flownexus.store.pool import Pool, open_pool
from flownexus.web.flask import FunctionApp, caller
from flownexus.web.guard import Scope
from flownexus.web.tokens import IssuedTokens, add_tokens
from tests.fixtures.guard import guard_of
from tests.fixtures.world import World

FORM = re.compile(r"fnx_[0-9a-f]{8}_[0-9a-f]{64}")
ALL = (Scope.ADMINISTER, Scope.OPERATE, Scope.READ)


def app_of(pool: Pool, scopes: Iterable[Scope] = ALL) -> FunctionApp:
    """Return a replica of a function that knows tokens, and says at /who whom it has let in."""
    guard = guard_of("first", scopes=scopes).with_issued(IssuedTokens(pool))
    app = FunctionApp("api", guard, pool.ready)

    @app.get("/who", scope=Scope.READ)
    def who() -> dict[str, Any]:
        return {"name": caller().name, "scopes": sorted(caller().scopes)}

    add_tokens(app, pool, guard)
    return app


def client_of(app: FunctionApp, token: str = "first") -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


@pytest.fixture
def app(world: World) -> FunctionApp:
    return app_of(world.api_pool)


@pytest.fixture
def first(app: FunctionApp) -> FlaskClient:
    """Return the client of the first administrator, whose token stands in a file."""
    return client_of(app)


def make(client: FlaskClient, name: str = "ci", scopes: Iterable[str] = ("read",), **more: Any) -> Any:
    answer = client.post("/v1/tokens", json={"name": name, "scopes": list(scopes), **more})
    assert answer.status_code == 201, answer.text
    return answer.get_json()


def test_a_token_lets_in_as_its_name_with_its_scopes(app: FunctionApp, first: FlaskClient) -> None:
    made = make(first, scopes=["read", "operate", "read"], owner="Ann, for the pipeline")
    assert FORM.fullmatch(made["token"])
    assert made | {"created_at": None} == {
        "id": 1,
        "name": "ci",
        "owner": "Ann, for the pipeline",
        "scopes": ["operate", "read"],
        "prefix": made["token"][4:12],
        "token": made["token"],
        "created_by": "first",
        "created_at": None,
        **dict.fromkeys(("expires_at", "last_used_at", "revoked_at", "revoked_by")),
    }
    assert client_of(app, made["token"]).get("/who").get_json() == {
        "name": "ci",
        "scopes": ["operate", "read"],
    }


def test_a_token_is_told_once_and_only_its_hash_is_kept(first: FlaskClient, world: World) -> None:
    answer = first.post("/v1/tokens", json={"name": "ci", "scopes": ["read"]})
    assert (answer.headers["Location"], answer.headers["Cache-Control"]) == (
        "/function/api/v1/tokens/1",
        "no-store",
    )
    secret = answer.get_json()["token"].rpartition("_")[2]
    shown = (first.get("/v1/tokens").text, first.get("/v1/tokens/1").text, first.delete("/v1/tokens/1").text)
    [row] = world.execute("SELECT t::text AS text FROM api_token t")
    for text in (*shown, row["text"]):
        assert '"ci"' in text or "ci" in text
        assert secret not in text
    assert "token" not in first.get("/v1/tokens/1").get_json()


def test_who_lacks_the_scope_can_neither_make_nor_see_nor_revoke_tokens(
    app: FunctionApp, first: FlaskClient
) -> None:
    ci = client_of(app, make(first, scopes=["read", "operate"])["token"])
    asked = [
        ci.post("/v1/tokens", json={"name": "x", "scopes": ["read"]}),
        *(ci.get("/v1/tokens"), ci.get("/v1/tokens/1"), ci.delete("/v1/tokens/1")),
    ]
    assert [answer.status_code for answer in asked] == [403] * 4
    assert asked[0].headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="administer"'


def test_nobody_gives_a_scope_that_he_does_not_have(world: World, first: FlaskClient) -> None:
    administrator = make(first, "keys", ["administer", "read"])["token"]
    client = client_of(app_of(world.api_pool), administrator)
    answer = client.post("/v1/tokens", json={"name": "ci", "scopes": ["read", "operate"]})
    assert (answer.status_code, answer.get_json()["detail"]) == (403, "'keys' lacks the scope 'operate'")
    assert make(client, "reader", ["read"])["created_by"] == "keys"
    assert first.get("/v1/tokens/2").get_json()["owner"] == "keys"


def test_a_revoked_token_lets_in_nobody_from_then_on_in_no_replica(world: World, first: FlaskClient) -> None:
    token = make(first)["token"]
    replicas = [client_of(app_of(world.api_pool), token) for _ in range(2)]
    assert [each.get("/who").status_code for each in replicas] == [200, 200]
    revoked = first.delete("/v1/tokens/1").get_json()
    assert revoked["revoked_by"] == "first"
    for each in replicas:
        answer = each.get("/who")
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.get_json()["detail"] == f"the token 'ci' was revoked at {revoked['revoked_at']}"
    assert first.delete("/v1/tokens/1").get_json() == revoked  # it says who was first


def test_a_token_lets_in_until_it_expires_by_the_database_s_clock(
    app: FunctionApp, first: FlaskClient, world: World
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    by_time = make(first, "a", expires_at=tomorrow.isoformat())
    by_span = make(first, "b", expires_in=24 * 3600)
    for made in (by_time, by_span):
        assert abs(datetime.fromisoformat(made["expires_at"]) - tomorrow) < timedelta(minutes=1)
        assert client_of(app, made["token"]).get("/who").status_code == 200
    world.execute("UPDATE api_token SET expires_at = clock_timestamp()")
    answer = client_of(app, by_span["token"]).get("/who")
    assert answer.status_code == 401
    assert answer.get_json()["detail"].startswith("the token 'b' expired at 20")


def test_what_only_looks_like_a_token_lets_in_nobody(app: FunctionApp, first: FlaskClient) -> None:
    token = make(first)["token"]
    other = make(first, "other")["token"]
    secret = token.rpartition("_")[2]
    for wrong in (
        f"{other[:13]}{secret}",
        token[:-1] + ("0" if token[-1] != "0" else "1"),
        f"fnx_{'0' * 8}_{secret}",
        token.upper(),
        token[:-1],
        secret,
        "fnx_' OR 1=1 --_" + secret,
    ):
        answer = client_of(app, wrong).get("/who")
        assert answer.status_code == 401
        assert "'Authorization: Bearer <token>'" in answer.get_json()["detail"]


def test_without_postgresql_nobody_is_let_in_by_a_token_of_the_database(first: FlaskClient) -> None:
    token = make(first)["token"]
    answer = client_of(app_of(Pool("", open=False)), token).get("/who")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_a_server_that_asks_on_the_head_is_told_to_let_the_application_ask(first: FlaskClient) -> None:
    """It must not wait for PostgreSQL, which is away here."""
    head = {"authorization": f"Bearer {make(first)['token']}"}
    assert app_of(Pool("", open=False)).guard("GET", "/who", head) == (None, None)


def test_a_name_is_that_of_one_valid_token(app: FunctionApp, first: FlaskClient) -> None:
    make(first)
    for name, why in (
        ("ci", "token 1 is named 'ci', and is not revoked; give another name, or revoke it first"),
        *(
            (name, f"{name!r} names what asks without such a token")
            for name in ("first", "api", "observe-plan")
        ),
    ):
        answer = first.post("/v1/tokens", json={"name": name, "scopes": ["read"]})
        assert answer.status_code == 409
        assert why in answer.get_json()["detail"]
    first.delete("/v1/tokens/1")
    assert make(first)["id"] > 1


def test_of_two_who_take_a_name_at_once_one_has_it(world: World, first: FlaskClient) -> None:
    """Both have looked before either has committed: the row of the first is not there to the second yet."""
    both = threading.Barrier(3)

    def ask(_: int) -> int:
        client = client_of(app_of(world.api_pool))
        both.wait(10)
        return client.post("/v1/tokens", json={"name": "ci", "scopes": ["read"]}).status_code

    with psycopg.connect(world.database.owner) as holder, ThreadPoolExecutor(2) as threads:
        holder.execute("LOCK TABLE api_token IN SHARE MODE")
        asked = threads.map(ask, range(2))
        both.wait(10)
        while holder.execute(
            "SELECT count(*) FROM pg_locks WHERE relation = 'api_token'::regclass AND NOT granted"
        ).fetchone() != (2,):
            pass
        holder.commit()
        assert sorted(asked) == [201, 409]


def test_that_a_token_was_used_is_noted_once_a_minute(
    app: FunctionApp, first: FlaskClient, world: World
) -> None:
    ci = client_of(app, make(first)["token"])

    def used() -> Any:
        ci.get("/who")
        return first.get("/v1/tokens/1").get_json()["last_used_at"]

    noted = used()
    assert noted is not None
    assert used() == noted
    world.execute("UPDATE api_token SET last_used_at = clock_timestamp() - interval '61 s'")
    assert used() > noted


def test_who_notes_a_use_holds_up_nobody(app: FunctionApp, first: FlaskClient, world: World) -> None:
    ci = client_of(app, make(first)["token"])
    with psycopg.connect(world.database.owner) as holder:
        holder.execute("SELECT FROM api_token FOR UPDATE")
        assert ci.get("/who").status_code == 200


def test_tokens_are_listed_page_by_page_the_newest_first(first: FlaskClient) -> None:
    for number in range(5):
        make(first, f"t{number}")
    pages, cursor = [], None
    while True:
        query = {"limit": 2, **({} if cursor is None else {"cursor": cursor})}
        answer = first.get("/v1/tokens", query_string=query).get_json()
        pages.append([token["name"] for token in answer["tokens"]])
        cursor = answer["next"]
        if cursor is None:
            break
        make(first, f"new{len(pages)}")
    assert pages == [["t4", "t3"], ["t2", "t1"], ["t0"]]


ODD: Sequence[Any] = (
    "'; DROP TABLE api_token; --",
    "$(reboot)",
    "`id`",
    "\0",
    "a\nb",
    "\ud800",
    "x" * 10_000,
    "",
    7,
    None,
    [],
)

RIGHT: Mapping[str, Sequence[Any]] = {
    "owner": ("'; DROP TABLE api_token; --", "$(reboot)", "`id`", None),  # words like any others
    "expires_at": (None,),
    "expires_in": (7, None),
}


@pytest.mark.parametrize("field", ["name", "scopes", "owner", "expires_at", "expires_in", "other"])
def test_a_field_that_is_not_valid_is_named_with_what_would_be(first: FlaskClient, field: str) -> None:
    for odd in ODD:
        if odd in RIGHT.get(field, ()):
            continue
        answer = first.post("/v1/tokens", json={"name": "ci", "scopes": ["read"], field: odd})
        assert answer.status_code in {400, 422}, (odd, answer.text)
        if answer.status_code == 422:
            assert answer.get_json()["detail"].startswith(f"{field}: ")
    assert first.get("/v1/tokens").get_json()["tokens"] == []


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("limit=0", "limit: a whole number from 1 to 500"),
        ("limit=501", "limit: a whole number from 1 to 500"),
        ("limit=99999999999999999999999", "limit: a whole number from 1 to 500"),
        ("limit=x&cursor=-1", "limit: a whole number from 1 to 500; cursor: a whole number from 1 to "),
        ("cursor=1;DROP", "cursor: a whole number from 1 to 9223372036854775807"),
        ("limit=1&limit=2", "limit: give it once"),
        ("offset=1", "offset: is unknown; there is limit, cursor"),
    ],
)
def test_a_query_that_is_not_valid_is_refused(first: FlaskClient, query: str, why: str) -> None:
    answer = first.get(f"/v1/tokens?{query}")
    assert answer.status_code == 422
    assert answer.get_json()["detail"].startswith(why)


def test_the_end_of_a_token_is_to_come_and_is_said_once(first: FlaskClient) -> None:
    for more, why in (
        ({"expires_at": "2020-01-02T03:04:05Z"}, "expires_at: 2020-01-02T03:04:05+00:00 is over"),
        (
            {"expires_at": "2099-01-02T03:04:05Z", "expires_in": 5},
            "expires_in: cannot be combined with expires_at",
        ),
    ):
        answer = first.post("/v1/tokens", json={"name": "ci", "scopes": ["read"], **more})
        assert (answer.status_code, why in answer.get_json()["detail"]) == (422, True)


@pytest.mark.parametrize("id_", ["7", str(2**63 - 1), str(2**63), "9" * 40])
def test_a_token_that_is_not_there_is_said_to_be_so(first: FlaskClient, id_: str) -> None:
    for answer in (first.get(f"/v1/tokens/{id_}"), first.delete(f"/v1/tokens/{id_}")):
        assert (answer.status_code, answer.get_json()["detail"]) == (404, f"there is no token {id_}")


@pytest.fixture
def small_pool(world: World) -> Iterable[Pool]:
    pool = open_pool(world.database.api, 1, "test")
    yield pool
    pool.close()


def test_a_look_up_takes_no_second_connection(small_pool: Pool) -> None:
    app = app_of(small_pool)
    token = make(client_of(app))["token"]
    assert client_of(app, token).get("/who").status_code == 200
