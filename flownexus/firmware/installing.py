"""The steps of an update from the install command to the new version."""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo

from flownexus.firmware.cancelling import install_is_untold
from flownexus.firmware.device import DEFERRED, INSTALL, SUCCESS, Device
from flownexus.firmware.state import Failure, State
from flownexus.firmware.steps import (
    MAX_TRIES,
    ask_when_due,
    confirmed,
    failed,
    has_settled,
    is_after,
    refused_once_asked,
    span_in_words,
    unsuccessful,
)
from flownexus.firmware.update import Step, Terms, Update
from flownexus.firmware.window import DEVICE, SERVER, Schedule, device_zone, zone_of
from flownexus.operations.catalogue.one_path import Execute
from flownexus.operations.lifecycle import Status, Verdict


def install(update: Update, terms: Terms, words: str, how: str = "is told to install it") -> Step:
    """Tell the device to install; with windows, only within one, and not while it is held back."""
    schedule = update.schedule
    if schedule is None:
        return Step(State.INSTALLING, f"{words}, and {how}", Execute(path=INSTALL))
    if update.held_back is not None:
        return Step(State.DOWNLOADED, f"{words}; the install is held back: {update.held_back}")
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
    """Return the time zone of an update's windows, and its name."""
    if schedule.time_zone == DEVICE:
        zone = device_zone(update.device_zone, update.device_offset)
        if zone is not None:
            return zone, f"the device's time, {zone}"
        return terms.zone, f"{terms.zone}; the device reports no time zone"
    zone = None if schedule.time_zone == SERVER else zone_of(schedule.time_zone)
    return (terms.zone, str(terms.zone)) if zone is None else (zone, schedule.time_zone)


def _install_again(update: Update, terms: Terms, words: str) -> Step:
    if update.tries >= MAX_TRIES:
        return failed(Failure.INSTALL_FAILED, f"{words}; given up after {MAX_TRIES} tries")
    return replace(install(update, terms, words, "is told to install it again"), is_try=True)


def told(update: Update, terms: Terms) -> Step | None:
    """Follow a device that was told to install."""
    if update.command_path != str(INSTALL):
        return _installed_by_itself(update, terms)
    if install_is_untold(update) and update.held_back is not None:
        return Step(
            State.DOWNLOADED, f"the install is held back before the device was told: {update.held_back}"
        )
    if update.command_is_open and update.command_sent_at is None:
        return None
    if (ended := _ended(update, terms)) is not None:
        return ended
    state, result = update.new_state, update.new_result
    if result == DEFERRED and update.state != State.DEFERRED:
        return Step(State.DEFERRED, "the device has deferred the install (result 11)")
    if update.state == State.DEFERRED and state == Device.UPDATING:
        return Step(State.INSTALLING, "the device starts the deferred install")
    if update.command_is_open:
        return None
    if update.command_status == Status.EXPIRED and update.install_in is not None:
        return install(update, terms, "the device was not reached in its window")
    if update.command_status != Status.CONFIRMED:
        has_refused = update.command_verdict in (Verdict.REFUSED, Verdict.FAILED)
        if has_refused and state != Device.UPDATING and result != SUCCESS:
            return refused_once_asked(update, terms, "to install")
        # It is unknown whether the command arrived: under load the answer and the new state may be late.
        if not has_refused and state == Device.DOWNLOADED and has_settled(update):
            return _install_again(update, terms, "the device has not started to install")
    elif state == Device.DOWNLOADED and result != DEFERRED and has_settled(update):
        return _install_again(
            update, terms, "the device still has the package: it restarted before the install"
        )
    if result == SUCCESS or (state == Device.IDLE and has_settled(update)):
        return _idle_again(update)
    return _absent(update, terms) or ask_when_due(update, terms)


def _installed_by_itself(update: Update, terms: Terms) -> Step | None:
    """Continue an install without a command of ours; reports since the URI was written count."""
    if (ended := _ended(update, terms)) is not None:
        return ended
    if update.new_result == SUCCESS or (update.new_state == Device.IDLE and has_settled(update)):
        return _idle_again(update)
    return _absent(update, terms) or ask_when_due(update, terms)


def _idle_again(update: Update) -> Step:
    reported = "reports success" if update.new_result == SUCCESS else "is idle again without a result"
    return Step(State.RETURNED, f"the device {reported}; its version will decide", asks=True)


def _ended(update: Update, terms: Terms) -> Step | None:
    """Return the end of an install, if the device reported it."""
    if update.has_new_version or (not update.by_version and update.new_result == SUCCESS):
        return confirmed(update)
    if (result := update.new_failed_result) is not None:
        return unsuccessful(update, terms, result)
    return None


def _absent(update: Update, terms: Terms) -> Step | None:
    if update.registered or not update.is_past(update.heard_at, terms.patience.absence):
        return None
    return failed(
        Failure.NO_RETURN,
        f"the device was told to install and has been absent for {span_in_words(terms.patience.absence)}",
    )


def returned(update: Update, terms: Terms) -> Step | None:
    """Wait for the new version from a device that is idle again, until its grace period ends."""
    if (ended := _ended(update, terms)) is not None:
        return ended
    if update.new_state == Device.UPDATING:
        return Step(State.INSTALLING, "the device installs")
    if update.new_state == Device.DOWNLOADED and is_after(update.device_state_at, update.since):
        return _install_again(
            update, terms, "the device still has the package: it restarted before the install"
        )
    if not update.is_past(update.since, terms.patience.grace) or update.ask_is_open:
        return ask_when_due(update, terms, terms.patience.grace / 4)
    if not update.by_version:
        return failed(
            Failure.ROLLED_BACK,
            "the device is idle without a result: it rolled back, or never booted the new image",
        )
    if not is_after(update.device_version_at, update.since):
        return _absent(update, terms) or (
            failed(
                Failure.NO_VERSION,
                f"the device no longer reports its version: {update.version_ask_reason}",
            )
            # No answer may be a network problem, so the device is asked again.
            if update.version_ask_status == Status.FAILED and update.version_ask_answer is not None
            else ask_when_due(update, terms)
        )
    version = f"version {update.device_version}, not {update.version}"
    if update.new_result == SUCCESS:
        return failed(Failure.WRONG_VERSION, f"the device reports success (result 1), and {version}")
    return failed(
        Failure.ROLLED_BACK,
        f"the device is back with {version} and without a result: it rolled back, or never booted the "
        "new image",
    )
