"""Logs: one JSON object a line, each with the id of the message that it is about."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flownexus.logs import correlate, correlated, correlation_id, current_id, log_to_stderr
from local.supervise.logline import is_about, readable


@contextmanager
def logging_to(level: str, format_: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Set logging up as a process does, and undo it."""
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    handlers, before = root.handlers[:], root.level
    root.handlers.clear()
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    try:
        log_to_stderr(level, format_)
        yield written
    finally:
        root.handlers[:] = handlers
        root.setLevel(before)
        logging.setLogRecordFactory(factory)


def test_a_line_is_a_json_object_with_the_id_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    with logging_to("info", "json", monkeypatch) as written:
        with correlated("operation-7"):
            logging.getLogger("part").info("%d stored", 3, extra={"endpoint": "a\nb"})
        logging.getLogger("part").info("more")
    first, second = map(json.loads, written.getvalue().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "INFO", "logger": "part", "message": "3 stored", "endpoint": "a\nb",
        "correlation_id": "operation-7",
    }  # fmt: skip
    assert "correlation_id" not in second


def test_text_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    with logging_to("INFO", "text", monkeypatch) as written:
        logging.getLogger("part").info("stored")
    assert written.getvalue().endswith(" INFO part: stored\n")


@pytest.mark.parametrize(
    ("level", "format_", "named"), [("info", "xml", "'xml'"), ("loud", "json", "'LOUD'")]
)
def test_what_is_no_level_or_format_is_named(
    monkeypatch: pytest.MonkeyPatch, level: str, format_: str, named: str
) -> None:
    with pytest.raises(ValueError, match=named), logging_to(level, format_, monkeypatch):
        pass


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Correlation-ID": "a", "X-Call-Id": "b"}, "a"),
        ({"X-Call-Id": "b"}, "b"),
        ({}, None),
        ({"X-Correlation-ID": "two words"}, None),
        ({"X-Correlation-ID": "x" * 129}, None),
    ],
)
def test_a_request_has_the_id_of_its_sender_or_of_the_gateway(
    headers: dict[str, str], expected: str | None
) -> None:
    assert correlation_id(headers.get) == expected


def test_tasks_that_run_at_once_have_each_their_own_id() -> None:
    async def task(id_: str) -> bool:
        correlate(id_)
        await asyncio.sleep(0)
        return current_id() == id_

    async def all_of_them() -> list[bool]:
        return await asyncio.gather(*(task(f"operation-{number}") for number in range(10)))

    assert asyncio.run(all_of_them()) == [True] * 10
    assert current_id() is None


LINE = json.dumps(
    {"level": "INFO", "logger": "part", "message": "stored", "correlation_id": "operation-7", "time": "now"}
)


def test_people_read_a_line_without_its_braces() -> None:
    assert readable(LINE) == "INFO part: stored correlation_id=operation-7"
    failure = json.dumps({"level": "ERROR", "logger": "part", "message": "no", "exc_info": "Traceback\n x"})
    assert readable(failure) == "ERROR part: no\nTraceback\n x"


@pytest.mark.parametrize("line", ["text", "{broken", "{}", "[1]", ""])
def test_a_line_that_is_no_record_is_left_as_it_is(line: str) -> None:
    assert readable(line) == line
    assert not is_about(line, "operation-7")


def test_the_lines_of_one_message_are_found() -> None:
    assert is_about(LINE, "operation-7")
    assert not is_about(LINE, "operation-77")
