"""Passkeys of the console on a real PostgreSQL: added, used, taken; and what is no way around them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flownexus.accounts.passkeys import MAX_PASSKEYS, NewPasskey
from flownexus.accounts.place import Place
from flownexus.errors import ConflictError
from flownexus.store import passkey as store
from flownexus.store import user as users
from flownexus.store.pool import Pool, open_pool
from flownexus.web.console.app import ConsoleApp
from flownexus.web.console.browser import URL
from tests.fixtures.authenticator import Authenticator
from tests.fixtures.console import PASSWORD, Browser, actions, console, first_admin, invited
from tests.fixtures.hints import Hints
from tests.fixtures.postgres import Database
from tests.fixtures.world import World

CODE = r"(?:[a-z2-9]{4}-){3}[a-z2-9]{4}"


@pytest.fixture
def pool(database: Database) -> Iterator[Pool]:
    with open_pool(database.console, 8, "test console") as pool:
        yield pool


@pytest.fixture
def app(pool: Pool, hints: Hints) -> ConsoleApp:
    return console(pool, hints, place=Place("localhost", "http://localhost"))


@pytest.fixture
def admin(app: ConsoleApp, world: World) -> Browser:
    return first_admin(app, world)


def options(browser: Browser, path: str, form: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Ask what the browser is to ask a passkey's device for."""
    answer = browser.send(path, form or {})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text)
    return found


def asked_to_add(browser: Browser, name: str = "my key") -> dict[str, Any]:
    browser.get("/me/passkeys")
    return options(browser, "/me/passkeys/options", {"name": name, "current": PASSWORD})


def with_passkey(browser: Browser, name: str = "my key") -> Authenticator:
    """Give who is signed in a new passkey."""
    device = Authenticator()
    answer = browser.post("/me/passkeys", name=name, credential=device.make(asked_to_add(browser, name)))
    assert answer.status_code == 200, answer.text
    return device


def asked_to_use(browser: Browser) -> dict[str, Any]:
    browser.get("/second-factor")
    return options(browser, "/second-factor/passkey/options")


def test_a_passkey_is_the_second_factor_and_counts_its_uses(
    admin: Browser, app: ConsoleApp, pool: Pool, world: World
) -> None:
    device = with_passkey(admin, " my key ")
    phone = Browser(app)
    for count in (1, 2):
        phone.sign_in("ann")
        assert phone.get("/").headers["Location"].startswith(f"{URL}/second-factor")
        asked = asked_to_use(phone)
        assert [each["type"] for each in asked["allowCredentials"]] == ["public-key"]
        assert phone.post("/second-factor/passkey", credential=device.use(asked)).status_code == 303
        assert phone.get("/").status_code == 200
        [row] = world.execute("SELECT name, sign_count, used_at IS NOT NULL AS used FROM console_passkey")
        assert row == {"name": "my key", "sign_count": count, "used": True}
        phone.post("/sign-out")
    assert [each for each in actions(pool) if each[1] != "signed-in"] == [
        ("ann", "password-chosen"),
        ("ann", "passkey-added"),
    ]


def test_recovery_codes_come_with_the_first_second_factor_and_go_with_the_last(
    admin: Browser, app: ConsoleApp, pool: Pool
) -> None:
    device = with_passkey(admin)
    codes = re.findall(CODE, admin.text)
    assert len(codes) == 10
    with_passkey(admin, "another")
    assert re.findall(CODE, admin.text) == []
    phone = Browser(app)
    phone.sign_in("ann")
    phone.get("/second-factor")
    assert phone.post("/second-factor", code="123456").status_code == 422, "there are no codes by the clock"
    phone.get("/second-factor")
    assert phone.post("/second-factor", code=codes[0]).status_code == 303
    assert users.recovery_codes_left(pool, 1) == 9
    first, second = (each.id for each in store.passkeys_of(pool, 1))
    admin.get("/me/passkeys")
    assert admin.post(f"/me/passkeys/{first}/remove", current=PASSWORD).status_code == 200
    assert users.recovery_codes_left(pool, 1) == 9
    admin.get("/me/passkeys")
    assert admin.post(f"/me/passkeys/{second}/remove", current=PASSWORD).status_code == 200
    assert users.recovery_codes_left(pool, 1) == 0
    assert Browser(app).sign_in("ann").headers["Location"] == f"{URL}/"
    assert device.count == 0


def test_a_reset_takes_the_passkeys(admin: Browser, app: ConsoleApp, world: World, pool: Pool) -> None:
    bob = invited(admin, app, "bob", "viewer")
    with_passkey(bob)
    admin.get("/users")
    admin.post("/users/2/reset")
    assert world.execute("SELECT 1 FROM console_passkey") == []
    assert users.recovery_codes_left(pool, 2) == 0


# ---------------------------------------------------------------------------------------------------------
# Attacks


def refused(browser: Browser, credential: str) -> bool:
    """Try this as the second factor; say whether it was refused, and the session is no whole one."""
    answer = browser.post("/second-factor/passkey", credential=credential)
    inside = browser.get("/").status_code == 200
    assert inside == (answer.status_code == 303)
    if not inside:
        browser.get("/second-factor")
    return not inside


def test_a_challenge_counts_once_for_its_session_and_for_a_time(
    admin: Browser, app: ConsoleApp, world: World
) -> None:
    device = with_passkey(admin)
    phone, thief = Browser(app), Browser(app)
    phone.sign_in("ann")
    thief.sign_in("ann")
    asked = asked_to_use(phone)
    seen = device.use(asked)
    thief.get("/second-factor")
    assert refused(thief, seen), "there was no challenge for this session"
    asked_to_use(thief)
    assert refused(thief, seen), "there was another challenge for this session"
    assert not refused(phone, seen)
    phone.post("/sign-out")
    phone.sign_in("ann")
    phone.get("/second-factor")
    assert refused(phone, seen), "it was used"
    old = asked_to_use(phone)
    newer = asked_to_use(phone)
    assert refused(phone, device.use(old)), "there is a newer one"
    assert refused(phone, device.use(newer)), "the attempt before has used it up"
    late = asked_to_use(phone)
    world.execute("UPDATE console_challenge SET expires_at = now() - interval '1 s'")
    assert refused(phone, device.use(late))


def test_of_two_answers_to_one_challenge_at_once_one_counts(admin: Browser, pool: Pool) -> None:
    admin.get("/me")
    store.begin_challenge(pool, admin.cookie(), "use")
    barrier = threading.Barrier(4)

    def take(_: int) -> bytes | None:
        barrier.wait()
        return store.take_challenge(pool, admin.cookie(), "use")

    with ThreadPoolExecutor(4) as threads:
        assert sum(each is not None for each in threads.map(take, range(4))) == 1


def test_a_passkey_of_another_user_is_none_of_one_s_own(admin: Browser, app: ConsoleApp) -> None:
    with_passkey(admin)
    bob = invited(admin, app, "bob", "viewer")
    of_bob = with_passkey(bob)
    thief = Browser(app)
    thief.sign_in("ann")
    assert refused(thief, of_bob.use(asked_to_use(thief)))
    asked = asked_to_add(bob)
    again = Authenticator()
    again.id = of_bob.id
    assert bob.post("/me/passkeys", name="x", credential=again.make(asked)).status_code == 409
    asked = asked_to_add(admin)
    assert admin.post("/me/passkeys", name="x", credential=again.make(asked)).status_code == 409
    assert bob.get("/me/passkeys").status_code == 200
    assert bob.post("/me/passkeys/1/remove", current=PASSWORD).status_code == 404, "it is ann's"


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("origin", "http://localhost.evil.example"),
        ("origin", "https://localhost"),
        ("host", "evil.example"),
        ("flags", 1),
    ],
)
def test_an_answer_for_another_site_or_without_a_verified_user_is_refused(
    admin: Browser, app: ConsoleApp, what: str, value: object
) -> None:
    asked = asked_to_add(admin)
    device = Authenticator()
    right = getattr(device, what)
    setattr(device, what, value)
    assert admin.post("/me/passkeys", name="x", credential=device.make(asked)).status_code == 422
    setattr(device, what, right)
    assert admin.post("/me/passkeys", name="x", credential=device.make(asked)).status_code == 422, (
        "the challenge was used"
    )
    asked = asked_to_add(admin)
    assert admin.post("/me/passkeys", name="x", credential=device.make(asked)).status_code == 200
    setattr(device, what, value)
    phone = Browser(app)
    phone.sign_in("ann")
    assert refused(phone, device.use(asked_to_use(phone)))


def test_a_copy_of_a_passkey_is_found_by_its_count(admin: Browser, app: ConsoleApp, pool: Pool) -> None:
    device = with_passkey(admin)
    phone = Browser(app)
    for count, is_copy in ((5, False), (5, True), (3, True), (6, False)):
        phone.sign_in("ann")
        device.count = count - 1
        assert refused(phone, device.use(asked_to_use(phone))) is is_copy
        phone.get("/sign-in")
    assert [each for each in actions(pool) if each[1] == "passkey-refused"] == [
        ("ann", "passkey-refused")
    ] * 2


def test_a_passkey_is_added_by_who_knows_the_password_only(admin: Browser, world: World) -> None:
    admin.get("/me/passkeys")
    wrong = admin.send("/me/passkeys/options", {"name": "x", "current": "not it"})
    assert (wrong.status_code, "current password is wrong" in wrong.text) == (422, True)
    device = Authenticator()
    challenge = {"challenge": "Y2hhbGxlbmdl"}
    assert admin.post("/me/passkeys", name="x", credential=device.make(challenge)).status_code == 422
    assert world.execute("SELECT 1 FROM console_passkey") == []


def test_guesses_of_passkeys_have_to_wait_like_those_of_codes(admin: Browser, app: ConsoleApp) -> None:
    with_passkey(admin)
    thief = Browser(app)
    thief.sign_in("ann")
    thief.get("/second-factor")
    statuses = [thief.post("/second-factor/passkey", credential="{}").status_code for _ in range(7)]
    assert statuses == [422] * 5 + [429] * 2


def test_nobody_has_passkeys_without_end(admin: Browser, pool: Pool) -> None:
    for number in range(MAX_PASSKEYS):
        store.add_passkey(pool, 1, "x", NewPasskey(b"%d" % number, b"k", 0, []), [])
    with pytest.raises(ConflictError, match="remove one first"):
        store.add_passkey(pool, 1, "x", NewPasskey(b"more", b"k", 0, []), [])
