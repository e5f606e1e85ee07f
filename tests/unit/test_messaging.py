"""Endpoint names as subject tokens, hints, and how the NATS URL is read."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.errors import MissingSettingError
from flownexus.messaging.connection import Servers, backoff
from flownexus.messaging.publisher import Publisher
from flownexus.messaging.subjects import MAX_SUBJECT_LENGTH, Hint, HintKind, endpoint_name, token

any_text = st.text(st.characters(codec=None), max_size=400)  # lone surrogates included: JSON can say them


@pytest.mark.parametrize("name", ["sim-0001", "urn:imei:356938035643809", "A_b-9", "x" * 300])
def test_plain_names_stay_as_they_are(name: str) -> None:
    assert token(name) == name
    assert endpoint_name(name) == name


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.b", "a%2Eb"),
        ("it's *>", "it%27s%20%2A%3E"),
        ("50%", "50%25"),
        ("~", "%7E"),
        ("é", "%C3%A9"),
        ("\ud800", "%ED%A0%80"),
        ("", "~"),
        ("😀" * 300, None),
    ],
)
def test_other_characters_are_escaped(name: str, written: str | None) -> None:
    assert written is None or token(name) == written
    assert endpoint_name(token(name)) == name


def test_a_long_name_of_emoji_stays_short_enough_for_the_server() -> None:
    assert len(token("😀" * 400)) < MAX_SUBJECT_LENGTH


@given(any_text)
def test_a_token_is_one_token_and_reads_back(name: str) -> None:
    written = token(name)
    assert re.fullmatch(r"[A-Za-z0-9_:~%-]+", written)
    assert endpoint_name(written) == name


@given(any_text, any_text)
def test_two_names_have_two_tokens(one: str, other: str) -> None:
    assert (token(one) == token(other)) == (one == other)


@given(st.one_of(st.text(max_size=20), st.from_regex(r"~?[A-Za-z0-9_:~%-]*", fullmatch=True)))
def test_whatever_is_read_is_written_the_same_way(text: str) -> None:
    try:
        name = endpoint_name(text)
    except ValueError as error:
        assert "endpoint name" in str(error)  # noqa: PT017  # most inputs are refused, some are not
    else:
        assert token(name) == text


@pytest.mark.parametrize(
    "text", ["", "a.b", "%", "%4", "%zz", "%2e", "%41", "~!", "~YQ", "~YR==", "é", "%FF"]
)
def test_what_is_not_a_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="endpoint name"):
        endpoint_name(text)


@pytest.mark.parametrize("kind", list(HintKind))
def test_a_hint_has_a_subject_and_says_the_endpoint(kind: HintKind) -> None:
    hint = Hint(kind, "a.b 😀")
    assert hint.subject == f"lwm2m.{kind.value}.a%2Eb%20%F0%9F%98%80"
    assert json.loads(hint.payload) == {"ep": "a.b 😀"}


def test_the_url_s_credentials_are_read_but_not_shown() -> None:
    servers = Servers.of("nats://me:p%40ss%2F@h1, tls://h2:5222")
    assert servers.urls == ("nats://h1:4222", "tls://h2:5222")
    assert (servers.user, servers.password, servers.token) == ("me", "p@ss/", None)
    assert "p@ss" not in f"{servers} {servers!r}"
    assert "me" not in f"{servers} {servers!r}"


def test_a_token_may_stand_in_place_of_user_and_password() -> None:
    servers = Servers.of("nats://sesame@[::1]:1")
    assert (servers.urls, servers.token, servers.user) == (("nats://[::1]:1",), "sesame", None)


@pytest.mark.parametrize(
    "url", ["", "secret", "http://u:secret@h", "nats://u:secret@", "nats://u:secret@h:port"]
)
def test_a_bad_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(MissingSettingError) as refusal:
        Publisher(url)
    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@given(st.integers(0, 10_000))
def test_waits_grow_and_are_bounded(attempt: int) -> None:
    wait = backoff(attempt, base=1, cap=30)
    assert min(30, 2.0 ** min(attempt, 10)) / 2 <= wait <= min(30, 2.0 ** min(attempt, 10))
