"""Repair what was left behind, and make and drop partitions; called every few seconds.

POST / (empty body): 200 with what was done. May run twice at once: each step is then done once.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Flask

from flownexus.housekeeping.rounds import Housekeeper
from flownexus.housekeeping.settings import HousekeepingSettings
from flownexus.messaging.publisher import Publisher
from flownexus.settings import secret
from flownexus.store.pool import Pool, pool_from_environment
from flownexus.web.flask import FunctionApp
from flownexus.web.guard import Guard, Scope, guard_from_secrets

NAME: Final = "housekeeping"


def create_app(
    pool: Pool,
    publisher: Publisher,
    guard: Guard,
    settings: HousekeepingSettings,
) -> Flask:
    """Make the function's app; `guard` knows its callers."""
    app = FunctionApp(NAME, guard, pool.ready)
    housekeeper = Housekeeper(pool, publisher, settings)

    @app.post("/", scope=Scope.HOUSEKEEP)
    def do_round() -> dict[str, Any]:
        return housekeeper.do_round()

    return app


def app_from_environment() -> Flask:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    # What may be missing comes first, then what starts threads.
    guard, nats_url = guard_from_secrets("flownexus-connector-token"), secret("flownexus-nats-url")
    settings = HousekeepingSettings.from_environment()
    pool = pool_from_environment(NAME, "flownexus-housekeeping-database-url")
    return create_app(pool, Publisher(nats_url, name=NAME), guard, settings)


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
