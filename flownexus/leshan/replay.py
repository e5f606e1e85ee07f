"""What was refused once, as the body of a webhook that delivers it again."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from flownexus.errors import ConflictError
from flownexus.leshan.webhook import Kind
from flownexus.lwm2m.path import BadPathError, Path

_SOURCES: Final = UUID("8b6f2d0e-6a4b-4f0e-9d0b-1d5f0f6b7c11")
"""The namespace of the sources of replays: one for each dead letter (RFC 9562, 5.5)."""
_RESOURCE_DEPTH: Final = 3


def replay_body(id_: int, kind: str, item: str) -> tuple[Kind, bytes]:
    """Return the webhook and the body by which a dead letter's item is delivered once more.

    The body is an envelope whose source belongs to the dead letter: its mark sees to it that what is
    delivered twice is stored once. Raises ConflictError where the item cannot be delivered again.
    """
    if kind not in set(Kind):
        raise ConflictError(
            f"dead letter {id_} is of the answer to an operation; read the value again, and discard it"
        )
    told = msgspec.json.decode(item)
    webhook, again = (
        (Kind(kind), _unread(told)) if isinstance(told, str) else _rejected(id_, Kind(kind), told)
    )
    envelope = {"source": str(uuid5(_SOURCES, str(id_))), "lane": 0, "first_seq": 1, "items": [again]}
    return webhook, msgspec.json.encode(envelope)


def _unread(text: str) -> Any:
    """Return an item that could not be read; a text where it is not even JSON, which is rejected again."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _rejected(id_: int, kind: Kind, told: Any) -> tuple[Kind, dict[str, Any]]:
    """Return the item of what was rejected: of one node, or of several by path."""
    node = told.get("node") if isinstance(told, dict) and "ep" in told else None
    if kind is Kind.REGISTRATION or not isinstance(node, dict) or not ("kind" in node or _by_path(node)):
        raise ConflictError(
            f"dead letter {id_} is no value that could be delivered again; look at it, and discard it"
        )
    item = {"ep": told["ep"], "ts": told.get("ts")}
    if "kind" not in node:
        return Kind.COMPOSITE, {**item, "val": node}
    try:
        path = Path.parse(told["path"])
    except (KeyError, TypeError, BadPathError):
        raise ConflictError(f"dead letter {id_} does not say which path it is of; discard it") from None
    if kind is Kind.COMPOSITE or path.depth != _RESOURCE_DEPTH:
        return Kind.COMPOSITE, {**item, "val": {str(path): node}}
    return kind, {**item, "obj_id": path.object_id, "inst_id": path.object_instance_id, "val": node}


def _by_path(node: dict[str, Any]) -> bool:
    return bool(node) and all(key.startswith("/") for key in node)
