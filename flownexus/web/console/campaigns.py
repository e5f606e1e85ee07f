"""Campaigns: one package for many devices: planned, looked at, started, watched wave by wave, steered."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

from flask import Response, make_response, redirect, request, url_for

from flownexus.campaigns.plan import DEFAULT_WAVES, Rules, parse_campaign
from flownexus.campaigns.progress import ALLOWED, Action, Status
from flownexus.errors import (
    ConflictError,
    FlowNexusError,
    MissingSettingError,
    NotFoundError,
    ValidationFailedError,
)
from flownexus.settings import duration
from flownexus.store.campaign import (
    act,
    create_campaign,
    list_campaigns,
    list_targets,
    show_campaign,
)
from flownexus.store.campaign_rows import Campaign
from flownexus.store.firmware import show_package
from flownexus.web import paging
from flownexus.web.asked import MAX_ROW_ID
from flownexus.web.campaigns import MAX_PLACE, STATES
from flownexus.web.console.app import Access, ConsoleApp, fields, me, page
from flownexus.web.console.devices import if_changed
from flownexus.web.console.updates import package_id, usable
from flownexus.web.console.windows import FIELDS, windows_of
from flownexus.web.places import known_id

PAGE: Final = 50
NUMBERS: Final = (
    *("first_success", "success", "failures", "min_finished", "sleepers", "max_open", "starts_per_minute"),
)
DURATIONS: Final = ("soak", "sleepers_after")
TIMES: Final = ("starts_at", "ends_at")
ASKED: Final = (
    *("name", "firmware", "endpoints", "filter", "model", "from_versions", "waves", "approval", "joining"),
    *(*NUMBERS, *DURATIONS, *TIMES, *FIELDS),
)
FILTERS: Final = ("", "WAITING_TO_BEGIN", "DOWNLOADING", "WAITING", "CONFIRMED", "FAILED", "LEFT_OUT")
"""The states of devices that a page offers to look at alone."""
OVER: Final = frozenset({Status.CANCELLED, Status.FINISHED})
_LINES: Final = re.compile(r"[\r\n]+")


def add_campaigns(app: ConsoleApp) -> None:
    """Add these routes."""

    @app.get("/campaigns", access=Access.VIEWER)
    def campaigns() -> Response:
        return page("campaigns.html", **_campaigns(app))

    @app.get("/live/campaigns", access=Access.VIEWER, live=True)
    def live_campaigns() -> Response:
        return if_changed("campaigns_part.html", **_campaigns(app))

    @app.get("/campaigns/new", access=Access.OPERATOR)
    def new_campaign() -> Response:
        given = {**DEFAULTS, **{name: request.args.get(name, "") for name in ("firmware", "filter")}}
        return page("new_campaign.html", given=given, packages=usable(app), problem="")

    @app.post("/campaigns", access=Access.OPERATOR)
    def plan_campaign() -> Response:
        given = fields(ASKED)
        try:
            new = parse_campaign(campaign_of(given), secrets.randbelow(MAX_PLACE))
            planned = create_campaign(app.pool, new, me().name)
        except (ValidationFailedError, ConflictError, NotFoundError) as error:
            return _refused(app, given, error)
        return make_response(redirect(url_for("campaign", id_=planned.row.id), 303))

    @app.get("/campaigns/<int:id_>", access=Access.VIEWER)
    def campaign(id_: int) -> Response:
        return page("campaign.html", **_campaign(app, id_))

    @app.get("/live/campaigns/<int:id_>", access=Access.VIEWER, live=True)
    def live_campaign(id_: int) -> Response:
        return if_changed("campaign_part.html", **_campaign(app, id_))

    @app.get("/campaigns/<int:id_>/end", access=Access.OPERATOR)
    def end_campaign(id_: int) -> Response:
        return page("end_campaign.html", campaign=show_campaign(app.pool, known_id(id_, "campaign")).row)

    @app.post("/campaigns/<int:id_>/act", access=Access.OPERATOR)
    def act_on_campaign(id_: int) -> Response:
        given = fields(("action", "hard"))
        if given["action"] not in list(Action):
            raise ValidationFailedError(f"action: one of {', '.join(Action)}")
        act(
            app.pool,
            known_id(id_, "campaign"),
            Action(given["action"]),
            me().name,
            hard=given["hard"] == "true",
        )
        return make_response(redirect(url_for("campaign", id_=id_), 303))


def _refused(app: ConsoleApp, given: Mapping[str, str], error: FlowNexusError) -> Response:
    shown = {"given": given, "packages": usable(app), "problem": error.detail}
    return page("new_campaign.html", error.status, **shown)


def _campaigns(app: ConsoleApp) -> dict[str, Any]:
    cursor = paging.number("cursor", MAX_ROW_ID)
    found = list_campaigns(app.pool, cursor, PAGE + 1)
    following = found[PAGE - 1].id if len(found) > PAGE else None
    return {"campaigns": found[:PAGE], "next": following, "cursor": cursor, "seen": ""}


def _campaign(app: ConsoleApp, id_: int) -> dict[str, Any]:
    known = known_id(id_, "campaign")
    state, cursor = paging.one_of("state", STATES), paging.number("cursor", MAX_PLACE)
    found: Campaign = show_campaign(app.pool, known)
    targets = list_targets(app.pool, known, state, cursor, PAGE + 1)
    possible = [each for each in Action if found.row.status in ALLOWED[each][0]]
    if found.row.wave >= len(found.waves) and Action.NEXT_WAVE in possible:
        possible.remove(Action.NEXT_WAVE)
    has_failed = any(wave.failed for wave in found.waves)
    if (not has_failed or found.row.end_has_come) and Action.RETRY in possible:
        possible.remove(Action.RETRY)
    return {
        "campaign": found.row,
        "package": show_package(app.pool, found.row.firmware),
        "rules": found.row.its_rules,
        "waves": found.waves,
        "devices": sum(wave.targets for wave in found.waves),
        "failures": found.failures,
        "steps": found.steps,
        "estimate_s": found.estimated_s,
        "actions": possible,
        "is_over": found.row.status in OVER,
        "targets": targets[:PAGE],
        "next": attrgetter("place")(targets[PAGE - 1]) if len(targets) > PAGE else None,
        "cursor": cursor,
        "state": state,
        "choices": FILTERS,
        "seen": "",
    }


# ---------------------------------------------------------------------------------------------------------
# The form of a new campaign


def _shown(seconds: float) -> str:
    """Return a duration as duration() reads it: 3600.0 as 1h."""
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


DEFAULTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(ASKED, ""),
    "waves": ", ".join(DEFAULT_WAVES),
    **{name: f"{getattr(Rules(), name):g}" for name in NUMBERS},
    **{name: _shown(getattr(Rules(), name)) for name in DURATIONS},
}


def campaign_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Return a form's fields as the body that the REST API takes; what is empty is left out.

    Endpoints are one a line, for names may have commas; waves and versions have commas between. Raises
    ValidationFailedError.
    """
    text = {name: value.strip() for name, value in given.items() if value.strip()}
    body: dict[str, Any] = {"name": text.get("name", ""), "firmware": package_id(text.get("firmware", ""))}
    if "endpoints" in text:
        body["endpoints"] = [line.strip() for line in _LINES.split(text["endpoints"]) if line.strip()]
    body |= {name: text[name] for name in ("filter", "model") if name in text}
    for name in ("waves", "from_versions"):
        if name in text:
            body[name] = [part.strip() for part in text[name].split(",") if part.strip()]
    body |= {name: _number(text[name]) for name in NUMBERS if name in text}
    body |= {name: _seconds(name, text[name]) for name in DURATIONS if name in text}
    # A browser's field for times names no zone, and may leave seconds out: it is UTC, as the form says.
    body |= {name: f"{text[name]}{':00' * (text[name].count(':') == 1)}Z" for name in TIMES if name in text}
    body |= windows_of({name: given.get(name, "") for name in FIELDS})
    return body | {name: text[name] == "true" for name in ("approval", "joining") if name in text}


def _number(text: str) -> float | str:
    """Return a number, or the text as it is for the rule's own error."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _seconds(name: str, text: str) -> float:
    try:
        return duration(text)
    except MissingSettingError:
        raise ValidationFailedError(f"{name}: is a duration, such as 90m or 24h") from None
