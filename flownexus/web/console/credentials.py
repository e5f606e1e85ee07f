"""Credentials of devices, for administrators: enrol one or many, take their files, replace, revoke."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from flask import Response, make_response, redirect, request, url_for

from flownexus.enrolment.archive import archive, folder_of
from flownexus.enrolment.roster import COLUMNS, read_roster
from flownexus.errors import ConflictError, ValidationFailedError
from flownexus.fields import read
from flownexus.store import credential as store
from flownexus.store.form import once
from flownexus.web import paging
from flownexus.web.asked import MAX_ROW_ID
from flownexus.web.console.app import Access, ConsoleApp, fields, me, page, sent_token
from flownexus.web.enrolling import DEFAULT_OVERLAP_S, MAX_EXPIRES_IN_S, Enroller, Made, Succession, Wanted
from flownexus.web.places import known_id

PAGE: Final = 50
MAX_DEVICES: Final = 1000
"""How many a file enrols: their credentials are made, kept and carried within the time of a request."""
DAY_S: Final = 24 * 3600
MAX_DAYS: Final = MAX_EXPIRES_IN_S // DAY_S
ASKED: Final = ("endpoint", "mode", "days", "own", "identity", "key")
OWN: Final = {"rpk": "public_key", "x509": "csr"}
"""What a device gives that has made its own key."""
EMPTY: Final = {**dict.fromkeys(ASKED, ""), "mode": "psk"}


def add_credentials(app: ConsoleApp, enroller: Enroller) -> None:
    """Add these routes."""

    @app.get("/credentials", access=Access.ADMIN)
    def credentials() -> Response:
        endpoint = paging.endpoint_name("device") or None
        is_all = "all" in request.args
        cursor = paging.number("cursor", MAX_ROW_ID)
        found = store.list_credentials(app.pool, cursor, PAGE + 1, endpoint, None if is_all else True)
        return page(
            "credentials.html",
            credentials=found[:PAGE],
            next=found[PAGE - 1].id if len(found) > PAGE else None,
            endpoint=endpoint,
            is_all=is_all,
            rule=store.enrolment(app.pool),
        )

    @app.get("/credentials/new", access=Access.ADMIN)
    def new_credential() -> Response:
        return _form(app, given={**EMPTY, "endpoint": paging.endpoint_name("device") or ""})

    @app.post("/credentials", access=Access.ADMIN)
    def enrol() -> Response:
        given = fields(ASKED)
        try:
            with _once(app):
                [made] = enroller.make([wanted_of(given)], me().name)
        except (ConflictError, ValidationFailedError) as error:
            return _form(app, error.status, given=given, problem=error.detail)
        return _made(made, carried=enroller.carried())

    @app.post("/credentials/many", access=Access.ADMIN)
    def enrol_many() -> Response:
        file, rows = request.files.get("file"), fields(("rows",))["rows"]
        try:
            text = file.read().decode() if file else rows
            with _once(app):
                made = enroller.make(many_of(text), me().name)
        except UnicodeDecodeError:
            return _form(app, 422, rows=rows, many_problem=app.words["credentials"]["no_text"])
        except (ConflictError, ValidationFailedError) as error:
            return _form(app, error.status, rows=rows, many_problem=error.detail)
        enroller.carried()
        return _archive(made)

    @app.post("/credentials/unenrolled", access=Access.ADMIN)
    def set_unenrolled() -> Response:
        rule = fields(("unenrolled",))["unenrolled"]
        if rule not in ("refused", "admitted"):
            raise ValidationFailedError("unenrolled: refused or admitted")
        store.set_unenrolled(app.pool, rule, me().name)
        enroller.carried()
        return make_response(redirect(url_for("credentials"), 303))

    @app.get("/credentials/<int:id_>", access=Access.ADMIN)
    def one_credential(id_: int) -> Response:
        return _one(app, known_id(id_, "credential"))

    @app.post("/credentials/<int:id_>/replace", access=Access.ADMIN)
    def replace_credential(id_: int) -> Response:
        row = store.show(app.pool, known_id(id_, "credential"))
        given = fields(("days", "own"))
        try:
            with _once(app):
                made = enroller.succeed(row.id, succession_of(row.mode, given), me().name)
        except (ConflictError, ValidationFailedError) as error:
            return _one(app, row.id, error.status, given=given, problem=error.detail)
        return _made(made, carried=enroller.carried())

    @app.post("/credentials/<int:id_>/revoke", access=Access.ADMIN)
    def revoke_credential(id_: int) -> Response:
        [row] = store.revoke(app.pool, [known_id(id_, "credential")], me().name)
        enroller.carried()
        return make_response(redirect(url_for("one_credential", id_=row.id), 303))


def wanted_of(given: Mapping[str, str]) -> Wanted:
    """Read the form for one device; raise ValidationFailedError, which names what is not valid."""
    asked: dict[str, Any] = {"endpoint": given["endpoint"].strip(), "mode": given["mode"]}
    asked |= {name: given[name].strip() for name in ("identity", "key") if given[name].strip()}
    if days := given["days"].strip():
        asked["expires_in"] = _days(days, 1)
    return read(Wanted, asked | _own(given["mode"], given["own"]))


def succession_of(mode: str, given: Mapping[str, str]) -> Succession:
    """Read the form that replaces a credential; raise ValidationFailedError likewise."""
    return read(Succession, {"overlap": _days(given["days"].strip(), 0), **_own(mode, given["own"])})


def many_of(text: str) -> list[Wanted]:
    """Read a CSV file of devices; raise ValidationFailedError, which names the row that is not valid."""
    rows = read_roster(text)
    if len(rows) > MAX_DEVICES:
        raise ValidationFailedError(f"at most {MAX_DEVICES} devices at a time, and this file has {len(rows)}")
    found = []
    for place, row in enumerate(rows, 1):
        try:
            found.append(read(Wanted, row, of_text=True))
        except ValidationFailedError as error:
            raise ValidationFailedError(
                f"device {place} of the file: {error.detail}; none is enrolled"
            ) from None
    return found


def _once(app: ConsoleApp) -> AbstractContextManager[None]:
    """Let the form at hand count once: to load the page again that answers it sends it again."""
    return once(app.pool, f"{request.path} {sent_token()}", app.lifetime_s)


def _own(mode: str, own: str) -> dict[str, str]:
    """Return what the device itself gives, by the name that it has for its kind of credential."""
    if not own.strip():
        return {}
    if mode not in OWN:
        raise ValidationFailedError("own: a pre-shared key has no public part; leave it empty")
    return {OWN[mode]: own.strip() + "\n"}


def _days(text: str, least: int) -> float:
    if not (text.isascii() and text.isdigit() and len(text) < 5 and least <= int(text) <= MAX_DAYS):
        raise ValidationFailedError(f"days: a whole number of days, from {least} to {MAX_DAYS}")
    return float(int(text) * DAY_S)


# ---------------------------------------------------------------------------------------------------------
# Pages


def _form(app: ConsoleApp, status: int = 200, **values: Any) -> Response:
    shown = {"given": EMPTY, "problem": "", "rows": "", "many_problem": "", **values}
    rule = store.enrolment(app.pool)
    return page("new_credential.html", status, rule=rule, most=MAX_DEVICES, columns=COLUMNS, **shown)


def _one(app: ConsoleApp, id_: int, status: int = 200, **values: Any) -> Response:
    shown = {"given": {"days": str(DEFAULT_OVERLAP_S // DAY_S), "own": ""}, "problem": "", **values}
    return page("credential.html", status, credential=store.show(app.pool, id_), **shown)


def _made(made: Made, *, carried: bool) -> Response:
    """Answer with what is shown this once. The archive is part of the page: nobody can ask for it again."""
    endpoint = made.credential.endpoint
    return page(
        "credential_made.html",
        made=made.credential,
        carried=carried,
        files=made.files,
        archive=base64.b64encode(archive({endpoint: made.files})).decode(),
        archive_name=f"{folder_of(endpoint)}.zip",
    )


def _archive(made: Sequence[Made]) -> Response:
    """Answer with the files of many devices."""
    content = archive({each.credential.endpoint: each.files for each in made})
    headers = {"Content-Disposition": 'attachment; filename="credentials.zip"'}
    return Response(content, 200, headers, mimetype="application/zip")
