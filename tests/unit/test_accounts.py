"""Accounts of the console: passwords, throttling, tokens, the second factor, the chain of the audit log."""

from __future__ import annotations

import hashlib
import json
import statistics
import time

import pyotp
import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from flownexus.accounts.audit import Chain, Entry, follow
from flownexus.accounts.passwords import MAX_HASHES_WAITING, Fault, PasswordHashes, fault_of
from flownexus.accounts.role import Role, as_name
from flownexus.accounts.second_factor import (
    STEP_S,
    new_recovery_codes,
    new_secret,
    recovery_digest,
    step_of_code,
    uri,
)
from flownexus.accounts.throttle import OF_ACCOUNT, OF_ADDRESS, wait_s
from flownexus.accounts.tokens import digest, form_token, is_form_token, new_token
from flownexus.errors import TooManyError

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.mark.parametrize(
    "password",
    [
        "seven green llamas at noon",
        "eleven purple kettles sing",
        "grün-blaue Elefanten tanzen",
        "жёлтые слоны танцуют",
        "Tr7#mQ2$xK9!vB4&",
        "               six spaces and more",
    ],
)
def test_a_password_of_words_or_of_whatever_is_taken_without_rules_of_composition(password: str) -> None:
    assert fault_of(password, ("ann", "flownexus", "http://console.example")) is None


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("", Fault.SHORT),
        ("fourteen chars", Fault.SHORT),
        ("ﬁ" * 7, Fault.SHORT),  # 14 characters in the form that is kept
        ("x y" * 86, Fault.LONG),
        ("passwordpassword", Fault.COMMON),
        ("Password123456789!", Fault.COMMON),
        ("123456789012345", Fault.COMMON),
        ("qwertyuiopasdfgh", Fault.COMMON),
        ("aaaaaaaaaaaaaaaaaaaa", Fault.COMMON),
        ("correct horse battery staple", Fault.COMMON),
        ("Flow Nexus console 2026", Fault.COMMON),
        ("annabel.smith1990", Fault.COMMON),
        ("letmein letmein letmein", Fault.COMMON),
    ],
)
def test_a_password_that_is_guessed_first_is_refused(password: str, fault: Fault) -> None:
    assert fault_of(password, ("annabel.smith@example.com", "flownexus")) is fault


def test_a_password_fits_whatever_form_its_characters_were_typed_in() -> None:
    hashes = PasswordHashes(CHEAP)
    kept = hashes.of("schöne Grüße aus Köln")
    assert hashes.fits("schöne Grüße aus Köln", kept)
    assert not hashes.fits("schone Grusse aus Koln", kept)
    assert not hashes.fits("", kept)
    assert not hashes.fits("schöne Grüße aus Köln", None)
    assert not hashes.fits("schöne Grüße aus Köln", "no hash")


def test_a_password_is_kept_by_argon2id_with_64_mib_and_another_salt_each_time() -> None:
    hashes = PasswordHashes()
    one, other = hashes.of("the same"), hashes.of("the same")
    assert one != other
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PasswordHashes().is_weaker(CHEAP.hash("x"))
    assert not PasswordHashes().is_weaker(one)


def test_who_is_not_there_is_answered_in_the_time_of_who_is() -> None:
    hashes = PasswordHashes()
    kept = hashes.of("seven green llamas at noon")
    hashes.fits("the first", None)  # makes the hash of nobody

    def taken(of: str | None) -> float:
        began = time.perf_counter()
        hashes.fits("eleven purple kettles sing", of)
        return time.perf_counter() - began

    there, nobody = [], []
    for _ in range(7):
        there.append(taken(kept))
        nobody.append(taken(None))
    assert 0.5 < statistics.median(there) / statistics.median(nobody) < 2


def test_who_signs_in_takes_no_more_than_some_threads() -> None:
    hashes = PasswordHashes(CHEAP)
    for _ in range(MAX_HASHES_WAITING):
        hashes._waiting.acquire()
    with pytest.raises(TooManyError, match="try again in a few seconds"):
        hashes.fits("x", None)
    hashes._waiting.release()
    assert hashes.of("x")


def test_the_first_attempts_are_free_and_then_the_wait_grows_to_a_quarter_of_an_hour() -> None:
    waits = [wait_s(attempts, OF_ACCOUNT) for attempts in range(1, 21)]
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:9] == [1, 2, 4, 8, 16]
    assert waits == sorted(waits)
    assert waits[-1] == 900
    assert wait_s(10**9, OF_ACCOUNT) == 900
    assert wait_s(29, OF_ADDRESS) == 0


@given(st.text(), st.text())
def test_a_form_token_is_right_for_its_session_alone(one: str, other: str) -> None:
    token = form_token(one)
    assert is_form_token(token, one)
    assert is_form_token(token, other) == (
        one.encode("utf-8", "surrogateescape") == other.encode("utf-8", "surrogateescape")
    )
    assert not is_form_token(other, one)


def test_a_form_token_is_another_one_each_time() -> None:
    assert len({form_token("session") for _ in range(100)}) == 100


def test_tokens_have_256_bits() -> None:
    assert {len(new_token()) for _ in range(10)} == {43}
    assert digest("a") == hashlib.sha256(b"a").digest()


def test_a_code_is_right_within_a_step_of_its_time_and_once() -> None:
    secret, now = new_secret(), 1_795_000_000.0
    step = int(now) // STEP_S
    for ahead in (-1, 0, 1):
        code = pyotp.TOTP(secret).generate_otp(step + ahead)
        assert step_of_code(secret, f" {code[:3]} {code[3:]} ", now, None) == step + ahead
        assert step_of_code(secret, code, now, step + ahead) is None
    for ahead in (-2, 2):
        assert step_of_code(secret, pyotp.TOTP(secret).generate_otp(step + ahead), now, None) is None


def test_a_code_is_that_of_rfc_6238() -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # the RFC's appendix B, in base32
    assert step_of_code(secret, "287082", 59, None) == 1
    assert step_of_code(secret, "081804", 1_111_111_109, None) == 37_037_036
    assert "secret=" + secret in uri(secret, "ann")


def test_recovery_codes_are_many_and_taken_however_they_are_typed() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == 10
    assert all(len(code) == 19 for code in codes)
    assert recovery_digest(codes[0].upper().replace("-", " ")) == recovery_digest(codes[0])


@pytest.mark.parametrize(
    ("typed", "name"),
    [(" Ann ", "ann"), ("ann.b@example.com", "ann.b@example.com"), ("1-2_3", "1-2_3"), ("a" * 64, "a" * 64),
     ("", None), ("a" * 65, None),
     ("-a", None), ("a b", None), ("ann\n", "ann"), ("änn", None), ("a/b", None)],
)  # fmt: skip
def test_a_name_is_of_letters_that_everybody_can_type(typed: str, name: str | None) -> None:
    assert as_name(typed) == name


def test_a_role_includes_those_before_it() -> None:
    assert [[one.includes(other) for other in Role] for one in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def chain_of(*actions: str) -> list[Entry]:
    entries: list[Entry] = []
    for number, action in enumerate(actions, 1):
        previous = entries[-1].hash.hex() if entries else ""
        text = json.dumps({"id": number, "action": action, "previous": previous})
        entries.append(Entry(number, text, hashlib.sha256(text.encode()).digest()))
    return entries


def test_a_chain_is_whole_in_one_go_and_in_parts() -> None:
    entries = chain_of("a", "b", "c", "d")
    whole = follow(entries)
    assert whole == Chain(4, entries[-1].hash)
    assert follow(entries[2:], follow(entries[:2])) == whole
    assert follow([]) == Chain()


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_chain_is_broken_by_a_change_a_gap_and_an_entry_that_was_put_in(at: int) -> None:
    entries = chain_of("a", "b", "c", "d")
    changed = entries[at]._replace(text=entries[at].text.replace('"action"', '"Action"'))
    forged = changed._replace(hash=hashlib.sha256(changed.text.encode()).digest())
    assert follow([*entries[:at], changed, *entries[at + 1 :]]).broken_at == at + 1
    if at < 3:  # of a forged last entry only who kept its hash can tell
        assert follow([*entries[:at], forged, *entries[at + 1 :]]).broken_at == at + 2
        assert follow([*entries[:at], *entries[at + 1 :]]).broken_at == at + 2
    assert follow([*entries[:at], entries[at - 1], *entries[at:]]).broken_at == at
