"""The console: the web application for people.

GET  /                       the fleet: ?filter=&sort=name|contact&columns=&cursor=
GET  /device?name=           a device: objects, values, charts (&chart=&span=&line=), activity
GET  /device/log?name=       the lines of its log; GET /device/bundle?name= all that is known of it, as a file
GET  /device/ask?name=       a form for an operation; POST queues it
GET  /batch?filter=           a form for one operation of many devices; POST queues it: /batches/<id>
GET  /operations, /operations/<id>; POST /operations/<id>/cancel
GET  /firmware, /updates, /campaigns
GET  /profiles, /models, /dead-letters, /health
GET  /credentials             of devices: enrol, replace, revoke
GET  /refused                whom Leshan did not let in; GET /bootstrap: sessions of its bootstrap server
GET  /series?name=&path=     numbers of a resource over a time, as JSON or CSV
GET  /live/device/coap?name= its CoAP messages while they pass
GET  /live/...               the parts of pages that change by themselves
GET  /users, /audit, /me     users (administrators), the audit log, one's own profile
GET  /me/passkeys            passkeys, a second factor; /me/tokens: tokens of the REST API for oneself
GET  /sign-in, /sign-in/openid, /second-factor, /welcome/<token>

Pages are in flownexus.web.console; templates, styles, scripts and words are beside this file. Who calls is
known by a session's cookie, not by a bearer token, and each route declares for which role it is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from flownexus.accounts.openid import Client, checked_url, roles_of
from flownexus.accounts.passwords import PasswordHashes
from flownexus.accounts.place import Place, place_of
from flownexus.carrying import Carrier
from flownexus.errors import MissingSettingError
from flownexus.leshan.asking import LeshanQueries
from flownexus.leshan.security import SecurityClient
from flownexus.messaging.publisher import PUBLISH_TIMEOUT_S, Publisher
from flownexus.messaging.subjects import Hint, HintKind
from flownexus.objects.bucket import Bucket
from flownexus.objects.settings import bucket_from_environment
from flownexus.settings import (
    Timeouts,
    duration_setting,
    integer_setting,
    secret,
    secret_for,
    text_setting,
    token_to_send,
)
from flownexus.store.operation_requests import MAX_QUEUED_OPERATIONS_PER_ENDPOINT
from flownexus.store.pool import Pool, pool_from_environment
from flownexus.web.console.app import SESSION_IDLE_S, SESSION_LIFETIME_S, ConsoleApp
from flownexus.web.console.asking import add_asking
from flownexus.web.console.batches import add_batches
from flownexus.web.console.bootstraps import add_bootstraps
from flownexus.web.console.browser import NAME, URL
from flownexus.web.console.bundle import add_bundle
from flownexus.web.console.campaigns import add_campaigns
from flownexus.web.console.charts import add_charts, asked_charts
from flownexus.web.console.credentials import add_credentials
from flownexus.web.console.dead_letters import add_dead_letters
from flownexus.web.console.devices import add_devices
from flownexus.web.console.firmware import add_firmware
from flownexus.web.console.fleet import add_fleet
from flownexus.web.console.health import add_health
from flownexus.web.console.live import LONGEST_S, LeshanApi, add_live
from flownexus.web.console.logs import add_logs
from flownexus.web.console.menu import add_menu
from flownexus.web.console.models import add_models
from flownexus.web.console.passkeys import add_passkeys
from flownexus.web.console.people import add_people
from flownexus.web.console.profiles import add_profiles
from flownexus.web.console.sign_in import add_sign_in
from flownexus.web.console.single_sign_on import add_single_sign_on
from flownexus.web.console.tokens import add_tokens
from flownexus.web.console.updates import add_updates
from flownexus.web.enrolling import Enroller, EnrolmentSecrets
from flownexus.web.openid import OpenId

FOLDER: Final = Path(__file__).resolve().parent


def create_app(
    pool: Pool,
    publisher: Publisher,
    enroller: Enroller,
    leshan: LeshanApi,
    *,
    hashes: PasswordHashes | None = None,
    stream_s: float = LONGEST_S,
    max_queued: int = MAX_QUEUED_OPERATIONS_PER_ENDPOINT,
    idle_s: float = SESSION_IDLE_S,
    lifetime_s: float = SESSION_LIFETIME_S,
    grafana_url: str | None = None,
    place: Place | None = None,
    openid: OpenId | None = None,
    bucket: Bucket | None = None,
) -> ConsoleApp:
    """Make the function's app; a session ends `idle_s` seconds after its last use, and after `lifetime_s`.

    `leshan` tells what it alone knows of devices, in streams of at most `stream_s`; `grafana_url` is
    where people find dashboards, `place` where passkeys hold: nowhere without one. `openid` is how they
    sign in by a provider, if there is one; firmware packages come into `bucket`, likewise.
    """
    app = ConsoleApp(pool, FOLDER, hashes, idle_s, lifetime_s, place=place, openid=openid)

    def hint(*endpoints: str) -> None:
        # What fails here is repaired as a lost hint.
        publisher.publish([Hint(HintKind.QUEUED, each) for each in endpoints], PUBLISH_TIMEOUT_S)

    add_menu(app)
    add_sign_in(app)
    add_single_sign_on(app)
    add_fleet(app)
    add_devices(app, asked_charts)
    add_charts(app)
    add_live(app, leshan, stream_s)
    add_logs(app)
    add_bundle(app)
    add_asking(app, hint, max_queued)
    add_batches(app, hint, max_queued)
    add_firmware(app, bucket)
    add_updates(app)
    add_campaigns(app)
    add_profiles(app)
    add_models(app)
    add_dead_letters(app)
    add_credentials(app, enroller)
    add_bootstraps(app)
    add_health(app, grafana_url)
    add_people(app)
    add_passkeys(app)
    add_tokens(app)
    return app


def app_from_environment() -> ConsoleApp:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    nats_url = secret("flownexus-nats-url")
    max_queued = integer_setting("max_queued_operations", MAX_QUEUED_OPERATIONS_PER_ENDPOINT)
    idle_s, lifetime_s = duration_setting("session_idle", "1h"), duration_setting("session_lifetime", "24h")
    if max_queued < 1:
        raise MissingSettingError("environment variable max_queued_operations: at least 1")
    if not 60 <= idle_s <= lifetime_s:
        raise MissingSettingError("environment variable session_idle: from 1m to session_lifetime")
    grafana_url = os.environ.get("grafana_url") or None
    if grafana_url is not None and urlsplit(grafana_url).scheme not in ("http", "https"):
        raise MissingSettingError("environment variable grafana_url: a URL, such as https://grafana.example")
    enrolment, bucket = EnrolmentSecrets.from_environment(), bucket_from_environment()
    leshan = LeshanQueries(text_setting("leshan_url"), token_to_send("flownexus-leshan-token"))
    place = None
    if console_url := os.environ.get("console_url"):
        try:
            place = place_of(console_url)
        except MissingSettingError as error:
            raise MissingSettingError(f"environment variable console_url: {error}") from None
    pool = pool_from_environment(NAME, "flownexus-console-database-url")
    return create_app(
        pool,
        Publisher(nats_url, name=NAME),
        Enroller(pool, Carrier(pool, SecurityClient(leshan), enrolment.keys).carry, enrolment),
        LeshanApi(leshan.ask, leshan.follow),
        stream_s=Timeouts.from_environment().client_s,
        max_queued=max_queued,
        idle_s=idle_s,
        lifetime_s=lifetime_s,
        grafana_url=grafana_url,
        place=place,
        openid=_openid(place),
        bucket=bucket,
    )


def _openid(place: Place | None) -> OpenId | None:
    """Return how people sign in by a provider; None without the setting oidc_issuer."""
    issuer = os.environ.get("oidc_issuer")
    if not issuer:
        return None
    if place is None:
        raise MissingSettingError("environment variable console_url: oidc_issuer needs it, to come back to")
    checked_url(issuer, "environment variable oidc_issuer")
    client_secret = secret_for("oidc_issuer", "flownexus-oidc-client-secret")
    adds = os.environ.get("oidc_users") or "invited"
    if adds not in ("invited", "all"):
        raise MissingSettingError(f"environment variable oidc_users: invited or all, not {adds!r}")
    claim, roles = os.environ.get("oidc_role_claim") or "", os.environ.get("oidc_roles") or ""
    if bool(claim) != bool(roles):
        raise MissingSettingError("environment variables oidc_role_claim and oidc_roles: both, or none")
    try:
        mapped = roles_of(roles)
    except MissingSettingError as error:
        raise MissingSettingError(f"environment variable oidc_roles: {error}") from None
    return OpenId(
        Client(
            issuer=issuer,
            id=text_setting("oidc_client_id"),
            secret=client_secret,
            redirect_uri=f"{place.origin}{URL}/sign-in/openid/back",
            name=os.environ.get("oidc_name") or urlsplit(issuer).hostname or issuer,
            role_claim=claim,
            roles=mapped,
            adds_users=adds == "all",
        )
    )


def __getattr__(name: str) -> ConsoleApp:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
