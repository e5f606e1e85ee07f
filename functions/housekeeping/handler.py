"""Repair what was left behind, and make and drop partitions; called every few seconds.

POST / (empty body): 200 with what was done. May run twice at once: each step is then done once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from flask import Flask

from flownexus.carrying import Carrier
from flownexus.housekeeping.replay import Deliver
from flownexus.housekeeping.rounds import Housekeeper
from flownexus.housekeeping.settings import HousekeepingSettings
from flownexus.leshan.asking import LeshanQueries
from flownexus.leshan.security import SecurityClient
from flownexus.leshan.webhook import Kind
from flownexus.messaging.publisher import Publisher
from flownexus.objects.bucket import Bucket
from flownexus.objects.settings import bucket_from_environment
from flownexus.settings import secret, secret_lines, text_setting, token_to_send
from flownexus.store.delivery import Deliveries, DeliveryResult
from flownexus.store.pool import Pool, open_pool, pool_from_environment
from flownexus.store.telemetry import Telemetry
from flownexus.web.flask import FunctionApp
from flownexus.web.guard import Guard, Scope, guard_from_secrets

NAME: Final = "housekeeping"


def create_app(
    pool: Pool,
    publisher: Publisher,
    guard: Guard,
    settings: HousekeepingSettings,
    deliver: Deliver,
    carry: Callable[[], int] | None = None,
    bucket: Bucket | None = None,
) -> Flask:
    """Make the function's app; `guard` knows its callers.

    `deliver` stores what is delivered again, `carry` has Leshan know of credentials; of retired
    packages objects are removed from `bucket`, if there is one.
    """
    app = FunctionApp(NAME, guard, pool.ready)
    housekeeper = Housekeeper(pool, publisher, settings, deliver, carry, bucket)

    @app.post("/", scope=Scope.HOUSEKEEP)
    def do_round() -> dict[str, Any]:
        return housekeeper.do_round()

    return app


def deliver_by(ingest_url: str, retention: timedelta) -> Deliver:
    """Return what stores a body as ingest does, by its role, on a connection for that alone."""

    def deliver(kind: Kind, body: bytes) -> DeliveryResult:
        with open_pool(ingest_url, 1, f"{NAME} replay") as ingest:
            return Deliveries(ingest, Telemetry(retention), kind).deliver(body)

    return deliver


def app_from_environment() -> Flask:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    # What may be missing comes first, then what starts threads.
    guard, nats_url = guard_from_secrets("flownexus-connector-token"), secret("flownexus-nats-url")
    settings, bucket = HousekeepingSettings.from_environment(), bucket_from_environment()
    keys = secret_lines("flownexus-credential-key")
    leshan = LeshanQueries(text_setting("leshan_url"), token_to_send("flownexus-leshan-token"))
    deliver = deliver_by(secret("flownexus-ingest-database-url"), timedelta(seconds=settings.retention))
    pool = pool_from_environment(NAME, "flownexus-housekeeping-database-url")
    carrier = Carrier(pool, SecurityClient(leshan), keys)
    publisher = Publisher(nats_url, name=NAME)
    return create_app(pool, publisher, guard, settings, deliver, carrier.carry, bucket)


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
