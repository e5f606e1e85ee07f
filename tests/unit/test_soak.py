"""The soak finds what grows, and what is lost or doubled however the two sides come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.level import Limits, Series, thirds
from benchmarks.soak import Found, Sample
from chaos.uplink import Balance, Telemetry, Value

TENTH_MORE = Limits(factor=1.1)
MANY = 120  # samples


def series(*samples: float, limits: Limits = TENTH_MORE) -> Series:
    return Series("memory", samples, limits)


# ---------------------------------------------------------------------------------------------------------
# Level


def test_the_first_tenth_counts_for_neither_third() -> None:
    assert thirds(120) == (range(12, 48), range(84, 120))
    assert series(*[0.0] * 12, *[100.0] * 108).level


@given(st.integers(0, 1000))
def test_thirds_are_alike_apart_and_the_last_one_ends_the_run(count: int) -> None:
    first, last = thirds(count)
    assert len(first) == len(last) <= count / 3
    assert count * 0.1 - 0.5 <= first.start
    assert first.stop <= last.start
    assert last.stop == count


@given(st.floats(1, 1e9), st.lists(st.floats(0.97, 1.03), min_size=10, max_size=200))
def test_noise_is_level(size: float, noise: list[float]) -> None:
    assert series(*(size * each for each in noise)).level


@given(st.floats(1, 1e9), st.floats(0.25, 100), st.integers(10, 200))
def test_what_grows_steadily_is_found(size: float, growth: float, count: int) -> None:
    assert not series(*(size * (1 + growth * number / count) for number in range(count))).level


@given(st.floats(1, 1e9), st.floats(0, 0.1), st.integers(10, 200))
def test_what_grows_by_less_than_a_tenth_in_all_is_level(size: float, growth: float, count: int) -> None:
    assert series(*(size * (1 + growth * number / count) for number in range(count))).level


def test_a_leak_of_descriptors_is_found_and_two_more_are_not_one() -> None:
    def descriptors(more: float) -> Series:
        return series(*[30.0] * 60, *[30 + more] * 60, limits=Limits(more=2))

    assert descriptors(2).level
    assert not descriptors(3).level


def test_what_falls_is_level_unless_it_must_not() -> None:
    falling = [100.0] * 60 + [50.0] * 60
    assert series(*falling).level
    assert not series(*falling, limits=Limits(1.1, minimum=0.9)).level


def test_an_absolute_bound_does_not_ask_what_was_first() -> None:
    bound = Limits(factor=0, more=1000)
    assert series(*[0.0] * 60, *[900.0] * 60, limits=bound).level
    assert not series(*[5000.0] * 120, limits=bound).level


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_samples_are_not_level(count: int) -> None:
    assert not series(*[1.0] * count).level


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(1.1), "up to 1.1 times"),
        (Limits(more=2), "up to 2 more"),
        (Limits(0, 1750), "up to 1,750"),
        (Limits(0), "up to 0"),
        (Limits(1.1, minimum=0.9), "0.9 to 1.1 times"),
    ],
)
def test_limits_say_what_they_are(limits: Limits, text: str) -> None:
    assert str(limits) == text


# ---------------------------------------------------------------------------------------------------------
# The run


def sample(memory: float = 50, threads: float = 9, ended: int = 0, heap: float = 40) -> Sample:
    return Sample(
        memory={"leshan": memory},
        descriptors={"leshan": 60},
        threads={"leshan": threads},
        ended=ended,
        heap=heap,
        pending=5,
        spool=4,
        rate=3000,
    )


def not_level(*samples: Sample) -> list[str]:
    return [each.name for each in Found(6000, list(samples)).series if not each.level]


def test_a_run_in_which_nothing_grows_is_clean() -> None:
    assert Found(6000, [sample() for _ in range(MANY)]).clean


def test_each_quantity_that_grows_is_named() -> None:
    assert not_level(*(sample(memory=50 + n) for n in range(MANY))) == ["leshan: memory"]
    assert not_level(*(sample(threads=9 + n // 10) for n in range(MANY))) == ["leshan: threads"]
    assert not_level(*(sample(heap=40 + n) for n in range(MANY))) == ["Leshan's heap after a collection"]
    assert not_level(*(sample(ended=n // 100) for n in range(MANY))) == ["processes that ended"]


def test_a_run_without_samples_is_not_clean() -> None:
    assert not Found(6000).clean


# ---------------------------------------------------------------------------------------------------------
# Lost and doubled

values = st.lists(st.builds(Value, st.sampled_from("ab"), st.integers(0, 9)), max_size=20)


@given(values, values, values)
def test_the_balance_finds_what_the_whole_comparison_finds(
    acknowledged: list[Value], unacknowledged: list[Value], stored: list[Value]
) -> None:
    # No device sends a value twice, and each is acknowledged or not.
    acknowledged = list(dict.fromkeys(acknowledged))
    unacknowledged = list(set(unacknowledged) - set(acknowledged))
    whole, balance = Telemetry(acknowledged, unacknowledged, stored), Balance()
    for at in range(0, 20, 7):
        balance.add(acknowledged[at : at + 7], stored[at : at + 7])
    lost, surplus = balance.findings(unacknowledged)
    assert sorted(map(str, lost.found)) == sorted(map(str, whole.lost))
    assert {*surplus.found} == {*whole.doubled, *whole.unexplained}
    assert (lost.among, surplus.among) == (len(acknowledged), len(stored))


def test_the_balance_keeps_only_what_is_on_one_side() -> None:
    numbers = [Value("a", number) for number in range(1000)]
    balance = Balance()
    balance.add(numbers, numbers[:-1])
    assert balance.open == 1
    balance.add(stored=numbers[-1:])
    assert balance.open == 0
    assert all(finding.clean for finding in balance.findings([]))
