"""What Leshan's answer to an operation means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec

from flownexus.leshan.nodes import Readings, Rejection, readings, readings_by_path
from flownexus.operations.catalogue import Operation
from flownexus.operations.catalogue.base import OnePath
from flownexus.operations.lifecycle import Earlier, Outcome, Verdict


@dataclass(frozen=True)
class Answered:
    """Leshan answered: its HTTP status and its body: of a 200 decoded where it was JSON, else as text.

    `unsent` is its word that nothing left for the device. `code` is our Leshan's word of what is wrong; a
    foreign one has none.
    """

    status: int
    body: Any
    unsent: bool = False
    code: str | None = None


@dataclass(frozen=True)
class NotSent:
    """Leshan was not reached: nothing left for the device."""

    reason: str


@dataclass(frozen=True)
class Lost:
    """The request went out and no answer came back: nobody knows what happened."""

    reason: str


Exchange: TypeAlias = Answered | NotSent | Lost


class _Error(msgspec.Struct):
    code: str
    message: str = ""


_decode_error = msgspec.json.Decoder(_Error).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
MAX_TEXT_BYTES: Final = 1000
"""What is read of a body that is no JSON."""


def answered(status: int, raw: bytes, *, unsent: bool) -> Answered:
    """Read Leshan's answer: its HTTP status, its body, and its word that nothing left for the device."""
    try:
        if status == HTTPStatus.OK:
            return Answered(status, storable(msgspec.json.decode(raw)), unsent)
        error = _decode_error(raw)
        return Answered(status, error.message, unsent, error.code)
    except _UNREADABLE:
        return Answered(status, raw[:MAX_TEXT_BYTES].decode("utf-8", "replace"), unsent)


def storable(value: Any) -> Any:
    """Return JSON that PostgreSQL's jsonb can hold: NUL characters become U+FFFD."""
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case list():
            return [storable(item) for item in value]
        case dict():
            return {storable(key): storable(item) for key, item in value.items()}
        case _:
            return value


class Code(StrEnum):
    """What is wrong, as our Leshan says it in an answer that is an error."""

    NOT_REGISTERED = "not-registered"
    ASLEEP = "asleep"
    UNSENT = "unsent"
    """Nothing left for the device."""
    CANCELLED = "cancelled"
    """It was given up: the device registered anew meanwhile."""
    TIMEOUT = "timeout"
    """The device did not answer."""
    REJECTED = "rejected"
    """The device answered with a reset."""
    UNREADABLE = "unreadable"
    """The device's answer cannot be decoded."""
    BAD_REQUEST = "bad-request"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    TOO_LARGE = "too-large"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


_MEANINGS: Final[Mapping[Code, tuple[Verdict, str]]] = {
    Code.NOT_REGISTERED: (Verdict.ABSENT, "the device is not registered at Leshan"),
    Code.ASLEEP: (Verdict.ABSENT, "the device sleeps"),
    Code.UNSENT: (Verdict.ABSENT, "nothing was sent: {text}"),
    Code.CANCELLED: (Verdict.INTERRUPTED, "Leshan gave it up: {text}"),
    Code.TIMEOUT: (Verdict.UNKNOWN, "the device did not answer in time"),
    Code.REJECTED: (Verdict.REFUSED, "the device reset the request (RST): {text}"),
    Code.UNREADABLE: (Verdict.REFUSED, "the device's answer cannot be read: {text}"),
    Code.BAD_REQUEST: (Verdict.INVALID, "Leshan refuses the request: HTTP {status} {text}"),
    Code.NOT_FOUND: (Verdict.INVALID, "Leshan refuses the request: HTTP {status} {text}"),
    Code.METHOD_NOT_ALLOWED: (Verdict.INVALID, "Leshan refuses the request: HTTP {status} {text}"),
    Code.TOO_LARGE: (Verdict.INVALID, "Leshan refuses the request: HTTP {status} {text}"),
    Code.UNAUTHORIZED: (Verdict.AWAY, "Leshan takes no request: HTTP {status} {text}"),
    Code.FORBIDDEN: (Verdict.AWAY, "Leshan takes no request: HTTP {status} {text}"),
    Code.UNAVAILABLE: (Verdict.AWAY, "Leshan takes no request: HTTP {status} {text}"),
    Code.INTERNAL: (Verdict.UNKNOWN, "Leshan failed: HTTP {status} {text}"),
}


def judge(exchange: Exchange) -> Outcome:
    """Say what an exchange with Leshan means.

    HTTP 200 is no success: every CoAP answer, 4.xx and 5.xx too, comes as 200, with `success` in its body.
    """
    match exchange:
        case NotSent(reason):
            return Outcome(Verdict.AWAY, reason)
        case Lost(reason):
            return Outcome(Verdict.UNKNOWN, reason)
        case Answered(200, body):
            return _judge_answer(body)
        case Answered(status, body):
            verdict, reason = _MEANINGS[_code(exchange)]
            return Outcome(verdict, reason.format(status=status, text=_text(body)).rstrip())


def _code(error: Answered) -> Code:
    code = (
        Code(error.code)
        if error.code in list(Code)
        else _foreign_code(error.status, _text(error.body), error.unsent)
    )
    return Code.UNSENT if code is Code.INTERNAL and error.unsent else code


_NOT_REGISTERED: Final = re.compile(r"no registered client|not registered", re.IGNORECASE)
_SLEEPING: Final = re.compile(r"client is sleeping", re.IGNORECASE)
"""What Leshan's own demo answers for a device in queue mode that it takes for asleep."""
_CLOSED: Final = frozenset({401, 403, 429, 503})
"""HTTP statuses by which Leshan, or what stands before it, takes no request of ours at this time."""
_NOT_LESHAN: Final = frozenset({404, 405})
"""HTTP statuses by which something else than Leshan says that it knows nothing of this URL."""
_FAILURES: Final = {
    "Request rejected": Code.REJECTED,
    "Invalid response": Code.UNREADABLE,
    "Request cancelled": Code.CANCELLED,
}
"""How the text of a 500 begins."""


def _foreign_code(status: int, text: str, unsent: bool) -> Code:
    """Return what is wrong where Leshan gives no code: its HTTP status and its English say it."""
    if status == 504:
        return Code.TIMEOUT
    if status == 400 and _NOT_REGISTERED.search(text):
        return Code.NOT_REGISTERED
    if status == 400 and _SLEEPING.search(text):
        return Code.ASLEEP
    if status in _CLOSED or (status in _NOT_LESHAN and not unsent):
        return Code.UNAVAILABLE
    if 400 <= status < 500:
        return Code.BAD_REQUEST
    failed = (code for beginning, code in _FAILURES.items() if status == 500 and text.startswith(beginning))
    return Code.UNSENT if unsent else next(failed, Code.INTERNAL)


# Those of 4.xx that a later attempt may see differently: 4.08 Request Entity Incomplete and 4.13 Request
# Entity Too Large speak of one block-wise transfer (RFC 7959, 2.9), 4.09 Conflict of a state (RFC 8132, 3.4),
# 4.29 Too Many Requests of the moment (RFC 8516). All others say that the same request stays wrong
# (RFC 7252, 5.9.2).
_PASSING: Final = frozenset({"4.08", "4.09", "4.13", "4.29"})
# 5.01 Not Implemented speaks of the device, which has that or not (RFC 7252, 5.9.3.2).
_LASTING: Final = frozenset({"5.01"})
UNDER_WAY: Final = "2.31"
"""Our Leshan's answer while a device takes a firmware package block by block (RFC 7959, 2.9)."""
_COAP_CODE: Final = re.compile(r"\((\d)(\d\d)\)$")
NOT_OBSERVED: Final = "the device answered the value, but will not notify: no Observe option in its answer"
_CONTENT: Final = ("content", "objectLinks", "location")
"""Under which of these keys Leshan's demo has what the device sent, by the request."""


def _judge_answer(body: Any) -> Outcome:
    if isinstance(body, Mapping):
        if body.get("delayed") is True:
            return Outcome(Verdict.ABSENT, "the device sleeps")
        status, success = body.get("status"), body.get("success")
        code = _COAP_CODE.search(status) if isinstance(status, str) else None
        if code is not None and isinstance(success, bool) and success == (code[1] == "2"):
            return _judge_code(f"{code[1]}.{code[2]}", str(status), body)
    return Outcome(Verdict.UNKNOWN, f"Leshan's answer makes no sense: {_text(body) or 'it is empty'}")


def _judge_code(code: str, status: str, body: Mapping[str, Any]) -> Outcome:
    if code == UNDER_WAY:
        return Outcome(
            Verdict.ONGOING, f"the device has taken {body.get('sent')} of {body.get('size')} bytes"
        )
    if code.startswith("2"):
        # The values' own time, where the device says it; else when Leshan received them.
        time_ms = next(
            (each for key in ("timestamp", "time") if (each := _time(body, key)) is not None), None
        )
        content = _content(body)
        history = () if content is None else _history(body)
        if body.get("observed") is False:
            # The answer to a plain read (RFC 7641, 4.1): its value counts all the same.
            return Outcome(Verdict.REFUSED, NOT_OBSERVED, status, content, time_ms, history)
        return Outcome(Verdict.CONFIRMED, None, status, content, time_ms, history)
    message = body.get("errormessage")
    reason = f"the device answered {code} {status.partition('(')[0]}"
    if isinstance(message, str) and message:
        reason += f": {message}"
    final = code in _LASTING or (code.startswith("4") and code not in _PASSING)
    return Outcome(Verdict.REFUSED if final else Verdict.FAILED, reason, status)


def readings_of(operation: Operation, content: Any) -> Readings:
    """Take the values out of what the device sent; there are none where the kind brings none."""
    if not operation.brings_values or content is None:
        return Readings([], [])
    match operation:
        case OnePath(path=path):
            return readings(content, path)
        case _ if isinstance(content, Mapping):
            return readings_by_path(content)
        case _:
            return Readings([], [Rejection("", "the answer is not values by their paths", content)])


def _time(body: Mapping[str, Any], key: str) -> int | None:
    time_ms = body.get(key)
    return time_ms if type(time_ms) is int else None


def _history(body: Mapping[str, Any]) -> Sequence[Earlier]:
    """Return what the answer has of earlier times; what is no such thing is an answer without it."""
    told = body.get("history")
    return tuple(
        Earlier(entry["content"], _time(entry, "timestamp"))
        for entry in (told if isinstance(told, list) else ())
        if isinstance(entry, Mapping) and "content" in entry
    )


def _content(body: Mapping[str, Any]) -> Any:
    content = next((body[key] for key in _CONTENT if key in body), None)
    # Leshan's location is that of a CoAP option, without the first slash.
    return f"/{content.lstrip('/')}" if isinstance(content, str) and "location" in body else content


def _text(body: object) -> str:
    return " ".join(str(body).split())[:200]
