"""A profile: what is read and observed of the endpoints that fit a filter, and how they are spoken to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flownexus.errors import ValidationFailedError
from flownexus.operations.filter import BadFilterError, Field, Filter, comparisons, parse_filter
from flownexus.operations.firmware_way import FirmwareWay
from flownexus.operations.plan import Entry, parse_plan
from flownexus.operations.write_format import WriteFormat

MAX_PROFILE_NAME: Final = 63  # characters
DEFAULT_PRIORITY: Final = 100
MAX_PRIORITY: Final = 1000
MAX_AWAKE_TIME_S: Final = 24 * 3600
MAX_REQUEST_TIMEOUT_S: Final = 3600
_NAME: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{MAX_PROFILE_NAME - 1}}}", re.ASCII)
_FIELDS: Final = (
    "filter", "priority", "plan", "awake_time_s", "request_timeout_s", "content_format", "firmware_way",
    "enabled",
)  # fmt: skip


@dataclass(frozen=True)
class NewProfile:
    """A profile as a user asks for it, all of it checked."""

    name: str
    filter: Filter
    priority: int
    plan: tuple[Entry, ...]
    awake_time_s: int | None
    request_timeout_s: int | None
    content_format: WriteFormat | None
    firmware_way: FirmwareWay | None
    enabled: bool


def is_profile_name(text: str) -> bool:
    """Say whether a text may be the name of a profile."""
    return _NAME.fullmatch(text) is not None


def parse_profile(name: str, body: object) -> NewProfile:
    """Check the JSON body of a profile of this name.

    `body` is {"filter"?, "priority"?, "plan", "awake_time_s"?, "request_timeout_s"?, "content_format"?,
    "firmware_way"?, "enabled"?}. Raises ValidationFailedError naming each field that is not valid, and what
    would be.
    """
    if not is_profile_name(name):
        raise ValidationFailedError(
            f"the name of a profile is 1 to {MAX_PROFILE_NAME} small letters, digits, - and _, "
            "such as trackers"
        )
    if not isinstance(body, Mapping):
        raise ValidationFailedError(f"a profile is a JSON object with {', '.join(_FIELDS)}")
    wrong = {
        str(field)[:64]: f"is unknown; the fields are {', '.join(_FIELDS)}"
        for field in body
        if field not in _FIELDS
    }
    text, priority, enabled = (
        body.get("filter", ""), body.get("priority", DEFAULT_PRIORITY), body.get("enabled", True),
    )  # fmt: skip
    chosen: Filter | None = None
    if not isinstance(text, str):
        wrong["filter"] = (
            "is a text such as model==tracker-*;tag.site==berlin; an empty one fits all endpoints"
        )
    else:
        try:
            chosen = parse_filter(text)
        except BadFilterError as error:
            wrong["filter"] = error.reason
    if chosen is not None and any(each.field is Field.PROFILE for each in comparisons(chosen)):
        wrong["filter"] = "compares profile, which is what it decides; compare something else"
    if not _is_whole(priority, MAX_PRIORITY, least=0):
        wrong["priority"] = (
            f"is a whole number from 0 to {MAX_PRIORITY}; of the profiles that fit, the highest applies"
        )
    if not isinstance(enabled, bool):
        wrong["enabled"] = "is true or false"
    wrong |= {
        field: f"is whole seconds from 1 to {most}, or null"
        for field, most in (("awake_time_s", MAX_AWAKE_TIME_S), ("request_timeout_s", MAX_REQUEST_TIMEOUT_S))
        if body.get(field) is not None and not _is_whole(body[field], most)
    }
    content_format = body.get("content_format")
    if content_format is not None and content_format not in list(WriteFormat):
        wrong["content_format"] = f"is one of {', '.join(WriteFormat)}, or null"
    way = body.get("firmware_way")
    if way is not None and way not in list(FirmwareWay):
        wrong["firmware_way"] = f"is one of {', '.join(FirmwareWay)}, or null"
    plan: tuple[Entry, ...] = ()
    try:
        plan = parse_plan(body.get("plan"))
    except ValidationFailedError as error:
        field, _, reason = error.detail.partition(": ")
        wrong[field] = reason
    if wrong or chosen is None:
        raise ValidationFailedError("; ".join(f"{field}: {what}" for field, what in wrong.items()))
    return NewProfile(
        name=name,
        filter=chosen,
        priority=priority,
        plan=plan,
        awake_time_s=body.get("awake_time_s"),
        request_timeout_s=body.get("request_timeout_s"),
        content_format=None if content_format is None else WriteFormat(content_format),
        firmware_way=None if way is None else FirmwareWay(way),
        enabled=enabled,
    )


def _is_whole(value: Any, most: int, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
