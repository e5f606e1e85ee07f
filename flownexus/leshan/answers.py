"""What Leshan's answer to an operation means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from flownexus.operations.lifecycle import Outcome, Verdict


@dataclass(frozen=True)
class Answered:
    """Leshan answered: its HTTP status and its body, decoded where it was JSON, else as text.

    `unsent` is its word that nothing left for the device.
    """

    status: int
    body: Any
    unsent: bool = False


@dataclass(frozen=True)
class NotSent:
    """Leshan was not reached: nothing left for the device."""

    reason: str


@dataclass(frozen=True)
class Lost:
    """The request went out and no answer came back: nobody knows what happened."""

    reason: str


Exchange: TypeAlias = Answered | NotSent | Lost


_CODE: Final = re.compile(r"\((\d)(\d\d)\)$")
# Those of 4.xx that a later attempt may see differently: 4.08 Request Entity Incomplete and 4.13 Request
# Entity Too Large speak of one block-wise transfer (RFC 7959, 2.9), 4.09 Conflict of a state (RFC 8132, 3.4),
# 4.29 Too Many Requests of the moment (RFC 8516). All others say that the same request stays wrong
# (RFC 7252, 5.9.2).
_PASSING: Final = frozenset({"4.08", "4.09", "4.13", "4.29"})
# 5.01 Not Implemented speaks of the device, which has that or not (RFC 7252, 5.9.3.2).
_LASTING: Final = frozenset({"5.01"})
_NOT_REGISTERED: Final = re.compile(r"no registered client|not registered", re.IGNORECASE)
NOT_OBSERVED: Final = "the device answered the value, but will not notify: no Observe option in its answer"
_SLEEPING: Final = re.compile(r"client is sleeping", re.IGNORECASE)
"""What Leshan's own demo answers for a device in queue mode that it takes for asleep."""
_CLOSED: Final = frozenset({401, 403, 429, 503})
"""HTTP statuses by which Leshan, or what stands before it, takes no request of ours at this time."""
_NOT_LESHAN: Final = frozenset({404, 405})
"""HTTP statuses by which something else than Leshan says that it knows nothing of this URL."""


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
        case Answered(504, _):
            return Outcome(Verdict.UNKNOWN, "the device did not answer in time")
        case Answered(400, body) if _NOT_REGISTERED.search(_text(body)):
            return Outcome(Verdict.ABSENT, "the device is not registered at Leshan")
        case Answered(400, body) if _SLEEPING.search(_text(body)):
            return Outcome(Verdict.ABSENT, "the device sleeps")
        case Answered(status, body, unsent) if status in _CLOSED or (status in _NOT_LESHAN and not unsent):
            return Outcome(Verdict.AWAY, f"Leshan takes no request: HTTP {status} {_text(body)}".rstrip())
        case Answered(status, body) if 400 <= status < 500:
            return Outcome(
                Verdict.INVALID, f"Leshan refuses the request: HTTP {status} {_text(body)}".rstrip()
            )
        case Answered(_, body, True):
            return Outcome(Verdict.ABSENT, f"nothing was sent: {_text(body)}")
        case Answered(500, body) if _text(body).startswith("Request rejected"):
            return Outcome(Verdict.REFUSED, f"the device reset the request (RST): {_text(body)}")
        case Answered(500, body) if _text(body).startswith("Invalid response"):
            return Outcome(Verdict.REFUSED, f"the device's answer cannot be read: {_text(body)}")
        case Answered(500, body) if _text(body).startswith("Request cancelled"):
            return Outcome(Verdict.INTERRUPTED, f"Leshan gave it up: {_text(body)}")
        case Answered(status, body):
            return Outcome(Verdict.UNKNOWN, f"Leshan failed: HTTP {status} {_text(body)}".rstrip())


def _judge_answer(body: Any) -> Outcome:
    if isinstance(body, Mapping):
        if body.get("delayed") is True:
            return Outcome(Verdict.ABSENT, "the device sleeps")
        status, success = body.get("status"), body.get("success")
        code = _CODE.search(status) if isinstance(status, str) else None
        if code is not None and isinstance(success, bool) and success == (code[1] == "2"):
            return _judge_code(f"{code[1]}.{code[2]}", str(status), body)
    return Outcome(Verdict.UNKNOWN, f"Leshan's answer makes no sense: {_text(body)}")


def _judge_code(code: str, status: str, body: Mapping[str, Any]) -> Outcome:
    if code.startswith("2"):
        time = body.get("time")
        time_ms = time if isinstance(time, int) and not isinstance(time, bool) else None
        if body.get("observed") is False:
            # The answer to a plain read (RFC 7641, 4.1): its value counts all the same.
            return Outcome(Verdict.REFUSED, NOT_OBSERVED, status, body.get("content"), time_ms)
        return Outcome(Verdict.CONFIRMED, None, status, body.get("content"), time_ms)
    message = body.get("errormessage")
    reason = f"the device answered {code} {status.partition('(')[0]}"
    if isinstance(message, str) and message:
        reason += f": {message}"
    final = code in _LASTING or (code.startswith("4") and code not in _PASSING)
    return Outcome(Verdict.REFUSED if final else Verdict.FAILED, reason, status)


def _text(body: object) -> str:
    return " ".join(str(body).split())[:200]
