"""Reading back and administration, as REST: everything is under /v1, a module of flownexus.web for each noun.

/v1/endpoints                            endpoints and their newest values: flownexus.web.endpoints
/v1/endpoints/<name>/tags, /v1/matching  tags, and which endpoints fit a filter: flownexus.web.tags
/v1/profiles, /v1/endpoints/<name>/plan  what is observed, and what became of it: flownexus.web.profiles
/v1/models                               object models: flownexus.web.models
/v1/logs, /v1/endpoints/<name>/logs      devices' logs: flownexus.web.logs
/v1/tokens                               tokens that administrators give out: flownexus.web.tokens
/openapi.json                            all of these, described for programs: flownexus.web.openapi

Errors are application/problem+json (RFC 9457): 401, 403, 404, 405, 406, 409, 422 naming what was wrong and
what would be right, 503 with Retry-After.
"""

from __future__ import annotations

from typing import Final

from flask import Flask

from flownexus.store.pool import Pool, pool_from_environment
from flownexus.web.endpoints import add_endpoints
from flownexus.web.flask import FunctionApp
from flownexus.web.guard import Guard, guard_from_secrets
from flownexus.web.logs import add_logs
from flownexus.web.models import add_model_routes
from flownexus.web.openapi import add_openapi
from flownexus.web.profiles import add_profiles
from flownexus.web.tags import add_tags
from flownexus.web.tokens import IssuedTokens, add_tokens

NAME: Final = "api"
URL: Final = f"/function/{NAME}"


def create_app(pool: Pool, guard: Guard) -> Flask:
    """Make the function's app; `guard` knows its callers."""
    app = FunctionApp(NAME, guard, pool.ready)
    add_endpoints(app, pool)
    add_logs(app, pool)
    add_model_routes(app, pool, URL)
    add_tags(app, pool)
    add_profiles(app, pool)
    add_tokens(app, pool, guard)
    add_openapi(app, NAME)
    return app


def app_from_environment() -> Flask:
    """Make the app with the parts that environment and secrets describe; raise MissingSettingError."""
    # What may be missing comes first, then what starts threads.
    guard = guard_from_secrets("flownexus-api-token")
    pool = pool_from_environment(NAME, "flownexus-api-database-url")
    return create_app(pool, guard.with_issued(IssuedTokens(pool)))


def __getattr__(name: str) -> Flask:
    """Make `app` when the server asks for it: what only reads this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    return app_from_environment()
