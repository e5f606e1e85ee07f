"""What users and devices do meanwhile: operations at a steady rate, and Sends beside the notifications."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from random import Random
from types import TracebackType
from typing import Any, Final

import aiohttp

from chaos.audit import Asked
from local.web import bearer
from local.world import World

TEMPERATURE: Final = "/3303/0/5700"
TIMEZONE: Final = "/3/0/15"
RESET_ERRORS: Final = "/3/0/12"
SENDS_A_SECOND: Final = 1.0
TIMEOUT: Final = 20.0
"""Seconds that a user waits, and that a device may take to send."""


class Load:
    """Users who queue operations, and devices that send, from entry until exit.

    `asked` says what the users were answered.
    """

    def __init__(self, world: World, devices: list[str], rate: float, random: Random) -> None:
        self.asked: list[Asked] = []
        self._world = world
        self._devices = devices
        self._rate = rate
        self._random = random
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._drive())
        except BaseException as error:  # noqa: BLE001  # raised again by the thread that waits
            self._failure = error

    async def _drive(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        token = bearer(self._world.secrets.read("flownexus-api-token"))
        async with (
            aiohttp.ClientSession(self._world.gateway_url, headers=token, timeout=timeout) as users,
            aiohttp.ClientSession(timeout=timeout) as control,
        ):
            await asyncio.gather(
                self._at_rate(self._rate, lambda number: self._ask(users, number)),
                self._at_rate(SENDS_A_SECOND, lambda _: self._send(control)),
            )

    async def _at_rate(self, rate: float, work: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        """Begin so much work a second, whatever becomes of what was begun before; wait for all of it."""
        began = time.monotonic()
        number = 0
        async with asyncio.TaskGroup() as tasks:
            while not self._stop.is_set():
                tasks.create_task(work(number))
                number += 1
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))

    async def _ask(self, users: aiohttp.ClientSession, number: int) -> None:
        body, mark = self._operation(number)
        began = time.monotonic()
        id_: int | None = None
        try:
            async with users.post("/function/operations", json=body) as response:
                answer = str(response.status)
                if response.status == 201:
                    id_ = (await response.json())["id"]
        except (aiohttp.ClientError, TimeoutError) as error:
            answer = type(error).__name__
        self.asked.append(
            Asked(body["endpoint"], body["operation"], mark, began, time.monotonic(), id_, answer)
        )

    def _operation(self, number: int) -> tuple[dict[str, Any], str]:
        """Return a user's request, and what it is known by."""
        endpoint = self._random.choice(self._devices)
        match self._random.choice(("read", "write", "execute")):
            case "write":
                mark = f"chaos-{number}"
                value = {"type": "STRING", "value": mark}
                body = {"endpoint": endpoint, "operation": "write", "path": TIMEZONE, "value": value}
            case "execute":
                mark = f"0='chaos-{number}'"
                body = {"endpoint": endpoint, "operation": "execute", "path": RESET_ERRORS, "arguments": mark}
            case _:
                mark = ""
                body = {"endpoint": endpoint, "operation": "read", "path": TEMPERATURE}
        return body, mark

    async def _send(self, control: aiohttp.ClientSession) -> None:
        """Let a device send two values unasked; whether that works is in its ledger."""
        device = self._random.choice(self._devices)
        url = f"http://127.0.0.1:{self._world.simulator_port}/devices/{device}/send"
        try:
            async with control.post(url, params={"path": f"{TEMPERATURE},/3/0/9"}) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError):
            pass
