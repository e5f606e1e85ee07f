"""The fleet: the devices that fit a filter, page by page, with what they last told.

All that the page shows is in its URL: ?filter=&sort=&columns=/3303/0/5700&cursor=
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from flask import Response, request

from flownexus.errors import ValidationFailedError
from flownexus.leshan.refusals import remedy
from flownexus.lwm2m.path import BadPathError, Path
from flownexus.operations.filter import (
    EVERYTHING,
    BadFilterError,
    Comparison,
    Field,
    Filter,
    Pattern,
    parse_filter,
)
from flownexus.store.fleet import (
    Cell,
    Contacts,
    Order,
    Place,
    cells_of,
    contacts_of,
    devices_with,
    find_page,
    rows_of,
)
from flownexus.store.pool import Pool
from flownexus.store.refusal import StoredRefusal, list_refusals
from flownexus.web import paging
from flownexus.web.console.app import Access, ConsoleApp, page
from flownexus.web.console.browser import site
from flownexus.web.console.devices import if_changed
from flownexus.web.console.kept import Kept

PAGE: Final = 50
MAX_COLUMNS: Final = 6
FOUND: Final = 8
"""How many devices the palette shows."""
MAX_PALETTE_TEXT: Final = 128  # characters
REFUSALS_IN_PLACE: Final = 5
"""How many of those who were refused are shown where no device is there yet."""
CONTACTS_KEPT_S: Final = 15.0
"""Seconds for which contacts are not looked up again: pages ask for what changed every two seconds."""
_OPERATOR: Final = re.compile("[=<>!]")
_LONG_NUMBER: Final = re.compile(r"-?\d{1,6}\.\d{5,}", re.ASCII)
_SHAPES: Final = {"1": (0, 10), "0": (6, 4), "-": (9, 1)}
"""Top and height of what is drawn of a lifetime, of ten: what was missed is told by its shape, too."""


@dataclass(frozen=True)
class View:
    """What of the fleet a page shows, and how."""

    text: str
    """The filter as somebody typed it."""
    filter: Filter
    order: Order
    columns: tuple[Path, ...]

    def query(self, **other: str | None) -> dict[str, str | None]:
        """Return the parameters of a URL that shows this, but for what is given."""
        shown = {
            "filter": self.text or None,
            "sort": None if self.order is Order.NAME else str(self.order),
            "columns": ",".join(map(str, self.columns)) or None,
        }
        return {**shown, **other}


class Strip(NamedTuple):
    """Contacts as they are drawn: runs of a width of one a lifetime, from the left."""

    heard: str
    missed: str
    unknown: str
    """Each the data of an SVG path."""
    came: int
    expected: int
    every_s: float


class FleetPages:
    """Looks up what a page of the fleet shows; many that are open cost hardly more than one."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kept = Kept()

    def shown(self, *, anew: bool) -> dict[str, Any]:
        """Return what the request asks for; raise ValidationFailedError where it is not valid.

        Unless `anew`, which devices fit may be some seconds old where that takes long to find out.
        """
        view = asked_view()
        cursors = paging.Cursors("fleet", {"filter": view.text, "sort": view.order})
        key = cursors.asked(paging.Time | None, str, bool)
        place = None if key is None else Place(*key)
        found = self._kept.get(
            (view.text, view.order, place),
            lambda: find_page(self._pool, view.filter, view.order, place, PAGE),
            anew=anew,
        )
        rows = rows_of(self._pool, found.ids) if found.ids else []
        names = [row.name for row in rows]
        cells = cells_of(self._pool, names, view.columns) if view.columns and names else []
        return {
            "view": view,
            "total": found.total,
            "rows": rows,
            "cursor": request.args.get("cursor"),
            "previous": cursors.write(rows[0].place(back=True)) if rows and found.has_previous else None,
            "next": cursors.write(rows[-1].place()) if rows and found.has_next else None,
            "strips": self._strips(found.ids),
            "cells": {(cell.endpoint, cell.path): cell for cell in cells},
            "titles": titles_of(view.columns, cells),
            "refusals": [] if found.total or view.text else self._refused(),
            "remedy": remedy,
            "server": urlsplit(site()).hostname or "localhost",
            "tag_filter": tag_filter,
            "short": short,
        }

    def _refused(self) -> Sequence[StoredRefusal]:
        return list_refusals(self._pool, None, None, REFUSALS_IN_PLACE)

    def _strips(self, ids: Sequence[int]) -> Mapping[str, Strip]:
        def make() -> Mapping[str, Strip]:
            return {each.name: strip_of(each) for each in contacts_of(self._pool, ids)} if ids else {}

        return self._kept.get(("contacts", *ids), make, CONTACTS_KEPT_S)


def add_fleet(app: ConsoleApp) -> None:
    """Add these routes."""
    pages = FleetPages(app.pool)

    @app.get("/", access=Access.VIEWER)
    def fleet() -> Response:
        try:
            return page("fleet.html", problem="", **pages.shown(anew=True))
        except BadFilterError as error:
            view = View(_text(), EVERYTHING, Order.NAME, ())
            return page("fleet.html", 422, problem=error.reason, view=view)

    @app.get("/live/fleet", access=Access.VIEWER, live=True)
    def live_fleet() -> Response:
        return if_changed("fleet_part.html", **pages.shown(anew=False))

    @app.get("/palette", access=Access.VIEWER)
    def palette() -> Response:
        text = request.args.get("q", "").strip().replace("\0", "")[:MAX_PALETTE_TEXT]
        return page("palette_part.html", found=devices_with(app.pool, text, FOUND) if text else [])


def _text() -> str:
    return request.args.get("filter", "").strip()


def asked_view() -> View:
    """Return the view that the request asks for; raise BadFilterError or another ValidationFailedError."""
    order = request.args.get("sort", Order.NAME)
    if order not in list(Order):
        raise ValidationFailedError(f"sort: one of {', '.join(Order)}")
    return View(_text(), filter_of(_text()), Order(order), _columns(request.args.get("columns", "")))


def filter_of(text: str) -> Filter:
    """Return the filter that somebody typed: a text without an operator is a part of a name, in any case."""
    if text and not _OPERATOR.search(text):
        text = str(Comparison(Field.NAME, "=has=", Pattern(tuple(text.split("*")))))
    return parse_filter(text)


def tag_filter(key: str, value: str) -> str:
    """Return the filter that those devices fit that have this tag."""
    return str(Comparison(Field.TAG, "==", Pattern((value,)), key))


def _columns(text: str) -> tuple[Path, ...]:
    """Return the resources that a list of paths names; raise ValidationFailedError."""
    try:
        paths = tuple(dict.fromkeys(Path.parse(each) for each in re.split(r"[,\s]+", text) if each))
    except BadPathError as error:
        raise ValidationFailedError(f"columns: {error}") from None
    if len(paths) > MAX_COLUMNS:
        raise ValidationFailedError(f"columns: at most {MAX_COLUMNS}")
    for path in paths:
        if path.resource_id is None or path.resource_instance_id is not None:
            raise ValidationFailedError("columns: paths of resources, such as /3303/0/5700,/3/0/9")
    return paths


def short(value: str) -> str:
    """Return a value without more digits than somebody reads in a list."""
    return f"{float(value):.6g}" if _LONG_NUMBER.fullmatch(value) else value


def titles_of(columns: Sequence[Path], cells: Sequence[Cell]) -> dict[str, str | None]:
    """Return the name of each resource by its path, as far as it is known."""
    names = {cell.path: cell.name for cell in cells}
    return {str(path): names.get(str(path)) for path in columns}


def strip_of(contacts: Contacts) -> Strip:
    """Return the drawing of contacts: neighbours that are alike are one piece of a path."""
    drawn = dict.fromkeys(_SHAPES, "")
    left = 0
    for state, run in groupby(contacts.slots):
        width = len(list(run))
        top, height = _SHAPES[state]
        drawn[state] += f"M{left} {top}h{width}v{height}h-{width}z"
        left += width
    came, missed = contacts.slots.count("1"), contacts.slots.count("0")
    return Strip(drawn["1"], drawn["0"], drawn["-"], came, came + missed, contacts.every_s)
