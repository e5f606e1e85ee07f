"""The steps of an update until the device has the package's URI."""

from __future__ import annotations

from typing import Final

from flownexus.firmware.device import PACKAGE, PACKAGE_URI, Device
from flownexus.firmware.package import uri_for
from flownexus.firmware.state import Failure, State
from flownexus.firmware.steps import MAX_TRIES, ask_when_due, failed, refused, retry
from flownexus.firmware.update import Step, Terms, Update
from flownexus.firmware.way import is_pushed, link_for, may_be_pushed, named
from flownexus.operations.catalogue.one_path import Write
from flownexus.operations.lifecycle import Status

_NOT_FOUND: Final = "(404)"


def begin(update: Update, _: Terms) -> Step | None:
    """Ask the device for its state, once that is due."""
    if update.not_before is not None and update.now < update.not_before:
        return None
    return Step(State.ASKING, "the device is asked for its version and its firmware state", asks=True)


def answered(update: Update, terms: Terms) -> Step | None:
    """Continue from the state that the device reports: offer the package, or reset an older update."""
    if update.ask_is_open:
        return None
    if update.state_ask_status != Status.CONFIRMED:
        return _unanswered(update, terms, update.state_ask_answer, update.state_ask_reason)
    if update.by_version and update.version_ask_status != Status.CONFIRMED:
        if (update.version_ask_answer or "").endswith(_NOT_FOUND):
            return failed(
                Failure.NO_VERSION,
                f"the device has no {update.version_path}, where it should report its version: upload the "
                "package with another version_path, or with success=result",
            )
        return _unanswered(update, terms, None, update.version_ask_reason)
    if update.by_version and update.device_version == update.version:
        return Step(State.SKIPPED, f"the device already has version {update.version}")
    if update.device_state is None:
        return failed(Failure.NO_FIRMWARE_OBJECT, "the device's firmware object has no state (/5/0/3)")
    if update.device_state == Device.IDLE:
        return _offer(update, terms)
    if update.device_state == Device.UPDATING:
        return ask_when_due(update, terms)  # it is still installing another package
    return Step(
        State.RESETTING,
        "the device still has an older package and is told to discard it",
        Write(path=PACKAGE_URI, value={"type": "STRING", "value": ""}),
    )


def _unanswered(update: Update, terms: Terms, answer: str | None, reason: str | None) -> Step:
    if (answer or "").endswith(_NOT_FOUND):
        return failed(Failure.NO_FIRMWARE_OBJECT, "the device has no firmware object (/5/0)")
    return retry(update, terms, Failure.NO_ANSWER, f"the device did not report its state: {reason}")


def forgotten(update: Update, terms: Terms) -> Step | None:
    """Offer the package to a device that has discarded an older one."""
    if update.command_is_open:
        return None
    if update.command_status == Status.CONFIRMED:
        return _offer(update, terms)
    return refused(update, terms, "to discard its older package")


def _offer(update: Update, terms: Terms) -> Step:
    if update.retired:
        return failed(Failure.RETIRED, "the package was retired")
    link = None
    if not is_pushed(update.way, update.delivery):
        link = update.uri or link_for(update.way, update.protocols, update.secure, terms.links)
    if link is None and may_be_pushed(update.way, update.delivery):
        return Step(
            State.DOWNLOADING,
            f"the package is written to {PACKAGE}, block by block, try {update.tries + 1} of {MAX_TRIES}",
            Write(path=PACKAGE, value={"type": "OPAQUE", "package": update.token}),
            is_try=True,
        )
    if link is None:
        return failed(
            Failure.UNSUPPORTED_PROTOCOL,
            f"packages are served over {', '.join(terms.links)}; "
            + (
                f"the device supports {named(update.protocols)} (/5/0/8)"
                if update.way is None
                else f"the device's profile requires {update.way} (firmware_way)"
            ),
        )
    return Step(
        State.OFFERING,
        f"the package's URI is written to {PACKAGE_URI}, try {update.tries + 1} of {MAX_TRIES}",
        Write(path=PACKAGE_URI, value={"type": "STRING", "value": uri_for(link, update.token)}),
        is_try=True,
    )


def offered(update: Update, terms: Terms) -> Step | None:
    """Wait for the device to accept the URI; if its answer was lost, its new state shows it."""
    if update.command_status == Status.CONFIRMED or update.new_state in (
        Device.DOWNLOADING,
        Device.DOWNLOADED,
        Device.UPDATING,
    ):
        return Step(State.DOWNLOADING, "the device has the URI and downloads the package")
    if update.command_is_open:
        return None
    return refused(update, terms, "the package's URI")
