"""The steps of an update while its device downloads the package, or has it and waits for its window."""

from __future__ import annotations

from flownexus.firmware.device import Device
from flownexus.firmware.installing import install
from flownexus.firmware.state import Failure, State
from flownexus.firmware.steps import ask_when_due, confirmed, has_settled, retry, unsuccessful
from flownexus.firmware.update import Step, Terms, Update


def downloading(update: Update, terms: Terms) -> Step | None:
    """Install once the device has the package."""
    if update.new_state == Device.DOWNLOADED and not update.has_new_version:
        return install(update, terms, "the device has downloaded the package")
    return _left(
        update,
        terms,
        "the device is idle again and tells no result: it restarted, or gave the download up",
    ) or ask_when_due(update, terms)


def downloaded(update: Update, terms: Terms) -> Step | None:
    """Wait for the window; a device that registers anew is asked whether it still has the package."""
    left = _left(
        update, terms, "the device is idle again: it has lost the package before it could install it"
    )
    if left is not None:
        return left
    if update.not_before is not None and update.now < update.not_before:
        anew = update.registration_id != update.registration_seen and not update.ask_is_open
        return Step(State.DOWNLOADED, asks=True) if anew else None
    return install(update, terms, "the device has the package")


def _left(update: Update, terms: Terms, words_if_idle: str) -> Step | None:
    """Return the step of a device that neither downloads nor has the package; None where it may do either."""
    if update.has_new_version:
        return confirmed(update)
    if update.new_state == Device.UPDATING:
        return Step(State.INSTALLING, "the device installs by itself")
    if (result := update.new_failed_result) is not None:
        return unsuccessful(update, terms, result)
    if update.new_state == Device.IDLE and has_settled(update):
        return retry(update, terms, Failure.DOWNLOAD_GONE, words_if_idle)
    return None
