"""Profiles, and what of its profile's plan is done at an endpoint, as REST.

GET    /v1/profiles               {"profiles": [...]}, in the order in which they are tried
GET    /v1/profiles/<name>        the profile
PUT    /v1/profiles/<name>        {"plan", "filter"?, "priority"?, "awake_time_s"?, "request_timeout_s"?,
                                  "content_format"?, "firmware_way"?, "enabled"?}: 201 with the profile,
                                  200 where it was there
DELETE /v1/profiles/<name>        the profile as it was
GET    /v1/endpoints/<name>/plan  {"profile", "registered", "plan": [...]}: what is asked for, and what became
                                  of it

What a plan is, is in flownexus.operations.plan. A change is carried out at registered endpoints within
seconds, or at their next contact.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from flask import Blueprint, Flask
from msgspec import Meta

from flownexus.errors import NotFoundError
from flownexus.operations.firmware_way import FirmwareWay
from flownexus.operations.plan import MAX_ENTRIES, Entry
from flownexus.operations.plan_state import State
from flownexus.operations.profile import (
    DEFAULT_PRIORITY,
    MAX_AWAKE_TIME_S,
    MAX_PRIORITY,
    MAX_REQUEST_TIMEOUT_S,
    is_profile_name,
    parse_profile,
)
from flownexus.operations.write_format import WriteFormat
from flownexus.store.pool import Pool
from flownexus.store.profile import Profile, list_profiles, plan_of, put, remove, show
from flownexus.web.body import json_body
from flownexus.web.described import Body
from flownexus.web.flask import caller
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown
from flownexus.web.places import known_name
from flownexus.web.problem import Response
from flownexus.web.tags import FilterText

log = logging.getLogger(__name__)


PROFILE: Final = shown(Profile)


class Profiles(msgspec.Struct):
    """The profiles in the order in which they are tried."""

    profiles: list[PROFILE]  # type: ignore[valid-type]


class ProfileToPut(msgspec.Struct):
    """A profile as parse_profile() takes it."""

    plan: Annotated[list[Entry], Meta(max_length=MAX_ENTRIES)]
    filter: FilterText = ""
    priority: Annotated[int, Meta(ge=0, le=MAX_PRIORITY)] = DEFAULT_PRIORITY
    awake_time_s: Annotated[int, Meta(ge=1, le=MAX_AWAKE_TIME_S)] | None = None
    request_timeout_s: Annotated[int, Meta(ge=1, le=MAX_REQUEST_TIMEOUT_S)] | None = None
    content_format: WriteFormat | None = None
    firmware_way: FirmwareWay | None = None
    enabled: bool = True


class PlannedStep(msgspec.Struct):
    """A thing that a profile asks for, of one path or of several, and what became of it."""

    operation: str
    attributes: dict[str, Any] | None
    state: State
    since: datetime | None
    reason: str | None
    last_value_at: datetime | None
    operation_id: int | None
    path: str | msgspec.UnsetType = msgspec.UNSET
    paths: list[str] | msgspec.UnsetType = msgspec.UNSET


class PlanOfEndpoint(msgspec.Struct):
    """The profile that applies to an endpoint, and what became of each thing that it asks for."""

    profile: str | None
    registered: bool
    plan: list[PlannedStep]


def add_profiles(app: Flask, pool: Pool) -> None:
    """Add these routes to an app that has those of endpoints."""
    routes = Blueprint("profiles", __name__, url_prefix="/v1")

    @routes.get("/profiles", scope=Scope.READ, answers={200: Profiles})
    def profiles() -> dict[str, Any]:
        """List the profiles in the order in which they are tried."""
        return {"profiles": [profile.as_json() for profile in list_profiles(pool)]}

    @routes.get("/profiles/<name>", scope=Scope.READ, answers={200: PROFILE})
    def profile(name: str) -> dict[str, Any]:
        """Show a profile, and to how many registered endpoints it applies."""
        return show(pool, _known(name)).as_json()

    @routes.put(
        "/profiles/<name>",
        scope=Scope.ADMINISTER,
        body=Body(ProfileToPut),
        answers={200: PROFILE, 201: PROFILE},
    )
    def put_profile(name: str) -> Response:
        """Add or replace a profile."""
        done = put(pool, parse_profile(name, json_body()), caller().name)
        log.info("profile put", extra={"profile": name, "applies_to": done.profile.applies_to})
        location = {"Location": f"/function/api/v1/profiles/{name}"} if done.added else {}
        return done.profile.as_json(), 201 if done.added else 200, location

    @routes.delete("/profiles/<name>", scope=Scope.ADMINISTER, answers={200: PROFILE})
    def delete_profile(name: str) -> dict[str, Any]:
        """Delete a profile; the answer is the profile as it was."""
        removed = remove(pool, _known(name), caller().name)
        log.info("profile deleted", extra={"profile": name})
        return removed.as_json()

    @routes.get("/endpoints/<endpoint_name:name>/plan", scope=Scope.READ, answers={200: PlanOfEndpoint})
    def plan(name: str) -> dict[str, Any]:
        """Show what is asked of an endpoint, and what became of it."""
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
