"""Reading back and administration, as REST: everything is under /v1, a module of flownexus.web for each noun.

/v1/endpoints...                             endpoints and their newest values: flownexus.web.endpoints
/v1/endpoints/<name>/3303/0/5700             read, write, execute, delete by path: flownexus.web.resource
/v1/endpoints/<name>/3303/0/5700/history     flownexus.web.history
/v1/events, /v1/registrations                flownexus.web.events
/v1/dead-letters                             flownexus.web.dead_letters
/v1/refusals                                 flownexus.web.refusals
/v1/stream                                   live updates: flownexus.web.stream
/v1/endpoints/<name>/tags, /v1/matching      tags, and which endpoints fit a filter: flownexus.web.tags
/v1/profiles, /v1/endpoints/<name>/plan      what is observed, what became of it: flownexus.web.profiles
/v1/endpoints/<name>/observations            what Leshan observes now: flownexus.web.observations
/v1/models...                                object models: flownexus.web.models
/v1/logs, /v1/endpoints/<name>/logs          devices' logs: flownexus.web.logs
/v1/event-types, /v1/log-resources           names of events, resources that are logs: flownexus.web.declared
/v1/firmware, /v1/updates                    firmware packages, and updates by them: flownexus.web.firmware
/v1/campaigns                                updates of many devices: flownexus.web.campaigns
/v1/tokens                                   tokens that administrators give out: flownexus.web.tokens
/v1/credentials, /v1/enrolment               credentials of devices: flownexus.web.credentials
/v1/bootstrap...                             factory keys and bootstrap sessions: flownexus.web.bootstrap
/openapi.json                                all of these, described for programs: flownexus.web.openapi

Errors are application/problem+json (RFC 9457): 400, 401, 403, 404, 405, 406, 409, 422 naming what was wrong
and what would be right, 429 and 503 with Retry-After.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from flask import Flask

from flownexus.carrying import Carrier
from flownexus.leshan.asking import LeshanQueries
from flownexus.leshan.observations import Ask
from flownexus.leshan.security import SecurityClient
from flownexus.leshan.webhook import Kind
from flownexus.messaging.publisher import Publisher
from flownexus.objects.bucket import Bucket
from flownexus.objects.settings import bucket_from_environment
from flownexus.settings import Timeouts, duration_setting, secret, text_setting, token_to_send
from flownexus.store.change_feed import ChangeFeed
from flownexus.store.delivery import Deliveries, DeliveryResult
from flownexus.store.operation_requests import MAX_QUEUED_OPERATIONS_PER_ENDPOINT
from flownexus.store.pool import Pool, open_pool, pool_from_environment
from flownexus.store.telemetry import Telemetry
from flownexus.web.bootstrap import add_bootstrap
from flownexus.web.bootstrapping import Bootstrapper
from flownexus.web.campaigns import add_campaigns
from flownexus.web.credentials import add_credentials
from flownexus.web.dead_letters import add_dead_letters
from flownexus.web.declared import add_declared
from flownexus.web.endpoints import add_endpoints, add_new_endpoints
from flownexus.web.enrolling import Enroller, EnrolmentSecrets
from flownexus.web.events import add_events
from flownexus.web.firmware import add_firmware
from flownexus.web.flask import FunctionApp
from flownexus.web.guard import Guard, guard_from_secrets
from flownexus.web.history import add_history
from flownexus.web.logs import add_logs
from flownexus.web.models import add_model_routes
from flownexus.web.observations import add_observations
from flownexus.web.openapi import add_openapi
from flownexus.web.operation_queue import OperationQueue, max_queued_setting
from flownexus.web.profiles import add_profiles
from flownexus.web.refusals import add_refusals
from flownexus.web.resource import add_resource
from flownexus.web.stream import add_stream
from flownexus.web.tags import add_tags
from flownexus.web.tokens import IssuedTokens, add_tokens

NAME: Final = "api"
URL: Final = f"/function/{NAME}"


def create_app(
    pool: Pool,
    ingest: Pool,
    retention: timedelta,
    publisher: Publisher,
    guard: Guard,
    timeouts: Timeouts,
    max_queued: int = MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
    enroller: Enroller | None = None,
    ask_leshan: Ask | None = None,
    bucket: Bucket | None = None,
) -> Flask:
    """Make the function's app.

    `ingest` is a pool of the role that stores values, for dead letters that are delivered again; `guard`
    knows the callers; `max_queued` is how many of their operations may wait for one endpoint; without an
    `enroller` the function makes no credentials, and without `ask_leshan` does not say what is observed;
    firmware packages come into `bucket`, if there is one.
    """
    app = FunctionApp(NAME, guard, pool.ready)

    def deliver(kind: Kind, body: bytes) -> DeliveryResult:
        # What is remembered of resources may be why the item was refused: it is asked anew.
        return Deliveries(ingest, Telemetry(retention), kind).deliver(body)

    add_endpoints(app, pool)
    add_new_endpoints(app, pool)
    add_logs(app, pool)
    add_model_routes(app, pool, URL)
    add_tags(app, pool)
    add_profiles(app, pool)
    add_resource(app, pool, OperationQueue(pool, publisher, max_queued), timeouts.client_s)
    add_history(app, pool)
    add_events(app, pool)
    add_dead_letters(app, pool, deliver)
    add_refusals(app, pool)
    add_declared(app, pool)
    add_stream(app, ChangeFeed(pool), timeouts.client_s)
    add_firmware(app, pool, bucket)
    add_campaigns(app, pool)
    add_tokens(app, pool, guard)
    if enroller is not None:
        add_credentials(app, enroller)
        add_bootstrap(app, Bootstrapper(enroller))
    if ask_leshan is not None:
        add_observations(app, pool, ask_leshan)
    add_openapi(app, NAME)
    return app


def app_from_environment() -> Flask:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    # What may be missing comes first, then what starts threads.
    guard = guard_from_secrets("flownexus-api-token", "flownexus-bootstrap-token")
    nats_url = secret("flownexus-nats-url")
    max_queued, timeouts = max_queued_setting(), Timeouts.from_environment()
    retention = timedelta(seconds=duration_setting("retention", "8760h"))
    ingest_url = secret("flownexus-ingest-database-url")
    enrolment, bucket = EnrolmentSecrets.from_environment(), bucket_from_environment()
    leshan = LeshanQueries(text_setting("leshan_url"), token_to_send("flownexus-leshan-token"))
    pool = pool_from_environment(NAME, "flownexus-api-database-url")
    enroller = Enroller(pool, Carrier(pool, SecurityClient(leshan), enrolment.keys).carry, enrolment)
    ingest = open_pool(ingest_url, 1, f"{NAME} replay")
    guard = guard.with_issued(IssuedTokens(pool))
    publisher = Publisher(nats_url, name=NAME)
    return create_app(
        pool, ingest, retention, publisher, guard, timeouts, max_queued, enroller, leshan.ask, bucket
    )


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
