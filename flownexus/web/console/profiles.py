"""Profiles: what is read and observed of the devices that fit a filter; looked at, changed, removed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from flask import Response, make_response, redirect, url_for

from flownexus.errors import NotFoundError, ValidationFailedError
from flownexus.operations.firmware_way import FirmwareWay
from flownexus.operations.profile import DEFAULT_PRIORITY, is_profile_name, parse_profile
from flownexus.operations.write_format import WriteFormat
from flownexus.store import profile as store
from flownexus.web.console.app import Access, ConsoleApp, fields, me, page

ASKED: Final = (
    *(
        "name",
        "filter",
        "priority",
        "plan",
        "awake_time_s",
        "request_timeout_s",
        "content_format",
        "firmware_way",
        "enabled",
    ),
)
NUMBERS: Final = ("priority", "awake_time_s", "request_timeout_s")
EXAMPLE: Final = [{"operation": "read", "paths": ["/3"]}, {"operation": "observe", "paths": ["/3303/*/5700"]}]


def add_profiles(app: ConsoleApp) -> None:
    """Add these routes."""

    @app.get("/profiles", access=Access.VIEWER)
    def profiles() -> Response:
        return page("profiles.html", profiles=store.list_profiles(app.pool))

    @app.get("/profiles/new", access=Access.ADMIN)
    def new_profile() -> Response:
        empty = dict.fromkeys(ASKED, "")
        given = {**empty, "priority": str(DEFAULT_PRIORITY), "enabled": "true", "plan": _pretty(EXAMPLE)}
        return _form(given, is_new=True)

    @app.post("/profiles", access=Access.ADMIN)
    def put_profile() -> Response:
        given = fields(ASKED)
        try:
            store.put(app.pool, parse_profile(given["name"].strip(), profile_of(given)), me().name)
        except ValidationFailedError as error:
            return _form(given, 422, error.detail, is_new=True)
        return make_response(redirect(url_for("profiles"), 303))

    @app.get("/profiles/<name>", access=Access.VIEWER)
    def one_profile(name: str) -> Response:
        return _form(_given(store.show(app.pool, _known(name))))

    @app.post("/profiles/<name>/remove", access=Access.ADMIN)
    def remove_profile(name: str) -> Response:
        store.remove(app.pool, _known(name), me().name)
        return make_response(redirect(url_for("profiles"), 303))


def _form(
    given: Mapping[str, str], status: int = 200, problem: str = "", *, is_new: bool = False
) -> Response:
    return page(
        "profile.html",
        status,
        given=given,
        problem=problem,
        is_new=is_new,
        formats=list(WriteFormat),
        ways=list(FirmwareWay),
    )


def _given(found: store.Profile) -> dict[str, str]:
    """Return a profile as the fields of its form."""
    told = {name: getattr(found, name) for name in ASKED}
    text = {name: "" if value is None else str(value) for name, value in told.items()}
    return {**text, "plan": _pretty(found.plan), "enabled": "true" if found.enabled else ""}


def profile_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Return a form's fields as the body that the REST API takes; raise ValidationFailedError."""
    body: dict[str, Any] = {"filter": given["filter"].strip(), "enabled": given["enabled"] == "true"}
    try:
        body["plan"] = msgspec.json.decode(given["plan"])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValidationFailedError(f"plan: is not JSON: {error}") from None
    for name in NUMBERS:
        if text := given[name].strip():
            body[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
    return body | {name: given[name] for name in ("content_format", "firmware_way") if given[name]}


def _pretty(plan: object) -> str:
    """Return a plan as people edit it: an entry on each line."""
    entries = plan if isinstance(plan, list) else []
    return "[\n" + ",\n".join(f"  {json.dumps(each, ensure_ascii=False)}" for each in entries) + "\n]"


def _known(name: str) -> str:
    if not is_profile_name(name):
        raise NotFoundError(f"there is no profile {name[:64]!r}")
    return name
