"""Tokens of the REST API that users make for themselves: shown once, never more than their role allows."""

from __future__ import annotations

import re
from typing import Final

from flask import Response, make_response, redirect, request, url_for

from flownexus.accounts.role import SCOPES, Role
from flownexus.errors import ConflictError, ValidationFailedError
from flownexus.store import token as store
from flownexus.store import user as users
from flownexus.web.asked import MAX_ROW_ID
from flownexus.web.console.app import Access, ConsoleApp, fields, me, page
from flownexus.web.console.people import refusal_of

DAYS: Final = (1, 30, 90, 365)
DAY_S: Final = 24 * 3600.0
MAX_NAME: Final = 63
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", re.ASCII)


def add_tokens(app: ConsoleApp) -> None:
    """Add these routes."""

    @app.get("/me/tokens", access=Access.VIEWER)
    def tokens() -> Response:
        return _tokens(app)

    @app.post("/me/tokens", access=Access.VIEWER)
    def make_token() -> Response:
        given = fields(("name", "days", "current"))
        scopes = scopes_of(Role(me().role), request.form.getlist("scope"))
        if not _NAME.fullmatch(given["name"]):
            return _tokens(app, 422, problem=app.words["tokens"]["name_rule"])
        if given["days"] not in map(str, DAYS):
            raise ValidationFailedError(f"days: one of {', '.join(map(str, DAYS))}")
        user = users.user_of_id(app.pool, me().user_id)
        if refused := refusal_of(app, user, given["current"], "tokens.html", _shown(app)):
            return refused
        name, lasts = f"{user.name}.{given['name']}"[:MAX_NAME], int(given["days"]) * DAY_S
        try:
            _, token = store.issue(
                app.pool, name, user.name, scopes, user.name, expires_in=lasts, user_id=user.id
            )
        except ConflictError as error:
            return _tokens(app, 409, problem=error.detail)
        return _tokens(app, token=token)

    @app.post("/me/tokens/<int:id_>/revoke", access=Access.VIEWER)
    def revoke_token(id_: int) -> Response:
        store.revoke_own(app.pool, min(id_, MAX_ROW_ID), me().user_id, me().name)
        return make_response(redirect(url_for("tokens"), 303))


def scopes_of(role: Role, asked: list[str]) -> list[str]:
    """Return what a token may do; raise ValidationFailedError where that is nothing, or too much."""
    scopes = [scope for scope in SCOPES[role] if scope in asked]
    if not scopes or set(asked) - set(scopes):
        raise ValidationFailedError(f"scope: some of {', '.join(SCOPES[role])}")
    return scopes


def _tokens(app: ConsoleApp, status: int = 200, **values: str) -> Response:
    return page("tokens.html", status, **{"problem": "", **_shown(app), **values})


def _shown(app: ConsoleApp) -> dict[str, object]:
    found = store.tokens_of_user(app.pool, me().user_id)
    return {"tokens": found, "scopes": SCOPES[Role(me().role)], "days": DAYS, "token": ""}
