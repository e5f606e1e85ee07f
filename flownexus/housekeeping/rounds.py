"""One round of housekeeping: repair what was left behind, make and drop partitions, forget what is old."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import chain
from typing import Final, TypeVar

from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import MissingSettingError, TemporaryError, UnavailableError
from flownexus.housekeeping.replay import Deliver, replay_asked
from flownexus.housekeeping.settings import HousekeepingSettings
from flownexus.messaging.publisher import Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.metrics import (
    HOUSEKEEPING_HINTED_ENDPOINTS,
    HOUSEKEEPING_RENEWED_OPERATIONS,
    HOUSEKEEPING_REVIVED_OPERATIONS,
)
from flownexus.objects.bucket import Bucket
from flownexus.store import queries
from flownexus.store.firmware import remove_retired
from flownexus.store.operation_repair import end_expired, endpoints_to_hint, revive_expired
from flownexus.store.reconcile import reconcile
from flownexus.store.retention import (
    drop_logs,
    drop_partitions,
    drop_roll_ups,
    forget_batches,
    forget_dead_letters,
    forget_endpoints,
    forget_expired,
    forget_finished,
    forget_marks,
    make_partitions,
    remove_remains,
    roll_up,
)
from flownexus.store.transaction import Transaction, transaction

log = logging.getLogger(__name__)
T = TypeVar("T")

PUBLISH_TIMEOUT_S: Final = 3.0
MAX_ROWS_PER_STEP: Final = 1000
"""How many rows one step takes in one round; the rest waits for the next."""
STALE_AFTER_S: Final = 8.0
"""Seconds in which an operation was neither queued nor tried before its hint counts as lost."""
REPEAT_HINT_AFTER_S: Final = 20.0
"""Seconds after which a hint that JetStream has taken is published once more.

Of thousands that were queued at once most only wait their turn: a hint for each in each round slows them.
"""
MAX_ENDPOINTS_RECONCILED: Final = 250
"""How many endpoints' observations are compared to the plan in one round, at most.

Thousands of devices are due at once when Leshan was away: so many a round keep operations flowing without
holding up those of users, and the rest waits.
"""
EXPIRY_GRACE_S: Final = 60.0
"""Seconds after its lifetime before a device counts as gone although Leshan did not say so."""
PARTITION_MONTHS_AHEAD: Final = 2
MAINTENANCE_PERIOD_S: Final = 3600.0
REMOVAL_PERIOD_S: Final = 300.0
REMOVE_AFTER_S: Final = 3600.0
"""Seconds after a package was retired before its objects are removed: longer than any upload of a chunk."""
ROLL_UP_PERIOD_S: Final = 300.0
ROLL_UP_STEP_S: Final = 600.0
"""Seconds of stored values that one transaction rolls up, at most."""
ROLL_UP_PATIENCE_S: Final = 2.0
"""Seconds after which a round leaves the rest of what is to be rolled up to the next one."""
ADVISORY_LOCK: Final = 0x464C4F57
"""Our advisory locks' first number; the second is the step's."""


class Housekeeper:
    """Does the rounds."""

    def __init__(
        self,
        pool: ConnectionPool,
        publisher: Publisher,
        settings: HousekeepingSettings,
        deliver: Deliver,
        carry: Callable[[], int] | None = None,
        bucket: Bucket | None = None,
    ) -> None:
        self._carry = carry
        self._bucket = bucket
        self._uncarried = ""
        """Why credentials could not be carried in the last round; empty where they were."""
        self._pool = pool
        self._deliver = deliver
        self._publisher = publisher
        self._settings = settings
        self._maintained_at = -MAINTENANCE_PERIOD_S
        self._rolled_up_at = -ROLL_UP_PERIOD_S
        self._removed_at = -REMOVAL_PERIOD_S
        self._hinted: dict[int, float] = {}
        """The operations whose endpoints got a hint lately, and when, by the monotonic clock."""

    def do_round(self) -> dict[str, int | None]:
        """Do one round and return what was done; None stands for what was left for the next one.

        Raises TemporaryError where PostgreSQL is away, or a step of it is held.
        """
        revived = self._step(1, lambda connection: revive_expired(connection, MAX_ROWS_PER_STEP))
        HOUSEKEEPING_REVIVED_OPERATIONS.inc(len(revived or ()))
        forgotten = self._step(
            2, lambda connection: forget_expired(connection, EXPIRY_GRACE_S, MAX_ROWS_PER_STEP)
        )
        summary: dict[str, int | None] = {
            "revived": None if revived is None else len(revived),
            "expired": self._step(11, lambda connection: end_expired(connection, MAX_ROWS_PER_STEP)),
            "forgotten": forgotten,
            "renewed": self._reconcile(),
            **self._hint_waiting(),
            "operations_forgotten": self._step(
                13,
                lambda connection: forget_finished(
                    connection, self._settings.operation_retention, MAX_ROWS_PER_STEP
                ),
            ),
            "remains_removed": self._step(
                14, lambda connection: remove_remains(connection, MAX_ROWS_PER_STEP)
            ),
        }
        if self._carry is not None:
            summary["credentials_carried"] = self._carry_credentials(self._carry)
        if time.monotonic() - self._rolled_up_at >= ROLL_UP_PERIOD_S:
            summary["rolled_up"] = self._roll_up()
        if self._bucket is not None and time.monotonic() - self._removed_at >= REMOVAL_PERIOD_S:
            summary["packages_emptied"] = self._remove_objects(self._bucket)
        if time.monotonic() - self._maintained_at >= MAINTENANCE_PERIOD_S:
            done = self._maintain()
            if not {None, MAX_ROWS_PER_STEP} & set(done.values()):  # a whole batch: more of it waits
                self._maintained_at = time.monotonic()
            summary |= done
        summary["replayed"] = replay_asked(self._pool, self._deliver)
        return summary

    def _reconcile(self) -> int | None:
        """Queue the plan's operations that are missing, and publish a hint for each of their endpoints."""
        queued = self._step(
            0,
            lambda connection: reconcile(
                connection, timedelta(seconds=self._settings.refresh), MAX_ENDPOINTS_RECONCILED
            ),
        )
        if queued is None:
            return None
        # What fails here is repaired as a lost hint.
        self._publisher.publish([Hint(HintKind.QUEUED, endpoint) for endpoint in queued], PUBLISH_TIMEOUT_S)
        HOUSEKEEPING_RENEWED_OPERATIONS.inc(sum(queued.values()))
        return sum(queued.values())

    def _hint_waiting(self) -> dict[str, int | None]:
        """Publish a hint for each endpoint that waits although it need not."""
        now = time.monotonic()
        lately = {id_: at for id_, at in self._hinted.items() if now - at < REPEAT_HINT_AFTER_S}
        waiting = transaction(
            self._pool,
            lambda current: endpoints_to_hint(
                current.connection, STALE_AFTER_S, list(lately), MAX_ROWS_PER_STEP
            ),
        )
        failed = self._publisher.publish(
            [Hint(HintKind.QUEUED, endpoint) for endpoint in waiting], PUBLISH_TIMEOUT_S
        )
        self._hinted = (
            lately if failed else lately | dict.fromkeys(chain.from_iterable(waiting.values()), now)
        )
        HOUSEKEEPING_HINTED_ENDPOINTS.inc(len(waiting) - failed)
        return {"hinted": len(waiting) - failed, "hints_failed": failed}

    def _carry_credentials(self, carry: Callable[[], int]) -> int | None:
        """Have Leshan know of credentials; return of how many endpoints, None where it is away.

        What keeps them back is logged once, as long as it is the same.
        """
        try:
            carried = carry()
        except (TemporaryError, MissingSettingError) as error:
            if str(error) != self._uncarried:
                log.warning("credentials are not carried to Leshan: %s", error)
            self._uncarried = str(error)
            return None
        self._uncarried = ""
        return carried

    def _roll_up(self) -> int | None:
        """Roll up what was stored since the last time; return in how many steps, None where it was left."""
        began = time.monotonic()
        steps, more = 0, True
        while more and time.monotonic() - began < ROLL_UP_PATIENCE_S:
            try:
                told = self._step(12, lambda connection: roll_up(connection, ROLL_UP_STEP_S))
            except TemporaryError as error:
                log.warning("values are not rolled up: left for the next round: %s", error)
                return None
            if told is None:
                return None
            steps, more = steps + 1, told
        if not more:
            self._rolled_up_at = time.monotonic()
        return steps

    def _remove_objects(self, bucket: Bucket) -> int | None:
        """Remove the objects of retired packages; return of how many, None where more is left."""
        try:
            emptied = remove_retired(self._pool, bucket, REMOVE_AFTER_S)
        except UnavailableError as error:
            log.warning("objects of retired packages are not removed: left for later: %s", error)
            self._removed_at = time.monotonic()
            return None
        if emptied is not None:
            self._removed_at = time.monotonic()
        return emptied

    def _maintain(self) -> dict[str, int | None]:
        """Make partitions ahead, drop old ones and old marks; what writers hold is left for the next time."""
        steps: dict[str, Callable[[Connection], int]] = {
            "partitions_made": lambda connection: make_partitions(connection, PARTITION_MONTHS_AHEAD),
            "partitions_dropped": lambda connection: drop_partitions(connection, self._settings.retention),
            "marks_forgotten": lambda connection: forget_marks(
                connection, self._settings.mark_retention, MAX_ROWS_PER_STEP
            ),
            "endpoints_forgotten": lambda connection: forget_endpoints(
                connection, self._settings.endpoint_retention, MAX_ROWS_PER_STEP
            ),
            "dead_letters_forgotten": lambda connection: forget_dead_letters(
                connection, self._settings.dead_letter_retention, MAX_ROWS_PER_STEP
            ),
            "roll_ups_dropped": lambda connection: drop_roll_ups(
                connection, self._settings.roll_up_retention
            ),
            "logs_dropped": lambda connection: drop_logs(connection, self._settings.log_retention),
            "batches_forgotten": lambda connection: forget_batches(
                connection, self._settings.operation_retention, MAX_ROWS_PER_STEP
            ),
        }
        done: dict[str, int | None] = {}
        for number, (name, work) in enumerate(steps.items(), start=3):
            try:
                done[name] = self._step(number, work)
            except TemporaryError as error:
                log.warning("%s: left for the next round: %s", name, error)
                done[name] = None
        return done

    def _step(self, number: int, work: Callable[[Connection], T]) -> T | None:
        """Do a step in a transaction; None where another round is at it."""

        def locked(current: Transaction) -> T | None:
            connection = current.connection
            mine = queries.try_housekeeping_lock(connection, lock=ADVISORY_LOCK, step=number)
            return work(connection) if mine else None

        return transaction(self._pool, locked)
