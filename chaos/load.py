"""What users and devices do meanwhile: operations at a steady rate, and Sends beside the notifications."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Final

import aiohttp

from chaos.downlink import Asked
from flownexus.operations.new_operation import parse_operation
from local.layout import Layout
from local.web import bearer

TEMPERATURE: Final = "/3303/0/5700"
TIMEZONE: Final = "/3/0/15"
RESET_ERRORS: Final = "/3/0/12"
BATTERY_LEVEL: Final = "/3/0/9"
DISPLAY: Final = "/3341"
"""An object of which users create instances."""
DISPLAY_TEXT: Final = 5527
DISPLAY_ROW: Final = "/3341/0/5528"
MARK: Final = "chaos-[0-9]+"
"""What is in the value of each write, execute and create, and in no other."""
MAX_INSTANCE: Final = 65_000
KINDS_BEFORE: Final = ("read", "write", "execute")
"""What users of earlier versions could ask for, too."""
KINDS: Final = (
    *KINDS_BEFORE,
    *("read-composite", "write-attributes", "create", "delete", "write-composite"),
)
_READS: Final[Mapping[str, dict[str, Any]]] = {
    "read": {"path": TEMPERATURE},
    "read-composite": {"paths": [BATTERY_LEVEL, TEMPERATURE]},
    # Of what nobody observes.
    "write-attributes": {"path": BATTERY_LEVEL, "value": {"pmin": 1, "pmax": 600}},
}
"""What changes no value of a device, by kind."""
SENDS_A_SECOND: Final = 1.0
TIMEOUT: Final = 20.0
"""Seconds that a user waits, and that a device may take to send."""
PAUSE: Final = (0.5, 1.5)
"""Seconds until a request is repeated: at least, at most."""


@dataclass(frozen=True)
class Failure:
    """A request of a user that was repeated: when it was sent, and what was said instead of an answer."""

    at: float
    answer: str


class Load:
    """Users who queue operations, and devices that send, from entry until exit.

    `asked` says what the users were answered in the end. For `patience` seconds they repeat a request that
    was not answered, or by 429 or 5xx; `failures` are those that were repeated. They ask each of `gateways`
    in turn, for one of `kinds` each time.
    """

    def __init__(
        self,
        world: Layout,
        devices: list[str],
        rate: float,
        random: Random,
        patience: float = 0.0,
        kinds: Sequence[str] = KINDS,
    ) -> None:
        self.asked: list[Asked] = []
        self.failures: list[Failure] = []
        self.gateways: tuple[str, ...] = (world.gateway_url,)
        self._world = world
        self._patience = patience
        self._devices = devices
        self._rate = rate
        self._random = random
        self._kinds = kinds
        self._created: list[tuple[str, str]] = []
        """Instances that users may delete, by endpoint and path."""
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
            aiohttp.ClientSession(headers=token, timeout=timeout) as users,
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
        began = sent = time.monotonic()
        id_, answer = await self._post(users, number, body)
        while _is_failure(answer) and sent - began < self._patience:
            self.failures.append(Failure(sent, answer))
            await asyncio.sleep(self._random.uniform(*PAUSE))
            sent = time.monotonic()
            id_, answer = await self._post(users, number, body)
        if id_ is not None and body["operation"] == "create":
            self._created.append((body["endpoint"], body["path"]))
        concerns = parse_operation(body).operation.concerns
        self.asked.append(
            Asked(body["endpoint"], body["operation"], mark, began, time.monotonic(), id_, answer, concerns)
        )

    async def _post(
        self, users: aiohttp.ClientSession, number: int, body: dict[str, Any]
    ) -> tuple[int | None, str]:
        """Return the operation's id, if there is one, and the status of the answer, or why there is none."""
        gateways = self.gateways  # set anew by another thread
        url = f"{gateways[number % len(gateways)]}/function/operations"
        key = {"Idempotency-Key": f'"chaos-{number}"'}
        try:
            async with users.post(url, json=body, headers=key) as response:
                id_ = (await response.json())["id"] if response.status == 201 else None
                return id_, str(response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            return None, type(error).__name__

    def _operation(self, number: int) -> tuple[dict[str, Any], str]:
        """Return a user's request, and what it is known by."""
        endpoint = self._random.choice(self._devices)
        kind = self._random.choice(self._kinds)
        if kind == "delete":
            if not self._created:  # nothing is there to delete yet
                kind = "read"
            else:
                endpoint, path = self._created.pop()
                return {"endpoint": endpoint, "operation": kind, "path": path}, path
        mark = f"chaos-{number}"
        asked: dict[str, Any] = {"endpoint": endpoint, "operation": kind}
        match kind:
            case "write":
                return asked | {"path": TIMEZONE, "value": {"type": "STRING", "value": mark}}, mark
            case "write-composite":
                return asked | {"value": {TIMEZONE: mark, DISPLAY_ROW: number}}, mark
            case "execute":
                arguments = f"0='{mark}'"
                return asked | {"path": RESET_ERRORS, "arguments": arguments}, arguments
            case "create":
                path = f"{DISPLAY}/{1 + number % MAX_INSTANCE}"
                return asked | {"path": path, "value": {"resources": {str(DISPLAY_TEXT): mark}}}, mark
        return asked | _READS[kind], ""

    async def _send(self, control: aiohttp.ClientSession) -> None:
        """Let a device send two values unasked; whether that works is in its ledger."""
        device = self._random.choice(self._devices)
        url = f"http://127.0.0.1:{self._world.simulator_port}/devices/{device}/send"
        try:
            async with control.post(url, params={"path": f"{TEMPERATURE},{BATTERY_LEVEL}"}) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError):
            pass


def _is_failure(answer: str) -> bool:
    """Say whether it helps to repeat a request, by its answer or by why there was none; see docs/api.md."""
    return not answer.isdigit() or answer == "429" or answer.startswith("5")
