"""What is observed of a device now, as REST.

GET /v1/endpoints/<name>/observations  {"registered", "observations": [{"composite", "paths"}, ...]}, as
                                       Leshan has them now; a device that is not registered has none

503 where Leshan is away. What is to be observed, and what became of that, is its plan:
flownexus.web.profiles.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import msgspec
from flask import Blueprint, Flask

from flownexus.leshan.observations import Ask, Observation, observations
from flownexus.store.endpoint_values import known_endpoint
from flownexus.store.pool import Pool
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown
from flownexus.web.places import known_name

OBSERVATION: Final = shown(Observation)


class Observed(msgspec.Struct):
    """What Leshan observes of an endpoint now; `registered` is whether it is registered there."""

    registered: bool
    observations: list[OBSERVATION]  # type: ignore[valid-type]


def add_observations(app: Flask, pool: Pool, ask_leshan: Ask) -> None:
    """Add this route to an app that has those of endpoints."""
    routes = Blueprint("observations", __name__, url_prefix="/v1/endpoints")

    @routes.get("/<endpoint_name:name>/observations", scope=Scope.READ, answers={200: Observed})
    def observed(name: str) -> dict[str, Any]:
        """Show what Leshan observes of an endpoint now."""
        known_endpoint(pool, known_name(name))
        found = observations(ask_leshan, name)
        return {"registered": found is not None, "observations": list(map(asdict, found or []))}

    app.register_blueprint(routes)
