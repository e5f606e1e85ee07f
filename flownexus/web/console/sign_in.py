"""Sign in, with a second factor where the user has one; sign out; choose a password by a link.

A user who is not there is answered as one who is, in the same words and the same time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from flask import Response, g, make_response, redirect, request, url_for

from flownexus.accounts.passwords import Fault, fault_of
from flownexus.accounts.role import as_name
from flownexus.accounts.second_factor import recovery_digest, step_of_code
from flownexus.accounts.throttle import OF_ACCOUNT, OF_ADDRESS, Limit
from flownexus.accounts.tokens import digest, new_token
from flownexus.errors import ConflictError, NotFoundError
from flownexus.store import session as sessions
from flownexus.store import user as users
from flownexus.store.user import User
from flownexus.web.console import app as edge
from flownexus.web.console.app import Access, ConsoleApp, fields, me, page
from flownexus.web.console.browser import BROWSER_COOKIE_LIFETIME, address, cookie, set_cookie, site

log = logging.getLogger(__name__)

SECOND_FACTOR_S: Final = 600.0
"""Seconds in which the second factor is to follow the password."""


def add_sign_in(app: ConsoleApp) -> None:
    """Add these routes."""

    @app.get("/static/<path:name>", access=Access.ANYBODY)
    def static_file(name: str) -> Response:
        return static(app, name)

    @app.get("/sign-in", access=Access.ANYBODY)
    def sign_in() -> Response:
        return page("sign_in.html", next=request.args.get("next", "/"), name="", problem="")

    @app.post("/sign-in", access=Access.ANYBODY)
    def signed_in() -> Response:
        return _signed_in(app)

    @app.get("/second-factor", access=Access.HALF)
    def second_factor() -> Response:
        user = users.user_of_id(app.pool, me().user_id)
        return second_factor_page(app, user, request.args.get("next", "/"))

    @app.post("/second-factor", access=Access.HALF)
    def second_factor_given() -> Response:
        return _second_factor_given(app)

    @app.post("/sign-out", access=Access.VIEWER)
    def sign_out() -> Response:
        sessions.end_session(app.pool, g.token)
        response = make_response(redirect(url_for("sign_in", out="" if app.openid else None), 303))
        set_cookie(response, "session", None)
        return response

    @app.get("/welcome/<token>", access=Access.ANYBODY)
    def welcome(token: str) -> Response:
        link = users.find_link(app.pool, token)
        if link is None:
            return page("link_over.html", 404)
        return page("welcome.html", link=link, name="", problem="")

    @app.post("/welcome/<token>", access=Access.ANYBODY)
    def welcomed(token: str) -> Response:
        return _welcomed(app, token)


def static(app: ConsoleApp, name: str) -> Response:
    """Answer with a static file, of those that there are."""
    there = {str(path.relative_to(app.static)): path for path in app.static.rglob("*") if path.is_file()}
    if name not in there or name.rpartition("/")[2].startswith("."):
        raise NotFoundError(f"there is no file {name!r}")
    mimetype = _MIMETYPES.get(there[name].suffix, "text/plain")
    response = Response(there[name].read_bytes(), mimetype=mimetype)
    # What a script imports has no version in its URL.
    lasts = "max-age=31536000, immutable" if "v" in request.args else "max-age=300"
    response.headers["Cache-Control"] = f"public, {lasts}"
    return response


_MIMETYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def wait_for(app: ConsoleApp, account: str) -> float:
    """Count an attempt of an account and of the address it comes from; return the seconds to wait, if any."""
    buckets: Mapping[str, Limit] = {account: OF_ACCOUNT, of_address(): OF_ADDRESS}
    return sessions.attempt(app.pool, buckets)


def of_address() -> str:
    """Return the bucket of the address at hand."""
    return f"address {address()}"


def of_account(app: ConsoleApp, name: str) -> str:
    """Return the bucket in which an attempt for this name counts: that of a browser where it is known."""
    browser = cookie("browser")
    if browser is not None and sessions.is_known_browser(app.pool, browser, name):
        return f"browser {digest(browser).hex()} {name}"
    return f"account {digest(name).hex()}"


def too_soon(app: ConsoleApp, template: str, wait: float, **values: object) -> Response:
    """Answer who tries too often; the wait is told, and after it the next attempt counts."""
    seconds = max(1, int(wait + 0.999))
    problem = app.words["sign_in"]["wait"].format(seconds=seconds)
    response = page(template, 429, problem=problem, **values)
    response.headers["Retry-After"] = str(seconds)
    return response


def _signed_in(app: ConsoleApp) -> Response:
    given = fields(("name", "password", "next"))
    name = as_name(given["name"]) or ""
    shown = {"next": given["next"], "name": given["name"][:64]}
    account = of_account(app, name or given["name"].strip().lower())
    if wait := wait_for(app, account):
        return too_soon(app, "sign_in.html", wait, **shown)
    user = users.user_of_name(app.pool, name)
    kept = None if user is None or user.is_disabled else user.password_hash
    if not app.hashes.fits(given["password"], kept) or user is None or kept is None:
        log.warning("a sign-in was refused", extra={"address": address()})
        return page("sign_in.html", 422, problem=app.words["sign_in"]["wrong"], **shown)
    sessions.forgive(app.pool, of_address(), account)
    if app.hashes.is_weaker(kept):
        users.renew_hash(app.pool, user.id, app.hashes.of(given["password"]))
    return go_on(app, user, given["next"])


def go_on(app: ConsoleApp, user: User, back: str) -> Response:
    """Let in who has shown to be this user; who has a second factor is asked for it first."""
    if not user.has_second_factor:
        return enter(app, user, back)
    edge.begin(
        sessions.begin_session(
            app.pool,
            user.id,
            user.name,
            complete=False,
            lifetime_s=SECOND_FACTOR_S,
            address=address(),
            browser=request.headers.get("User-Agent", ""),
            instead_of=g.token,
        )
    )
    return make_response(redirect(url_for("second_factor", next=back), 303))


def _second_factor_given(app: ConsoleApp) -> Response:
    given = fields(("code", "next"))
    user = users.user_of_id(app.pool, me().user_id)
    bucket = f"second {user.id}"
    if wait := wait_for(app, bucket):
        return too_soon(app, "second_factor.html", wait, **second_factor_shown(app, user, given["next"]))
    if not is_second_factor(app, user, given["code"]):
        problem = app.words["second_factor"]["wrong" if user.totp_secret else "wrong_recovery"]
        return second_factor_page(app, user, given["next"], 422, problem)
    sessions.forgive(app.pool, of_address(), bucket)
    return enter(app, user, given["next"])


def second_factor_page(
    app: ConsoleApp, user: User, back: str, status: int = 200, problem: str = ""
) -> Response:
    """Ask for the second factor that the user has."""
    return page("second_factor.html", status, problem=problem, **second_factor_shown(app, user, back))


def second_factor_shown(app: ConsoleApp, user: User, back: str) -> dict[str, object]:
    """Return what the page shows that asks for the second factor."""
    return {"next": back, "user": user, "trouble": trouble_of(app)}


def trouble_of(app: ConsoleApp) -> str:
    """Say why no passkey can be used on the page at hand, and what would help; nothing where one can."""
    if app.place is None:
        return str(app.words["passkeys"]["no_place"])
    if site() != app.place.origin:
        return str(app.words["passkeys"]["elsewhere"].format(origin=app.place.origin))
    return ""


def is_second_factor(app: ConsoleApp, user: User, code: str) -> bool:
    """Take a code by the clock or a recovery code; say whether it was right, and not used before."""
    if user.totp_secret is not None:
        step = step_of_code(user.totp_secret, code, app.clock(), user.totp_step)
        if step is not None:
            return users.use_code(app.pool, user.id, step)
    return users.use_recovery_code(app.pool, user, recovery_digest(code))


def enter(app: ConsoleApp, user: User, back: str) -> Response:
    """Begin the session of a user whose factors were right, and go where they wanted to."""
    browser = cookie("browser") or new_token()
    edge.begin(
        sessions.begin_session(
            app.pool,
            user.id,
            user.name,
            complete=True,
            lifetime_s=app.lifetime_s,
            address=address(),
            browser=request.headers.get("User-Agent", ""),
            instead_of=g.token,
            known_browser=browser,
        )
    )
    response = edge.to_next(back)
    set_cookie(response, "browser", browser, BROWSER_COOKIE_LIFETIME)
    return response


def _welcomed(app: ConsoleApp, token: str) -> Response:
    given = fields(("name", "password", "again"))
    link = users.find_link(app.pool, token)
    if link is None:
        return page("link_over.html", 404)
    name = link.name or as_name(given["name"])
    problem = app.words["welcome"]["name_rule"] if name is None else ""
    problem = problem or problem_of(app, given["password"], given["again"], name or "")
    if problem:
        return page("welcome.html", 422, link=link, name=given["name"][:64], problem=problem)
    try:
        user = users.use_link(app.pool, token, name, app.hashes.of(given["password"]))
    except (NotFoundError, ConflictError):
        return page("link_over.html", 404)
    return enter(app, user, "/")


def problem_of(app: ConsoleApp, password: str, again: str, name: str) -> str:
    """Say what is wrong with a new password, and what would be right; nothing where it is good."""
    fault: Fault | None = fault_of(password, (name, "flownexus", site()))
    if fault is not None:
        return str(app.words["password"][fault])
    return "" if password == again else str(app.words["password"]["differ"])
