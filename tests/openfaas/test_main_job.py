"""The main job on containers behind the real gateway: the acceptance tests of it, and an operation's way."""

from __future__ import annotations

from tests.acceptance.test_main_job import (
    test_a_device_that_falls_silent_is_offline_when_its_lifetime_is_over,
    test_a_send_becomes_one_composite_event,
    test_deregistering_takes_a_device_offline_at_once,
    test_registering_again_does_not_take_a_device_offline,
    test_the_object_instance_of_a_notification_is_kept,
    test_values_that_are_stored_late_keep_the_time_of_their_receipt_and_their_order,
)
from tests.fixtures.nexus import Nexus, wait_for

__all__ = [
    "test_a_device_that_falls_silent_is_offline_when_its_lifetime_is_over",
    "test_a_send_becomes_one_composite_event",
    "test_deregistering_takes_a_device_offline_at_once",
    "test_registering_again_does_not_take_a_device_offline",
    "test_the_object_instance_of_a_notification_is_kept",
    "test_values_that_are_stored_late_keep_the_time_of_their_receipt_and_their_order",
]
TEMPERATURE = "/3303/0/5700"
TIMEZONE = "/3/0/15"


def test_every_acknowledged_notification_is_a_row_once(nexus: Nexus) -> None:
    sent = wait_for(lambda: lines if len(lines := nexus.ledger("sim-0001")) >= 5 else [], 15, "notifications")

    def rows() -> list[float]:
        return [row["number"] for row in nexus.values("sim-0001", TEMPERATURE)]

    wait_for(lambda: {line["value"] for line in sent} <= set(rows()), 10, "a row for each line of the ledger")
    assert len(rows()) == len(set(rows()))


def test_an_operation_is_confirmed_by_its_device_in_one_attempt(nexus: Nexus) -> None:
    nexus.await_idle("sim-0002")
    row = nexus.await_status(nexus.write("sim-0002", TIMEZONE, "Europe/Berlin"), "CONFIRMED")
    assert row["attempts"] == 1
    assert nexus.control("sim-0002")["values"][TIMEZONE] == "Europe/Berlin"
    nexus.await_status(nexus.queue("sim-0002", "read", TIMEZONE), "CONFIRMED")
    wait_for(lambda: nexus.latest("sim-0002", TIMEZONE) == "Europe/Berlin", 5, "the value that was read")


def test_a_function_s_probes_and_metrics_are_not_reached_through_the_gateway(nexus: Nexus) -> None:
    for path in ("/_/health", "/_/ready", "/_/metrics"):
        assert nexus.request("GET", f"/function/ingest-single{path}").status == 404


def test_without_a_token_nothing_is_stored(nexus: Nexus) -> None:
    assert nexus.request("POST", "/function/ingest-single", {"items": []}).status == 401
