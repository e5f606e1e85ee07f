"""Tokens that administrators give out, as REST.

POST /v1/tokens         {"name", "scopes", "owner"?, "expires_at"? or "expires_in"?}: 201 with the row and,
                        this once, the "token"; 409 where another valid one has the name
GET /v1/tokens          ?limit=50&cursor=: {"tokens": [...], "next": <cursor> | null}, the newest first
GET /v1/tokens/<id>     the row
DELETE /v1/tokens/<id>  revoke it, at once: the row
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from flask import Blueprint, Flask
from flask import Response as Shown
from msgspec import Meta

from flownexus.errors import ConflictError, NotAcceptableError, ValidationFailedError
from flownexus.fields import Time
from flownexus.store import token as store
from flownexus.store.pool import Pool
from flownexus.web.asked import Page
from flownexus.web.described import Body
from flownexus.web.flask import caller
from flownexus.web.formats import list_by_id, listed
from flownexus.web.guard import Guard, Principal, Scope
from flownexus.web.openapi import shown
from flownexus.web.places import known_id
from flownexus.web.problem import Response

MAX_EXPIRES_IN_S: Final = 10 * 366 * 24 * 3600
NAMES_OF_OTHERS: Final = frozenset({"api", "observe-plan"})
"""Which rows have that no token asked for."""
_NO_STORE: Final = {"Cache-Control": "no-store"}
"""Of an answer with a token (RFC 6750, 5.3)."""


class NewToken(msgspec.Struct, frozen=True):
    """A token to be made."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$(?!\n)",
            description="1 to 63 letters, digits and . _ @ -; what is asked for with the token has it",
        ),
    ]
    scopes: Annotated[
        list[Literal["administer", "operate", "read"]],
        Meta(min_length=1, max_length=3, description="some of administer, operate and read"),
    ]
    owner: (
        Annotated[
            str,
            Meta(
                pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}$(?!\n)",
                description="1 to 200 characters on one line; by default who makes it",
            ),
        ]
        | None
    ) = None
    expires_at: Time | None = None
    expires_in: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=MAX_EXPIRES_IN_S,
                description=f"a number of seconds, above 0 and up to {MAX_EXPIRES_IN_S}",
            ),
        ]
        | None
    ) = None


TOKEN: Final = shown(store.Token)
MADE: Final = msgspec.defstruct("MadeToken", [("token", str)], bases=(TOKEN,), kw_only=True)


class IssuedTokens:
    """The tokens in the database, as the guard asks for them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def has_form(self, token: str) -> bool:
        """Say whether it looks like one of these tokens."""
        return store.has_form(token)

    def principal(self, token: str) -> Principal:
        """Say whom a token stands for; raise UnauthorizedError where it stands for nobody."""
        holder = store.holder_of(self._pool, token)
        # A scope that this version does not know is a newer one's.
        return Principal(holder.name, frozenset(Scope(each) for each in holder.scopes if each in list(Scope)))


def add_tokens(app: Flask, pool: Pool, guard: Guard) -> None:
    """Add these routes to a function's app; nobody is given the name of one whom the guard's files know."""
    routes = Blueprint("tokens", __name__, url_prefix="/v1/tokens")
    taken = NAMES_OF_OTHERS | guard.names

    @routes.post(
        "",
        scope=Scope.ADMINISTER,
        body=Body.of(NewToken),
        answers={201: MADE},
        refusals=[ConflictError],
    )
    def make(body: NewToken) -> Response:
        """Make a token, which is told this once.

        Nobody can give a scope that he does not have.
        """
        for scope in body.scopes:
            caller().require(Scope(scope))
        if body.name in taken:
            raise ConflictError(f"{body.name!r} names what asks without such a token; give another name")
        if body.expires_at is not None and body.expires_in is not None:
            raise ValidationFailedError("expires_in: cannot be combined with expires_at")
        made, token = store.issue(
            pool,
            body.name,
            body.owner or caller().name,
            sorted(set(body.scopes)),
            caller().name,
            body.expires_at,
            body.expires_in,
        )
        headers = {"Location": f"/function/{app.name}/v1/tokens/{made.id}", **_NO_STORE}
        return {**made.as_json(), "token": token}, 201, headers

    @routes.get(
        "",
        scope=Scope.ADMINISTER,
        query=Page,
        answers={200: listed("tokens", TOKEN, int)},
        refusals=[NotAcceptableError],
    )
    def list_(query: Page) -> Shown:
        """List the tokens, the newest first, revoked ones too."""
        read = partial(store.list_tokens, pool)
        return list_by_id("tokens", TOKEN, query.cursor, read, store.Token.as_json)

    @routes.get("/<int:id_>", scope=Scope.ADMINISTER, answers={200: TOKEN})
    def show(id_: int) -> dict[str, Any]:
        """Show a token's row."""
        return store.show(pool, known_id(id_, "token")).as_json()

    @routes.delete("/<int:id_>", scope=Scope.ADMINISTER, answers={200: TOKEN})
    def revoke(id_: int) -> dict[str, Any]:
        """Revoke a token: from now on nobody is let in with it. It stays on the list."""
        return store.revoke(pool, known_id(id_, "token"), caller().name).as_json()

    app.register_blueprint(routes)
