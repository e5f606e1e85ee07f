"""Passkeys: those of one's own profile, and their use at the sign-in. A script asks the browser for each."""

from __future__ import annotations

import logging
from typing import Final

from flask import Response, g, make_response, request

from flownexus.accounts.passkeys import (
    MAX_NAME,
    Known,
    PasskeyRefusedError,
    creation_options,
    credential_id_of,
    new_passkey,
    request_options,
    sign_count_of,
)
from flownexus.accounts.place import Place
from flownexus.accounts.second_factor import new_recovery_codes, recovery_digest
from flownexus.errors import ConflictError
from flownexus.store import passkey as store
from flownexus.store import session as sessions
from flownexus.store import user as users
from flownexus.store.passkey import Passkey
from flownexus.store.user import User
from flownexus.web.asked import MAX_ROW_ID
from flownexus.web.console.app import Access, ConsoleApp, fields, me, page
from flownexus.web.console.people import refusal_of
from flownexus.web.console.sign_in import (
    enter,
    of_address,
    second_factor_page,
    second_factor_shown,
    too_soon,
    trouble_of,
    wait_for,
)

log = logging.getLogger(__name__)

NO_PLACE: Final = "passkeys need the setting console_url: the URL by which people reach the console"


def add_passkeys(app: ConsoleApp) -> None:
    """Add these routes."""
    _add_own(app)

    @app.post("/second-factor/passkey/options", access=Access.HALF)
    def ask_for_passkey() -> Response:
        challenge = store.begin_challenge(app.pool, g.token, "use")
        there = store.passkeys_of(app.pool, me().user_id)
        return _as_json(request_options(_place(app), challenge, _known(there)))

    @app.post("/second-factor/passkey", access=Access.HALF)
    def passkey_given() -> Response:
        return _passkey_given(app)


def _add_own(app: ConsoleApp) -> None:
    @app.get("/me/passkeys", access=Access.VIEWER)
    def passkeys() -> Response:
        return _passkeys(app)

    @app.post("/me/passkeys/options", access=Access.VIEWER)
    def ask_for_new_passkey() -> Response:
        user = users.user_of_id(app.pool, me().user_id)
        given = fields(("name", "current"))
        if not _is_name(given["name"]):
            return page("problem_part.html", 422, problem=app.words["passkeys"]["name_rule"])
        # Only who gave the password gets the challenge, without which none is added.
        if refused := refusal_of(app, user, given["current"], "problem_part.html", {}):
            return refused
        challenge = store.begin_challenge(app.pool, g.token, "add")
        there = store.passkeys_of(app.pool, user.id)
        return _as_json(creation_options(_place(app), user.id, user.name, challenge, _known(there)))

    @app.post("/me/passkeys", access=Access.VIEWER)
    def add_passkey() -> Response:
        given = fields(("name", "credential"))
        challenge = store.take_challenge(app.pool, g.token, "add")
        if challenge is None:
            return _passkeys(app, 422, problem=app.words["passkeys"]["over"])
        if not _is_name(given["name"]):
            return _passkeys(app, 422, problem=app.words["passkeys"]["name_rule"])
        try:
            passkey = new_passkey(_place(app), challenge, given["credential"])
        except PasskeyRefusedError as error:
            log.warning("a new passkey was refused", extra={"user": me().name, "reason": str(error)})
            return _passkeys(app, 422, problem=app.words["passkeys"]["refused"])
        codes = new_recovery_codes()
        hashes = [recovery_digest(each) for each in codes]
        try:
            is_first = store.add_passkey(app.pool, me().user_id, given["name"].strip(), passkey, hashes)
        except ConflictError as error:
            return _passkeys(app, 409, problem=error.detail)
        if is_first:
            return page("recovery_codes.html", codes=codes)
        return _passkeys(app, done=app.words["passkeys"]["added"])

    @app.post("/me/passkeys/<int:id_>/remove", access=Access.VIEWER)
    def remove_passkey(id_: int) -> Response:
        user = users.user_of_id(app.pool, me().user_id)
        if refused := refusal_of(app, user, request.form.get("current", ""), "passkeys.html", _shown(app)):
            return refused
        store.remove_passkey(app.pool, user, min(id_, MAX_ROW_ID))
        return _passkeys(app, done=app.words["passkeys"]["removed"])


def _passkey_given(app: ConsoleApp) -> Response:
    given = fields(("credential", "next"))
    user = users.user_of_id(app.pool, me().user_id)
    bucket = f"second {user.id}"
    if wait := wait_for(app, bucket):
        return too_soon(app, "second_factor.html", wait, **second_factor_shown(app, user, given["next"]))
    try:
        _use(app, user, given["credential"])
    except PasskeyRefusedError as error:
        log.warning("a passkey was refused", extra={"user": user.name, "reason": str(error)})
        problem = app.words["passkeys"]["refused"]
        return second_factor_page(app, user, given["next"], 422, problem)
    sessions.forgive(app.pool, of_address(), bucket)
    return enter(app, user, given["next"])


def _use(app: ConsoleApp, user: User, answer: str) -> None:
    """Raise PasskeyRefusedError unless one of the user's own passkeys has signed the session's challenge."""
    challenge = store.take_challenge(app.pool, g.token, "use")
    if challenge is None:
        raise PasskeyRefusedError("there is no challenge, or it is over")
    wanted = credential_id_of(answer)
    found = [each for each in store.passkeys_of(app.pool, user.id) if each.credential_id == wanted]
    if not found:
        raise PasskeyRefusedError("it is none of this user's")
    count = sign_count_of(_place(app), challenge, answer, found[0].public_key)
    if not store.use_passkey(app.pool, user, found[0], count):
        raise PasskeyRefusedError("its count has not risen: there may be a copy of it")


def _passkeys(app: ConsoleApp, status: int = 200, **values: str) -> Response:
    return page("passkeys.html", status, **{"problem": "", **_shown(app), **values})


def _shown(app: ConsoleApp) -> dict[str, object]:
    return {"done": "", "passkeys": store.passkeys_of(app.pool, me().user_id), "trouble": trouble_of(app)}


def _place(app: ConsoleApp) -> Place:
    if app.place is None:
        raise ConflictError(NO_PLACE)
    return app.place


def _is_name(text: str) -> bool:
    return 1 <= len(text.strip()) <= MAX_NAME and text.isprintable()


def _known(passkeys: list[Passkey]) -> list[Known]:
    return [Known(each.credential_id, each.transports) for each in passkeys]


def _as_json(text: str) -> Response:
    return make_response(text, 200, {"Content-Type": "application/json"})
