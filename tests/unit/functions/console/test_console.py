"""console: who sees what, what a form does, and what cannot be done to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import quote

import pyotp
import pytest
from argon2 import PasswordHasher

from flownexus.accounts.passwords import PasswordHashes
from flownexus.accounts.second_factor import STEP_S, recovery_digest
from flownexus.accounts.tokens import digest
from flownexus.leshan.refusals import REMEDIES
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.operations.filter import Comparison, Field, Pattern, parse_filter
from flownexus.operations.lifecycle import Status
from flownexus.operations.why import Facts
from flownexus.store.activity import Activity
from flownexus.store.audit import Listed as AuditListed
from flownexus.store.batch import Batch
from flownexus.store.device_log import LogEntry
from flownexus.store.endpoint_values import OBSTACLES, EndpointDetails, Value
from flownexus.store.fleet import Bucket, Cell, Contacts, Device, Found, Row
from flownexus.store.operation_requests import Operation
from flownexus.store.passkey import Passkey, _Challenge
from flownexus.store.refusal import StoredRefusal
from flownexus.store.session import Listed as SessionListed
from flownexus.store.session import _Attempts
from flownexus.store.user import Link, Listed, User
from flownexus.web.console.app import Access
from flownexus.web.console.asking import body_of, value_of
from flownexus.web.console.browser import URL
from flownexus.web.console.devices import tree_of
from flownexus.web.console.fleet import filter_of, short, strip_of, tag_filter
from flownexus.web.console.kept import Kept
from flownexus.web.console.timeline import once
from tests.fixtures.administration import ADMINISTRATION, administration_pages
from tests.fixtures.bootstrap import BOOTSTRAP_ROWS, BOOTSTRAP_SESSION
from tests.fixtures.enrolment import CREDENTIAL_PAGES, ENROLMENT_ROWS
from tests.fixtures.firmware_rows import FIRMWARE_PAGES, FIRMWARE_ROWS
from tests.fixtures.function import Start
from tests.fixtures.hints import Hints
from tests.fixtures.pages import COOKIE, TOKENS, PageTests, RightPage, ask, new_cookies, sessions
from tests.fixtures.statements import Rows, Statements

NOW = datetime(2026, 11, 22, 13, 27, 27, tzinfo=UTC)
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "seven green llamas at noon"
OTHER = "eleven purple kettles sing"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
KEPT = CHEAP.hash(PASSWORD)


def user(id_: int = 4, name: str = "some-admin", **more: Any) -> User:
    columns: dict[str, Any] = {
        "id": id_,
        "name": name,
        "role": "admin",
        "password_hash": KEPT,
        "totp_secret": None,
        "totp_step": None,
        "is_disabled": False,
        "passkeys": 0,
    }
    return User(**columns | more)


def operation(status: Status = Status.QUEUED, **more: Any) -> Operation:
    columns: dict[str, Any] = dict.fromkeys(Operation._fields)
    return Operation(
        **columns
        | {"id": 41, "endpoint": "sim-0001", "operation": "read", "path": "/3303/0", "status": str(status)}
        | {"repeatable": False, "priority": 100, "attempts": 0, "created_at": NOW, "requested_by": "ann"}
        | more
    )


def happened(kind: str, what: str, **more: Any) -> Activity:
    columns: dict[str, Any] = dict.fromkeys(Activity._fields)
    return Activity(**columns | {"time": NOW, "kind": kind, "what": what, "attempts": 0} | more)


_COLUMNS: dict[str, Any] = dict.fromkeys(Facts._fields)
WAITS = Facts(
    **_COLUMNS
    | {"id": 41, "endpoint": "sim-0001", "status": "QUEUED", "targets": ["/3303/0"], "attempts": 0}
    | {"now": NOW, "registered": False, "first_seen_at": NOW, "unreachable": False}
    | {"awaits_contact": False, "unanswered": 0, "contacts": []}
)
VALUE = Value("/3303/0/5700", "24.9", NOW, 1.5, "FLOAT", "Sensor Value", "Cel")
DEVICE = Device(
    "sim-0001",
    "registered",
    NOW,
    NOW,
    NOW,
    NOW,
    "127.0.0.1:4000",
    300,
    "U",
    "1.1",
    ["/1/0", "/3/0", "/3303/0"],
)
ROW = Row("sim-0001", "registered", NOW, "Acme", "T-1", "1.0", 87, 2, {"site": "berlin"})
LINE = LogEntry(NOW, 1, "sim-0001", "/20/0/4014", 3, "error", "modem", "attach failed", False)
_DETAILS: dict[str, Any] = dict.fromkeys(EndpointDetails._fields)
DETAILS = EndpointDetails(
    **_DETAILS
    | {"name": "sim-0001", "registered": True, "first_seen": NOW, "presence": "registered", "contacts": [NOW]}
)
CELL = Cell("sim-0001", "/3303/0/5700", "24.9", NOW, "Sensor Value", "Cel")
BATCH = Batch(
    5, "name==*", "read", ["/3/0/9"], 1234, 0, "ann", NOW, None, None, {"QUEUED": 1000, "CONFIRMED": 234}
)
REFUSED = StoredRefusal(1, "new-0001", "192.0.2.9:5000", "wrong-key", None, 3, NOW, NOW)
ROWS: Mapping[str, Rows] = {
    **FIRMWARE_ROWS,
    **ADMINISTRATION,
    **ENROLMENT_ROWS,
    **BOOTSTRAP_ROWS,
    "only_read": [()],
    "only_read_by_filter": [()],
    "session": sessions,
    "keep_session": [()],
    "add_session": [()],
    "drop_session": [()],
    "drop_sessions": [()],
    "sessions_of": [SessionListed(digest(TOKENS[Access.ADMIN]), NOW, NOW, "192.0.2.1", "Some Browser")],
    "drop_stale_sessions": [()],
    "drop_stale_links": [()],
    "drop_stale_attempts": [()],
    "drop_stale_browsers": [()],
    "note_sign_in": [()],
    "keep_browser": [()],
    "drop_browsers": [()],
    "is_known_browser": [(False,)],
    "begin_attempts": [()],
    "lock_attempts": lambda asked: [_Attempts(each, 0, 0.0, None) for each in asked["buckets"]],
    "note_attempt": [()],
    "forget_attempts": [()],
    "take_back_attempt": [()],
    "user_of_name": lambda asked: [user(name="ann")] if asked["name"] == "ann" else [],
    "user_of_id": lambda asked: [user(asked["id"], totp_secret=SECRET if asked["id"] == 1 else None)],
    "users": [Listed(4, "some-admin", "admin", False, True, False, NOW, None, 1)],
    "lock_users": [()],
    "has_admin": [(True,)],
    "add_user": [(7,)],
    "set_password_hash": [()],
    "set_role": [()],
    "set_disabled": [()],
    "set_second_factor": [()],
    "use_code": [()],
    "drop_recovery_codes": [()],
    "add_recovery_codes": [()],
    "use_recovery_code": lambda asked: [()] if asked["code_hash"] == recovery_digest("abcd") else [],
    "recovery_codes_left": [(9,)],
    "keep_challenge": [()],
    "take_challenge": [_Challenge(b"c" * 32, True)],
    "passkeys_of": [Passkey(3, b"i", b"k", ["usb"], "my key", NOW, None)],
    "drop_passkey": [("my key",)],
    "drop_passkeys": [()],
    "set_openid": [()],
    "add_link": [()],
    "drop_links": [()],
    "link": [Link(4, "some-admin")],
    "use_link": [()],
    "append_audit": [(b"\0" * 32,)],
    "audit_entries": [
        AuditListed(
            1, "2026-11-22T13:27:27.000000Z", "ann", "operation-queued", "sim-0001", {"operation": 41}
        )
    ],
    "audit_chain": [],
    "fleet_page": [(1, [7])],
    "fleet_rows": [ROW],
    "fleet_contacts": [Contacts("sim-0001", 300.0, "-" * 8 + "1" * 30 + "0" * 10)],
    "fleet_values": [CELL],
    "device": [DEVICE],
    "activity": [
        happened("event", "registered"),
        happened("operation", "read", id=41, path="/3303/0", status="QUEUED", by="ann", attempts=2),
        happened("log", "error", by="modem", words="attach failed"),
        happened("audit", "operation-cancelled", id=9, by="bob"),
    ],
    "log_entries": [LINE],
    "endpoint_details": [DETAILS],
    "delete_endpoint": [(None,)],
    "tags": [({"site": "berlin"},)],
    "endpoint_ids": lambda asked: [(name, 7) for name in asked["names"]],
    "newest_values": [VALUE],
    "refusals": [REFUSED],
    "series_of": [Bucket(NOW, 1.0, 3.0, 2.0)],
    "add_operation": [operation()],
    "operation": [operation()],
    "operations": [operation()],
    "cancel_operation": [()],
    "why_facts": [WAITS],
    "known_resources": [],
    "devices_with": [Found("sim-0001", "registered", "192.0.2.7:5683", {"site": "berlin"})],
    "matching_endpoints": [(1234, ["sim-0001", "sim-0002", "sim-0003"])],
    "add_batch": [(5,)],
    "add_operations_of_batch": [(41, "sim-0001"), (42, "sim-0002")],
    "batch": [BATCH],
    "cancel_operations_of_batch": [("sim-0001",)],
    "mark_batch_cancelled": [()],
}


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flownexus.web.console.app.PasswordHashes", lambda: PasswordHashes(CHEAP))


def code() -> str:
    return pyotp.TOTP(SECRET).now()


def new_password(**more: str) -> dict[str, str]:
    return {"password": OTHER, "again": OTHER, **more}


class TestPages(PageTests):
    requests = (
        RightPage("GET", "/static/console.css", Access.ANYBODY),
        RightPage("GET", "/sign-in", Access.ANYBODY),
        RightPage(
            "POST", "/sign-in", Access.ANYBODY, {"name": "ann", "password": PASSWORD, "next": "/"}, 303
        ),
        # There is no provider.
        RightPage("GET", "/sign-in/openid", Access.ANYBODY, status=404),
        RightPage("GET", "/sign-in/openid/back", Access.ANYBODY, status=404),
        RightPage("GET", "/sign-out/openid", Access.ANYBODY, status=404),
        RightPage("GET", "/second-factor", Access.HALF),
        RightPage("POST", "/second-factor", Access.HALF, {"code": "abcd", "next": "/"}, 303),
        RightPage("POST", "/second-factor/passkey/options", Access.HALF),
        RightPage("POST", "/second-factor/passkey", Access.HALF, {"credential": "{}", "next": "/"}, 422),
        RightPage("POST", "/sign-out", Access.VIEWER, status=303),
        RightPage("GET", "/welcome/some-token", Access.ANYBODY),
        RightPage("POST", "/welcome/some-token", Access.ANYBODY, new_password(), 303),
        RightPage("GET", "/", Access.VIEWER),
        RightPage("GET", "/live/fleet", Access.VIEWER),
        RightPage("GET", "/palette?q=sim", Access.VIEWER),
        RightPage("GET", "/device?name=sim-0001", Access.VIEWER),
        RightPage("GET", "/live/device?name=sim-0001", Access.VIEWER),
        RightPage("GET", "/device/log?name=sim-0001", Access.VIEWER),
        RightPage("GET", "/live/device/log?name=sim-0001", Access.VIEWER),
        # Nowhere is a Leshan.
        RightPage("GET", "/device/observations?name=sim-0001", Access.VIEWER, status=503),
        RightPage("GET", "/live/device/coap?name=sim-0001", Access.OPERATOR, status=503),
        RightPage("GET", "/device/bundle?name=sim-0001", Access.OPERATOR),
        RightPage("POST", "/device/delete?name=sim-0001", Access.ADMIN, {"confirmed": "sim-0001"}, 303),
        RightPage("GET", "/refused", Access.VIEWER),
        RightPage("GET", "/bootstrap", Access.VIEWER),
        RightPage("GET", "/series?name=sim-0001&path=/3303/0/5700", Access.VIEWER),
        RightPage("GET", "/device/ask?name=sim-0001&operation=write&path=/3303/0/5700", Access.OPERATOR),
        RightPage("POST", "/device/ask?name=sim-0001", Access.OPERATOR, {"do": "read /3303/0"}, 303),
        RightPage("GET", "/operations", Access.VIEWER),
        RightPage("GET", "/live/operations", Access.VIEWER),
        RightPage("GET", "/operations/41", Access.VIEWER),
        RightPage("GET", "/live/operations/41", Access.VIEWER),
        RightPage("POST", "/operations/41/cancel", Access.OPERATOR, status=303),
        RightPage("GET", "/batch?filter=sim", Access.OPERATOR),
        RightPage(
            "POST",
            "/batch",
            Access.OPERATOR,
            {"filter": "name==*", "operation": "read", "path": "/3/0/9"},
            303,
        ),
        RightPage("GET", "/batches/5", Access.VIEWER),
        RightPage("GET", "/live/batches/5", Access.VIEWER),
        RightPage("POST", "/batches/5/cancel", Access.OPERATOR, status=303),
        *FIRMWARE_PAGES,
        *administration_pages(PASSWORD),
        *CREDENTIAL_PAGES,
        RightPage("GET", "/users", Access.ADMIN),
        RightPage("POST", "/users", Access.ADMIN, {"name": "bob", "role": "viewer"}),
        RightPage("POST", "/users/7/reset", Access.ADMIN),
        RightPage("POST", "/users/7/role", Access.ADMIN, {"role": "operator"}, 303),
        RightPage("POST", "/users/7/disable", Access.ADMIN, status=303),
        RightPage("POST", "/users/7/enable", Access.ADMIN, status=303),
        RightPage("POST", "/users/7/sign-out", Access.ADMIN, status=303),
        RightPage("GET", "/audit?check=1", Access.ADMIN),
        RightPage("GET", "/me", Access.VIEWER),
        RightPage("POST", "/me/password", Access.VIEWER, new_password(current=PASSWORD)),
        RightPage("GET", "/me/second-factor", Access.VIEWER),
        RightPage(
            "POST",
            "/me/second-factor",
            Access.VIEWER,
            {"current": PASSWORD, "secret": SECRET, "code": "000000"},
            422,
        ),
        RightPage("POST", "/me/second-factor/remove", Access.VIEWER, {"current": PASSWORD}),
        RightPage("GET", "/me/passkeys", Access.VIEWER),
        RightPage("POST", "/me/passkeys/options", Access.VIEWER, {"name": "my key", "current": PASSWORD}),
        RightPage("POST", "/me/passkeys", Access.VIEWER, {"name": "my key", "credential": "{}"}, 422),
        RightPage("POST", "/me/passkeys/3/remove", Access.VIEWER, {"current": PASSWORD}),
        RightPage("POST", "/me/sign-out-everywhere", Access.VIEWER, status=303),
    )


# ---------------------------------------------------------------------------------------------------------
# Sign in


def test_who_signs_in_gets_a_new_session_and_the_one_that_was_there_stands_for_nothing(
    start: Start, statements: Statements
) -> None:
    """Session fixation: whoever has planted the cookie before knows nothing of the one after."""
    answer = ask(
        start(statements), "POST", "/sign-in", cookie="planted", form={"name": " Ann ", "password": PASSWORD}
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{URL}/")
    [added] = statements.of("add_session")
    cookie = new_cookies(answer)[COOKIE].partition(";")[0]
    assert (cookie != "planted", digest(cookie)) == (True, added["token_hash"])
    assert (added["user_id"], added["is_complete"]) == (4, True)
    assert statements.of("drop_session") == [{"token_hash": digest("planted")}]
    assert [each["action"] for each in statements.of("append_audit")] == ["signed-in"]


@pytest.mark.parametrize(("headers", "names"), [({}, ("flownexus-session", "flownexus-browser")), (
    {"X-Forwarded-Proto": "https"}, ("__Host-flownexus-session", "__Host-flownexus-browser"))])  # fmt: skip
def test_cookies_are_for_no_script_and_no_other_site_and_over_tls_for_tls_alone(
    start: Start, statements: Statements, headers: Mapping[str, str], names: tuple[str, ...]
) -> None:
    form = {"name": "ann", "password": PASSWORD}
    cookies = {names[0]: "cookie-of-nobody"}
    answer = ask(start(statements), "POST", "/sign-in", form=form, headers=headers, cookies=cookies)
    found = new_cookies(answer)
    assert set(found) == set(names)
    for value in found.values():
        attributes = {each.strip().partition("=")[0] for each in value.split(";")[1:]}
        assert {"HttpOnly", "SameSite", "Path"} <= attributes
        assert "SameSite=Lax" in value
        assert ("Secure" in attributes) == bool(headers)
        assert "Domain" not in attributes
        assert f"Path={'/' if headers else URL}" in value


def test_the_page_is_the_same_for_a_wrong_password_an_unknown_name_and_who_is_disabled(
    start: Start, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements.rows["user_of_name"] = lambda asked: {
        "ann": [user()],
        "off": [user(is_disabled=True)],
        "new": [user(password_hash=None)],
    }.get(asked["name"], [])
    verified: list[str] = []
    fits = PasswordHashes.fits

    def counted(self: PasswordHashes, password: str, kept: str | None) -> bool:
        verified.append(password)
        return fits(self, password, kept)

    monkeypatch.setattr(PasswordHashes, "fits", counted)
    pages = set()
    for name, password in (
        ("ann", OTHER),
        ("nobody", OTHER),
        ("off", PASSWORD),
        ("new", PASSWORD),
        ("!", OTHER),
    ):
        answer = ask(start(statements), "POST", "/sign-in", form={"name": name, "password": password})
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (422, False)
        text = re.sub(
            r'(name="form_token" value=")[^"]+|(name="name" type="text" value=")[^"]+', "", answer.text
        )
        pages.add(text)
    assert len(pages) == 1
    assert len(verified) == 5, "each is compared to a hash: the time is the same"
    assert statements.of("add_session") == []


def test_who_tries_too_often_is_told_how_long_to_wait_and_nothing_is_compared(
    start: Start, statements: Statements
) -> None:
    statements.rows["lock_attempts"] = lambda asked: [
        _Attempts(each, 9, 1.0, 7.2) for each in asked["buckets"]
    ]
    answer = ask(start(statements), "POST", "/sign-in", form={"name": "ann", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "8")
    assert "Try again in 8 s" in answer.text
    assert (
        statements.of("user_of_name") == statements.of("note_attempt") == statements.of("add_session") == []
    )


def test_an_attempt_counts_for_the_account_and_the_address_before_it_is_known_whether_it_is_right(
    start: Start, statements: Statements
) -> None:
    form = {"name": "ann", "password": OTHER}
    forwarded = {"X-Forwarded-For": "203.0.113.9, 192.0.2.7:4711"}
    ask(start(statements), "POST", "/sign-in", form=form, headers=forwarded)
    assert [each["bucket"] for each in statements.of("note_attempt")] == [
        f"account {digest('ann').hex()}",
        "address 192.0.2.7",
    ]
    assert statements.of("forget_attempts") == []
    names = [name for name, _ in statements.sent]
    assert names.index("note_attempt") < names.index("user_of_name")


def test_a_browser_that_is_known_counts_by_itself_so_that_a_stranger_cannot_keep_its_user_out(
    start: Start, statements: Statements
) -> None:
    statements.rows["is_known_browser"] = [(True,)]
    form = {"name": "ann", "password": PASSWORD}
    cookies = {"flownexus-browser": "known"}
    ask(start(statements), "POST", "/sign-in", form=form, cookies=cookies)
    assert statements.of("note_attempt")[1]["bucket"] == f"browser {digest('known').hex()} ann"
    assert statements.of("forget_attempts") == [{"bucket": f"browser {digest('known').hex()} ann"}]


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/device?name=a%2Fb", f"{URL}/device?name=a%2Fb"),
        ("https://elsewhere.example/", f"{URL}/"),
        ("//elsewhere.example/", f"{URL}/"),
        ("/\\elsewhere.example", f"{URL}/"),
        ("\\\\elsewhere.example", f"{URL}/"),
        ("javascript:alert(1)", f"{URL}/"),
        ("/x\r\nSet-Cookie: a=b", f"{URL}/"),
        ("", f"{URL}/"),
    ],
)
def test_after_sign_in_the_way_leads_to_a_page_of_the_console_alone(
    start: Start, statements: Statements, wanted: str, leads_to: str
) -> None:
    form = {"name": "ann", "password": PASSWORD, "next": wanted}
    answer = ask(start(statements), "POST", "/sign-in", form=form)
    assert answer.headers["Location"] == leads_to


def test_who_has_a_second_factor_has_half_a_session_until_it_is_given(
    start: Start, statements: Statements
) -> None:
    statements.rows["user_of_name"] = [user(totp_secret=SECRET)]
    form = {"name": "ann", "password": PASSWORD, "next": "/users"}
    answer = ask(start(statements), "POST", "/sign-in", form=form)
    assert answer.headers["Location"] == f"{URL}/second-factor?next=/users"
    [added] = statements.of("add_session")
    assert (added["is_complete"], added["lifetime_s"]) == (False, 600.0)
    assert statements.of("append_audit") == []


def test_the_code_of_now_completes_the_session_and_no_code_counts_twice(
    start: Start, statements: Statements
) -> None:
    answer = ask(
        start(statements), "POST", "/second-factor", of=Access.HALF, form={"code": code(), "next": "/"}
    )
    assert answer.status_code == 303
    [used] = statements.of("use_code")
    [added] = statements.of("add_session")
    assert (used["id"], added["is_complete"]) == (1, True)
    assert statements.of("drop_session") == [{"token_hash": digest(TOKENS[Access.HALF])}]
    statements.rows["use_code"] = []
    answer = ask(start(statements), "POST", "/second-factor", of=Access.HALF, form={"code": code()})
    assert answer.status_code == 422
    step = int(datetime.now(UTC).timestamp()) // STEP_S
    statements.rows["user_of_id"] = [user(1, totp_secret=SECRET, totp_step=step + 1)]
    answer = ask(start(statements), "POST", "/second-factor", of=Access.HALF, form={"code": code()})
    assert answer.status_code == 422
    assert len(statements.of("add_session")) == 1


@pytest.mark.parametrize("wrong", ["", "000000", "12345", "1234567", "wxyz", "１２３４５６"])
def test_a_wrong_code_is_refused(start: Start, statements: Statements, wrong: str) -> None:
    answer = ask(start(statements), "POST", "/second-factor", of=Access.HALF, form={"code": wrong})
    assert answer.status_code == 422
    assert statements.of("add_session") == []


def test_after_a_sign_out_the_cookie_stands_for_nothing(start: Start, statements: Statements) -> None:
    answer = ask(start(statements), "POST", "/sign-out", of=Access.VIEWER)
    assert statements.of("drop_session") == [{"token_hash": digest(TOKENS[Access.VIEWER])}]
    assert "Max-Age=0" in new_cookies(answer)[COOKIE]


def test_a_page_that_asks_by_itself_keeps_no_session(start: Start, statements: Statements) -> None:
    function = start(statements)
    ask(function, "GET", "/live/fleet", of=Access.VIEWER)
    assert statements.of("keep_session") == []
    ask(function, "GET", "/", of=Access.VIEWER)
    assert len(statements.of("keep_session")) == 1


# ---------------------------------------------------------------------------------------------------------
# Links, users, profile


def test_a_link_that_was_used_is_told_as_one_that_never_was(start: Start, statements: Statements) -> None:
    statements.rows["link"] = []
    for method in ("GET", "POST"):
        answer = ask(start(statements), method, "/welcome/used", form=new_password())
        assert answer.status_code == 404
        assert "This link cannot be used" in answer.text
    statements.rows |= {"link": [Link(4, "ann")], "use_link": []}  # somebody was quicker
    assert ask(start(statements), "POST", "/welcome/used", form=new_password()).status_code == 404
    assert statements.of("set_password_hash") == []


@pytest.mark.parametrize(
    ("password", "again", "told"),
    [
        ("short", "short", "fewer than 15 characters"),
        ("x" * 257, "x" * 257, "more than 256 characters"),
        ("passwordpassword", "passwordpassword", "consists of common words"),
        ("some-admin-some-admin-1", "some-admin-some-admin-1", "consists of common words"),
        (OTHER, PASSWORD, "not the same"),
    ],
)
def test_a_new_password_that_is_easily_guessed_is_refused_with_what_would_be_right(
    start: Start, statements: Statements, password: str, again: str, told: str
) -> None:
    function = start(statements)
    form = {"password": password, "again": again, "current": PASSWORD}
    for path, of in (("/welcome/some-token", Access.ANYBODY), ("/me/password", Access.ADMIN)):
        answer = ask(function, "POST", path, of=of, form=form)
        assert answer.status_code == 422
        assert told in answer.text
    assert statements.of("set_password_hash") == []


def test_the_first_administrator_chooses_a_name(start: Start, statements: Statements) -> None:
    statements.rows["link"] = [Link(None, None)]
    function = start(statements)
    assert ask(function, "POST", "/welcome/first", form=new_password(name="no name!")).status_code == 422
    assert ask(function, "POST", "/welcome/first", form=new_password(name="Ann")).status_code == 303
    assert statements.of("add_user") == [{"name": "ann", "role": "admin"}]


def test_an_invitation_is_a_link_that_is_shown_once(start: Start, statements: Statements) -> None:
    form = {
        "name": "bob",
        "role": "operator",
        "is_disabled": "true",
        "id": "1",
    }  # the last two are not asked for
    answer = ask(start(statements), "POST", "/users", of=Access.ADMIN, form=form)
    [(_, token)] = re.findall(r"(http://function/function/console/welcome/)([\w-]{43})", answer.text)
    [link] = statements.of("add_link")
    assert (link["token_hash"], link["user_id"], link["lifetime_s"]) == (digest(token), 7, 86400.0)
    assert statements.of("add_user") == [{"name": "bob", "role": "operator"}]


@pytest.mark.parametrize("role", ["owner", "", "ADMIN"])
def test_a_role_that_is_none_is_refused(start: Start, statements: Statements, role: str) -> None:
    for path in ("/users", "/users/7/role"):
        answer = ask(start(statements), "POST", path, of=Access.ADMIN, form={"name": "bob", "role": role})
        assert answer.status_code == 422
        assert "role: one of viewer, operator, admin" in answer.text
    assert statements.of("add_user") == statements.of("set_role") == []


@pytest.mark.parametrize("path", ["/users/4/disable", "/users/4/role", "/users/4/reset"])
def test_the_last_administrator_stays_one(start: Start, statements: Statements, path: str) -> None:
    statements.rows["has_admin"] = [(False,)]
    answer = ask(start(statements), "POST", path, of=Access.ADMIN, form={"role": "viewer"})
    assert answer.status_code == 409
    assert "this is the last administrator" in answer.text


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/me/password", new_password()),
        ("/me/second-factor", {"secret": SECRET, "code": "000000"}),
        ("/me/second-factor/remove", {}),
        ("/me/passkeys/options", {"name": "my key"}),
        ("/me/passkeys/3/remove", {}),
    ],
)
def test_what_protects_an_account_is_changed_by_who_knows_its_password(
    start: Start, statements: Statements, path: str, form: Mapping[str, str]
) -> None:
    answer = ask(start(statements), "POST", path, of=Access.ADMIN, form={**form, "current": OTHER})
    assert answer.status_code == 422
    assert "The current password is wrong" in answer.text
    assert statements.of("set_password_hash") == statements.of("set_second_factor") == []
    assert statements.of("keep_challenge") == statements.of("drop_passkey") == []


def test_a_second_factor_is_added_once_its_code_was_right_and_recovery_codes_are_shown_once(
    start: Start, statements: Statements
) -> None:
    form = {"current": PASSWORD, "secret": SECRET, "code": code()}
    answer = ask(start(statements), "POST", "/me/second-factor", of=Access.ADMIN, form=form)
    assert answer.status_code == 200
    codes = re.findall(r"\b(?:[a-z2-9]{4}-){3}[a-z2-9]{4}\b", answer.text)
    [added] = statements.of("add_recovery_codes")
    assert (len(codes), added["hashes"]) == (10, [recovery_digest(each) for each in codes])
    assert statements.of("set_second_factor")[-1]["secret"] == SECRET


def test_a_changed_password_ends_the_other_sessions(start: Start, statements: Statements) -> None:
    form = new_password(current=PASSWORD)
    ask(start(statements), "POST", "/me/password", of=Access.ADMIN, form=form)
    assert statements.of("drop_sessions") == [{"user_id": 4, "except_hash": digest(TOKENS[Access.ADMIN])}]


# ---------------------------------------------------------------------------------------------------------
# Devices


SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_what_devices_and_users_told_is_text_and_never_markup(start: Start, statements: Statements) -> None:
    bad = operation(endpoint=SCRIPT, reason=SCRIPT, requested_by=SCRIPT, result={"content": {SCRIPT: SCRIPT}})
    statements.rows |= {
        "fleet_rows": [
            ROW._replace(
                name=SCRIPT, manufacturer=SCRIPT, model=SCRIPT, firmware=SCRIPT, tags={SCRIPT: SCRIPT}
            )
        ],
        "fleet_values": [CELL._replace(endpoint=SCRIPT, value=SCRIPT, name=SCRIPT, units=SCRIPT)],
        "device": [DEVICE._replace(name=SCRIPT, address=SCRIPT, binding=SCRIPT)],
        "newest_values": [VALUE._replace(value=SCRIPT, name=SCRIPT, units=SCRIPT)],
        "activity": [
            happened(
                "operation",
                "read",
                id=41,
                path=SCRIPT,
                status="FAILED",
                by=SCRIPT,
                words=SCRIPT,
                answer=SCRIPT,
            ),
            happened("log", "error", by=SCRIPT, words=SCRIPT),
            happened("audit", SCRIPT, by=SCRIPT),
        ],
        "log_entries": [LINE._replace(message=SCRIPT, source=SCRIPT)],
        "endpoint_ids": lambda asked: [(name, 7) for name in asked["names"]],
        "operations": [bad],
        "operation": [bad],
        "why_facts": [WAITS._replace(endpoint=SCRIPT)],
        "batch": [BATCH._replace(filter=SCRIPT, operation=SCRIPT, targets=[SCRIPT], requested_by=SCRIPT)],
        "matching_endpoints": [(1, [SCRIPT])],
        "devices_with": [Found(SCRIPT, "offline", SCRIPT, {SCRIPT: SCRIPT})],
        "audit_entries": [AuditListed(1, "2026", SCRIPT, SCRIPT, SCRIPT, {SCRIPT: SCRIPT})],
        "refusals": [replace(REFUSED, endpoint=SCRIPT, detail=SCRIPT)],
        "bootstrap_sessions": [BOOTSTRAP_SESSION._replace(endpoint=SCRIPT, address=SCRIPT, detail=SCRIPT)],
        "users": [Listed(4, SCRIPT, "admin", False, True, False, NOW, None, 1)],
        "sessions_of": [SessionListed(b"", NOW, NOW, SCRIPT, SCRIPT)],
        "passkeys_of": [Passkey(3, b"i", b"k", [], SCRIPT, NOW, None)],
    }
    function = start(statements)
    for path in (
        *(
            "/refused",
            "/bootstrap",
            "/",
            "/live/fleet",
            "/device?name=x",
            "/live/device?name=x",
            "/operations",
            "/operations/41",
        ),
        *(
            "/live/operations/41",
            "/users",
            "/audit",
            "/me",
            f"/?filter={quote(SCRIPT)}",
            "/?columns=/3303/0/5700",
            f"/audit?device={SCRIPT}",
        ),
        *("/device/log?name=x", "/live/device/log?name=x", f"/device?name=x&chart=/3303/0/5700&x={SCRIPT}"),
        *("/palette?q=x", "/batch", "/batches/5", "/live/batches/5", "/me/passkeys"),
        *("/device/ask?name=x&operation=write&path=/3/0/0", f"/device/ask?name={SCRIPT}"),
    ):
        answer = ask(function, "GET", path, of=Access.ADMIN)
        assert answer.status_code == (422 if "filter=" in path else 200), path
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
    answer = ask(function, "GET", f"/sign-in?next={SCRIPT}")
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    "name",
    ["../handler.py", "..%2fhandler.py", "%2e%2e/handler.py", "/etc/passwd", "vendor/../../handler.py",
     "....//handler.py", "..\\handler.py", ".console.css", "vendor", ""],
)  # fmt: skip
def test_no_other_file_is_served_than_those_that_are_meant(
    start: Start, statements: Statements, name: str
) -> None:
    assert ask(start(statements), "GET", f"/static/{name}").status_code == 404


def test_a_part_that_has_not_changed_is_not_sent_again(start: Start, statements: Statements) -> None:
    function = start(statements)
    for path in (
        "/live/fleet?",
        "/live/device?name=sim-0001&",
        "/live/operations?",
        "/live/operations/41?",
        "/live/batches/5?",
    ):
        first = ask(function, "GET", path, of=Access.ADMIN)
        [seen, *_] = re.findall(r"seen=([0-9a-f]{16})", first.text)
        again = ask(function, "GET", f"{path}seen={seen}", of=Access.ADMIN)
        assert (again.status_code, again.text) == (204, ""), path
    statements.rows["fleet_rows"] = [ROW._replace(battery=12)]
    assert ask(function, "GET", f"/live/fleet?seen={seen}", of=Access.ADMIN).status_code == 200


def test_a_fleet_without_devices_teaches_how_to_connect_one(start: Start, statements: Statements) -> None:
    statements.rows |= {"fleet_page": [(0, [])], "fleet_rows": []}
    function = start(statements)
    first = ask(function, "GET", "/", of=Access.VIEWER).text
    assert "Connect your first device" in first
    assert "coaps://function:5684" in first
    assert "CONFIG_LWM2M_DTLS_SUPPORT=y" in first
    assert "/credentials/new" not in first
    assert "/credentials/new" in ask(function, "GET", "/", of=Access.ADMIN).text
    assert "new-0001" in first, "and whom Leshan did not let in"
    assert "No device matches" in ask(function, "GET", "/?filter=x", of=Access.VIEWER).text


def test_a_device_is_deleted_once_its_name_was_typed(start: Start, statements: Statements) -> None:
    function = start(statements)
    assert "Delete this device" in ask(function, "GET", "/device?name=sim-0001", of=Access.ADMIN).text
    assert "Delete this device" not in ask(function, "GET", "/device?name=sim-0001", of=Access.OPERATOR).text
    url = "/device/delete?name=sim-0001"
    answer = ask(function, "POST", url, of=Access.ADMIN, form={"confirmed": "sim-0002"})
    assert (answer.status_code, "nothing was deleted" in answer.text) == (422, True)
    assert statements.of("delete_endpoint") == []

    form = {"confirmed": " sim-0001", "force": "true"}
    answer = ask(function, "POST", url, of=Access.ADMIN, form=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{URL}/")
    assert statements.of("delete_endpoint") == [{"name": "sim-0001", "even_registered": True}]
    [told] = statements.of("append_audit")
    assert (told["action"], told["endpoint"], told["by"]) == ("endpoint-deleted", "sim-0001", "some-admin")

    statements.rows["delete_endpoint"] = [("updating",)]
    answer = ask(function, "POST", url, of=Access.ADMIN, form=form)
    assert (answer.status_code, OBSTACLES["updating"] in answer.text) == (409, True)


def test_a_device_s_page_says_that_it_was_refused_and_what_would_help(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    shown = ask(function, "GET", "/device?name=sim-0001", of=Access.VIEWER).text
    assert REFUSED.address is not None
    assert REFUSED.address in shown
    assert REMEDIES[REFUSED.cause] in unescape(shown)
    statements.rows["refusals"] = []
    assert 'id="refused-title"' not in ask(function, "GET", "/device?name=sim-0001", of=Access.VIEWER).text


@pytest.mark.parametrize(
    ("typed", "filter_"),
    [
        ("", ""),
        ("sim", "name=has=sim"),
        ("50% of_", 'name=has="50% of_"'),
        ("si*1", "name=has=si*1"),
        ("presence==asleep;tag.site==berlin", "presence==asleep;tag.site==berlin"),
    ],
)
def test_a_text_without_an_operator_is_a_part_of_a_name(typed: str, filter_: str) -> None:
    assert str(filter_of(typed)) == filter_


@pytest.mark.parametrize(
    ("value", "fits"),
    [("a*b", 'tag.site=="a\\*b"'), ("x y", 'tag.site=="x y"'), ("bern", "tag.site==bern")],
)
def test_the_filter_of_a_tag_fits_just_that_value(value: str, fits: str) -> None:
    assert tag_filter("site", value) == fits
    assert parse_filter(fits) == Comparison(Field.TAG, "==", Pattern((value,)), "site")


def test_what_is_no_filter_is_told_where_and_what_would_be_right(
    start: Start, statements: Statements
) -> None:
    answer = ask(start(statements), "GET", "/?filter=presence==away", of=Access.VIEWER)
    assert answer.status_code == 422
    assert "Column 11: presence is one of registered, awake, asleep, offline" in answer.text
    assert 'value="presence==away"' in answer.text, "what was typed can be mended"
    assert "tag.site==berlin" in answer.text, "an example"
    assert statements.of("fleet_page") == []


def test_a_page_begins_behind_a_row_or_before_one(start: Start, statements: Statements) -> None:
    statements.rows |= {
        "fleet_page": [(99, list(range(51)))],
        "fleet_rows": [ROW._replace(name=f"sim-{number:04}") for number in range(50)],
    }
    function = start(statements)
    first = ask(function, "GET", "/?sort=contact&filter=sim", of=Access.VIEWER).text
    assert "50 of 99 devices" in first
    assert 'rel="prev"' not in first
    following = unescape(re.findall(r'rel="next" href="[^"]*(/\?[^"]*)"', first)[0])
    second = ask(function, "GET", following, of=Access.VIEWER).text
    before = unescape(re.findall(r'rel="prev" href="[^"]*(/\?[^"]*)"', second)[0])
    ask(function, "GET", before, of=Access.VIEWER)
    asked = [
        (each["begins"], each["down"], each["seen"], each["name"], each["limit"])
        for each in statements.of("fleet_page")
    ]
    assert asked == [
        (True, True, None, None, 51),
        (False, True, NOW, "sim-0049", 51),
        (False, False, NOW, "sim-0000", 51),
    ]
    other = following.replace("sort=contact", "sort=name")
    answer = ask(function, "GET", other, of=Access.VIEWER)
    assert (answer.status_code, "with other parameters" in answer.text) == (422, True)


def test_contacts_are_looked_up_once_for_pages_that_ask_for_what_changed(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    for _ in range(3):
        answer = ask(function, "GET", "/live/fleet", of=Access.VIEWER)
    assert "contact in 30 of the last 40 lifetimes of 5 min" in answer.text
    assert len(statements.of("fleet_contacts")) == 1
    assert len(statements.of("fleet_rows")) == 3, "presence is looked up each time"


def test_what_takes_long_to_make_is_kept_longer() -> None:
    now = [0.0]
    kept = Kept(lambda: now[0])

    def make(takes_s: float) -> Callable[[], float]:
        def made() -> float:
            now[0] += takes_s
            return now[0]

        return made

    assert kept.get("x", make(0.5)) == 0.5
    now[0] = 10.4
    assert kept.get("x", make(0.5)) == 0.5
    assert kept.get("x", make(0.5), anew=True) == 10.9
    now[0] = 30.0
    assert kept.get("x", make(0.001)) == 30.001
    y = kept.get("y", make(0.001), 15.0)
    now[0] = 40.0
    assert (kept.get("x", make(1)), kept.get("y", make(1))) == (41, y)


def test_the_palette_finds_devices_and_asks_for_none_without_a_text(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    found = ask(function, "GET", "/palette?q=%2050%25_%20", of=Access.VIEWER).text
    assert re.search(r'role="option" data-href="[^"]*/device\?name=sim-0001"', found)
    assert "192.0.2.7:5683 site=berlin" in found
    assert statements.of("devices_with") == [{"text": "50%_", "pattern": "%50\\%\\_%", "limit": 8}]
    assert ask(function, "GET", "/palette?q=%20", of=Access.VIEWER).text.strip() == ""
    assert len(statements.of("devices_with")) == 1


@pytest.mark.parametrize(
    ("value", "shown"), [("20.142857142857142", "20.1429"), ("24.9", "24.9"), ("1.2.34567", "1.2.34567")]
)
def test_a_list_shows_no_more_digits_than_are_read(value: str, shown: str) -> None:
    assert short(value) == shown


def test_contacts_are_drawn_as_runs() -> None:
    strip = strip_of(Contacts("x", 60.0, "--1101"))
    assert strip == ("M2 0h2v10h-2zM5 0h1v10h-1z", "M4 6h1v4h-1z", "M0 9h2v1h-2z", 3, 4, 60.0)


def test_columns_of_resources_are_shown_with_name_value_and_units(
    start: Start, statements: Statements
) -> None:
    answer = ask(start(statements), "GET", "/?columns=/3303/0/5700,+/3/0/9", of=Access.VIEWER)
    assert re.search(r"Sensor Value\s*<span class=\"path\">/3303/0/5700", answer.text)
    assert re.search(r"24.9\s*<span class=\"units\">Cel", answer.text)
    [asked] = statements.of("fleet_values")
    assert (asked["object_ids"], asked["resource_ids"]) == ([3303, 3], [5700, 9])


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/?sort=1;DROP TABLE endpoint", 422, "sort: one of name, -name, contact, -contact"),
        ("/?cursor=x", 422, "cursor: none of ours"),
        ("/?columns=temperature", 422, "columns: "),
        ("/?columns=/3303/0", 422, "columns: paths of resources"),
        ("/?columns=/1/0/1,/1/0/2,/1/0/3,/1/0/4,/1/0/5,/1/0/6,/1/0/7", 422, "columns: at most 6"),
        ("/live/fleet?filter=x==", 422, "is no field"),
        ("/device", 404, "no such device"),
        ("/device?name=%00", 404, "no such device"),
        ("/device?name=a&chart=temperature", 422, "chart: "),
        ("/device?name=a&chart=/3303/0", 422, "the path of a resource"),
        ("/device?name=a&chart=/3303/0/5700&span=century", 422, "span: one of 5m"),
        ("/device?name=a" + "".join(f"&chart=/3/0/{n}" for n in range(5)), 422, "chart: at most 4"),
        ("/device?name=a&line=21", 422, "line: a path and a number"),
        ("/device?name=a&of=/3/0/9&number=x", 422, "line: a path and a number"),
        ("/series?name=a&path=/3/0/9&from=yesterday", 422, "from: a time with its offset"),
        (
            "/series?name=a&path=/3/0/9&from=2020-01-01T00:00:00Z&to=2025-01-01T00:00:00Z",
            422,
            "from: at most a year",
        ),
        ("/device/log?name=a&severity=loud", 422, "severity: one of"),
        ("/device/log?name=a&cursor=x", 422, "cursor: none of ours"),
        ("/series?name=a&path=/3303/0/5700&span=2h", 422, "span: one of 5m"),
        ("/operations?status=queued", 422, "status: one of QUEUED"),
        ("/operations?cursor=x", 422, "cursor: a whole number"),
        (f"/operations/{2**63}", 404, f"there is no operation {2**63}"),
        ("/device/ask?name=a&operation=explode", 422, "operation: one of read"),
        ("/device/ask?name=a&path=x", 422, "path: "),
        ("/batch?operation=factory-reset", 422, "operation: one of read"),
        ("/batch?filter=x==", 422, "is no field"),
        ("/operations?batch=x", 422, "batch: a whole number"),
        (f"/batches/{2**63}", 404, f"there is no batch {2**63}"),
        ("/audit?cursor=-1", 422, "cursor: a whole number"),
    ],
)
def test_a_query_that_is_not_valid_is_refused_with_what_would_be(
    start: Start, statements: Statements, path: str, status: int, told: str
) -> None:
    answer = ask(start(statements), "GET", path, of=Access.ADMIN)
    assert answer.status_code == status
    assert told in answer.text


def test_objects_come_by_their_numbers_with_those_that_have_no_values_yet() -> None:
    values = [VALUE, VALUE._replace(path="/3303/0/5701"), VALUE._replace(path="/3/0/7/1")]
    tree = tree_of(values, ["/1/0", "/5", "/3303/1"])
    assert [(each.id, [(one.path, len(one.values)) for one in each.instances]) for each in tree] == [
        (1, [("/1/0", 0)]),
        (3, [("/3/0", 1)]),
        (5, [("/5", 0)]),
        (3303, [("/3303/0", 2), ("/3303/1", 0)]),
    ]


def test_a_chart_is_of_so_many_parts_of_its_time_and_a_file_has_the_same(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    answer = ask(function, "GET", "/series?name=sim-0001&path=/3303/0/5700&span=24h", of=Access.VIEWER)
    [asked] = statements.of("series_of")
    assert asked["to_time"] - asked["from_time"] == timedelta(days=1)
    assert (asked["path"], asked["buckets"]) == ("/3303/0/5700", 1000)
    assert (answer.json()["mean"], answer.json()["times"]) == ([2.0], [NOW.timestamp()])
    path = "/series?name=a%22%0Ab&path=/3303/0/5700&format=csv"
    answer = ask(function, "GET", path, of=Access.VIEWER)
    assert answer.text.splitlines() == ["time,minimum,maximum,mean", "2026-11-22T13:27:27+00:00,1.0,3.0,2.0"]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a_b-3303-0-5700.csv"'


@pytest.mark.parametrize(
    ("path", "current", "of", "left_out"),
    [
        ("/", ("/", "page", "Fleet"), Access.VIEWER, "/users"),
        ("/device?name=sim-0001", ("/", "true", "Fleet"), Access.VIEWER, "/audit"),
        ("/operations/41", ("/operations", "true", "Operations"), Access.OPERATOR, "/users"),
        ("/users", ("/users", "page", "Users"), Access.ADMIN, "/nothing"),
    ],
)
def test_the_menu_has_the_pages_for_a_role_and_says_where_its_reader_is(
    start: Start,
    statements: Statements,
    path: str,
    current: tuple[str, str, str],
    of: Access,
    left_out: str,
) -> None:
    answer = ask(start(statements), "GET", path, of=of).text
    menu = answer[answer.index('<nav id="menu"') : answer.index("</nav>")]
    assert re.findall(rf'href="{URL}([^"]*)" aria-current="(\w+)">([^<]*)<', menu) == [current]
    assert f'href="{URL}{left_out}"' not in menu


def test_a_part_of_the_time_is_charted_and_each_chart_has_its_lines(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    path = "/series?name=a&path=/3/0/9&from=2026-01-01T00:00:00Z&to=2026-01-01T00:30:00Z"
    assert ask(function, "GET", path, of=Access.VIEWER).status_code == 200
    [asked] = statements.of("series_of")
    assert asked["to_time"] - asked["from_time"] == timedelta(minutes=30)
    page = "/device?name=a&chart=/3303/0/5700&chart=/3/0/9&line=/3/0/9:20&of=/3303/0/5700&number=-21.5"
    shown = ask(function, "GET", page, of=Access.VIEWER).text
    assert re.findall(r'<value-chart src="[^"]*path=([^&"]*)[^"]*" lines="([^"]*)"', shown) == [
        ("/3303/0/5700", "-21.5"),
        ("/3/0/9", "20.0"),
    ]


def test_updates_that_follow_one_another_are_told_once() -> None:
    update = happened("event", "updated")
    told = once([update, update, happened("event", "heard"), update, happened("log", "error")])
    assert [(each.activity.what, each.times) for each in told] == [
        ("updated", 2),
        ("heard", 1),
        ("updated", 1),
        ("error", 1),
    ]


def test_the_activity_tells_who_caused_it_and_why_what_waits_does_so(
    start: Start, statements: Statements
) -> None:
    shown = ask(start(statements), "GET", "/device?name=sim-0001", of=Access.VIEWER).text
    activity = shown[shown.index('id="activity"') :]
    for told in (
        "by ann",
        "attempt 2",
        "has never registered; it has been known since",
        "modem",
        "attach failed",
        "by bob",
    ):
        assert told in activity
    assert "cancelled an operation" in activity


def test_the_log_is_searched_and_goes_on_behind_its_last_line(start: Start, statements: Statements) -> None:
    statements.rows["log_entries"] = [LINE._replace(id=number) for number in range(101)]
    function = start(statements)
    first = ask(
        function, "GET", "/device/log?name=sim-0001&severity=warning&text=50%25", of=Access.VIEWER
    ).text
    assert "hx-get" in first
    older = unescape(re.findall(r'rel="next" href="[^"]*/console([^"]*)"', first)[0])
    second = ask(function, "GET", older, of=Access.VIEWER).text
    assert "hx-get" not in second[second.index('id="log"') :], "an old page does not follow"
    asked = [(each["severity"], each["pattern"], each["before_id"]) for each in statements.of("log_entries")]
    assert asked == [(4, "%50\\%%", None), (4, "%50\\%%", 99)]
    statements.rows["log_entries"] = []
    none = ask(function, "GET", "/device/log?name=sim-0001", of=Access.VIEWER).text
    assert "docs/device-logs.md" in none


def test_a_support_bundle_has_all_but_what_is_secret(start: Start, statements: Statements) -> None:
    statements.rows |= {
        "newest_values": [VALUE, VALUE._replace(path="/0/0/5", value="hidden-1")],
        "operations": [
            operation(path="/3/0/15", value={"value": "shown"}),
            operation(Status.CONFIRMED, path="/0/0/5", value="hidden-2", result={"content": "hidden-3"}),
            operation(path=None, paths=["/3/0", "/21/0"], value="hidden-4", arguments="hidden-5"),
        ],
    }
    answer = ask(start(statements), "GET", "/device/bundle?name=sim%220001", of=Access.OPERATOR)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="support-sim_0001.json"'
    assert "hidden" not in answer.text
    bundle = answer.json()
    assert bundle["operations"][0]["value"] == {"value": "shown"}
    assert [each["value"] for each in bundle["values"]] == ["24.9", "(blanked)"]
    assert bundle["tags"] == {"site": "berlin"}
    assert bundle["log"][0]["message"] == "attach failed"
    assert "has never registered; it has been known since" in bundle["why"]["41"]
    assert {"endpoint", "activity", "refusals", "made_at"} <= set(bundle)


# ---------------------------------------------------------------------------------------------------------
# Operations


def test_what_is_asked_is_queued_by_its_user_noted_and_a_hint(
    start: Start, statements: Statements, hints: Hints
) -> None:
    form = {"operation": "write", "path": "/3/0/15", "type": "STRING", "value": "Europe/Berlin"}
    form |= {"requested_by": "somebody", "priority": "1000"}  # nobody asked for these
    answer = ask(start(statements), "POST", "/device/ask?name=sim-0001", of=Access.OPERATOR, form=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{URL}/operations/41")
    [added] = statements.of("add_operation")
    assert (added["requested_by"], added["priority"]) == ("some-operator", 100)
    assert added["value"].obj == {"type": "STRING", "value": "Europe/Berlin"}
    [noted] = statements.of("append_audit")
    assert (noted["by"], noted["action"], noted["endpoint"]) == (
        "some-operator",
        "operation-queued",
        "sim-0001",
    )
    assert hints.published == [Hint(HintKind.QUEUED, "sim-0001")]


def test_a_script_gets_the_card_of_what_it_asked_for(start: Start, statements: Statements) -> None:
    script = {"HX-Request": "true"}
    form = {"do": "observe /3303/0/5700"}
    answer = ask(
        start(statements), "POST", "/device/ask?name=sim-0001", of=Access.OPERATOR, form=form, headers=script
    )
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert "has never registered; it has been known since" in answer.text
    assert 'hx-trigger="every 1s"' in answer.text


def test_an_operation_that_has_ended_is_not_asked_for_again(start: Start, statements: Statements) -> None:
    statements.rows |= {
        "operation": [operation(Status.CONFIRMED)],
        "why_facts": [WAITS._replace(status="CONFIRMED", finished_at=NOW)],
    }
    answer = ask(start(statements), "GET", "/live/operations/41", of=Access.OPERATOR)
    assert "hx-get" not in answer.text
    assert "The device confirmed it" in answer.text


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"operation": "explode"}, "operation: one of read"),
        ({"do": "read"}, "path: is a LwM2M path"),
        ({"do": "read /x"}, "path: "),
        ({"operation": "write", "path": "/3/0/15", "type": "INTEGER", "value": "x"}, "not INTEGER"),
        ({"operation": "execute", "path": "/3/0/4", "arguments": "'"}, "arguments: "),
    ],
)
def test_an_operation_that_is_not_valid_is_refused_with_what_would_be(
    start: Start, statements: Statements, hints: Hints, form: Mapping[str, str], told: str
) -> None:
    answer = ask(start(statements), "POST", "/device/ask?name=sim-0001", of=Access.OPERATOR, form=form)
    assert answer.status_code == 422
    assert told in answer.text.replace("&#39;", "'")
    assert (statements.of("add_operation"), statements.of("append_audit"), hints.published) == ([], [], [])


@pytest.mark.parametrize(
    ("data_type", "typed", "value"),
    [
        ("", "Europe/Berlin", "Europe/Berlin"),
        ("STRING", " x ", {"type": "STRING", "value": " x "}),
        ("INTEGER", " 7 ", {"type": "INTEGER", "value": "7"}),
        ("TIME", "1970-01-01T00:01:00", {"type": "TIME", "value": "60000"}),
        ("TIME", "1970-01-01T01:01:00+01:00", {"type": "TIME", "value": "60000"}),
        ("TIME", "60000", {"type": "TIME", "value": "60000"}),
    ],
)
def test_what_is_typed_becomes_a_value_of_its_type(data_type: str, typed: str, value: Any) -> None:
    assert value_of(data_type, typed) == value


def test_a_form_says_only_what_its_operation_has() -> None:
    given = {"operation": "reboot", "path": " ", "type": "", "value": "x", "arguments": "y"}
    assert body_of(given) == {"operation": "reboot"}


# ---------------------------------------------------------------------------------------------------------
# One operation for many devices


def test_before_many_are_asked_their_number_and_three_of_them_are_shown(
    start: Start, statements: Statements
) -> None:
    answer = ask(start(statements), "GET", "/batch?filter=sim&operation=write", of=Access.OPERATOR)
    assert "1,234 devices match" in answer.text
    assert re.findall(r"name=(sim-\d+)", answer.text) == ["sim-0001", "sim-0002", "sim-0003"]
    assert "and 1,231 others" in answer.text
    assert "Queue it for 1,234 devices" in answer.text
    assert 'name="filter" value="name=has=sim"' in answer.text
    everything = ask(start(statements), "GET", "/batch", of=Access.OPERATOR).text
    assert 'name="filter" value="name==*"' in everything
    statements.rows["matching_endpoints"] = [(0, [])]
    none = ask(start(statements), "GET", "/batch?filter=sim", of=Access.OPERATOR).text
    assert "No device matches" in none
    assert "Queue it" not in none


def test_those_that_fit_are_updated_by_a_campaign_of_the_same_filter(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    shown = ask(function, "GET", "/?filter=sim", of=Access.OPERATOR).text
    [path] = re.findall(r'id="update-all" href="[^"]*/console([^"]*)"', shown)
    form = unescape(ask(function, "GET", unescape(path), of=Access.OPERATOR).text)
    assert 'name="filter" type="text" value="name=has=sim"' in form
    assert 'id="update-all"' not in ask(function, "GET", "/", of=Access.VIEWER).text
    device = ask(function, "GET", "/device?name=sim-0001", of=Access.VIEWER).text
    assert "/updates?device=sim-0001" in device
    assert "/updates/new" not in device


def test_what_is_asked_of_many_begins_in_five_seconds_is_noted_and_hinted(
    start: Start, statements: Statements, hints: Hints
) -> None:
    form = {"filter": "name==sim-*", "operation": "read", "path": "/3/0/9", "requested_by": "somebody"}
    before = datetime.now(UTC)
    answer = ask(start(statements), "POST", "/batch", of=Access.OPERATOR, form=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{URL}/batches/5")
    [added] = statements.of("add_operations_of_batch")
    assert timedelta(seconds=5) <= added["not_before"] - before < timedelta(seconds=60)
    assert (added["requested_by"], added["path"]) == ("some-operator", "/3/0/9")
    [noted] = statements.of("append_audit")
    assert (noted["by"], noted["action"]) == ("some-operator", "batch-queued")
    assert noted["detail"].obj == {"batch": 5, "kind": "read", "filter": "name==*", "devices": 1234}
    assert hints.published == [Hint(HintKind.QUEUED, "sim-0001"), Hint(HintKind.QUEUED, "sim-0002")]


def test_what_has_not_begun_is_undone_and_what_has_is_cancelled(start: Start, statements: Statements) -> None:
    statements.rows["batch"] = [BATCH._replace(created_at=datetime.now(UTC))]
    function = start(statements)
    fresh = ask(function, "GET", "/batches/5", of=Access.OPERATOR).text
    assert re.search(r'id="undo" class="primary" autofocus>Undo<', fresh)
    assert 'id="undo"' not in ask(function, "GET", "/batches/5", of=Access.VIEWER).text
    statements.rows["batch"] = [BATCH]
    begun = ask(function, "GET", "/batches/5", of=Access.OPERATOR).text
    assert "Cancel waiting operations" in begun
    part = ask(function, "POST", "/batches/5/cancel", of=Access.OPERATOR, headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert [each["action"] for each in statements.of("append_audit")] == ["batch-cancelled"]
    statements.rows["batch"] = [BATCH._replace(progress={"CONFIRMED": 1234})]
    ended = ask(function, "GET", "/batches/5", of=Access.OPERATOR).text
    assert "hx-get" not in ended
    assert ask(function, "POST", "/batches/5/cancel", of=Access.OPERATOR).status_code == 409


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"filter": "", "operation": "read", "path": "/3/0/9"}, "filter: says which endpoints"),
        ({"filter": "sim", "operation": "read", "path": "/3/0/9"}, "filter: "),
        ({"filter": "name==*", "operation": "factory-reset"}, "operation: one of read"),
        ({"filter": "name==*", "operation": "read", "path": "x"}, "path: "),
    ],
)
def test_a_batch_that_is_not_valid_is_refused_and_nothing_is_queued(
    start: Start, statements: Statements, hints: Hints, form: Mapping[str, str], told: str
) -> None:
    answer = ask(start(statements), "POST", "/batch", of=Access.OPERATOR, form=form)
    assert answer.status_code == 422
    assert told in answer.text
    assert (statements.of("add_batch"), hints.published) == ([], [])


def test_the_list_says_of_all_that_wait_why_by_one_question(start: Start, statements: Statements) -> None:
    statements.rows["operations"] = [
        operation(id=43, reason="the device answered 5.00"),
        operation(Status.FAILED, id=42, reason="the device answered 4.04"),
        operation(Status.SENDING, id=41),
    ]
    statements.rows["why_facts"] = lambda asked: [WAITS._replace(id=id_) for id_ in asked["ids"]]
    page = ask(start(statements), "GET", "/operations", of=Access.VIEWER).text
    assert [asked["ids"] for asked in statements.of("why_facts")] == [[43, 41]]
    assert page.count("sim-0001 has never registered") == 2
    assert "the device answered 4.04" in page
    assert "the device answered 5.00" not in page


def test_where_all_have_ended_nothing_is_asked(start: Start, statements: Statements) -> None:
    statements.rows["operations"] = [operation(Status.FAILED, id=42)]
    assert ask(start(statements), "GET", "/operations", of=Access.VIEWER).status_code == 200
    assert statements.of("why_facts") == []
