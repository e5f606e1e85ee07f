"""Webhook deliveries: a batch, its mark and its dead letters in one transaction.

An envelope's items are numbered within (source, webhook kind, lane). The mark is the highest number stored;
its row is locked first, so that the same batch, posted twice or to two replicas at once, is stored once.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import FlowNexusError, StatementTimeoutError, TooMuchError, UnavailableError
from flownexus.leshan.nodes import Rejection
from flownexus.leshan.webhook import Envelope, EventType, Item, Kind, parse_body, parse_items
from flownexus.store import queries
from flownexus.store.endpoint import PresenceEvent, apply_presence
from flownexus.store.group_commit import GroupCommit
from flownexus.store.pool import REFUSALS, hurry, transaction
from flownexus.store.telemetry import CLOCK_SKEW, FEW, Stored, Telemetry

Entries: TypeAlias = Sequence[Item | Rejection]

MAX_DEAD_LETTERS: Final = 100
"""How many rejections of one body are kept and told; the others are counted."""
TOLD_REASONS: Final = 10
PATIENCE: Final = 18.0
"""Seconds after which bodies that shared a transaction in vain are no longer stored one by one."""


@dataclass
class Outcome:
    """What became of a delivery; items are told by their place in it."""

    alone: bool = False
    """It was one item by itself."""
    stored: list[int] = field(default_factory=list)
    skipped: int = 0
    mark: int | None = None
    rejected: list[tuple[int, Rejection]] = field(default_factory=list)
    presence: list[tuple[int, EventType, str]] = field(default_factory=list)
    """The registration events stored, with their endpoints, for who waits for them."""

    def part(self, first: int, count: int) -> Outcome:
        """Return what became of the `count` items from place `first` on, without a mark."""
        places = range(first, first + count)
        return Outcome(
            stored=[place - first for place in self.stored if place in places],
            rejected=[(place - first, rejection) for place, rejection in self.rejected if place in places],
            presence=[(place - first, what, ep) for place, what, ep in self.presence if place in places],
        )

    def as_json(self) -> dict[str, Any]:
        """Return the answer to the sender."""
        more = len(self.rejected) - MAX_DEAD_LETTERS
        return {
            "stored": len(self.stored),
            "skipped": self.skipped,
            "mark": self.mark,
            "rejected": [
                {"index": place, "reason": rejection.reason}
                | ({"path": rejection.path} if rejection.path else {})
                for place, rejection in self.rejected[:MAX_DEAD_LETTERS]
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
        self._group_commit = GroupCommit(self._store_together, most=FEW)

    def deliver(self, raw_body: bytes) -> Outcome:
        """Store a webhook's body: what is new of it, once, and all of it or nothing.

        Raises UnreadableDeliveryError for what is not one of the shapes, TooMuchError for what is to be sent
        in smaller parts, and UnavailableError where PostgreSQL is away.
        """
        body = parse_body(raw_body)
        entries = parse_items(self._kind, body)
        weight = _weight(entries)
        if body.envelope is not None or weight > FEW:
            outcome = self._store(entries, body.envelope)
        else:
            together = self._group_commit.do(entries, max(weight, 1))
            if isinstance(together, FlowNexusError):
                raise together
            outcome = together
        outcome.alone = body.alone
        return outcome

    def _store_together(self, bodies: Sequence[Entries]) -> Sequence[Outcome | FlowNexusError]:
        began = time.monotonic()
        try:
            outcome = self._store([entry for entries in bodies for entry in entries], None)
        except TooMuchError as error:
            if len(bodies) == 1:
                return [error]
            # One of them took too long: the others need not suffer from it.
            return [self._store_alone(entries, began + PATIENCE) for entries in bodies]
        firsts = accumulate(map(len, bodies), initial=0)
        return [outcome.part(first, len(entries)) for first, entries in zip(firsts, bodies, strict=False)]

    def _store_alone(self, entries: Entries, until: float) -> Outcome | FlowNexusError:
        if time.monotonic() > until:
            return UnavailableError("those before it took too long")
        try:
            return self._store(entries, None, again=True)
        except FlowNexusError as error:
            return error

    def _store(self, entries: Entries, envelope: Envelope | None, *, again: bool = False) -> Outcome:
        received = datetime.now(UTC)

        def attempt(store: Store, *, few: bool, again: bool = again) -> Outcome:
            def work(connection: Connection) -> tuple[Outcome, _Delivery]:
                if again:
                    hurry(connection)
                delivery = _Delivery(connection, self._telemetry, self._kind, envelope, received)
                with connection.pipeline() if few else nullcontext():
                    outcome = delivery.run(entries, store)
                delivery.check()
                return outcome, delivery

            outcome, delivery = transaction(self._pool, work)
            delivery.committed()
            return outcome

        try:
            try:
                return attempt(_Delivery.store, few=_count_values(entries) <= FEW)
            except REFUSALS:
                # Something that PostgreSQL refuses and we did not foresee: find it, keep the rest.
                return attempt(_Delivery.store_by_halves, few=False)
        except StatementTimeoutError as error:
            if len(entries) > 1:
                raise TooMuchError(
                    f"storing these {len(entries)} items takes PostgreSQL too long; send fewer at once"
                ) from error
            return attempt(_Delivery.store_by_halves, few=False, again=True)


def _weight(entries: Entries) -> int:
    """Count values and rejections, which cost about the same; no entry weighs nothing."""
    return sum(
        max(1, len(entry.readings) + len(entry.rejected)) if isinstance(entry, Item) else 1
        for entry in entries
    )


def _count_values(entries: Entries) -> int:
    return sum(len(entry.readings) for entry in entries if isinstance(entry, Item))


Store: TypeAlias = "Callable[[_Delivery, Entries, int], None]"
"""Stores entries, the first of which has this place in the body."""


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
        self._stored: list[Stored] = []

    def run(self, entries: Entries, store: Store) -> Outcome:
        repeated = self._pass_mark(len(entries), self._envelope) if self._envelope else 0
        if new := entries[repeated:]:
            store(self, new, repeated)
        if self._outcome.rejected:
            self._keep_rejected(entries)
        return self._outcome

    def check(self) -> None:
        for stored in self._stored:
            stored.check()

    def committed(self) -> None:
        for stored in self._stored:
            stored.committed()

    def _pass_mark(self, count: int, envelope: Envelope) -> int:
        """Lock the mark and move it; return how many items lie at or below where it was."""
        key = {"source": envelope.source, "kind": str(self._kind), "lane": envelope.lane}
        mark: int = queries.lock_mark(self._connection, **key)
        repeated = min(max(mark - envelope.first_seq + 1, 0), count)
        last = envelope.first_seq + count - 1
        if last > mark:
            gap = max(envelope.first_seq - mark - 1, 0)
            queries.move_mark(self._connection, **key, mark=last, gap=gap)
        self._outcome.skipped = repeated
        self._outcome.mark = max(mark, last)
        return repeated

    def store(self, entries: Entries, first: int) -> None:
        """Store items and their rejections."""
        worth = [
            (place, entry)
            for place, entry in enumerate(entries, first)
            if isinstance(entry, Item) and entry.readings  # what holds no value is nothing to be stored
        ]
        refused: dict[int, list[Rejection]] = {}
        if worth:
            items = [item for _, item in worth]
            stored = self._telemetry.store(self._connection, items, self._received)
            self._stored.append(stored)
            self._apply_presence(worth, stored.endpoints)
            for index, rejection in stored.rejected:
                refused.setdefault(worth[index][0], []).append(rejection)
        for place, entry in enumerate(entries, first):
            own = entry.rejected if isinstance(entry, Item) else (entry,)
            self._outcome.rejected.extend((place, rejection) for rejection in (*own, *refused.get(place, ())))
        self._outcome.stored.extend(
            place for place, item in worth if len(refused.get(place, ())) < len(item.readings)
        )

    def store_by_halves(self, entries: Entries, first: int) -> None:
        """Store what PostgreSQL takes; what it refuses, or takes too long for, ends alone in dead_letter."""
        outcome = self._outcome
        lists: tuple[list[Any], ...] = (
            outcome.stored,
            outcome.rejected,
            outcome.presence,
            self._stored,
        )
        lengths = [len(noted) for noted in lists]
        try:
            with self._connection.transaction():
                self.store(entries, first)
        except (*REFUSALS, psycopg.errors.QueryCanceled) as error:
            too_long = isinstance(error, psycopg.errors.QueryCanceled)
            if too_long and len(entries) > 1:
                raise
            # The savepoint took back what was written; the same for what was noted of it.
            for noted, length in zip(lists, lengths, strict=True):
                del noted[length:]
            if len(entries) == 1:
                reason = "it takes PostgreSQL too long" if too_long else "PostgreSQL refuses it"
                self._reject_refused(first, entries[0], f"{reason}: {error.diag.message_primary}")
                return
            middle = len(entries) // 2
            self.store_by_halves(entries[:middle], first)
            self.store_by_halves(entries[middle:], first + middle)

    def _reject_refused(self, place: int, entry: Item | Rejection, reason: str) -> None:
        readings = entry.readings if isinstance(entry, Item) else ()
        node = [[str(reading.path), str(reading.data_type), repr(reading.value)] for reading in readings]
        self._outcome.rejected.append((place, Rejection("", reason, node)))
        for rejection in entry.rejected if isinstance(entry, Item) else ():
            self._outcome.rejected.append((place, rejection))

    def _apply_presence(self, items: Sequence[tuple[int, Item]], endpoints: Mapping[str, int]) -> None:
        told = [(place, item) for place, item in items if item.registration is not None]
        if not told:
            return
        events = []
        for place, item in told:
            assert item.event_type is not None  # noqa: S101  # it comes with the registration
            assert item.registration is not None  # noqa: S101
            date = _date(item, self._received)
            events.append(PresenceEvent(endpoints[item.endpoint], item.event_type, item.registration, date))
            self._outcome.presence.append((place, item.event_type, item.endpoint))
        apply_presence(self._connection, events)

    def _keep_rejected(self, entries: Entries) -> None:
        """Write the first rejections of the body to dead_letter, and how many more there are."""
        rejected, envelope = self._outcome.rejected, self._envelope
        dead = [
            (rejection.reason.replace("\0", "\\0"), _dead_item(entries[place], rejection), place)
            for place, rejection in rejected[:MAX_DEAD_LETTERS]
        ]
        if more := rejected[MAX_DEAD_LETTERS:]:
            counts = Counter(rejection.reason for _, rejection in more).most_common(TOLD_REASONS)
            reason = f"{len(more)} more of this body are rejected and not kept"
            dead.append((reason, json.dumps({"reasons": dict(counts)}), more[0][0]))
        reasons, items, places = zip(*dead, strict=True)
        queries.add_dead_letters(
            self._connection,
            kind=str(self._kind),
            source=envelope and envelope.source,
            lane=envelope and envelope.lane,
            reasons=list(reasons),
            items=list(items),
            seqs=[envelope and envelope.first_seq + place for place in places],
        )


def _date(item: Item, received: datetime) -> datetime | None:
    """Return the date that a registration event tells as its value, unless its sender's clock is ahead."""
    told = item.readings[0].value
    return told if isinstance(told, datetime) and told <= received + CLOCK_SKEW else None


def _dead_item(entry: Item | Rejection, rejection: Rejection) -> str:
    """Write what was refused as ASCII JSON, which PostgreSQL can always hold."""
    if not isinstance(entry, Item):
        return json.dumps(rejection.node)
    return json.dumps(
        {"ep": entry.endpoint, "ts": entry.time_ms, "path": rejection.path, "node": rejection.node}
    )
