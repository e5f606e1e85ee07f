"""Sign in by a provider of OpenID Connect, where there is one; and sign out there, too."""

from __future__ import annotations

import logging

from flask import Response, abort, g, make_response, redirect, request, url_for

from flownexus.accounts.openid import OpenIdRefusedError
from flownexus.accounts.throttle import OF_ADDRESS
from flownexus.accounts.tokens import new_token
from flownexus.store import openid as store
from flownexus.store import session as sessions
from flownexus.web.console import app as edge
from flownexus.web.console.app import Access, ConsoleApp, page
from flownexus.web.console.browser import site
from flownexus.web.console.sign_in import go_on, of_address, too_soon
from flownexus.web.openid import OpenId

log = logging.getLogger(__name__)

MAX_CODE = 4096
"""Characters that a code or a state may have; ours of a state are less."""


def add_single_sign_on(app: ConsoleApp) -> None:
    """Add these routes."""

    # A link and no form: the policy of our pages lets no form lead elsewhere.
    @app.get("/sign-in/openid", access=Access.ANYBODY)
    def sign_in_elsewhere() -> Response:
        openid, back = _openid(app), request.args.get("next", "/")[:2000]
        if wait := sessions.attempt(app.pool, {of_address(): OF_ADDRESS}):
            return too_soon(app, "sign_in.html", wait, next=back, name="")
        attempt, url = openid.begin()
        if g.token is None:
            edge.begin(new_token())
        store.keep_attempt(app.pool, g.token, attempt, back)
        return make_response(redirect(url, 303))

    @app.get("/sign-in/openid/back", access=Access.ANYBODY)
    def signed_in_elsewhere() -> Response:
        return _came_back(app, _openid(app))

    @app.get("/sign-out/openid", access=Access.ANYBODY)
    def sign_out_elsewhere() -> Response:
        back = f"{site()}{url_for('sign_in')}"
        return make_response(redirect(_openid(app).end_url(back) or url_for("sign_in"), 303))


def _openid(app: ConsoleApp) -> OpenId:
    if app.openid is None:
        abort(404)
    return app.openid


def _came_back(app: ConsoleApp, openid: OpenId) -> Response:
    code, state = (request.args.get(name, "")[:MAX_CODE] for name in ("code", "state"))
    found = None if g.token is None else store.take_attempt(app.pool, g.token, state)
    words = app.words["openid"]
    if found is None:
        return _again(words["over"])
    attempt, back = found
    if not code or "error" in request.args:
        return _again(words["declined"])
    # The answer's issuer where it tells one (RFC 9207): it is not that of another provider.
    if request.args.get("iss", openid.client.issuer) != openid.client.issuer:
        return _again(words["refused"])
    try:
        identity = openid.identity(code, attempt)
    except OpenIdRefusedError as error:
        log.warning("a sign-in by the provider was refused", extra={"reason": str(error)})
        return _again(words["refused"])
    user = store.user_of_identity(app.pool, identity, adds_users=openid.client.adds_users)
    sessions.forgive(app.pool, of_address())
    return go_on(app, user, back)


def _again(problem: str) -> Response:
    return page("sign_in.html", 422, next="/", name="", problem=problem)
