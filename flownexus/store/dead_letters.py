"""Dead letters as people see them: listed, delivered again, discarded, and by whom."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError
from flownexus.store import queries, send_for
from flownexus.store.audit import note
from flownexus.store.transaction import Transaction, transaction


class Settlement(StrEnum):
    """What somebody did with a dead letter."""

    REPLAYED = "replayed"
    DISCARDED = "discarded"


class DeadLetter(NamedTuple):
    """An item that could not be stored, and what became of it."""

    id: int
    kind: str
    reason: str
    item: str
    source: UUID | None
    lane: int | None
    seq: int | None
    received_at: datetime
    settlement: str | None
    settled_at: datetime | None
    settled_by: str | None
    replay_asked_by: str | None = None
    """Who asked in the console to have it delivered again."""
    mended_item: str | None = None
    replay_outcome: str | None = None

    @property
    def endpoint(self) -> str | None:
        """Return the device that its item is of, as far as it says so."""
        item = json.loads(self.item)
        endpoint = item.get("ep") if isinstance(item, dict) else None
        return endpoint if isinstance(endpoint, str) else None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it: its item as JSON, times in ISO 8601, UTC."""
        return {
            "id": self.id,
            "kind": self.kind,
            "endpoint": self.endpoint,
            "reason": self.reason,
            "received_at": self.received_at.isoformat(),
            "settlement": self.settlement,
            "settled_at": self.settled_at and self.settled_at.isoformat(),
            "settled_by": self.settled_by,
            "replay_asked_by": self.replay_asked_by,
            "mended_item": self.mended_item,
            "replay_outcome": self.replay_outcome,
            "source": self.source and str(self.source),
            "lane": self.lane,
            "seq": self.seq,
            "item": json.loads(self.item),
        }


DEAD_LETTER_COLUMNS: Final = (
    *("id", "kind", "endpoint", "reason", "received_at", "settlement", "settled_at", "settled_by"),
    *("replay_asked_by", "mended_item", "replay_outcome"),
    *("source", "lane", "seq", "item"),
)


def list_dead_letters(
    pool: ConnectionPool,
    endpoint: str | None,
    kind: str | None,
    settlement: Settlement | None,
    after: int | None,
    limit: int,
) -> list[DeadLetter]:
    """Return up to `limit` dead letters, the newest first, those with ids below `after`.

    Without a settlement they are those with which nobody has done anything.
    """

    def work(current: Transaction) -> list[DeadLetter]:
        queries.only_read(current.connection)
        return send_for(
            DeadLetter,
            current.connection,
            queries.dead_letters,
            # The items are ASCII JSON whose first key is the endpoint.
            beginning=None if endpoint is None else json.dumps({"ep": endpoint}).rstrip("}"),
            kind=kind,
            settlement=settlement and str(settlement),
            cursor=after,
            limit=limit,
        ).fetchall()

    return transaction(pool, work)


def show_dead_letter(pool: ConnectionPool, id_: int) -> DeadLetter:
    """Return a dead letter; raise NotFoundError where there is none of this id."""
    return transaction(pool, lambda current: _find(current.connection, id_))


def settle_dead_letter(pool: ConnectionPool, id_: int, settlement: Settlement, by: str) -> DeadLetter:
    """Write down what `by` did with a dead letter, and return it; the same once more changes nothing.

    Raises NotFoundError, or ConflictError where something else was done with it.
    """

    def work(current: Transaction) -> DeadLetter:
        settled = queries.settle_dead_letter(
            current.connection, id=id_, settlement=str(settlement), settled_by=by
        )
        found = _find(current.connection, id_)
        check_unsettled(found, settlement)
        if settled:
            note(current.connection, by, f"dead-letter-{settlement}", found.endpoint, dead_letter=id_)
        return found

    return transaction(pool, work)


class AskedReplay(NamedTuple):
    """A dead letter that somebody asked to have delivered again, with the item as they mended it."""

    id: int
    kind: str
    item: str
    asked_by: str


def ask_for_replay(pool: ConnectionPool, id_: int, by: str, mended_item: str | None) -> DeadLetter:
    """Ask housekeeping to deliver a dead letter again: as it came, or mended. Returns it.

    Raises NotFoundError, or ConflictError where it is settled, or was asked for already.
    """

    def work(current: Transaction) -> DeadLetter:
        asked = queries.ask_for_replay(current.connection, id=id_, asked_by=by, mended_item=mended_item)
        found = _find(current.connection, id_)
        if not asked:
            done = found.settlement or "asked to be replayed"
            raise ConflictError(
                f"dead letter {id_} was {done} by {found.settled_by or found.replay_asked_by!r}"
            )
        note(
            current.connection,
            by,
            "dead-letter-replayed",
            found.endpoint,
            dead_letter=id_,
            mended=mended_item is not None,
        )
        return found

    return transaction(pool, work)


def asked_replays(pool: ConnectionPool, limit: int) -> list[AskedReplay]:
    """Return up to `limit` dead letters that are to be delivered again, the oldest first."""
    return transaction(
        pool,
        lambda current: send_for(
            AskedReplay, current.connection, queries.asked_replays, limit=limit
        ).fetchall(),
    )


def settle_replay(pool: ConnectionPool, id_: int, outcome: str) -> None:
    """Write down that a dead letter was delivered again, and what became of it; once more changes nothing."""
    transaction(pool, lambda current: queries.settle_replay(current.connection, id=id_, outcome=outcome))


def check_unsettled(letter: DeadLetter, settlement: Settlement) -> None:
    """Raise ConflictError where something else than `settlement` was done with a dead letter."""
    if letter.settlement not in (None, settlement):
        raise ConflictError(
            f"dead letter {letter.id} was {letter.settlement} by {letter.settled_by!r}; it cannot be "
            f"{settlement} any more"
        )


def _find(connection: Connection, id_: int) -> DeadLetter:
    found = send_for(DeadLetter, connection, queries.dead_letter, id=id_).fetchone()
    if found is None:
        raise NotFoundError(f"there is no dead letter {id_}")
    return found
