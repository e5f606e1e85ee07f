"""What may be asked of a device, and what the end of an attempt means."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType
from flownexus.operations.lifecycle import (
    MAX_ANSWERED_ATTEMPTS,
    MAX_ATTEMPTS,
    NOT_OBSERVED,
    USER_PRIORITY,
    Answered,
    Attempt,
    Exchange,
    Lost,
    NotSent,
    OperationType,
    Outcome,
    Settlement,
    Status,
    Verdict,
    Wait,
    judge,
    parse_operation,
    settle,
    settle_expired,
    settle_unanswered,
    typed_value,
)

READ = {"endpoint": "sim-0001", "operation": "read", "path": "/3/0/0"}
WRITE = READ | {"operation": "write", "path": "/3/0/15", "value": {"type": "STRING", "value": "UTC+2"}}
EXECUTE = READ | {"operation": "execute", "path": "/3/0/4"}


def success(status: str = "CONTENT(205)", **more: Any) -> Answered:
    return Answered(200, {"status": status, "valid": True, "success": True, "failure": False, **more})


def failure(status: str, **more: Any) -> Answered:
    return Answered(200, {"status": status, "valid": True, "success": False, "failure": True, **more})


def end(
    exchange: Exchange,
    operation: OperationType = OperationType.WRITE,
    attempts: int = 1,
    *,
    repeatable: bool = False,
) -> Settlement:
    return settle(Attempt(operation, repeatable, attempts), judge(exchange))


class TestParse:
    def test_what_is_not_said_has_its_default(self) -> None:
        new = parse_operation(READ)
        assert new.path == Path(3, 0, 0)
        assert (new.arguments, new.repeatable, new.priority) == (None, False, USER_PRIORITY)

    @pytest.mark.parametrize("path", ["/3", "/3/0", "/3/0/0", "/3/0/0/1"])
    @pytest.mark.parametrize("operation", ["read", "observe", "cancel-observe"])
    def test_reads_and_observations_take_any_path(self, operation: str, path: str) -> None:
        assert str(parse_operation(READ | {"operation": operation, "path": path}).path) == path

    @pytest.mark.parametrize("path", ["/3/0/15", "/3/0/15/1"])
    def test_a_write_takes_a_resource_or_an_instance_of_one(self, path: str) -> None:
        assert str(parse_operation(WRITE | {"path": path}).path) == path

    def test_an_execute_may_have_arguments_and_may_be_repeatable(self) -> None:
        new = parse_operation(EXECUTE | {"arguments": "0='now',3", "repeatable": True})
        assert (new.arguments, new.repeatable) == ("0='now',3", True)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ([], "an operation is a JSON object"),
            (READ | {"endpoint": ""}, "endpoint: "),
            (READ | {"endpoint": 3}, "endpoint: "),
            (READ | {"endpoint": "a\0b"}, "endpoint: "),
            (READ | {"operation": "reboot"}, "operation: is one of read, write"),
            (READ | {"operation": ["read"]}, "operation: "),
            (READ | {"path": "3303//5700"}, "path: "),
            (READ | {"path": "/-1"}, "path: "),
            (READ | {"path": "/70000"}, "path: "),
            (READ | {"path": 3}, "path: "),
            (
                WRITE | {"path": "/3/0"},
                "path: /3/0 is that of an object instance; write takes that of a resource or",
            ),
            (EXECUTE | {"path": "/3"}, "path: "),
            (EXECUTE | {"path": "/3/0/4/0"}, "path: "),
            (READ | {"value": 1}, "value: belongs to a write only"),
            (WRITE | {"value": None}, "value: is what to write"),
            (WRITE | {"value": {"type": "STRING", "value": 1}}, "value: 1 is not STRING"),
            (WRITE | {"value": {"type": "STRING", "value": "a\0"}}, "value: "),
            (WRITE | {"value": {"type": "INTEGER", "value": 2**64}}, "value: "),
            (WRITE | {"value": {"type": "NUMBER", "value": 1}}, "value: the type is one of"),
            (WRITE | {"value": {"type": "STRING"}}, "value: write it as"),
            (
                WRITE | {"path": "/5/0/1", "value": {"type": "STRING", "value": "coap://h/" + "x" * 247}},
                "value: has 256 bytes, and a Package URI (/5/0/1) at most 255",
            ),
            (WRITE | {"path": "/5/1/1", "value": "\N{EURO SIGN}" * 86}, "value: has 258 bytes"),
            (WRITE | {"arguments": "0"}, "arguments: belong to an execute only"),
            (WRITE | {"repeatable": True}, "repeatable: belongs to an execute only"),
            (EXECUTE | {"repeatable": 1}, "repeatable: is true or false"),
            (READ | {"priority": 0}, "priority: is a whole number from 1 to 1000"),
            (READ | {"priority": True}, "priority: "),
            (READ | {"priority": 1001}, "priority: "),
            (READ | {"argument": "0"}, "argument: is unknown"),
        ],
    )
    def test_what_is_not_valid_is_named(self, body: object, field: str) -> None:
        with pytest.raises(ValidationFailedError) as caught:
            parse_operation(body)
        assert caught.value.detail.startswith(field)

    def test_a_package_uri_may_have_255_bytes_and_other_resources_more(self) -> None:
        for path, value in (("/5/0/1", "x" * 255), ("/5/0/6", "x" * 256), ("/3/0/1", "x" * 256)):
            assert parse_operation(WRITE | {"path": path, "value": value}).value == value

    def test_all_fields_that_are_not_valid_are_named_at_once(self) -> None:
        with pytest.raises(ValidationFailedError) as caught:
            parse_operation({"operation": "read"})
        assert "endpoint: " in caught.value.detail
        assert "path: " in caught.value.detail

    @pytest.mark.parametrize("arguments", ["", "0", "0,1", "5='x'", "0='',1", "0='http://h/p?q=1',9='{}'"])
    def test_arguments_follow_the_standard(self, arguments: str) -> None:
        assert parse_operation(EXECUTE | {"arguments": arguments}).arguments == (arguments or None)

    @pytest.mark.parametrize(
        "arguments",
        [
            "reboot",
            "10",
            "0,",
            ",0",
            "0=x",
            "0='x",
            "0='a b'",
            "0='a\"'",
            "0='a\\'",
            "0='é'",
            "0,0",
            "0='a',0",
            "0\n",
            5,
        ],
    )
    def test_other_arguments_are_refused(self, arguments: object) -> None:
        with pytest.raises(ValidationFailedError, match="arguments: are digits"):
            parse_operation(EXECUTE | {"arguments": arguments})

    @given(st.text(max_size=30))
    def test_no_text_breaks_the_arguments(self, arguments: str) -> None:
        with contextlib.suppress(ValidationFailedError):
            parse_operation(EXECUTE | {"arguments": arguments})

    @given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner)))
    def test_no_json_breaks_the_check(self, anything: object) -> None:
        for name in READ:
            with pytest.raises(ValidationFailedError):
                parse_operation(READ | {name: [anything]})


class TestTypedValue:
    def test_numbers_become_leshan_s_strings(self) -> None:
        assert typed_value({"type": "INTEGER", "value": 7}, None) == {"type": "INTEGER", "value": "7"}
        assert typed_value({"type": "FLOAT", "value": "1.5"}, None) == {"type": "FLOAT", "value": "1.5"}

    def test_a_value_alone_has_the_type_that_was_seen(self) -> None:
        assert typed_value("UTC", DataType.STRING) == {"type": "STRING", "value": "UTC"}
        link = {"objectId": 3, "objectInstanceId": 0}
        assert typed_value(link, DataType.OBJLNK) == {"type": "OBJLNK", "value": link}

    def test_a_value_alone_without_a_type_seen_is_refused_with_what_helps(self) -> None:
        with pytest.raises(ValidationFailedError, match="write the value as"):
            typed_value("UTC", None)

    def test_a_value_alone_that_does_not_fit_is_refused(self) -> None:
        with pytest.raises(ValidationFailedError, match='value: "warm" is not FLOAT'):
            typed_value("warm", DataType.FLOAT)


class TestJudge:
    def test_http_200_with_success_false_is_not_success(self) -> None:
        """The peer took every HTTP 200 for confirmed."""
        assert judge(failure("INTERNAL_SERVER_ERROR(500)")).verdict is Verdict.FAILED
        assert judge(failure("NOT_FOUND(404)")).verdict is Verdict.REFUSED

    def test_content_comes_with_success(self) -> None:
        node = {"kind": "singleResource", "id": 0, "type": "STRING", "value": "x"}
        assert judge(success(content=node)) == Outcome(Verdict.CONFIRMED, None, "CONTENT(205)", node)

    @pytest.mark.parametrize(
        ("told", "time_ms"), [(1795344335807, 1795344335807), ("soon", None), (True, None)]
    )
    def test_leshan_tells_when_it_received_an_answer(self, told: Any, time_ms: int | None) -> None:
        assert judge(success(time=told)).time_ms == time_ms

    def test_an_observe_without_the_observe_option_is_refused_and_has_its_content(self) -> None:
        outcome = judge(success(content={"id": 1}, observed=False, time=7))
        assert outcome == Outcome(Verdict.REFUSED, NOT_OBSERVED, "CONTENT(205)", {"id": 1}, 7)
        assert judge(success(observed=True)).verdict is Verdict.CONFIRMED

    @pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 405, 406, 412, 415, 422, 501])
    def test_a_4_xx_and_5_01_are_final(self, code: int) -> None:
        assert judge(failure(f"X({code})")).verdict is Verdict.REFUSED

    @pytest.mark.parametrize("code", [408, 409, 413, 429, 500, 503, 504, 505])
    def test_what_may_pass_is_tried_again(self, code: int) -> None:
        assert judge(failure(f"X({code})")).verdict is Verdict.FAILED

    def test_the_reason_names_code_and_message(self) -> None:
        outcome = judge(failure("METHOD_NOT_ALLOWED(405)", errormessage="read only"))
        assert outcome.reason == "the device answered 4.05 METHOD_NOT_ALLOWED: read only"

    def test_a_sleeping_device_was_sent_nothing(self) -> None:
        assert judge(Answered(200, {"delayed": True})).verdict is Verdict.ABSENT

    def test_an_unregistered_device_was_sent_nothing(self) -> None:
        assert judge(Answered(400, "no registered client with id 'x'")).verdict is Verdict.ABSENT

    @pytest.mark.parametrize("text", ["The destination client is sleeping", "the client is sleeping."])
    def test_a_device_that_a_foreign_leshan_takes_for_asleep_was_sent_nothing(self, text: str) -> None:
        outcome = judge(Answered(400, text))
        assert (outcome.verdict, outcome.reason) == (Verdict.ABSENT, "the device sleeps")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("Request rejected: request is RST", "the device reset the request (RST): Request rejected"),
            (
                "Invalid response: unable to decode response",
                "the device's answer cannot be read: Invalid response",
            ),
        ],
    )
    def test_what_was_answered_but_is_no_answer_is_final_with_the_reason(
        self, text: str, reason: str
    ) -> None:
        """It was taken for unknown: younger operations waited for three updates."""
        for operation in (OperationType.READ, OperationType.EXECUTE):
            settled = end(Answered(500, text), operation)
            assert settled.status is Status.FAILED
            assert (settled.reason or "").startswith(reason)

    def test_an_invalid_request_will_never_be_valid(self) -> None:
        assert judge(Answered(400, "Invalid request: ...")).verdict is Verdict.INVALID

    @pytest.mark.parametrize("status", [401, 403, 404, 405, 429, 503])
    def test_a_leshan_that_takes_no_request_is_away(self, status: int) -> None:
        assert judge(Answered(status, "")).verdict is Verdict.AWAY

    @pytest.mark.parametrize("status", [401, 429, 503])
    def test_its_own_word_makes_no_difference_there(self, status: int) -> None:
        assert judge(Answered(status, "", unsent=True)).verdict is Verdict.AWAY

    def test_an_observation_that_leshan_does_not_have_cannot_be_cancelled(self) -> None:
        outcome = judge(Answered(404, "No such observation", unsent=True))
        assert outcome.verdict is Verdict.INVALID
        assert outcome.reason == "Leshan refuses the request: HTTP 404 No such observation"

    def test_leshan_s_word_that_nothing_left_is_believed(self) -> None:
        assert judge(Answered(500, "Not connected: x", unsent=True)).verdict is Verdict.ABSENT
        assert judge(Answered(500, "Request cancelled: x")).verdict is Verdict.INTERRUPTED

    @pytest.mark.parametrize(
        "exchange", [Lost("x"), Answered(504, "timeout"), Answered(500, ""), Answered(302, "")]
    )
    def test_what_nobody_knows_is_unknown(self, exchange: Exchange) -> None:
        assert judge(exchange).verdict is Verdict.UNKNOWN

    @pytest.mark.parametrize(
        "body",
        [
            "<html>",
            None,
            [],
            {},
            {"success": True},
            {"status": "CONTENT(205)"},
            {"status": 205, "success": True},
            {"status": "CONTENT", "success": True},
            {"status": "CONTENT(205)", "success": "true"},
            {"status": "CONTENT(205)", "success": False},
            {"status": "NOT_FOUND(404)", "success": True},
            {"delayed": "true"},
        ],
    )
    def test_an_answer_that_makes_no_sense_confirms_nothing(self, body: object) -> None:
        assert judge(Answered(200, body)).verdict is Verdict.UNKNOWN

    @given(
        st.integers(100, 599),
        st.recursive(st.none() | st.booleans() | st.text(), st.lists)
        | st.dictionaries(st.sampled_from(["status", "success", "delayed"]), st.text() | st.booleans()),
    )
    def test_only_success_and_a_2_xx_confirm(self, status: int, body: object) -> None:
        outcome = judge(Answered(status, body))
        confirmed = outcome.verdict is Verdict.CONFIRMED
        assert not confirmed or (status == 200 and isinstance(body, dict) and body["success"] is True)


class TestSettle:
    def test_success_confirms_with_the_content_as_result(self) -> None:
        node = {"kind": "singleResource", "id": 0, "type": "STRING", "value": "x"}
        settled = end(success(content=node), OperationType.READ)
        assert settled.status is Status.CONFIRMED
        assert settled.result == {"status": "CONTENT(205)", "content": node}
        assert settled.content == node
        assert end(success("CHANGED(204)")).result == {"status": "CHANGED(204)"}

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
    @pytest.mark.parametrize("operation", list(OperationType))
    def test_no_attempt_is_burnt_on_a_device_that_is_not_there(
        self, exchange: Exchange, operation: OperationType
    ) -> None:
        """The peer burnt one for each."""
        settled = end(exchange, operation, MAX_ATTEMPTS)
        assert (settled.status, settled.attempt_counts) == (Status.QUEUED, False)
        assert settled.wait is Wait.NEWER_THAN_CLAIM
        assert settled.device_is_absent

    @pytest.mark.parametrize("exchange", [NotSent("refused"), Answered(401, ""), Answered(503, "")])
    def test_a_leshan_that_is_away_costs_nothing(self, exchange: Exchange) -> None:
        settled = end(exchange, OperationType.EXECUTE, MAX_ATTEMPTS)
        assert (settled.status, settled.attempt_counts) == (Status.QUEUED, False)
        assert settled.wait is Wait.NOTHING
        assert settled.leshan_is_away

    @pytest.mark.parametrize(
        "exchange", [Lost("x"), Answered(504, ""), Answered(500, ""), Answered(200, "?")]
    )
    def test_an_execute_of_unknown_outcome_is_not_sent_again(self, exchange: Exchange) -> None:
        settled = end(exchange, OperationType.EXECUTE)
        assert settled.status is Status.FAILED
        assert settled.reason is not None
        assert settled.reason.startswith("outcome unknown: ")
        assert end(exchange, OperationType.EXECUTE, repeatable=True).status is Status.QUEUED

    def test_what_a_new_registration_interrupts_goes_out_again_after_that_very_registration(self) -> None:
        interrupted = Answered(500, "Request cancelled: registration replaced")
        settled = end(interrupted, OperationType.WRITE)
        assert (settled.status, settled.attempt_counts) == (Status.QUEUED, True)
        assert settled.wait is Wait.NEWER_THAN_CLAIM
        assert end(interrupted, OperationType.WRITE, MAX_ATTEMPTS).status is Status.FAILED
        executed = end(interrupted, OperationType.EXECUTE)
        assert (executed.status, (executed.reason or "")[:15]) == (Status.FAILED, "outcome unknown")

    def test_an_execute_that_the_device_failed_at_is_sent_again(self) -> None:
        assert end(failure("X(500)"), OperationType.EXECUTE).status is Status.QUEUED

    def test_what_was_perhaps_claimed_goes_out_as_if_it_had_not_been(self) -> None:
        settled = settle_unanswered()
        assert (settled.status, settled.attempt_counts) == (Status.QUEUED, False)
        assert (settled.wait, settled.delay_s) == (Wait.NOTHING, None)

    def test_an_expired_lease_goes_out_again_without_waiting_for_the_device(self) -> None:
        settled = settle_expired(Attempt(OperationType.WRITE, repeatable=False, attempts=1))
        assert (settled.status, settled.wait, settled.attempt_counts) == (Status.QUEUED, Wait.NOTHING, True)
        assert (
            settle_expired(Attempt(OperationType.WRITE, repeatable=False, attempts=3)).status is Status.FAILED
        )

    def test_an_expired_lease_of_an_execute_ends_it(self) -> None:
        settled = settle_expired(Attempt(OperationType.EXECUTE, repeatable=False, attempts=1))
        assert (settled.status, settled.reason) == (
            Status.FAILED,
            "outcome unknown: the worker that sent it did not come back",
        )
        again = settle_expired(Attempt(OperationType.EXECUTE, repeatable=True, attempts=1))
        assert again.status is Status.QUEUED

    @given(
        st.sampled_from(OperationType),
        st.booleans(),
        st.integers(1, 5),
        st.builds(Outcome, st.sampled_from(Verdict), st.text(), st.none() | st.text()),
    )
    def test_every_end_is_one_the_model_allows(
        self, operation: OperationType, repeatable: bool, attempts: int, outcome: Outcome
    ) -> None:
        settled = settle(Attempt(operation, repeatable, attempts), outcome)
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


MULTIPLE = {"endpoint": "x", "operation": "write", "path": "/3/0/7"}


def test_a_multiple_resource_is_written_by_the_values_of_its_instances() -> None:
    value = {"type": "INTEGER", "values": {"0": 5, "7": -1}}
    assert parse_operation(MULTIPLE | {"value": value}).value == value
    assert typed_value(value, None) == {
        "type": "INTEGER",
        "values": {"0": "5", "7": "-1"},
        "replace": True,
    }
    assert typed_value(value | {"replace": False}, None)["replace"] is False


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("/3/0/7", {"type": "INTEGER", "values": {"0": "five"}}, "five"),
        ("/3/0/7", {"type": "INTEGER", "values": [5]}, "multiple resource"),
        ("/3/0/7", {"type": "INTEGER", "values": {"0": 5}, "value": 5}, "multiple resource"),
        ("/3/0/7", {"type": "INTEGER", "values": {"00": 5}}, "no instance id"),
        ("/3/0/7", {"type": "INTEGER", "values": {"65535": 5}}, "no instance id"),
        ("/3/0/7", {"type": "INTEGER", "values": {"0": 5}, "replace": "no"}, "replace is true"),
        ("/3/0/7", {"type": "NUMBER", "values": {"0": 5}}, "the type is one of"),
        ("/3/0/7/1", {"type": "INTEGER", "values": {"0": 5}}, "not of /3/0/7/1"),
        ("/5/0/1", {"type": "STRING", "values": {"x": "http://x"}}, "no instance id"),
    ],
)
def test_values_that_are_not_those_of_a_multiple_resource_are_refused(
    path: str, value: Any, reason: str
) -> None:
    with pytest.raises(ValidationFailedError, match=re.escape(reason)):
        parse_operation(MULTIPLE | {"path": path, "value": value})
