"""The filter language: what it reads, how it is written, and what is wrong with what is no filter."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.operations.filter import (
    EVERYTHING,
    MAX_COMPARISONS,
    MAX_DEPTH,
    MAX_FILTER,
    AllOf,
    AnyOf,
    BadFilterError,
    Comparison,
    Field,
    Filter,
    Pattern,
    Presence,
    comparisons,
    is_tag_key,
    parse_filter,
)

NAME = Comparison(Field.NAME, "==", Pattern(("sim-", "")))
BERLIN = Comparison(Field.TAG, "==", Pattern(("berlin",)), "site")
NOT_1_2 = Comparison(Field.FIRMWARE, "!=", Pattern(("1.2",)))
ASLEEP = Comparison(Field.PRESENCE, "==", Presence.ASLEEP)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", EVERYTHING),
        ("  ", EVERYTHING),
        ("name==sim-*", NAME),
        ("name==sim-*;tag.site==berlin;fw!=1.2;presence==asleep", AllOf((NAME, BERLIN, NOT_1_2, ASLEEP))),
        ("name==sim-*;tag.site==berlin,fw!=1.2", AnyOf((AllOf((NAME, BERLIN)), NOT_1_2))),
        ("name==sim-*;(tag.site==berlin,fw!=1.2)", AllOf((NAME, AnyOf((BERLIN, NOT_1_2))))),
        (" name == sim-* ; ( tag.site == 'berlin' ) ", AllOf((NAME, BERLIN))),
        ("tag.site=in=(berlin)", BERLIN),
        (
            "tag.site=in=(berlin,'a b')",
            AnyOf((BERLIN, Comparison(Field.TAG, "==", Pattern(("a b",)), "site"))),
        ),
        (
            "fw=out=(1.2,1.3)",
            AllOf((NOT_1_2, Comparison(Field.FIRMWARE, "!=", Pattern(("1.3",))))),
        ),
        ("name=has=SIM", Comparison(Field.NAME, "=has=", Pattern(("SIM",)))),
        ("registered==false", Comparison(Field.REGISTERED, "==", False)),
        ("object==3303", Comparison(Field.OBJECT, "==", 3303)),
        ("last_seen=lt=-15m", Comparison(Field.LAST_SEEN, "<", timedelta(minutes=15))),
        (
            "last_seen>=2026-01-02T03:04:05+01:00",
            Comparison(Field.LAST_SEEN, ">=", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ),
        (r'name=="a\*b\"c*"', Comparison(Field.NAME, "==", Pattern(('a*b"c', "")))),
        ("name=='\N{PILE OF POO}; DROP TABLE endpoint'",
         Comparison(Field.NAME, "==", Pattern(("\N{PILE OF POO}; DROP TABLE endpoint",)))),
    ],
)  # fmt: skip
def test_a_filter_is_read(text: str, tree: Filter) -> None:
    assert parse_filter(text) == tree


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("nam==a", 1, "'nam' is no field; the fields are name, tag.KEY, fw, model, "),
        ("name==a;", 9, "here a comparison begins, with one of name, tag.KEY"),
        ("name=a", 5, "after name comes one of == != <="),
        ("name", 5, "after name comes one of =="),
        ("name==", 7, "here a value belongs; one with spaces"),
        ("name==a b", 9, "'b' does not belong here; terms are joined by ; (and) or , (or)"),
        ("name==a)", 8, "')' does not belong here"),
        ("name==a&fw==1", 11, "'=' does not belong here"),
        ("(name==a", 9, "the parenthesis is not closed; put a )"),
        ("name=in=a", 9, "after =in= come values in parentheses: name=in=(a,b)"),
        ("name=in=(a", 11, "the parenthesis is not closed"),
        ("name<a", 5, "name is compared by == != =in= =out= =has="),
        ("last_seen==-1h", 10, "last_seen is compared by < <= > >="),
        ("last_seen<yesterday", 11, "last_seen is a time such as 2026-01-02T03:04:05Z, or so long ago: -90s"),
        ("last_seen<2026-01-02T03:04:05", 11, "last_seen is a time such as"),
        ("last_seen<-9999999999d", 11, "last_seen is a time such as"),
        (
            "fw==1;presence==sleeping",
            17,
            "presence is one of registered, awake, asleep, offline, not 'sleeping'",
        ),
        ("registered==yes", 13, "registered is true or false, not 'yes'"),
        ("object==3303/0", 9, "object is an object id from 0 to 65534, such as 3303, not '3303/0'"),
        ("object==65535", 9, "object is an object id"),
        ("object==*", 9, "object is an object id"),
        ("tag==a", 1, "a tag is named by its key"),
        ("tag.==a", 1, "a tag is named by its key"),
        ("name.x==a", 1, "'name.x' is no field"),
        ("name=='a", 7, "here a value belongs"),
        ("name==a;fw==\0", 13, "a filter has no NUL characters"),
        ("name==\ud800", 7, "a filter has no NUL characters and no half characters"),
        ("x" * (MAX_FILTER + 1), MAX_FILTER + 1, "a filter has at most 2000 characters"),
        (",".join(["fw==1"] * (MAX_COMPARISONS + 1)), 601, "a filter compares at most 100 times"),
        ("(" * (MAX_DEPTH + 1), MAX_DEPTH + 2, "parentheses are nested more than 20 deep"),
    ],
)
def test_what_is_no_filter_is_told_by_its_column_and_what_would_be_right(
    text: str, column: int, reason: str
) -> None:
    with pytest.raises(BadFilterError) as caught:
        parse_filter(text)
    assert caught.value.detail.startswith(f"filter: column {column}: {reason}")


@pytest.mark.parametrize("key", ["site", "a", "A9", "rack.no-1_b", "x" * 63])
def test_a_tag_s_key_can_stand_in_a_filter_as_it_is(key: str) -> None:
    assert is_tag_key(key)
    assert parse_filter(f"tag.{key}==x") == Comparison(Field.TAG, "==", Pattern(("x",)), key)


@pytest.mark.parametrize("key", ["", "-a", "a-", ".a", "a b", "a/b", "ä", "x" * 64, "a;b"])
def test_what_can_not_is_no_key_of_a_tag(key: str) -> None:
    assert not is_tag_key(key)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", {"all": []}),
        (
            "name==a_%*,tag.site!=x",
            {
                "any": [
                    {"field": "name", "like": r"a\_\%%"},
                    {"not": {"field": "tag", "key": "site", "like": "x"}},
                ]
            },
        ),
        ("last_seen<=-1m", {"not": {"field": "last_seen", "operator": ">", "seconds_ago": 60.0}}),
        (
            "last_seen>2026-01-02T03:04:05Z",
            {"field": "last_seen", "operator": ">", "time": "2026-01-02T03:04:05+00:00"},
        ),
        (
            "object==3;registered==true",
            {"all": [{"field": "object", "value": 3}, {"field": "registered", "value": True}]},
        ),
    ],
)
def test_postgresql_is_handed_a_tree_as_a_parameter(text: str, shown: dict[str, Any]) -> None:
    assert parse_filter(text).as_json() == shown


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
PATTERNS = st.lists(TEXTS, min_size=1, max_size=3).map(tuple).map(Pattern)
EQUAL = st.sampled_from(["==", "!="])
TEXT_FIELDS = [Field.NAME, Field.FIRMWARE, Field.MODEL, Field.MANUFACTURER, Field.PROFILE]
KEYS = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,5}[a-zA-Z0-9])?", fullmatch=True)
TIMES = st.one_of(
    st.datetimes(timezones=st.just(UTC)),
    st.integers(0, 10**9).map(lambda seconds: timedelta(seconds=seconds)),
)
COMPARISONS = st.one_of(
    st.builds(Comparison, st.sampled_from(TEXT_FIELDS), EQUAL, PATTERNS),
    st.builds(Comparison, st.just(Field.TAG), EQUAL, PATTERNS, KEYS),
    st.builds(Comparison, st.just(Field.PRESENCE), EQUAL, st.sampled_from(Presence)),
    st.builds(Comparison, st.just(Field.REGISTERED), EQUAL, st.booleans()),
    st.builds(Comparison, st.just(Field.OBJECT), EQUAL, st.integers(0, 65534)),
    st.builds(Comparison, st.just(Field.LAST_SEEN), st.sampled_from(["<", "<=", ">", ">="]), TIMES),
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(tuple).map(AllOf),
        st.lists(inner, min_size=2, max_size=3).map(tuple).map(AnyOf),
    ),
    max_leaves=8,
)


@given(FILTERS)
def test_a_filter_that_is_written_is_read_as_the_same(tree: Filter) -> None:
    assert parse_filter(str(tree)) == tree


@given(st.text(st.sampled_from("nametagfw.*=!<>;,()'\"\\ 1-asleep\0\ud800"), max_size=40))
def test_any_text_is_a_filter_or_is_told_what_is_wrong(text: str) -> None:
    with contextlib.suppress(BadFilterError):
        assert len(list(comparisons(parse_filter(text)))) <= MAX_COMPARISONS
