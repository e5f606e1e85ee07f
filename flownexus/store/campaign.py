"""Campaigns: asked for, shown, steered by people; and taken on by their counts."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Final

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from flownexus.campaigns.plan import NewCampaign, wave_sizes
from flownexus.campaigns.progress import ALLOWED, Action, Progress, Status, decide
from flownexus.errors import ConflictError, NotFoundError, ValidationFailedError
from flownexus.store import queries, send_for
from flownexus.store.audit import note
from flownexus.store.campaign_rows import (
    Campaign,
    CampaignRow,
    Target,
    campaign_of,
    ends_of,
    row_of,
    rows_of,
    waves_of,
)
from flownexus.store.firmware import usable_package
from flownexus.store.transaction import Transaction, transaction
from flownexus.store.update import TOKEN_BYTES, ask_to_cancel

LOOK_FOR_JOINING_S: Final = 30.0
"""Seconds between two looks at whether further devices fit a campaign that they may join."""


def create_campaign(pool: ConnectionPool, new: NewCampaign, by: str) -> Campaign:
    """Plan a campaign; it starts when somebody says so.

    Raises NotFoundError, ConflictError where the package cannot be used, and ValidationFailedError where an
    endpoint was never seen or none fits.
    """

    def work(current: Transaction) -> Campaign:
        connection = current.connection
        package = usable_package(connection, new.firmware)
        names = None if new.endpoints is None else list(new.endpoints)
        if names and (unknown := [name for (name,) in queries.unknown_endpoints(connection, names=names)]):
            raise ValidationFailedError(f"endpoints: never seen: {', '.join(map(repr, unknown))}")
        id_ = queries.add_campaign(
            connection,
            name=new.name,
            firmware_id=new.firmware,
            rules=Jsonb(asdict(new.rules)),
            seed=new.seed,
            starts_at=new.starts_at,
            ends_at=new.ends_at,
            filter=None if new.filter is None else str(new.filter),
            tree=None if new.filter is None else Jsonb(new.filter.as_json()),
            model=new.model or package.model,
            from_versions=None if new.from_versions is None else list(new.from_versions),
            requested_by=by,
        )
        queries.add_targets(connection, campaign_id=id_, names=names, joining=False)
        targets = sum(wave.targets for wave in waves_of(connection, id_))
        if targets == 0 and not new.rules.joining:
            raise ValidationFailedError(
                "no device matches: look at endpoints, filter, model and from_versions"
            )
        bounds = list(itertools.accumulate(wave_sizes(new.waves, targets)))[:-1]
        if bounds:
            queries.spread_targets(connection, campaign_id=id_, bounds=bounds, first=bounds[0])
        queries.note_campaign_step(connection, id=id_, by=by, words=f"planned for {targets} devices")
        note(connection, by, "campaign-planned", campaign=id_, firmware=new.firmware, devices=targets)
        return campaign_of(connection, id_)

    return transaction(pool, work)


def show_campaign(pool: ConnectionPool, id_: int) -> Campaign:
    """Return a campaign with how far it is; raise NotFoundError."""
    return transaction(pool, lambda current: campaign_of(current.connection, id_))


def list_campaigns(pool: ConnectionPool, cursor: int | None, limit: int) -> list[CampaignRow]:
    """Return up to `limit` campaigns, the newest first, with ids below `cursor`."""
    return transaction(pool, lambda current: rows_of(current.connection, None, cursor, limit))


def list_targets(
    pool: ConnectionPool, id_: int, state: str | None, cursor: int | None, limit: int
) -> list[Target]:
    """Return up to `limit` devices of a campaign by their place, after the cursor; raise NotFoundError."""

    def work(current: Transaction) -> list[Target]:
        row_of(current.connection, id_)
        return send_for(
            Target,
            current.connection,
            queries.targets_of_campaign,
            id=id_,
            state=state,
            cursor=cursor,
            limit=limit,
        ).fetchall()

    return transaction(pool, work)


def act(pool: ConnectionPool, id_: int, action: Action, by: str, *, hard: bool = False) -> Campaign:
    """Do what a person asks for; raise NotFoundError, or ConflictError where that is not possible.

    `hard`: of a cancel, updates that are open are cancelled, too, as long as no device was told to install.
    """

    def work(current: Transaction) -> Campaign:
        connection = current.connection
        status = queries.lock_campaign(connection, id=id_)
        if status is None:
            raise NotFoundError(f"there is no campaign {id_}")
        possible, leads_to = ALLOWED[action]
        if status not in possible:
            raise ConflictError(
                f"campaign {id_} is {status}; {action} is possible where it is {', '.join(sorted(possible))}"
            )
        row = row_of(connection, id_)
        words, opens = _DONE[action], action is Action.START
        if action is Action.NEXT_WAVE:
            waves = waves_of(connection, id_)
            if row.wave >= len(waves):
                raise ConflictError(f"wave {row.wave} of campaign {id_} is the last one")
            row, opens = row._replace(wave=row.wave + 1), True
            words = f"wave {row.wave} was opened"
        elif action is Action.START:
            queries.supersede_older(connection, campaign_id=id_)
        if action in (Action.RESUME, Action.RETRY) or (opens and status == Status.STOPPED):
            queries.count_failures_anew(connection, id=id_)
        if action is Action.RETRY:
            words = _retry(connection, row)
            leads_to = Status.PAUSED if status == Status.PAUSED else leads_to
        if action is Action.CANCEL and row.status == Status.PLANNED:
            words = "cancelled before it was started"
        elif action is Action.CANCEL and hard:
            taken_back = ask_to_cancel(connection, by, campaign=id_)
            words = f"cancelled with {taken_back} updates that were open"
        _move(connection, row, leads_to, words, by, opens=opens)
        note(connection, by, "campaign-changed", campaign=id_, did=str(action), words=words)
        return campaign_of(connection, id_)

    return transaction(pool, work)


def _retry(connection: Connection, row: CampaignRow) -> str:
    """Let what has failed begin again, and say how many do; raise ConflictError where its end has come."""
    if row.end_has_come:
        raise ConflictError(
            f"the end of campaign {row.id} has come, at {row.ends_at:%Y-%m-%d %H:%M:%S} UTC: nothing is "
            "started any more; plan another campaign"
        )
    begun, superseded = queries.begin_failed_again(connection, id=row.id)
    words = f"{begun} that failed begin again"
    return f"{words}, {superseded} are left out for newer campaigns" if superseded else words


_DONE: Final = {
    Action.START: "started",
    Action.PAUSE: "paused",
    Action.RESUME: "resumed",
    Action.CANCEL: "cancelled; updates that are open go on",
    Action.RETRY: "",
    Action.NEXT_WAVE: "",
}


def take_campaigns_on(pool: ConnectionPool) -> int:
    """Let each running campaign do what its counts say; return how many updates were started.

    Each is a transaction of its own; the row of a campaign is locked, so that a person's pause and a start of
    updates never meet.
    """
    running = transaction(pool, lambda current: list(queries.running_campaigns(current.connection)))
    return sum(transaction(pool, partial(_take_on, id_)) for (id_,) in running)


def _take_on(id_: int, current: Transaction) -> int:
    connection = current.connection
    if queries.lock_campaign(connection, id=id_) != Status.RUNNING:
        return 0
    row = row_of(connection, id_)
    rules = row.its_rules
    if rules.joining and row.now - row.joined_at >= timedelta(seconds=LOOK_FOR_JOINING_S):
        _let_join(connection, id_)
    move = decide(rules, _progress(connection, row))
    if move is None:
        return 0
    if move.words is not None or move.wave_succeeds:
        _move(
            connection,
            row._replace(wave=move.wave),
            move.status,
            move.words,
            None,
            opens=move.wave != row.wave,
            succeeds=move.wave_succeeds,
        )
    if not move.start:
        return 0
    tokens = [secrets.token_urlsafe(TOKEN_BYTES) for _ in range(move.start)]
    return int(queries.start_targets(connection, id=id_, wave=move.wave, tokens=tokens))


def _let_join(connection: Connection, id_: int) -> None:
    """Take devices that fit by now into the last wave; older campaigns do not begin with them any more."""
    queries.looked_for_joining(connection, id=id_)
    if queries.add_targets(connection, campaign_id=id_, names=None, joining=True):
        queries.supersede_older(connection, campaign_id=id_)


def _move(
    connection: Connection,
    row: CampaignRow,
    status: Status,
    words: str | None,
    by: str | None,
    *,
    opens: bool,
    succeeds: bool = False,
) -> None:
    queries.move_campaign(
        connection,
        id=row.id,
        status=str(status),
        words=words,
        wave=row.wave,
        wave_opens=opens,
        wave_succeeds=succeeds,
    )
    if words is not None:
        queries.note_campaign_step(connection, id=row.id, by=by, words=words)


def _progress(connection: Connection, row: CampaignRow) -> Progress:
    succeeded, failures = ends_of(connection, row.id)
    return Progress(
        status=Status(row.status),
        wave=row.wave,
        wave_opened_at=row.wave_opened_at,
        wave_succeeded_at=row.wave_succeeded_at,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        now=row.now,
        waves=waves_of(connection, row.id),
        started_lately=row.started_lately,
        counted_succeeded=succeeded,
        counted_failed=sum(failures.values()),
        failures=failures,
    )
