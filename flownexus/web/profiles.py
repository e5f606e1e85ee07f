"""Profiles, and what of its profile's plan is done at an endpoint, as REST.

GET    /v1/profiles               {"profiles": [...]}, in the order in which they are tried
GET    /v1/profiles/<name>        the profile
PUT    /v1/profiles/<name>        {"plan", "filter"?, "priority"?, "awake_time_s"?, "request_timeout_s"?,
                                  "content_format"?, "enabled"?}: 201 with the profile, 200 where it was there
DELETE /v1/profiles/<name>        the profile as it was
GET    /v1/endpoints/<name>/plan  {"profile", "registered", "plan": [...]}: what is asked for, and what became
                                  of it

What a plan is, is in flownexus.operations.plan. A change is carried out at registered endpoints within
seconds, or at their next contact.
"""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Flask

from flownexus.errors import NotFoundError
from flownexus.operations.profile import is_profile_name, parse_profile
from flownexus.store.pool import Pool
from flownexus.store.profile import list_profiles, plan_of, put, remove, show
from flownexus.web.body import json_body
from flownexus.web.flask import caller
from flownexus.web.guard import Scope
from flownexus.web.places import known_name
from flownexus.web.problem import Response

log = logging.getLogger(__name__)


def add_profiles(app: Flask, pool: Pool) -> None:
    """Add these routes to an app that has those of endpoints."""
    routes = Blueprint("profiles", __name__, url_prefix="/v1")

    @routes.get("/profiles", scope=Scope.READ)
    def profiles() -> dict[str, Any]:
        return {"profiles": [profile.as_json() for profile in list_profiles(pool)]}

    @routes.get("/profiles/<name>", scope=Scope.READ)
    def profile(name: str) -> dict[str, Any]:
        return show(pool, _known(name)).as_json()

    @routes.put("/profiles/<name>", scope=Scope.ADMINISTER)
    def put_profile(name: str) -> Response:
        done = put(pool, parse_profile(name, json_body()), caller().name)
        log.info("profile put", extra={"profile": name, "applies_to": done.profile.applies_to})
        location = {"Location": f"/function/api/v1/profiles/{name}"} if done.added else {}
        return done.profile.as_json(), 201 if done.added else 200, location

    @routes.delete("/profiles/<name>", scope=Scope.ADMINISTER)
    def delete_profile(name: str) -> dict[str, Any]:
        removed = remove(pool, _known(name))
        log.info("profile deleted", extra={"profile": name})
        return removed.as_json()

    @routes.get("/endpoints/<endpoint_name:name>/plan", scope=Scope.READ)
    def plan(name: str) -> dict[str, Any]:
        found = plan_of(pool, known_name(name))
        return {
            "profile": found.profile,
            "registered": found.registered,
            "plan": [state.as_json() for state in found.states],
        }

    app.register_blueprint(routes)


def _known(name: str) -> str:
    if not is_profile_name(name):
        raise NotFoundError(f"there is no profile {name!r}")
    return name
