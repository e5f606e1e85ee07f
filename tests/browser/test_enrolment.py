"""Devices enrolled in a real browser, which connect with the very files that it downloads."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from benchmarks.credentials import arguments
from flownexus.enrolment.keys import new_pair, private_pem
from local import web
from local.options import PARTS
from tests.fixtures.browser import (
    CHROMIUM,
    NARROW,
    WIDE,
    Open,
    Page,
    choose_password,
    chromium,
    first_link,
    look,
    pages,
    sign_in,
)
from tests.fixtures.nexus import Nexus, running, wait_for
from tests.fixtures.simulator import simulator

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make browser")
if CHROMIUM is None:
    pytest.skip("Debian's package chromium is not installed", allow_module_level=True)

KINDS = {"psk": "Pre-shared key", "rpk": "Raw public key", "x509": "X.509 certificate"}
SOON_S = 1.0
PATIENCE_S = 30.0


@dataclass
class Enrolled:
    """A system without devices, and the folder of the files that the browser has downloaded."""

    nexus: Nexus
    folder: Path

    def registered(self) -> set[str]:
        return {client["endpoint"] for client in self.nexus.world.clients()}

    def take(self, download: Any) -> None:
        """Unpack what the browser has downloaded."""
        with zipfile.ZipFile(download.path()) as files:
            files.extractall(self.folder)

    def device(self, mode: str, name: str) -> AbstractContextManager[None]:
        """Run a device with its files; it has tried to register when this returns."""
        group = f"prefix={name[:-4]},start={name[-4:]},count=1,notify=0,lifetime=300"
        return simulator(
            self.nexus.world,
            self.nexus.world.coaps_url,
            group,
            arguments=tuple(arguments(mode, self.folder, name)),
            folder=self.control(name),
        )

    def control(self, name: str) -> Path:
        return self.folder.parent / f"simulator-{name}"

    def tries(self, name: str, action: str) -> None:
        port = json.loads((self.control(name) / "ready.json").read_text())["control"]
        web.request(port, "POST", f"/devices/{name}/{action}")

    def refusals(self) -> int:
        [row] = self.nexus.sql("SELECT coalesce(sum(count), 0)::int AS count FROM registration_refusal")
        return int(row["count"])


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enrolled]:
    folder = tmp_path_factory.mktemp("enrolled")
    (folder / "files").mkdir()
    with running(folder / "home", parts=frozenset(PARTS) - {"simulator"}) as nexus:
        yield Enrolled(nexus, folder / "files")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(browser: Any, enrolled: Enrolled) -> Iterator[Open]:
    with pages(browser, enrolled.nexus.world.console_url) as open_page:
        yield open_page


def enrol(enrolled: Enrolled, page: Page, mode: str, name: str, own: str = "") -> None:
    """Enrol a device by the form, and take its files."""
    page.get_by_label("Device", exact=True).fill(name)
    page.get_by_role("radio", name=KINDS[mode]).check()
    if own:
        page.get_by_text("The device already has a key").click()
        page.get_by_label("Its request or public key").fill(own)
    page.get_by_role("button", name="Enrol it").click()
    page.get_by_role("heading", name=f"{name} is enrolled").wait_for()
    assert "Leshan has the credential" in page.get_by_role("status").inner_text()
    take(enrolled, page)


def take(enrolled: Enrolled, page: Page) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the files").click()
    enrolled.take(download.value)


def revoke(page: Page) -> None:
    """Revoke the credential whose page it is."""
    page.get_by_role("button", name="Revoke").click()
    page.get_by_text("Leshan refuses it").wait_for()


def gone_after(enrolled: Enrolled, name: str) -> float:
    """Return how many seconds after the revocation Leshan ended the registration, by both rows' times."""

    def found() -> Any:
        return enrolled.nexus.sql(
            "SELECT extract(epoch FROM v.time - c.revoked_at)::float8 AS took"
            " FROM device_credential c JOIN endpoint e ON e.name = c.endpoint"
            " JOIN event v ON v.endpoint_id = e.id"
            " WHERE e.name = %s AND v.event_type = 'unregistered'",
            name,
        )

    [row] = wait_for(found, PATIENCE_S, "the end of its registration")
    return float(row["took"])


def test_the_empty_fleet_leads_to_a_key_by_which_the_first_device_connects(
    enrolled: Enrolled, open_page: Open
) -> None:
    page = open_page(first_link(enrolled.nexus))
    choose_password(page, "ann")
    page.get_by_role("link", name="Enrol devices").click()
    assert page.get_by_text("This is the first enrolment").is_visible()
    enrol(enrolled, page, "psk", "psk-0001")
    files = enrolled.folder / "psk-0001"
    shown = page.locator("copy-text code").all_inner_texts()
    assert shown == [(files / name).read_text().strip() for name in ("psk-identity.txt", "psk-key.hex")]
    page.get_by_role("link", name=re.compile(r"^Credential \d+$")).click()
    page.get_by_role("heading", name=re.compile(r"^Credential \d+$")).wait_for()
    assert page.get_by_role("link", name="Download the files").count() == 0, "they are shown once"
    page.get_by_role("link", name="Fleet").click()
    page.get_by_role("heading", name="Connect your first device").wait_for()
    with enrolled.device("psk", "psk-0001"):
        page.get_by_role("link", name="psk-0001").click()
        page.get_by_text("enrolled a device").wait_for()
        assert page.get_by_role("table", name="Credentials").get_by_text("Pre-shared key").is_visible()


def signing_request(name: str, key: Any) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return made.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("mode", KINDS)
def test_a_device_connects_with_the_files_and_once_revoked_is_gone_and_refused_within_a_second(
    enrolled: Enrolled, open_page: Open, mode: str
) -> None:
    name = f"{mode}-0002"
    page = open_page("/credentials/new")
    sign_in(page)
    page.get_by_role("heading", name="Enrol devices").wait_for()
    if mode == "x509":  # its private key never leaves the device
        key = new_pair()
        enrol(enrolled, page, mode, name, signing_request(name, key))
        assert not (enrolled.folder / name / "key.pem").exists()
        (enrolled.folder / name / "key.pem").write_text(private_pem(key))
    else:
        enrol(enrolled, page, mode, name)
    with enrolled.device(mode, name):
        wait_for(lambda: name in enrolled.registered(), PATIENCE_S)
        page.get_by_role("link", name=re.compile(r"^Credential \d+$")).click()
        revoke(page)
        assert name not in enrolled.registered()
        took = gone_after(enrolled, name)
        print(f"{mode}: revoked in the browser and gone in {took * 1000:.0f} ms")
        assert took < SOON_S
        before = enrolled.refusals()
        enrolled.tries(name, "register")
        wait_for(lambda: enrolled.refusals() > before, PATIENCE_S, "its refusal")
        assert name not in enrolled.registered()
    [row] = enrolled.nexus.sql(
        "SELECT created_by, revoked_by FROM device_credential WHERE endpoint = %s", name
    )
    assert row == {"created_by": "ann", "revoked_by": "ann"}


def test_a_replaced_credential_counts_until_the_overlap_is_over(enrolled: Enrolled, open_page: Open) -> None:
    page = open_page("/credentials/new")
    sign_in(page)
    enrol(enrolled, page, "psk", "turn-0001")
    old = (enrolled.folder / "turn-0001" / "psk-key.hex").read_text()
    page.get_by_role("link", name=re.compile(r"^Credential \d+$")).click()
    first = page.url
    page.get_by_label("Overlap, in days").fill("1")
    page.get_by_role("button", name="Create the next one").click()
    take(enrolled, page)
    assert (enrolled.folder / "turn-0001" / "psk-key.hex").read_text() != old
    page.goto(first)
    assert re.search(r"Ends\s+in (1 d|23 h)", page.locator(".facts").inner_text())
    revoke(page)
    with enrolled.device("psk", "turn-0001"):
        wait_for(lambda: "turn-0001" in enrolled.registered(), PATIENCE_S)


def test_a_file_of_devices_is_enrolled_at_once_or_not_at_all(
    enrolled: Enrolled, open_page: Open, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.csv"
    page = open_page("/credentials/new")
    sign_in(page)
    for rows, told in (("many-0001,psk\nmany-0002,no\n", "device 2 of the file: mode"), ("", "")):
        file.write_text("endpoint,mode\n" + (rows or "many-0001,psk\nmany-0002,rpk\nmany-0003,x509\n"))
        page.get_by_label("CSV file").set_input_files(file)
        if told:
            page.get_by_role("button", name="Enrol them").click()
            assert told in page.get_by_role("alert").inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Enrol them").click()
    enrolled.take(download.value)
    found = enrolled.nexus.sql("SELECT endpoint FROM device_credential WHERE endpoint LIKE 'many-%%'")
    assert len(found) == 3
    with enrolled.device("rpk", "many-0002"):
        wait_for(lambda: "many-0002" in enrolled.registered(), PATIENCE_S)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["360px", "1280px"])
def test_every_page_of_credentials_is_usable_by_everybody_and_on_a_phone(
    enrolled: Enrolled, open_page: Open, viewport: dict[str, int], scheme: str
) -> None:
    page = open_page("/credentials", viewport, color_scheme=scheme)
    sign_in(page)
    page.get_by_role("heading", name="Credentials", exact=True).wait_for()
    [row] = enrolled.nexus.sql("SELECT max(id) AS id FROM device_credential WHERE revoked_at IS NULL")
    [old] = enrolled.nexus.sql("SELECT max(id) AS id FROM device_credential WHERE revoked_at IS NOT NULL")
    for path in (
        *("/credentials", "/credentials?all=", "/credentials?device=nobody", "/credentials/new"),
        *(f"/credentials/{row['id']}", f"/credentials/{old['id']}", "/device?name=psk-0001"),
    ):
        page.goto(enrolled.nexus.world.console_url + path)
        look(page)
    page.goto(f"{enrolled.nexus.world.console_url}/credentials/new")
    page.get_by_label("Device", exact=True).fill("x" * 200)
    page.get_by_role("button", name="Enrol it").click()
    page.get_by_role("link", name="Download the files").wait_for()
    look(page)
