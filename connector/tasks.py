"""How background tasks end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

CANCEL_AGAIN_AFTER_S = 0.5
"""After which a task that goes on is cancelled again."""


async def end(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    """Cancel tasks and wait until they have ended, whatever they end with.

    A cancellation that comes in the moment in which asyncio.wait_for() has its result is swallowed by it
    (Python up to 3.11, gh-86296), and nats-py waits by it: so one is not always enough.
    """
    pending = {task for task in tasks if task is not None and not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_AFTER_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # seen: nobody is to be told that it never was
