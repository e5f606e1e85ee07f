"""Health: whether values come in time, what waits, what could not be stored; and where to look further."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from flask import Response

from flownexus.store.health import Health, health
from flownexus.web.console.app import Access, ConsoleApp, page
from flownexus.web.console.devices import if_changed

LATE_S: Final = 10.0
"""Seconds from a device's time to the row that are looked at; devices may keep values on purpose."""
SILENT: Final = timedelta(minutes=1)
LONG_WAIT: Final = timedelta(minutes=15)


class Level(StrEnum):
    """How a part is; the classes of styles have these names."""

    GOOD = "confirmed"
    LOOK = "queued"
    BAD = "failed"


class Sign(NamedTuple):
    """One thing that tells how the system is; its words are health.<name> and health.<name>_hint."""

    name: str
    level: Level
    value: Any
    page: str | None = None
    """The view function of a page that has more."""


def add_health(app: ConsoleApp, grafana_url: str | None) -> None:
    """Add these routes; `grafana_url` is where dashboards are, if somewhere."""

    def shown() -> dict[str, Any]:
        return {"signs": list(signs_of(health(app.pool))), "grafana_url": grafana_url, "seen": ""}

    @app.get("/health", access=Access.VIEWER, endpoint="health")
    def health_page() -> Response:
        return page("health.html", **shown())

    @app.get("/live/health", access=Access.VIEWER, live=True)
    def live_health() -> Response:
        return if_changed("health_part.html", **shown())


def signs_of(found: Health) -> Iterator[Sign]:
    """Say of each part how it is."""
    yield Sign("devices", Level.GOOD, f"{found.registered:,} / {found.devices:,}", "fleet")
    silent = found.last_batch_at is None or found.now - found.last_batch_at > SILENT
    yield Sign("last_batch", Level.LOOK if silent and found.registered else Level.GOOD, found.last_batch_at)
    late = found.lag_99_s is not None and found.lag_99_s > LATE_S
    yield Sign("lag", Level.LOOK if late else Level.GOOD, _seconds(found))
    yield Sign("missing", Level.BAD if found.missing_numbers else Level.GOOD, f"{found.missing_numbers:,}")
    waits = found.oldest_waiting_at is not None and found.now - found.oldest_waiting_at > LONG_WAIT
    yield Sign("oldest_waiting", Level.LOOK if waits else Level.GOOD, found.oldest_waiting_at, "operations")
    yield Sign("waiting", Level.GOOD, f"{found.waiting:,} / {found.under_way:,}", "operations")
    yield Sign("failed", Level.LOOK if found.failed else Level.GOOD, f"{found.failed:,}", "operations")
    letters = f"{found.dead_letters:,}" if found.dead_letters < 1000 else "1,000 +"
    yield Sign("dead_letters", Level.BAD if found.dead_letters else Level.GOOD, letters, "dead_letters")
    yield Sign("updates", Level.GOOD, f"{found.updates:,}", "updates")


def _seconds(found: Health) -> str:
    if found.lag_median_s is None or found.lag_99_s is None:
        return "–"
    return f"{found.lag_median_s:.1f} s / {found.lag_99_s:.1f} s"
