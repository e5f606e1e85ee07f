"""Dead letters, as REST: what could not be stored, and what people do with it.

GET    /v1/dead-letters              ?endpoint=&kind=&settlement=&limit=50&cursor=: {"dead_letters": [...],
                                     "next"}, the newest first; without `settlement` those that wait
GET    /v1/dead-letters/<id>         one, with its item as it came
POST   /v1/dead-letters/<id>/replay  deliver its item again, as a webhook does: it, with "outcome",
                                     {"stored", "skipped", "rejected"}; twice stores it once
DELETE /v1/dead-letters/<id>         discard it: it stays readable until its retention is over

Each says who did it. What is rejected again is a new dead letter. 409 where the item cannot be delivered
again, or where the dead letter was settled otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec
from flask import Blueprint, Flask, Response

from flownexus.errors import ConflictError, NotAcceptableError
from flownexus.leshan.replay import replay_body
from flownexus.leshan.webhook import Kind
from flownexus.store.dead_letters import (
    DEAD_LETTER_COLUMNS,
    DeadLetter,
    Settlement,
    check_unsettled,
    list_dead_letters,
    settle_dead_letter,
    show_dead_letter,
)
from flownexus.store.delivery import DeliveryResult
from flownexus.store.pool import Pool
from flownexus.web.asked import EndpointName, OfList
from flownexus.web.flask import caller
from flownexus.web.formats import Listing, listed
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown, with_fields
from flownexus.web.paging import Cursors, Key, Number
from flownexus.web.places import known_id

Deliver: TypeAlias = Callable[[Kind, bytes], DeliveryResult]
"""Stores the body of a webhook, as ingest does."""

LETTER: Final = with_fields(shown(DeadLetter, without=("item",)), endpoint=Any, item=Any)


class Outcome(msgspec.Struct):
    """What became of the items that were delivered again: how many, and why some were rejected."""

    stored: int
    skipped: int
    rejected: list[str]


REPLAYED: Final = with_fields(LETTER, "ReplayedDeadLetter", outcome=Outcome)


class WhichDeadLetters(OfList, frozen=True):
    """Which dead letters are listed; without `settlement` those that wait for somebody."""

    endpoint: EndpointName | None = None
    kind: Literal["single", "composite", "registration", "read"] | None = None
    """That of the webhook, or read: values that the answer to an operation brought."""
    settlement: Settlement | None = None


def add_dead_letters(app: Flask, pool: Pool, deliver: Deliver) -> None:
    """Add these routes to a function's app."""
    routes = Blueprint("dead_letters", __name__, url_prefix="/v1/dead-letters")

    @routes.get(
        "",
        scope=Scope.READ,
        query=WhichDeadLetters,
        answers={200: listed("dead_letters", LETTER)},
        refusals=[NotAcceptableError],
    )
    def list_(query: WhichDeadLetters) -> Response:
        """List dead letters, the newest first."""
        endpoint, kind, settlement = query.endpoint, query.kind, query.settlement
        cursors = Cursors("dead_letters", {"endpoint": endpoint, "kind": kind, "settlement": settlement})

        def read(after: Key | None, limit: int) -> list[DeadLetter]:
            return list_dead_letters(pool, endpoint, kind, settlement, after[0] if after else None, limit)

        return Listing(
            "dead_letters",
            cursors,
            cursors.asked(Number),
            read,
            lambda letter: (letter.id,),
            DeadLetter.as_json,
            DEAD_LETTER_COLUMNS,
        ).answer()

    @routes.get("/<int:id_>", scope=Scope.READ, answers={200: LETTER})
    def show(id_: int) -> dict[str, Any]:
        """Show a dead letter with its item as it came."""
        return show_dead_letter(pool, known_id(id_, "dead letter")).as_json()

    @routes.post("/<int:id_>/replay", scope=Scope.OPERATE, answers={200: REPLAYED}, refusals=[ConflictError])
    def replay(id_: int) -> dict[str, Any]:
        """Deliver the item of a dead letter again, as a webhook does."""
        letter = show_dead_letter(pool, known_id(id_, "dead letter"))
        check_unsettled(letter, Settlement.REPLAYED)
        # First delivered, then settled: who is interrupted in between delivers it once more, in vain.
        result = deliver(*replay_body(letter.id, letter.kind, letter.item))
        settled = settle_dead_letter(pool, letter.id, Settlement.REPLAYED, caller().name)
        outcome = {
            "stored": len(result.stored),
            "skipped": result.skipped,
            "rejected": [rejection.reason for _, rejection in result.rejected],
        }
        return {**settled.as_json(), "outcome": outcome}

    @routes.delete("/<int:id_>", scope=Scope.OPERATE, answers={200: LETTER}, refusals=[ConflictError])
    def discard(id_: int) -> dict[str, Any]:
        """Discard a dead letter: it stays readable until its retention is over."""
        known = known_id(id_, "dead letter")
        return settle_dead_letter(pool, known, Settlement.DISCARDED, caller().name).as_json()

    app.register_blueprint(routes)
