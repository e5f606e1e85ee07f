"""The console's sessions, users and audit log on a real PostgreSQL, by the console's own role."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pyotp
import pytest
from werkzeug.test import Client

from flownexus.accounts.role import Role
from flownexus.accounts.throttle import OF_ACCOUNT
from flownexus.accounts.tokens import digest
from flownexus.errors import ConflictError, NotFoundError, UnauthorizedError
from flownexus.firmware.package import CHUNK_BYTES, NewPackage
from flownexus.housekeeping.replay import replay_asked
from flownexus.lwm2m.path import Path
from flownexus.operations.filter import EVERYTHING, parse_filter
from flownexus.store import audit, fleet
from flownexus.store import session as sessions
from flownexus.store import user as users
from flownexus.store.activity import activity_of
from flownexus.store.firmware import add_chunk, announce, complete, retire
from flownexus.store.pool import Pool, open_pool
from flownexus.store.token import holder_of
from flownexus.store.transaction import Transaction, transaction
from flownexus.store.update import start_update
from flownexus.web.console.app import ConsoleApp
from flownexus.web.console.browser import URL
from flownexus.web.console.fleet import filter_of
from tests.fixtures.console import PASSWORD, SITE, Browser, actions, console, first_admin, invited
from tests.fixtures.handler import load_handler
from tests.fixtures.hints import Hints
from tests.fixtures.postgres import Database
from tests.fixtures.world import World

OTHER = "eleven purple kettles sing"


@pytest.fixture
def pool(database: Database) -> Iterator[Pool]:
    with open_pool(database.console, 8, "test console") as pool:
        yield pool


@pytest.fixture
def app(pool: Pool, hints: Hints) -> ConsoleApp:
    return console(pool, hints)


@pytest.fixture
def admin(app: ConsoleApp, world: World) -> Browser:
    return first_admin(app, world)


# ---------------------------------------------------------------------------------------------------------
# Users and links


def test_the_first_administrator_s_link_works_once_and_only_while_there_is_none(
    app: ConsoleApp, world: World, pool: Pool
) -> None:
    [first], [second] = (world.execute("SELECT first_admin_link() AS token") for _ in range(2))
    assert Browser(app).get(f"/welcome/{first['token']}").status_code == 404, "a new link ends the one before"
    browser = Browser(app)
    browser.get(f"/welcome/{second['token']}")
    done = browser.post(f"/welcome/{second['token']}", name="ann", password=PASSWORD, again=PASSWORD)
    assert done.status_code == 303
    assert "Fleet" in browser.text
    assert Browser(app).get(f"/welcome/{second['token']}").status_code == 404
    assert world.execute("SELECT first_admin_link() AS token") == [{"token": None}]
    assert actions(pool) == [("ann", "password-chosen"), ("ann", "signed-in")]


def test_of_two_who_use_the_first_link_at_once_one_becomes_administrator(pool: Pool, world: World) -> None:
    [row] = world.execute("SELECT first_admin_link() AS token")
    barrier = threading.Barrier(2)

    def use(name: str) -> str:
        barrier.wait()
        try:
            return users.use_link(pool, row["token"], name, "hash").name
        except NotFoundError:
            return "refused"

    with ThreadPoolExecutor(2) as threads:
        assert "refused" in set(threads.map(use, ("ann", "mallory")))
    assert len(world.execute("SELECT 1 FROM console_user")) == 1


def test_a_link_that_is_over_is_none(admin: Browser, app: ConsoleApp, world: World) -> None:
    admin.get("/users")
    admin.post("/users", name="bob", role="viewer")
    [token] = re.findall(r"/welcome/([\w-]{43})", admin.text)
    world.execute("UPDATE console_link SET expires_at = now() - interval '1 s'")
    assert Browser(app).get(f"/welcome/{token}").status_code == 404


def test_who_is_disabled_is_out_at_once_and_back_when_enabled(admin: Browser, app: ConsoleApp) -> None:
    bob = invited(admin, app, "bob", "operator")
    assert bob.get("/").status_code == 200
    admin.get("/users")
    admin.post("/users/2/disable")
    assert bob.get("/").headers["Location"].startswith(f"{URL}/sign-in")
    assert bob.sign_in("bob").status_code == 422
    admin.post("/users/2/enable")
    assert bob.sign_in("bob").status_code == 303


def test_another_role_counts_at_the_next_request(admin: Browser, app: ConsoleApp) -> None:
    bob = invited(admin, app, "bob", "viewer")
    assert bob.get("/users").status_code == 403
    admin.get("/users")
    admin.post("/users/2/role", role="admin")
    assert bob.get("/users").status_code == 200


def test_a_reset_takes_password_second_factor_and_sessions(
    admin: Browser, app: ConsoleApp, pool: Pool, world: World
) -> None:
    bob = invited(admin, app, "bob", "viewer")
    world.execute("UPDATE console_user SET totp_secret = 'x' WHERE name = 'bob'")
    admin.get("/users")
    admin.post("/users/2/reset")
    assert bob.get("/").status_code == 303
    user = users.user_of_name(pool, "bob")
    assert user is not None
    assert (user.password_hash, user.totp_secret) == (None, None)
    assert bob.sign_in("bob").status_code == 422


def test_of_two_administrators_who_end_each_other_s_role_at_once_one_stays(
    admin: Browser, app: ConsoleApp, pool: Pool
) -> None:
    invited(admin, app, "bob", "admin")
    barrier = threading.Barrier(2)

    def end(id_: int) -> bool:
        barrier.wait()
        try:
            users.change_role(pool, "x", id_, Role.VIEWER)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(end, (1, 2))) == [False, True]


def test_a_taken_name_is_refused(admin: Browser) -> None:
    admin.get("/users")
    assert admin.post("/users", name="ann", role="viewer").status_code == 409
    assert "already" in admin.text


# ---------------------------------------------------------------------------------------------------------
# Sessions and attempts


def test_a_cookie_after_sign_out_is_none(admin: Browser, app: ConsoleApp) -> None:
    stolen = Client(app)
    stolen.set_cookie("flownexus-session", admin.cookie(), path=URL)
    assert stolen.get("/me", base_url=SITE).status_code == 200
    admin.get("/")
    admin.post("/sign-out")
    assert stolen.get("/me", base_url=SITE).status_code == 303


def test_a_session_ends_when_it_was_idle_and_when_it_is_old(admin: Browser, world: World) -> None:
    world.execute("UPDATE console_session SET active_at = now() - interval '59 min'")
    assert admin.get("/").status_code == 200
    [row] = world.execute("SELECT now() - active_at < interval '1 min' AS kept FROM console_session")
    assert row["kept"]
    world.execute("UPDATE console_session SET active_at = now() - interval '61 min'")
    assert admin.get("/").status_code == 303
    admin.sign_in("ann")
    world.execute("UPDATE console_session SET expires_at = now() - interval '1 s'")
    assert admin.get("/").status_code == 303


def test_signing_out_everywhere_ends_all_sessions(admin: Browser, app: ConsoleApp) -> None:
    phone = Browser(app)
    phone.sign_in("ann")
    assert phone.get("/me").status_code == 200
    admin.get("/me")
    admin.post("/me/sign-out-everywhere")
    assert (admin.get("/me").status_code, phone.get("/me").status_code) == (303, 303)


def test_ten_wrong_passwords_make_wait_and_hold_up_no_browser_that_is_known(
    admin: Browser, app: ConsoleApp, world: World
) -> None:
    stranger = Browser(app)
    statuses = [stranger.sign_in("ann", OTHER).status_code for _ in range(10)]
    assert statuses == [422] * 5 + [429] * 5
    assert "Try again in" in stranger.text
    assert stranger.sign_in("ann").status_code == 429, "also with the right one"
    admin.get("/")
    admin.post("/sign-out")
    assert admin.sign_in("ann").status_code == 303, "from where they have signed in before"
    world.execute("UPDATE console_attempt SET blocked_until = now()")
    assert stranger.sign_in("ann").status_code == 303
    assert stranger.sign_in("ann", OTHER).status_code == 422, "the count has begun anew"


def test_many_attempts_at_once_are_no_way_around_the_count(pool: Pool) -> None:
    barrier = threading.Barrier(8)

    def guess(_: int) -> float:
        barrier.wait()
        return sessions.attempt(pool, {"account x": OF_ACCOUNT})

    with ThreadPoolExecutor(8) as threads:
        waits = list(threads.map(guess, range(8)))
    assert sum(wait == 0 for wait in waits) == OF_ACCOUNT.free


def test_the_second_factor_is_asked_for_and_each_code_counts_once(
    admin: Browser, app: ConsoleApp, pool: Pool, world: World
) -> None:
    admin.get("/me/second-factor")
    [secret] = re.findall(r'name="secret" value="([A-Z2-7]{32})"', admin.text)
    codes_page = admin.post(
        "/me/second-factor", secret=secret, code=pyotp.TOTP(secret).now(), current=PASSWORD
    )
    recovery = re.findall(r"(?:[a-z2-9]{4}-){3}[a-z2-9]{4}", codes_page.text)
    assert len(recovery) == 10
    phone = Browser(app)
    assert phone.sign_in("ann").status_code == 303
    assert "recovery codes" in phone.text
    assert phone.get("/").headers["Location"].startswith(f"{URL}/second-factor")
    phone.get("/second-factor")
    assert phone.post("/second-factor", code=pyotp.TOTP(secret).now()).status_code == 422, (
        "it was used already"
    )
    assert phone.post("/second-factor", code=recovery[0].upper()).status_code == 303
    assert phone.get("/").status_code == 200
    other = Browser(app)
    other.sign_in("ann")
    assert other.post("/second-factor", code=recovery[0]).status_code == 422
    world.execute("UPDATE console_user SET totp_step = 0")
    assert other.post("/second-factor", code=pyotp.TOTP(secret).now()).status_code == 303
    assert users.recovery_codes_left(pool, 1) == 9


def test_what_is_over_is_deleted_by_who_signs_in_next(admin: Browser, app: ConsoleApp, world: World) -> None:
    world.execute(
        "INSERT INTO console_session VALUES (%s, 1, true, now(), now(), now(), 'x', 'x')", digest("old")
    )
    world.execute("INSERT INTO console_link (token_hash, expires_at) VALUES (%s, now())", digest("old"))
    world.execute("INSERT INTO console_attempt VALUES ('old', 1, now() - interval '3 days', now())")
    world.execute("INSERT INTO console_browser VALUES (%s, 1, now() - interval '2 years')", digest("old"))
    Browser(app).sign_in("ann")
    for table in ("console_session", "console_link", "console_browser"):
        assert world.execute(f"SELECT 1 FROM {table} WHERE token_hash = %s", digest("old")) == []
    assert world.execute("SELECT 1 FROM console_attempt WHERE bucket = 'old'") == []


# ---------------------------------------------------------------------------------------------------------
# The audit log


def test_entries_of_many_at_once_are_one_chain(pool: Pool) -> None:
    def add(number: int) -> None:
        def work(current: Transaction) -> None:
            audit.note(
                current.connection, f"user-{number % 3}", "operation-queued", f"sim-{number}", n=number
            )

        transaction(pool, work)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(200)))
    chain = audit.check(pool)
    assert (chain.length, chain.broken_at) == (200, None)
    assert {each.id for each in audit.list_entries(pool, None, None, 500)} == set(range(1, 201))
    assert [each.detail for each in audit.list_entries(pool, "sim-7", None, 9)] == [{"n": 7}]


def _noted(number: int, current: Transaction) -> None:
    audit.note(current.connection, "ann", "x", None, n=number)


FORGED = """
WITH forged AS (SELECT jsonb_set(entry, '{by}', '"x"') AS entry FROM audit_entry WHERE id = 3)
UPDATE audit_entry SET entry = forged.entry, hash = sha256(convert_to(forged.entry::text, 'UTF8'))
FROM forged WHERE id = 3
"""


@pytest.mark.parametrize(
    ("change", "broken_at"),
    [
        ("UPDATE audit_entry SET entry = jsonb_set(entry, '{by}', '\"mallory\"') WHERE id = 3", 3),
        ("UPDATE audit_entry SET hash = sha256('x') WHERE id = 3", 3),
        ("DELETE FROM audit_entry WHERE id = 3", 4),
        (FORGED, 4),
    ],
)
def test_what_even_the_owner_changes_breaks_the_chain(
    pool: Pool, world: World, change: str, broken_at: int
) -> None:
    for number in range(5):
        transaction(pool, partial(_noted, number))
    world.execute(change)
    assert audit.check(pool).broken_at == broken_at


def test_an_entry_and_what_it_tells_are_there_together_or_not_at_all(
    admin: Browser, world: World, hints: Hints, pool: Pool
) -> None:
    world.endpoint("sim-0001")
    admin.get("/device?name=sim-0001")
    world.execute("REVOKE EXECUTE ON FUNCTION append_audit FROM flownexus_console")
    assert admin.post("/device/ask?name=sim-0001", do="read /3/0").status_code == 500
    assert (world.execute("SELECT 1 FROM endpoint_operation"), hints.published) == ([], [])
    world.execute("GRANT EXECUTE ON FUNCTION append_audit TO flownexus_console")
    admin.get("/device?name=sim-0001")
    assert admin.post("/device/ask?name=sim-0001", do="read /3/0").status_code == 303
    [row] = world.execute("SELECT requested_by, status FROM endpoint_operation")
    assert row == {"requested_by": "ann", "status": "QUEUED"}
    assert actions(pool)[-1] == ("ann", "operation-queued")


# ---------------------------------------------------------------------------------------------------------
# Devices


def measured(world: World, endpoint: str, **values: Any) -> None:
    """Let a device have told its model, firmware and battery, and a temperature for an hour."""
    for resource_id, data_type, column, value in (
        (0, "STRING", "string_value", "Acme"),
        (1, "STRING", "string_value", "T-1"),
        (3, "STRING", "string_value", "1.2.3"),
        (9, "INTEGER", "integer_value", 87),
    ):
        world.execute(
            "INSERT INTO resource_type (object_id, resource_id, data_type, name) VALUES (3, %s, %s, 'x')"
            " ON CONFLICT DO NOTHING",
            resource_id,
            data_type,
        )
        world.execute(
            "INSERT INTO resource_latest"
            f" (endpoint_id, resource_type_id, object_instance_id, time, resource_id, {column})"
            " SELECT e.id, t.id, 0, now(), 1, %s FROM endpoint e, resource_type t"
            " WHERE e.name = %s AND t.object_id = 3 AND t.resource_id = %s",
            value,
            endpoint,
            resource_id,
        )


def test_the_fleet_tells_presence_model_firmware_battery_and_what_waits(pool: Pool, world: World) -> None:
    world.endpoint("a-online")
    world.endpoint("b-asleep")
    world.execute(
        "UPDATE endpoint SET binding = 'UQ', unreachable_at_contact = contact_count WHERE name = 'b-asleep'"
    )
    world.endpoint("c-over", lifetime=-1)
    world.endpoint("d-never", registered=False)
    world.execute("UPDATE endpoint SET last_seen_at = NULL, expires_at = NULL WHERE name = 'd-never'")
    world.endpoint("e-awake")
    world.execute("UPDATE endpoint SET binding = 'UQ' WHERE name = 'e-awake'")
    measured(world, "a-online")
    world.queue("a-online")
    world.execute(
        "INSERT INTO endpoint_tag (endpoint_id, key, value, set_by)"
        " SELECT id, 'site', 'berlin', 'ann' FROM endpoint WHERE name = 'a-online'"
    )
    page = fleet.find_page(pool, EVERYTHING, fleet.Order.NAME, None, 50)
    assert page[0::2] == (5, False)
    found = fleet.rows_of(pool, page.ids)
    assert [(each.name, str(each.presence)) for each in found] == [
        ("a-online", "registered"), ("b-asleep", "asleep"), ("c-over", "offline"), ("d-never", "never"),
        ("e-awake", "awake"),
    ]  # fmt: skip
    first = found[0]
    assert (first.manufacturer, first.model, first.firmware, first.battery, first.waiting, first.tags) == (
        "Acme", "T-1", "1.2.3", 87, 1, {"site": "berlin"},
    )  # fmt: skip
    cells = fleet.cells_of(pool, ["a-online", "c-over"], [Path.parse("/3/0/9"), Path.parse("/3/0/1")])
    assert {(each.endpoint, each.path, each.value) for each in cells} == {
        ("a-online", "/3/0/9", "87"),
        ("a-online", "/3/0/1", "T-1"),
    }


def test_a_sleeper_whose_profile_says_how_long_it_listens_is_shown(pool: Pool, world: World) -> None:
    world.endpoint("sleeper")
    world.execute("UPDATE profile SET awake_time_s = 3600")
    world.execute("UPDATE endpoint SET binding = 'UQ', profile_id = (SELECT id FROM profile)")
    page = fleet.find_page(pool, parse_filter("presence==awake"), fleet.Order.NAME, None, 50)
    assert [each.presence for each in fleet.rows_of(pool, page.ids)] == ["awake"]


def names(pool: Pool, filter_: str, order: fleet.Order, place: fleet.Place | None = None) -> list[str]:
    page = fleet.find_page(pool, filter_of(filter_), order, place, 2)
    return [each.name for each in fleet.rows_of(pool, page.ids)]


def test_a_search_takes_the_characters_of_like_for_themselves(pool: Pool, world: World) -> None:
    for name in ("a_b", "axb", "100%", "back\\slash"):
        world.endpoint(name)
    assert [names(pool, text, fleet.Order.NAME) for text in ("_", "%", "\\")] == [
        ["a_b"],
        ["100%"],
        ["back\\slash"],
    ]


def test_a_text_finds_devices_by_name_address_and_tag_the_best_fit_first(pool: Pool, world: World) -> None:
    for name in ("x-sim-1", "sim-10", "sim-1", "SIM-11", "elsewhere", "tagged", "other"):
        world.endpoint(name)
    world.execute("UPDATE endpoint SET address = '192.0.2.7:sim-1' WHERE name = 'elsewhere'")
    world.execute(
        "INSERT INTO endpoint_tag (endpoint_id, key, value, set_by)"
        " SELECT id, 'like', 'sim-1', 'ann' FROM endpoint WHERE name = 'tagged'"
    )
    found = [each.name for each in fleet.devices_with(pool, "sim-1", 8)]
    assert found[0] == "sim-1"
    assert set(found[1:3]) == {"sim-10", "SIM-11"}
    assert set(found[3:]) == {"x-sim-1", "elsewhere", "tagged"}
    assert [each.name for each in fleet.devices_with(pool, "like=sim", 8)] == ["tagged"]


@pytest.mark.parametrize(
    ("order", "pages"),
    [
        (fleet.Order.NAME, ["sim-0 sim-1", "sim-2 sim-3", "sim-4"]),
        (fleet.Order.NAME_DOWN, ["sim-4 sim-3", "sim-2 sim-1", "sim-0"]),
        (fleet.Order.CONTACT, ["sim-2 sim-1", "sim-0 sim-4", "sim-3"]),
        (fleet.Order.CONTACT_DOWN, ["sim-3 sim-4", "sim-0 sim-1", "sim-2"]),
    ],
)
def test_pages_of_the_fleet_lead_forth_and_back_in_each_order(
    pool: Pool, world: World, order: fleet.Order, pages: list[str]
) -> None:
    for number in range(5):
        world.endpoint(f"sim-{number}")
    world.execute("UPDATE endpoint SET last_seen_at = NULL WHERE name IN ('sim-3', 'sim-4')")
    place, found = None, []
    for _ in pages:
        page = fleet.find_page(pool, parse_filter("name==sim*"), order, place, 2)
        rows = fleet.rows_of(pool, page.ids)
        found.append((" ".join(each.name for each in rows), page.has_previous, page.has_next))
        place = rows[-1].place()
    assert found == [(pages[0], False, True), (pages[1], True, True), (pages[2], True, False)]
    page = fleet.find_page(pool, parse_filter("name==sim*"), order, rows[0].place(back=True), 2)
    back = fleet.rows_of(pool, page.ids)
    assert (" ".join(each.name for each in back), page.has_previous, page.has_next) == (pages[1], True, True)
    page = fleet.find_page(pool, parse_filter("name==sim*"), order, back[0].place(back=True), 2)
    assert (page.has_previous, page.has_next) == (False, True)


def test_of_each_lifetime_it_is_told_whether_the_device_was_heard_of(pool: Pool, world: World) -> None:
    world.endpoint(lifetime=600)
    world.endpoint("silent", lifetime=None)
    world.execute("UPDATE endpoint SET first_seen_at = now() - interval '61 min'")
    world.execute(
        "INSERT INTO event (time, id, endpoint_id, event_type)"
        " SELECT now() - make_interval(mins => told.ago), told.ago, id, told.type FROM endpoint,"
        " (VALUES (5, 'updated'), (15, 'unregistered'), (25, 'heard'), (26, 'heard'), (61, 'registered'))"
        " AS told (ago, type) WHERE name = 'sim-0001'"
    )
    ids = [row["id"] for row in world.execute("SELECT id FROM endpoint")]
    found = {each.name: each for each in fleet.contacts_of(pool, ids)}
    assert found["sim-0001"][1:] == (600.0, "-" * 41 + "1000101")
    assert found["silent"][1:] == (86_400.0, "-" * 47 + "0")


def test_activity_has_what_a_device_told_was_asked_and_what_people_did(
    admin: Browser, pool: Pool, world: World
) -> None:
    world.endpoint()
    world.execute(
        "INSERT INTO event (time, id, endpoint_id, event_type)"
        " SELECT now() - interval '1 min', 1, id, 'registered' FROM endpoint"
    )
    world.execute(
        "INSERT INTO device_log"
        " (time, endpoint_id, object_id, object_instance_id, resource_id, severity, message)"
        " SELECT now() - interval '2 min' - n * interval '1 s', id, 20, 0, 4014, n, 'line ' || n"
        " FROM endpoint, generate_series(0, 7) AS n"
    )
    id_ = world.queue()
    admin.get(f"/operations/{id_}")
    admin.post(f"/operations/{id_}/cancel")
    world.execute("UPDATE endpoint SET expires_at = now() - interval '30 s'")
    found = [(each.kind, each.what, each.by) for each in activity_of(pool, "sim-0001", 9)]
    assert set(found[:2]) == {("operation", "write", "test"), ("audit", "operation-cancelled", "ann")}
    assert [each[:2] for each in found[2:]] == [
        ("event", "expired"),
        ("event", "registered"),
        ("log", "emergency"),
        ("log", "alert"),
        ("log", "critical"),
        ("log", "error"),
    ]


def test_a_chart_has_the_numbers_of_its_time(pool: Pool, world: World) -> None:
    world.endpoint()
    world.execute(
        "INSERT INTO resource_type (object_id, resource_id, data_type) VALUES (3303, 5700, 'FLOAT')"
    )
    world.execute(
        "INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, float_value)"
        " SELECT now() - make_interval(secs => n), n, e.id, t.id, 0, n FROM endpoint e, resource_type t,"
        " generate_series(1, 100) AS n"
    )
    end = datetime.now(UTC)
    path = Path.parse("/3303/0/5700")
    found = fleet.series_of(pool, "sim-0001", path, end - timedelta(minutes=5), end, 1000)
    assert len(found) == 100
    assert max(each.maximum for each in found) == 100


def test_every_page_works_by_the_grants_of_the_console_alone(admin: Browser, world: World) -> None:
    world.endpoint()
    measured(world, "sim-0001")
    id_ = world.queue()
    for path in (
        *(
            "/",
            "/?sort=contact&filter=tag.site==x,fw==1,profile==x,name==*&columns=/3/0/9",
            "/live/fleet",
            "/device?name=sim-0001",
            "/live/device?name=sim-0001",
        ),
        *("/device?name=sim-0001&chart=/3/0/9", "/series?name=sim-0001&path=/3/0/9&span=1y", "/operations"),
        *("/device/log?name=sim-0001&severity=error&text=x", "/device/bundle?name=sim-0001"),
        *("/device/ask?name=sim-0001&operation=write&path=/3/0/15", f"/operations/{id_}", "/users", "/me"),
        *(
            "/audit?check=1",
            "/me/second-factor",
            "/refused",
            f"/live/operations/{id_}",
            "/live/operations?device=sim-0001",
        ),
    ):
        assert admin.get(path).status_code in (200, 204), path
    admin.get(f"/operations/{id_}")
    assert admin.post(f"/operations/{id_}/cancel").status_code == 303
    assert "Cancelled" in admin.text


def test_an_operation_for_many_is_queued_for_later_and_undone(
    admin: Browser, world: World, pool: Pool, hints: Hints
) -> None:
    for name in ("a", "b", "c"):
        world.endpoint(name)
    assert "2 devices match" in admin.get("/batch?filter=name!=c").text
    assert admin.post("/batch", filter="name!=c", operation="read", path="/3/0/9").status_code == 303
    assert "Undo" in admin.text
    assert sorted(each.ep for each in hints.published) == ["a", "b"]
    due = "SELECT n.id FROM endpoint e, next_operation(e.id) n"
    assert world.execute(due) == [], "not before five seconds are over"
    assert admin.get("/operations?batch=1").text.count("Queued") >= 2
    admin.get("/batches/1")
    assert admin.post("/batches/1/cancel").status_code == 303
    assert "ann cancelled it" in admin.text
    rows = world.execute("SELECT status, requested_by FROM endpoint_operation")
    assert rows == [{"status": "CANCELLED", "requested_by": "ann"}] * 2
    assert actions(pool)[-2:] == [("ann", "batch-queued"), ("ann", "batch-cancelled")]


def test_a_package_is_uploaded_and_devices_are_updated_by_the_grants_of_the_console_alone(
    admin: Browser, world: World
) -> None:
    for name in ("sim-0001", "sim-0002", "sim-0003"):
        world.endpoint(name)
    world.execute("UPDATE endpoint SET objects = '{/3/0,/5/0}'")
    content = b"version=2\n\n" + bytes(CHUNK_BYTES)
    admin.get("/firmware/new")
    announced = {
        "version": "2", "file_name": "app.bin", "size": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    begun = admin.send("/firmware", announced).json
    assert begun["missing"] == [0, 1]
    assert admin.send(begun["chunks"].removeprefix(URL) + "1", content[CHUNK_BYTES:]).status_code == 204
    again = admin.send("/firmware", announced).json
    assert again["missing"] == [0], "what was interrupted goes on where it was"
    assert admin.send(begun["complete"].removeprefix(URL)).status_code == 409
    admin.send(begun["chunks"].removeprefix(URL) + "0", content[:CHUNK_BYTES])
    assert admin.send(begun["complete"].removeprefix(URL)).json == {"page": f"{URL}/firmware/1"}
    admin.get("/updates/new")
    admin.post("/updates", device="sim-0001", firmware="1")
    assert "update 1 of sim-0001 is QUEUED" in admin.text
    admin.post("/updates/1/cancel")
    admin.get("/campaigns/new?firmware=1")
    admin.post("/campaigns", name="spring", firmware="1", waves="1, rest")
    assert "3 devices to 2, in 2 waves." in admin.text
    for action in ("start", "pause", "resume", "next-wave", "cancel"):
        assert admin.post("/campaigns/1/act", action=action, hard="true").status_code == 303, action
    for path in (
        *("/firmware", "/firmware/1", "/updates?which=open", "/live/updates/1", "/campaigns"),
        *("/live/campaigns/1?state=LEFT_OUT", "/campaigns/1/end", "/live/campaigns", "/live/updates"),
    ):
        assert admin.get(path).status_code == 200, path
    admin.get("/firmware/1")
    admin.post("/firmware/1/retire")
    assert "Retired" in admin.text


def test_a_dead_letter_is_mended_in_the_console_and_delivered_by_housekeeping(
    admin: Browser, world: World, database: Database
) -> None:
    world.endpoint()
    item = {"ep": "sim-0001", "ts": 1767225600000, "path": "/3303/0/5700"}
    wrong = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "warm"}
    for _ in range(2):
        world.execute(
            "INSERT INTO dead_letter (kind, reason, item) VALUES ('single', 'no number', %s)",
            json.dumps({**item, "node": wrong}),
        )
    admin.get("/dead-letters/1")
    mended = json.dumps({**item, "node": {**wrong, "value": 24.5}})
    assert admin.post("/dead-letters/1/mend", item=mended).status_code == 303
    assert "ann requested a replay" in admin.text
    assert admin.post("/dead-letters/1/discard").status_code == 303, (
        "until it is delivered it can be taken back"
    )
    admin.get("/dead-letters/2")
    assert admin.post("/dead-letters/2/mend", item=mended).status_code == 303
    deliver = load_handler("housekeeping").deliver_by(database.ingest, timedelta(days=3650))
    with open_pool(database.housekeeping, 1, "test") as housekeeping:
        assert replay_asked(housekeeping, deliver) == 1
        assert replay_asked(housekeeping, deliver) == 0
    assert "stored" in admin.get("/live/dead-letters/2").text
    assert world.execute("SELECT value FROM telemetry_latest") == [{"value": "24.5"}]
    [row] = world.execute("SELECT settlement, settled_by, item FROM dead_letter WHERE id = 2")
    assert (row["settlement"], row["settled_by"], "warm" in row["item"]) == ("replayed", "ann", True)


def test_an_administrator_deletes_a_device(admin: Browser, world: World) -> None:
    world.endpoint("gone", registered=False)
    admin.get("/device?name=gone")
    assert admin.post("/device/delete?name=gone", confirmed="other").status_code == 422
    assert admin.post("/device/delete?name=gone", confirmed="gone").status_code == 303
    assert world.execute("SELECT name FROM endpoint") == []
    [entry] = world.execute("SELECT entry FROM audit_entry WHERE endpoint = 'gone'")
    assert (entry["entry"]["by"], entry["entry"]["action"]) == ("ann", "endpoint-deleted")


def test_profiles_tokens_and_health_work_by_the_grants_of_the_console_alone(
    admin: Browser, app: ConsoleApp, world: World
) -> None:
    world.endpoint()
    admin.get("/profiles/new")
    plan = '[{"operation": "read", "paths": ["/3"]}]'
    assert admin.post("/profiles", name="trackers", filter="name==sim-*", plan=plan).status_code == 303
    assert "trackers" in admin.text
    assert admin.get("/profiles/trackers").status_code == 200
    assert admin.post("/profiles/trackers/remove").status_code == 303
    assert admin.get("/health").status_code == 200
    bob = invited(admin, app, "bob", "operator")
    bob.get("/me/tokens")
    bob.post("/me/tokens", name="laptop", scope="operate", days="30", current=PASSWORD)
    [token] = re.findall(r'id="token">(fnx_\w+)<', bob.text)
    assert holder_of(world.api_pool, token).scopes == ["operate"]
    admin.get("/users")
    admin.post("/users/2/role", role="viewer")
    with pytest.raises(UnauthorizedError, match="revoked"):
        holder_of(world.api_pool, token)
    bob.get("/me/tokens")
    bob.post("/me/tokens", name="laptop", scope="read", days="30", current=PASSWORD)
    [token] = re.findall(r'id="token">(fnx_\w+)<', bob.text)
    assert bob.post("/me/tokens/2/revoke").status_code == 303
    with pytest.raises(UnauthorizedError, match="revoked"):
        holder_of(world.api_pool, token)


def test_what_is_changed_by_rest_is_in_the_audit_log_under_the_role_of_the_api(
    pool: Pool, world: World
) -> None:
    world.endpoint()
    package, _ = announce(world.api_pool, NewPackage("2", "app.bin", 1, hashlib.sha256(b"x").digest()), "ann")
    add_chunk(world.api_pool, package.id, 0, b"x")
    complete(world.api_pool, package.id)
    start_update(world.api_pool, "sim-0001", package.id, "ann")
    retire(world.api_pool, package.id, "ann")
    retire(world.api_pool, package.id, "bob")  # it is retired already: nothing was done
    rows = world.execute(
        "SELECT entry ->> 'role' AS role, entry ->> 'action' AS action, endpoint FROM audit_entry"
    )
    assert [(row["role"], row["action"], row["endpoint"]) for row in rows] == [
        ("flownexus_api", "firmware-added", None),
        ("flownexus_api", "update-started", "sim-0001"),
        ("flownexus_api", "firmware-retired", None),
    ]
    assert audit.check(pool).broken_at is None


def test_fifty_rows_of_ten_thousand_are_a_small_page_and_quick_to_find(
    admin: Browser, world: World, pool: Pool
) -> None:
    world.execute(
        "INSERT INTO endpoint (name, registered, last_seen_at, lifetime)"
        " SELECT 'device-' || n, true, now(), 300 FROM generate_series(1, 10000) n"
    )
    world.execute("ANALYZE endpoint")
    admin.get("/")  # the first one fills caches
    answer = admin.get("/", **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.data) < 20_000
    began = datetime.now(UTC)
    page = fleet.find_page(pool, EVERYTHING, fleet.Order.CONTACT, None, 50)
    fleet.rows_of(pool, page.ids)
    fleet.contacts_of(pool, page.ids)
    fleet.devices_with(pool, "99", 8)
    assert datetime.now(UTC) - began < timedelta(milliseconds=300), "150 where the machine does nothing else"


def test_sessions_and_the_audit_log_are_no_other_role_s_to_read(database: Database) -> None:
    for role in ("ingest", "dispatch", "api", "housekeeping", "grafana", "reader"):
        with psycopg.connect(getattr(database, role), autocommit=True) as connection:
            for table in ("console_user", "console_session", "console_link", "audit_entry"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT 1 FROM {table}".encode())


FORM = {"endpoint": "a", "mode": "psk", "days": "", "own": "", "identity": "", "key": ""}


def enrolled(world: World) -> list[str]:
    return [row["endpoint"] for row in world.execute("SELECT endpoint FROM device_credential ORDER BY id")]


def test_a_form_that_makes_credentials_counts_once_however_often_it_is_sent(
    admin: Browser, world: World
) -> None:
    forms: list[tuple[str, dict[str, str]]] = [
        ("/credentials", FORM),
        ("/credentials/many", {"rows": "endpoint,mode\nb,psk\nc,psk\n"}),
        ("/credentials/1/replace", {"days": "1", "own": ""}),
    ]
    for path, form in forms:
        admin.get("/credentials/new" if "replace" not in path else "/credentials/1")
        page = admin.page
        assert admin.post(path, **form).status_code == 200
        for _ in range(2):
            admin.page = page
            assert admin.post(path, **form).status_code == 409
            assert "The form was sent already" in admin.text
            assert "zip" not in admin.text
    assert enrolled(world) == ["a", "b", "c", "a"]


def test_a_form_that_was_refused_may_be_sent_again_and_two_at_once_make_one(
    admin: Browser, world: World
) -> None:
    admin.get("/credentials/new")
    page = admin.page
    for _ in range(2):
        admin.page = page
        assert admin.post("/credentials", **FORM | {"days": "no"}).status_code == 422
    admin.page = page
    with ThreadPoolExecutor(4) as threads:
        sent = list(threads.map(lambda _: admin.send("/credentials", FORM).status_code, range(4)))
    assert sorted(sent) == [200, 409, 409, 409]
    assert enrolled(world) == ["a"]
    world.execute("UPDATE console_form SET expires_at = now()")
    admin.get("/credentials/new")
    assert admin.post("/credentials", **FORM | {"endpoint": "b"}).status_code == 200
    [row] = world.execute("SELECT count(*) AS kept FROM console_form")
    assert row == {"kept": 1}
