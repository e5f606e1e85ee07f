"""What a bootstrap server writes to a device: objects 0 and 1, and what else its profile has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

SECURITY_INSTANCE: Final = 1
"""Where most devices have their bootstrap server at 0; Leshan takes another one where this is that of it."""
_PSK_MODE: Final = 0  # of resource /0/x/2


class Server(NamedTuple):
    """A server as objects 0 and 1 describe it; what is None is not written."""

    uri: str
    short_id: int
    lifetime: int
    binding: str
    min_period: int | None
    max_period: int | None
    disable_timeout: int | None
    store_notifications: bool


class Instance(NamedTuple):
    """An object instance that is written: its resources by id, bytes in hex."""

    path: str
    resources: dict[str, Any]


def handed_out(server: Server, identity: str, key: bytes, others: Mapping[str, Any]) -> list[Instance]:
    """Return what is written, in this order; `others` are resources by path (/2/0/0)."""
    security = {
        "0": server.uri,
        "1": False,
        "2": _PSK_MODE,
        "3": identity.encode().hex(),
        "4": "",
        "5": key.hex(),
        "10": server.short_id,
    }
    account = {
        "0": server.short_id,
        "1": server.lifetime,
        "2": server.min_period,
        "3": server.max_period,
        "5": server.disable_timeout,
        "6": server.store_notifications,
        "7": server.binding,
    }
    instances: dict[str, dict[str, Any]] = {}
    for path, value in others.items():
        instance, _, resource = path.rpartition("/")
        instances.setdefault(instance, {})[resource] = value
    return [
        Instance(f"/0/{SECURITY_INSTANCE}", security),
        Instance("/1/0", {id_: value for id_, value in account.items() if value is not None}),
        *(Instance(path, resources) for path, resources in instances.items()),
    ]
