"""What of an operation may be read by those who do not send it: nothing of what is written to keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from flownexus.lwm2m.path import Path
from flownexus.lwm2m.secret import SECRET_OBJECTS
from flownexus.operations.catalogue import OnePath, Operation, WriteComposite
from flownexus.operations.lifecycle import Settlement

T = TypeVar("T", bound=Operation)


def redacted(operation: T) -> T:
    """Return an operation whose values are typed without those that go to objects that hold keys."""
    value: Any = getattr(operation, "value", None)
    if not any(path.object_id in SECRET_OBJECTS for path in operation.written):
        return operation
    if isinstance(operation, WriteComposite):
        hidden = {
            path: _hidden(each) if Path.parse(path).object_id in SECRET_OBJECTS else each
            for path, each in operation.value.items()
        }
    elif "resources" in value:
        hidden = {**value, "resources": {id_: _hidden(each) for id_, each in value["resources"].items()}}
    else:
        hidden = _hidden(value)
    return msgspec.structs.replace(operation, value=hidden)


def _hidden(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a typed value with its type alone; its form cannot be sent."""
    if "values" in value:
        return {**value, "values": dict.fromkeys(value["values"]), "redacted": True}
    return {**value, "value": None, "redacted": True}


def without_secrets(operation: Operation, settlement: Settlement) -> Settlement:
    """Return the end of an operation without what a device answered of objects that hold keys."""
    secret = [path for path in operation.targets if path.object_id in SECRET_OBJECTS]
    if not secret or not operation.brings_values or settlement.content is None:
        return settlement
    content: Any = None
    if not isinstance(operation, OnePath) and isinstance(settlement.content, Mapping):
        named = {str(path) for path in secret}
        content = {path: None if path in named else node for path, node in settlement.content.items()}
    result = None if settlement.result is None else {**settlement.result, "content": content}
    if result is not None and content is None:
        del result["content"]
    return replace(settlement, content=content, result=result)
