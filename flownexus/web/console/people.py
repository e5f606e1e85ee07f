"""Users, for administrators; one's own profile; the audit log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import segno
from flask import Response, g, make_response, redirect, request, url_for
from markupsafe import Markup

from flownexus.accounts.role import Role, as_name
from flownexus.accounts.second_factor import (
    new_recovery_codes,
    new_secret,
    recovery_digest,
    step_of_code,
    uri,
)
from flownexus.accounts.tokens import digest
from flownexus.errors import ConflictError, ValidationFailedError
from flownexus.store import audit
from flownexus.store import session as sessions
from flownexus.store import user as users
from flownexus.store.user import User
from flownexus.web import paging
from flownexus.web.asked import MAX_ROW_ID
from flownexus.web.console.app import Access, ConsoleApp, fields, me, page
from flownexus.web.console.browser import site
from flownexus.web.console.sign_in import of_account, of_address, problem_of, too_soon, wait_for

AUDIT_PAGE: Final = 100
_SECRET: Final = re.compile(r"[A-Z2-7]{32}")
MAX_ID: Final = 2**31 - 1


def add_people(app: ConsoleApp) -> None:
    """Add these routes."""
    _add_users(app)
    _add_profile(app)

    @app.get("/audit", access=Access.ADMIN)
    def audit_log() -> Response:
        endpoint = paging.endpoint_name("device") or None
        cursor = paging.number("cursor", MAX_ROW_ID)
        entries = audit.list_entries(app.pool, endpoint, cursor, AUDIT_PAGE + 1)
        return page(
            "audit.html",
            entries=entries[:AUDIT_PAGE],
            next=entries[AUDIT_PAGE - 1].id if len(entries) > AUDIT_PAGE else None,
            endpoint=endpoint,
            chain=audit.check(app.pool) if "check" in request.args else None,
        )


def _add_users(app: ConsoleApp) -> None:
    @app.get("/users", access=Access.ADMIN)
    def list_users() -> Response:
        return _users(app)

    @app.post("/users", access=Access.ADMIN)
    def invite() -> Response:
        given = fields(("name", "role"))
        name, role = as_name(given["name"]), _role(given["role"])
        if name is None:
            return _users(app, 422, problem=app.words["welcome"]["name_rule"])
        try:
            token = users.invite(app.pool, me().name, name, role)
        except ConflictError as error:
            return _users(app, 409, problem=error.detail)
        return _users(app, link=_link(token), link_of=name)

    @app.post("/users/<int:id_>/reset", access=Access.ADMIN)
    def reset_user(id_: int) -> Response:
        user = users.user_of_id(app.pool, _known(id_))
        try:
            token = users.reset(app.pool, me().name, id_)
        except ConflictError as error:
            return _users(app, 409, problem=error.detail)
        return _users(app, link=_link(token), link_of=user.name)

    @app.post("/users/<int:id_>/role", access=Access.ADMIN)
    def change_role(id_: int) -> Response:
        return _changed(
            app, lambda: users.change_role(app.pool, me().name, _known(id_), _role(request.form["role"]))
        )

    @app.post("/users/<int:id_>/disable", access=Access.ADMIN)
    def disable_user(id_: int) -> Response:
        return _changed(app, lambda: users.set_disabled(app.pool, me().name, _known(id_), disabled=True))

    @app.post("/users/<int:id_>/enable", access=Access.ADMIN)
    def enable_user(id_: int) -> Response:
        return _changed(app, lambda: users.set_disabled(app.pool, me().name, _known(id_), disabled=False))

    @app.post("/users/<int:id_>/sign-out", access=Access.ADMIN)
    def sign_out_user(id_: int) -> Response:
        return _changed(app, lambda: users.sign_out_everywhere(app.pool, me().name, _known(id_)))


def _known(id_: int) -> int:
    return min(id_, MAX_ID)  # no user has one so large


def _role(text: str) -> Role:
    if text not in list(Role):
        raise ValidationFailedError(f"role: one of {', '.join(Role)}")
    return Role(text)


def _users(app: ConsoleApp, status: int = 200, **values: str) -> Response:
    shown = {"problem": "", "link": "", "link_of": "", **values}
    return page("users.html", status, users=users.list_users(app.pool), **shown)


def _changed(app: ConsoleApp, change: Callable[[], None]) -> Response:
    try:
        change()
    except ConflictError as error:
        return _users(app, 409, problem=error.detail)
    return make_response(redirect(url_for("list_users"), 303))


def _link(token: str) -> str:
    return f"{site()}{url_for('welcome', token=token)}"


# ---------------------------------------------------------------------------------------------------------
# One's own profile


def _add_profile(app: ConsoleApp) -> None:
    @app.get("/me", access=Access.VIEWER)
    def profile() -> Response:
        return _profile(app)

    @app.post("/me/password", access=Access.VIEWER)
    def change_password() -> Response:
        given = fields(("current", "password", "again"))
        user, refused = _confirmed(app, given["current"])
        if refused is not None:
            return refused
        if problem := problem_of(app, given["password"], given["again"], user.name):
            return _profile(app, 422, problem=problem)
        users.change_password(app.pool, user, app.hashes.of(given["password"]), digest(g.token))
        return _profile(app, done=app.words["me"]["password_changed"])

    @app.get("/me/second-factor", access=Access.VIEWER)
    def new_second_factor() -> Response:
        return _second_factor(new_secret())

    @app.post("/me/second-factor", access=Access.VIEWER)
    def add_second_factor() -> Response:
        given = fields(("current", "secret", "code"))
        if not _SECRET.fullmatch(given["secret"]):
            raise ValidationFailedError("secret: 32 characters of base32, as the page has made them")
        user, refused = _confirmed(app, given["current"])
        if refused is not None:
            return refused
        step = step_of_code(given["secret"], given["code"], app.clock(), None)
        if step is None:
            return _second_factor(given["secret"], 422, app.words["second_factor"]["wrong"])
        codes = new_recovery_codes()
        users.set_second_factor(
            app.pool, user, given["secret"], step, [recovery_digest(each) for each in codes]
        )
        return page("recovery_codes.html", codes=codes)

    @app.post("/me/second-factor/remove", access=Access.VIEWER)
    def remove_second_factor() -> Response:
        user, refused = _confirmed(app, fields(("current",))["current"])
        if refused is not None:
            return refused
        users.remove_second_factor(app.pool, user)
        return _profile(app, done=app.words["me"]["second_factor_removed"])

    @app.post("/me/sign-out-everywhere", access=Access.VIEWER)
    def sign_out_everywhere() -> Response:
        users.sign_out_everywhere(app.pool, me().name, me().user_id)
        return make_response(redirect(url_for("sign_in"), 303))


def _confirmed(app: ConsoleApp, password: str) -> tuple[User, Response | None]:
    """Return who is signed in, and the refusal where this is not their password."""
    user = users.user_of_id(app.pool, me().user_id)
    return user, refusal_of(app, user, password, "me.html", _shown(app, user))


def refusal_of(
    app: ConsoleApp, user: User, password: str, template: str, shown: Mapping[str, object]
) -> Response | None:
    """Return this page with the refusal where this is not the password of who is signed in; else None."""
    account = of_account(app, user.name)
    if wait := wait_for(app, account):
        return too_soon(app, template, wait, **shown)
    if not app.hashes.fits(password, user.password_hash):
        return page(template, 422, **{**shown, "problem": app.words["me"]["wrong_password"]})
    sessions.forgive(app.pool, of_address(), account)
    return None


def _profile(app: ConsoleApp, status: int = 200, **values: str) -> Response:
    user = users.user_of_id(app.pool, me().user_id)
    return page("me.html", status, **{"problem": "", **_shown(app, user), **values})


def _shown(app: ConsoleApp, user: User) -> dict[str, object]:
    return {
        "user": user,
        "done": "",
        "codes_left": users.recovery_codes_left(app.pool, user.id),
        "sessions": sessions.list_sessions(app.pool, user.id),
        "own_hash": digest(g.token),
    }


def _second_factor(secret: str, status: int = 200, problem: str = "") -> Response:
    code = segno.make(uri(secret, me().name), error="m")
    drawing = code.svg_inline(scale=5, border=2, dark="#000", light="#fff", omitsize=True)
    return page("new_second_factor.html", status, secret=secret, qr=Markup(drawing), problem=problem)  # noqa: S704  # our own SVG
