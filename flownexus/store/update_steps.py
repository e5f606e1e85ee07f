"""Updates of devices, taken on: each by the step that is due, in one transaction."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final, NamedTuple

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import ValidationFailedError
from flownexus.firmware.decision import decide, reads, zone_read
from flownexus.firmware.device import PACKAGE
from flownexus.firmware.state import ENDED, Failure, State
from flownexus.firmware.steps import failed
from flownexus.firmware.update import Step, Terms, Update
from flownexus.operations.catalogue import Operation
from flownexus.operations.new_operation import NewOperation
from flownexus.store import queries, send_for
from flownexus.store.operation_requests import create_within
from flownexus.store.transaction import Transaction, transaction

log = logging.getLogger(__name__)

REQUESTED_BY: Final = "firmware"
"""Who asks for the operations of updates."""
UPDATES_LOCK: Final = 0x4669726D77617265
"""The advisory lock of who takes updates on."""
UNBOUNDED: Final = 2**31 - 1
"""An update has at most three operations that wait: those of users do not hold it up."""


class Round(NamedTuple):
    """What was done with some of the updates that are open."""

    looked_at: int
    steps: int
    last: int | None
    """The highest id looked at; None where there was none."""
    endpoints: list[str]
    """Those for which operations were queued."""


def take_steps(pool: ConnectionPool, terms: Terms, after: int, limit: int) -> Round:
    """Take on up to `limit` open updates with ids above `after`, each by the step that is due.

    The steps and the operations that they queue are one transaction: a process that dies leaves each update
    as it was, or a step further. While another process is at it, nothing is done.
    """

    def work(current: Transaction) -> Round:
        connection = current.connection
        if not queries.try_updates_lock(connection, lock=UPDATES_LOCK):
            return Round(0, 0, None, [])
        updates = send_for(Update, connection, queries.open_updates, after=after, limit=limit).fetchall()
        endpoints: list[str] = []
        steps = 0
        for update in updates:
            try:
                step = decide(update, terms)
                if step is not None:
                    endpoints += _take_or_fail(connection, update, step)
                    steps += 1
            except psycopg.OperationalError:
                raise
            except Exception:  # whatever it is: it is that of one update
                log.exception("update %d of %s cannot be taken on", update.id, update.endpoint)
        return Round(len(updates), steps, updates[-1].id if updates else None, endpoints)

    return transaction(pool, work)


def _take_or_fail(connection: Connection, update: Update, step: Step) -> list[str]:
    """Do what _take() does; a step whose operations the object models do not allow ends its update."""
    try:
        with connection.transaction():  # a savepoint
            return _take(connection, update, step)
    except ValidationFailedError as error:
        words = f"it cannot be {'asked' if step.command is None else 'told'}: {error.detail}"
        with connection.transaction():
            return _take(connection, update, failed(Failure.REFUSED, words))


def _take(connection: Connection, update: Update, step: Step) -> list[str]:
    """Write a step down and queue what it sends; return its endpoint where that is something."""
    if step.words is not None:  # it goes on: what it has queued before it needs no more
        queued = (update.command, update.state_ask, update.version_ask)
        queries.drop_operations(connection, ids=[id_ for id_ in queued if id_ is not None])
        if update.command_path == str(PACKAGE):
            queries.let_expire(connection, id=update.command)  # begun again, it would overwrite what is there
    command = None if step.command is None else _queue(connection, update, step.command, step.expires_at)
    asks = [_queue(connection, update, read) for read in reads(update)] if step.asks else []
    if step.state is State.ASKING and (zone := zone_read(update)) is not None:
        _queue(connection, update, zone)  # a device that tells none is taken at the server's
    state_ask, version_ask, *_ = (*asks, None, None)
    queries.take_step(
        connection,
        id=update.id,
        state=str(step.state),
        words=step.words,
        failure=step.failure and str(step.failure),
        is_try=step.is_try,
        wait=step.wait,
        command=command,
        state_ask=state_ask,
        version_ask=version_ask,
        asked=step.asks,
        registration_id=update.registration_id,
        ended=step.state in ENDED,
    )
    if step.words is not None:
        queries.note_step(connection, id=update.id, state=str(step.state), words=step.words)
    return [update.endpoint] if command is not None or asks else []


def _queue(
    connection: Connection, update: Update, operation: Operation, expires_at: datetime | None = None
) -> int:
    new = NewOperation(endpoint=update.endpoint, operation=operation, expires_at=expires_at)
    return create_within(connection, new, REQUESTED_BY, max_queued=UNBOUNDED).id
