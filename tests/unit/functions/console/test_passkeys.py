"""console: where passkeys hold, what a browser is asked for, and what no answer gets through."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.accounts.passkeys import (
    Known,
    PasskeyRefusedError,
    creation_options,
    credential_id_of,
    new_challenge,
    new_passkey,
    request_options,
    sign_count_of,
)
from flownexus.accounts.place import Place, place_of
from flownexus.errors import MissingSettingError
from flownexus.web.console.app import Access
from tests.fixtures.authenticator import PRESENT, VERIFIED, Authenticator, in_base64
from tests.fixtures.function import Start
from tests.fixtures.pages import ask
from tests.fixtures.statements import Statements
from tests.unit.functions.console.test_console import PASSWORD, ROWS  # noqa: F401  # of `statements`

PLACE = Place("localhost", "http://localhost")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://console.example", Place("console.example", "https://console.example")),
        ("https://Console.Example:443/", Place("console.example", "https://console.example")),
        ("https://console.example:8443", Place("console.example", "https://console.example:8443")),
        ("http://localhost:8080", Place("localhost", "http://localhost:8080")),
        ("http://flownexus.localhost:80", Place("flownexus.localhost", "http://flownexus.localhost")),
    ],
)
def test_passkeys_hold_at_the_host_and_the_origin_of_the_console(url: str, place: Place) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("console.example", "no scheme and host"),
        ("ftp://console.example", "no scheme and host"),
        ("https://", "no scheme and host"),
        ("https://köln.example", "in ASCII"),
        ("https://console.example/function/console", "more than scheme, host and port"),
        ("https://ann@console.example", "more than scheme, host and port"),
        ("https://192.0.2.1", "has an IP address"),
        ("http://127.0.0.1:8080", "has an IP address"),
        ("https://[::1]:8080", "has an IP address"),
        ("http://console.example", "over TLS and on localhost only"),
        ("https://console.example:99999", "Port out of range"),
    ],
)
def test_a_console_url_that_does_not_fit_keeps_the_function_from_starting(
    start: Start, statements: Statements, url: str, told: str
) -> None:
    with pytest.raises(MissingSettingError, match="environment variable console_url: ") as refused:
        start(statements, console_url=url)
    assert told in str(refused.value)
    assert "it must be like https://console.example" in str(refused.value)


def test_without_a_console_url_or_at_another_address_the_page_says_what_would_help(
    start: Start, statements: Statements
) -> None:
    off = ask(start(statements, console_url=""), "GET", "/me/passkeys", of=Access.VIEWER).text
    assert "the setting CONSOLE_URL, the address of this console, is not set" in off
    elsewhere = ask(start(statements), "GET", "/me/passkeys", of=Access.VIEWER).text
    assert "Passkeys work only at http://localhost:8080" in elsewhere
    right = {"X-Forwarded-Host": "localhost:8080"}
    here = ask(start(statements), "GET", "/me/passkeys", of=Access.VIEWER, headers=right).text
    assert "<pass-key create" in here
    form = {"name": "my key", "current": PASSWORD}
    refused = ask(
        start(statements, console_url=""), "POST", "/me/passkeys/options", of=Access.VIEWER, form=form
    )
    assert (refused.status_code, "need the setting console_url" in refused.text) == (409, True)


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\nb"])
def test_a_passkey_s_name_is_short_and_of_one_line(start: Start, statements: Statements, name: str) -> None:
    form = {"name": name, "current": PASSWORD, "credential": "{}"}
    for path in ("/me/passkeys/options", "/me/passkeys"):
        answer = ask(start(statements), "POST", path, of=Access.VIEWER, form=form)
        assert (answer.status_code, "1 to 60 characters" in answer.text) == (422, True)


def test_a_browser_is_asked_for_a_verified_user_and_not_for_a_device_that_has_one() -> None:
    there = [Known(b"\1\2", ["usb", "nfc"])]
    asked = json.loads(creation_options(PLACE, 7, "ann", b"c" * 32, there))
    assert asked["rp"] == {"name": "Flow Nexus", "id": "localhost"}
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert asked["excludeCredentials"] == [{"id": "AQI", "type": "public-key", "transports": ["usb", "nfc"]}]
    asked = json.loads(request_options(PLACE, b"c" * 32, there))
    assert (asked["rpId"], asked["userVerification"]) == ("localhost", "required")
    assert [each["id"] for each in asked["allowCredentials"]] == ["AQI"]


class Ceremony:
    """A passkey that was made, and a use of it that is wrong in one part."""

    def __init__(self) -> None:
        self.device = Authenticator()
        challenge = new_challenge()
        asked = json.loads(creation_options(PLACE, 7, "ann", challenge, []))
        self.made = new_passkey(PLACE, challenge, self.device.make(asked))
        self.challenge = new_challenge()
        self.asked = json.loads(request_options(PLACE, self.challenge, []))

    def count(self, answer: str) -> int:
        return sign_count_of(PLACE, self.challenge, answer, self.made.public_key)


def test_a_passkey_that_signs_the_challenge_is_taken_with_its_count() -> None:
    ceremony = Ceremony()
    answer = ceremony.device.use(ceremony.asked)
    assert ceremony.count(answer) == 1
    assert credential_id_of(answer) == ceremony.made.credential_id == ceremony.device.id


def _is_unverified(device: Authenticator) -> None:
    device.flags = PRESENT


def _is_absent(device: Authenticator) -> None:
    device.flags = VERIFIED


def _is_elsewhere(device: Authenticator) -> None:
    device.origin = "http://localhost.evil.example"


def _is_of_another_port(device: Authenticator) -> None:
    device.origin = "http://localhost:81"


def _is_of_another_site(device: Authenticator) -> None:
    device.host = "evil.example"


@pytest.mark.parametrize(
    "spoil", [_is_unverified, _is_absent, _is_elsewhere, _is_of_another_port, _is_of_another_site]
)
def test_a_passkey_of_elsewhere_or_of_nobody_is_refused(spoil: Callable[[Authenticator], None]) -> None:
    ceremony = Ceremony()
    spoil(ceremony.device)
    with pytest.raises(PasskeyRefusedError):
        ceremony.count(ceremony.device.use(ceremony.asked))
    with pytest.raises(PasskeyRefusedError):
        new_passkey(PLACE, ceremony.challenge, ceremony.device.make(ceremony.asked))


def test_a_signature_of_another_key_or_challenge_or_purpose_is_refused() -> None:
    ceremony = Ceremony()
    with pytest.raises(PasskeyRefusedError, match="signature"):
        ceremony.count(Authenticator().use(ceremony.asked))
    other = json.loads(request_options(PLACE, new_challenge(), []))
    with pytest.raises(PasskeyRefusedError, match="challenge"):
        ceremony.count(ceremony.device.use(other))
    with pytest.raises(PasskeyRefusedError, match="type"):
        ceremony.count(ceremony.device.use(ceremony.asked, type="webauthn.create"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
RESPONSE = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "transports", "userHandle"),
        JSON | st.text(alphabet="AZaz09-_", max_size=60),
    ),
)
ANSWERS = (
    st.text(max_size=20)
    | JSON.map(json.dumps)
    | st.fixed_dictionaries(
        {"id": st.just("AQI"), "rawId": st.just("AQI"), "type": st.just("public-key"), "response": RESPONSE}
    ).map(json.dumps)
)


@given(ANSWERS)
def test_what_is_no_answer_of_a_passkey_is_refused_and_nothing_else_happens(answer: str) -> None:
    for read in (
        lambda: new_passkey(PLACE, b"c" * 32, answer),
        lambda: sign_count_of(PLACE, b"c" * 32, answer, b""),
    ):
        with pytest.raises(PasskeyRefusedError):
            read()


@given(st.binary(max_size=400), st.booleans())
def test_attestations_of_any_bytes_are_refused(content: bytes, of_right_site: bool) -> None:
    """The bytes go as far as they can: the client's data before them are right."""
    if of_right_site:
        content = hashlib.sha256(b"localhost").digest() + b"\x45" + content
    client = {"type": "webauthn.get", "challenge": in_base64(b"c" * 32), "origin": PLACE.origin}
    answer = {
        "id": "AQI",
        "rawId": "AQI",
        "type": "public-key",
        "response": {
            "clientDataJSON": in_base64(json.dumps(client).encode()),
            "authenticatorData": in_base64(content),
            "signature": "AQI",
            "attestationObject": in_base64(content),
        },
    }
    with pytest.raises(PasskeyRefusedError):
        sign_count_of(PLACE, b"c" * 32, json.dumps(answer), content)
    client["type"] = "webauthn.create"
    answer["response"]["clientDataJSON"] = in_base64(json.dumps(client).encode())  # type: ignore[index]
    with pytest.raises(PasskeyRefusedError):
        new_passkey(PLACE, b"c" * 32, json.dumps(answer))
