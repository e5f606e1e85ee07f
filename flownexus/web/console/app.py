"""What holds for every page of the console: who may see it, forms, headers, errors.

A route declares its access: @app.get("/", access=Access.VIEWER). A request that changes something carries the
token of a form of the same session, and comes from a page of the same site: no route can leave that out.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import time
import tomllib
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, make_response, redirect, render_template, request, url_for
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from flownexus.accounts.passwords import PasswordHashes
from flownexus.accounts.place import Place
from flownexus.accounts.role import Role
from flownexus.accounts.tokens import form_token, is_form_token, new_token
from flownexus.errors import FlowNexusError
from flownexus.logs import add_correlation_ids, correlate, correlation_id
from flownexus.store.pool import Pool
from flownexus.store.session import Session, find_session
from flownexus.web.console.browser import NAME, URL, cookie, is_tls, set_cookie, site
from flownexus.web.guard import UndeclaredScopeError
from flownexus.web.openid import OpenId

log = logging.getLogger(__name__)

SESSION_IDLE_S: Final = 3600.0
"""Seconds without anything done after which a session is over (NIST SP 800-63B-4, 2.2.3: an hour at most)."""
SESSION_LIFETIME_S: Final = 24 * 3600.0
"""Seconds after which a session is over, whatever was done (the same: 24 hours at most)."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MIN_COMPRESSED: Final = 1000  # bytes
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: a form would then come with the Origin null.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_HSTS: Final = "max-age=31536000"


class Access(StrEnum):
    """Whom a route is for."""

    ANYBODY = "anybody"
    HALF = "half"
    """Who gave the right password, and is asked for the second factor."""
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class AccessRule(Rule):
    """A route that says whom it is for; `live`: a page asks for it by itself, which keeps no session."""

    def __init__(
        self, string: str, *, access: Access | None = None, live: bool = False, **options: Any
    ) -> None:
        if access is None:
            raise UndeclaredScopeError(string, options.get("methods") or ())
        super().__init__(string, **options)
        self.access = access
        self.live = live


class ForgedFormError(FlowNexusError):
    """The form does not belong to this session: it is old, or another site sent it. Load the page again."""

    status = 403
    title = "Not sent from here"


class NotForYouError(FlowNexusError):
    """Your role does not allow this; an administrator can give you another one."""

    status = 403
    title = "Not allowed"


class _SignInError(Exception):
    """There is no session that the route could be for."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self.endpoint = endpoint


class ConsoleApp(Flask):
    """The application; `folder` has its templates, static files and words; `place` is where passkeys hold.

    `openid` is how people sign in by a provider, where there is one.
    """

    url_rule_class: type[Rule] = AccessRule

    def __init__(
        self,
        pool: Pool,
        folder: Path,
        hashes: PasswordHashes | None = None,
        idle_s: float = SESSION_IDLE_S,
        lifetime_s: float = SESSION_LIFETIME_S,
        clock: Callable[[], float] = time.time,
        place: Place | None = None,
        openid: OpenId | None = None,
    ) -> None:
        super().__init__(NAME, static_folder=None, template_folder=str(folder / "templates"))
        add_correlation_ids()
        self.url_map.merge_slashes = False
        self.jinja_env.undefined = StrictUndefined
        self.jinja_env.trim_blocks = self.jinja_env.lstrip_blocks = True
        self.pool = pool
        self.ready = pool.ready
        self.hashes = hashes or PasswordHashes()
        self.idle_s, self.lifetime_s, self.clock = idle_s, lifetime_s, clock
        self.place, self.openid = place, openid
        self.static = folder / "static"
        self.words: dict[str, Any] = tomllib.loads((folder / "words" / "en-GB.toml").read_text("utf-8"))
        self._versions: dict[str, str] = {}
        self.before_request(_admit)
        self.after_request(_finish)
        self.register_error_handler(Exception, _error)
        self.context_processor(self._for_templates)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request; the gateway has taken the function's own path off it."""
        return super().__call__({**environ, "SCRIPT_NAME": URL}, start_response)

    def _for_templates(self) -> dict[str, Any]:
        return {
            "w": self.words,
            "me": session(),
            "may": may,
            "Role": Role,
            "form_token": _form_token,
            "asset": self.asset,
            "openid": self.openid and self.openid.client,
            "has_asset": lambda name: (self.static / name).exists(),
        }

    def asset(self, name: str) -> str:
        """Return the URL of a static file, another one when it changes: it may be cached for good."""
        if name not in self._versions:
            self._versions[name] = hashlib.sha256((self.static / name).read_bytes()).hexdigest()[:12]
        return url_for("static_file", name=name, v=self._versions[name])


def session() -> Session | None:
    """Return the session of the request at hand, if its route is not for anybody."""
    found: Session | None = g.get("session")
    return found


def me() -> Session:
    """Return who sends the request at hand, to a route that is not for anybody."""
    found = session()
    assert found is not None  # noqa: S101  # for the type checker: _admit has seen to it
    return found


def may(role: Role) -> bool:
    """Say whether who sends the request at hand may do what is for a role."""
    found = session()
    return found is not None and found.is_complete and Role(found.role).includes(role)


def _admit() -> None:
    """Let a request in to whom its route is for; raise why not."""
    g.token, g.is_new, g.session = cookie("session"), False, None
    correlate(correlation_id(request.headers.get))
    rule = request.url_rule
    if not isinstance(rule, AccessRule):
        return  # there is no such route
    if request.method not in _SAFE:
        _check_form()
    if rule.access is Access.ANYBODY:
        return
    app = console()
    if g.token is not None:
        g.session = find_session(app.pool, g.token, app.idle_s, keep=not rule.live)
    found = session()
    if found is None:
        raise _SignInError("sign_in")
    if found.is_complete == (rule.access is Access.HALF):
        raise _SignInError("fleet" if found.is_complete else "second_factor")
    if found.is_complete and not Role(found.role).includes(Role(rule.access)):
        raise NotForYouError


def console() -> ConsoleApp:
    """Return the application of the request at hand."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    assert isinstance(app, ConsoleApp)  # noqa: S101  # for the type checker
    return app


def _check_form() -> None:
    """Raise ForgedFormError unless a page of this session has sent the form."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != urlsplit(site()).netloc:
        raise ForgedFormError
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise ForgedFormError
    if g.token is None or not is_form_token(sent_token(), g.token):
        raise ForgedFormError


def sent_token() -> str:
    """Return the token of the form at hand, which is another one on each page."""
    # A header where the body is no form: no other site can set one.
    return request.headers.get("X-Form-Token") or request.form.get("form_token", "")


def _finish(response: Response) -> Response:
    """Add what each answer has."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if is_tls():
        response.headers["Strict-Transport-Security"] = _HSTS
    if g.get("is_new"):
        set_cookie(response, "session", g.token)
    _compress(response)
    return response


def _compress(response: Response) -> None:
    if (
        response.direct_passthrough
        or response.mimetype == "text/event-stream"  # its pieces go as they come
        or "Content-Encoding" in response.headers
        or not request.accept_encodings.quality("gzip")
        or not (
            (response.mimetype or "").startswith("text/")
            or response.mimetype in {"application/json", "image/svg+xml"}
        )
    ):
        return
    body = response.get_data()
    if len(body) >= _MIN_COMPRESSED:
        response.set_data(gzip.compress(body, 6, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
        response.vary.add("Accept-Encoding")


def is_fragment() -> bool:
    """Say whether a script asks, for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def _error(error: Exception) -> Response:
    """Answer with what went wrong, as a page or a part of one."""
    if isinstance(error, _SignInError):
        return _to_sign_in(error.endpoint)
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException) and error.code is not None:
        if error.code < 400:
            return make_response(error.get_response())
        status, title, detail = error.code, error.name, _detail_of(error.code, error.description)
        headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    elif isinstance(error, FlowNexusError):
        status, title, detail = error.status, error.title, error.detail
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
    else:
        log.exception("unforeseen error", exc_info=error)
        status, title, detail = 500, "Internal error", console().words["error"]["unforeseen"]
    template = "error_part.html" if is_fragment() else "error.html"
    response = make_response(
        render_template(template, status=status, title=title, detail=detail), status, headers
    )
    if isinstance(request.url_rule, AccessRule) and request.url_rule.live:
        response.headers["HX-Reswap"] = "none"  # what the page shows stays, and it asks again
    return response


def _detail_of(status: int, description: str | None) -> str:
    return str(console().words["error"]["not_found"]) if status == 404 else description or ""


def _to_sign_in(endpoint: str) -> Response:
    """Send who has no session, or half of one, to where it is made; and then back."""
    comes_back = request.method == "GET" and not is_fragment() and endpoint != "fleet"
    target = url_for(endpoint, next=request.full_path.rstrip("?") if comes_back else None)
    if is_fragment():
        return make_response("", 401, {"HX-Redirect": target})
    return make_response(redirect(target, 303))


def to_next(path: str) -> Response:
    """Send somebody on to the page that they wanted: one of ours, whatever the path says."""
    wanted = urlsplit(path)
    inside = path.startswith("/") and not wanted.netloc and not wanted.scheme and path.isprintable()
    return make_response(redirect(URL + path if inside and "\\" not in path else url_for("fleet"), 303))


def begin(token: str) -> None:
    """Have the answer set the session's cookie."""
    g.token, g.is_new = token, True


def _form_token() -> str:
    """Return the token of this answer's forms; who has no session yet gets a cookie that stands for none."""
    if g.token is None:
        begin(new_token())
    if g.get("form_token") is None:
        g.form_token = form_token(g.token)
    token: str = g.form_token
    return token


def page(template: str, status: int = 200, /, **values: Any) -> Response:
    """Render a page."""
    return make_response(render_template(template, **values), status)


def fields(names: Iterable[str]) -> dict[str, str]:
    """Return these fields of the form at hand, and no others of it; what is missing is empty."""
    return {name: request.form.get(name, "") for name in names}
