"""Whom to call for what: the gateway's list of functions and their annotations. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

CRON_TOPIC = "cron-function"
CONSUMER_PREFIX = "flownexus_"


@dataclass(frozen=True)
class Function:
    """A function that wants to be called."""

    name: str
    namespace: str = ""
    subjects: tuple[str, ...] = ()
    """NATS subjects, wildcards allowed; none of them is covered by another."""
    schedule: str | None = None
    """When to call it, as a cron expression; not checked."""
    batch: int = 1
    """How many messages that come at the same time it takes in one call."""

    @property
    def path(self) -> str:
        """Return its name as the gateway's URLs have it: <name>.<namespace>."""
        return f"{self.name}.{self.namespace}" if self.namespace else self.name

    @property
    def consumer(self) -> str:
        """Return the name of its durable consumer; one function, one name."""
        return f"{CONSUMER_PREFIX}{_safe(self.namespace)}_{_safe(self.name)}"


@dataclass(frozen=True)
class Listing:
    """What the gateway's list says, and what of it cannot be done."""

    functions: tuple[Function, ...]
    complaints: tuple[str, ...]


def read_listing(body: object, under: str) -> Listing:
    """Read the answer of GET /system/functions; only subjects under the prefix `under` are ours.

    Raises ValueError where it is not a list of functions.
    """
    if body is None:  # Go's way to write an empty list
        body = []
    if not isinstance(body, list):
        raise ValueError("the gateway's list of functions is not a list")  # noqa: TRY004  # of its content
    functions: list[Function] = []
    complaints: list[str] = []
    for entry in body:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"]:
            raise ValueError("an entry of the gateway's list of functions has no name")
        function, troubles = _read_function(entry, under)
        complaints += troubles
        if function.subjects or function.schedule is not None:
            functions.append(function)
    return Listing(tuple(sorted(functions, key=lambda f: (f.namespace, f.name))), tuple(complaints))


def _read_function(entry: Mapping[str, object], under: str) -> tuple[Function, list[str]]:
    name, namespace = str(entry["name"]), str(entry.get("namespace") or "")
    annotations = entry.get("annotations")
    if not isinstance(annotations, Mapping):
        annotations = {}
    topics = [topic.strip() for topic in str(annotations.get("topic") or "").split(",") if topic.strip()]
    schedule: str | None = None
    subjects: list[str] = []
    complaints: list[str] = []
    batch = str(annotations.get("batch") or "1")
    if not re.fullmatch(r"[1-9][0-9]{0,3}", batch):
        complaints.append(f"function {name}: batch {batch!r} is not a number from 1 to 9999, so it is 1")
        batch = "1"
    for topic in topics:
        if topic == CRON_TOPIC:
            schedule = str(annotations.get("schedule") or "")
        elif topic.split(".")[0] != under:
            complaints.append(
                f"function {name}: topic {topic} is not under {under}., so it is not for this connector"
            )
        elif not is_subject(topic):
            complaints.append(f"function {name}: topic {topic!r} is not a NATS subject")
        else:
            subjects.append(topic)
    return Function(name, namespace, without_covered(subjects), schedule, int(batch)), complaints


def is_subject(text: str) -> bool:
    """Say whether the text can be subscribed to: tokens with dots between, '*' for one, '>' for the rest."""
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        return False
    *tokens, last = text.split(".")
    return all(_is_token(token) for token in tokens) and (last == ">" or _is_token(last))


def _is_token(text: str) -> bool:
    return text == "*" or bool(re.fullmatch(r"[^*>]+", text))


def covers(wide: str, narrow: str) -> bool:
    """Say whether every subject that `narrow` matches is matched by `wide`."""
    ours, theirs = wide.split("."), narrow.split(".")
    for place, word in enumerate(ours):
        if word == ">":
            return len(theirs) > place
        if place >= len(theirs) or theirs[place] == ">" or word not in ("*", theirs[place]):
            return False
    return len(ours) == len(theirs)


def without_covered(subjects: list[str]) -> tuple[str, ...]:
    """Leave out what another one covers: JetStream does not take filters that overlap."""
    unique = list(dict.fromkeys(subjects))
    return tuple(one for one in unique if not any(other != one and covers(other, one) for other in unique))


def _safe(name: str) -> str:
    """Write a name with what consumer names may hold; names of Kubernetes stay as they are."""
    return re.sub(r"[^A-Za-z0-9-]", lambda found: f"={ord(found[0]):X}=", name)
