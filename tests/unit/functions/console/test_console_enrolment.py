"""console: devices enrolled: what the forms say, what is shown once, and what is refused."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest

from flownexus.errors import ValidationFailedError
from flownexus.store.credential import Enrolment
from flownexus.web.console.app import Access
from flownexus.web.console.credentials import MAX_DAYS, MAX_DEVICES, many_of, succession_of, wanted_of
from tests.fixtures.enrolment import ENROLMENT_ROWS, NEW, PSK, TIME
from tests.fixtures.function import Start
from tests.fixtures.pages import ask, sessions
from tests.fixtures.statements import Rows, Statements

FORM = {"endpoint": " my-0001 ", "mode": "psk", "days": "", "own": "", "identity": "", "key": ""}
SCRIPT = "<script>alert(1)</script>"
ROWS: Mapping[str, Rows] = {
    **ENROLMENT_ROWS,
    "session": sessions,
    "keep_session": [()],
    "only_read": [()],
}


def actions(statements: Statements) -> list[Any]:
    return [(each["action"], each["endpoint"], each["by"]) for each in statements.of("append_audit")]


def test_a_key_is_shown_once_with_its_files_and_kept_sealed(start: Start, statements: Statements) -> None:
    statements.rows["enrolment"] = [Enrolment("a", 4, "refused", True)]
    form = {**FORM, "created_by": "x", "sealed_key": "x", "expires_at": "2026-01-02T03:04:05Z"}
    answer = ask(start(statements), "POST", "/credentials", of=Access.ADMIN, form=form)
    [added] = statements.of("add_credential")
    assert (added["endpoint"], added["created_by"], added["expires_at"]) == ("my-0001", "some-admin", None)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Leshan is away, and gets it" in answer.text
    [encoded] = re.findall(r"data:application/zip;base64,([^\"]+)", answer.text)
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(encoded))) as files:
        key = files.read("my-0001/psk-key.hex").decode().strip()
        assert key.encode() not in added["sealed_key"]
        assert "my-0001/zephyr_credentials.h" in files.namelist()
        assert {each.external_attr >> 16 & 0o777 for each in files.infolist()} == {0o600}
    assert f">{key}</code>" in answer.text
    assert actions(statements) == [("credential-made", "my-0001", "some-admin")]


def test_many_are_enrolled_by_one_answer_that_is_their_archive(start: Start, statements: Statements) -> None:
    statements.rows["add_credential"] = lambda asked: [PSK._replace(endpoint=asked["endpoint"])]
    rows = "\ufeffendpoint,mode\r\na/b,psk\r\nc,\r\n"
    answer = ask(start(statements), "POST", "/credentials/many", of=Access.ADMIN, form={"rows": rows})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="credentials.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as files:
        assert {name.partition("/")[0] for name in files.namelist()} == {"a%2Fb", "c"}
    assert [each[1] for each in actions(statements)] == ["a/b", "c"]


@pytest.mark.parametrize(
    ("path", "form", "status", "told"),
    [
        ("", {**FORM, "endpoint": ""}, 422, "endpoint: the endpoint&#39;s name: 1 to 255"),
        ("", {**FORM, "mode": "none"}, 422, "mode: psk, rpk or x509"),
        ("", {**FORM, "mode": "x509"}, 409, "there is no CA"),
        ("", {**FORM, "own": SCRIPT}, 422, "own: a pre-shared key has no public part"),
        ("/many", {"rows": "name\na\n"}, 422, "the first line names the columns: endpoint"),
        ("/many", {"rows": f"endpoint\na\n{'x' * 256}\n"}, 422, "device 2 of the file: endpoint: "),
        ("/7/replace", {"days": "soon"}, 422, "days: a whole number of days, from 0"),
        ("/7/replace", {"days": "1", "own": SCRIPT}, 422, "own: a pre-shared key"),
        ("/unenrolled", {"unenrolled": "x"}, 422, "unenrolled: refused or admitted"),
    ],
)
def test_what_is_not_valid_comes_back_with_what_would_be_and_nothing_is_kept(
    start: Start, statements: Statements, path: str, form: Mapping[str, str], status: int, told: str
) -> None:
    answer = ask(start(statements), "POST", f"/credentials{path}", of=Access.ADMIN, form=form)
    assert answer.status_code == status
    assert told in answer.text
    assert SCRIPT not in answer.text
    assert statements.of("next_revision") == statements.of("append_audit") == []


@pytest.mark.parametrize("days", ["0", "-1", "1.5", str(MAX_DAYS + 1), "½", "9" * 400])
def test_a_number_of_days_that_is_none_is_refused(days: str) -> None:
    with pytest.raises(ValidationFailedError, match=f"days: a whole number of days, from 1 to {MAX_DAYS}"):
        wanted_of({**FORM, "days": days})


def test_what_a_device_gives_itself_is_its_request_or_its_public_key() -> None:
    assert wanted_of({**FORM, "mode": "x509", "own": "pem"}).csr == "pem\n"
    assert wanted_of({**FORM, "mode": "rpk", "own": "pem"}).public_key == "pem\n"
    assert succession_of("rpk", {"days": "2", "own": "pem"}).public_key == "pem\n"
    assert succession_of("psk", {"days": "2", "own": ""}).overlap == 2 * 86_400


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the first line names the columns"),
        ("endpoint,colour\na,red\n", "the first line names the columns"),
        ("endpoint\na,b\n", "the first line names the columns"),
        ("endpoint\na\na\n", "the device 'a' is there twice"),
        ('endpoint\n"' + "x" * 200_000 + '"\n', "this is no CSV file"),
        ("endpoint,key\na,xyz\n", "device 1 of the file: key: of psk: 16 to 64 bytes"),
        ("endpoint\n" + "".join(f"d{each}\n" for each in range(MAX_DEVICES + 1)), "at most 1000 devices"),
    ],
)
def test_a_file_that_is_no_list_of_devices_is_refused_with_what_would_be_one(text: str, told: str) -> None:
    with pytest.raises(ValidationFailedError, match=told):
        many_of(text)


def test_a_revoked_credential_offers_no_way_to_replace_it_and_is_noted_once(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    ask(function, "POST", "/credentials/7/revoke", of=Access.ADMIN)
    assert statements.of("revoke_credential") == [{"id": 7, "revoked_by": "some-admin"}]
    assert actions(statements) == [("credential-revoked", "my-0001", "some-admin")]
    statements.rows |= {
        "revoke_credential": [],
        "credential": [PSK._replace(revoked_at=TIME, revoked_by="ann")],
    }
    ask(function, "POST", "/credentials/7/revoke", of=Access.ADMIN)
    assert len(actions(statements)) == 1
    page = ask(function, "GET", "/credentials/7", of=Access.ADMIN).text
    assert "Leshan refuses it" in page
    assert "/credentials/7/re" not in page
    assert (
        ask(function, "POST", "/credentials/7/replace", of=Access.ADMIN, form={"days": "1"}).status_code
        == 409
    )


def test_names_with_scripts_in_them_are_text(start: Start, statements: Statements) -> None:
    row = PSK._replace(endpoint=SCRIPT, identity=SCRIPT, created_by=SCRIPT)
    statements.rows |= {"credentials": [row], "credential": [row], "add_credential": [row]}
    function = start(statements)
    pages = [ask(function, "GET", f"/credentials{path}", of=Access.ADMIN).text for path in ("", "/7")]
    for page in (*pages, ask(function, "POST", "/credentials", of=Access.ADMIN, form=NEW).text):
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
