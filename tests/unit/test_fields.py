"""Structs out of what requests say: what a refusal names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from flownexus.errors import BadRequestError, ValidationFailedError
from flownexus.fields import read_object
from flownexus.web.body import json_body
from flownexus.web.bootstrap import Batch as Keys
from flownexus.web.credentials import MAX_BATCH, Batch
from flownexus.web.enrolling import Wanted

GOOD = {"endpoint": "a", "mode": "psk"}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (GOOD | {"mode": "pskk"}, "mode: psk, rpk or x509"),
        (GOOD | {"key": "zz"}, "key: of psk: 16 to 64 bytes in hex .*"),
        ({"mode": "psk"}, "endpoint: is missing; it is the endpoint's name: .*"),
        (GOOD | {"endpoint": ""}, "endpoint: the endpoint's name: .*"),
        (GOOD | {"expires_at": "tomorrow"}, "expires_at: a time with its offset.*"),
        (GOOD | {"expires_at": "9999-12-31T23:59:59-01:00"}, "expires_at: a time with its offset.*"),
        (GOOD | {"expires_at": "0001-01-01T00:00:00+01:00"}, "expires_at: a time with its offset.*"),
        (GOOD | {"expires": "x"}, "expires: is unknown; there is endpoint, mode, .*"),
        ({"mode": "x", "endpoint": ""}, "endpoint: the endpoint's name: .*; mode: psk, rpk or x509"),
        ("a", "it is a JSON object with endpoint, mode, .*"),
    ],
)
def test_an_element_that_is_not_valid_is_named_with_its_place(bad: Any, says: str) -> None:
    with pytest.raises(ValidationFailedError) as refused:
        read_object(Batch, {"credentials": [GOOD, bad, bad]})
    assert re.fullmatch(f"credentials, number 2: {says}", refused.value.detail)


@pytest.mark.parametrize("given", [[], [GOOD] * (MAX_BATCH + 1), "a", None, {"endpoint": "a"}])
def test_a_list_that_is_none_or_of_another_length_is_named_itself(given: object) -> None:
    with pytest.raises(ValidationFailedError) as refused:
        read_object(Batch, {"credentials": given})
    assert refused.value.detail == f"credentials: 1 to {MAX_BATCH} of them"


def test_all_elements_are_read() -> None:
    assert read_object(Batch, {"credentials": [GOOD, GOOD]}).credentials == [Wanted("a", "psk")] * 2
    [wanted] = read_object(
        Batch, {"credentials": [GOOD | {"expires_at": "2026-01-02T03:04:05+02:00"}]}
    ).credentials
    assert wanted.expires_at == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert wanted.expires_at.tzinfo is UTC
    with pytest.raises(ValidationFailedError) as refused:
        read_object(Keys, {"keys": [{"endpoint": "a"}, {"endpoint": "b", "profile": "B"}]})
    assert refused.value.detail.startswith("keys, number 2: profile: a profile's name")


@pytest.mark.parametrize(
    ("body", "is_told"), [("UTC", True), ("2026-01-02", True), ("", False), ('{"a"', False), (' "a', False)]
)
def test_a_text_without_quotes_is_told_that_it_needs_them(body: str, *, is_told: bool) -> None:
    with Flask("t").test_request_context(data=body), pytest.raises(BadRequestError) as refused:
        json_body()
    assert refused.value.detail.endswith('; a text needs quotes, as in "UTC"') == is_told
