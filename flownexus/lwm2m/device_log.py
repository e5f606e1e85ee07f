"""What a device's log says: lines of text, entries in JSON or CBOR, or bytes that are neither.

Object 20, Event Log (OMA LwM2M registry): its LogData (20/x/4014) has "the data of the log", in whatever
form the device writes it. Read are

    text          UTF-8, a line an entry; a line of syslog (RFC 5424, 6) is read as one
    JSON, CBOR    an array of {"time", "severity", "source", "message"}, of which message must be there

and what is neither is kept as it is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final, NamedTuple

from flownexus.lwm2m import cbor

MAX_LINES: Final = 10_000
"""How many entries one value may have; what follows is kept as one more."""
MAX_MESSAGE: Final = 16_384
"""Characters of a message, and bytes of what is no text, that are kept."""
MAX_SOURCE: Final = 255  # characters


class Severity(IntEnum):
    """How grave an entry is (RFC 5424, 6.2.1): the less, the graver."""

    EMERGENCY = 0
    ALERT = 1
    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


_SEVERITIES: Final = {
    **{severity.name.lower(): severity for severity in Severity},
    "emerg": Severity.EMERGENCY,
    "panic": Severity.EMERGENCY,
    "fatal": Severity.CRITICAL,
    "crit": Severity.CRITICAL,
    "err": Severity.ERROR,
    "warn": Severity.WARNING,
    "wrn": Severity.WARNING,
    "information": Severity.INFO,
    "inf": Severity.INFO,
    "dbg": Severity.DEBUG,
    "trace": Severity.DEBUG,
}


class Entry(NamedTuple):
    """An entry of a log; `raw` is what is no text, and then there is no message."""

    message: str | None
    time: datetime | None = None
    """As the device says it; None where it does not."""
    severity: Severity | None = None
    source: str | None = None
    raw: bytes | None = None


# <PRI>VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA [SP MSG]
# (RFC 5424, 6).
_SYSLOG: Final = re.compile(
    r"<(?P<priority>\d{1,3})>1 (?P<time>\S+) (?P<host>\S{1,255}) (?P<app>\S{1,48}) \S{1,128} \S{1,32} "
    r"(?:-|(?:\[(?:[^\]\\]|\\.)*\])+)(?: (?P<message>.*))?",
    re.ASCII | re.DOTALL,
)
_PRIORITY: Final = re.compile(r"<(\d{1,3})>(.*)", re.ASCII | re.DOTALL)
_HIGHEST_PRIORITY: Final = 191
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\ud800-\udfff]")
"""What no text has: control characters, but an escape begins a colour, and halves of a character."""
_MILLISECONDS_FROM: Final = 1e11
"""What is more, as a time, is milliseconds: in seconds it would be the year 5138."""
_BYTE_ORDER_MARK: Final = "\ufeff"


def parse_log(content: bytes | str) -> list[Entry]:
    """Return the entries of a log's content, in order; there are none in nothing."""
    entries = _of_array(content)
    if entries is not None:
        return entries
    if isinstance(content, str):
        return list(_lines(_NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", content)))
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _bytes(content)
    return _bytes(content) if _NO_TEXT.search(text) else list(_lines(text))


def new_entries(before: bytes, now: bytes) -> list[Entry]:
    """Return the entries that a log which tells all it still holds has more than before.

    Such a log grows at its end and forgets at its beginning: what it begins with is the end of what it was.
    """
    entries = _of_array(now)
    if entries is None:
        return parse_log(now[_overlap(before, now) :])
    return entries[_overlap(_of_array(before) or [], entries) :]


def _of_array(content: bytes | str) -> list[Entry] | None:
    """Return the entries of an array in JSON or CBOR; None where it is none of entries."""
    try:
        if isinstance(content, bytes) and 0x80 <= (content[:1] or b"?")[0] <= 0x9F:
            return _entries(cbor.decode(content))  # no UTF-8 begins so
        bracket = "[" if isinstance(content, str) else b"["
        return _entries(json.loads(content)) if content.lstrip().startswith(bracket) else None  # type: ignore[arg-type]
    except (ValueError, RecursionError):
        return None


def _bytes(content: bytes) -> list[Entry]:
    return [Entry(None, raw=content[:MAX_MESSAGE])] if content else []


def _lines(text: str) -> Iterator[Entry]:
    lines = [line for line in text.removeprefix(_BYTE_ORDER_MARK).splitlines() if line.strip()]
    for line in lines[:MAX_LINES]:
        yield _line(line.rstrip())
    if rest := lines[MAX_LINES:]:
        yield Entry("\n".join(rest)[:MAX_MESSAGE])


def _line(line: str) -> Entry:
    """Read one line, of syslog where it is one."""
    if (syslog := _SYSLOG.fullmatch(line)) and int(syslog["priority"]) <= _HIGHEST_PRIORITY:
        source = next((name for name in (syslog["app"], syslog["host"]) if name != "-"), None)
        return Entry(
            (syslog["message"] or "").removeprefix(_BYTE_ORDER_MARK)[:MAX_MESSAGE],
            _time(syslog["time"]),
            Severity(int(syslog["priority"]) % 8),
            source,
        )
    if (marked := _PRIORITY.fullmatch(line)) and int(marked[1]) <= _HIGHEST_PRIORITY:
        return Entry(marked[2].strip()[:MAX_MESSAGE], severity=Severity(int(marked[1]) % 8))
    return Entry(line[:MAX_MESSAGE])


def _entries(items: Any) -> list[Entry] | None:
    """Return the entries that an array is; None where it is none of them, and means something else."""
    if not isinstance(items, list) or not items or len(items) > MAX_LINES:
        return None
    if not all(isinstance(item, Mapping) and isinstance(item.get("message"), str) for item in items):
        return None
    return [_entry(item) for item in items]


def _entry(item: Mapping[Any, Any]) -> Entry:
    source = item.get("source")
    return Entry(
        _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", item["message"])[:MAX_MESSAGE],
        _time(item.get("time")),
        _severity(item.get("severity")),
        _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", source)[:MAX_SOURCE]
        if isinstance(source, str) and source
        else None,
    )


def _severity(value: Any) -> Severity | None:
    if isinstance(value, str):
        return _SEVERITIES.get(value.lower())
    if isinstance(value, int) and not isinstance(value, bool) and value in list(Severity):
        return Severity(value)
    return None


def _time(value: Any) -> datetime | None:
    """Return a time: seconds or milliseconds since 1970, or RFC 3339; None where it is none."""
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return None if time.tzinfo is None else time.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
            return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _overlap(before: Sequence[Any], now: Sequence[Any]) -> int:
    """Return how much the end of `before` and the beginning of `now` have in common, the most there is.

    By the prefix function of Knuth, Morris and Pratt: a time that grows with the length alone.
    """
    if not now:
        return 0
    if now[: len(before)] == before:
        return len(before)
    borders = [0] * len(now)
    length = 0
    for place in range(1, len(now)):
        while length and now[place] != now[length]:
            length = borders[length - 1]
        length += now[place] == now[length]
        borders[place] = length
    length = 0
    for each in before[-len(now) :]:
        while length and (length == len(now) or each != now[length]):
            length = borders[length - 1]
        length += each == now[length]
    return length
