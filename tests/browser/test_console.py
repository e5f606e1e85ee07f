"""The console in a real browser, on the whole system: what people do, and what changes without reloading.

It needs Debian's chromium and the group `browser` of pyproject.toml; `make browser` has the latter.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.fixtures.browser import (
    CHROMIUM,
    NARROW,
    PASSWORD,
    PATIENCE_MS,
    WIDE,
    Open,
    Page,
    choose_password,
    chromium,
    dead_letter,
    first_link,
    look,
    pages,
    sign_in,
)
from tests.fixtures.nexus import Nexus

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make browser")
if CHROMIUM is None:
    pytest.skip("Debian's package chromium is not installed", allow_module_level=True)

GROUPS = ("prefix=sim-,count=2,notify=1s,lifetime=300,update=30s",)
OTHER = "eleven purple kettles sing"
TEMPERATURE = "#v-3303-0-5700 .reading"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(browser: Any, nexus: Nexus) -> Iterator[Open]:
    with pages(browser, nexus.world.console_url) as open_page:
        yield open_page


def invite(page: Page, name: str, role: str) -> str:
    """Return the path of the link for somebody new."""
    page.get_by_role("link", name="Users").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("radio", name=re.compile(role)).check()
    page.get_by_role("button", name="Create a link").click()
    link: str = page.locator("#link").inner_text()
    return "/welcome/" + link.rpartition("/")[2]


def test_the_first_administrator_is_made_by_the_link_of_make_up(nexus: Nexus, open_page: Open) -> None:
    link = first_link(nexus)
    page = open_page(link)
    choose_password(page, "ann")
    page.get_by_role("heading", name="Fleet").wait_for()
    assert page.get_by_role("link", name="sim-0001").is_visible()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    page.goto(nexus.world.console_url + link)
    assert page.get_by_role("heading", name="This link cannot be used").is_visible()


def test_ten_wrong_passwords_make_a_stranger_wait_and_not_the_user(nexus: Nexus, open_page: Open) -> None:
    own = open_page()
    sign_in(own)
    own.get_by_role("heading", name="Fleet").wait_for()
    page = open_page()
    told = []
    for _ in range(10):
        sign_in(page, password=OTHER)
        told.append(page.get_by_role("alert").inner_text())
    assert any("Too many attempts" in each for each in told)
    assert "Too many attempts" not in told[0]
    own.get_by_role("button", name="Sign out").click()
    sign_in(own)
    own.get_by_role("heading", name="Fleet").wait_for()
    sign_in(page)
    if page.get_by_role("alert").count():
        time.sleep(1 + int(re.findall(r"in (\d+) s", page.get_by_role("alert").inner_text())[0]))
        sign_in(page)
    page.get_by_role("heading", name="Fleet").wait_for()


def test_an_invited_viewer_sees_and_may_not_ask(nexus: Nexus, open_page: Open) -> None:
    page = open_page()
    sign_in(page)
    viewer = open_page(invite(page, "vera", "Viewer"))
    choose_password(viewer)
    viewer.get_by_role("link", name="sim-0001").click()
    viewer.locator(TEMPERATURE).wait_for()
    assert viewer.get_by_role("button", name="Read /3303/0/5700").count() == 0
    assert viewer.get_by_role("link", name="Users").count() == 0
    viewer.goto(f"{nexus.world.console_url}/users")
    assert viewer.get_by_role("heading", name="Not allowed").is_visible()


def test_a_second_factor_is_added_asked_for_and_removed_with_sessions_everywhere(
    nexus: Nexus, open_page: Open
) -> None:
    page = open_page()
    sign_in(page)
    user = open_page(invite(page, "tom", "Operator"))
    choose_password(user)
    user.get_by_role("link", name="tom").click()
    user.get_by_role("link", name="Add a second factor").click()
    secret = user.locator("#secret").inner_text()
    user.get_by_label("Code from the application").fill(pyotp.TOTP(secret).now())
    user.get_by_label("Current password").fill(PASSWORD)
    user.get_by_role("button", name="Turn on").click()
    codes = user.locator(".codes").inner_text().split()
    assert len(codes) == 10
    phone = open_page()
    sign_in(phone, "tom")
    phone.get_by_label("Code").fill(codes[0])
    phone.get_by_role("button", name="Continue").click()
    phone.get_by_role("heading", name="Fleet").wait_for()
    user.get_by_role("link", name="tom").click()
    user.get_by_role("button", name="Sign out everywhere").click()
    user.get_by_role("heading", name="Sign in").wait_for()
    phone.get_by_role("heading", name="Sign in").wait_for()  # by itself: the page asks for what changed


def passkeys_of(page: Page) -> tuple[Any, str]:
    """Give a page a device that keeps passkeys and knows its user; return how to steer it."""
    steered = page.context.new_cdp_session(page)
    steered.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True}
    verifies = {"hasUserVerification": True, "isUserVerified": True}
    made = steered.send("WebAuthn.addVirtualAuthenticator", {"options": options | verifies})
    return steered, made["authenticatorId"]


def test_a_passkey_is_added_used_to_sign_in_and_removed(nexus: Nexus, open_page: Open) -> None:
    page = open_page()
    sign_in(page)
    user = open_page(invite(page, "pia", "Viewer"))
    choose_password(user)
    steered, device = passkeys_of(user)
    user.get_by_role("link", name="pia").click()
    user.get_by_role("link", name="Manage passkeys").click()
    add = user.get_by_role("button", name="Add a passkey")
    user.get_by_label("Name", exact=True).fill("my laptop")
    user.get_by_label("Current password").fill(OTHER)
    add.click()
    user.get_by_role("alert").get_by_text("The current password is wrong").wait_for()
    user.get_by_label("Current password").fill(PASSWORD)
    add.click()
    user.get_by_role("heading", name="Your recovery codes").wait_for()
    [code, *_] = user.locator(".codes").inner_text().split()
    user.get_by_role("button", name="Sign out").click()

    sign_in(user, "pia")
    steered.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    user.get_by_role("button", name="Use a passkey").click()
    user.get_by_role("alert").get_by_text("The browser created or found no passkey").wait_for()
    steered.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": True})
    user.get_by_role("button", name="Use a passkey").click()
    user.get_by_role("heading", name="Fleet").wait_for()
    [row] = nexus.sql("SELECT name, sign_count, used_at IS NOT NULL AS used FROM console_passkey")
    assert (row["name"], row["sign_count"] > 0, row["used"]) == ("my laptop", True, True)

    phone = open_page()
    sign_in(phone, "pia")
    phone.get_by_label("Recovery code").fill(code)
    phone.get_by_role("button", name="Continue").click()
    phone.get_by_role("link", name="pia").click()
    phone.get_by_role("link", name="Manage passkeys").click()
    phone.get_by_label("Remove: my laptop").click()
    phone.get_by_role("row").get_by_label("Current password").fill(PASSWORD)
    phone.get_by_role("button", name="Remove").click()
    phone.get_by_text("The passkey was removed").wait_for()
    assert nexus.sql("SELECT id FROM console_passkey") == []


def test_a_new_value_and_a_presence_are_seen_without_reloading(nexus: Nexus, open_page: Open) -> None:
    page = open_page()
    sign_in(page)
    page.evaluate("window.notReloaded = true")
    nexus.sql("UPDATE endpoint SET expires_at = now() WHERE name = 'sim-0002'")
    row = page.get_by_role("row").filter(has_text="sim-0002")
    row.get_by_text("Offline").wait_for()
    nexus.sql(
        "UPDATE endpoint SET expires_at = now() + interval '5 min', registered = true WHERE name = 'sim-0002'"
    )
    row.get_by_text("Online").wait_for()
    assert page.evaluate("window.notReloaded")
    page.get_by_role("link", name="sim-0001").click()
    page.evaluate("window.notReloaded = true")
    before = page.locator(TEMPERATURE).inner_text()
    playwright.expect(page.locator(TEMPERATURE)).not_to_have_text(before, timeout=PATIENCE_MS)
    assert page.evaluate("window.notReloaded")


def test_a_page_tells_of_resources_that_it_does_not_have_and_shows_the_others_on(
    nexus: Nexus, open_page: Open
) -> None:
    page = open_page("/device?name=sim-0001")
    sign_in(page)
    page.locator(TEMPERATURE).wait_for()
    node = {"kind": "singleResource", "id": 5603, "type": "FLOAT", "value": "-40.0"}
    answer = nexus.webhook([{"ep": "sim-0001", "obj_id": 3303, "val": node}])
    assert answer.status == 200, answer
    page.get_by_text("The device's resources have changed.").wait_for()
    before = page.locator(TEMPERATURE).inner_text()
    playwright.expect(page.locator(TEMPERATURE)).not_to_have_text(before, timeout=PATIENCE_MS)
    assert page.locator("#v-3303-0-5603").count() == 0
    page.get_by_role("link", name="Show them").click()
    page.locator("#v-3303-0-5603").wait_for()


def test_a_write_from_the_tree_is_seen_to_be_confirmed(nexus: Nexus, open_page: Open) -> None:
    page = open_page()
    sign_in(page)
    page.get_by_role("link", name="sim-0001").click()
    page.evaluate("window.notReloaded = true")
    page.get_by_role("link", name="Write /3/0/15").click()
    page.get_by_label("Value").fill("Europe/Berlin")
    page.get_by_label("Value").press("Enter")
    card = page.locator("#results article").first
    card.get_by_text("Confirmed", exact=True).wait_for()
    assert "The device confirmed it" in card.inner_text()
    assert page.evaluate("window.notReloaded")
    [row] = nexus.sql("SELECT requested_by FROM endpoint_operation WHERE operation_type = 'write'")
    assert row["requested_by"] == "ann"
    page.get_by_role("link", name="Audit log").click()
    page.get_by_role("button", name="Verify the chain").click()
    assert "The chain is intact" in page.get_by_role("status").inner_text()


def test_coap_messages_are_followed_from_a_click_over_the_end_of_a_stream(
    nexus: Nexus, open_page: Open
) -> None:
    page = open_page()
    sign_in(page)
    page.get_by_role("link", name="sim-0001").click()
    page.locator("#observed summary").click()
    page.locator("#observed .path", has_text="/3303/0/5700").first.wait_for()
    rows = page.locator("#coap tbody tr")
    assert rows.count() == 0
    streams: list[str] = []
    page.on(
        "request", lambda request: streams.append(request.url) if "/live/device/coap" in request.url else None
    )
    page.locator("#coap summary").click()
    rows.filter(has_text="from the device").first.wait_for()
    rows.nth(3).wait_for()
    deadline = time.monotonic() + 60
    while len(streams) < 2 and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    assert len(streams) >= 2, "the next stream is opened before the first ends"
    rows.nth(rows.count() + 3).wait_for()
    # A device numbers what it sends (RFC 7252, 4.4): nothing is missing, and nothing stands there twice.
    told = [text.split("\t") for text in rows.all_inner_texts()]
    sent = [
        int(ids.split()[0]) for _, way, what, ids, *_ in told if way == "from the device" and "CON" in what
    ]
    assert len(sent) > 3
    assert sent == list(range(sent[0], sent[-1] - 1, -1))


def test_what_is_asked_of_all_that_fit_is_undone_before_it_begins(nexus: Nexus, open_page: Open) -> None:
    page = open_page()
    sign_in(page)
    page.get_by_role("searchbox").fill("name==sim-*")
    page.get_by_role("searchbox").press("Enter")
    page.get_by_role("link", name="Ask all 2").click()
    page.get_by_text("2 devices match").wait_for()
    page.get_by_label("Path").fill("/3303/0/5700")
    page.get_by_role("button", name="Queue it for 2 devices").click()
    undo = page.get_by_role("button", name="Undo")
    playwright.expect(undo).to_be_focused()
    undo.press("Enter")
    page.get_by_text("ann cancelled it").wait_for()
    rows = nexus.sql("SELECT status, attempts FROM endpoint_operation WHERE batch_id IS NOT NULL")
    assert rows == [{"status": "CANCELLED", "attempts": 0}] * 2


def test_a_package_is_uploaded_and_a_campaign_watched_to_its_end(
    nexus: Nexus, open_page: Open, tmp_path: Path
) -> None:
    file = tmp_path / "demo.bin"
    file.write_bytes(b"version=2.0.1\n\n" + bytes(600_000))  # two chunks
    page = open_page("/firmware")
    sign_in(page)
    page.get_by_role("link", name="Upload a package").first.click()
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("Version", exact=True).fill("2.0.1")
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("Ready").wait_for()
    [package] = nexus.sql("SELECT size_bytes, encode(sha256, 'hex') AS sha256 FROM firmware")
    assert package == {
        "size_bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    page.get_by_role("link", name="Update many devices").click()
    page.get_by_label("Name").fill("spring")
    page.get_by_label("Wait between waves").fill("1s")
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_text("2 devices to 2.0.1, in 2 waves.").wait_for()
    page.get_by_role("button", name="Start").click()
    page.evaluate("window.notReloaded = true")
    page.get_by_text("Finished").wait_for(timeout=60_000)
    assert page.evaluate("window.notReloaded")
    assert page.get_by_role("img", name="1 updated, 0 in progress, 0 failed").count() == 2


def test_a_chart_draws_as_many_points_as_there_are(nexus: Nexus, open_page: Open) -> None:
    page = open_page("/device?name=sim-0001&chart=/3303/0/5700&span=5m")
    with page.expect_response(re.compile("/series")) as answer:
        sign_in(page)
    points = len(answer.value.json()["times"])
    chart = page.locator("value-chart")
    playwright.expect(chart).to_have_attribute("data-points", str(points))
    assert points > 3
    chart.locator("canvas").wait_for()
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    with page.expect_response(re.compile("/series.*from=")) as answer:
        page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + 50, steps=5)
        page.mouse.up()
    zoomed = answer.value.json()
    assert 20 < zoomed["to"] - zoomed["from"] < 35, "a tenth of five minutes"
    playwright.expect(chart).to_have_attribute("data-points", str(len(zoomed["times"])))
    with page.expect_response(re.compile("/series(?!.*from=)")):
        chart.locator(".u-over").dblclick()


def test_the_way_from_sign_in_to_an_answer_needs_no_mouse(nexus: Nexus, open_page: Open) -> None:
    page = open_page()
    keys = page.keyboard
    for text in ("ann", "\t", PASSWORD, "\n"):
        keys.press({"\t": "Tab", "\n": "Enter"}[text]) if text in "\t\n" else keys.type(text)
    page.get_by_role("heading", name="Fleet").wait_for()
    keys.press("?")
    page.get_by_role("dialog", name="Keys", exact=True).wait_for()
    keys.press("Escape")
    page.get_by_role("dialog", name="Keys").wait_for(state="hidden")
    keys.press("/")
    keys.type("SIM-0002")
    page.get_by_role("option", name=re.compile("sim-0002")).wait_for()
    keys.press("Enter")
    page.get_by_role("heading", name="sim-0002").wait_for()
    keys.press("Control+k")
    keys.type("read 5700")
    option = page.get_by_role("option", name="Read /3303/0/5700")
    option.wait_for()
    look(page)
    for _ in range(20):
        if option.get_attribute("aria-selected") == "true":
            break
        keys.press("ArrowDown")
    keys.press("Enter")
    page.locator("#results article").get_by_text("Confirmed", exact=True).first.wait_for()
    to(page, "All operations of this device")
    keys.press("Control+k")
    keys.type("fleet")
    page.get_by_role("option", name=re.compile("^Fleet")).wait_for()
    keys.press("Enter")
    page.get_by_role("heading", name="Fleet").wait_for()


def to(page: Page, name: str, most: int = 200) -> None:
    """Press Tab until what is focused has this name."""
    for _ in range(most):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()"
        )
        if focused == name:
            return
    pytest.fail(f"Tab does not lead to {name!r}")


def test_on_a_phone_the_menu_opens_closes_and_leads_on_by_keys(nexus: Nexus, open_page: Open) -> None:
    page = open_page("/", NARROW)
    sign_in(page)
    page.get_by_role("heading", name="Fleet").wait_for()
    operations = page.get_by_role("link", name="Operations")
    assert not operations.is_visible()
    page.get_by_role("button", name="Main menu").press("Enter")
    operations.wait_for()
    page.keyboard.press("Escape")
    assert not operations.is_visible()
    page.keyboard.press("Enter")  # the button has the focus again
    to(page, "Operations")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Operations").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["360px", "1280px"])
def test_every_page_is_usable_by_everybody_and_on_a_phone(
    nexus: Nexus, open_page: Open, viewport: dict[str, int], scheme: str
) -> None:
    page = open_page("/sign-in", viewport, color_scheme=scheme)
    look(page)
    sign_in(page)
    page.get_by_role("heading", name="Fleet").wait_for()
    [operation] = nexus.sql("SELECT max(id) AS id FROM endpoint_operation")
    letter = dead_letter(nexus, "sim-0001")
    nexus.sql(
        "INSERT INTO bootstrap_session (endpoint, address, state, detail, times) VALUES"
        " ('new-0001', '192.0.2.7:40000', 'finished', NULL, 1), ('new-0002', '', 'refused', 'unknown key', 3)"
    )
    for path in (
        *(
            "/",
            "/?columns=/3303/0/5700",
            "/?filter=nothing",
            "/?filter=presence==away",
            "/batch?filter=sim&operation=write",
            "/batches/1",
            "/device?name=sim-0001&chart=/3303/0/5700&chart=/3303/0/5601&line=/3303/0/5700:21",
            "/device/log?name=sim-0001",
            "/operations",
            "/users",
            "/audit",
            "/me",
            "/me/tokens",
            "/refused",
            "/bootstrap",
            "/health",
        ),
        *(
            "/profiles",
            "/models",
            "/models/3303/1.1",
            "/profiles/new",
            "/profiles/default",
            "/dead-letters",
            f"/dead-letters/{letter}",
        ),
        *("/firmware", "/firmware/new", "/firmware/1", "/updates", "/updates/new", "/updates/1"),
        *("/campaigns", "/campaigns/new", "/campaigns/1", "/campaigns/1/end"),
        *(
            "/me/second-factor",
            "/me/passkeys",
            "/device/ask?name=sim-0001&operation=write&path=/3/0/15",
            "/elsewhere",
        ),
        f"/operations/{operation['id']}",
    ):
        page.goto(nexus.world.console_url + path)
        look(page)
