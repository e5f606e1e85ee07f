"""Dead letters: what could not be stored; looked at, mended, delivered again, discarded.

The console may not store values. It writes down what is to be delivered again, and housekeeping delivers it.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
from flask import Response, make_response, redirect, request, url_for

from flownexus.errors import ConflictError, ValidationFailedError
from flownexus.leshan.replay import replay_body
from flownexus.store.dead_letters import (
    DeadLetter,
    Settlement,
    ask_for_replay,
    list_dead_letters,
    settle_dead_letter,
    show_dead_letter,
)
from flownexus.web import paging
from flownexus.web.asked import MAX_ROW_ID
from flownexus.web.console.app import Access, ConsoleApp, fields, me, page
from flownexus.web.console.devices import if_changed
from flownexus.web.places import known_id

PAGE: Final = 50
MAX_ITEM: Final = 65_536
"""Characters of an item that somebody has mended."""


def add_dead_letters(app: ConsoleApp) -> None:
    """Add these routes."""

    @app.get("/dead-letters", access=Access.VIEWER)
    def dead_letters() -> Response:
        return page("dead_letters.html", **_letters(app))

    @app.get("/dead-letters/<int:id_>", access=Access.VIEWER)
    def dead_letter(id_: int) -> Response:
        return page("dead_letter.html", **_letter(app, id_))

    @app.get("/live/dead-letters/<int:id_>", access=Access.VIEWER, live=True)
    def live_dead_letter(id_: int) -> Response:
        return if_changed("dead_letter_part.html", **_letter(app, id_))

    @app.post("/dead-letters/<int:id_>/replay", access=Access.OPERATOR)
    def replay_dead_letter(id_: int) -> Response:
        letter = show_dead_letter(app.pool, known_id(id_, "dead letter"))
        replay_body(letter.id, letter.kind, letter.item)  # raises where it cannot be delivered
        ask_for_replay(app.pool, letter.id, me().name, None)
        return make_response(redirect(url_for("dead_letter", id_=id_), 303))

    @app.post("/dead-letters/<int:id_>/mend", access=Access.ADMIN)
    def mend_dead_letter(id_: int) -> Response:
        letter = show_dead_letter(app.pool, known_id(id_, "dead letter"))
        typed = fields(("item",))["item"]
        try:
            mended = mended_item(letter, typed)
        except (ValidationFailedError, ConflictError) as error:
            shown = {**_letter(app, id_), "typed": typed[:MAX_ITEM], "problem": error.detail}
            return page("dead_letter.html", 422, **shown)
        ask_for_replay(app.pool, letter.id, me().name, mended)
        return make_response(redirect(url_for("dead_letter", id_=id_), 303))

    @app.post("/dead-letters/<int:id_>/discard", access=Access.OPERATOR)
    def discard_dead_letter(id_: int) -> Response:
        settle_dead_letter(app.pool, known_id(id_, "dead letter"), Settlement.DISCARDED, me().name)
        return make_response(redirect(url_for("dead_letter", id_=id_), 303))


def mended_item(letter: DeadLetter, text: str) -> str:
    """Return what somebody has mended as a dead letter's item: ASCII JSON.

    Raises ValidationFailedError where it is no JSON object, and ConflictError where it cannot be delivered.
    """
    if len(text) > MAX_ITEM:
        raise ValidationFailedError(f"the item: at most {MAX_ITEM} characters")
    try:
        told = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise ValidationFailedError(f"the item is not JSON: {error}") from None
    if not isinstance(told, dict):
        raise ValidationFailedError('the item is a JSON object, such as {"ep": "sim-0001", ...}')
    item = json.dumps(told)
    replay_body(letter.id, letter.kind, item)
    return item


def _letters(app: ConsoleApp) -> dict[str, Any]:
    endpoint = paging.endpoint_name("device") or None
    told = request.args.get("settlement") or None
    if told is not None and told not in list(Settlement):
        raise ValidationFailedError(f"settlement: one of {', '.join(Settlement)}")
    settlement = None if told is None else Settlement(told)
    cursor = paging.number("cursor", MAX_ROW_ID)
    found = list_dead_letters(app.pool, endpoint, None, settlement, cursor, PAGE + 1)
    return {
        "letters": found[:PAGE],
        "next": found[PAGE - 1].id if len(found) > PAGE else None,
        "endpoint": endpoint,
        "settlement": told,
        "settlements": list(Settlement),
    }


def _letter(app: ConsoleApp, id_: int) -> dict[str, Any]:
    letter = show_dead_letter(app.pool, known_id(id_, "dead letter"))
    problem = ""
    try:
        replay_body(letter.id, letter.kind, letter.item)
    except ConflictError as error:
        problem = error.detail
    item = json.loads(letter.item)
    return {
        "letter": letter,
        "item": json.dumps(item, indent=2, ensure_ascii=False) if not isinstance(item, str) else item,
        "mended": letter.mended_item
        and json.dumps(json.loads(letter.mended_item), indent=2, ensure_ascii=False),
        "waits": letter.settlement is None and letter.replay_asked_by is None,
        "undeliverable": problem,
        "typed": None,
        "problem": "",
        "seen": "",
    }
