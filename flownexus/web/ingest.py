"""The Flask app of the webhook functions: ingest-single, ingest-composite and registration."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from flask import request

from flownexus.errors import ValidationFailedError
from flownexus.leshan.webhook import EventType, Kind
from flownexus.messaging.publisher import PUBLISH_TIMEOUT_S, Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.metrics import WEBHOOK_ITEMS
from flownexus.settings import duration_setting, secret
from flownexus.store.delivery import Deliveries
from flownexus.store.pool import Pool, pool_from_environment
from flownexus.store.telemetry import Telemetry
from flownexus.web.flask import FunctionApp
from flownexus.web.guard import HOOK, Guard, Scope, guard_from_secrets
from flownexus.web.models import add_models_for_leshan

log = logging.getLogger(__name__)

DOCUMENTED_PATHS = {
    Kind.SINGLE: "/leshan_api/resource/single",
    Kind.COMPOSITE: "/leshan_api/resource/composite",
}
"""Where Leshan servers post that know nothing of functions."""

_HINTS = {
    EventType.REGISTERED: HintKind.REGISTERED,
    EventType.UPDATED: HintKind.UPDATED,
    EventType.HEARD: HintKind.HEARD,
    EventType.UNREGISTERED: HintKind.UNREGISTERED,
}


def app_from_environment(kind: Kind) -> FunctionApp:
    """Make a webhook function's app with the parts that its environment and secrets describe.

    Raises MissingSettingError where one is not set.
    """
    # What may be missing comes first, then what starts threads.
    name = f"ingest-{kind}" if kind in DOCUMENTED_PATHS else str(kind)
    guard = guard_from_secrets("flownexus-webhook-token", hooks="flownexus-hook-token")
    telemetry = Telemetry(timedelta(seconds=duration_setting("retention", "8760h")))
    nats_url = secret("flownexus-nats-url")
    pool = pool_from_environment(name, "flownexus-ingest-database-url")
    return create_app(kind, pool, telemetry, Publisher(nats_url, name=name), guard)


def create_app(
    kind: Kind,
    pool: Pool,
    telemetry: Telemetry,
    publisher: Publisher | None,
    guard: Guard,
) -> FunctionApp:
    """Make a webhook function's app; `guard` knows its callers.

    A sender that cannot set headers puts a token of the guard's hooks into the path:
    /hook/<token>/leshan_api/... Such a sender knows one address and appends either path of Leshan's, so each
    ingest function takes both.
    """
    app = FunctionApp(str(kind), guard, pool.ready)

    def add_route(path: str, of: Kind) -> None:
        deliveries = Deliveries(pool, telemetry, of)

        def receive(token: str = "") -> dict[str, Any]:  # noqa: ARG001  # the guard has looked at it
            result = deliveries.deliver(request.get_data(cache=False))
            log.debug(  # at info, with one value a request, a quarter fewer would be taken
                "%s: %d stored, %d skipped, %d rejected",
                of, len(result.stored), result.skipped, len(result.rejected),
                extra={"mark": result.mark},
            )  # fmt: skip
            WEBHOOK_ITEMS.labels(of, "stored").inc(len(result.stored))
            WEBHOOK_ITEMS.labels(of, "skipped").inc(result.skipped)
            WEBHOOK_ITEMS.labels(of, "rejected").inc(len(result.rejected))
            if publisher is not None and result.registrations:
                hints = [Hint(_HINTS[what], endpoint) for _, what, endpoint in result.registrations]
                publisher.publish(hints, PUBLISH_TIMEOUT_S)
            if result.alone and result.rejected and not result.stored:
                raise ValidationFailedError(f"it is kept as a dead letter: {result.rejected[0][1].reason}")
            return result.as_json()

        app.add_url_rule(path, path, receive, methods=["POST"], scope=Scope.INGEST)
        if guard.hooks and path != "/":
            app.add_url_rule(f"{HOOK}<token>{path}", path, receive, methods=["POST"], scope=Scope.INGEST)

    add_route("/", kind)
    if kind in DOCUMENTED_PATHS:
        for each, path in DOCUMENTED_PATHS.items():
            add_route(path, each)
    if kind is Kind.REGISTRATION:
        add_models_for_leshan(app, pool)
    return app
