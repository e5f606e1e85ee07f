"""Why an operation has not ended, or how it did: one sentence, of what its rows say. Pure.

That nothing holds one that is QUEUED is the word of next_operation() in the database. What holds it, by the
conditions that stand there, is looked for in this order: its own time, its device, its attempts, the others.
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
"""How many contacts of a device its rhythm is taken from."""
MIN_GAPS: Final = 9
"""The fewest times between contacts that are a rhythm.

Of n times in no particular order the next one lies between the shortest and the longest with a probability of
(n - 1) / (n + 1): of 0.8 from 9 on.
"""
MIN_GAPS_WITH_OUTLIERS: Final = 20
"""Of so many, the shortest and the longest are left out: of (n - 3) / (n + 1), and no outlier is a rhythm."""
MAX_UNANSWERED: Final = 3
"""A device that has left so many operations unanswered is sent no other one, as next_operation() has it."""
_SECURITY_OBJECT: Final = 0
"""No registration names it (OMA LwM2M Core 1.1, 6.2.1)."""


class Cause(StrEnum):
    """What an operation waits for, or how it ended."""

    CONFIRMED = "confirmed"
    FAILED = "failed"
    NOT_AMONG_OBJECTS = "not-among-objects"
    """The device has not found the path, which its registration does not name."""
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    """A newer write to its path took its place."""
    EXPIRED = "expired"
    UNDER_WAY = "under-way"
    NOT_BEFORE = "not-before"
    """Its user asked for it from a time on."""
    NEVER_REGISTERED = "never-registered"
    OFFLINE = "offline"
    """The device has deregistered, or its registration is over."""
    ASLEEP = "asleep"
    """Since its last contact the device sleeps, or Leshan has no registration of it."""
    OTHER_UNDER_WAY = "other-under-way"
    TOO_MANY_UNANSWERED = "too-many-unanswered"
    AWAITS_CONTACT = "awaits-contact"
    """It was not answered, and waits for the device's next contact."""
    RETRY_DELAY = "retry-delay"
    """The device answered with an error that may pass, and is asked again at a time."""
    SAME_TARGET = "same-target"
    OTHERS_FIRST = "others-first"
    LESHAN_AWAY = "leshan-away"
    DUE = "due"
    """Nothing holds it."""


class Facts(NamedTuple):
    """What the rows of an operation, its endpoint and the endpoint's other operations say, at `now`."""

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
    """Its device was found asleep or not registered since its last contact."""
    awaits_contact: bool
    unanswered: int
    """How many of the device's operations wait for its next contact."""
    sending: int | None
    """The operation of the device that is under way, since `sending_since`."""
    sending_since: datetime | None
    older_of_target: int | None
    """The operation that it waits for, of those that are for the same target."""
    next: int | None
    """The operation of the device that may be sent now."""
    next_has_priority: bool | None
    contacts: Sequence[datetime]
    """The device's last registered, updated and heard events, the newest first."""
    deregistered_at: datetime | None


class Expected(NamedTuple):
    """When a device is to be heard next, by its rhythm or its lifetime; that tells only `until`."""

    by: str
    until: datetime
    at: datetime | None = None
    earliest: datetime | None = None


@dataclass(frozen=True)
class Why:
    """A cause, the sentence that tells it, and the fields that the sentence speaks of."""

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
    """Say why an operation has not ended, or how it did."""
    match facts.status:
        case Status.QUEUED:
            return _with_missing(_of_queued(facts), facts)
        case Status.SENDING:
            since = facts.last_attempt_at
            return Why(
                Cause.UNDER_WAY,
                f"It has been under way since {_time(since)}: attempt {facts.attempts}.",
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
        return Why(Cause.CONFIRMED, f"The device did it at {_time(at)}, sent {attempts}.", fields)
    if facts.superseded_by is not None:
        return Why(
            Cause.SUPERSEDED,
            f"Operation {facts.superseded_by}, a newer write to the same path, took its place "
            f"at {_time(at)}.",
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
            f"does not name {' or '.join(missing)}.",
            {**fields, "missing": missing},
        )
    return Why(Cause.FAILED, f"It failed at {_time(at)}, sent {attempts}{because}", fields)


def _of_queued(facts: Facts) -> Why:
    if facts.next == facts.id:
        return _of_next(facts)
    return _of_its_time(facts) or _of_its_device(facts) or _of_its_attempts(facts) or _of_the_others(facts)


def _of_next(facts: Facts) -> Why:
    if facts.last_verdict == Verdict.AWAY:
        return Why(
            Cause.LESHAN_AWAY,
            f"Leshan took no request at {_time(facts.last_attempt_at)}: {facts.reason}; it is tried again "
            "every few seconds.",
            {"since": facts.last_attempt_at, "reason": facts.reason},
        )
    return Why(Cause.DUE, "Nothing holds it: it goes out in some seconds.")


def _of_its_time(facts: Facts) -> Why | None:
    if facts.expires_at is not None and facts.expires_at <= facts.now:
        return Why(
            Cause.EXPIRED,
            f"It expired at {_time(facts.expires_at)}, and ends in some seconds.",
            {"at": facts.expires_at, "attempts": facts.attempts, "reason": facts.reason},
        )
    if facts.last_attempt_at is None and facts.not_before is not None and facts.not_before > facts.now:
        return Why(
            Cause.NOT_BEFORE,
            f"It is not to be sent before {_time(facts.not_before)}.",
            {"until": facts.not_before},
        )
    return None


def _of_its_device(facts: Facts) -> Why | None:
    name = facts.endpoint
    known_since = facts.registered_until or facts.deregistered_at or max(facts.contacts, default=None)
    if known_since is None and not facts.registered:
        return Why(
            Cause.NEVER_REGISTERED,
            f"{name} has never registered since {_time(facts.first_seen_at)}, when it was first heard of.",
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
            f"{name} has been offline since {_time(since)}: it deregistered, or its lifetime was over.",
            {"since": since, "last_seen": facts.last_seen_at},
        )
    if facts.unreachable:
        told = facts.reason if facts.last_verdict == Verdict.ABSENT else "it sleeps, or has no registration"
        return _until_contact(
            Cause.ASLEEP,
            f"{name} cannot be reached before it is next heard: {told}",
            facts,
            {"reason": told},
        )
    if facts.sending is not None:
        return Why(
            Cause.OTHER_UNDER_WAY,
            f"Operation {facts.sending} has been under way at {name} since {_time(facts.sending_since)}, and "
            "a device is sent one at a time.",
            {"operation": facts.sending, "since": facts.sending_since},
        )
    return None


def _of_its_attempts(facts: Facts) -> Why | None:
    if facts.awaits_contact:
        return _until_contact(
            Cause.AWAITS_CONTACT,
            f"It was sent {_times(facts.attempts)}, waits until {facts.endpoint} is next heard, "
            f"and then goes again: {facts.reason}",
            facts,
            {"attempts": facts.attempts, "reason": facts.reason},
        )
    if facts.unanswered >= MAX_UNANSWERED:
        return _until_contact(
            Cause.TOO_MANY_UNANSWERED,
            f"{facts.endpoint} has left {facts.unanswered} operations unanswered, and is sent nothing before "
            "it is next heard",
            facts,
            {"unanswered": facts.unanswered},
        )
    if facts.not_before is not None and facts.not_before > facts.now:
        return Why(
            Cause.RETRY_DELAY,
            f"{facts.endpoint} failed at it, and is asked again at {_time(facts.not_before)}, attempt "
            f"{facts.attempts + 1} of {MAX_ANSWERED_ATTEMPTS}: {facts.reason}.",
            {"until": facts.not_before, "attempts": facts.attempts, "reason": facts.reason},
        )
    return None


def _of_the_others(facts: Facts) -> Why:
    if facts.older_of_target is not None:
        return Why(
            Cause.SAME_TARGET,
            f"It waits for operation {facts.older_of_target}, an older one for the same target.",
            {"operation": facts.older_of_target},
        )
    if facts.next is not None:
        rank = "has a higher priority" if facts.next_has_priority else "is older"
        return Why(
            Cause.OTHERS_FIRST,
            f"Operation {facts.next} of {facts.endpoint} goes first: it {rank}.",
            {"operation": facts.next},
        )
    return _of_next(facts)  # what held it has ended while the facts were read


def _until_contact(cause: Cause, sentence: str, facts: Facts, fields: Mapping[str, Any]) -> Why:
    """Add when the device's next contact is expected."""
    expected = expected_contact(facts)
    if expected is None:
        return Why(cause, f"{sentence}.", {**fields, "expected": None})
    if expected.until <= facts.now:
        told = f"that was expected by {_time(expected.until)}"
    elif expected.at is None or expected.earliest is None:
        told = f"that is to be before {_time(expected.until)}, when its registration ends"
    else:
        told = (
            f"that is expected at about {_time(expected.at)}, between {_time(expected.earliest)} "
            f"and {_time(expected.until)}"
        )
    return Why(cause, f"{sentence}; {told}.", {**fields, "expected": expected._asdict()})


def expected_contact(facts: Facts) -> Expected | None:
    """Return when an operation's device is to be heard next; None where nothing tells it."""
    return next_contact(facts.contacts, facts.last_seen_at, facts.registered_until)


def next_contact(
    contacts: Sequence[datetime], last_seen_at: datetime | None, registered_until: datetime | None
) -> Expected | None:
    """Return when a device with these last contacts, the newest first, is to be heard next; None: not known.

    By the times between its last contacts: their median, and a span in which the next one comes with a
    probability of at least 0.8. With too few of them by its lifetime.
    """
    # What it sends while it is awake is no contact, though it is seen by it.
    last = contacts[0] if contacts else last_seen_at
    gaps = sorted(newer - older for newer, older in pairwise(contacts))
    if last is not None and len(gaps) >= MIN_GAPS:
        outliers = int(len(gaps) >= MIN_GAPS_WITH_OUTLIERS)
        at = last + timedelta(seconds=median(gap.total_seconds() for gap in gaps))
        return Expected("rhythm", last + gaps[-1 - outliers], at, last + gaps[outliers])
    return None if registered_until is None else Expected("lifetime", registered_until)


def _with_missing(told: Why, facts: Facts) -> Why:
    """Add the targets that the device's registration does not name: it is likely to refuse it."""
    missing = missing_of(facts.targets, facts.objects)
    if not missing:
        return told
    return Why(
        told.cause,
        f"{told.sentence.removesuffix('.')}; its registration does not name {' or '.join(missing)}.",
        {**told.fields, "missing": missing},
    )


def missing_of(targets: Sequence[str], objects: Sequence[str] | None) -> list[str]:
    """Return the objects and object instances of targets that a registration does not name.

    `objects` are its object instances, such as /3/0; an object without instances as /5. None: not known.
    """
    if objects is None:
        return []
    instances = set(objects)
    known = instances | {f"/{Path.parse(each).object_id}" for each in objects}
    wanted = dict.fromkeys(Path(*Path.parse(target).ids[:2]) for target in targets)
    return [str(path) for path in wanted if path.object_id != _SECURITY_OBJECT and str(path) not in known]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _time(time: datetime | None) -> str:
    return "an unknown time" if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"
