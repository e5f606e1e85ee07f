"""console: object models of users."""

from __future__ import annotations

import time

import httpx
import pytest

from flownexus.accounts.tokens import form_token
from flownexus.web.console.app import Access
from flownexus.web.console.browser import URL
from tests.fixtures.function import Function, Start
from tests.fixtures.models import HOSTILE_FILES, MODELS_AND_LOGS, XML
from tests.fixtures.pages import COOKIE, TOKENS, ask, sessions
from tests.fixtures.statements import Rows, Statements

ROWS: dict[str, Rows] = {
    **MODELS_AND_LOGS,
    "only_read": [()],
    "session": sessions,
    "keep_session": [()],
}


def upload(function: Function, content: bytes, **fields: str) -> httpx.Response:
    """Send the form as a browser sends it that has chosen a file."""
    token = TOKENS[Access.ADMIN]
    with httpx.Client(transport=httpx.WSGITransport(function.app), base_url="http://function") as client:
        return client.post(
            "/models",
            data={"form_token": form_token(token), **fields},
            files={"file": ("../../x.xml", content, "application/xml")},
            headers={"Cookie": f"{COOKIE}={token}"},
        )


def test_a_file_is_added_in_its_users_name_and_shown(start: Start, statements: Statements) -> None:
    answer = upload(start(statements), XML.encode())
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{URL}/models/33456/1.1")
    [added] = statements.of("add_object_model")
    assert (added["object_id"], added["added_by"], added["xml"]) == (33456, "some-admin", XML)
    assert statements.of("remove_object_model") == []
    [told] = statements.of("append_audit")
    assert (told["action"], told["by"]) == ("model-added", "some-admin")


def test_a_version_is_replaced_where_that_is_asked(start: Start, statements: Statements) -> None:
    upload(start(statements), XML.encode(), replace="true")
    assert statements.of("remove_object_model") == [{"object_id": 33456, "version": "1.1"}]


@pytest.mark.parametrize("attack", HOSTILE_FILES)
def test_a_bomb_is_neither_expanded_nor_fetched_nor_stored(
    start: Start, statements: Statements, attack: str
) -> None:
    content, status, detail = HOSTILE_FILES[attack]
    function = start(statements)
    began = time.process_time()
    answer = upload(function, content)
    assert time.process_time() - began < 2
    assert answer.status_code == status
    assert detail.replace("<", "&lt;").replace(">", "&gt;") in answer.text
    assert statements.of("add_object_model") == []


def test_nothing_chosen_is_said(start: Start, statements: Statements) -> None:
    answer = upload(start(statements), b"")
    assert (answer.status_code, "it is no XML" in answer.text) == (422, True)


def test_a_model_is_shown_with_its_resources_and_removed(start: Start, statements: Statements) -> None:
    function = start(statements)
    page = ask(function, "GET", "/models/33456/1.1", of=Access.ADMIN).text
    assert [each for each in ("Kiln", "Heat", "FLOAT", "Cel", "Remove this model") if each not in page] == []
    answer = ask(function, "POST", "/models/33456/1.1/remove", of=Access.ADMIN)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{URL}/models")
    assert statements.of("remove_object_model") == [{"object_id": 33456, "version": "1.1"}]
