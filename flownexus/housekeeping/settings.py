"""How long housekeeping keeps things, and when it asks devices again."""

from __future__ import annotations

from typing import Final, NamedTuple

from flownexus.errors import MissingSettingError
from flownexus.settings import duration_setting
from flownexus.store.retention import MIN_MARK_RETENTION_S

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S
MINIMUM_RETENTION_S: Final = DAY_S
MINIMUM_REFRESH_S: Final = 60.0


class HousekeepingSettings(NamedTuple):
    """How long things are kept, in seconds, and the silence after which an observation is asked for again."""

    retention: float = 365 * DAY_S
    """Values; at least a day."""
    refresh: float = 6 * HOUR_S
    """An observation without a pmax that is silent for so long is asked for again."""
    operation_retention: float = 90 * DAY_S
    """Operations that have ended; at least a day."""
    mark_retention: float = 365 * DAY_S
    """A delivery mark that does not move: longer than any sender's spool holds what it has sent before."""
    endpoint_retention: float = 90 * DAY_S
    """An endpoint that is not registered, told no values, and has no operations of users."""
    dead_letter_retention: float = 90 * DAY_S
    roll_up_retention: float = 5 * 365 * DAY_S
    """Hourly roll-ups of values."""
    log_retention: float = 90 * DAY_S
    """Entries of devices' logs."""

    @classmethod
    def from_environment(cls) -> HousekeepingSettings:
        """Read them from the environment; raise MissingSettingError where one is too short."""
        default = cls()
        because = ", less would drop what is being written"
        return cls(
            retention=_kept("retention", default.retention, MINIMUM_RETENTION_S, because),
            refresh=_refresh(default.refresh),
            operation_retention=_kept(
                "operation_retention", default.operation_retention, MINIMUM_RETENTION_S, because
            ),
            mark_retention=_kept("mark_retention", default.mark_retention, MIN_MARK_RETENTION_S),
            endpoint_retention=_kept("endpoint_retention", default.endpoint_retention, MINIMUM_RETENTION_S),
            dead_letter_retention=_kept(
                "dead_letter_retention", default.dead_letter_retention, MINIMUM_RETENTION_S
            ),
            roll_up_retention=_kept("roll_up_retention", default.roll_up_retention, MINIMUM_RETENTION_S),
            log_retention=_kept("log_retention", default.log_retention, MINIMUM_RETENTION_S),
        )


def _kept(name: str, default: float, minimum: float, because: str = "") -> float:
    kept = duration_setting(name, f"{default:.0f}s")
    if kept < minimum:
        raise MissingSettingError(f"environment variable {name}: at least {minimum / HOUR_S:.0f}h{because}")
    return kept


def _refresh(default: float) -> float:
    refresh = duration_setting("observe_refresh", f"{default:.0f}s")
    if refresh < MINIMUM_REFRESH_S:
        raise MissingSettingError(
            "environment variable observe_refresh: at least 1m, less would ask devices for ever"
        )
    return refresh
