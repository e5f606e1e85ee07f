"""One device: its objects and resources, and what happened with it.

Parts that change by themselves are asked for again every 0.7 to two seconds, with `seen`, the hash of what
the page shows: where that is what there is, the answer is 204 and nothing is sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, Final, NamedTuple

from flask import Response, g, make_response, redirect, render_template, request, url_for

from flownexus.accounts.role import Role
from flownexus.errors import ConflictError, NotFoundError
from flownexus.leshan.refusals import remedy
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType
from flownexus.store.credential import list_credentials
from flownexus.store.endpoint_values import Value, delete_endpoint, newest_values
from flownexus.store.fleet import Device, find_device
from flownexus.store.refusal import list_refusals
from flownexus.web.console.app import Access, ConsoleApp, may, me, page
from flownexus.web.console.timeline import timeline

CREDENTIALS: Final = 10
"""How many valid ones of a device its page shows."""
REFUSALS: Final = 50
REFUSALS_OF_DEVICE: Final = 5
"""How many of a device its page shows: some may be of who has only named it."""
MAX_VALUES: Final = 500
"""How many values of a device a page shows."""
NUMERIC: Final = frozenset({DataType.INTEGER, DataType.UNSIGNED_INTEGER, DataType.FLOAT, DataType.BOOLEAN})
_ID: Final = re.compile(r"[^0-9]+")


class Instance(NamedTuple):
    """An object instance with the newest values of its resources."""

    path: str
    values: list[Value]


class Object(NamedTuple):
    """An object of a device."""

    id: int
    instances: list[Instance]


def add_devices(app: ConsoleApp, charts: Callable[[], dict[str, Any]]) -> None:
    """Add these routes; `charts` returns which charts the request asks for."""

    @app.get("/device", access=Access.VIEWER)
    def device() -> Response:
        return whole_page()

    def whole_page(status: int = 200, problem: str = "") -> Response:
        shown = _device(app)
        name = shown["device"].name
        credentials = (
            list_credentials(app.pool, None, CREDENTIALS, name, valid=True) if may(Role.ADMIN) else []
        )
        refusals = list_refusals(app.pool, name, None, REFUSALS_OF_DEVICE)
        return page(
            "device.html",
            status,
            credentials=credentials,
            refusals=refusals,
            remedy=remedy,
            problem=problem,
            **shown,
            **charts(),
        )

    @app.post("/device/delete", access=Access.ADMIN)
    def delete_device() -> Response:
        name = device_name()
        if request.form.get("confirmed", "").strip() != name:
            return whole_page(422, app.words["device"]["delete_unconfirmed"])
        try:
            force = request.form.get("force") == "true"
            delete_endpoint(app.pool, name, me().name, even_registered=force)
        except ConflictError as error:
            return whole_page(error.status, error.detail)
        return make_response(redirect(url_for("fleet"), 303))

    @app.get("/live/device", access=Access.VIEWER, live=True)
    def live_device() -> Response:
        shown = _device(app)
        if request.args.get("paths") != shown["paths"]:
            # The tree is another one. What somebody is typing stays; the part tells that it is old.
            shown["is_old"] = True
        return if_changed("device_part.html", **shown)

    @app.get("/refused", access=Access.VIEWER)
    def refused() -> Response:
        return page("refusals.html", refusals=list_refusals(app.pool, None, None, REFUSALS), remedy=remedy)


def if_changed(template: str, **values: Any) -> Response:
    """Answer with a part of a page, or with 204 where `seen`, the hash of what it shows, is just that."""
    body = render_template(template, **{**values, "seen": ""})
    # The token of a form is another one each time.
    seen = _hash_of([body.replace(g.get("form_token") or "\0", "")])
    if request.args.get("seen") == seen:
        return make_response("", 204)
    return make_response(render_template(template, **{**values, "seen": seen}))


def device_name() -> str:
    """Return the device that the request names; raise NotFoundError where there can be none."""
    name = request.args.get("name", "")
    if not name or "\0" in name:
        raise NotFoundError("no such device has been seen")
    return name


# ---------------------------------------------------------------------------------------------------------
# One device


def _device(app: ConsoleApp) -> dict[str, Any]:
    name = device_name()
    device: Device = find_device(app.pool, name)
    values = newest_values(app.pool, name, None, None, MAX_VALUES + 1)
    shown = values[:MAX_VALUES]
    tree = tree_of(shown, device.objects or ())
    return {
        "device": device,
        "tree": tree,
        "values": shown,
        "is_cut": len(values) > MAX_VALUES,
        "paths": _hash_of(
            [each.path for each in shown] + [instance.path for each in tree for instance in each.instances]
        ),
        "is_old": False,
        "activity": timeline(app.pool, name),
        "numeric": NUMERIC,
        "dom_id": dom_id,
    }


def _hash_of(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def tree_of(values: Iterable[Value], registered: Iterable[str]) -> list[Object]:
    """Return the objects of a device: those that have values, and those that it registered with."""
    by_instance: dict[tuple[int, ...], list[Value]] = {}
    for path in registered:
        by_instance[Path.parse(path).ids[:2]] = []
    for value in values:
        by_instance.setdefault(Path.parse(value.path).ids[:2], []).append(value)
    return [
        Object(
            object_id,
            [Instance("/" + "/".join(map(str, ids)), by_instance[ids]) for ids in instances],
        )
        for object_id, instances in groupby(sorted(by_instance), key=lambda ids: ids[0])
    ]


def dom_id(path: str) -> str:
    """Return a path as the id of an element: /3303/0/5700 as 3303-0-5700."""
    return _ID.sub("-", path).strip("-")
