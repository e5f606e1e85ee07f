"""An update as stored in its rows, and a step of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

import msgspec

from flownexus.firmware.device import DEFERRED, SUCCESS
from flownexus.firmware.package import Success
from flownexus.firmware.state import Failure, State
from flownexus.firmware.window import Schedule
from flownexus.operations.catalogue import Operation
from flownexus.operations.lifecycle import Status


@dataclass(frozen=True)
class Patience:
    """How long an update waits for a device, in seconds."""

    ask: float = 30.0
    """Silence after which a device is asked for its state; doubles with each question."""
    grace: float = 120.0
    """The longest time for an idle device to report its new version."""
    absence: float = 3600.0
    """The longest absence of an installing device after its registration ends."""
    retry: float = 600.0
    """Delay before the second try; doubles with each try."""
    limit: float = 7 * 24 * 3600.0
    """The longest time for the whole update."""


@dataclass(frozen=True)
class Terms:
    """The settings of all updates: where packages are served, by scheme, and how long updates wait."""

    links: Mapping[str, str]
    """URLs, in which TOKEN is replaced by the update's token."""
    patience: Patience = Patience()
    zone: tzinfo = UTC
    """The server's time zone, for windows."""


class Update(NamedTuple):
    """The stored state of an update, its package, its device and its operations at `now`."""

    id: int
    endpoint: str
    state: str
    since: datetime
    created_at: datetime
    tries: int
    not_before: datetime | None
    cancelled_by: str | None
    token: str
    asks: int
    registration_seen: str | None
    now: datetime
    version: str
    success: str
    version_path: str
    uri: str | None
    """The URI for /5/0/1, if the package has its own."""
    retired: bool
    registered: bool
    registration_id: str | None
    secure: bool | None
    """Whether it registered over CoAPS rather than CoAP."""
    device_state: int | None
    device_state_at: datetime | None
    result: int | None
    result_at: datetime | None
    device_version: str | None
    device_version_at: datetime | None
    protocols: Sequence[int] | None
    delivery: int | None
    way: str | None
    """The FirmwareWay of its profile, or None."""
    served_at: datetime | None
    command: int | None
    command_path: str | None
    command_status: str | None
    command_verdict: str | None
    command_reason: str | None
    command_sent_at: datetime | None
    command_ended_at: datetime | None
    state_ask: int | None
    state_ask_status: str | None
    state_ask_answer: str | None
    state_ask_reason: str | None
    state_ask_ended_at: datetime | None
    version_ask: int | None
    version_ask_status: str | None
    version_ask_answer: str | None
    version_ask_reason: str | None
    version_ask_ended_at: datetime | None
    install_in: Mapping[str, Any] | None
    """Its windows, as a flownexus.firmware.window.Schedule; None: any time."""
    held_back: str | None
    """Why its install is held back, such as "campaign 3 is PAUSED"; None: it is not."""
    device_zone: str | None
    device_offset: str | None

    @property
    def schedule(self) -> Schedule | None:
        """Return when it may install; None: any time."""
        return None if self.install_in is None else msgspec.convert(self.install_in, Schedule)

    @property
    def new_state(self) -> int | None:
        """Return the device's state if it was reported since the last command."""
        return self.device_state if self._is_news(self.device_state_at) else None

    @property
    def new_result(self) -> int | None:
        """Return the device's result if it was reported since the last command."""
        return self.result if self._is_news(self.result_at) else None

    @property
    def new_failed_result(self) -> int | None:
        """Return the device's result if it was reported since the last command and is a failure."""
        result = self.new_result
        return None if result in (0, SUCCESS, DEFERRED) else result

    @property
    def new_version(self) -> str | None:
        """Return the device's version if it was reported since the last command."""
        return self.device_version if self._is_news(self.device_version_at) else None

    @property
    def command_is_open(self) -> bool:
        """Say whether its last command is still open."""
        return self.command_status in (Status.QUEUED, Status.SENDING)

    @property
    def ask_is_open(self) -> bool:
        """Say whether a question to the device is still open."""
        open_ = (Status.QUEUED, Status.SENDING)
        return self.state_ask_status in open_ or self.version_ask_status in open_

    @property
    def by_version(self) -> bool:
        """Say whether the reported version decides."""
        return self.success == Success.VERSION

    @property
    def has_new_version(self) -> bool:
        """Say whether the device has reported the package's version since the last command."""
        return self.by_version and self.new_version == self.version

    @property
    def heard_at(self) -> datetime:
        """Return the time of the last report or event of this update."""
        times = (
            self.device_state_at,
            self.result_at,
            self.served_at,
            self.command_ended_at,
            self.state_ask_ended_at,
            self.version_ask_ended_at,
        )
        return max([self.since, *(time for time in times if time is not None)])

    def _is_news(self, time: datetime | None) -> bool:
        return time is not None and self.command_sent_at is not None and time >= self.command_sent_at

    def is_past(self, time: datetime | None, seconds: float) -> bool:
        """Say whether this many seconds have passed since `time`."""
        return time is not None and self.now - time >= timedelta(seconds=seconds)


@dataclass(frozen=True)
class Step:
    """The next step of an update."""

    state: State
    words: str | None = None
    """The text of a row in the history; None: no row."""
    command: Operation | None = None
    """The operation for the device."""
    asks: bool = False
    """Whether the device is asked for its state."""
    failure: Failure | None = None
    is_try: bool = False
    wait: float | None = None
    """Seconds before the next step."""
    expires_at: datetime | None = None
    """The time after which `command` is not sent."""
