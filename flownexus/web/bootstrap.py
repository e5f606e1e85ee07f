"""Bootstrap, as REST: factory keys, profiles of what is handed out, and the sessions of late.

POST   /v1/bootstrap/keys             {"endpoint", "identity"?, "key"?, "profile"?}: 201 with the row and,
                                      this once, its "files"
POST   /v1/bootstrap/keys/batch       {"keys": [...]}: up to 500, all or none: 201 with {"keys"}
GET    /v1/bootstrap/keys             ?endpoint=&limit=50&cursor=: {"keys", "next"}, newest first
GET    /v1/bootstrap/keys/<id>        the row
POST   /v1/bootstrap/keys/<id>/allow  let its device bootstrap once more: the row
DELETE /v1/bootstrap/keys/<id>        revoke it: the row; what its device was handed out stays valid
GET    /v1/bootstrap/profiles         {"profiles": [...]}, by name
GET, PUT, DELETE /v1/bootstrap/profiles/<name>
GET    /v1/bootstrap/sessions         ?endpoint=&limit=50&cursor=: {"sessions", "next"}, newest first

Leshan's bootstrap server asks, with a token of its own:

POST   /v1/bootstrap/key              {"identity"}: {"key": <hex>, "endpoint"}; 404 where there is none
POST   /v1/bootstrap/begin            {"identity", "endpoint", "address"}: {"session", "writes"}; 409 refused
POST   /v1/bootstrap/end              {"session", "failure"}: the failure is null once all was acknowledged
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from flask import Blueprint, Flask
from flask import Response as Shown
from msgspec import Meta

from flownexus.enrolment.handout import Instance
from flownexus.errors import ConflictError, NotAcceptableError, NotFoundError, ValidationFailedError
from flownexus.fields import read_object
from flownexus.store import bootstrap as store
from flownexus.web.asked import EndpointName, Id, Page
from flownexus.web.bootstrapping import PROFILE_NAME, PROFILE_NAME_WANTED, Bootstrapper, MadeKey, WantedKey
from flownexus.web.described import Body
from flownexus.web.enrolling import DeviceName
from flownexus.web.flask import caller
from flownexus.web.formats import list_by_id, listed
from flownexus.web.guard import Scope
from flownexus.web.openapi import shown, with_fields
from flownexus.web.places import known_id
from flownexus.web.problem import Response

MAX_BATCH: Final = 500
MAX_OBJECTS: Final = 100
_NO_STORE: Final = {"Cache-Control": "no-store"}
Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1, description="a whole number of seconds")]
ResourcePath: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(/(0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3})){3}$(?!\n)",
        description="the path of a resource, such as /2/0/0",
    ),
]


class Batch(msgspec.Struct, frozen=True):
    """Factory keys that are to be known together."""

    keys: Annotated[
        list[WantedKey], Meta(min_length=1, max_length=MAX_BATCH, description=f"1 to {MAX_BATCH} of them")
    ]


class Listed(Page, frozen=True):
    """Which factory keys, or sessions, are asked for."""

    endpoint: EndpointName | None = None


class ProfileToPut(msgspec.Struct, frozen=True):
    """What a bootstrapped device is told besides its key."""

    server_uri: (
        Annotated[
            str,
            Meta(
                pattern=r"^coaps://[^\s/?#]{1,255}$(?!\n)",
                description="where devices register, such as coaps://192.0.2.10:5684; null: COAPS_URL",
            ),
        ]
        | None
    ) = None
    short_server_id: Annotated[int, Meta(ge=1, le=65534, description="a whole number from 1 to 65534")] = 1
    lifetime: Annotated[int, Meta(ge=1, le=2**31 - 1, description="a whole number of seconds, 1 or more")] = (
        86_400
    )
    binding: Annotated[
        Literal["U", "UQ"], Meta(description="U, or UQ for a device of LwM2M 1.0 that sleeps")
    ] = "U"
    min_period: Seconds | None = None
    max_period: Seconds | None = None
    disable_timeout: Seconds | None = None
    store_notifications: Annotated[bool, Meta(description="true or false")] = True
    objects: Annotated[
        dict[ResourcePath, str | int | float | bool | dict[str, str | int | float | bool]],
        Meta(
            max_length=MAX_OBJECTS,
            description=f'up to {MAX_OBJECTS} resources of objects other than 0 and 1: {{"/2/0/0": 3}}; '
            "bytes in hex, several instances as an object by their ids",
        ),
    ] = msgspec.field(default_factory=dict)


class Identity(msgspec.Struct, frozen=True):
    """Who shows a factory key."""

    identity: Annotated[
        str, Meta(pattern=r"^[^\x00]{1,1024}$(?!\n)", description="a PSK identity, without NUL")
    ]


class ToBegin(Identity, frozen=True):
    """A device that asks for what it is handed out."""

    endpoint: DeviceName
    address: Annotated[str, Meta(pattern=r"^[^\x00]{0,64}$(?!\n)", description="where it comes from")]


class ToEnd(msgspec.Struct, frozen=True):
    """What became of a session."""

    session: Id
    failure: (
        Annotated[
            str, Meta(pattern=r"^[^\x00]{1,500}$(?!\n)", description="why it failed, in words, without NUL")
        ]
        | None
    )


class Key(msgspec.Struct, frozen=True):
    """A factory key."""

    key: str
    endpoint: str


KEY: Final = shown(store.FactoryCredential)
MADE: Final = with_fields(KEY, "MadeFactoryCredential", files=dict[str, str])
MADE_BATCH: Final = msgspec.defstruct("MadeFactoryCredentials", [("keys", list[MADE])])  # type: ignore[valid-type]
PROFILE: Final = with_fields(shown(store.Profile), "BootstrapProfile")
PROFILES: Final = msgspec.defstruct("BootstrapProfiles", [("profiles", list[PROFILE])])  # type: ignore[valid-type]
SESSION: Final = with_fields(shown(store.Session), "BootstrapSession")
HANDED_OUT: Final = msgspec.defstruct("HandedOut", [("session", int), ("writes", list[shown(Instance)])])  # type: ignore[misc]
ENDED: Final = msgspec.defstruct("EndedBootstrap", [("session", int)])


def add_bootstrap(app: Flask, bootstrapper: Bootstrapper) -> None:
    """Add these routes to a function's app."""
    routes = Blueprint("bootstrap", __name__, url_prefix="/v1/bootstrap")
    _add_keys(routes, bootstrapper, f"/function/{app.name}/v1/bootstrap/keys")
    _add_profiles(routes, bootstrapper, f"/function/{app.name}/v1/bootstrap/profiles")
    _add_sessions(routes, bootstrapper)
    app.register_blueprint(routes)


def _add_keys(routes: Blueprint, bootstrapper: Bootstrapper, url: str) -> None:
    pool = bootstrapper.pool

    @routes.post(
        "/keys",
        scope=Scope.ADMINISTER,
        body=Body.of(WantedKey),
        answers={201: MADE},
        refusals=[ConflictError, NotFoundError],
    )
    def add(body: WantedKey) -> Response:
        """Let a device bootstrap by a factory key; its files are shown this once."""
        [made] = bootstrapper.add([body], caller().name)
        return _made(made), 201, {"Location": f"{url}/{made.row.id}", **_NO_STORE}

    @routes.post(
        "/keys/batch",
        scope=Scope.ADMINISTER,
        body=Body.of(Batch),
        answers={201: MADE_BATCH},
        refusals=[ConflictError, NotFoundError],
    )
    def add_batch(body: Batch) -> Response:
        """Let devices bootstrap, all or none; their files are shown this once."""
        return {"keys": list(map(_made, bootstrapper.add(body.keys, caller().name)))}, 201, _NO_STORE

    @routes.get(
        "/keys",
        scope=Scope.ADMINISTER,
        query=Listed,
        answers={200: listed("keys", KEY, int)},
        refusals=[NotAcceptableError],
    )
    def list_(query: Listed) -> Shown:
        """List factory keys, the newest first, used and revoked ones too."""
        read = partial(store.list_credentials, pool, endpoint=query.endpoint)
        return list_by_id("keys", KEY, query.cursor, read, store.FactoryCredential.as_json)

    @routes.get("/keys/<int:id_>", scope=Scope.ADMINISTER, answers={200: KEY})
    def show(id_: int) -> dict[str, Any]:
        """Show a factory key's row."""
        return store.show(pool, known_id(id_, "factory key")).as_json()

    @routes.post(
        "/keys/<int:id_>/allow", scope=Scope.ADMINISTER, answers={200: KEY}, refusals=[ConflictError]
    )
    def allow(id_: int) -> dict[str, Any]:
        """Let its device bootstrap once more."""
        return store.allow(pool, known_id(id_, "factory key"), caller().name).as_json()

    @routes.delete("/keys/<int:id_>", scope=Scope.ADMINISTER, answers={200: KEY})
    def revoke(id_: int) -> dict[str, Any]:
        """Revoke a factory key; what its device was handed out stays valid."""
        return store.revoke(pool, known_id(id_, "factory key"), caller().name).as_json()


def _add_profiles(routes: Blueprint, bootstrapper: Bootstrapper, url: str) -> None:
    pool = bootstrapper.pool

    @routes.get("/profiles", scope=Scope.ADMINISTER, answers={200: PROFILES})
    def profiles() -> dict[str, Any]:
        """List the profiles of what is handed out."""
        return {"profiles": [each.as_json() for each in store.list_profiles(pool)]}

    @routes.get("/profiles/<name>", scope=Scope.ADMINISTER, answers={200: PROFILE})
    def profile(name: str) -> dict[str, Any]:
        """Show a profile."""
        return store.show_profile(pool, _named(name)).as_json()

    @routes.put(
        "/profiles/<name>",
        scope=Scope.ADMINISTER,
        body=Body(ProfileToPut, _profile),
        answers={200: PROFILE, 201: PROFILE},
    )
    def put(name: str, body: ProfileToPut) -> Response:
        """Add or replace a profile; it counts from the next session on."""
        if PROFILE_NAME.fullmatch(name) is None:
            raise ValidationFailedError(f"name: {PROFILE_NAME_WANTED}")
        stored, added = store.put_profile(pool, name, msgspec.to_builtins(body), caller().name)
        return stored.as_json(), 201 if added else 200, {"Location": f"{url}/{name}"} if added else {}

    @routes.delete(
        "/profiles/<name>", scope=Scope.ADMINISTER, answers={200: PROFILE}, refusals=[ConflictError]
    )
    def remove(name: str) -> dict[str, Any]:
        """Delete a profile that no factory key names; the answer is the profile as it was."""
        return store.remove_profile(pool, _named(name), caller().name).as_json()


def _add_sessions(routes: Blueprint, bootstrapper: Bootstrapper) -> None:
    @routes.get(
        "/sessions",
        scope=Scope.READ,
        query=Listed,
        answers={200: listed("sessions", SESSION, int)},
        refusals=[NotAcceptableError],
    )
    def sessions(query: Listed) -> Shown:
        """List bootstrap sessions, the newest first: those that failed or were refused say why."""
        read = partial(store.list_sessions, bootstrapper.pool, endpoint=query.endpoint)
        return list_by_id("sessions", SESSION, query.cursor, read, store.Session.as_json)

    @routes.post(
        "/key", scope=Scope.BOOTSTRAP, body=Body.of(Identity), answers={200: Key}, refusals=[NotFoundError]
    )
    def key(body: Identity) -> Response:
        """Return the factory key of an identity, for the handshake, and whose it is."""
        found = bootstrapper.key_of(body.identity)
        return {"key": found.key.hex(), "endpoint": found.endpoint}, 200, _NO_STORE

    @routes.post(
        "/begin",
        scope=Scope.BOOTSTRAP,
        body=Body.of(ToBegin),
        answers={200: HANDED_OUT},
        refusals=[ConflictError],
    )
    def begin(body: ToBegin) -> Response:
        """Begin a session, and return what is written to the device."""
        handed = bootstrapper.begin(body.identity, body.endpoint, body.address)
        writes = [each._asdict() for each in handed.writes]
        return {"session": handed.session, "writes": writes}, 200, _NO_STORE

    @routes.post("/end", scope=Scope.BOOTSTRAP, body=Body.of(ToEnd), answers={200: ENDED})
    def end(body: ToEnd) -> dict[str, Any]:
        """End a session, once."""
        bootstrapper.end(body.session, body.failure)
        return {"session": body.session}


def _made(made: MadeKey) -> dict[str, Any]:
    return {**made.row.as_json(), "files": made.files}


def _named(name: str) -> str:
    if "\0" in name:
        raise NotFoundError(f"there is no bootstrap profile {name!r}")
    return name


def _profile(body: object) -> ProfileToPut:
    profile = read_object(ProfileToPut, body)
    if own := [path for path in profile.objects if path.split("/")[1] in ("0", "1")]:
        raise ValidationFailedError(
            f"objects: {own[0]} is of object 0 or 1, which the other fields of the profile make"
        )
    return profile
