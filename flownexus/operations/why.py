"""Explain in one sentence why an operation is still open, or how it ended. Pure.

next_operation() in the database decides which QUEUED operation is sent. This module finds which of its
conditions blocks an operation, in this order: its own time, its device, its attempts, other operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import Any, Final, NamedTuple

from flownexus.lwm2m.path import Path
from flownexus.operations.lifecycle import MAX_ANSWERED_ATTEMPTS, Status, Verdict

MAX_CONTACTS: Final = 31
"""The number of last contacts from which a device's rhythm is derived."""
MIN_GAPS: Final = 9
"""The fewest gaps between contacts that make a rhythm.

If n gaps are exchangeable, the next one lies between the shortest and the longest of them with probability
(n - 1) / (n + 1), which is 0.8 from 9 on.
"""
MIN_GAPS_WITH_OUTLIERS: Final = 20
"""From this many gaps on, the shortest and the longest are ignored; the probability is (n - 3) / (n + 1)."""
MAX_UNANSWERED: Final = 3
"""A device with this many unanswered operations gets no other one, as in next_operation()."""
_SECURITY_OBJECT: Final = 0
"""A registration never lists it (OMA LwM2M Core 1.1, 6.2.1)."""


class Cause(StrEnum):
    """What an operation waits for, or how it ended."""

    CONFIRMED = "confirmed"
    FAILED = "failed"
    NOT_AMONG_OBJECTS = "not-among-objects"
    """The device answered Not Found, and its registration does not list the path."""
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    """A newer write to the same path replaced it."""
    EXPIRED = "expired"
    UNDER_WAY = "under-way"
    NOT_BEFORE = "not-before"
    """Its user set a time before which it must not be sent."""
    NEVER_REGISTERED = "never-registered"
    OFFLINE = "offline"
    """The device has deregistered, or its registration has ended."""
    ASLEEP = "asleep"
    """The device has slept since its last contact, or Leshan has no registration of it."""
    OTHER_UNDER_WAY = "other-under-way"
    TOO_MANY_UNANSWERED = "too-many-unanswered"
    AWAITS_CONTACT = "awaits-contact"
    """The device did not answer it; it waits for the next contact."""
    RETRY_DELAY = "retry-delay"
    """The device answered with a transient error; the retry is scheduled."""
    SAME_TARGET = "same-target"
    OTHERS_FIRST = "others-first"
    LESHAN_AWAY = "leshan-away"
    DUE = "due"
    """Nothing blocks it."""


class Facts(NamedTuple):
    """The state of an operation, its endpoint and the endpoint's other operations at `now`."""

    id: int
    endpoint: str
    status: str
    targets: Sequence[str]
    attempts: int
    reason: str | None
    last_verdict: str | None
    coap_status: str | None
    last_attempt_at: datetime | None
    finished_at: datetime | None
    not_before: datetime | None
    expires_at: datetime | None
    superseded_by: int | None
    now: datetime
    registered: bool
    first_seen_at: datetime
    last_seen_at: datetime | None
    registered_until: datetime | None
    objects: Sequence[str] | None
    unreachable: bool
    """Since its last contact the device was found asleep or not registered."""
    awaits_contact: bool
    unanswered: int
    """How many of the device's operations wait for its next contact."""
    sending: int | None
    """The device's operation in progress since `sending_since`."""
    sending_since: datetime | None
    older_of_target: int | None
    """The older operation for the same target that it waits for."""
    next: int | None
    """The operation of the device that may be sent now."""
    next_has_priority: bool | None
    contacts: Sequence[datetime]
    """The device's last registered, updated and heard events, the newest first."""
    deregistered_at: datetime | None


class Expected(NamedTuple):
    """The device's expected next contact, by its rhythm or its lifetime; a lifetime gives only `until`."""

    by: str
    until: datetime
    at: datetime | None = None
    earliest: datetime | None = None


@dataclass(frozen=True)
class Why:
    """A cause, its sentence, and the fields that the sentence mentions."""

    cause: Cause
    sentence: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        return {"cause": str(self.cause), "why": self.sentence, **_shown(self.fields)}


def _shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _shown(value)
        if isinstance(value, Mapping)
        else value.isoformat()
        if isinstance(value, datetime)
        else value
        for name, value in fields.items()
    }


def why(facts: Facts) -> Why:
    """Explain why an operation is still open, or how it ended."""
    match facts.status:
        case Status.QUEUED:
            return _with_missing(_of_queued(facts), facts)
        case Status.SENDING:
            since = facts.last_attempt_at
            return Why(
                Cause.UNDER_WAY,
                f"It has been in progress since {_time(since)}: attempt {facts.attempts}.",
                {"since": since, "attempt": facts.attempts},
            )
        case _:
            return _of_ended(facts)


def _of_ended(facts: Facts) -> Why:
    at, attempts = facts.finished_at, _times(facts.attempts)
    fields = {"at": at, "attempts": facts.attempts, "reason": facts.reason}
    because = f": {facts.reason}." if facts.reason else "."
    missing = missing_of(facts.targets, facts.objects)
    if facts.status == Status.CONFIRMED:
        return Why(
            Cause.CONFIRMED, f"The device confirmed it at {_time(at)}; it was sent {attempts}.", fields
        )
    if facts.superseded_by is not None:
        return Why(
            Cause.SUPERSEDED,
            f"Operation {facts.superseded_by}, a newer write to the same path, replaced it at {_time(at)}.",
            {**fields, "superseded_by": facts.superseded_by},
        )
    if facts.status == Status.CANCELLED:
        return Why(Cause.CANCELLED, f"It was cancelled at {_time(at)}{because}", fields)
    if facts.status == Status.EXPIRED:
        return Why(Cause.EXPIRED, f"It ended at {_time(at)}{because}", fields)
    if missing and (facts.coap_status or "").endswith("(404)"):
        return Why(
            Cause.NOT_AMONG_OBJECTS,
            f"It failed at {_time(at)}: {facts.endpoint} answered {facts.coap_status}, and its registration "
            f"does not list {' or '.join(missing)}.",
            {**fields, "missing": missing},
        )
    return Why(Cause.FAILED, f"It failed at {_time(at)} after it was sent {attempts}{because}", fields)


def _of_queued(facts: Facts) -> Why:
    if facts.next == facts.id:
        return _of_next(facts)
    return _of_its_time(facts) or _of_its_device(facts) or _of_its_attempts(facts) or _of_the_others(facts)


def _of_next(facts: Facts) -> Why:
    if facts.last_verdict == Verdict.AWAY:
        return Why(
            Cause.LESHAN_AWAY,
            f"Leshan did not accept a request at {_time(facts.last_attempt_at)}: {facts.reason}; "
            "it is retried every few seconds.",
            {"since": facts.last_attempt_at, "reason": facts.reason},
        )
    return Why(Cause.DUE, "Nothing blocks it: it is sent within seconds.")


def _of_its_time(facts: Facts) -> Why | None:
    if facts.expires_at is not None and facts.expires_at <= facts.now:
        return Why(
            Cause.EXPIRED,
            f"It expired at {_time(facts.expires_at)} and ends within seconds.",
            {"at": facts.expires_at, "attempts": facts.attempts, "reason": facts.reason},
        )
    if facts.last_attempt_at is None and facts.not_before is not None and facts.not_before > facts.now:
        return Why(
            Cause.NOT_BEFORE,
            f"It must not be sent before {_time(facts.not_before)}.",
            {"until": facts.not_before},
        )
    return None


def _of_its_device(facts: Facts) -> Why | None:
    name = facts.endpoint
    known_since = facts.registered_until or facts.deregistered_at or max(facts.contacts, default=None)
    if known_since is None and not facts.registered:
        return Why(
            Cause.NEVER_REGISTERED,
            f"{name} has never registered; it has been known since {_time(facts.first_seen_at)}.",
            {"since": facts.first_seen_at},
        )
    if facts.registered_until is not None and facts.registered_until <= facts.now:
        return Why(
            Cause.OFFLINE,
            f"{name} has been offline since {_time(facts.registered_until)}, when its registration ended: "
            f"its last contact was at {_time(facts.last_seen_at)}.",
            {"since": facts.registered_until, "last_seen": facts.last_seen_at},
        )
    if not facts.registered:
        since = facts.deregistered_at or facts.last_seen_at
        return Why(
            Cause.OFFLINE,
            f"{name} has been offline since {_time(since)}: it deregistered, or its lifetime ended.",
            {"since": since, "last_seen": facts.last_seen_at},
        )
    if facts.unreachable:
        told = facts.reason if facts.last_verdict == Verdict.ABSENT else "it sleeps, or has no registration"
        return _until_contact(
            Cause.ASLEEP,
            f"{name} cannot be reached until its next contact: {told}",
            facts,
            {"reason": told},
        )
    if facts.sending is not None:
        return Why(
            Cause.OTHER_UNDER_WAY,
            f"Operation {facts.sending} has been in progress at {name} since {_time(facts.sending_since)}, "
            "and a device gets one at a time.",
            {"operation": facts.sending, "since": facts.sending_since},
        )
    return None


def _of_its_attempts(facts: Facts) -> Why | None:
    if facts.awaits_contact:
        return _until_contact(
            Cause.AWAITS_CONTACT,
            f"It was sent {_times(facts.attempts)} and is sent again at the next contact of "
            f"{facts.endpoint}: {facts.reason}",
            facts,
            {"attempts": facts.attempts, "reason": facts.reason},
        )
    if facts.unanswered >= MAX_UNANSWERED:
        return _until_contact(
            Cause.TOO_MANY_UNANSWERED,
            f"{facts.endpoint} has left {facts.unanswered} operations unanswered and gets no other one until "
            "its next contact",
            facts,
            {"unanswered": facts.unanswered},
        )
    if facts.not_before is not None and facts.not_before > facts.now:
        return Why(
            Cause.RETRY_DELAY,
            f"{facts.endpoint} answered with an error; attempt {facts.attempts + 1} of "
            f"{MAX_ANSWERED_ATTEMPTS} is at {_time(facts.not_before)}: {facts.reason}.",
            {"until": facts.not_before, "attempts": facts.attempts, "reason": facts.reason},
        )
    return None


def _of_the_others(facts: Facts) -> Why:
    if facts.older_of_target is not None:
        return Why(
            Cause.SAME_TARGET,
            f"It waits for operation {facts.older_of_target}, which is older and has the same target.",
            {"operation": facts.older_of_target},
        )
    if facts.next is not None:
        rank = "has a higher priority" if facts.next_has_priority else "is older"
        return Why(
            Cause.OTHERS_FIRST,
            f"Operation {facts.next} of {facts.endpoint} goes first: it {rank}.",
            {"operation": facts.next},
        )
    return _of_next(facts)  # what blocked it ended while the facts were read


def _until_contact(cause: Cause, sentence: str, facts: Facts, fields: Mapping[str, Any]) -> Why:
    """Add when the device's next contact is expected."""
    expected = expected_contact(facts)
    if expected is None:
        return Why(cause, f"{sentence}.", {**fields, "expected": None})
    if expected.until <= facts.now:
        told = f"the contact was expected by {_time(expected.until)}"
    elif expected.at is None or expected.earliest is None:
        told = f"the contact is due before {_time(expected.until)}, when its registration ends"
    else:
        told = (
            f"the contact is expected at about {_time(expected.at)}, between {_time(expected.earliest)} "
            f"and {_time(expected.until)}"
        )
    return Why(cause, f"{sentence}; {told}.", {**fields, "expected": expected._asdict()})


def expected_contact(facts: Facts) -> Expected | None:
    """Return the expected next contact of an operation's device, or None if unknown."""
    return next_contact(facts.contacts, facts.last_seen_at, facts.registered_until)


def next_contact(
    contacts: Sequence[datetime], last_seen_at: datetime | None, registered_until: datetime | None
) -> Expected | None:
    """Return the expected next contact of a device, or None if unknown; `contacts` are the newest first.

    It follows from the gaps between the last contacts: their median, and a span that contains the next
    contact with a probability of at least 0.8. With too few contacts it follows from the lifetime.
    """
    # A message that it sends while awake updates last_seen_at but is no contact.
    last = contacts[0] if contacts else last_seen_at
    gaps = sorted(newer - older for newer, older in pairwise(contacts))
    if last is not None and len(gaps) >= MIN_GAPS:
        outliers = int(len(gaps) >= MIN_GAPS_WITH_OUTLIERS)
        at = last + timedelta(seconds=median(gap.total_seconds() for gap in gaps))
        return Expected("rhythm", last + gaps[-1 - outliers], at, last + gaps[outliers])
    return None if registered_until is None else Expected("lifetime", registered_until)


def _with_missing(told: Why, facts: Facts) -> Why:
    """Add the targets that the registration does not list, which the device is likely to reject."""
    missing = missing_of(facts.targets, facts.objects)
    if not missing:
        return told
    return Why(
        told.cause,
        f"{told.sentence.removesuffix('.')}; its registration does not list {' or '.join(missing)}.",
        {**told.fields, "missing": missing},
    )


def missing_of(targets: Sequence[str], objects: Sequence[str] | None) -> list[str]:
    """Return the objects and object instances of targets that a registration does not list.

    `objects` are its object instances, such as /3/0, or /5 for an object without instances; None: unknown.
    """
    if objects is None:
        return []
    instances = set(objects)
    known = instances | {f"/{Path.parse(each).object_id}" for each in objects}
    wanted = dict.fromkeys(Path(*Path.parse(target).ids[:2]) for target in targets)
    return [str(path) for path in wanted if path.object_id != _SECURITY_OBJECT and str(path) not in known]


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _time(time: datetime | None) -> str:
    return "an unknown time" if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"
