"""Object models that users have added: looked at, added from a file, removed."""

from __future__ import annotations

from typing import Final

from flask import Response, make_response, redirect, request, url_for

from flownexus.errors import BadRequestError, ConflictError, TooMuchError, ValidationFailedError
from flownexus.store import model as store
from flownexus.web.console.app import Access, ConsoleApp, me, page
from flownexus.web.models import known_model, read_file

PAGE: Final = 500
"""How many models are shown; the REST API has them all."""


def add_models(app: ConsoleApp) -> None:
    """Add these routes."""

    @app.get("/models", access=Access.VIEWER)
    def models() -> Response:
        return _models(app)

    @app.post("/models", access=Access.ADMIN)
    def add_model() -> Response:
        file = request.files.get("file")
        xml = file.read() if file is not None and file.filename else request.form.get("xml", "").encode()
        try:
            parsed, text = read_file(xml)
            replace = request.form.get("replace") == "true"
            added = store.add_models(app.pool, parsed, text, me().name, replace=replace)
        except (BadRequestError, ConflictError, TooMuchError, ValidationFailedError) as error:
            return _models(app, error.status, error.detail)
        first = added[0]
        return make_response(
            redirect(url_for("one_model", object_id=first.object_id, version=first.version), 303)
        )

    @app.get("/models/<int:object_id>/<version>", access=Access.VIEWER)
    def one_model(object_id: int, version: str) -> Response:
        return page("model.html", model=store.show_model(app.pool, *known_model(object_id, version)))

    @app.post("/models/<int:object_id>/<version>/remove", access=Access.ADMIN)
    def remove_model(object_id: int, version: str) -> Response:
        store.remove_model(app.pool, *known_model(object_id, version), me().name)
        return make_response(redirect(url_for("models"), 303))


def _models(app: ConsoleApp, status: int = 200, problem: str = "") -> Response:
    found = store.list_models(app.pool, None, None, PAGE, added_only=True)
    return page("models.html", status, models=found, problem=problem)
