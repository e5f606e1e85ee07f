"""Run the download server: python -m downloads."""

from __future__ import annotations

import logging
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import uvicorn

from downloads.app import Downloads
from flownexus.errors import MissingSettingError
from flownexus.logs import log_to_stderr
from flownexus.objects.settings import bucket_from_environment
from flownexus.settings import integer_setting
from flownexus.store.pool import pool_from_environment

MAX_CONNECTIONS: Final = 1000
THREADS: Final = 8
GRACE_S: Final = 5
BACKLOG: Final = 512


def main() -> int:
    """Serve until SIGTERM; return the exit code: 0, or 1 after one line that says what is wrong."""
    try:
        log_to_stderr(os.environ.get("log_level") or "info", os.environ.get("log_format") or "json")
    except ValueError as error:
        sys.exit(f"cannot start: {error}")
    log = logging.getLogger("downloads")
    host = os.environ.get("host") or "127.0.0.1"
    try:
        port, bucket = integer_setting("port", 8095), bucket_from_environment()
        listening = socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
        pool = pool_from_environment("downloads", "flownexus-download-database-url")
    except MissingSettingError as error:
        log.error("%s", error)  # noqa: TRY400  # one line, no traceback
        return 1
    except OSError as error:
        log.error("packages cannot be served at %s:%d: %s", host, port, error)  # noqa: TRY400
        return 1
    with listening, pool, ThreadPoolExecutor(THREADS, thread_name_prefix="read") as threads:
        server = uvicorn.Server(
            uvicorn.Config(
                Downloads(pool, threads, bucket),
                loop="uvloop",
                http="httptools",
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                log_level="critical",  # what it says of a device that goes away, we say
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        log.info("packages are served at %s:%d", host, port)
        server.run(sockets=[listening])
    return 0


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


if __name__ == "__main__":
    sys.exit(main())
