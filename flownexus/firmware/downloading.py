"""The steps of an update while the device downloads the package or waits for its window."""

from __future__ import annotations

from flownexus.firmware.device import PACKAGE, Device
from flownexus.firmware.installing import install
from flownexus.firmware.state import Failure, State
from flownexus.firmware.steps import (
    SETTLING_S,
    ask_when_due,
    confirmed,
    has_settled,
    refused_once_asked,
    retry,
    unsuccessful,
)
from flownexus.firmware.update import Step, Terms, Update
from flownexus.operations.lifecycle import Status


def downloading(update: Update, terms: Terms) -> Step | None:
    """Install once the device has the package."""
    if update.new_state == Device.DOWNLOADED and not update.has_new_version:
        return install(update, terms, "the device has downloaded the package")
    is_pushed = update.command_path == str(PACKAGE)
    if is_pushed and not update.command_is_open and update.command_status != Status.CONFIRMED:
        return _ended_by_device(update, terms) or refused_once_asked(update, terms, "the package")
    left = _left(
        update, terms, "the device is idle again without a result: it restarted or gave up the download"
    )
    if left is not None or (is_pushed and update.command_is_open):
        return left
    return ask_when_due(update, terms, SETTLING_S if is_pushed else None)


def downloaded(update: Update, terms: Terms) -> Step | None:
    """Wait for the window, and for a campaign that holds back the install.

    A device that registers again is asked whether it still has the package.
    """
    left = _left(update, terms, "the device is idle again: it lost the package before it could install it")
    if left is not None:
        return left
    held = update.held_back is not None and update.not_before is None  # as its last step says
    if held or (update.not_before is not None and update.now < update.not_before):
        anew = update.registration_id != update.registration_seen and not update.ask_is_open
        return Step(State.DOWNLOADED, asks=True) if anew else None
    return install(update, terms, "the device has the package")


def _left(update: Update, terms: Terms, words_if_idle: str) -> Step | None:
    """Return the step for a device that neither downloads nor has the package, or None if it still may."""
    ended = _ended_by_device(update, terms)
    if ended is None and update.new_state == Device.IDLE and has_settled(update):
        return retry(update, terms, Failure.DOWNLOAD_GONE, words_if_idle)
    return ended


def _ended_by_device(update: Update, terms: Terms) -> Step | None:
    """Return the step for a device that ended the update or installs by itself, or None."""
    if update.has_new_version:
        return confirmed(update)
    if update.new_state == Device.UPDATING:
        return Step(State.INSTALLING, "the device installs the package without a command")
    if (result := update.new_failed_result) is not None:
        return unsuccessful(update, terms, result)
    return None
