"""Sign-in by a provider of OpenID Connect: who gets in, and what no answer of it gets anybody."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from werkzeug.test import TestResponse

from flownexus.accounts.openid import Client
from flownexus.accounts.role import Role
from flownexus.accounts.throttle import OF_ADDRESS
from flownexus.store.pool import Pool, open_pool
from flownexus.web.console.app import ConsoleApp
from flownexus.web.console.browser import URL
from flownexus.web.openid import OpenId
from tests.fixtures.console import PASSWORD, Browser, actions, console, first_admin
from tests.fixtures.hints import Hints
from tests.fixtures.postgres import Database
from tests.fixtures.provider import CLIENT_ID, SECRET, Provider, another_key, curve_key, provider
from tests.fixtures.world import World

BACK = f"http://localhost{URL}/sign-in/openid/back"


@pytest.fixture
def pool(database: Database) -> Iterator[Pool]:
    with open_pool(database.console, 4, "test console") as pool:
        yield pool


@pytest.fixture
def elsewhere() -> Iterator[Provider]:
    with provider() as server:
        yield server


@dataclass
class Nexus:
    """A console with a provider."""

    pool: Pool
    hints: Hints
    elsewhere: Provider

    def app(self, **more: Any) -> ConsoleApp:
        client = Client(self.elsewhere.issuer, CLIENT_ID, SECRET, BACK, "Example", **more)
        return console(self.pool, self.hints, openid=OpenId(client))


@pytest.fixture
def nexus(pool: Pool, hints: Hints, elsewhere: Provider) -> Nexus:
    return Nexus(pool, hints, elsewhere)


@pytest.fixture
def admin(nexus: Nexus, world: World) -> Browser:
    return first_admin(nexus.app(), world)


def begun(browser: Browser, to: str = "/") -> str:
    """Go to the provider; return its address, with what it is asked."""
    browser.get("/sign-in")
    answer = browser.get(f"/sign-in/openid?next={to}")
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def came_back(browser: Browser, url: str) -> TestResponse:
    return browser.get(url.removeprefix(f"http://localhost{URL}"))


def sign_in(browser: Browser, elsewhere: Provider, to: str = "/") -> TestResponse:
    return came_back(browser, elsewhere.authorize(begun(browser, to)))


def is_inside(browser: Browser) -> bool:
    return browser.get("/").status_code == 200


def test_who_was_invited_by_their_verified_address_signs_in_and_stays_the_same_user(
    nexus: Nexus, admin: Browser, pool: Pool, world: World
) -> None:
    admin.get("/users")
    admin.post("/users", name="bob@example.com", role="operator")
    app = nexus.app()
    bob = Browser(app)
    assert "Sign in with Example" in bob.get("/sign-in").text
    assert sign_in(bob, nexus.elsewhere, "/operations").headers["Location"] == f"{URL}/operations"
    assert "bob@example.com" in bob.get("/me").text
    nexus.elsewhere.person |= {"email": "robert@example.com"}
    assert sign_in(Browser(app), nexus.elsewhere).status_code == 303
    [row] = world.execute("SELECT name, role, password_hash FROM console_user WHERE openid_subject = '1'")
    assert row == {"name": "bob@example.com", "role": "operator", "password_hash": None}
    assert world.execute("SELECT 1 FROM console_link") == [], "the invitation is used"
    assert ("bob@example.com", "openid-linked") in actions(pool)
    bob.get("/")
    assert bob.post("/sign-out").headers["Location"] == f"{URL}/sign-in?out="
    assert "Sign out at Example, too" in bob.text
    end = bob.get("/sign-out/openid").headers["Location"]
    assert end.startswith(f"{nexus.elsewhere.issuer}/end?")
    asked = parse_qs(urlsplit(end).query)
    assert asked == {
        "client_id": [CLIENT_ID],
        "post_logout_redirect_uri": [f"http://localhost{URL}/sign-in"],
    }


@pytest.mark.parametrize(
    "person",
    [
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
        {"email": "eve@example.com"},
    ],
)
def test_an_address_that_is_not_verified_or_not_invited_gets_nobody_in(
    nexus: Nexus, admin: Browser, world: World, person: Mapping[str, Any]
) -> None:
    admin.get("/users")
    admin.post("/users", name="bob@example.com", role="admin")
    nexus.elsewhere.person |= person
    bob = Browser(nexus.app())
    answer = sign_in(bob, nexus.elsewhere)
    assert (answer.status_code, "Ask an administrator to invite you" in answer.text) == (403, True)
    assert not is_inside(bob)
    assert world.execute("SELECT 1 FROM console_user WHERE openid_subject IS NOT NULL") == []


def test_nobody_gets_the_account_of_who_has_a_password_or_was_disabled(
    nexus: Nexus, admin: Browser, world: World
) -> None:
    world.execute("UPDATE console_user SET name = 'bob@example.com'")
    for more in ({}, {"adds_users": True}):
        thief = Browser(nexus.app(**more))
        assert sign_in(thief, nexus.elsewhere).status_code == 403
        assert not is_inside(thief)
    nexus.elsewhere.person = {"sub": "2", "preferred_username": "carl"}
    app = nexus.app(adds_users=True)
    carl = Browser(app)
    assert sign_in(carl, nexus.elsewhere).status_code == 303
    assert is_inside(carl)
    admin.get("/users")
    [row] = world.execute("SELECT id FROM console_user WHERE name = 'carl'")
    admin.post(f"/users/{row['id']}/disable")
    assert not is_inside(carl)
    assert sign_in(Browser(app), nexus.elsewhere).status_code == 403


def test_whom_the_provider_knows_is_added_as_a_viewer_and_its_claims_make_the_role(
    nexus: Nexus, world: World, pool: Pool
) -> None:
    def role() -> str:
        [row] = world.execute("SELECT role FROM console_user")
        return str(row["role"])

    roles = {"ops": Role.OPERATOR, "admins": Role.ADMIN}
    mapped = nexus.app(adds_users=True, role_claim="groups", roles=roles)
    assert sign_in(Browser(nexus.app(adds_users=True)), nexus.elsewhere).status_code == 303
    assert role() == "viewer"
    for groups, wanted in ((["x", "ops"], "operator"), (["ops", "admins"], "admin"), ("admins", "admin"),
                           (["nobody"], "viewer"), ({"admins": 1}, "viewer"), (None, "viewer")):  # fmt: skip
        nexus.elsewhere.person["groups"] = groups
        assert sign_in(Browser(mapped), nexus.elsewhere).status_code == 303
        assert role() == wanted, groups
    assert ("bob@example.com", "user-role-changed") in actions(pool)


def test_a_second_factor_here_is_asked_for_also_after_the_provider(nexus: Nexus, world: World) -> None:
    app = nexus.app(adds_users=True)
    assert sign_in(Browser(app), nexus.elsewhere).status_code == 303
    world.execute("UPDATE console_user SET totp_secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'")
    bob = Browser(app)
    answer = sign_in(bob, nexus.elsewhere)
    assert answer.headers["Location"].startswith(f"{URL}/second-factor")
    assert not is_inside(bob)


def test_keys_that_the_provider_has_changed_are_fetched_anew(nexus: Nexus) -> None:
    app = nexus.app(adds_users=True)
    assert app.openid is not None
    times = [0.0]
    app.openid._clock = lambda: times[0]
    assert sign_in(Browser(app), nexus.elsewhere).status_code == 303
    new = curve_key()
    nexus.elsewhere.keys = [new]
    nexus.elsewhere.sign = lambda claims: jwt.encode({"alg": "ES256", "kid": "two"}, dict(claims), new)
    assert sign_in(Browser(app), nexus.elsewhere).status_code == 422, "once a minute at most"
    times[0] = 61
    assert sign_in(Browser(app), nexus.elsewhere).status_code == 303
    assert nexus.elsewhere.asked.count("/jwks") == 2


# ---------------------------------------------------------------------------------------------------------
# Attacks


def without(name: str) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
    return lambda claims: {key: value for key, value in claims.items() if key != name}


def with_(**wrong: Any) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
    return lambda claims: claims | wrong


@pytest.mark.parametrize(
    "spoil",
    [
        with_(nonce="of another sign-in"),
        without("nonce"),
        with_(aud="another client"),
        with_(aud=[CLIENT_ID, "another client"]),
        with_(aud=[CLIENT_ID, "another client"], azp="another client"),
        without("aud"),
        with_(iss="https://another.example"),
        without("iss"),
        lambda claims: claims | {"exp": claims["exp"] - 400},
        lambda claims: claims | {"exp": time.time() - 3600},
        without("exp"),
        lambda claims: claims | {"iat": claims["iat"] + 3600},
        lambda claims: claims | {"nbf": claims["iat"] + 3600},
        without("sub"),
        with_(sub=""),
        with_(sub=1),
        lambda claims: None,
    ],
)
def test_an_id_token_of_another_sign_in_client_issuer_or_time_is_refused(
    nexus: Nexus, world: World, spoil: Callable[[dict[str, Any]], Mapping[str, Any] | None]
) -> None:
    nexus.elsewhere.spoil = spoil
    bob = Browser(nexus.app(adds_users=True))
    answer = sign_in(bob, nexus.elsewhere)
    assert (answer.status_code, "answer is invalid" in answer.text) == (422, True)
    assert not is_inside(bob)
    assert world.execute("SELECT 1 FROM console_user") == []


def unsigned(claims: Mapping[str, Any], algorithm: str = "none") -> str:
    def part(value: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': algorithm, 'kid': 'one'})}.{part(claims)}."


def by_another(claims: Mapping[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"}, dict(claims), another_key())


def by_the_secret(claims: Mapping[str, Any]) -> str:
    key = OctKey.import_key(SECRET)
    return jwt.encode({"alg": "HS256", "kid": "one"}, dict(claims), key)


def by_a_key_that_it_brings(claims: Mapping[str, Any]) -> str:
    key = another_key()
    head = {"alg": "RS256", "kid": "one", "jwk": key.as_dict(private=False)}
    return jwt.encode(head, dict(claims), key)


@pytest.mark.parametrize(
    "sign",
    [
        unsigned,
        lambda claims: unsigned(claims, "None"),
        lambda claims: unsigned(claims, "RS256"),
        by_another,
        by_the_secret,
        by_a_key_that_it_brings,
        lambda claims: "no token",
        lambda claims: "a.b.c",
    ],
)
def test_a_token_that_the_provider_has_not_signed_is_refused(
    nexus: Nexus, sign: Callable[[Mapping[str, Any]], str]
) -> None:
    nexus.elsewhere.sign = sign
    bob = Browser(nexus.app(adds_users=True))
    assert sign_in(bob, nexus.elsewhere).status_code == 422
    assert not is_inside(bob)


def test_a_code_counts_for_the_browser_that_began_and_once(nexus: Nexus, world: World) -> None:
    """Login CSRF: who is sent somebody else's way back does not come in as them."""
    app = nexus.app(adds_users=True)
    mallory, bob = Browser(app), Browser(app)
    back = nexus.elsewhere.authorize(begun(mallory))
    begun(bob)
    assert came_back(bob, back).status_code == 422
    assert not is_inside(bob)
    assert came_back(mallory, back).status_code == 303
    assert came_back(mallory, back).status_code == 422
    back = nexus.elsewhere.authorize(begun(bob))
    world.execute("UPDATE console_openid_attempt SET expires_at = now() - interval '1 s'")
    assert came_back(bob, back).status_code == 422
    assert came_back(Browser(app), back).status_code == 422, "no browser began it"


def test_a_code_of_another_sign_in_is_refused_by_its_verifier(nexus: Nexus) -> None:
    """PKCE: a code that was stolen on its way is of no use in the thief's own sign-in."""
    app = nexus.app(adds_users=True)
    bob, thief = Browser(app), Browser(app)
    stolen = parse_qs(urlsplit(nexus.elsewhere.authorize(begun(bob))).query)["code"][0]
    own = parse_qs(urlsplit(begun(thief)).query)["state"][0]
    answer = thief.get(f"/sign-in/openid/back?code={stolen}&state={own}")
    assert answer.status_code == 422
    assert not is_inside(thief)


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "%2F%2Fevil.example",
    ],
)
def test_after_the_provider_nobody_is_sent_elsewhere(nexus: Nexus, to: str) -> None:
    answer = sign_in(Browser(nexus.app(adds_users=True)), nexus.elsewhere, to)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{URL}/")


def test_an_answer_that_declines_or_is_of_another_issuer_is_refused(nexus: Nexus) -> None:
    app = nexus.app(adds_users=True)
    for wrong in ("&error=access_denied", "&iss=https://another.example"):
        bob = Browser(app)
        answer = came_back(bob, nexus.elsewhere.authorize(begun(bob)) + wrong)
        assert (answer.status_code, is_inside(bob)) == (422, False)


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://another.example"},
        {"token_endpoint": "http://login.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
    ],
)
def test_a_provider_that_is_another_or_not_over_tls_is_not_used_and_passwords_go_on(
    nexus: Nexus, world: World, metadata: Mapping[str, Any]
) -> None:
    nexus.elsewhere.metadata |= metadata
    app = nexus.app()
    first_admin(app, world)
    browser = Browser(app)
    browser.get("/sign-in")
    answer = browser.get("/sign-in/openid")
    assert (answer.status_code, "sign in with a password" in answer.text) == (503, True)
    assert browser.sign_in("ann", PASSWORD).status_code == 303


def test_a_provider_that_is_away_is_said_and_passwords_go_on(pool: Pool, hints: Hints, world: World) -> None:
    with provider() as gone:
        app = Nexus(pool, hints, gone).app()
    first_admin(app, world)
    browser = Browser(app)
    assert browser.get("/sign-in/openid").status_code == 503
    assert browser.sign_in("ann", PASSWORD).status_code == 303


def test_who_begins_too_often_from_an_address_waits_and_who_gets_in_is_not_counted(
    nexus: Nexus, admin: Browser, world: World
) -> None:
    admin.get("/users")
    admin.post("/users", name="bob@example.com", role="operator")
    app = nexus.app()
    for _ in range(OF_ADDRESS.free + 5):
        assert sign_in(Browser(app), nexus.elsewhere).status_code == 303
    for _ in range(OF_ADDRESS.free):
        begun(Browser(app))
    answer = Browser(app).get("/sign-in/openid?next=/operations")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert 'value="/operations"' in answer.text, "who waits goes on to where they wanted to"
    [row] = world.execute("SELECT count(*) AS begun FROM console_openid_attempt")
    assert row == {"begun": OF_ADDRESS.free}
