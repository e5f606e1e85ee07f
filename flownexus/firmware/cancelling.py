"""Which updates can be cancelled, and the steps of one that somebody cancels."""

from __future__ import annotations

from typing import Final, Protocol

from flownexus.firmware.device import CANCEL, INSTALL, PACKAGE_URI
from flownexus.firmware.state import State
from flownexus.firmware.update import Step, Terms, Update
from flownexus.operations.catalogue.one_path import Execute, Write
from flownexus.operations.lifecycle import Status

_TOLD_TO_INSTALL: Final = frozenset({State.INSTALLING, State.RETURNED})


class Commanded(Protocol):
    """Where an update stands, and its last command."""

    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def command_path(self) -> str | None: ...  # noqa: D102
    @property
    def command_status(self) -> str | None: ...  # noqa: D102


def can_be_stopped(update: Commanded) -> bool:
    """Say whether an open update can still be cancelled: its device was not told to install."""
    return update.state not in _TOLD_TO_INSTALL or install_is_untold(update)


def install_is_untold(update: Commanded) -> bool:
    """Say whether the command to install waits for its device.

    An attempt that found the device asleep is no matter: what it may have taken is not queued again.
    """
    return update.command_path == str(INSTALL) and update.command_status == Status.QUEUED


def cancel(update: Update) -> Step:
    """End an update that its device does not know of; tell another device to forget it."""
    state = State(update.state)
    untold = state in (State.QUEUED, State.ASKING, State.WAITING) or (
        update.command_sent_at is None and state not in (State.DOWNLOADED, State.INSTALLING)
    )
    if untold and (update.command_status != Status.SENDING):
        return Step(State.CANCELLED, f"cancelled by {update.cancelled_by}")
    return Step(
        State.CANCELLING,
        f"cancelled by {update.cancelled_by}: the device is told to forget it ({CANCEL})",
        Execute(path=CANCEL, repeatable=True),
    )


def told_to_forget(update: Update, terms: Terms) -> Step | None:
    """End it once the device has forgotten it, one way or the other."""
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
