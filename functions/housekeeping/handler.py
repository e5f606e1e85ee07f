"""Repair what was left behind, and make and drop partitions; called every few seconds.

POST / (empty body): 200 with what was done. May run twice at once: each step is then done once.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Flask, request

from flownexus.housekeeping.rounds import Housekeeper
from flownexus.housekeeping.settings import HousekeepingSettings
from flownexus.messaging.publisher import Publisher
from flownexus.settings import secret, tokens
from flownexus.store.pool import Pool, pool_from_environment
from flownexus.web.flask import flask_app
from flownexus.web.guard import Guard

NAME: Final = "housekeeping"


def create_app(
    pool: Pool,
    publisher: Publisher,
    accepted: tuple[str, ...],
    settings: HousekeepingSettings,
) -> Flask:
    """Make the function's app; `accepted` are the bearer tokens of its callers."""
    guard = Guard(accepted)
    app = flask_app(NAME, guard, pool.ready)
    housekeeper = Housekeeper(pool, publisher, settings)

    @app.post("/")
    def do_round() -> dict[str, Any]:
        guard.admit(request.path, request.headers.get("Authorization"))
        return housekeeper.do_round()

    return app


def app_from_environment() -> Flask:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    # What may be missing comes first, then what starts threads.
    accepted, nats_url = tokens("flownexus-connector-token"), secret("flownexus-nats-url")
    settings = HousekeepingSettings.from_environment()
    pool = pool_from_environment(NAME, "flownexus-housekeeping-database-url")
    return create_app(pool, Publisher(nats_url, name=NAME), accepted, settings)


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
