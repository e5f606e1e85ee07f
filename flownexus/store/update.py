"""Updates of devices: asked for, shown, cancelled by users; and taken on, step by step."""

from __future__ import annotations

import logging
import secrets
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError, ValidationFailedError
from flownexus.firmware.cancelling import can_be_stopped
from flownexus.firmware.decision import decide, reads, zone_read
from flownexus.firmware.device import PACKAGE
from flownexus.firmware.state import ENDED, Failure, State
from flownexus.firmware.steps import failed
from flownexus.firmware.update import Step, Terms, Update
from flownexus.firmware.window import Schedule
from flownexus.operations.catalogue import Operation
from flownexus.operations.new_operation import NewOperation
from flownexus.store import as_json, queries, send_for
from flownexus.store.audit import note
from flownexus.store.firmware import usable_package
from flownexus.store.operation_requests import create_within
from flownexus.store.transaction import Transaction, transaction

log = logging.getLogger(__name__)

TOKEN_BYTES: Final = 18
"""Random bytes of a token: 24 characters of a URL."""
REQUESTED_BY: Final = "firmware"
"""Who asks for the operations of updates."""
UPDATES_LOCK: Final = 0x4669726D77617265
"""The advisory lock of who takes updates on."""
UNBOUNDED: Final = 2**31 - 1
"""An update has at most three operations that wait: those of users do not hold it up."""


class ShownStep(NamedTuple):
    """A step that an update took."""

    time: datetime
    state: str
    words: str

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it."""
        return {**self._asdict(), "time": self.time.isoformat()}


class UncancelledUpdate(NamedTuple):
    """An open update that nobody has cancelled, with what decides whether somebody can."""

    id: int
    state: str
    command_path: str | None
    command_status: str | None


class ShownUpdate(NamedTuple):
    """An update as its user sees it; sizes in bytes."""

    id: int
    endpoint: str
    firmware: int
    version: str
    label: str | None
    state: str
    words: str
    failure: str | None
    tries: int
    size: int
    reached: int | None
    served: int | None
    download_started_at: datetime | None
    download_moved_at: datetime | None
    operation: int | None
    """The operation that it waits for."""
    requested_by: str
    cancelled_by: str | None
    created_at: datetime
    since: datetime
    not_before: datetime | None
    finished_at: datetime | None
    install_in: dict[str, Any] | None
    """The windows of its install, and their time zone; None: any time."""

    @property
    def bytes_per_second(self) -> float | None:
        """Return how fast the device has downloaded, from its first block to its last."""
        if self.served is None or self.download_moved_at is None or self.download_started_at is None:
            return None
        seconds = (self.download_moved_at - self.download_started_at).total_seconds()
        return round(self.served / seconds, 1) if seconds > 0 else None

    @property
    def percent(self) -> float | None:
        """Return how much of the package the device was served last."""
        return None if self.reached is None else round(100 * self.reached / self.size, 1)

    def why(self, operation: str | None) -> str:
        """Say in one sentence where it stands and what it waits for; `operation` says why that one waits."""
        since = f"{self.since:%Y-%m-%d %H:%M:%S} UTC"
        said = f"update {self.id} of {self.endpoint} is {self.state} since {since}: {self.words}"
        if self.state == State.DOWNLOADING and self.download_moved_at is not None:
            said += (
                f"; {self.percent:.0f} % were served, the last byte at {self.download_moved_at:%H:%M:%S} UTC"
            )
        return said if operation is None else f"{said}; operation {self.operation}: {operation}"

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; times are in ISO 8601, UTC."""
        shown = as_json(self)
        return {**shown, "percent": self.percent, "bytes_per_second": self.bytes_per_second}


def start_update(
    pool: ConnectionPool, endpoint: str, package: int, by: str, install_in: Schedule | None = None
) -> ShownUpdate:
    """Begin the update of a device by a package; it installs at any time, or in windows.

    Raises NotFoundError where there is no such package or the endpoint was never seen, and ConflictError
    where the package cannot be used or another update of the device is open.
    """

    def work(current: Transaction) -> ShownUpdate:
        connection = current.connection
        usable_package(connection, package)
        added = queries.add_update(
            connection,
            endpoint=endpoint,
            firmware_id=package,
            token=secrets.token_urlsafe(TOKEN_BYTES),
            requested_by=by,
            install_in=None if install_in is None else Jsonb(asdict(install_in)),
        )
        if added is None:
            if not list(queries.endpoint_ids(connection, names=[endpoint])):
                raise NotFoundError(f"no endpoint {endpoint!r} has been seen")
            raise ConflictError(
                f"update {queries.open_update_of(connection, endpoint=endpoint)} of {endpoint!r} is open; "
                "a device has one update at a time: wait for its end, or cancel it"
            )
        update = _find(connection, added[0])
        note(connection, by, "update-started", endpoint, update=update.id, firmware=package)
        return update

    return transaction(pool, work)


def show_update(pool: ConnectionPool, id_: int) -> tuple[ShownUpdate, list[ShownStep]]:
    """Return an update and its steps; raise NotFoundError."""

    def work(current: Transaction) -> tuple[ShownUpdate, list[ShownStep]]:
        update = _find(current.connection, id_)
        steps = send_for(ShownStep, current.connection, queries.steps_of_update, id=id_).fetchall()
        return update, steps

    return transaction(pool, work)


def list_updates(
    pool: ConnectionPool, endpoint: str | None, is_open: bool | None, cursor: int | None, limit: int
) -> list[ShownUpdate]:
    """Return up to `limit` updates, the newest first, with ids below `cursor`."""
    return transaction(
        pool,
        lambda current: send_for(
            ShownUpdate,
            current.connection,
            queries.shown_updates,
            id=None,
            endpoint=endpoint,
            open=is_open,
            cursor=cursor,
            limit=limit,
        ).fetchall(),
    )


def cancel_update(pool: ConnectionPool, id_: int, by: str) -> ShownUpdate:
    """Ask for an update to be cancelled; raise NotFoundError, or ConflictError where it is too late."""

    def work(current: Transaction) -> ShownUpdate:
        asked = ask_to_cancel(current.connection, by, update=id_)
        update = _find(current.connection, id_)
        if not asked and update.cancelled_by is None:
            raise ConflictError(
                f"update {id_} is {update.state}"
                + ("" if update.finished_at else ": a device that was told to install cannot be stopped")
            )
        if asked:
            note(current.connection, by, "update-cancelled", update.endpoint, update=id_)
        return update

    return transaction(pool, work)


def ask_to_cancel(
    connection: Connection, by: str, *, update: int | None = None, campaign: int | None = None
) -> int:
    """Ask for an update, or those of a campaign, to be cancelled where they can be; return how many are."""
    locked = [id_ for (id_,) in queries.lock_open_updates(connection, id=update, campaign_id=campaign)]
    return int(queries.ask_to_cancel(connection, ids=_cancellable(connection, locked), cancelled_by=by))


def may_be_cancelled(pool: ConnectionPool, id_: int) -> bool:
    """Say whether an update is open, nobody has cancelled it, and its device can still be stopped."""
    return transaction(pool, lambda current: bool(_cancellable(current.connection, [id_])))


def _cancellable(connection: Connection, ids: list[int]) -> list[int]:
    found = send_for(UncancelledUpdate, connection, queries.uncancelled_updates, ids=ids)
    return [each.id for each in found if can_be_stopped(each)]


def _find(connection: Connection, id_: int) -> ShownUpdate:
    found = send_for(
        ShownUpdate,
        connection,
        queries.shown_updates,
        id=id_,
        endpoint=None,
        open=None,
        cursor=None,
        limit=1,
    ).fetchone()
    if found is None:
        raise NotFoundError(f"there is no update {id_}")
    return found


# ---------------------------------------------------------------------------------------------------------
# Taken on


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
