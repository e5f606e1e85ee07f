"""Charts of a device's resources, one below the other: which ones, over which time, and their numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from flask import Response, make_response, request

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import BadPathError, Path
from flownexus.store.fleet import Bucket, series_of
from flownexus.web import paging
from flownexus.web.console.app import Access, ConsoleApp
from flownexus.web.console.devices import device_name, dom_id

POINTS: Final = 1_000
"""How many parts a chart's time is divided into: at most two a pixel of a usual screen."""
SPANS: Final[Mapping[str, timedelta]] = {
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "1y": timedelta(days=365),
}
LONGEST: Final = timedelta(days=366)
MAX_CHARTS: Final = 4
MAX_LINES: Final = 8
_LINE: Final = re.compile(r"(/[0-9/]{5,30}):(-?\d{1,15}(?:\.\d{1,10})?)", re.ASCII)


class Line(NamedTuple):
    """A line of reference in a chart, and how the page's URL has it."""

    number: float
    text: str


class Chart(NamedTuple):
    """A chart of a page."""

    path: str
    lines: list[Line]


def add_charts(app: ConsoleApp) -> None:
    """Add these routes."""

    @app.get("/series", access=Access.VIEWER)
    def series() -> Response:
        name, path, (begin, end) = device_name(), _resource("path", request.args.get("path", "")), _time()
        buckets = series_of(app.pool, name, path, begin, end, POINTS)
        if request.args.get("format") == "csv":
            return _csv(name, path, buckets)
        return make_response(
            {
                "from": begin.timestamp(),
                "to": end.timestamp(),
                "times": [each.time.timestamp() for each in buckets],
                **{of: [getattr(each, of) for each in buckets] for of in ("minimum", "maximum", "mean")},
            }
        )


def asked_charts() -> dict[str, Any]:
    """Return which charts the page shows; raise ValidationFailedError."""
    paths = list(
        dict.fromkeys(str(_resource("chart", text)) for text in request.args.getlist("chart") if text)
    )
    if len(paths) > MAX_CHARTS:
        raise ValidationFailedError(f"chart: at most {MAX_CHARTS}")
    told = [text for text in request.args.getlist("line") if text]
    if request.args.get("number"):  # the form of a chart
        told.append(f"{request.args.get('of')}:{request.args['number']}")
    matches = [_LINE.fullmatch(text) for text in told]
    if len(told) > MAX_LINES or not all(matches):
        raise ValidationFailedError(
            f"line: a path and a number, such as /3303/0/5700:21.5; at most {MAX_LINES}"
        )
    lines = [(match[1], Line(float(match[2]), match[0])) for match in matches if match]
    return {
        "charts": [Chart(path, [line for of, line in lines if of == path]) for path in paths],
        "lines": told,
        "span": _span(),
        "spans": list(SPANS),
        "max_charts": MAX_CHARTS,
    }


def _resource(name: str, text: str) -> Path:
    try:
        path = Path.parse(text)
    except BadPathError as error:
        raise ValidationFailedError(f"{name}: {error}") from None
    if path.resource_id is None:
        raise ValidationFailedError(f"{name}: the path of a resource, such as /3303/0/5700")
    return path


def _span() -> str:
    span = request.args.get("span", "1h")
    if span not in SPANS:
        raise ValidationFailedError(f"span: one of {', '.join(SPANS)}")
    return span


def _time() -> tuple[datetime, datetime]:
    """Return the time that the request asks for: `from` and `to`, else the last `span`."""
    span = SPANS[_span()]
    if not request.args.get("from"):
        end = datetime.now(UTC)
        return end - span, end
    begin, end_ = paging.time_range(span)
    assert begin is not None  # noqa: S101  # for the type checker: one is given
    assert end_ is not None  # noqa: S101
    if end_ - begin > LONGEST:
        raise ValidationFailedError("from: at most a year before `to`")
    return begin, end_


def _csv(name: str, path: Path, buckets: Iterable[Bucket]) -> Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["time", "minimum", "maximum", "mean"])
    writer.writerows([each.time.isoformat(), each.minimum, each.maximum, each.mean] for each in buckets)
    response = Response(text.getvalue(), mimetype="text/csv")
    response.headers["Content-Disposition"] = (
        f'attachment; filename="{file_name(name)}-{dom_id(str(path))}.csv"'
    )
    return response


def file_name(name: str) -> str:
    """Return a device's name as a part of the name of a file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:64]
