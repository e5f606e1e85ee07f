"""Take firmware updates and campaigns on; called every second.

POST / (empty body): 200 with how many updates are open, how many took a step, and how many were started.
May run twice at once: one of the two does nothing.
"""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask

from flownexus.errors import MissingSettingError
from flownexus.firmware.package import TOKEN
from flownexus.firmware.update import Patience, Terms
from flownexus.firmware.way import SCHEMES
from flownexus.firmware.window import zone_of
from flownexus.messaging.publisher import PUBLISH_TIMEOUT_S, Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.settings import duration_setting, secret
from flownexus.store.campaign import take_campaigns_on
from flownexus.store.pool import Pool, pool_from_environment
from flownexus.store.update_steps import take_steps
from flownexus.web.flask import FunctionApp
from flownexus.web.guard import Guard, Scope, guard_from_secrets

NAME: Final = "firmware"
MAX_UPDATES_PER_TRANSACTION: Final = 500
MAX_LINK: Final = 160
"""Characters of a URL before the token: some devices have room for 200 in all."""


def create_app(pool: Pool, publisher: Publisher, guard: Guard, terms: Terms) -> Flask:
    """Make the function's app; `guard` knows its callers."""
    app = FunctionApp(NAME, guard, pool.ready)

    @app.post("/", scope=Scope.HOUSEKEEP)
    def do_round() -> dict[str, Any]:
        looked_at = steps = after = 0
        while True:
            done = take_steps(pool, terms, after, MAX_UPDATES_PER_TRANSACTION)
            # What fails here is repaired as a lost hint.
            publisher.publish([Hint(HintKind.QUEUED, each) for each in done.endpoints], PUBLISH_TIMEOUT_S)
            looked_at, steps = looked_at + done.looked_at, steps + done.steps
            if done.last is None or done.looked_at < MAX_UPDATES_PER_TRANSACTION:
                break
            after = done.last
        # After the steps: what has just ended decides about what is started.
        return {"open": looked_at, "steps": steps, "started": take_campaigns_on(pool)}

    return app


def terms_from_environment() -> Terms:
    """Read where packages are served and how long an update waits; raise MissingSettingError."""
    links: dict[str, str] = {}
    for text in filter(None, (os.environ.get("firmware_urls") or "").split(",")):
        url = urlsplit(text)
        if url.scheme not in SCHEMES.values() or not url.hostname or url.query or len(text) > MAX_LINK:
            raise MissingSettingError(
                f"environment variable firmware_urls: {text!r}: URLs with commas between, each of another "
                f"scheme of {', '.join(SCHEMES.values())}, like http://firmware.example.com:8095, of at most "
                f"{MAX_LINK} characters"
            )
        links[url.scheme] = f"{text.rstrip('/')}/{TOKEN}"
    name = os.environ.get("firmware_time_zone") or "UTC"
    if (zone := zone_of(name)) is None:
        raise MissingSettingError(
            f"environment variable firmware_time_zone: {name!r} is no time zone, such as Europe/Berlin"
        )
    usual = Patience()
    return Terms(
        links,
        Patience(
            ask=_positive("firmware_ask_after", usual.ask),
            grace=_positive("firmware_grace", usual.grace),
            absence=_positive("firmware_absence", usual.absence),
            retry=_positive("firmware_retry_delay", usual.retry),
            limit=_positive("firmware_time_limit", usual.limit),
        ),
        zone,
    )


def _positive(name: str, default: float) -> float:
    seconds = duration_setting(name, f"{default:.0f}s")
    if seconds <= 0:
        raise MissingSettingError(f"environment variable {name}: more than 0s, such as {default:.0f}s")
    return seconds


def app_from_environment() -> Flask:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    # What may be missing comes first, then what starts threads.
    guard, nats_url = guard_from_secrets("flownexus-connector-token"), secret("flownexus-nats-url")
    terms = terms_from_environment()
    pool = pool_from_environment(NAME, "flownexus-firmware-database-url")
    return create_app(pool, Publisher(nats_url, name=NAME), guard, terms)


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
