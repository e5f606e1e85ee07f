"""Campaigns as their rows say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from flownexus.campaigns.plan import Rules, duration_s
from flownexus.campaigns.progress import Wave
from flownexus.errors import NotFoundError
from flownexus.store import as_json, queries, send_for


class CampaignRow(NamedTuple):
    """A campaign's own row, at `now`."""

    id: int
    name: str
    firmware: int
    version: str
    label: str | None
    status: str
    words: str
    rules: dict[str, Any]
    seed: int
    wave: int
    wave_opened_at: datetime | None
    wave_succeeded_at: datetime | None
    starts_at: datetime | None
    ends_at: datetime | None
    filter: str | None
    model: str | None
    from_versions: list[str] | None
    requested_by: str
    created_at: datetime
    joined_at: datetime
    now: datetime
    left_out: int
    started_lately: int

    @property
    def end_has_come(self) -> bool:
        """Say whether nothing is started any more."""
        return self.ends_at is not None and self.ends_at <= self.now

    @property
    def its_rules(self) -> Rules:
        """Return its rules; those of a later version that it does not know have their defaults."""
        return msgspec.convert(self.rules, Rules)

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it in a list; times are in ISO 8601, UTC."""
        shown = as_json(self)
        del shown["now"], shown["started_lately"], shown["joined_at"]
        return shown


class CampaignStep(NamedTuple):
    """What somebody did with a campaign, or it by itself."""

    time: datetime
    by: str | None
    words: str

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it."""
        return {**self._asdict(), "time": self.time.isoformat()}


class Target(NamedTuple):
    """A device of a campaign."""

    place: int
    endpoint: str
    wave: int
    state: str
    words: str | None
    failure: str | None
    update: int | None


class Campaign(NamedTuple):
    """A campaign with how far it is."""

    row: CampaignRow
    waves: list[Wave]
    failures: Mapping[str, int]
    steps: list[CampaignStep]

    @property
    def estimated_s(self) -> float | None:
        """Return how many seconds it takes from now on, while it is only planned; None: beyond all dates."""
        sizes, row = [wave.targets for wave in self.waves], self.row
        begins = max(row.now, row.starts_at or row.now)
        try:
            return duration_s(sizes, row.its_rules, begins) + (begins - row.now).total_seconds()
        except OverflowError:
            return None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API shows it; while it is only planned with what it would take."""
        takes = self.estimated_s
        sizes = [wave.targets for wave in self.waves]
        return {
            **self.row.as_json(),
            "waves": [{**wave._asdict(), "targets": wave.targets} for wave in self.waves],
            "targets": sum(sizes),
            "failures": dict(self.failures),
            "estimated_seconds": None if takes is None else round(takes),
            "steps": [step.as_json() for step in self.steps],
        }


def ends_of(connection: Connection, id_: int) -> tuple[int, dict[str, int]]:
    """Return how many updates succeeded, and how many failed by their kind."""
    succeeded, failures = 0, dict[str, int]()
    for state, failure, count in queries.ends_of_campaign(connection, id=id_):
        if state == "FAILED":
            failures[failure or "unknown"] = count
        else:
            succeeded += count
    return succeeded, failures


def campaign_of(connection: Connection, id_: int) -> Campaign:
    """Return a campaign with how far it is; raise NotFoundError."""
    _, failures = ends_of(connection, id_)
    steps = send_for(CampaignStep, connection, queries.steps_of_campaign, id=id_).fetchall()
    return Campaign(row_of(connection, id_), waves_of(connection, id_), failures, steps)


def waves_of(connection: Connection, id_: int) -> list[Wave]:
    """Return its waves in order; one that has no device left is there, too."""
    found = {
        wave.wave: wave for wave in send_for(Wave, connection, queries.waves_of_campaign, id=id_).fetchall()
    }
    return [found.get(wave, Wave(wave, 0, 0, 0, 0, 0)) for wave in range(1, max(found, default=0) + 1)]


def row_of(connection: Connection, id_: int) -> CampaignRow:
    """Return a campaign's own row; raise NotFoundError."""
    found = rows_of(connection, id_, None, 1)
    if not found:
        raise NotFoundError(f"there is no campaign {id_}")
    return found[0]


def rows_of(connection: Connection, id_: int | None, cursor: int | None, limit: int) -> list[CampaignRow]:
    """Return up to `limit` rows, the newest first, with ids below `cursor`; or the one of `id_`."""
    return send_for(CampaignRow, connection, queries.campaigns, id=id_, cursor=cursor, limit=limit).fetchall()
