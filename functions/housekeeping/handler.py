"""Repair what was left behind, and make and drop partitions; called every few seconds.

POST / (empty body): 200 with what was done. May run twice at once: each step is then done once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import chain
from typing import Any, Final, NamedTuple, TypeVar

from flask import Flask, request
from prometheus_client import Counter
from psycopg import Connection
from psycopg_pool import ConnectionPool

from flownexus.errors import MissingSettingError, UnavailableError
from flownexus.messaging.publisher import Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.settings import duration_setting, secret, tokens
from flownexus.store import queries
from flownexus.store.operation_repair import endpoints_to_wake, revive_expired
from flownexus.store.pool import Pool, pool_from_environment, transaction
from flownexus.store.reconcile import reconcile
from flownexus.store.retention import (
    LEAST_RETENTION,
    drop_partitions,
    forget_dead_letters,
    forget_endpoints,
    forget_expired,
    forget_finished,
    forget_marks,
    make_partitions,
)
from flownexus.web.flask import flask_app
from flownexus.web.guard import Guard

log = logging.getLogger("housekeeping")
T = TypeVar("T")

NAME: Final = "housekeeping"
PUBLISH_TIMEOUT: Final = 3.0
BATCH: Final = 1000
"""How many rows one step takes in one round; the rest waits for the next."""
UNTOUCHED: Final = 8.0
"""Seconds in which an operation was neither queued nor tried before its hint counts as lost."""
REPEATED: Final = 20.0
"""Seconds after which a hint that JetStream has taken is published once more.

Of thousands that were queued at once most only wait their turn: a hint for each in each round slows them.
"""
RECONCILED: Final = 250
"""How many endpoints' observations are compared to the plan in one round, at most.

Thousands of devices are due at once when Leshan was away: so many a round keep operations flowing without
holding up those of users, and the rest waits.
"""
GRACE: Final = 60.0
"""Seconds after its lifetime before a device counts as gone although Leshan did not say so."""
MONTHS_AHEAD: Final = 2
MAINTENANCE_PERIOD: Final = 3600.0
MINIMUM_RETENTION: Final = 24 * 3600.0
MINIMUM_REFRESH: Final = 60.0
OPERATION_RETENTION: Final = 90 * 24 * 3600.0
"""Seconds for which operations that have ended are kept, unless a setting says otherwise."""
LOCK: Final = 0x464C4F57
"""Our advisory locks' first number; the second is the step's."""

_REVIVED = Counter("operations_revived", "Operations whose worker did not come back.")
_RENEWED = Counter("operations_renewed", "Operations of the observe plan that were queued anew.")
_HINTED = Counter("endpoints_hinted", "Endpoints whose hint was published again.")


class Forgetting(NamedTuple):
    """How long is kept, in seconds, what nothing else bounds."""

    marks: float = 365 * 24 * 3600.0
    """A delivery mark that does not move: longer than any sender's spool holds what it has sent before."""
    endpoints: float = 90 * 24 * 3600.0
    """An endpoint that is not registered, told no values, and has no operations of users."""
    dead_letters: float = 90 * 24 * 3600.0

    @classmethod
    def from_environment(cls) -> Forgetting:
        """Read mark_retention, endpoint_retention and dead_letter_retention; raise MissingSettingError."""
        default = cls()
        return cls(
            _kept("mark_retention", default.marks, LEAST_RETENTION),
            _kept("endpoint_retention", default.endpoints, MINIMUM_RETENTION),
            _kept("dead_letter_retention", default.dead_letters, MINIMUM_RETENTION),
        )


def _kept(name: str, default: float, least: float) -> float:
    kept = duration_setting(name, f"{default:.0f}s")
    if kept < least:
        raise MissingSettingError(f"environment variable {name}: at least {least / 3600:.0f}h")
    return kept


class Housekeeper:
    """Does the rounds."""

    def __init__(
        self,
        pool: ConnectionPool,
        publisher: Publisher,
        retention: float,
        refresh: float,
        operation_retention: float,
        forgetting: Forgetting,
    ) -> None:
        self._pool = pool
        self._publisher = publisher
        self._retention = retention
        self._forgetting = forgetting
        self._refresh = timedelta(seconds=refresh)
        self._operation_retention = operation_retention
        self._maintained_at = -MAINTENANCE_PERIOD
        self._hinted: dict[int, float] = {}
        """The operations whose endpoints got a hint lately, and when, by the monotonic clock."""

    def do_round(self) -> dict[str, int | None]:
        """Do one round and return what was done; None stands for what was left for the next one.

        Raises UnavailableError where PostgreSQL is away.
        """
        revived = self._step(1, lambda connection: revive_expired(connection, BATCH))
        _REVIVED.inc(len(revived or ()))
        forgotten = self._step(2, lambda connection: forget_expired(connection, GRACE, BATCH))
        summary: dict[str, int | None] = {
            "revived": None if revived is None else len(revived),
            "forgotten": forgotten,
            "renewed": self._reconcile(),
            **self._hint_waiting(),
            "operations_forgotten": self._step(
                10, lambda connection: forget_finished(connection, self._operation_retention, BATCH)
            ),
        }
        if time.monotonic() - self._maintained_at >= MAINTENANCE_PERIOD:
            done = self._maintain()
            if not {None, BATCH} & set(done.values()):  # a whole batch: more of it waits
                self._maintained_at = time.monotonic()
            summary |= done
        return summary

    def _reconcile(self) -> int | None:
        """Queue the plan's operations that are missing, and publish a hint for each of their endpoints."""
        queued = self._step(0, lambda connection: reconcile(connection, self._refresh, RECONCILED))
        if queued is None:
            return None
        # What fails here is repaired as a lost hint.
        self._publisher.publish([Hint(HintKind.QUEUED, endpoint) for endpoint in queued], PUBLISH_TIMEOUT)
        _RENEWED.inc(sum(queued.values()))
        return sum(queued.values())

    def _hint_waiting(self) -> dict[str, int | None]:
        """Publish a hint for each endpoint that waits although it need not."""
        now = time.monotonic()
        lately = {id_: at for id_, at in self._hinted.items() if now - at < REPEATED}
        waiting = transaction(
            self._pool, lambda connection: endpoints_to_wake(connection, UNTOUCHED, list(lately), BATCH)
        )
        failed = self._publisher.publish(
            [Hint(HintKind.QUEUED, endpoint) for endpoint in waiting], PUBLISH_TIMEOUT
        )
        self._hinted = (
            lately if failed else lately | dict.fromkeys(chain.from_iterable(waiting.values()), now)
        )
        _HINTED.inc(len(waiting) - failed)
        return {"hinted": len(waiting) - failed, "hints_failed": failed}

    def _maintain(self) -> dict[str, int | None]:
        """Make partitions ahead, drop old ones and old marks; what writers hold is left for the next time."""
        steps: dict[str, Callable[[Connection], int]] = {
            "partitions_made": lambda connection: make_partitions(connection, MONTHS_AHEAD),
            "partitions_dropped": lambda connection: drop_partitions(connection, self._retention),
            "marks_forgotten": lambda connection: forget_marks(connection, self._forgetting.marks, BATCH),
            "endpoints_forgotten": lambda connection: forget_endpoints(
                connection, self._forgetting.endpoints, BATCH
            ),
            "dead_letters_forgotten": lambda connection: forget_dead_letters(
                connection, self._forgetting.dead_letters, BATCH
            ),
        }
        done: dict[str, int | None] = {}
        for number, (name, work) in enumerate(steps.items(), start=3):
            try:
                done[name] = self._step(number, work)
            except UnavailableError as error:
                log.warning("%s: left for the next round: %s", name, error)
                done[name] = None
        return done

    def _step(self, number: int, work: Callable[[Connection], T]) -> T | None:
        """Do a step in a transaction; None where another round is at it."""

        def locked(connection: Connection) -> T | None:
            return (
                work(connection)
                if queries.try_housekeeping_lock(connection, lock=LOCK, step=number)
                else None
            )

        return transaction(self._pool, locked)


def create_app(
    pool: Pool,
    publisher: Publisher,
    retention: float,
    refresh: float,
    accepted: tuple[str, ...],
    operation_retention: float = OPERATION_RETENTION,
    forgetting: Forgetting | None = None,
) -> Flask:
    """Make the function's app.

    `retention` is how long values are kept, in seconds, at least a day, and `operation_retention` the same of
    operations that have ended; `refresh` the silence in seconds after which an observation is asked for
    again; `accepted` are the bearer tokens of its callers; `forgetting` is how long other
    things are kept.
    """
    guard = Guard(accepted)
    app = flask_app(NAME, guard, pool.ready)
    housekeeper = Housekeeper(
        pool, publisher, retention, refresh, operation_retention, forgetting or Forgetting()
    )

    @app.post("/")
    def do_round() -> dict[str, Any]:
        guard.admit(request.path, request.headers.get("Authorization"))
        return housekeeper.do_round()

    return app


def app_from_environment() -> Flask:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    # What may be missing comes first, then what starts threads.
    accepted, nats_url = tokens("flownexus-connector-token"), secret("flownexus-nats-url")
    retention, refresh = _retention("retention", "8760h"), _refresh()
    operation_retention = _retention("operation_retention", f"{OPERATION_RETENTION:.0f}s")
    forgetting = Forgetting.from_environment()
    pool = pool_from_environment(NAME, "flownexus-housekeeping-database-url")
    publisher = Publisher(nats_url, name=NAME)
    return create_app(pool, publisher, retention, refresh, accepted, operation_retention, forgetting)


def _retention(name: str, default: str) -> float:
    """Read how long something is kept, in seconds."""
    retention = duration_setting(name, default)
    if retention < MINIMUM_RETENTION:
        raise MissingSettingError(
            f"environment variable {name}: at least 24h, less would drop what is being written"
        )
    return retention


def _refresh() -> float:
    """Read after which silence an observation without a pmax is asked for again, in seconds."""
    refresh = duration_setting("observe_refresh", "6h")
    if refresh < MINIMUM_REFRESH:
        raise MissingSettingError(
            "environment variable observe_refresh: at least 1m, less would ask devices for ever"
        )
    return refresh


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
