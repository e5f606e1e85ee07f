"""Operations on devices: what a user may ask for, and what an attempt's end means for the operation.

An operation goes QUEUED -> SENDING -> CONFIRMED | FAILED | back to QUEUED. Everything here is decided from
values alone; the store keeps it, flownexus.leshan.client sends it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import MAX_ID, BadPathError, Path
from flownexus.lwm2m.value import BadValueError, DataType, from_json, to_json

MAX_ATTEMPTS: Final = 3
"""An operation has failed after so many attempts of which nobody knows how they ended."""
RETRY_DELAYS_S: Final = (5.0, 30.0, 120.0)
"""Seconds after which a device that answered with an error that may pass is asked again."""
MAX_ANSWERED_ATTEMPTS: Final = 1 + len(RETRY_DELAYS_S)
"""An operation has failed after so many attempts, the last of which was answered."""
USER_PRIORITY: Final = 100
"""The priority of a user's operation unless it says another; the observe plan's operations have 0."""
PRIORITIES: Final = range(1, 1001)
"""What a user may ask for; the higher goes first."""
MAX_ARGUMENTS: Final = 4096  # characters of an execute's arguments
MAX_REASON: Final = 500  # characters
MAX_PACKAGE_URI: Final = 255
"""The longest Package URI, in bytes (OMA LwM2M Core 1.1, appendix E.6: /5/*/1)."""


class OperationType(StrEnum):
    """What is done to the device (OMA LwM2M Core 1.1, 6.3 and 6.4)."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    OBSERVE = "observe"
    CANCEL_OBSERVE = "cancel-observe"


class Status(StrEnum):
    """Where an operation stands; the last three are final."""

    QUEUED = "QUEUED"
    SENDING = "SENDING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


# ---------------------------------------------------------------------------------------------------------
# What a user asks for

_DEPTHS: Final[Mapping[OperationType, range]] = {
    OperationType.READ: range(1, 5),
    OperationType.WRITE: range(3, 5),
    OperationType.EXECUTE: range(3, 4),
    OperationType.OBSERVE: range(1, 5),
    OperationType.CANCEL_OBSERVE: range(1, 5),
}
_RESOURCE_DEPTH: Final = 3
_KINDS: Final = ("", "object", "object instance", "resource", "resource instance")
_FIELDS: Final = ("endpoint", "operation", "path", "value", "arguments", "repeatable", "priority")

# arglist = arg *( "," arg ); arg = DIGIT / DIGIT "=" "'" *CHAR "'"; CHAR = "!" / %x23-26 / %x28-5B / %x5D-7E
# (OMA LwM2M Core 1.1, 6.3.5).
_ARGUMENT: Final = r"([0-9])(?:='[!\x23-\x26\x28-\x5B\x5D-\x7E]*')?"
_ARGUMENTS: Final = re.compile(rf"{_ARGUMENT}(?:,{_ARGUMENT})*")


@dataclass(frozen=True)
class NewOperation:
    """An operation that a user asks for; all but the type of a plain value is checked."""

    endpoint: str
    operation: OperationType
    path: Path
    value: Any = None
    arguments: str | None = None
    repeatable: bool = False
    priority: int = USER_PRIORITY

    @property
    def fingerprint(self) -> bytes:
        """Return what only the same operation has: the SHA-256 of all that was asked for."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).digest()

    @property
    def needs_type(self) -> bool:
        """Say whether the value came without its data type."""
        return self.operation is OperationType.WRITE and not _is_typed(self.value)


def parse_operation(body: object) -> NewOperation:
    """Check the JSON body of a new operation.

    `body` is {"endpoint", "operation", "path", "value"?, "arguments"?, "repeatable"?, "priority"?}. Raises
    ValidationFailedError naming each field that is not valid, and what would be.
    """
    if not isinstance(body, Mapping):
        raise ValidationFailedError("an operation is a JSON object with endpoint, operation and path")
    wrong: dict[str, str] = {
        str(name)[:64]: f"is unknown; the fields are {', '.join(_FIELDS)}"
        for name in body
        if name not in _FIELDS
    }
    endpoint = body.get("endpoint")
    if not isinstance(endpoint, str) or not endpoint or "\0" in endpoint:
        wrong["endpoint"] = "is the endpoint client name of a device that has been seen, a non-empty text"
    kind = body.get("operation")
    operation = OperationType(kind) if isinstance(kind, str) and kind in list(OperationType) else None
    if operation is None:
        wrong["operation"] = f"is one of {', '.join(OperationType)}"
    path = _path(body.get("path"), operation, wrong)
    priority = body.get("priority", USER_PRIORITY)
    if isinstance(priority, bool) or not isinstance(priority, int) or priority not in PRIORITIES:
        wrong["priority"] = (
            f"is a whole number from {PRIORITIES[0]} to {PRIORITIES[-1]}; the higher goes first"
        )
    if operation is not None:
        _check_value(operation, path, body, wrong)
        _check_package_uri(operation, path, body.get("value"), wrong)
        _check_execute(operation, body, wrong)
    if wrong or operation is None or path is None:
        raise ValidationFailedError("; ".join(f"{name}: {what}" for name, what in wrong.items()))
    return NewOperation(
        endpoint=str(endpoint),
        operation=operation,
        path=path,
        value=body.get("value"),
        arguments=body.get("arguments") or None,
        repeatable=bool(body.get("repeatable", False)),
        priority=int(priority),
    )


def _path(text: object, operation: OperationType | None, wrong: dict[str, str]) -> Path | None:
    if not isinstance(text, str):
        wrong["path"] = "is a LwM2M path, such as /3303/0/5700"
        return None
    try:
        path = Path.parse(text)
    except BadPathError as error:
        wrong["path"] = str(error)
        return None
    if operation is not None and path.depth not in _DEPTHS[operation]:
        allowed = " or ".join(_KINDS[depth] for depth in _DEPTHS[operation])
        wrong["path"] = f"{path} is that of an {_KINDS[path.depth]}; {operation} takes that of a {allowed}"
        return None
    return path


def _check_value(
    operation: OperationType, path: Path | None, body: Mapping[str, Any], wrong: dict[str, str]
) -> None:
    if operation is not OperationType.WRITE:
        if body.get("value") is not None:
            wrong["value"] = "belongs to a write only"
        return
    value = body.get("value")
    if value is None:
        wrong["value"] = 'is what to write: {"type": "STRING", "value": "UTC+2"}, or the value alone'
    elif _is_typed(value):
        try:
            typed_value(value, None)
        except ValidationFailedError as error:
            wrong["value"] = error.detail.removeprefix("value: ")
        else:
            if "values" in value and path is not None and path.depth != _RESOURCE_DEPTH:
                wrong["value"] = f"has values, which are those of a resource such as /3/0/7, not of {path}"


def _check_package_uri(
    operation: OperationType, path: Path | None, value: object, wrong: dict[str, str]
) -> None:
    if operation is not OperationType.WRITE or path is None or "value" in wrong:
        return
    uri = value.get("value") if isinstance(value, Mapping) and _is_typed(value) else value
    if (path.object_id, path.resource_id) == (5, 1) and isinstance(uri, str):
        length = len(uri.encode("utf-8", "surrogatepass"))
        if length > MAX_PACKAGE_URI:
            wrong["value"] = (
                f"has {length} bytes, and a Package URI (/5/0/1) at most {MAX_PACKAGE_URI} "
                "(OMA LwM2M Core, appendix E.6): write a shorter URL of the package"
            )


def _check_execute(operation: OperationType, body: Mapping[str, Any], wrong: dict[str, str]) -> None:
    arguments = body.get("arguments")
    if arguments is not None:
        if operation is not OperationType.EXECUTE:
            wrong["arguments"] = "belong to an execute only"
        elif not isinstance(arguments, str) or not _are_arguments(arguments):
            wrong["arguments"] = "are digits, each once, with or without a text: 0='reboot',1"
    repeatable = body.get("repeatable", False)
    if not isinstance(repeatable, bool):
        wrong["repeatable"] = "is true or false"
    elif repeatable and operation is not OperationType.EXECUTE:
        wrong["repeatable"] = "belongs to an execute only; any other operation may be repeated anyway"


def _are_arguments(text: str) -> bool:
    if not text:
        return True
    if len(text) > MAX_ARGUMENTS or not _ARGUMENTS.fullmatch(text):
        return False
    digits = [match[1] for match in re.finditer(rf"{_ARGUMENT}(?:,|$)", text)]
    return len(set(digits)) == len(digits)


def _is_typed(value: object) -> bool:
    return isinstance(value, Mapping) and "type" in value


def typed_value(value: object, seen: DataType | None) -> dict[str, Any]:
    """Return {"type", "value"} of what is to be written, as Leshan writes values in JSON.

    `value` is {"type", "value"}, or the value alone: its data type is then `seen`, the one of the resource's
    model, or without a model the one that it was seen with. Of a multiple resource it is
    {"type", "values": {<instance id>: <value>}, "replace"?}, and so is what is returned. Raises
    ValidationFailedError where the type is unknown or the value does not fit.
    """
    if _is_typed(value):
        assert isinstance(value, Mapping)  # noqa: S101  # _is_typed has seen to it
        if "values" in value:
            return _typed_values(value)
        if set(value) != {"type", "value"}:
            raise ValidationFailedError(
                'value: write it as {"type": <data type>, "value": <value>}, or, of a multiple resource, as'
                ' {"type": <data type>, "values": {"0": <value>}, "replace": true}'
            )
        name, raw = value["type"], value["value"]
        if not isinstance(name, str) or name not in list(DataType):
            raise ValidationFailedError(f"value: the type is one of {', '.join(DataType)}")
        data_type = DataType(name)
    elif seen is None:
        raise ValidationFailedError(
            "value: this resource is in no object model known here, and has not been seen yet; "
            'write the value as {"type": <data type>, "value": <value>}'
        )
    else:
        data_type, raw = seen, value
    try:
        return {"type": str(data_type), "value": to_json(data_type, from_json(data_type, raw))}
    except BadValueError as error:
        raise ValidationFailedError(f"value: {error}") from None


def _typed_values(value: Mapping[str, Any]) -> dict[str, Any]:
    values, replace = value["values"], value.get("replace", True)
    if set(value) - {"type", "values", "replace"} or not isinstance(values, Mapping):
        raise ValidationFailedError(
            'value: write those of a multiple resource as {"type": <data type>, "values": {"0": <value>},'
            ' "replace": true}'
        )
    if not isinstance(replace, bool):
        raise ValidationFailedError(
            "value: replace is true, to have these instances only, or false, to keep those not named"
        )
    for key in values:
        if not (key.isascii() and key.isdigit() and str(int(key)) == key and int(key) <= MAX_ID):
            raise ValidationFailedError(f"value: {key[:64]!r} is no instance id, a number from 0 to {MAX_ID}")
    typed = {key: typed_value({"type": value["type"], "value": raw}, None) for key, raw in values.items()}
    return {
        "type": value["type"],
        "values": {key: one["value"] for key, one in typed.items()},
        "replace": replace,
    }


# ---------------------------------------------------------------------------------------------------------
# In which content format a write goes


class WriteFormat(StrEnum):
    """Content formats of a write, by Leshan's names, in the order in which they are tried."""

    TLV = "TLV"
    SENML_CBOR = "SENML_CBOR"
    SENML_JSON = "SENML_JSON"
    TEXT = "TEXT"


_NUMBERS: Final[Mapping[WriteFormat, int]] = {
    WriteFormat.TLV: 11542,
    WriteFormat.SENML_CBOR: 112,
    WriteFormat.SENML_JSON: 110,
    WriteFormat.TEXT: 0,
}
"""Their numbers in CoAP (OMA LwM2M Core 1.1, 7.4; RFC 8428, 12.3)."""


def write_formats(
    learned: str | None, supported: Collection[int], refused: Collection[str]
) -> list[WriteFormat]:
    """Return the formats in which a write may still go, the best first.

    `learned` is the one in which the device took an earlier write, `supported` the numbers that it registered
    with, `refused` those in which it answered this write 4.15. What it did not register with comes last:
    devices support more than they say.
    """
    return sorted(
        (each for each in WriteFormat if each not in refused),
        key=lambda each: (each != learned, _NUMBERS[each] not in supported),
    )


# ---------------------------------------------------------------------------------------------------------
# How an attempt ended


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


class Verdict(StrEnum):
    """What an exchange means, whatever the operation."""

    CONFIRMED = "confirmed"
    """The device did it."""
    REFUSED = "refused"
    """The device refuses it for good, or answered what nobody can read: asked again, it does the same."""
    INVALID = "invalid"
    """Leshan refuses it for good, before anything was sent."""
    ABSENT = "absent"
    """Nothing was sent: the device sleeps or is not registered."""
    AWAY = "away"
    """Nothing was sent: Leshan is away, or does not take our requests."""
    FAILED = "failed"
    """The device answered that it failed at it; soon it may not."""
    UNKNOWN = "unknown"
    """It was sent, and nobody knows what the device made of it."""
    INTERRUPTED = "interrupted"
    """The same, for the device registered anew meanwhile: Leshan then gives up what it had asked before."""


@dataclass(frozen=True)
class Outcome:
    """A verdict, why, the CoAP status as Leshan writes it, and the content the device sent.

    `time_ms` is when Leshan received the answer, in epoch milliseconds, where it tells that.
    """

    verdict: Verdict
    reason: str | None = None
    coap_status: str | None = None
    content: Any = None
    time_ms: int | None = None


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


# ---------------------------------------------------------------------------------------------------------
# What that means for the operation


class Wait(StrEnum):
    """What an operation that is QUEUED again waits for."""

    NOTHING = "nothing"
    NEWER_THAN_CLAIM = "newer than the claim"
    """A registered or updated event that came after the claim."""
    NEWER_THAN_NOW = "newer than now"
    """A registered or updated event after the failure was recorded."""


@dataclass(frozen=True)
class Attempt:
    """What of an operation under way decides about its end; `attempts` counts this one."""

    operation: OperationType
    repeatable: bool
    attempts: int
    formats: Sequence[WriteFormat] = ()
    """Of a write: the format it went in, and then those in which it has not gone yet."""


@dataclass(frozen=True)
class Settlement:
    """What becomes of an operation after an attempt."""

    status: Status
    reason: str | None = None
    result: dict[str, Any] | None = None
    content: Any = None
    attempt_counts: bool = True
    wait: Wait = Wait.NOTHING
    refused_format: WriteFormat | None = None
    """The format that the device does not take; it is to be sent again in another."""
    delay_s: float | None = None
    """Seconds before which it is not to be sent again."""
    device_is_absent: bool = False
    """Nothing else is to be sent to the device before its next registered or updated event either."""
    leshan_is_away: bool = False


def settle(attempt: Attempt, outcome: Outcome) -> Settlement:
    """Decide what becomes of an operation whose attempt ended so.

    An attempt counts unless nothing left for the device. A device that answered is awake: it is asked again
    after a growing delay. One that did not is asked again after its next sign of life, and for the third time
    in vain. What nobody knows to have happened is not done twice, unless doing it twice is harmless: all but
    an execute are, and an execute that is marked repeatable.
    """
    reason = _reason(outcome.reason)
    result: dict[str, Any] | None = {"status": outcome.coap_status} if outcome.coap_status else None
    if result is not None and outcome.content is not None:
        result["content"] = outcome.content
    match outcome.verdict:
        case Verdict.CONFIRMED:
            return Settlement(Status.CONFIRMED, None, result, outcome.content)
        case Verdict.REFUSED if len(attempt.formats) > 1 and (outcome.coap_status or "").endswith("(415)"):
            return Settlement(Status.QUEUED, reason, result, refused_format=attempt.formats[0])
        case Verdict.REFUSED:
            return Settlement(Status.FAILED, reason, result, outcome.content)
        case Verdict.INVALID:
            return Settlement(Status.FAILED, reason, attempt_counts=False)
        case Verdict.ABSENT:
            return Settlement(
                Status.QUEUED,
                reason,
                attempt_counts=False,
                wait=Wait.NEWER_THAN_CLAIM,
                device_is_absent=True,
            )
        case Verdict.AWAY:
            return Settlement(Status.QUEUED, reason, attempt_counts=False, leshan_is_away=True)
        case Verdict.UNKNOWN | Verdict.INTERRUPTED if not _may_repeat(attempt):
            return Settlement(Status.FAILED, _reason(f"outcome unknown: {outcome.reason}"))
        case Verdict.FAILED:
            if attempt.attempts >= MAX_ANSWERED_ATTEMPTS:
                return Settlement(Status.FAILED, reason, result)
            return Settlement(Status.QUEUED, reason, result, delay_s=RETRY_DELAYS_S[attempt.attempts - 1])
        case Verdict.UNKNOWN | Verdict.INTERRUPTED:
            if attempt.attempts >= MAX_ATTEMPTS:
                return Settlement(Status.FAILED, reason, result)
            # The registration that interrupted it is the sign of life that it would wait for.
            interrupted = outcome.verdict is Verdict.INTERRUPTED
            wait = Wait.NEWER_THAN_CLAIM if interrupted else Wait.NEWER_THAN_NOW
            return Settlement(Status.QUEUED, reason, result, wait=wait)


def settle_unanswered() -> Settlement:
    """Decide what becomes of an operation whose claim was perhaps committed: PostgreSQL did not answer.

    Nothing was sent, since the worker did not know that the operation was its own: the attempt is given back.
    """
    reason = "PostgreSQL did not answer the claim; nothing was sent"
    return Settlement(Status.QUEUED, reason, attempt_counts=False)


def settle_expired(attempt: Attempt) -> Settlement:
    """Decide what becomes of an operation whose worker never came back: its lease is over.

    The attempt counts, since the request may have left. It goes out again without waiting for the device: the
    failure was not the device's.
    """
    reason = "the worker that sent it did not come back"
    if not _may_repeat(attempt):
        return Settlement(Status.FAILED, f"outcome unknown: {reason}")
    if attempt.attempts >= MAX_ATTEMPTS:
        return Settlement(Status.FAILED, reason)
    return Settlement(Status.QUEUED, reason)


def _may_repeat(attempt: Attempt) -> bool:
    return attempt.repeatable or attempt.operation is not OperationType.EXECUTE


def _reason(text: str | None) -> str | None:
    """Return a reason as the database can keep it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_REASON] if text else None
