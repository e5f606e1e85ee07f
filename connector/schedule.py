"""When a function with a schedule is due. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError


class ScheduleError(ValueError):
    """The schedule is not a cron expression of five fields, or of six with leading seconds."""


class Schedule:
    """A cron expression, in UTC: five fields, or six of which the first is the second."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        try:
            CronSim(expression, datetime.now(UTC))
        except CronSimError as error:
            raise ScheduleError(
                f"{expression!r} is not a schedule of five fields (minute hour day month weekday) "
                f"or six (second first): {error}"
            ) from None

    def after(self, moment: datetime) -> datetime | None:
        """Return the first due time after `moment`; None where there is none in fifty years."""
        return next(CronSim(self.expression, moment.astimezone(UTC)), None)
