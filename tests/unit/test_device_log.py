"""What devices write in their logs, and what is read of it."""

from __future__ import annotations

import contextlib
import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flownexus.lwm2m import cbor
from flownexus.lwm2m.device_log import MAX_LINES, MAX_MESSAGE, Entry, Severity, new_entries, parse_log

SYSLOG = (
    "<165>1 2026-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
    '[exampleSDID@32473 iut="3" eventSource="Application \\] x"][b@1] \ufeffAn application event'
)
"""As RFC 5424, 6.5, example 3."""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        ("", []),
        (b"boot\r\n\r\nready\n", [Entry("boot"), Entry("ready")]),
        ("Käse ☃".encode(), [Entry("Käse ☃")]),
        (b"\x1b[31mhot\x1b[0m", [Entry("\x1b[31mhot\x1b[0m")]),
        (
            SYSLOG.encode(),
            [
                Entry(
                    "An application event",
                    datetime(2026, 10, 11, 22, 14, 15, 3000, UTC),
                    Severity.NOTICE,
                    "evntslog",
                )
            ],
        ),
        (
            b"<34>1 2026-10-11T22:14:15.003Z host - - - - 'su root' failed",
            [
                Entry(
                    "'su root' failed",
                    datetime(2026, 10, 11, 22, 14, 15, 3000, UTC),
                    Severity.CRITICAL,
                    "host",
                )
            ],
        ),
        (b"<13>1 - - - - - -", [Entry("", None, Severity.NOTICE)]),
        (b"<11> old style", [Entry("old style", severity=Severity.ERROR)]),
        (b"<999>1 - - - - - - x", [Entry("<999>1 - - - - - - x")]),
        (b"\x00\x01\xff", [Entry(None, raw=b"\x00\x01\xff")]),
        (b"text\x00text", [Entry(None, raw=b"text\x00text")]),
        (b"\xff\xfe", [Entry(None, raw=b"\xff\xfe")]),
        ("a text\x00 of a STRING", [Entry("a text\N{REPLACEMENT CHARACTER} of a STRING")]),
        (
            (
                b'[{"time": 1790000000, "severity": "WARN", "source": "main", "message": "hot"},'
                b' {"time": 1790000000500, "severity": 3, "message": "on fire"},'
                b' {"time": "2026-10-11T22:14:15+02:00", "message": ""}]'
            ),
            [
                Entry("hot", datetime.fromtimestamp(1790000000, UTC), Severity.WARNING, "main"),
                Entry("on fire", datetime.fromtimestamp(1790000000.5, UTC), Severity.ERROR),
                Entry("", datetime(2026, 10, 11, 20, 14, 15, tzinfo=UTC)),
            ],
        ),
        (
            b'[{"time": 1e300, "severity": "purple", "source": 7, "message": "odd"}]',
            [Entry("odd")],
        ),
        (b'[{"severity": 9, "message": "no such"}]', [Entry("no such")]),
        (b'[{"severity": true, "message": "no such"}]', [Entry("no such")]),
        # JSON can say half a character, which no UTF-8 has.
        (
            rb'[{"message": "half \ud83d", "source": "\udE00"}, {"message": "\ud83d\ude00"}]',
            [
                Entry("half \N{REPLACEMENT CHARACTER}", source="\N{REPLACEMENT CHARACTER}"),
                Entry("\N{GRINNING FACE}"),
            ],
        ),
        # An array of something else is lines of text.
        (b"[main] ready", [Entry("[main] ready")]),
        (b'["a", "b"]', [Entry('["a", "b"]')]),
        (b"[]", [Entry("[]")]),
        (b"[" * 100_000, [Entry("[" * MAX_MESSAGE)]),
        # [{"time": 1790000000, "severity": 4, "source": "main", "message": "hot"}]
        (
            bytes.fromhex(
                "81a46474696d651a6ab13b806873657665726974790466736f75726365646d61696e676d65737361676563686f74"
            ),
            [Entry("hot", datetime.fromtimestamp(0x6AB13B80, UTC), Severity.WARNING, "main")],
        ),
        (b"\x81\x01", [Entry(None, raw=b"\x81\x01")]),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", [Entry(None, raw=b"\x9b" + b"\xff" * 8)]),
    ],
)
def test_a_log_is_read_in_each_form(content: bytes | str, expected: list[Entry]) -> None:
    assert parse_log(content) == expected


def test_what_is_too_much_is_bounded() -> None:
    entries = parse_log(b"x\n" * (MAX_LINES + 5))
    assert len(entries) == MAX_LINES + 1
    assert entries[-1] == Entry("x\n" * 4 + "x")
    assert parse_log(b"y" * (MAX_MESSAGE + 1)) == [Entry("y" * MAX_MESSAGE)]
    assert parse_log(b"\xff" * (MAX_MESSAGE + 1)) == [Entry(None, raw=b"\xff" * MAX_MESSAGE)]


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_whatever_comes_has_entries_that_can_be_kept(content: bytes | str) -> None:
    entries = parse_log(content)
    assert bool(entries) <= bool(content)
    for entry in entries:
        assert (entry.message is None) != (entry.raw is None)
        assert "\0" not in (entry.message or "") + (entry.source or "")
        assert entry.time is None or entry.time.tzinfo is not None


LINES = st.lists(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12), max_size=30
)


@given(LINES, LINES, st.integers(0, 400))
def test_of_a_log_that_grows_and_forgets_each_line_is_told_once(
    old: list[str], new: list[str], limit: int
) -> None:
    """As object 20 of a device that holds so many bytes, and tells all of them each time."""
    numbered = [f"{n:04} {line}\n".encode() for n, line in enumerate([*old, *new])]
    before = b"".join(numbered[: len(old)])[-limit - 1 :]
    now = b"".join(numbered)[-limit - 1 :]
    added = b"".join(numbered[len(old) :])
    assume(len(added) < len(now))  # else some was lost between, and all that there is is new
    told = b"".join(f"{entry.message}\n".encode() for entry in new_entries(before, now))
    assert told == added


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.integers(0, 3), max_size=8), st.integers(1, 10))
def test_of_an_array_that_grows_and_forgets_the_new_elements_are_told(
    old: list[int], new: list[int], limit: int
) -> None:
    elements = [{"time": 1_790_000_000 + n, "message": str(each)} for n, each in enumerate([*old, *new])]
    before = json.dumps(elements[: len(old)][-limit:]).encode()
    now = json.dumps(elements[-limit:]).encode()
    if not elements:
        return
    told = [entry.message for entry in new_entries(before, now)]
    assert told == [str(each) for each in new][-limit:]


def test_a_log_that_was_cleared_is_told_anew() -> None:
    assert new_entries(b"one\ntwo\n", b"three\n") == [Entry("three")]
    assert new_entries(b"one\ntwo\n", b"") == []
    assert new_entries(b"one\ntwo\n", b"one\ntwo\n") == []


def test_to_find_what_is_new_takes_a_time_that_grows_with_the_length_alone() -> None:
    entries = new_entries(b"a" * 200_000, b"a" * 100_000 + b"\nb")
    assert entries[-1] == Entry("b")


# ---------------------------------------------------------------------------------------------------------
# CBOR


def encoded(value: Any) -> bytes:
    """Write CBOR as RFC 8949 has it, in its shortest form."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    match value:
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case list():
            return head(4, len(value)) + b"".join(map(encoded, value))
        case dict():
            return head(5, len(value)) + b"".join(encoded(k) + encoded(v) for k, v in value.items())
    raise AssertionError(value)


def head(major: int, argument: int) -> bytes:
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 24:
            return bytes([major << 5 | argument])
        if argument < 1 << 8 * size:
            return bytes([major << 5 | info]) + argument.to_bytes(size, "big")
    raise AssertionError(argument)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=9)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_as_cbor_is_read_back(value: Any) -> None:
    assert cbor.decode(encoded(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("f90000", 0.0), ("f93c00", 1.0), ("f97bff", 65504.0), ("fa47c35000", 100000.0),
        ("f97c00", float("inf")),
        ("f97e00", None), ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z"),
        ("c11a514b67b0", 1363896240), ("5f42010243030405ff", b"\1\2\3\4\5"),
        ("7f657374726561646d696e67ff", "streaming"),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]), ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("f7", None), ("a201020304", {1: 2, 3: 4}),
    ],
)  # fmt: skip
def test_examples_of_rfc_8949_are_read(text: str, value: Any) -> None:
    assert cbor.decode(bytes.fromhex(text)) == value


@given(st.binary(max_size=60))
def test_whatever_comes_is_cbor_or_refused(data: bytes) -> None:
    with contextlib.suppress(cbor.BadCborError):
        cbor.decode(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1c",
        "81",
        "ff",
        "9f01",
        "a1",
        "a18001",
        "61ff",
        "bf01ff",
        "5f6161ff",
        "0000",
        "81" * 30 + "01",
        "f8ff",
    ],
)
def test_what_is_no_cbor_is_refused(text: str) -> None:
    with pytest.raises(cbor.BadCborError):
        cbor.decode(bytes.fromhex(text))
