"""Devices that Leshan did not let in, as REST, the newest first.

GET /v1/refusals  ?endpoint=&limit=50&cursor=: {"refusals": [...], "next"}: the endpoint name and the address
                  that a device came with, both null where many came at once, the cause, how often, and the
                  remedy

Lists are JSON, CSV or NDJSON, see flownexus.web.formats.
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Flask, Response

from flownexus.errors import NotAcceptableError
from flownexus.store.pool import Pool
from flownexus.store.refusal import StoredRefusal, list_refusals
from flownexus.web.asked import EndpointName, OfList
from flownexus.web.formats import Listing, listed
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown, with_fields
from flownexus.web.paging import Cursors, Key, Number, Time

REFUSAL: Final = with_fields(shown(StoredRefusal, without=("id",)), remedy=str)


class WhichRefusals(OfList, frozen=True):
    """Which refusals are listed: of one endpoint name, or of all."""

    endpoint: EndpointName | None = None


def add_refusals(app: Flask, pool: Pool) -> None:
    """Add this route to a function's app."""
    routes = Blueprint("refusals", __name__, url_prefix="/v1/refusals")

    @routes.get(
        "",
        scope=Scope.READ,
        query=WhichRefusals,
        answers={200: listed("refusals", REFUSAL)},
        refusals=[NotAcceptableError],
    )
    def refusals(query: WhichRefusals) -> Response:
        """List devices that Leshan did not let in, the newest first, with the remedy."""
        cursors = Cursors("refusals", {"endpoint": query.endpoint})

        def read(after: Key | None, limit: int) -> list[StoredRefusal]:
            return list_refusals(pool, query.endpoint, (after[0], after[1]) if after else None, limit)

        return Listing(
            "refusals",
            cursors,
            cursors.asked(Time, Number),
            read,
            lambda refusal: (refusal.last_at, refusal.id),
            StoredRefusal.as_json,
            StoredRefusal.COLUMNS,
        ).answer()

    app.register_blueprint(routes)
