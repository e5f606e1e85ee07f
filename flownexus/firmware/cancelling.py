"""Which updates can be cancelled, and the steps of a cancelled update."""

from __future__ import annotations

from typing import Final, Protocol

from flownexus.firmware.device import CANCEL, INSTALL, PACKAGE_URI
from flownexus.firmware.state import State
from flownexus.firmware.update import Step, Terms, Update
from flownexus.operations.catalogue.one_path import Execute, Write
from flownexus.operations.lifecycle import Status

_TOLD_TO_INSTALL: Final = frozenset({State.INSTALLING, State.RETURNED})


class Commanded(Protocol):
    """An update's state, and its last command."""

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
    """Say whether the install command still waits for its device.

    An attempt that found the device asleep does not count; a command that may have arrived is not requeued.
    """
    return update.command_path == str(INSTALL) and update.command_status == Status.QUEUED


def cancel(update: Update) -> Step:
    """End an update of which the device has not been told; otherwise tell the device to cancel it."""
    state = State(update.state)
    untold = state in (State.QUEUED, State.ASKING, State.WAITING) or (
        update.command_sent_at is None and state not in (State.DOWNLOADED, State.INSTALLING)
    )
    if untold and (update.command_status != Status.SENDING):
        return Step(State.CANCELLED, f"cancelled by {update.cancelled_by}")
    return Step(
        State.CANCELLING,
        f"cancelled by {update.cancelled_by}: the device is told to cancel it ({CANCEL})",
        Execute(path=CANCEL, repeatable=True),
    )


def told_to_forget(update: Update, terms: Terms) -> Step | None:
    """End the update once the device has discarded it, by either command."""
    if update.command_is_open:
        if update.is_past(update.created_at, terms.patience.limit):
            return Step(State.CANCELLED, "the device was not reached; the package is no longer served to it")
        return None
    if update.command_status == Status.CONFIRMED:
        return Step(State.CANCELLED, "the device has discarded the package")
    if update.command_path == str(CANCEL):
        return Step(
            State.CANCELLING,
            f"the device does not support {CANCEL}; an empty URI is written to {PACKAGE_URI}",
            Write(path=PACKAGE_URI, value={"type": "STRING", "value": ""}),
        )
    return Step(
        State.CANCELLED,
        f"the device did not cancel it ({update.command_reason}); the package is no longer served to it",
    )
