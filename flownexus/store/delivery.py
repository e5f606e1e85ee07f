"""Webhook deliveries: a batch, its mark and its dead letters in one transaction.

An envelope's items are numbered within (source, webhook kind, lane). The mark is the highest number stored;
its row is locked first, so that the same batch, posted twice or to two replicas at once, is stored once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import BadRequestError
from flownexus.lwm2m.node import Rejection
from flownexus.lwm2m.webhook import (
    BadItemError,
    Body,
    Envelope,
    EventType,
    Item,
    parse_body,
    parse_item,
    rejection_of,
)
from flownexus.store import queries
from flownexus.store.endpoint import PresenceEvent, apply_presence
from flownexus.store.pool import transaction
from flownexus.store.telemetry import Telemetry, file_under


class Kind(StrEnum):
    """The webhooks, each with numbers of its own."""

    SINGLE = "single"
    COMPOSITE = "composite"
    REGISTRATION = "registration"


class Parsed(NamedTuple):
    """One item of a batch: its place there, what it says (None if it is no item), what is wrong in it."""

    place: int
    item: Item | None
    rejections: Sequence[Rejection]


@dataclass
class Outcome:
    """What became of a delivery."""

    stored: int = 0
    skipped: int = 0
    mark: int | None = None
    rejected: list[dict[str, Any]] = field(default_factory=list)
    presence: list[tuple[EventType, str]] = field(default_factory=list)
    """The registration events stored, with their endpoints, for who waits for them."""

    def as_json(self) -> dict[str, Any]:
        """Return the answer to the sender."""
        return {
            "stored": self.stored,
            "skipped": self.skipped,
            "mark": self.mark,
            "rejected": self.rejected,
        }


def parse(kind: Kind, raw_body: bytes) -> tuple[Body, list[Parsed]]:
    """Read a body of one of the webhooks; raise BadRequestError where it is none of the shapes."""
    body = parse_body(raw_body)
    parsed = []
    for index, raw in enumerate(body.items):
        try:
            item = parse_item(raw, composite=kind is Kind.COMPOSITE)
            if kind is Kind.REGISTRATION and item.event_type is None and item.readings:
                raise BadItemError(  # noqa: TRY301  # the same refusal as parse_item's own
                    "not a registration event: obj_id must be 10240 and val.id 0 (registered),"
                    " 1 (unregistered) or 2 (updated)"
                )
        except BadItemError as error:
            if body.alone:
                raise BadRequestError(f"not one of the documented shapes: {error}") from None
            parsed.append(Parsed(index, None, [rejection_of(raw, str(error))]))
        else:
            parsed.append(Parsed(index, item, item.rejected))
    return body, parsed


def deliver(pool: ConnectionPool, telemetry: Telemetry, kind: Kind, raw_body: bytes) -> Outcome:
    """Store a webhook's body: what is new of it, once, and all of it or nothing.

    Raises BadRequestError for what is not one of the shapes and UnavailableError where PostgreSQL is away.
    """
    body, parsed = parse(kind, raw_body)
    received = datetime.now(UTC)

    def attempt(store: Callable[[_Delivery, Sequence[Parsed]], None]) -> Outcome:
        def work(connection: Connection) -> tuple[Outcome, _Delivery]:
            delivery = _Delivery(connection, telemetry, kind, body.envelope, received)
            return delivery.run(parsed, store), delivery

        outcome, delivery = transaction(pool, work)
        delivery.committed()
        return outcome

    try:
        return attempt(_Delivery.store)
    except (psycopg.DataError, psycopg.IntegrityError):
        # Something in the batch that PostgreSQL refuses and we did not foresee: find it, keep the rest.
        return attempt(_Delivery.store_by_halves)


class _Delivery:
    """One transaction's work on one body."""

    def __init__(
        self,
        connection: Connection,
        telemetry: Telemetry,
        kind: Kind,
        envelope: Envelope | None,
        received: datetime,
    ) -> None:
        self._connection = connection
        self._telemetry = telemetry
        self._kind = kind
        self._envelope = envelope
        self._received = received
        self._outcome = Outcome()
        self._after_commit: list[Callable[[], None]] = []

    def run(self, parsed: Sequence[Parsed], store: Callable[[_Delivery, Sequence[Parsed]], None]) -> Outcome:
        if self._envelope is not None:
            parsed = self._skip_repeated(parsed, self._envelope)
        if parsed:
            store(self, parsed)
        return self._outcome

    def committed(self) -> None:
        for call in self._after_commit:
            call()

    def _skip_repeated(self, parsed: Sequence[Parsed], envelope: Envelope) -> Sequence[Parsed]:
        """Lock the mark, drop what lies at or below it, and move it."""
        key = {"source": envelope.source, "kind": str(self._kind), "lane": envelope.lane}
        mark: int = queries.lock_mark(self._connection, **key)
        repeated = min(max(mark - envelope.first_seq + 1, 0), len(parsed))
        last = envelope.first_seq + len(parsed) - 1
        if last > mark:
            gap = max(envelope.first_seq - mark - 1, 0)
            queries.move_mark(self._connection, **key, mark=last, gap=gap)
        self._outcome.skipped = repeated
        self._outcome.mark = max(mark, last)
        return parsed[repeated:]

    def store(self, parsed: Sequence[Parsed]) -> None:
        """Store items and their rejections."""
        items = [entry.item for entry in parsed if entry.item is not None and _has_something(entry)]
        if items:
            self._after_commit.append(self._telemetry.store(self._connection, items, self._received))
        self._apply_presence(items)
        for entry in parsed:
            for rejection in entry.rejections:
                self._reject(entry, rejection)
        self._outcome.stored += len(items)

    def store_by_halves(self, parsed: Sequence[Parsed]) -> None:
        """Store what PostgreSQL takes; what it refuses ends alone in dead_letter."""
        outcome = self._outcome
        lists: tuple[list[Any], ...] = (outcome.rejected, outcome.presence, self._after_commit)
        lengths = [len(entries) for entries in lists]
        stored = outcome.stored
        try:
            with self._connection.transaction():
                self.store(parsed)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            # The savepoint took back what was written; the same for what was noted of it.
            outcome.stored = stored
            for entries, length in zip(lists, lengths, strict=True):
                del entries[length:]
            if len(parsed) == 1:
                reason = f"PostgreSQL refuses it: {error.diag.message_primary}"
                for rejection in (Rejection("", reason, None), *parsed[0].rejections):
                    self._reject(parsed[0], rejection)
                return
            middle = len(parsed) // 2
            self.store_by_halves(parsed[:middle])
            self.store_by_halves(parsed[middle:])

    def _apply_presence(self, items: Sequence[Item]) -> None:
        told = [item for item in items if item.registration is not None]
        if not told:
            return
        endpoints = self._telemetry.catalog.endpoints(self._connection, (item.endpoint for item in told))
        events = []
        for item in told:
            assert item.event_type is not None  # noqa: S101  # it comes with the registration
            assert item.registration is not None  # noqa: S101
            seen_at = file_under(item.time_ms, self._received, self._telemetry.retention).time
            events.append(
                PresenceEvent(endpoints[item.endpoint], item.event_type, item.registration, seen_at)
            )
            self._outcome.presence.append((item.event_type, item.endpoint))
        apply_presence(self._connection, events)

    def _reject(self, entry: Parsed, rejection: Rejection) -> None:
        answer: dict[str, Any] = {"index": entry.place, "reason": rejection.reason}
        if rejection.path:
            answer["path"] = rejection.path
        self._outcome.rejected.append(answer)
        envelope = self._envelope
        queries.add_dead_letter(
            self._connection,
            kind=str(self._kind),
            reason=rejection.reason.replace("\0", "\\0"),
            item=_dead_item(entry, rejection),
            source=envelope and envelope.source,
            lane=envelope and envelope.lane,
            seq=envelope and envelope.first_seq + entry.place,
        )


def _has_something(entry: Parsed) -> bool:
    """Tell whether an item holds a value, or is an event by itself although nothing in it was refused."""
    assert entry.item is not None  # noqa: S101  # the caller has looked
    return bool(entry.item.readings) or not entry.rejections


def _dead_item(entry: Parsed, rejection: Rejection) -> str:
    """Write what was refused as ASCII JSON, which PostgreSQL can always hold."""
    if entry.item is None:
        return json.dumps(rejection.node)
    item = entry.item
    node = rejection.node
    if node is None:
        node = [[str(reading.path), str(reading.data_type), repr(reading.value)] for reading in item.readings]
    return json.dumps({"ep": item.endpoint, "ts": item.time_ms, "path": rejection.path, "node": node})
