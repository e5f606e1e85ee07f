"""Webhook deliveries: a batch, its mark and its dead letters in one transaction.

An envelope's items are numbered within (source, webhook kind, lane). The mark is the highest number stored;
its row is locked first, so that the same batch, posted twice or to two replicas at once, is stored once.

Read from the top: `Deliveries.deliver` takes a body, `_store` decides which transactions are tried, and
`_Batch.write` is what one transaction does.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final, TypeAlias

import psycopg
from psycopg_pool import ConnectionPool

from flownexus.errors import StatementTimeoutError, TooMuchError, UnavailableError
from flownexus.leshan.nodes import Rejection, hidden, resource_node
from flownexus.leshan.ordinary import ordinary_item
from flownexus.leshan.webhook import Entry, EventType, Item, Kind, Unforeseen, parse_items
from flownexus.leshan.webhook_body import Envelope, parse_body
from flownexus.lwm2m.secret import SECRET_OBJECTS
from flownexus.store import queries
from flownexus.store.endpoint import RegistrationEvent, apply_registration_events
from flownexus.store.group_commit import GroupCommit
from flownexus.store.pool import hurry
from flownexus.store.refusal import note_refusals
from flownexus.store.sightings import Sightings
from flownexus.store.telemetry import Telemetry
from flownexus.store.transaction import OF_NO_ROW, REFUSALS, Transaction, transaction
from flownexus.store.value_rows import MAX_INSERTED_VALUES
from flownexus.store.value_time import MAX_CLOCK_SKEW

log = logging.getLogger(__name__)

Entries: TypeAlias = Sequence[Entry]
"""The items of a body, or of a part of it."""

MAX_DEAD_LETTERS_PER_BODY: Final = 100
"""How many rejections of one body are kept and told; the others are counted."""
MAX_REASONS_TOLD: Final = 10
STORE_ONE_BY_ONE_FOR_S: Final = 18.0
"""Seconds after which bodies that shared a transaction in vain are no longer stored one by one."""


@dataclass
class DeliveryResult:
    """What became of a delivery; items are told by their place in it."""

    alone: bool = False
    """It was one item by itself."""
    stored: list[int] = field(default_factory=list)
    skipped: int = 0
    mark: int | None = None
    rejected: list[tuple[int, Rejection]] = field(default_factory=list)
    unforeseen: list[tuple[int, Rejection]] = field(default_factory=list)
    """Items that provoked a bug of ours, while they are told apart from the others that are rejected."""
    registrations: list[tuple[int, EventType, str]] = field(default_factory=list)
    """The registration events stored, with their endpoints, for who waits for them."""

    def add(self, other: DeliveryResult) -> None:
        """Add what became of other items."""
        self.stored += other.stored
        self.rejected += other.rejected
        self.registrations += other.registrations

    def part(self, first: int, count: int) -> DeliveryResult:
        """Return what became of the `count` items from place `first` on, without a mark."""
        places = range(first, first + count)
        return DeliveryResult(
            stored=[place - first for place in self.stored if place in places],
            rejected=[(place - first, rejection) for place, rejection in self.rejected if place in places],
            registrations=[
                (place - first, what, endpoint)
                for place, what, endpoint in self.registrations
                if place in places
            ],
        )

    def as_json(self) -> dict[str, Any]:
        """Return the answer to the sender."""
        more = len(self.rejected) - MAX_DEAD_LETTERS_PER_BODY
        return {
            "stored": len(self.stored),
            "skipped": self.skipped,
            "mark": self.mark,
            "rejected": [
                {"index": place, "reason": rejection.reason}
                | ({"path": rejection.path} if rejection.path else {})
                for place, rejection in self.rejected[:MAX_DEAD_LETTERS_PER_BODY]
            ],
        } | ({"more_rejected": more} if more > 0 else {})


class Deliveries:
    """Stores the bodies of one kind of webhook.

    Small ones without an envelope that come at the same time share a transaction: its commit, which waits
    for the disk, is most of what they cost.
    """

    def __init__(self, pool: ConnectionPool, telemetry: Telemetry, kind: Kind) -> None:
        self._pool = pool
        self._telemetry = telemetry
        self._kind = kind
        self._sightings = Sightings()
        self._group_commit = GroupCommit(self._store_together, max_weight=MAX_INSERTED_VALUES)

    def deliver(self, raw_body: bytes) -> DeliveryResult:
        """Store a webhook's body: what is new of it, once, and all of it or nothing.

        Raises UnreadableDeliveryError for what is not one of the shapes, TooMuchError for what is to be sent
        in smaller parts, and TemporaryError for what is to be sent again.
        """
        body = parse_body(raw_body)
        entries = parse_items(self._kind, body)
        weight = _weight(entries)
        if body.envelope is not None or weight > MAX_INSERTED_VALUES:
            result = self._store(entries, body.envelope)
        else:
            shared = self._group_commit.do(entries, max(weight, 1))
            if isinstance(shared, Exception):
                raise shared
            result = shared
        result.alone = body.alone
        return result

    def _store_together(self, bodies: Sequence[Entries]) -> Sequence[DeliveryResult | Exception]:
        """Store bodies in one transaction, or one by one where that takes too long."""
        began = time.monotonic()
        try:
            result = self._store([entry for entries in bodies for entry in entries], None)
        except TooMuchError as error:
            if len(bodies) == 1:
                return [error]
            # One of them took too long: the others need not suffer from it.
            return [self._store_alone(entries, began + STORE_ONE_BY_ONE_FOR_S) for entries in bodies]
        firsts = accumulate(map(len, bodies), initial=0)
        return [result.part(first, len(entries)) for first, entries in zip(firsts, bodies, strict=False)]

    def _store_alone(self, entries: Entries, until: float) -> DeliveryResult | Exception:
        if time.monotonic() > until:
            return UnavailableError("those before it took too long")
        try:
            return self._store(entries, None, hurried=True)
        except Exception as error:  # noqa: BLE001  # who brought this body raises it; others are stored
            return error

    def _store(self, entries: Entries, envelope: Envelope | None, *, hurried: bool = False) -> DeliveryResult:
        """Store entries in one transaction.

        Where PostgreSQL refuses something that we did not foresee, or something provokes a bug of ours,
        another one finds it, and keeps the rest. `hurried`: they were tried before.
        """
        batch = _Batch(
            entries, envelope, self._kind, self._telemetry, self._sightings, datetime.now(UTC), hurried
        )
        try:
            try:
                return transaction(self._pool, batch.write)
            except REFUSALS:
                return transaction(self._pool, batch.write_by_halves)
            except OF_NO_ROW:
                raise
            except Exception as error:
                result = transaction(self._pool, batch.write_by_halves)
                if not result.unforeseen:
                    log.warning("an unforeseen error did not come again by halves", exc_info=error)
                return result
        except StatementTimeoutError as error:
            if len(entries) > 1:
                raise TooMuchError(
                    f"storing these {len(entries)} items takes PostgreSQL too long; send fewer at once"
                ) from error
            return transaction(self._pool, replace(batch, hurried=True).write_by_halves)


def _weight(entries: Entries) -> int:
    """Count values and rejections, which cost about the same; no entry weighs nothing."""
    return sum(
        max(1, len(entry.readings) + len(entry.rejected)) if isinstance(entry, Item) else 1
        for entry in entries
    )


def _count_values(entries: Entries) -> int:
    return sum(len(entry.readings) for entry in entries if isinstance(entry, Item))


@dataclass(frozen=True)
class _Batch:
    """What one transaction is to store."""

    entries: Entries
    envelope: Envelope | None
    kind: Kind
    telemetry: Telemetry
    sightings: Sightings
    received: datetime
    hurried: bool
    """It is tried for a second time."""

    def write(self, current: Transaction) -> DeliveryResult:
        """Write all that is new; in few round trips where it is little."""
        few = _count_values(self.entries) <= MAX_INSERTED_VALUES
        with current.connection.pipeline() if few else nullcontext():
            result = self._begin(current)
            result.add(self._write_all(current, self.entries[result.skipped :], result.skipped))
            self._keep_rejected(current, result.rejected)
        return result

    def write_by_halves(self, current: Transaction) -> DeliveryResult:
        """Write what can be written of what is new; the rest is rejected."""
        result = self._begin(current)
        self._write_halves(current, self.entries[result.skipped :], result.skipped, result)
        result.rejected = result.unforeseen + result.rejected  # in this order they are kept
        self._keep_rejected(current, result.rejected)
        return result

    def _begin(self, current: Transaction) -> DeliveryResult:
        """Lock the mark and move it; the items that lie at or below where it was are skipped."""
        if self.hurried:
            hurry(current.connection)
        envelope, count = self.envelope, len(self.entries)
        if envelope is None:
            return DeliveryResult()
        key = {"source": envelope.source, "kind": str(self.kind), "lane": envelope.lane}
        mark: int = queries.lock_mark(current.connection, **key)
        last = envelope.first_seq + count - 1
        if last > mark:
            gap = max(envelope.first_seq - mark - 1, 0)
            queries.move_mark(current.connection, **key, mark=last, gap=gap)
        skipped = min(max(mark - envelope.first_seq + 1, 0), count)
        return DeliveryResult(skipped=skipped, mark=max(mark, last))

    def _write_halves(
        self, current: Transaction, entries: Entries, first: int, result: DeliveryResult
    ) -> None:
        """Write what can be written, reject the rest item by item, and add both to the result."""
        if not self._write_or_reject(current, entries, first, result):
            middle = len(entries) // 2
            self._write_halves(current, entries[:middle], first, result)
            self._write_halves(current, entries[middle:], first + middle, result)

    def _write_or_reject(
        self, current: Transaction, entries: Entries, first: int, result: DeliveryResult
    ) -> bool:
        """Write entries, or reject the only one; return False where there are several to be told apart.

        An item is rejected that PostgreSQL refuses, or takes too long for, or that provokes a bug of ours.
        """
        try:
            with current.savepoint():
                written = self._write_all(current, entries, first)
        except psycopg.errors.QueryCanceled as error:
            if len(entries) > 1:
                raise
            reason = f"it takes PostgreSQL too long: {error.diag.message_primary}"
            result.rejected += _refused(entries[0], first, reason)
        except REFUSALS as error:
            if len(entries) > 1:
                return False
            reason = f"PostgreSQL refuses it: {error.diag.message_primary}"
            result.rejected += _refused(entries[0], first, reason)
        except OF_NO_ROW:
            raise
        except Exception as error:
            if len(entries) > 1:
                return False
            if not result.unforeseen:
                self._rehearse_ordinary_item(current)
            if len(result.unforeseen) == MAX_DEAD_LETTERS_PER_BODY:
                raise  # of so many items, nobody would keep the others
            item, *parts = _refused(entries[0], first, f"a bug of Flow Nexus: {type(error).__name__}")
            result.unforeseen.append(item)
            result.rejected += parts
            self._log_when_committed(current, entries[0], first, error)
        else:
            result.add(written)
        return True

    def _rehearse_ordinary_item(self, current: Transaction) -> None:
        """Raise where nothing at all can be stored: a bug is then not that of the item at hand."""
        with current.savepoint(rehearsal=True):
            self._write_all(current, ordinary_item(self.kind), 0)

    def _log_when_committed(self, current: Transaction, entry: Entry, place: int, error: Exception) -> None:
        """Log a bug with the item that provokes it, once it is sure that the item is a dead letter."""
        where = {"endpoint": entry.endpoint if isinstance(entry, Item) else None, "place": place}
        if (envelope := self.envelope) is not None:
            where |= {
                "source": str(envelope.source), "lane": envelope.lane, "seq": envelope.first_seq + place,
            }  # fmt: skip
        current.after_commit(
            lambda: log.error("an item provokes a bug; it is a dead letter", exc_info=error, extra=where)
        )

    def _write_all(self, current: Transaction, entries: Entries, first: int) -> DeliveryResult:
        """Write items, the first of which has this place in the body; reject what cannot be read."""
        for entry in entries:
            if isinstance(entry, Unforeseen):
                raise entry.error
        worth = [
            (place, entry)
            for place, entry in enumerate(entries, first)
            if isinstance(entry, Item) and entry.readings  # what holds no value is nothing to be stored
        ]
        result = DeliveryResult()
        refused: dict[int, list[Rejection]] = {}
        if worth:
            items = [item for _, item in worth]
            stored = self.telemetry.store(current, items, self.received)
            result.registrations = self._apply_registrations(current, worth, stored.endpoints)
            if self.kind is not Kind.REGISTRATION:
                self.sightings.note(current, stored.endpoints, items, self.received)
            for index, rejection in stored.rejected:
                refused.setdefault(worth[index][0], []).append(rejection)
        note_refusals(
            current.connection,
            [entry.refusal for entry in entries if isinstance(entry, Item) and entry.refusal is not None],
        )
        for place, entry in enumerate(entries, first):
            result.rejected.extend(
                (place, hidden(rejection)) for rejection in (*_unread(entry), *refused.get(place, ()))
            )
        result.stored = [place for place, item in worth if len(refused.get(place, ())) < len(item.readings)]
        return result

    def _apply_registrations(
        self, current: Transaction, items: Sequence[tuple[int, Item]], endpoints: Mapping[str, int]
    ) -> list[tuple[int, EventType, str]]:
        """Apply the registration events among the items, and return them."""
        events = []
        applied = []
        for place, item in items:
            if item.registration is None:
                continue
            assert item.event_type is not None  # noqa: S101  # it comes with the registration
            date = _date(item, self.received)
            events.append(
                RegistrationEvent(endpoints[item.endpoint], item.event_type, item.registration, date)
            )
            applied.append((place, item.event_type, item.endpoint))
        apply_registration_events(current.connection, events)
        return applied

    def _keep_rejected(self, current: Transaction, rejected: Sequence[tuple[int, Rejection]]) -> None:
        """Write the first rejections of the body to dead_letter, and how many more there are."""
        if not rejected:
            return
        envelope = self.envelope
        dead = [
            (rejection.reason.replace("\0", "\\0"), _dead_item(self.entries[place], rejection), place)
            for place, rejection in rejected[:MAX_DEAD_LETTERS_PER_BODY]
        ]
        if more := rejected[MAX_DEAD_LETTERS_PER_BODY:]:
            counts = Counter(rejection.reason for _, rejection in more).most_common(MAX_REASONS_TOLD)
            reason = f"{len(more)} more of this body are rejected and not kept"
            dead.append((reason, json.dumps({"reasons": dict(counts)}), more[0][0]))
        reasons, items, places = zip(*dead, strict=True)
        queries.add_dead_letters(
            current.connection,
            kind=str(self.kind),
            source=envelope and envelope.source,
            lane=envelope and envelope.lane,
            reasons=list(reasons),
            items=list(items),
            seqs=[envelope and envelope.first_seq + place for place in places],
        )


def _unread(entry: Entry) -> Sequence[Rejection]:
    """Return what of an entry cannot be read."""
    match entry:
        case Item():
            return entry.rejected
        case Rejection():
            return (entry,)
        case Unforeseen():
            return ()


def _refused(entry: Entry, place: int, reason: str) -> list[tuple[int, Rejection]]:
    """Reject an entry as a whole, which comes first, and what of it cannot be read."""
    return [(place, hidden(rejection)) for rejection in (_whole(entry, reason), *_unread(entry))]


def _whole(entry: Entry, reason: str) -> Rejection:
    """Return an entry as a rejection by which it can be delivered again: its node, or its nodes by path."""
    if isinstance(entry, Unforeseen):
        return Rejection("", reason, entry.text)
    readings = entry.readings if isinstance(entry, Item) else ()
    nodes = {
        str(reading.path): resource_node(reading.path, reading.data_type, reading.value)
        for reading in readings
        if reading.path.object_id not in SECRET_OBJECTS
    }
    if len(readings) == len(nodes) == 1:
        [(path, node)] = nodes.items()
        return Rejection(path, reason, node)
    return Rejection("", reason, nodes)


def _date(item: Item, received: datetime) -> datetime | None:
    """Return the date that a registration event tells as its value, unless its sender's clock is ahead."""
    told = item.readings[0].value
    return told if isinstance(told, datetime) and told <= received + MAX_CLOCK_SKEW else None


def _dead_item(entry: Entry, rejection: Rejection) -> str:
    """Write what was refused as ASCII JSON, which PostgreSQL can always hold."""
    if not isinstance(entry, Item):
        return json.dumps(rejection.node)
    told = {"ep": entry.endpoint, "ts": entry.time_ms, "path": rejection.path}
    try:
        return json.dumps({**told, "node": rejection.node})
    except RecursionError:  # it could just be read
        return json.dumps({**told, "node": None})
