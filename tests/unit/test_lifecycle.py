"""What the end of an attempt means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.leshan.answers import Answered, Exchange, Lost, NotSent, judge
from flownexus.lwm2m.path import Path
from flownexus.operations.catalogue import Operation
from flownexus.operations.catalogue.one_path import CancelObserve, Execute, Observe, Read, Write
from flownexus.operations.lifecycle import (
    MAX_ANSWERED_ATTEMPTS,
    MAX_ATTEMPTS,
    Attempt,
    Outcome,
    Settlement,
    Status,
    Verdict,
    Wait,
    settle,
    settle_expired,
    settle_stopped,
    settle_unanswered,
    settle_unsent,
)

READ = Read(path=Path(3, 0, 0))
WRITE = Write(path=Path(3, 0, 15), value={"type": "STRING", "value": "UTC"})
EXECUTE = Execute(path=Path(3, 0, 4))
REPEATABLE = Execute(path=Path(3, 0, 4), repeatable=True)
OBSERVE = Observe(path=Path(3303, 0, 5700))
CANCEL_OBSERVE = CancelObserve(path=Path(3303, 0, 5700))


def success(status: str = "CONTENT(205)", **more: Any) -> Answered:
    return Answered(200, {"status": status, "valid": True, "success": True, "failure": False, **more})


def failure(status: str, **more: Any) -> Answered:
    return Answered(200, {"status": status, "valid": True, "success": False, "failure": True, **more})


def end(
    exchange: Exchange,
    operation: Operation = WRITE,
    attempts: int = 1,
) -> Settlement:
    return settle(Attempt(operation.may_repeat, attempts), judge(exchange))


class TestSettle:
    def test_success_confirms_with_the_content_as_result(self) -> None:
        node = {"kind": "singleResource", "id": 0, "type": "STRING", "value": "x"}
        settled = end(success(content=node), READ)
        assert settled.status is Status.CONFIRMED
        assert settled.result == {"status": "CONTENT(205)", "content": node}
        assert settled.content == node
        assert end(success("CHANGED(204)")).result == {"status": "CHANGED(204)"}

    def test_what_is_under_way_is_asked_for_again_soon_and_costs_no_attempt(self) -> None:
        settled = end(success("CONTINUE(231)", sent=512, size=40_000), attempts=MAX_ATTEMPTS)
        assert (settled.status, settled.attempt_counts) == (Status.QUEUED, False)
        assert (settled.wait, settled.delay_s) == (Wait.NOTHING, 1.0)
        assert settled.reason == "the device has taken 512 of 40000 bytes"

    def test_a_final_refusal_fails_at_once(self) -> None:
        settled = end(failure("NOT_FOUND(404)"))
        assert (settled.status, settled.attempt_counts) == (Status.FAILED, True)
        assert settled.reason == "the device answered 4.04 NOT_FOUND"

    def test_a_device_that_answered_is_asked_again_after_a_growing_delay(self) -> None:
        """It is awake: its next update may be a day away."""
        settlements = [end(failure("X(500)"), attempts=attempts) for attempts in range(1, 5)]
        assert [settled.delay_s for settled in settlements] == [5, 30, 120, None]
        assert [settled.status for settled in settlements] == [*[Status.QUEUED] * 3, Status.FAILED]
        assert {settled.wait for settled in settlements} == {Wait.NOTHING}
        assert all(settled.attempt_counts for settled in settlements)

    @pytest.mark.parametrize("exchange", [Lost("x"), Answered(504, ""), Answered(500, "")])
    def test_the_third_attempt_that_counts_is_the_last(self, exchange: Exchange) -> None:
        """The peer left an operation SENDING for ever when the network failed."""
        for attempts in range(1, MAX_ATTEMPTS):
            settled = end(exchange, attempts=attempts)
            assert (settled.status, settled.wait) == (Status.QUEUED, Wait.NEWER_THAN_NOW)
            assert settled.attempt_counts
        assert end(exchange, attempts=MAX_ATTEMPTS).status is Status.FAILED

    @pytest.mark.parametrize(
        "exchange", [Answered(200, {"delayed": True}), Answered(400, "no registered client")]
    )
    @pytest.mark.parametrize("operation", [READ, WRITE, EXECUTE, OBSERVE, CANCEL_OBSERVE])
    def test_no_attempt_is_burnt_on_a_device_that_is_not_there(
        self, exchange: Exchange, operation: Operation
    ) -> None:
        """The peer burnt one for each."""
        settled = end(exchange, operation, MAX_ATTEMPTS)
        assert (settled.status, settled.attempt_counts) == (Status.QUEUED, False)
        assert settled.wait is Wait.NEWER_THAN_CLAIM
        assert settled.device_is_absent

    @pytest.mark.parametrize("exchange", [NotSent("refused"), Answered(401, ""), Answered(503, "")])
    def test_a_leshan_that_is_away_costs_nothing(self, exchange: Exchange) -> None:
        settled = end(exchange, EXECUTE, MAX_ATTEMPTS)
        assert (settled.status, settled.attempt_counts) == (Status.QUEUED, False)
        assert settled.wait is Wait.NOTHING
        assert settled.leshan_is_away

    @pytest.mark.parametrize(
        "exchange", [Lost("x"), Answered(504, ""), Answered(500, ""), Answered(200, "?")]
    )
    def test_an_execute_of_unknown_outcome_is_not_sent_again(self, exchange: Exchange) -> None:
        settled = end(exchange, EXECUTE)
        assert settled.status is Status.FAILED
        assert settled.reason is not None
        assert settled.reason.startswith("outcome unknown: ")
        assert end(exchange, REPEATABLE).status is Status.QUEUED

    def test_what_a_new_registration_interrupts_goes_out_again_after_that_very_registration(self) -> None:
        interrupted = Answered(500, "Request cancelled: registration replaced")
        settled = end(interrupted, WRITE)
        assert (settled.status, settled.attempt_counts) == (Status.QUEUED, True)
        assert settled.wait is Wait.NEWER_THAN_CLAIM
        assert end(interrupted, WRITE, MAX_ATTEMPTS).status is Status.FAILED
        executed = end(interrupted, EXECUTE)
        assert (executed.status, (executed.reason or "")[:15]) == (Status.FAILED, "outcome unknown")

    def test_an_execute_that_the_device_failed_at_is_sent_again(self) -> None:
        assert end(failure("X(500)"), EXECUTE).status is Status.QUEUED

    def test_what_was_perhaps_claimed_goes_out_as_if_it_had_not_been(self) -> None:
        settled = settle_unanswered()
        assert (settled.status, settled.attempt_counts) == (Status.QUEUED, False)
        assert (settled.wait, settled.delay_s) == (Wait.NOTHING, None)

    def test_an_expired_lease_goes_out_again_without_waiting_for_the_device(self) -> None:
        settled = settle_expired(Attempt(WRITE.may_repeat, attempts=1))
        assert (settled.status, settled.wait, settled.attempt_counts) == (Status.QUEUED, Wait.NOTHING, True)
        assert settle_expired(Attempt(WRITE.may_repeat, attempts=3)).status is Status.FAILED

    def test_what_a_worker_that_is_stopped_has_sent_goes_out_again_without_waiting_for_the_device(
        self,
    ) -> None:
        settled = settle_stopped(Attempt(WRITE.may_repeat, attempts=1))
        assert (settled.status, settled.wait, settled.attempt_counts) == (Status.QUEUED, Wait.NOTHING, True)
        executed = settle_stopped(Attempt(EXECUTE.may_repeat, attempts=1))
        assert (executed.status, executed.reason) == (
            Status.FAILED,
            "outcome unknown: the worker was stopped before the device answered",
        )

    def test_what_a_worker_that_is_stopped_has_not_sent_goes_out_as_if_it_had_not_been_claimed(self) -> None:
        settled = settle_unsent()
        assert (settled.status, settled.wait, settled.attempt_counts) == (Status.QUEUED, Wait.NOTHING, False)

    def test_an_expired_lease_of_an_execute_ends_it(self) -> None:
        settled = settle_expired(Attempt(EXECUTE.may_repeat, attempts=1))
        assert (settled.status, settled.reason) == (
            Status.FAILED,
            "outcome unknown: the worker that sent it did not come back",
        )
        again = settle_expired(Attempt(REPEATABLE.may_repeat, attempts=1))
        assert again.status is Status.QUEUED

    @given(
        st.booleans(),
        st.integers(1, 5),
        st.builds(Outcome, st.sampled_from(Verdict), st.text(), st.none() | st.text()),
    )
    def test_every_end_is_one_the_model_allows(
        self, may_repeat: bool, attempts: int, outcome: Outcome
    ) -> None:
        settled = settle(Attempt(may_repeat, attempts), outcome)
        assert settled.status in (Status.CONFIRMED, Status.FAILED, Status.QUEUED)
        if settled.status is Status.QUEUED and settled.attempt_counts:
            if outcome.verdict is Verdict.FAILED:
                assert attempts < MAX_ANSWERED_ATTEMPTS
                assert (settled.wait, settled.delay_s is None) == (Wait.NOTHING, False)
                return
            assert attempts < MAX_ATTEMPTS
            interrupted = outcome.verdict is Verdict.INTERRUPTED
            assert settled.wait is (Wait.NEWER_THAN_CLAIM if interrupted else Wait.NEWER_THAN_NOW)
        assert "\0" not in (settled.reason or "")
        assert len(settled.reason or "") <= 500
