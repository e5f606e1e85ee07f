"""Credentials of devices, as REST.

POST /v1/credentials            {"endpoint", "mode", ...}: 201 with the row and, this once, its "files"
POST /v1/credentials/batch      {"credentials": [...]}: up to 500, all or none: 201 with {"credentials"}
GET /v1/credentials             ?endpoint=&valid=&limit=50&cursor=: {"credentials", "next"}, newest first
GET /v1/credentials/<id>        the row
DELETE /v1/credentials/<id>     revoke it, at once, with its session and registration: the row
POST /v1/credentials/<id>/successor  {"overlap": <seconds>, ...}: make the next one; this one ends after that
GET, PUT /v1/enrolment          {"unenrolled": refused|admitted}: what a device without credentials may do

`carried` says whether Leshan knows already; if not, housekeeping has it know within seconds of its return.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from flask import Blueprint, Flask
from flask import Response as Shown
from msgspec import Meta

from flownexus.errors import ConflictError, NotAcceptableError
from flownexus.store import credential as store
from flownexus.web.asked import EndpointName, Page
from flownexus.web.described import Body
from flownexus.web.enrolling import Enroller, Made, Succession, Wanted
from flownexus.web.flask import caller
from flownexus.web.formats import list_by_id, listed
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown
from flownexus.web.places import known_id
from flownexus.web.problem import Response

MAX_BATCH: Final = 500
_NO_STORE: Final = {"Cache-Control": "no-store"}
"""Of an answer with a key."""


class Batch(msgspec.Struct, frozen=True):
    """Credentials that are to be made together."""

    credentials: Annotated[
        list[Wanted], Meta(min_length=1, max_length=MAX_BATCH, description=f"1 to {MAX_BATCH} of them")
    ]


class Listed(Page, frozen=True):
    """Which credentials are asked for."""

    endpoint: EndpointName | None = None
    valid: Annotated[bool, Meta(description="true or false")] | None = None


class Rule(msgspec.Struct, frozen=True):
    """What a device without credentials may do, once one is enrolled."""

    unenrolled: Annotated[Literal["refused", "admitted"], Meta(description="refused or admitted")]


CREDENTIAL: Final = shown(store.Credential)
MADE: Final = msgspec.defstruct(
    "MadeCredential", [("files", dict[str, str]), ("carried", bool)], bases=(CREDENTIAL,), kw_only=True
)
REVOKED: Final = msgspec.defstruct(
    "RevokedCredential", [("carried", bool)], bases=(CREDENTIAL,), kw_only=True
)
MADE_BATCH: Final = msgspec.defstruct("MadeCredentials", [("credentials", list[MADE])])  # type: ignore[valid-type]
RULE: Final = msgspec.defstruct(
    "EnrolmentRule", [("unenrolled", str), ("any_enrolled", bool), ("carried", bool)]
)


def add_credentials(app: Flask, enroller: Enroller) -> None:
    """Add these routes to a function's app."""
    routes = Blueprint("credentials", __name__, url_prefix="/v1")
    pool = enroller.pool

    @routes.post(
        "/credentials",
        scope=Scope.ADMINISTER,
        body=Body.of(Wanted),
        answers={201: MADE},
        refusals=[ConflictError],
    )
    def make(body: Wanted) -> Response:
        """Make a credential; its files are shown this once."""
        [made] = enroller.make([body], caller().name)
        return _shown(app, made, carried=enroller.carried())

    @routes.post(
        "/credentials/batch",
        scope=Scope.ADMINISTER,
        body=Body.of(Batch),
        answers={201: MADE_BATCH},
        refusals=[ConflictError],
    )
    def make_batch(body: Batch) -> Response:
        """Make credentials, all or none; their files are shown this once."""
        made = enroller.make(body.credentials, caller().name)
        carried = enroller.carried()
        shown_ = [{**each.credential.as_json(), "files": each.files, "carried": carried} for each in made]
        return {"credentials": shown_}, 201, _NO_STORE

    @routes.get(
        "/credentials",
        scope=Scope.ADMINISTER,
        query=Listed,
        answers={200: listed("credentials", CREDENTIAL, int)},
        refusals=[NotAcceptableError],
    )
    def list_(query: Listed) -> Shown:
        """List credentials, the newest first, revoked ones too."""
        read = partial(store.list_credentials, pool, endpoint=query.endpoint, valid=query.valid)
        return list_by_id("credentials", CREDENTIAL, query.cursor, read, store.Credential.as_json)

    @routes.get("/credentials/<int:id_>", scope=Scope.ADMINISTER, answers={200: CREDENTIAL})
    def show(id_: int) -> dict[str, Any]:
        """Show a credential's row."""
        return store.show(pool, known_id(id_, "credential")).as_json()

    @routes.delete("/credentials/<int:id_>", scope=Scope.ADMINISTER, answers={200: REVOKED})
    def revoke(id_: int) -> dict[str, Any]:
        """Revoke a credential: its session and its registration end at once."""
        [row] = store.revoke(pool, [known_id(id_, "credential")], caller().name)
        return {**row.as_json(), "carried": enroller.carried()}

    @routes.post(
        "/credentials/<int:id_>/successor",
        scope=Scope.ADMINISTER,
        body=Body.of(Succession),
        answers={201: MADE},
        refusals=[ConflictError],
    )
    def succeed(id_: int, body: Succession) -> Response:
        """Make the credential that follows this one; this one ends when the overlap is over."""
        made = enroller.succeed(known_id(id_, "credential"), body, caller().name)
        return _shown(app, made, carried=enroller.carried())

    @routes.get("/enrolment", scope=Scope.ADMINISTER, answers={200: RULE})
    def rule() -> dict[str, Any]:
        """Show what a device without credentials may do."""
        return _rule(store.enrolment(pool), carried=enroller.carried())

    @routes.put("/enrolment", scope=Scope.ADMINISTER, body=Body.of(Rule), answers={200: RULE})
    def set_rule(body: Rule) -> dict[str, Any]:
        """Say what a device without credentials may do, once one is enrolled."""
        return _rule(store.set_unenrolled(pool, body.unenrolled, caller().name), carried=enroller.carried())

    app.register_blueprint(routes)


def _shown(app: Flask, made: Made, *, carried: bool) -> Response:
    row = made.credential
    headers = {"Location": f"/function/{app.name}/v1/credentials/{row.id}", **_NO_STORE}
    return {**row.as_json(), "files": made.files, "carried": carried}, 201, headers


def _rule(enrolment: store.Enrolment, *, carried: bool) -> dict[str, Any]:
    return {
        "unenrolled": enrolment.unenrolled,
        "any_enrolled": enrolment.any_enrolled,
        "carried": carried,
    }
