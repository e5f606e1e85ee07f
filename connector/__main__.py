"""Run the connector: python -m connector."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import uvloop

from connector.service import Service
from connector.settings import ConnectorSettings
from flownexus.errors import MissingSettingError
from flownexus.logs import log_to_stderr


async def _run(settings: ConnectorSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Service(settings).run(stop)


def main() -> int:
    """Work until SIGTERM; return the exit code: 0, or 1 after one line that says what is wrong."""
    try:
        log_to_stderr(os.environ.get("log_level") or "info", os.environ.get("log_format") or "json")
    except ValueError as error:
        sys.exit(f"cannot start: {error}")
    # nats-py and aiohttp say what we say, in more words.
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    log = logging.getLogger("connector")
    try:
        settings = ConnectorSettings.from_environment()
    except MissingSettingError as error:
        log.error("%s", error)  # noqa: TRY400  # one line, no traceback
        return 1
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings))
    except OSError as error:
        log.error("health and metrics cannot be served at %s:%d: %s", settings.host, settings.port, error)  # noqa: TRY400
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
