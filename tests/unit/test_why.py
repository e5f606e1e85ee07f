"""Why an operation has not ended: the sentence of each cause, and when a device is expected."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flownexus.operations.lifecycle import Verdict
from flownexus.operations.why import MAX_CONTACTS, Cause, Expected, Facts, expected_contact, missing_of, why

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def facts(**more: Any) -> Facts:
    """Return the facts of operation 7, the next one of a registered device."""
    columns: dict[str, Any] = dict.fromkeys(Facts._fields)
    return Facts(
        **columns
        | {"id": 7, "endpoint": "dev", "status": "QUEUED", "targets": ["/3303/0/5700"], "attempts": 0}
        | {"now": NOW, "registered": True, "first_seen_at": NOW - 60 * MINUTE, "unreachable": False}
        | {"last_seen_at": NOW - MINUTE, "registered_until": NOW + 4 * MINUTE, "awaits_contact": False}
        | {"unanswered": 0, "contacts": [], "objects": ["/3/0", "/3303/0"], "next": 7}
        | more
    )


def blocked(**more: Any) -> Facts:
    """Return the facts of an operation that something blocks."""
    return facts(**{"next": None, **more})


def every(gap: timedelta) -> list[datetime]:
    return [NOW - MINUTE - gap * place for place in range(MAX_CONTACTS)]


TRIED = {"last_attempt_at": NOW - MINUTE, "attempts": 1, "reason": "5.00", "last_verdict": Verdict.FAILED}
ENDED = {"finished_at": NOW, "attempts": 2, "next": None}


CASES = (
    (facts(), "due", "Nothing blocks it: it is sent within seconds."),
    (
        facts(**TRIED | {"last_verdict": Verdict.AWAY, "reason": "refused"}),
        "leshan-away",
        "Leshan did not accept a request at 2026-03-01T11:59:00Z: refused; it is retried every few seconds.",
    ),
    (
        facts(status="SENDING", **TRIED),
        "under-way",
        "It has been in progress since 2026-03-01T11:59:00Z: attempt 1.",
    ),
    (
        blocked(not_before=NOW + MINUTE, registered=False),
        "not-before",
        "It must not be sent before 2026-03-01T12:01:00Z.",
    ),
    (
        blocked(expires_at=NOW, not_before=NOW + MINUTE, registered=False),
        "expired",
        "It expired at 2026-03-01T12:00:00Z and ends within seconds.",
    ),
    (
        facts(status="EXPIRED", **ENDED, reason="it expired after 2 attempts: no answer"),
        "expired",
        "It ended at 2026-03-01T12:00:00Z: it expired after 2 attempts: no answer.",
    ),
    (
        blocked(registered=False, last_seen_at=None, registered_until=None),
        "never-registered",
        "dev has never registered; it has been known since 2026-03-01T11:00:00Z.",
    ),
    (
        blocked(registered_until=NOW - MINUTE, unreachable=True),
        "offline",
        (
            "dev has been offline since 2026-03-01T11:59:00Z, when its registration ended: its last "
            "contact was at 2026-03-01T11:59:00Z."
        ),
    ),
    (
        blocked(registered=False, registered_until=None, deregistered_at=NOW - MINUTE / 2),
        "offline",
        "dev has been offline since 2026-03-01T11:59:30Z: it deregistered, or its lifetime ended.",
    ),
    (
        blocked(unreachable=True, last_verdict=Verdict.ABSENT, reason="the device sleeps"),
        "asleep",
        (
            "dev cannot be reached until its next contact: the device sleeps; the contact is due "
            "before 2026-03-01T12:04:00Z, when its registration ends."
        ),
    ),
    (
        blocked(unreachable=True, registered_until=None),
        "asleep",
        "dev cannot be reached until its next contact: it sleeps, or has no registration.",
    ),
    (
        blocked(sending=5, sending_since=NOW - MINUTE),
        "other-under-way",
        (
            "Operation 5 has been in progress at dev since 2026-03-01T11:59:00Z, and a device gets one at "
            "a time."
        ),
    ),
    (
        blocked(awaits_contact=True, unanswered=3, contacts=every(5 * MINUTE), **TRIED),
        "awaits-contact",
        (
            "It was sent once and is sent again at the next contact of dev: 5.00; "
            "the contact is expected at about 2026-03-01T12:04:00Z, between 2026-03-01T12:04:00Z and "
            "2026-03-01T12:04:00Z."
        ),
    ),
    (
        blocked(unanswered=3, contacts=every(MINUTE / 2)),
        "too-many-unanswered",
        (
            "dev has left 3 operations unanswered and gets no other one until its next contact; the "
            "contact was expected by 2026-03-01T11:59:30Z."
        ),
    ),
    (
        blocked(not_before=NOW + MINUTE, **TRIED),
        "retry-delay",
        "dev answered with an error; attempt 2 of 4 is at 2026-03-01T12:01:00Z: 5.00.",
    ),
    (
        blocked(older_of_target=5, next=4),
        "same-target",
        "It waits for operation 5, which is older and has the same target.",
    ),
    (
        blocked(next=9, next_has_priority=True),
        "others-first",
        "Operation 9 of dev goes first: it has a higher priority.",
    ),
    (
        blocked(next=4, next_has_priority=False, objects=["/3/0"]),
        "others-first",
        "Operation 4 of dev goes first: it is older; its registration does not list /3303/0.",
    ),
    (blocked(), "due", "Nothing blocks it: it is sent within seconds."),
    (
        facts(status="CONFIRMED", **ENDED),
        "confirmed",
        "The device confirmed it at 2026-03-01T12:00:00Z; it was sent twice.",
    ),
    (
        facts(status="FAILED", **ENDED, reason="no answer", objects=[]),
        "failed",
        "It failed at 2026-03-01T12:00:00Z after it was sent twice: no answer.",
    ),
    (
        facts(status="FAILED", **ENDED, coap_status="NOT_FOUND(404)", targets=["/5/0/1"]),
        "not-among-objects",
        (
            "It failed at 2026-03-01T12:00:00Z: dev answered NOT_FOUND(404), and its registration does not "
            "list /5/0."
        ),
    ),
    (
        facts(status="FAILED", **ENDED, coap_status="NOT_FOUND(404)", reason="NOT_FOUND(404)"),
        "failed",
        "It failed at 2026-03-01T12:00:00Z after it was sent twice: NOT_FOUND(404).",
    ),
    (
        facts(status="CANCELLED", **ENDED, reason="cancelled by its user"),
        "cancelled",
        "It was cancelled at 2026-03-01T12:00:00Z: cancelled by its user.",
    ),
    (
        facts(status="CANCELLED", **ENDED, reason="superseded by operation 8", superseded_by=8),
        "superseded",
        "Operation 8, a newer write to the same path, replaced it at 2026-03-01T12:00:00Z.",
    ),
)


@pytest.mark.parametrize(("given", "cause", "sentence"), CASES)
def test_each_cause_has_its_sentence(given: Facts, cause: str, sentence: str) -> None:
    told = why(given)
    assert (told.cause, told.sentence) == (cause, sentence)
    assert json.loads(json.dumps(told.as_json()))["why"] == sentence


def test_each_cause_has_a_case_here() -> None:
    assert {cause for _, cause, _ in CASES} == set(Cause)


def test_a_sentence_s_times_and_names_are_fields_too() -> None:
    told = why(blocked(awaits_contact=True, contacts=every(5 * MINUTE), objects=["/3/0"], **TRIED)).as_json()
    assert told.pop("why").endswith("its registration does not list /3303/0.")
    at = "2026-03-01T12:04:00+00:00"
    assert told == {
        "cause": "awaits-contact",
        "attempts": 1,
        "reason": "5.00",
        "expected": {"by": "rhythm", "until": at, "at": at, "earliest": at},
        "missing": ["/3303/0"],
    }


@pytest.mark.parametrize(
    ("targets", "objects", "missing"),
    [
        (["/3303/0/5700"], ["/3303/0"], []),
        (["/3303/1/5700", "/3303/1/5601"], ["/3303/0"], ["/3303/1"]),
        (["/3303"], ["/3303/7"], []),
        (["/5"], ["/5"], []),
        (["/5/0/1"], ["/5"], ["/5/0"]),
        (["/0/0/1"], ["/1/0"], []),
        (["/3/0", "/4", "/6/0"], ["/3/0"], ["/4", "/6/0"]),
        (["/9"], None, []),
    ],
)
def test_what_a_registration_does_not_name_is_missing(
    targets: list[str], objects: list[str] | None, missing: list[str]
) -> None:
    assert missing_of(targets, objects) == missing


def test_a_device_of_few_contacts_is_expected_by_its_lifetime() -> None:
    until = NOW + 4 * MINUTE
    assert expected_contact(facts(contacts=every(MINUTE)[:9])) == Expected("lifetime", until)
    assert expected_contact(facts(contacts=every(MINUTE)[:10])) == Expected("rhythm", NOW, NOW, NOW)
    assert expected_contact(facts(registered_until=None)) is None


def steady(chance: random.Random) -> float:
    return 300 + chance.uniform(-5, 5)


def with_lost_updates(chance: random.Random) -> float:
    return 60 * chance.choice([1] * 9 + [2]) + chance.gauss(0, 2)


def at_random(chance: random.Random) -> float:
    return chance.expovariate(1 / 900)


def in_bursts(chance: random.Random) -> float:
    return chance.choice([5.0, 5.0, 5.0, 3600.0]) * chance.uniform(0.9, 1.1)


@pytest.mark.parametrize("gap", [steady, with_lost_updates, at_random, in_bursts])
def test_four_of_five_contacts_come_within_the_span_that_was_told(
    gap: Callable[[random.Random], float],
) -> None:
    chance = random.Random(13)

    def times() -> Iterator[datetime]:
        time = NOW
        while True:
            yield time
            time += timedelta(seconds=gap(chance))

    clock = times()
    contacts = [next(clock) for _ in range(10)]
    within = 0
    for _ in range(1000):
        newest = contacts[: -MAX_CONTACTS - 1 : -1]
        told = expected_contact(facts(contacts=newest, last_seen_at=newest[0] + timedelta(seconds=1)))
        assert told is not None
        assert told.earliest is not None
        contacts.append(next(clock))
        within += told.earliest <= contacts[-1] <= told.until
    assert within >= 800
