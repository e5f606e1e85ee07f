"""The connector's pure parts: whom to call, what an result means, when a schedule is due."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.functions import Function, Listing, covers, is_subject, read_listing, without_covered
from connector.logs import MAX_LINES_PER_WINDOW, RateLimitedLog
from connector.results import (
    MAX_REASON_LENGTH,
    Ack,
    CallResult,
    Nak,
    RetryPolicy,
    Term,
    batch_results,
    retry_after,
)
from connector.schedule import Schedule, ScheduleError
from connector.settings import ConnectorSettings
from flownexus.errors import MissingSettingError

# ------------------------------------------------------------------------------------------ results

POLICY = RetryPolicy(max_deliveries=5, base=1, cap=10)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success_is_acknowledged(status: int) -> None:
    assert POLICY.decide(CallResult(status), 1, 0) == Ack()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599, None])
def test_what_may_pass_is_tried_again(status: int | None) -> None:
    decision = POLICY.decide(CallResult(status, "why"), 1, 0)
    assert isinstance(decision, Nak)
    assert decision.delay == 1
    assert "why" in decision.reason


@pytest.mark.parametrize("status", [100, 301, 302, 400, 401, 403, 404, 405, 409, 413, 415, 422])
def test_a_refusal_is_final(status: int) -> None:
    decision = POLICY.decide(CallResult(status, "why"), 1, 0)
    assert isinstance(decision, Term)
    assert not decision.given_up
    assert f"{status} why" in decision.reason


def test_waits_double_up_to_a_bound() -> None:
    assert [POLICY.delay(delivery, 0) for delivery in range(1, 7)] == [1, 2, 4, 8, 10, 10]


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_waits_are_bounded_and_jitter_takes_half_at_most(delivery: int, jitter: float) -> None:
    whole = POLICY.delay(delivery, 0)
    assert whole / 2 <= POLICY.delay(delivery, jitter) <= whole <= POLICY.cap


@pytest.mark.parametrize(("asked", "delay"), [(0.0, 1), (5.0, 5), (3600.0, 10)])
def test_retry_after_is_heeded_within_the_bound(asked: float, delay: float) -> None:
    decision = POLICY.decide(CallResult(429, retry_after=asked), 1, 0)
    assert isinstance(decision, Nak)
    assert decision.delay == delay


@pytest.mark.parametrize("status", [503, None])
def test_after_the_last_delivery_it_is_given_up(status: int | None) -> None:
    assert isinstance(POLICY.decide(CallResult(status), 4, 0), Nak)
    decision = POLICY.decide(CallResult(status, "away"), 5, 0)
    assert isinstance(decision, Term)
    assert decision.given_up
    assert "5 deliveries" in decision.reason
    assert "away" in decision.reason
    assert POLICY.decide(CallResult(200), 5, 0) == Ack()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 10 ", 10.0),
        ("", None),
        ("-1", None),
        ("²", None),
        ("Fri, 1 Jan 2027", None),
    ],
)
def test_retry_after_is_read_in_seconds(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_each_of_several_messages_has_its_own_result() -> None:
    answer = b'[{"status": 200, "operation": null}, {"status": 503, "detail": "away"}]'
    assert batch_results(CallResult(200), answer, 2) == [CallResult(200), CallResult(503, "away")]


def test_what_is_said_of_one_of_several_is_cut_to_a_line_that_can_be_logged() -> None:
    answer = b'[{"status": 400, "detail": "no\\nsuch ' + b"x" * 1000 + b'"}, {"status": 200}]'
    found = batch_results(CallResult(200), answer, 2)
    assert found is not None
    assert found[0].reason == "no such " + "x" * (MAX_REASON_LENGTH - 8)


@pytest.mark.parametrize(
    "result", [CallResult(503, retry_after=3.0), CallResult(429), CallResult(None, "refused")]
)
def test_several_messages_whose_call_failed_are_all_to_be_tried_again(result: CallResult) -> None:
    assert batch_results(result, b"", 2) == [result, result]


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, b""),
        (413, b'[{"status": 200}, {"status": 200}]'),
        (200, b""),
        (200, b"done"),
        (200, b'{"status": 200}'),
        (200, b'[{"status": 200}]'),
        (200, b'[{"status": 200}, {"status": 200}, {"status": 200}]'),
        (200, b'[{"status": 200}, {"status": "200"}]'),
        (200, b'[{"status": 200}, {"operation": null}]'),
    ],
)
def test_who_does_not_say_what_became_of_each_does_not_take_several(status: int, answer: bytes) -> None:
    assert batch_results(CallResult(status), answer, 2) is None


# ---------------------------------------------------------------------------------------- functions


def entry(name: str, namespace: str | None = "openfaas-fn", **annotations: str) -> dict[str, object]:
    return {"name": name, "namespace": namespace, "annotations": annotations, "image": "x", "replicas": 1}


def test_functions_are_read_by_their_annotations() -> None:
    listing = read_listing(
        [
            entry("dispatch-op", topic="lwm2m.>"),
            entry("housekeeping", topic="cron-function", schedule="*/5 * * * * *"),
            entry(
                "both",
                topic="lwm2m.operation.queued.*, lwm2m.registration.>,cron-function",
                schedule="* * * * *",
            ),
            entry("none"),
            {"name": "bare", "annotations": None},
            {"name": "barer"},
        ],
        "lwm2m",
    )
    assert listing.functions == (
        Function(
            "both", "openfaas-fn", ("lwm2m.operation.queued.*", "lwm2m.registration.>"), schedule="* * * * *"
        ),
        Function("dispatch-op", "openfaas-fn", ("lwm2m.>",)),
        Function("housekeeping", "openfaas-fn", (), schedule="*/5 * * * * *"),
    )
    assert listing.complaints == ()


@pytest.mark.parametrize(
    "topic", ["kafka-topic", "other.>", ">", "*.a", "lwm2m..a", "lwm2m.a b", "lwm2m.>.a", "lwm2m.a*"]
)
def test_a_topic_that_cannot_be_served_is_named(topic: str) -> None:
    listing = read_listing([entry("odd", topic=topic)], "lwm2m")
    assert listing.functions == ()
    assert len(listing.complaints) == 1
    assert "odd" in listing.complaints[0]


def test_a_batch_is_read_as_a_number() -> None:
    listing = read_listing([entry("dispatch-op", topic="lwm2m.>", batch="100")], "lwm2m")
    assert listing == Listing((Function("dispatch-op", "openfaas-fn", ("lwm2m.>",), batch=100),), ())


@pytest.mark.parametrize("batch", ["0", "-1", "many", "1.5", "10000", "²"])
def test_a_batch_that_is_no_such_number_is_named_and_one(batch: str) -> None:
    listing = read_listing([entry("odd", topic="lwm2m.>", batch=batch)], "lwm2m")
    assert [function.batch for function in listing.functions] == [1]
    assert listing.complaints == (
        f"function odd: batch {batch!r} is not a number from 1 to 9999, so it is 1",
    )


@pytest.mark.parametrize("body", [{}, "x", [1], [{}], [{"name": ""}], [{"name": 1}]])
def test_an_answer_that_is_no_list_of_functions_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match="list of functions"):
        read_listing(body, "lwm2m")


def test_an_empty_list_of_go_is_empty() -> None:
    assert read_listing(None, "lwm2m").functions == ()


def test_a_function_is_called_by_name_and_namespace() -> None:
    assert Function("a", "ns").path == "a.ns"
    assert Function("a").path == "a"


@given(st.text(max_size=10), st.text(max_size=10), st.text(max_size=10), st.text(max_size=10))
def test_two_functions_have_two_consumers(name: str, namespace: str, other: str, elsewhere: str) -> None:
    same = (name, namespace) == (other, elsewhere)
    one, two = Function(name, namespace).consumer, Function(other, elsewhere).consumer
    assert (one == two) == same
    assert not set(one) & set(" .*>/\\\t\r\n")


subjects = (
    st.lists(st.sampled_from(["a", "b", "*", ">"]), min_size=1, max_size=4).map(".".join).filter(is_subject)
)
plain = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5).map(".".join)


@given(subjects, subjects, plain)
def test_what_covers_matches_all_the_other_matches(wide: str, narrow: str, subject: str) -> None:
    if covers(wide, narrow) and covers(narrow, subject):
        assert covers(wide, subject)


def test_covered_subjects_are_left_out() -> None:
    assert without_covered(["a.b", "a.*", "a.b", "c", "c.>"]) == ("a.*", "c", "c.>")
    assert without_covered(["a.>", ">"]) == (">",)


# ----------------------------------------------------------------------------------------- schedule

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "after", "due"),
    [
        ("*/5 * * * * *", NOON, timedelta(seconds=5)),
        ("*/5 * * * * *", NOON + timedelta(milliseconds=1), timedelta(seconds=5)),
        ("*/5 * * * * *", NOON + timedelta(seconds=4, milliseconds=999), timedelta(seconds=5)),
        ("* * * * *", NOON, timedelta(minutes=1)),
        ("0 13 * * *", NOON, timedelta(hours=1)),
        ("30 0 12 * * *", NOON, timedelta(seconds=30)),
    ],
)
def test_a_schedule_says_when_it_is_due_next(expression: str, after: datetime, due: timedelta) -> None:
    assert Schedule(expression).after(after) == NOON + due


@pytest.mark.parametrize(
    "expression", ["", "hourly", "* * * *", "* * * * * * *", "61 * * * *", "*/0 * * * *", "0 0 31 2 *"]
)
def test_a_bad_schedule_is_explained(expression: str) -> None:
    with pytest.raises(ScheduleError, match="five fields"):
        Schedule(expression)


# --------------------------------------------------------------------------------- logs and settings


def test_a_flood_of_lines_is_counted_instead(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    repeated = RateLimitedLog(logging.getLogger("flood"), clock=lambda: now)
    for n in range(100):
        repeated.error("key", "line %d", n)
    repeated.warning("other", "another")
    now = 11.0
    repeated.error("key", "line %d", 100)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:MAX_LINES_PER_WINDOW] == [f"line {n}" for n in range(MAX_LINES_PER_WINDOW)]
    assert lines[MAX_LINES_PER_WINDOW:] == [
        "another",
        f"line 100 ({100 - MAX_LINES_PER_WINDOW} more like it were left out before)",
    ]


SECRETS = {
    "basic-auth-user": "admin",
    "basic-auth-password": "hidden-1",
    "flownexus-connector-token": "hidden-2\nhidden-3\n",
    "flownexus-nats-url": "nats://u:hidden-4@127.0.0.1:4222\n",
}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in SECRETS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("secret_mount_path", str(tmp_path))
    for name in ("gateway_url", "host", "port", "grace", "long_poll_timeout", "ack_wait", "max_open_calls"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_settings_have_sensible_defaults_and_hide_secrets(environment: Path) -> None:
    settings = ConnectorSettings.from_environment()
    assert (settings.gateway_url, settings.host, settings.port) == (
        "http://127.0.0.1:8080",
        "127.0.0.1",
        8081,
    )
    assert (settings.call_timeout, settings.grace, settings.ack_wait) == (70, 10, 30)
    assert settings.token == "hidden-2"
    assert settings.max_open_calls >= 5000
    assert "hidden" not in repr(settings)


def test_the_call_s_timeout_follows_from_the_long_poll(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("long_poll_timeout", "3s")
    assert ConnectorSettings.from_environment().call_timeout == 7


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_missing_secret_is_named(environment: Path, name: str) -> None:
    (environment / name).unlink()
    with pytest.raises(MissingSettingError, match=name):
        ConnectorSettings.from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gateway_url", "gateway:8080"),
        ("port", "x"),
        ("grace", "soon"),
        ("ack_wait", "0s"),
        ("max_open_calls", "0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    environment: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(MissingSettingError, match=name):
        ConnectorSettings.from_environment()
