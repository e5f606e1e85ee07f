"""Updates of devices: asked for, shown and cancelled by users."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.errors import ConflictError, NotFoundError
from flownexus.firmware.cancelling import can_be_stopped
from flownexus.firmware.state import State
from flownexus.firmware.window import Schedule
from flownexus.store import as_json, queries, send_for
from flownexus.store.audit import note
from flownexus.store.firmware import usable_package
from flownexus.store.transaction import Transaction, transaction

TOKEN_BYTES: Final = 18
"""Random bytes of a token: 24 characters of a URL."""


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
