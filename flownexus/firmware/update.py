"""An update as its rows say, and a step of it."""

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
    """Silence after which a device is asked where it stands; doubles with each question."""
    grace: float = 120.0
    """How long a device that is idle again may take to report its new version."""
    absence: float = 3600.0
    """How long a device that installs may be gone beyond its registration."""
    retry: float = 600.0
    """Time before the second try; doubles."""
    limit: float = 7 * 24 * 3600.0
    """How long an update may take in all."""


@dataclass(frozen=True)
class Terms:
    """What an update goes by beside its row: where packages are served, by scheme, and how long it waits."""

    links: Mapping[str, str]
    """URLs, in which TOKEN stands for the update's."""
    patience: Patience = Patience()
    zone: tzinfo = UTC
    """The server's time zone, for windows of installs."""


class Update(NamedTuple):
    """What the rows of an update, its package, its device and its operations say, at `now`."""

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
    """What is written to 5/0/1, if the package has its own."""
    retired: bool
    registered: bool
    registration_id: str | None
    secure: bool | None
    """It registered by CoAPS, and not by CoAP."""
    device_state: int | None
    device_state_at: datetime | None
    result: int | None
    result_at: datetime | None
    device_version: str | None
    device_version_at: datetime | None
    protocols: Sequence[int] | None
    delivery: int | None
    way: str | None
    """The way that its profile says, a FirmwareWay; None: it says none."""
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
    """The schedule of its installs, as flownexus.firmware.window.Schedule; None: any time."""
    held_back: str | None
    """Why its install waits beyond its window, such as "campaign 3 is PAUSED"; None: it does not."""
    device_zone: str | None
    device_offset: str | None

    @property
    def schedule(self) -> Schedule | None:
        """Return when it may install; None: any time."""
        return None if self.install_in is None else msgspec.convert(self.install_in, Schedule)

    @property
    def new_state(self) -> int | None:
        """Return the device's state if it told it since the last command."""
        return self.device_state if self._is_news(self.device_state_at) else None

    @property
    def new_result(self) -> int | None:
        """Return the device's result if it told it since the last command."""
        return self.result if self._is_news(self.result_at) else None

    @property
    def new_failed_result(self) -> int | None:
        """Return the device's result if it told it since the last command, and it is a failure."""
        result = self.new_result
        return None if result in (0, SUCCESS, DEFERRED) else result

    @property
    def new_version(self) -> str | None:
        """Return the device's version if it told it since the last command."""
        return self.device_version if self._is_news(self.device_version_at) else None

    @property
    def command_is_open(self) -> bool:
        """Say whether its last command has not ended."""
        return self.command_status in (Status.QUEUED, Status.SENDING)

    @property
    def ask_is_open(self) -> bool:
        """Say whether something that it asked for has not been answered."""
        open_ = (Status.QUEUED, Status.SENDING)
        return self.state_ask_status in open_ or self.version_ask_status in open_

    @property
    def by_version(self) -> bool:
        """Say whether the reported version decides."""
        return self.success == Success.VERSION

    @property
    def has_new_version(self) -> bool:
        """Say whether the device reports the package's version, since it was told to do something."""
        return self.by_version and self.new_version == self.version

    @property
    def heard_at(self) -> datetime:
        """Return when something of this update was last heard of."""
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
        """Say whether so many seconds are over since then."""
        return time is not None and self.now - time >= timedelta(seconds=seconds)


@dataclass(frozen=True)
class Step:
    """What an update does next."""

    state: State
    words: str | None = None
    """None: nothing that is worth a row."""
    command: Operation | None = None
    """What the device is told."""
    asks: bool = False
    """The device is asked where it stands."""
    failure: Failure | None = None
    is_try: bool = False
    wait: float | None = None
    """Seconds before which it does not go on."""
    expires_at: datetime | None = None
    """From then on the device is not told any more what `command` says."""
