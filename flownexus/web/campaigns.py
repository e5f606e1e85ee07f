"""Campaigns, as REST: one package for many devices, in waves.

POST /v1/campaigns                {"name", "firmware", "endpoints"? or "filter"?, "model"?,
                                  "from_versions"?, "waves"?, "starts_at"?, "ends_at"?, "seed"?} and the rules
                                  that flownexus.campaigns.plan has: 201 with the plan, not started yet
GET  /v1/campaigns                ?limit=50&cursor=: {"campaigns": [...], "next"}, the newest first
GET  /v1/campaigns/<id>           its waves with how far they are, its failures by kind, its steps
GET  /v1/campaigns/<id>/targets   ?state=&limit=50&cursor=: {"targets": [...], "next"}: its devices
POST /v1/campaigns/<id>/<action>  start, pause, resume, cancel (?hard=true: open updates, too), retry or
                                  next-wave: the campaign; 409 where that is not possible
"""

from __future__ import annotations

import secrets
from operator import attrgetter
from typing import Any, Final

from flask import Blueprint, Flask, request

from flownexus.campaigns.plan import parse_campaign
from flownexus.campaigns.progress import Action
from flownexus.errors import NotFoundError, ValidationFailedError
from flownexus.firmware.update import State
from flownexus.store.campaign import (
    CampaignRow,
    Target,
    act,
    create_campaign,
    list_campaigns,
    list_targets,
    show_campaign,
)
from flownexus.store.pool import Pool
from flownexus.web import paging
from flownexus.web.asked import MAX_ROW_ID
from flownexus.web.body import json_body
from flownexus.web.flask import caller
from flownexus.web.guard import Scope
from flownexus.web.places import known_id
from flownexus.web.problem import Response

MAX_PLACE: Final = 2**31 - 1
STATES: Final = (*State, "WAITING_TO_BEGIN", "LEFT_OUT")


def add_campaigns(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app."""
    routes = Blueprint("campaigns", __name__, url_prefix="/v1/campaigns")

    @routes.post("", scope=Scope.OPERATE)
    def plan() -> Response:
        new = parse_campaign(json_body(), secrets.randbelow(MAX_PLACE))
        return create_campaign(pool, new, caller().name).as_json(), 201, {}

    @routes.get("", scope=Scope.READ)
    def campaigns() -> dict[str, Any]:
        limit, cursor = paging.limit(), paging.number("cursor", MAX_ROW_ID)
        found = list_campaigns(pool, cursor, limit + 1)
        return paging.page("campaigns", found, limit, CampaignRow.as_json)

    @routes.get("/<int:id_>", scope=Scope.READ)
    def campaign(id_: int) -> dict[str, Any]:
        return show_campaign(pool, known_id(id_, "campaign")).as_json()

    @routes.get("/<int:id_>/targets", scope=Scope.READ)
    def targets(id_: int) -> dict[str, Any]:
        limit, cursor = paging.limit(), paging.number("cursor", MAX_PLACE)
        found = list_targets(
            pool, known_id(id_, "campaign"), paging.one_of("state", STATES), cursor, limit + 1
        )
        return paging.page("targets", found, limit, Target._asdict, attrgetter("place"))

    @routes.post("/<int:id_>/<action>", scope=Scope.OPERATE)
    def act_(id_: int, action: str) -> dict[str, Any]:
        if action not in list(Action):
            raise NotFoundError(f"a campaign has the actions {', '.join(Action)}, and no {action!r}")
        hard = request.args.get("hard", "false")
        if hard not in ("true", "false"):
            raise ValidationFailedError("hard: true, to cancel updates that are open, too, or false")
        done = act(pool, known_id(id_, "campaign"), Action(action), caller().name, hard=hard == "true")
        return done.as_json()

    app.register_blueprint(routes)
