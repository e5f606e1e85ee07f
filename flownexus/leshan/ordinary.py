"""An item as they all come, for each webhook: who cannot store it can store nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from flownexus.leshan.webhook import REGISTRATION_OBJECT, Entry, Kind, parse_items
from flownexus.leshan.webhook_body import parse_body

_TEMPERATURE: Final = {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "21.5"}
_REGISTERED: Final = {"kind": "singleResource", "id": 0, "type": "TIME", "value": 0}
_ITEMS: Final[dict[Kind, dict[str, Any]]] = {
    Kind.SINGLE: {"obj_id": 3303, "val": _TEMPERATURE},
    Kind.COMPOSITE: {"val": {"/3303/0/5700": _TEMPERATURE}},
    Kind.REGISTRATION: {"obj_id": REGISTRATION_OBJECT, "val": _REGISTERED, "reg": {"id": "ordinary"}},
}


def ordinary_item(kind: Kind) -> Sequence[Entry]:
    """Read an item of a webhook that nothing can be wrong with; it is only ever rehearsed."""
    body = json.dumps([{"ep": "urn:flownexus:ordinary-item", **_ITEMS[kind]}])
    return parse_items(kind, parse_body(body.encode()))
