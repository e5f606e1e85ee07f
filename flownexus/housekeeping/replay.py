"""Deliver dead letters again that somebody in the console asked for: it may not store values itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError
from flownexus.leshan.replay import replay_body
from flownexus.leshan.webhook import Kind
from flownexus.store.dead_letters import AskedReplay, asked_replays, settle_replay
from flownexus.store.delivery import DeliveryResult

log = logging.getLogger(__name__)

Deliver: TypeAlias = Callable[[Kind, bytes], DeliveryResult]
"""Stores the body of a webhook, as ingest does."""
MAX_REPLAYS_PER_ROUND: Final = 20


def replay_asked(pool: ConnectionPool, deliver: Deliver) -> int:
    """Deliver what was asked for and write down what became of it; return how many.

    First delivered, then settled: who is interrupted in between delivers it once more, in vain. Raises
    TemporaryError where PostgreSQL is away.
    """
    asked = asked_replays(pool, MAX_REPLAYS_PER_ROUND)
    for each in asked:
        outcome = _outcome(each, deliver)
        settle_replay(pool, each.id, outcome)
        log.info("dead letter delivered again", extra={"dead_letter": each.id, "outcome": outcome})
    return len(asked)


def _outcome(asked: AskedReplay, deliver: Deliver) -> str:
    try:
        result = deliver(*replay_body(asked.id, asked.kind, asked.item))
    except ConflictError as error:
        return error.detail
    if result.rejected:
        return "; ".join(rejection.reason for _, rejection in result.rejected)
    return "stored" if result.stored else "was stored before"
