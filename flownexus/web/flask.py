"""Functions that are Flask apps."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, request
from werkzeug.exceptions import HTTPException, NotFound

from flownexus.web.guard import HOOK, Guard
from flownexus.web.problem import Response, problem, problem_of

_TOLD = frozenset({"allow", "location"})
"""Headers of an HTTP error that the caller has to see."""


class FunctionApp(Flask):
    """A Flask app with what the function's server asks of it."""

    guard: Guard
    ready: Callable[[], bool]
    """Says whether the function has what it needs; may block."""


def flask_app(name: str, guard: Guard, ready: Callable[[], bool]) -> FunctionApp:
    """Make a function's Flask app, in which every error becomes a problem."""
    app = FunctionApp(name, static_folder=None)
    app.url_map.merge_slashes = False  # it redirects, to a Location that has the path
    app.guard = guard
    app.ready = ready
    app.register_error_handler(Exception, _problem)
    return app


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
