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
from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, Final, TypeAlias, get_type_hints

import msgspec
from flask import Blueprint, Flask
from flask import Response as Listed
from msgspec import Meta

from flownexus.campaigns.plan import NewCampaign, Rules, parse_campaign
from flownexus.campaigns.progress import Action, Wave
from flownexus.errors import ConflictError, NotAcceptableError, NotFoundError
from flownexus.firmware.state import State
from flownexus.store.campaign import (
    act,
    create_campaign,
    list_campaigns,
    list_targets,
    show_campaign,
)
from flownexus.store.campaign_rows import CampaignRow, CampaignStep, Target
from flownexus.store.pool import Pool
from flownexus.web.asked import Flag, Page
from flownexus.web.body import json_body
from flownexus.web.described import Body
from flownexus.web.flask import caller
from flownexus.web.formats import list_by_id, listed
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown, with_fields
from flownexus.web.places import known_id
from flownexus.web.problem import Response
from flownexus.web.tags import FilterText

MAX_PLACE: Final = 2**31 - 1
Place: TypeAlias = Annotated[
    int, Meta(ge=1, le=MAX_PLACE, description=f"a whole number from 1 to {MAX_PLACE}")
]
STATES: Final = (*State, "WAITING_TO_BEGIN", "LEFT_OUT")
TargetState: TypeAlias = Annotated[
    str,
    Meta(
        pattern=f"^(?:{'|'.join(STATES)})$",
        description=f"one of {', '.join(STATES)}",
        extra_json_schema={"enum": list(STATES)},
    ),
]
CAMPAIGN: Final = shown(CampaignRow, without=("now", "started_lately", "joined_at"))
WAVE: Final = with_fields(shown(Wave), targets=int)
CAMPAIGN_WITH_STEPS: Final = msgspec.defstruct(
    "CampaignWithSteps",
    [
        ("waves", list[WAVE]),  # type: ignore[valid-type]
        ("targets", int),
        ("failures", dict[str, int]),
        ("estimated_seconds", int | None),
        ("steps", list[shown(CampaignStep)]),  # type: ignore[misc]
    ],
    bases=(CAMPAIGN,),
    kw_only=True,
    namespace={"__doc__": "A campaign with how far it is; while it is only planned with what it would take."},
)
TARGET: Final = shown(Target)
_SAID: Final[Mapping[str, Any]] = {"filter": FilterText | None, "waves": list[str | int] | None}
"""What a request may say for a field, where that is not the field's type."""
CAMPAIGN_TO_PLAN: Final = msgspec.defstruct(
    "CampaignToPlan",
    [
        ("name", str),
        ("firmware", int),
        *(
            (name, _SAID.get(name, hint) | msgspec.UnsetType, msgspec.UNSET)
            for name, hint in (get_type_hints(NewCampaign) | get_type_hints(Rules)).items()
            if name not in ("name", "firmware", "rules")
        ),
    ],
    namespace={"__doc__": "A campaign as parse_campaign() takes it; what it does not say is as usual."},
)


class WhichTargets(Page, frozen=True):
    """Which devices of a campaign are listed, by their place in it."""

    cursor: Place | None = None
    state: TargetState | None = None


class How(msgspec.Struct, frozen=True):
    """Whether a cancel ends updates that are open, too."""

    hard: Flag = False


def add_campaigns(app: Flask, pool: Pool) -> None:
    """Add these routes to a function's app."""
    routes = Blueprint("campaigns", __name__, url_prefix="/v1/campaigns")

    @routes.post(
        "",
        scope=Scope.OPERATE,
        body=Body(CAMPAIGN_TO_PLAN),
        answers={201: CAMPAIGN_WITH_STEPS},
        refusals=[ConflictError, NotFoundError],
    )
    def plan() -> Response:
        """Plan a campaign; it starts when somebody says so."""
        new = parse_campaign(json_body(), secrets.randbelow(MAX_PLACE))
        return create_campaign(pool, new, caller().name).as_json(), 201, {}

    @routes.get(
        "",
        scope=Scope.READ,
        query=Page,
        answers={200: listed("campaigns", CAMPAIGN, int)},
        refusals=[NotAcceptableError],
    )
    def campaigns(query: Page) -> Listed:
        """List campaigns, the newest first."""
        read = partial(list_campaigns, pool)
        return list_by_id("campaigns", CAMPAIGN, query.cursor, read, CampaignRow.as_json)

    @routes.get("/<int:id_>", scope=Scope.READ, answers={200: CAMPAIGN_WITH_STEPS})
    def campaign(id_: int) -> dict[str, Any]:
        """Show a campaign: how far its waves are, its failures by kind, its steps."""
        return show_campaign(pool, known_id(id_, "campaign")).as_json()

    @routes.get(
        "/<int:id_>/targets",
        scope=Scope.READ,
        query=WhichTargets,
        answers={200: listed("targets", TARGET, int)},
        refusals=[NotAcceptableError],
    )
    def targets(id_: int, query: WhichTargets) -> Listed:
        """List the devices of a campaign by their place."""
        read = partial(list_targets, pool, known_id(id_, "campaign"), query.state)
        return list_by_id("targets", TARGET, query.cursor, read, Target._asdict, attrgetter("place"))

    @routes.post(
        "/<int:id_>/<action>",
        scope=Scope.OPERATE,
        query=How,
        answers={200: CAMPAIGN_WITH_STEPS},
        refusals=[ConflictError],
    )
    def act_(id_: int, action: str, query: How) -> dict[str, Any]:
        """Start, pause, resume or cancel a campaign, retry what failed, or open the next wave."""
        if action not in list(Action):
            raise NotFoundError(f"a campaign has the actions {', '.join(Action)}, and no {action!r}")
        done = act(pool, known_id(id_, "campaign"), Action(action), caller().name, hard=query.hard)
        return done.as_json()

    app.register_blueprint(routes)
