"""Object models that users have added, as Leshan asks for them."""

from __future__ import annotations

import hashlib

import msgspec
from flask import Flask, request

from flownexus.store.model import users_models
from flownexus.store.pool import Pool
from flownexus.web.guard import Scope
from flownexus.web.problem import Response


def add_models_for_leshan(app: Flask, pool: Pool) -> None:
    """Add the route by which Leshan learns of the models that users have added."""

    @app.get("/models", scope=Scope.INGEST)
    def models() -> Response:
        body = {"models": users_models(pool)}
        tag = f'"{hashlib.sha256(msgspec.json.encode(body)).hexdigest()[:32]}"'
        unchanged = request.headers.get("If-None-Match") == tag
        return ({}, 304, {"ETag": tag}) if unchanged else (body, 200, {"ETag": tag})
