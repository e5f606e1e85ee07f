"""Functions that are Flask apps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Rule

from flownexus import fields
from flownexus.logs import add_correlation_ids, correlate, correlation_id
from flownexus.web.body import json_body
from flownexus.web.described import Described
from flownexus.web.guard import HOOK, PRINCIPAL, Guard, Principal, Scope, UndeclaredScopeError
from flownexus.web.problem import Response, problem, problem_of

_TOLD = frozenset({"allow", "location"})
"""Headers of an HTTP error that the caller has to see."""


class ScopedRule(Rule):
    """A route that says which scope it asks for, and what it takes and answers.

    @app.post("/", scope=Scope.OPERATE, body=Body.of(NewThing), answers={201: Thing}, refusals=[TooManyError])
    gives the view function `body`, a NewThing of the request's JSON; query=Which gives it `query`, a Which of
    the query. All but the scope is what Described has. The summary is the view function's docstring.
    """

    def __init__(self, string: str, *, scope: Scope | None = None, **options: Any) -> None:
        if scope is None:
            raise UndeclaredScopeError(string, options.get("methods") or ())
        self.described = Described(
            **{name: options.pop(name) for name in Described.__dataclass_fields__ if name in options}
        )
        super().__init__(string, **options)
        self.scope = scope

    def asked(self) -> dict[str, Any]:
        """Return what the request at hand says, checked, as the view function is given it."""
        asked: dict[str, Any] = {}
        if self.described.query is not None:
            asked["query"] = fields.read_query(self.described.query, dict(request.args.lists()))
        if self.described.body is not None and self.described.body.read is not None:
            asked["body"] = self.described.body.read(json_body())
        return asked


class FunctionApp(Flask):
    """A Flask app with what the function's server asks of it, and whose routes declare their scope."""

    url_rule_class: type[Rule] = ScopedRule

    def __init__(self, name: str, guard: Guard, ready: Callable[[], bool]) -> None:
        super().__init__(name, static_folder=None)
        add_correlation_ids()
        self.url_map.merge_slashes = False  # it redirects, to a Location that has the path
        self.ready = ready
        """Says whether the function has what it needs; may block."""
        self._guard = guard
        self._routes = self.url_map.bind("")
        self.before_request(self._let_in)
        self.register_error_handler(Exception, _problem)

    def guard(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> tuple[Principal | None, Response | None]:
        """Say who sends a request, or how it is refused; as the template's server asks, on the head."""
        return self._guard.answer(path, headers, self._scope(method, path))

    def _scope(self, method: str, path: str) -> Scope | None:
        """Return what the route of a request asks for; None where there is no such route."""
        try:
            rule, _ = self._routes.match(path, method, return_rule=True)
        except HTTPException:
            return None
        assert isinstance(rule, ScopedRule)  # noqa: S101  # for the type checker: url_rule_class
        return rule.scope

    def _let_in(self) -> None:
        """Let in whom the server has asked about, or ask where it is another server; then ask the route."""
        correlate(correlation_id(request.headers.get))
        principal: Principal | None = request.environ.get(PRINCIPAL)
        if principal is None:
            principal = self._guard.principal(request.path, request.headers.get("Authorization"))
        g.principal = principal
        if isinstance(request.url_rule, ScopedRule):
            principal.require(request.url_rule.scope)
            if request.method != "OPTIONS":  # Flask answers it, not the view function
                request.view_args = (request.view_args or {}) | request.url_rule.asked()


def caller() -> Principal:
    """Return who sends the request at hand."""
    principal: Principal = g.principal
    return principal


def _problem(error: Exception) -> Response:
    if not isinstance(error, HTTPException) or error.code is None:
        return problem(error)
    headers = {name: value for name, value in error.get_headers() if name.lower() in _TOLD}
    detail = (
        f"there is nothing at {_shown(request.path)}" if isinstance(error, NotFound) else error.description
    )
    return problem_of(error.code, error.name, detail or "", headers)


def _shown(path: str) -> str:
    """Return a path to tell: no token of /hook/<token>/."""
    before, hook, _ = path.partition(HOOK)
    return f"{before}{hook}..." if hook else path
