"""What Leshan's answers mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.leshan.answers import NOT_OBSERVED, Answered, Code, Exchange, Lost, answered, judge, storable
from flownexus.operations.lifecycle import Attempt, Earlier, Outcome, Status, Verdict, settle


def success(status: str = "CONTENT(205)", **more: Any) -> Answered:
    return Answered(200, {"status": status, "valid": True, "success": True, "failure": False, **more})


def failure(status: str, **more: Any) -> Answered:
    return Answered(200, {"status": status, "valid": True, "success": False, "failure": True, **more})


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

    def test_values_have_the_device_s_own_time_where_it_says_one(self) -> None:
        assert judge(success(time=1795344335807, timestamp=1795344000000)).time_ms == 1795344000000
        assert judge(success(time=1795344335807, timestamp="soon")).time_ms == 1795344335807

    def test_a_history_comes_with_its_times(self) -> None:
        outcome = judge(success(content=3, history=[{"timestamp": 1, "content": 1}, {"content": 2}]))
        assert outcome.history == (Earlier(1, 1), Earlier(2, None))
        result = settle(Attempt(True, 1), outcome).result or {}
        assert result["history"] == [{"timestamp": 1, "content": 1}, {"content": 2}]

    @pytest.mark.parametrize("told", [None, "old", {"content": 1}, [1, {"timestamp": 1}]])
    def test_what_is_no_history_leaves_the_answer(self, told: Any) -> None:
        assert judge(success(content=3, history=told)) == judge(success(content=3))

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
        for may_repeat in (True, False):
            settled = settle(Attempt(may_repeat, 1), judge(Answered(500, text)))
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

    def test_an_answer_that_was_cut_off_is_said_to_be_empty(self) -> None:
        assert judge(Answered(200, "")).reason == "Leshan's answer makes no sense: it is empty"

    @given(
        st.integers(100, 599),
        st.recursive(st.none() | st.booleans() | st.text(), st.lists)
        | st.dictionaries(st.sampled_from(["status", "success", "delayed"]), st.text() | st.booleans()),
    )
    def test_only_success_and_a_2_xx_confirm(self, status: int, body: object) -> None:
        outcome = judge(Answered(status, body))
        confirmed = outcome.verdict is Verdict.CONFIRMED
        assert not confirmed or (status == 200 and isinstance(body, dict) and body["success"] is True)


class TestCodes:
    """Our Leshan says by a code what is wrong; each code means what the English of a foreign one does."""

    @pytest.mark.parametrize(
        ("code", "foreign", "verdict"),
        [
            ("not-registered", Answered(400, "No registered client with id 'x'"), Verdict.ABSENT),
            ("asleep", Answered(400, "The destination client is sleeping"), Verdict.ABSENT),
            ("unsent", Answered(500, "Not connected: x", unsent=True), Verdict.ABSENT),
            ("cancelled", Answered(500, "Request cancelled: x"), Verdict.INTERRUPTED),
            ("timeout", Answered(504, "Request timeout"), Verdict.UNKNOWN),
            ("rejected", Answered(500, "Request rejected: x"), Verdict.REFUSED),
            ("unreadable", Answered(500, "Invalid response: x"), Verdict.REFUSED),
            ("bad-request", Answered(400, "Invalid request: x"), Verdict.INVALID),
            ("not-found", Answered(404, "No such observation", unsent=True), Verdict.INVALID),
            ("method-not-allowed", Answered(405, "x", unsent=True), Verdict.INVALID),
            ("forbidden", Answered(403, "x"), Verdict.AWAY),
            ("too-large", Answered(413, "x"), Verdict.INVALID),
            ("unauthorized", Answered(401, "x"), Verdict.AWAY),
            ("unavailable", Answered(503, "x"), Verdict.AWAY),
            ("internal", Answered(500, "Unexpected exception: x"), Verdict.UNKNOWN),
        ],
    )
    def test_a_code_means_what_the_words_of_a_foreign_leshan_do(
        self, code: str, foreign: Answered, verdict: Verdict
    ) -> None:
        ours = Answered(foreign.status, foreign.body, foreign.unsent, code)
        assert judge(ours) == judge(foreign)
        assert judge(ours).verdict is verdict
        # Neither its English nor its HTTP status is looked at.
        assert judge(Answered(500, "in other words", code=code)).verdict is verdict

    def test_each_code_has_a_meaning(self) -> None:
        assert all(judge(Answered(500, "", code=code)).reason for code in Code)

    def test_a_code_that_is_not_known_is_as_none(self) -> None:
        assert judge(Answered(503, "x", code="melted")) == judge(Answered(503, "x"))

    def test_what_was_not_sent_is_absent_whatever_failed(self) -> None:
        assert judge(Answered(500, "x", unsent=True, code="internal")).verdict is Verdict.ABSENT

    def test_the_reason_names_what_leshan_says(self) -> None:
        assert judge(Answered(404, "No such observation", code="not-found")).reason == (
            "Leshan refuses the request: HTTP 404 No such observation"
        )


class TestRead:
    def test_an_error_has_a_code_and_a_message(self) -> None:
        raw = b'{"code": "timeout", "message": "Request timeout"}'
        assert answered(504, raw, unsent=False) == Answered(504, "Request timeout", False, "timeout")

    @pytest.mark.parametrize("raw", [b"No registered client", b'{"message": "x", "status": 404}', b"[", b"7"])
    def test_an_error_of_a_foreign_leshan_is_its_text(self, raw: bytes) -> None:
        assert answered(400, raw, unsent=True) == Answered(400, raw.decode(), True)

    def test_a_200_is_json_and_else_text(self) -> None:
        assert answered(200, b'{"delayed": true}', unsent=True).body == {"delayed": True}
        assert answered(200, b"<html>", unsent=False).body == "<html>"
        assert answered(200, b"[" * 100_000, unsent=False).body == "[" * 1000

    @pytest.mark.parametrize("key", ["content", "objectLinks", "location"])
    def test_what_the_device_sent_stands_under_the_key_of_its_request(self, key: str) -> None:
        assert judge(success("CREATED(201)", **{key: ["x"]})).content == ["x"]


def test_nul_characters_do_not_reach_the_database() -> None:
    assert storable({"a\0": ["b\0", 1, None, {"c": "\0"}]}) == {"a�": ["b�", 1, None, {"c": "�"}]}
