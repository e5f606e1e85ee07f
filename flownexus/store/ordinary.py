"""An item as they all come, for each webhook: who cannot store it can store nothing."""

from __future__ import annotations

from typing import Final

from flownexus.leshan.webhook import REGISTRATION_OBJECT, EventType, Item, Kind
from flownexus.leshan.webhook_registration import Registration
from flownexus.lwm2m.path import Path
from flownexus.lwm2m.value import DataType, Reading
from flownexus.store.value_time import EPOCH

_ENDPOINT: Final = "urn:flownexus:ordinary-item"
_TEMPERATURE: Final = Reading(Path(3303, 0, 5700), DataType.FLOAT, 21.5)


def ordinary_item(kind: Kind) -> Item:
    """Return an item of a webhook that nothing can be wrong with; it is only ever rehearsed."""
    match kind:
        case Kind.SINGLE:
            return Item(_ENDPOINT, None, None, (_TEMPERATURE,))
        case Kind.COMPOSITE:
            return Item(_ENDPOINT, None, EventType.COMPOSITE, (_TEMPERATURE,))
        case Kind.REGISTRATION:
            registered = Reading(Path(REGISTRATION_OBJECT, 0, 0), DataType.TIME, EPOCH)
            return Item(
                _ENDPOINT, None, EventType.REGISTERED, (registered,), registration=Registration(id="ordinary")
            )
