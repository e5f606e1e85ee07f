"""Repair what was left behind, and make and drop partitions; called every few seconds.

POST / (empty body): 200 with what was done. May run twice at once: each step is then done once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Flask

from flownexus.carrying import Carrier
from flownexus.housekeeping.rounds import Housekeeper
from flownexus.housekeeping.settings import HousekeepingSettings
from flownexus.leshan.security import SecurityClient
from flownexus.messaging.publisher import Publisher
from flownexus.settings import secret, secret_lines, text_setting, token_to_send
from flownexus.store.pool import Pool, pool_from_environment
from flownexus.web.flask import FunctionApp
from flownexus.web.guard import Guard, Scope, guard_from_secrets

NAME: Final = "housekeeping"


def create_app(
    pool: Pool,
    publisher: Publisher,
    guard: Guard,
    settings: HousekeepingSettings,
    carry: Callable[[], int] | None = None,
) -> Flask:
    """Make the function's app; `guard` knows its callers, `carry` has Leshan know of credentials."""
    app = FunctionApp(NAME, guard, pool.ready)
    housekeeper = Housekeeper(pool, publisher, settings, carry)

    @app.post("/", scope=Scope.HOUSEKEEP)
    def do_round() -> dict[str, Any]:
        return housekeeper.do_round()

    return app


def app_from_environment() -> Flask:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    # What may be missing comes first, then what starts threads.
    guard, nats_url = guard_from_secrets("flownexus-connector-token"), secret("flownexus-nats-url")
    settings = HousekeepingSettings.from_environment()
    keys = secret_lines("flownexus-credential-key")
    leshan = SecurityClient(text_setting("leshan_url"), token_to_send("flownexus-leshan-token"))
    pool = pool_from_environment(NAME, "flownexus-housekeeping-database-url")
    carrier = Carrier(pool, leshan, keys)
    return create_app(pool, Publisher(nats_url, name=NAME), guard, settings, carrier.carry)


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
