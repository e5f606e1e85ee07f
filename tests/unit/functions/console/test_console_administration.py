"""console: profiles, dead letters, health and tokens: what their forms say, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher

from flownexus.accounts.passwords import PasswordHashes
from flownexus.accounts.role import Role
from flownexus.errors import ConflictError, ValidationFailedError
from flownexus.store.health import Health
from flownexus.store.session import _Attempts
from flownexus.store.user import User
from flownexus.web.console.app import Access
from flownexus.web.console.dead_letters import MAX_ITEM, mended_item
from flownexus.web.console.health import Level, signs_of
from flownexus.web.console.tokens import scopes_of
from tests.fixtures.administration import ADMINISTRATION, HEALTH, ITEM, LETTER, OWN_TOKEN, PROFILE_FORM, TIME
from tests.fixtures.fleet import PROFILE
from tests.fixtures.function import Start
from tests.fixtures.pages import ask, sessions
from tests.fixtures.statements import Rows, Statements

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "seven green llamas at noon"
SCRIPT = "<script>alert(1)</script>"
ROWS: Mapping[str, Rows] = {
    **ADMINISTRATION,
    "session": sessions,
    "keep_session": [()],
    "user_of_id": lambda asked: [
        User(asked["id"], "ann", "viewer", CHEAP.hash(PASSWORD), None, None, False, 0)
    ],
    "begin_attempts": [()],
    "lock_attempts": lambda asked: [_Attempts(each, 0, 0.0, None) for each in asked["buckets"]],
    "note_attempt": [()],
    "forget_attempts": [()],
    "take_back_attempt": [()],
}


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flownexus.web.console.app.PasswordHashes", lambda: PasswordHashes(CHEAP))


# ---------------------------------------------------------------------------------------------------------
# Profiles


def test_a_profile_is_put_as_the_form_says_and_by_whom(start: Start, statements: Statements) -> None:
    form = {**PROFILE_FORM, "filter": "model==t*", "awake_time_s": "20", "changed_by": "x", "tree": "{}"}
    assert ask(start(statements), "POST", "/profiles", of=Access.ADMIN, form=form).status_code == 303
    [put] = statements.of("put_profile")
    assert (put["changed_by"], put["filter"], put["awake_time_s"], put["enabled"]) == (
        "some-admin", "model==t*", 20, True,
    )  # fmt: skip
    assert [each["action"] for each in statements.of("append_audit")] == ["profile-changed"]


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"plan": "["}, "plan: is not JSON"),
        ({"plan": "[" * 100_000}, "plan: is not JSON"),
        ({"plan": "{}"}, "plan: "),
        ({"priority": "high"}, "priority: is a whole number"),
        ({"filter": "model=="}, "filter: "),
        ({"name": "../../etc"}, "the name of a profile is"),
    ],
)
def test_a_profile_that_is_not_valid_comes_back_with_what_would_be(
    start: Start, statements: Statements, form: Mapping[str, str], told: str
) -> None:
    answer = ask(start(statements), "POST", "/profiles", of=Access.ADMIN, form={**PROFILE_FORM, **form})
    assert answer.status_code == 422
    assert told in answer.text
    assert statements.of("put_profile") == []


def test_a_viewer_reads_a_profile_and_gets_no_button(start: Start, statements: Statements) -> None:
    answer = ask(start(statements), "GET", "/profiles/trackers", of=Access.VIEWER).text
    assert "readonly" in answer
    assert ">Save<" not in answer
    assert ask(start(statements), "GET", "/profiles/..%2fx", of=Access.VIEWER).status_code == 404


# ---------------------------------------------------------------------------------------------------------
# Dead letters


def test_what_is_asked_to_be_delivered_again_is_written_down_and_no_value_stored(
    start: Start, statements: Statements
) -> None:
    ask(start(statements), "POST", "/dead-letters/9/replay", of=Access.OPERATOR, form={"mended_item": "x"})
    assert statements.of("ask_for_replay") == [{"id": 9, "asked_by": "some-operator", "mended_item": None}]
    [noted] = statements.of("append_audit")
    assert (noted["action"], noted["endpoint"]) == ("dead-letter-replayed", "sim-0001")


def test_what_cannot_be_delivered_says_so_and_offers_only_to_discard(
    start: Start, statements: Statements
) -> None:
    statements.rows["dead_letter"] = [LETTER._replace(kind="read")]
    function = start(statements)
    page = ask(function, "GET", "/dead-letters/9", of=Access.ADMIN).text
    assert "is of the answer to an operation" in page
    assert (">Replay<" in page, ">Discard<" in page, "Edit it" in page) == (False, True, False)
    assert ask(function, "POST", "/dead-letters/9/replay", of=Access.OPERATOR).status_code == 409
    assert statements.of("ask_for_replay") == []


def test_one_that_somebody_was_faster_with_is_refused(start: Start, statements: Statements) -> None:
    statements.rows |= {
        "ask_for_replay": [],
        "dead_letter": [LETTER._replace(settlement="discarded", settled_by="bob", settled_at=TIME)],
    }
    answer = ask(start(statements), "POST", "/dead-letters/9/replay", of=Access.OPERATOR)
    assert answer.status_code == 409
    assert "was discarded by &#39;bob&#39;" in answer.text


def test_a_mended_item_is_kept_as_ascii_json_beside_the_one_that_came() -> None:
    assert mended_item(LETTER, json.dumps({**ITEM, "ep": "zähler"}, ensure_ascii=False)).isascii()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not JSON"),
        ("[" * 60_000, "is not JSON"),
        ("[]", "is a JSON object"),
        ("x" * (MAX_ITEM + 1), "at most 65536 characters"),
    ],
)
def test_a_mended_item_that_is_none_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValidationFailedError, match=told):
        mended_item(LETTER, text)


def test_a_mended_item_without_a_path_is_refused_and_comes_back_as_it_was_typed(
    start: Start, statements: Statements
) -> None:
    typed = json.dumps({"ep": "sim-0001", "node": ITEM["node"], "note": "</textarea><b>"})
    with pytest.raises(ConflictError):
        mended_item(LETTER, typed)
    answer = ask(start(statements), "POST", "/dead-letters/9/mend", of=Access.ADMIN, form={"item": typed})
    assert answer.status_code == 422
    assert "does not say which path" in answer.text
    assert "&lt;/textarea&gt;" in answer.text


# ---------------------------------------------------------------------------------------------------------
# Health


@pytest.mark.parametrize(
    ("what", "sign", "level"),
    [
        ({}, "last_batch", Level.GOOD),
        ({"last_batch_at": None}, "last_batch", Level.LOOK),
        ({"last_batch_at": None, "registered": 0}, "last_batch", Level.GOOD),
        ({"last_batch_at": TIME - timedelta(minutes=2)}, "last_batch", Level.LOOK),
        ({"lag_99_s": 11.0}, "lag", Level.LOOK),
        ({"lag_99_s": None, "lag_median_s": None}, "lag", Level.GOOD),
        ({"missing_numbers": 1}, "missing", Level.BAD),
        ({"oldest_waiting_at": TIME - timedelta(hours=1)}, "oldest_waiting", Level.LOOK),
        ({"failed": 1}, "failed", Level.LOOK),
        ({"dead_letters": 1000}, "dead_letters", Level.BAD),
    ],
)
def test_a_part_that_is_not_as_it_should_be_is_marked(
    what: Mapping[str, Any], sign: str, level: Level
) -> None:
    found: Health = HEALTH._replace(**what)
    assert {each.name: each.level for each in signs_of(found)}[sign] is level


def test_a_link_to_grafana_is_there_where_its_address_is_set(start: Start, statements: Statements) -> None:
    assert "Open Grafana" not in ask(start(statements), "GET", "/health", of=Access.VIEWER).text
    function = start(statements, grafana_url="https://grafana.example/d/flownexus")
    page = ask(function, "GET", "/health", of=Access.VIEWER).text
    assert 'href="https://grafana.example/d/flownexus"' in page


# ---------------------------------------------------------------------------------------------------------
# Tokens


@pytest.mark.parametrize("role", list(Role))
def test_a_token_may_no_more_than_its_maker(role: Role) -> None:
    may = {
        Role.VIEWER: ["read"],
        Role.OPERATOR: ["read", "operate"],
        Role.ADMIN: ["read", "operate", "administer"],
    }
    assert scopes_of(role, may[role]) == may[role]
    for beyond in ("ingest", "", *set(may[Role.ADMIN]) - set(may[role])):
        with pytest.raises(ValidationFailedError, match="scope: some of read"):
            scopes_of(role, ["read", beyond])
    with pytest.raises(ValidationFailedError):
        scopes_of(role, [])


def test_a_token_is_shown_once_and_has_the_user_s_name_before_its_own(
    start: Start, statements: Statements
) -> None:
    form = {"name": "ci", "scope": "read", "days": "30", "current": PASSWORD, "owner": "x", "user_id": "1"}
    function = start(statements)
    answer = ask(function, "POST", "/me/tokens", of=Access.VIEWER, form=form)
    [added] = statements.of("add_token")
    assert (added["name"], added["owner"], added["user_id"], added["scopes"]) == (
        "ann.ci",
        "ann",
        2,
        ["read"],
    )
    assert added["expires_in"] == 30 * 86_400
    assert "fnx_" in answer.text.partition('id="token">')[2][:8]
    assert answer.headers["Cache-Control"] == "no-store"
    assert 'id="token"' not in ask(function, "GET", "/me/tokens", of=Access.VIEWER).text
    assert [each["action"] for each in statements.of("append_audit")] == ["token-made"]


@pytest.mark.parametrize(
    ("form", "status", "told"),
    [
        ({"scope": "administer"}, 422, "scope: some of read"),
        ({"name": "a b"}, 422, "1 to 31 letters"),
        ({"days": "36500"}, 422, "days: one of 1, 30, 90, 365"),
        ({"current": "wrong"}, 422, "The current password is wrong"),
    ],
)
def test_a_token_that_is_asked_for_wrongly_is_not_made(
    start: Start, statements: Statements, form: Mapping[str, str], status: int, told: str
) -> None:
    right = {"name": "ci", "scope": "read", "days": "30", "current": PASSWORD}
    answer = ask(start(statements), "POST", "/me/tokens", of=Access.VIEWER, form={**right, **form})
    assert answer.status_code == status
    assert told in answer.text
    assert statements.of("add_token") == []


def test_somebody_else_s_token_is_not_revoked(start: Start, statements: Statements) -> None:
    statements.rows["revoke_own_token"] = []
    answer = ask(start(statements), "POST", "/me/tokens/7/revoke", of=Access.VIEWER)
    assert answer.status_code == 404
    assert statements.of("revoke_own_token") == [{"id": 7, "user_id": 2, "revoked_by": "some-viewer"}]
    assert statements.of("append_audit") == []


def test_names_and_items_with_scripts_in_them_are_text(start: Start, statements: Statements) -> None:
    statements.rows |= {
        "profiles": [PROFILE._replace(filter=SCRIPT, changed_by=SCRIPT)],
        "profile": [PROFILE._replace(filter=SCRIPT, plan=[SCRIPT])],
        "dead_letters": [LETTER._replace(reason=SCRIPT, item=json.dumps({"ep": SCRIPT}))],
        "dead_letter": [LETTER._replace(reason=SCRIPT, item=json.dumps({"ep": SCRIPT}), settled_by=SCRIPT)],
        "tokens_of_user": [OWN_TOKEN._replace(name=SCRIPT)],
    }
    function = start(statements)
    for path in ("/profiles", "/profiles/x", "/dead-letters", "/dead-letters/9", "/me/tokens"):
        page = ask(function, "GET", path, of=Access.ADMIN).text
        assert "<script>alert" not in page, path
        assert "&lt;script&gt;" in page, path
