"""What of an operation may be read by those who do not send it: nothing of what is written to keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from flownexus.lwm2m.path import Path
from flownexus.lwm2m.secret import SECRET_OBJECTS
from flownexus.operations.catalogue import Operation
from flownexus.operations.catalogue.base import OnePath
from flownexus.operations.catalogue.composite import WriteComposite
from flownexus.operations.lifecycle import Earlier, Settlement, history_json

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
    if isinstance(operation, OnePath) or not isinstance(settlement.content, Mapping):
        content: Any = None
        history: Sequence[Earlier] = ()
    else:
        named = {str(path) for path in secret}
        content = _without(named, settlement.content)
        history = [
            earlier._replace(content=_without(named, earlier.content))
            for earlier in settlement.history
            if isinstance(earlier.content, Mapping)
        ]
    result = settlement.result
    if result is not None:
        result = {key: each for key, each in result.items() if key not in ("content", "history")}
        if content is not None:
            result["content"] = content
        if history:
            result["history"] = history_json(history)
    return replace(settlement, content=content, history=history, result=result)


def _without(paths: Collection[str], nodes: Mapping[str, Any]) -> dict[str, Any]:
    return {path: None if path in paths else node for path, node in nodes.items()}
