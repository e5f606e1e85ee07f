"""The states of an update and the kinds of its failures."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The state of an update; those in ENDED are final."""

    QUEUED = "QUEUED"
    ASKING = "ASKING"
    """The device is asked for its version and its firmware state."""
    RESETTING = "RESETTING"
    """The device still has an older package and is told to discard it."""
    OFFERING = "OFFERING"
    """The package's URI is written."""
    DOWNLOADING = "DOWNLOADING"
    DOWNLOADED = "DOWNLOADED"
    """The device has the package, and the install waits for its window."""
    INSTALLING = "INSTALLING"
    """The device is told to install, or is installing."""
    DEFERRED = "DEFERRED"
    """The device has deferred the install (result 11)."""
    RETURNED = "RETURNED"
    """The device is idle again but does not report the new version yet."""
    WAITING = "WAITING"
    """A try has failed; the update waits for the next one."""
    CANCELLING = "CANCELLING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    """The device already had the version."""


ENDED: Final = frozenset({State.CONFIRMED, State.FAILED, State.CANCELLED, State.SKIPPED})


class Failure(StrEnum):
    """The kinds of failures, for statistics and for the limits of campaigns."""

    NO_SPACE = "no-space"
    NO_MEMORY = "no-memory"
    CONNECTION_LOST = "connection-lost"
    BAD_CHECKSUM = "bad-checksum"
    UNSUPPORTED_PACKAGE = "unsupported-package"
    INVALID_URI = "invalid-uri"
    INSTALL_FAILED = "install-failed"
    UNSUPPORTED_PROTOCOL = "unsupported-protocol"
    GIVEN_UP = "given-up"
    """The device has cancelled the update (result 10), or reports an unknown result."""
    DOWNLOAD_GONE = "download-gone"
    NO_FIRMWARE_OBJECT = "no-firmware-object"
    NO_VERSION = "no-version"
    NO_ANSWER = "no-answer"
    REFUSED = "refused"
    RETIRED = "retired"
    WRONG_VERSION = "wrong-version"
    ROLLED_BACK = "rolled-back"
    NO_RETURN = "no-return"
    TIMED_OUT = "timed-out"
