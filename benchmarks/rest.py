"""Requests to functions through the gateway, as a user sends them."""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from local import web
from local.world import World


class Answer(NamedTuple):
    """What a function answered, and how long that took."""

    body: Any
    seconds: float


class Rest:
    """The REST API of a world, with the token that its users have."""

    def __init__(self, world: World) -> None:
        self._port = world.ports.gateway
        self._headers = web.bearer(world.secrets.read("flownexus-api-token"))

    def send(self, method: str, path: str, body: Any = None) -> Answer:
        """Send a request to /function/<path>; raise RuntimeError where it does not succeed."""
        began = time.perf_counter()
        status, text = web.request(self._port, method, f"/function/{path}", body=body, headers=self._headers)
        took = time.perf_counter() - began
        if not 200 <= status < 300:
            raise RuntimeError(f"{method} {path}: {status} {text}")
        return Answer(json.loads(text), took)
