"""The update of one device: which step follows from what the device and its operations told.

The device's side is the state machine of OMA LwM2M Core 1.1, appendix E.6: /5/0/3 (state) goes from 0 over
1 and 2 to 3, /5/0/5 (result) says how it ended. Ours goes

    QUEUED -> ASKING -> (RESETTING ->) OFFERING -> DOWNLOADING -> (DOWNLOADED ->) INSTALLING
           -> (RETURNED ->) CONFIRMED

and from a failure that may pass over WAITING to ASKING again. What a device tells counts if it is newer than
the command that it answers to; what it does not tell it is asked for. An update has no memory but its row:
whoever looks at it next, decide() says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import IntEnum, StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from flownexus.firmware.package import Success, uri_for
from flownexus.firmware.way import link_for, named
from flownexus.firmware.window import DEVICE, SERVER, Schedule, device_zone, zone_of
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import Execute, Operation, Read, Write
from flownexus.operations.lifecycle import Status, Verdict

FIRMWARE: Final = Path(5, 0)
PACKAGE_URI: Final = Path(5, 0, 1)
INSTALL: Final = Path(5, 0, 2)
CANCEL: Final = Path(5, 0, 10)
TIME_ZONE: Final = Path(3, 0, 15)
MAX_TRIES: Final = 3
"""How often a package is offered to a device before the update has failed."""
SETTLING_S: Final = 5.0
"""Seconds after a command within which a device that reports itself idle may not have begun yet."""
MAX_ASK_DOUBLINGS: Final = 5
DELIVERY_PUSH_ONLY: Final = 1  # /5/0/9
_NOT_FOUND: Final = "(404)"


class State(StrEnum):
    """Where an update stands; those in ENDED are final."""

    QUEUED = "QUEUED"
    ASKING = "ASKING"
    """The device is asked for its version and for the state of its firmware object."""
    RESETTING = "RESETTING"
    """The device still has a package of before, and is told to forget it."""
    OFFERING = "OFFERING"
    """The package's URI is written."""
    DOWNLOADING = "DOWNLOADING"
    DOWNLOADED = "DOWNLOADED"
    """The device has the package, and the install waits for its window."""
    INSTALLING = "INSTALLING"
    """The device is told to install, or does."""
    DEFERRED = "DEFERRED"
    """The device has put the install off by itself (result 11)."""
    RETURNED = "RETURNED"
    """The device is idle again, and does not report the new version yet."""
    WAITING = "WAITING"
    """A try has failed; the next one comes."""
    CANCELLING = "CANCELLING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    """The device had the version already."""


ENDED: Final = frozenset({State.CONFIRMED, State.FAILED, State.CANCELLED, State.SKIPPED})
NOT_TAKEN_BACK: Final = frozenset({State.INSTALLING, State.RETURNED})
"""A device that has been told to install cannot be stopped any more."""


class Device(IntEnum):
    """/5/0/3."""

    IDLE = 0
    DOWNLOADING = 1
    DOWNLOADED = 2
    UPDATING = 3


class Failure(StrEnum):
    """The kinds of failures, for people to count and for a campaign to stop by."""

    NO_SPACE = "no-space"
    NO_MEMORY = "no-memory"
    CONNECTION_LOST = "connection-lost"
    BAD_CHECKSUM = "bad-checksum"
    UNSUPPORTED_PACKAGE = "unsupported-package"
    INVALID_URI = "invalid-uri"
    INSTALL_FAILED = "install-failed"
    UNSUPPORTED_PROTOCOL = "unsupported-protocol"
    GIVEN_UP = "given-up"
    """The device has cancelled by itself (result 10), or reports a result of its own."""
    DOWNLOAD_GONE = "download-gone"
    NO_FIRMWARE_OBJECT = "no-firmware-object"
    NO_VERSION = "no-version"
    NO_ANSWER = "no-answer"
    REFUSED = "refused"
    RETIRED = "retired"
    PUSH_ONLY = "push-only"
    WRONG_VERSION = "wrong-version"
    ROLLED_BACK = "rolled-back"
    NO_RETURN = "no-return"
    TIMED_OUT = "timed-out"


SUCCESS: Final = 1
DEFERRED: Final = 11
RESULTS: Final[Mapping[int, tuple[Failure, str]]] = {
    2: (Failure.NO_SPACE, "the device has not enough flash for the package"),
    3: (Failure.NO_MEMORY, "the device ran out of memory while it downloaded"),
    4: (Failure.CONNECTION_LOST, "the device lost the connection while it downloaded"),
    5: (Failure.BAD_CHECKSUM, "the package has not passed the device's integrity check"),
    6: (Failure.UNSUPPORTED_PACKAGE, "the device does not support this type of package"),
    7: (Failure.INVALID_URI, "the device cannot use the package's URI, or found nothing there"),
    8: (Failure.INSTALL_FAILED, "the device failed to install the package"),
    9: (Failure.UNSUPPORTED_PROTOCOL, "the device does not support the protocol of the package's URI"),
    10: (Failure.GIVEN_UP, "the device has cancelled the update"),
}
"""/5/0/5 of an update that failed (OMA LwM2M Core 1.1, appendix E.6)."""
MAY_PASS: Final = frozenset({2, 3, 4, 8})
"""Results that another try may change."""


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


def decide(update: Update, terms: Terms) -> Step | None:
    """Return the next step of an update; None where it waits."""
    state = State(update.state)
    if state in ENDED:
        return None
    if update.cancelled_by is not None and state is not State.CANCELLING and state not in NOT_TAKEN_BACK:
        return _cancel(update)
    if _is_out_of_time(update, terms):
        return _fail(Failure.TIMED_OUT, f"it has not ended within {_span(terms.patience.limit)}")
    return _RULES[state](update, terms)


def reads(update: Update) -> tuple[Read, ...]:
    """Return what a device is asked by: its firmware object, and its version where that decides."""
    asked = [Read(path=FIRMWARE)]
    if update.by_version:
        asked.append(Read(path=Path.parse(update.version_path)))
    return tuple(asked)


def zone_read(update: Update) -> Read | None:
    """Return what a device is asked for its time zone by, where its installs have windows in that."""
    schedule = update.schedule
    return Read(path=TIME_ZONE) if schedule is not None and schedule.time_zone == DEVICE else None


def _is_out_of_time(update: Update, terms: Terms) -> bool:
    """Say whether it has taken too long; where it waits for windows, whether its last step has."""
    if update.install_in is None:
        return update.is_past(update.created_at, terms.patience.limit)
    return update.state != State.DOWNLOADED and update.is_past(update.since, terms.patience.limit)


# ---------------------------------------------------------------------------------------------------------
# A rule for each state


def _begin(update: Update, _: Terms) -> Step | None:
    if update.not_before is not None and update.now < update.not_before:
        return None
    return Step(
        State.ASKING, "the device is asked for its version and the state of its firmware object", asks=True
    )


def _asking(update: Update, terms: Terms) -> Step | None:
    if update.ask_is_open:
        return None
    if update.state_ask_status != Status.CONFIRMED:
        return _unanswered(update, terms, update.state_ask_answer, update.state_ask_reason)
    if update.by_version and update.version_ask_status != Status.CONFIRMED:
        if (update.version_ask_answer or "").endswith(_NOT_FOUND):
            return _fail(
                Failure.NO_VERSION,
                f"the device has no {update.version_path}, and reports no version there: upload the package "
                "with another version_path, or with success=result",
            )
        return _unanswered(update, terms, None, update.version_ask_reason)
    if update.by_version and update.device_version == update.version:
        return Step(State.SKIPPED, f"the device already has version {update.version}")
    if update.device_state is None:
        return _fail(Failure.NO_FIRMWARE_OBJECT, "the device's firmware object has no state (/5/0/3)")
    if update.device_state == Device.IDLE:
        return _offer(update, terms)
    if update.device_state == Device.UPDATING:
        return _ask_when_due(update, terms)  # it installs something else: that ends
    return Step(
        State.RESETTING,
        "the device has a package of before, and is told to forget it",
        Write(path=PACKAGE_URI, value={"type": "STRING", "value": ""}),
    )


def _unanswered(update: Update, terms: Terms, answer: str | None, reason: str | None) -> Step:
    if (answer or "").endswith(_NOT_FOUND):
        return _fail(Failure.NO_FIRMWARE_OBJECT, "the device has no firmware object (/5/0)")
    return _retry(update, terms, Failure.NO_ANSWER, f"the device did not say where it stands: {reason}")


def _resetting(update: Update, terms: Terms) -> Step | None:
    if update.command_is_open:
        return None
    if update.command_status == Status.CONFIRMED:
        return _offer(update, terms)
    return _refused(update, terms, "to forget its package of before")


def _offer(update: Update, terms: Terms) -> Step:
    if update.retired:
        return _fail(Failure.RETIRED, "the package was retired")
    if update.delivery == DELIVERY_PUSH_ONLY:
        return _fail(Failure.PUSH_ONLY, "the device takes a package by push only (/5/0/9 is 1)")
    link = update.uri or link_for(update.protocols, update.secure, terms.links)
    if link is None:
        return _fail(
            Failure.UNSUPPORTED_PROTOCOL,
            f"packages are served by {', '.join(terms.links)}; the device takes "
            f"{named(update.protocols)} (/5/0/8)",
        )
    return Step(
        State.OFFERING,
        f"the package's URI is written to {PACKAGE_URI}, try {update.tries + 1} of {MAX_TRIES}",
        Write(path=PACKAGE_URI, value={"type": "STRING", "value": uri_for(link, update.token)}),
        is_try=True,
    )


def _offering(update: Update, terms: Terms) -> Step | None:
    if update.command_status == Status.CONFIRMED or update.new_state in (
        Device.DOWNLOADING,
        Device.DOWNLOADED,
        Device.UPDATING,
    ):
        return Step(State.DOWNLOADING, "the device has the URI, and downloads")
    if update.command_is_open:
        return None
    return _refused(update, terms, "the package's URI")


def _downloading(update: Update, terms: Terms) -> Step | None:
    result, state = update.new_result, update.new_state
    if update.has_new_version:
        return _confirmed(update)
    if state == Device.UPDATING:
        return Step(State.INSTALLING, "the device installs by itself")
    if state == Device.DOWNLOADED:
        return _install(update, terms, "the device has downloaded the package")
    if result not in (None, 0, SUCCESS, DEFERRED):
        return _result(update, terms, result)
    if state == Device.IDLE and _has_settled(update):
        return _retry(
            update,
            terms,
            Failure.DOWNLOAD_GONE,
            "the device is idle again and tells no result: it restarted, or gave the download up",
        )
    return _ask_when_due(update, terms)


def _install(update: Update, terms: Terms, words: str, how: str = "is told to install it") -> Step:
    """Tell the device to install, where it has windows only in one of them."""
    schedule = update.schedule
    if schedule is None:
        return Step(State.INSTALLING, f"{words}, and {how}", Execute(path=INSTALL))
    zone, name = _zone(update, terms, schedule)
    span = schedule.span(update.now, zone)
    if span.is_open(update.now):
        return Step(
            State.INSTALLING,
            f"{words}, and {how} before {span.closes_at.astimezone(zone):%Y-%m-%d %H:%M} ({name})",
            Execute(path=INSTALL),
            expires_at=span.closes_at,
        )
    opens = f"{span.opens_at.astimezone(zone):%A %Y-%m-%d %H:%M} ({name})"
    return Step(
        State.DOWNLOADED,
        f"{words}; the install waits for its window, which opens {opens}",
        wait=(span.opens_at - update.now).total_seconds(),
    )


def _zone(update: Update, terms: Terms, schedule: Schedule) -> tuple[tzinfo, str]:
    """Return the time zone of an update's windows, and what it is called."""
    if schedule.time_zone == DEVICE:
        zone = device_zone(update.device_zone, update.device_offset)
        if zone is not None:
            return zone, f"the device's time, {zone}"
        return terms.zone, f"{terms.zone}; the device tells no time zone"
    zone = None if schedule.time_zone == SERVER else zone_of(schedule.time_zone)
    return (terms.zone, str(terms.zone)) if zone is None else (zone, schedule.time_zone)


def _install_again(update: Update, terms: Terms, words: str) -> Step:
    if update.tries >= MAX_TRIES:
        return _fail(Failure.INSTALL_FAILED, f"{words}; given up after {MAX_TRIES} tries")
    return replace(_install(update, terms, words, "is told again"), is_try=True)


def _downloaded(update: Update, terms: Terms) -> Step | None:
    """Wait for the window; a device that registers anew is asked whether it still has the package."""
    state, result = update.new_state, update.new_result
    if update.has_new_version:
        return _confirmed(update)
    if state == Device.UPDATING:
        return Step(State.INSTALLING, "the device installs by itself")
    if result not in (None, 0, SUCCESS, DEFERRED):
        return _result(update, terms, result)
    if state == Device.IDLE and _has_settled(update):
        return _retry(
            update,
            terms,
            Failure.DOWNLOAD_GONE,
            "the device is idle again: it has lost the package before it could install it",
        )
    if update.not_before is not None and update.now < update.not_before:
        anew = update.registration_id != update.registration_seen and not update.ask_is_open
        return Step(State.DOWNLOADED, asks=True) if anew else None
    return _install(update, terms, "the device has the package")


def _installing(update: Update, terms: Terms) -> Step | None:
    if update.command_path != str(INSTALL):
        return _installed_by_itself(update, terms)
    if update.command_is_open and update.command_sent_at is None:
        return None
    if (ended := _ended(update, terms)) is not None:
        return ended
    state, result = update.new_state, update.new_result
    if result == DEFERRED and update.state != State.DEFERRED:
        return Step(State.DEFERRED, "the device has deferred the install by itself (result 11)")
    if update.state == State.DEFERRED and state == Device.UPDATING:
        return Step(State.INSTALLING, "the device installs what it had deferred")
    if update.command_is_open:
        return None
    if update.command_status == Status.EXPIRED and update.install_in is not None:
        return _install(update, terms, "the device was not reached in its window")
    if update.command_status != Status.CONFIRMED:
        if update.command_verdict in (Verdict.REFUSED, Verdict.FAILED):
            return _refused(update, terms, "to install")
        # Nobody knows whether it was told.
        if state == Device.DOWNLOADED and _is_after(update.device_state_at, update.command_ended_at):
            return _install_again(update, terms, "the device has not begun to install")
    elif state == Device.DOWNLOADED and result != DEFERRED and _has_settled(update):
        return _install_again(
            update, terms, "the device still has the package: it restarted before it had installed it"
        )
    if result == SUCCESS or (state == Device.IDLE and _has_settled(update)):
        return _returned(update)
    return _absent(update, terms) or _ask_when_due(update, terms)


def _installed_by_itself(update: Update, terms: Terms) -> Step | None:
    """Go on without a command of ours: what came since the URI was written counts."""
    if (ended := _ended(update, terms)) is not None:
        return ended
    if update.new_result == SUCCESS or (update.new_state == Device.IDLE and _has_settled(update)):
        return _returned(update)
    return _absent(update, terms) or _ask_when_due(update, terms)


def _returned(update: Update) -> Step:
    told = "reports success" if update.new_result == SUCCESS else "is idle again and tells no result"
    return Step(State.RETURNED, f"the device {told}; its version decides", asks=True)


def _ended(update: Update, terms: Terms) -> Step | None:
    """Return how an install has ended, if the device told."""
    if update.has_new_version or (not update.by_version and update.new_result == SUCCESS):
        return _confirmed(update)
    if update.new_result not in (None, 0, SUCCESS, DEFERRED):
        return _result(update, terms, update.new_result)
    return None


def _absent(update: Update, terms: Terms) -> Step | None:
    if update.registered or not update.is_past(update.heard_at, terms.patience.absence):
        return None
    return _fail(
        Failure.NO_RETURN,
        f"the device was told to install, and has been gone for {_span(terms.patience.absence)}",
    )


def _back(update: Update, terms: Terms) -> Step | None:
    if (ended := _ended(update, terms)) is not None:
        return ended
    if update.new_state == Device.UPDATING:
        return Step(State.INSTALLING, "the device installs")
    if update.new_state == Device.DOWNLOADED and _is_after(update.device_state_at, update.since):
        return _install_again(
            update, terms, "the device still has the package: it restarted before it had installed it"
        )
    if not update.is_past(update.since, terms.patience.grace) or update.ask_is_open:
        return _ask_when_due(update, terms, terms.patience.grace / 4)
    if not update.by_version:
        return _fail(
            Failure.ROLLED_BACK, "the device is idle and tells no result: rolled back, or never booted"
        )
    if not _is_after(update.device_version_at, update.since):
        return _absent(update, terms) or (
            _fail(
                Failure.NO_VERSION,
                f"the device does not tell its version any more: {update.version_ask_reason}",
            )
            # A device that has not answered is asked again: it may have been the way to it.
            if update.version_ask_status == Status.FAILED and update.version_ask_answer is not None
            else _ask_when_due(update, terms)
        )
    version = f"version {update.device_version}, not {update.version}"
    if update.new_result == SUCCESS:
        return _fail(Failure.WRONG_VERSION, f"the device reports success (result 1), and {version}")
    return _fail(
        Failure.ROLLED_BACK,
        f"the device is back with {version}, and tells no result: it rolled back, or never booted the "
        "new one",
    )


def _cancel(update: Update) -> Step:
    state = State(update.state)
    untold = state in (State.QUEUED, State.ASKING, State.WAITING) or (
        update.command_sent_at is None and state is not State.DOWNLOADED
    )
    if untold and (update.command_status != Status.SENDING):
        return Step(State.CANCELLED, f"cancelled by {update.cancelled_by}")
    return Step(
        State.CANCELLING,
        f"cancelled by {update.cancelled_by}: the device is told to forget it ({CANCEL})",
        Execute(path=CANCEL, repeatable=True),
    )


def _cancelling(update: Update, terms: Terms) -> Step | None:
    if update.command_is_open:
        if update.is_past(update.created_at, terms.patience.limit):
            return Step(State.CANCELLED, "the device was not reached; it is served nothing any more")
        return None
    if update.command_status == Status.CONFIRMED:
        return Step(State.CANCELLED, "the device has forgotten it")
    if update.command_path == str(CANCEL):
        return Step(
            State.CANCELLING,
            f"the device does not take that; an empty URI is written to {PACKAGE_URI}",
            Write(path=PACKAGE_URI, value={"type": "STRING", "value": ""}),
        )
    return Step(
        State.CANCELLED,
        f"the device has not taken it back ({update.command_reason}); it is served nothing any more",
    )


_RULES: Final = {
    State.QUEUED: _begin,
    State.WAITING: _begin,
    State.ASKING: _asking,
    State.RESETTING: _resetting,
    State.OFFERING: _offering,
    State.DOWNLOADING: _downloading,
    State.DOWNLOADED: _downloaded,
    State.INSTALLING: _installing,
    State.DEFERRED: _installing,
    State.RETURNED: _back,
    State.CANCELLING: _cancelling,
}


# ---------------------------------------------------------------------------------------------------------
# What several rules do


def _confirmed(update: Update) -> Step:
    if update.by_version:
        return Step(State.CONFIRMED, f"the device reports version {update.version}")
    return Step(State.CONFIRMED, "the device reports success (result 1)")


def _result(update: Update, terms: Terms, result: int | None) -> Step:
    """Return the step after a device has told a result that is no success."""
    failure, words = RESULTS.get(result or 0, (Failure.GIVEN_UP, "the device tells a result of its own"))
    words = f"{words} (result {result})"
    return _retry(update, terms, failure, words) if result in MAY_PASS else _fail(failure, words)


def _refused(update: Update, terms: Terms, what: str) -> Step:
    """Return the step after a command has failed."""
    if update.command_status in (Status.CANCELLED, Status.EXPIRED):
        return _retry(
            update,
            terms,
            Failure.NO_ANSWER,
            f"operation {update.command} was {str(update.command_status).lower()}",
        )
    if update.command_verdict == Verdict.REFUSED:
        return _retry(update, terms, Failure.REFUSED, f"the device refuses {what}: {update.command_reason}")
    return _retry(
        update, terms, Failure.NO_ANSWER, f"the device was not told {what}: {update.command_reason}"
    )


def _retry(update: Update, terms: Terms, failure: Failure, words: str) -> Step:
    """Try again later, or give up after the third try; one that did not come to an offer is a try, too."""
    unoffered = State(update.state) in (State.ASKING, State.RESETTING)
    tries = update.tries + unoffered
    if tries >= MAX_TRIES:
        return _fail(failure, f"{words}; given up after {MAX_TRIES} tries")
    wait = terms.patience.retry * 2 ** (tries - 1)
    return Step(
        State.WAITING,
        f"{words}; the next try comes in {_span(wait)}",
        failure=failure,
        wait=wait,
        is_try=unoffered,
    )


def _fail(failure: Failure, words: str) -> Step:
    return Step(State.FAILED, words, failure=failure)


def _ask_when_due(update: Update, terms: Terms, after: float | None = None) -> Step | None:
    """Ask a device that is silent, or has registered anew since it was asked; None where that can wait."""
    if update.ask_is_open:
        return None
    anew = update.registration_id != update.registration_seen
    silence = (after or terms.patience.ask) * (1 if after else 2 ** min(update.asks, MAX_ASK_DOUBLINGS))
    if anew or update.is_past(update.heard_at, silence):
        return Step(State(update.state), asks=True)
    return None


def _has_settled(update: Update) -> bool:
    """Say whether the device told its state long enough after the last command to have begun with it."""
    return (
        update.device_state_at is not None
        and update.command_ended_at is not None
        and update.device_state_at - update.command_ended_at >= timedelta(seconds=SETTLING_S)
    )


def _is_after(time: datetime | None, other: datetime | None) -> bool:
    return time is not None and other is not None and time > other


def _span(seconds: float) -> str:
    """Write a span of time in words."""
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
