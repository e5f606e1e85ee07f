"""How each part of a world is run: its command line, what ends it, and what says that it is ready."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local import REPOSITORY, web
from local.layout import AUTHORITY_CERTIFICATE, SERVER_CERTIFICATE, SERVER_KEY, SESSIONS_KEY, Layout
from local.openfaas.functions import STOP_TIMEOUT_S
from local.options import STORE_SETTINGS
from local.servers import java
from local.servers.nats import Server
from local.servers.ports import LOOPBACK
from local.servers.postgres import Cluster
from local.supervise.logfile import LogFile
from local.supervise.process import MARK, Command, Process

DOWNLINK_NICE = 3  # as far as stack.yml has the functions of operations stand back
STOP_TIMEOUT = 20.0  # seconds

OnChange = Callable[[Process], None]


@dataclass(frozen=True)
class Part:
    """One process of the world."""

    name: str
    process: Process
    answers: Callable[[], bool]

    def ready(self) -> bool:
        """Say whether it runs and answers; what else answers in its place does not count."""
        return self.process.pid is not None and self.answers()


def postgres(layout: Layout, on_change: OnChange) -> Part:
    """Return the world's own PostgreSQL, its data folder made."""
    # It is to roll open transactions back and stop.
    return _server(layout, "postgres", layout.cluster, on_change, signal.SIGINT, stop_timeout=30.0)


def nats(layout: Layout, on_change: OnChange) -> Part:
    """Return the world's own NATS, its folder and configuration made."""
    return _server(layout, "nats", layout.nats_server, on_change)


def gateway(layout: Layout, on_change: OnChange, answers: Callable[[], bool]) -> Part:
    """Return the gateway, which runs the functions; `answers` says whether they do."""
    long_poll_timeout = milliseconds(layout.timeouts.leshan_s)
    arguments = [
        *(sys.executable, "-m", "local.openfaas.provider"),
        *("--port", str(layout.ports.gateway)),
        *("--stack", str(layout.options.stack)),
        *("--secrets", str(layout.secrets.folder)),
        *("--state", str(layout.home / "functions")),
        *("--logs", str(layout.logs / "functions")),
        *("--long-poll-timeout", long_poll_timeout),
        *_tls(layout),
    ]
    environment = {
        "LONG_POLL_TIMEOUT": long_poll_timeout,
        "EXEC_TIMEOUT": milliseconds(layout.timeouts.execution_s),
        "LESHAN_URL": layout.leshan_url,
        "COAPS_URL": layout.coaps_url,
        "CONSOLE_URL": layout.site_url,
        "FIRMWARE_URLS": ",".join(layout.firmware_urls),
        **layout.options.stack_environment,
        "PYTHONPATH": str(REPOSITORY),
    }
    return _part(
        layout,
        "gateway",
        lambda: _command(layout, arguments, environment),
        answers,
        on_change,
        stop_timeout=STOP_TIMEOUT_S + 6,  # of its functions, all at once
    )


def leshan(layout: Layout, on_change: OnChange) -> Part:
    """Return the Leshan server."""
    folder = layout.home / "leshan"
    folder.mkdir(exist_ok=True, mode=0o700)
    new_endpoints = layout.options.new_endpoints + layout.options.device_count()
    arguments = [
        *(java.java(), *leshan_jvm(layout.options.leshan_heap_mb), "-jar", str(java.SERVER_JAR)),
        *("--coap-host", layout.options.coap_host, "--coap-port", str(layout.ports.coap)),
        *("--coaps-port", str(layout.ports.coaps)),
        *(f"--plain-coap={pattern}" for pattern in layout.options.plain_endpoints()),
        *("--new-endpoints-per-address", str(new_endpoints), "--new-endpoints", str(new_endpoints)),
        *("--http-host", LOOPBACK, "--http-port", str(layout.ports.leshan)),
        *("--metrics-host", LOOPBACK, "--metrics-port", str(layout.ports.leshan_metrics)),
        *("--api-token-file", str(layout.secrets.path("flownexus-leshan-token"))),
        *("--webhook-single", f"{layout.gateway_url}/leshan_api/resource/single"),
        *("--webhook-composite", f"{layout.gateway_url}/leshan_api/resource/composite"),
        *("--webhook-registration", f"{layout.gateway_url}/function/registration"),
        *("--models-url", f"{layout.gateway_url}/function/registration/models"),
        *("--webhook-token-file", str(layout.secrets.path("flownexus-webhook-token"))),
        *("--security-store", str(folder / "security.json")),
        *_certificates(layout),
        *("--spool", str(folder / "spool.db")),
        *("--dtls-sessions", str(folder / "dtls-sessions")),
        *("--dtls-sessions-secret-file", str(layout.secrets.path(SESSIONS_KEY))),
        *(("--models", str(layout.options.models)) if layout.options.models else ()),
        *(_bootstrap(layout) if layout.options.bootstrap else ()),
        *("--firmware-url", f"{layout.downloads_url}/"),
        *("--client-awake-time", milliseconds(layout.options.awake_time)),
        *("--ready-file", str(folder / "ready.json")),
        *("--log-format", "json"),
        *("--log-level", layout.options.log_level.removesuffix("ing")),  # warn, in Java
        *layout.options.leshan_arguments,
    ]
    return _part(
        layout,
        "leshan",
        lambda: _command(layout, arguments, folder=folder),
        lambda: _is_healthy(layout.ports.leshan),
        on_change,
    )


def _tls(layout: Layout) -> tuple[str, ...]:
    """Return the flags by which the gateway speaks TLS, too."""
    if not layout.options.tls:
        return ()
    certificate, key = str(layout.tls_certificate), str(layout.tls_key)
    port = str(layout.ports.tls)
    return ("--tls-port", port, "--tls-certificate", certificate, "--tls-key", key)


def _certificates(layout: Layout) -> tuple[str, ...]:
    """Return the flags of Leshan's certificate and CA, unless the user's own arguments have them."""
    if "--ca-cert" in layout.options.leshan_arguments:
        return ()
    files = {
        "--server-cert": SERVER_CERTIFICATE,
        "--server-key": SERVER_KEY,
        "--ca-cert": AUTHORITY_CERTIFICATE,
    }
    return tuple(word for flag, name in files.items() for word in (flag, str(layout.secrets.path(name))))


def _bootstrap(layout: Layout) -> tuple[str, ...]:
    """Return the flags of Leshan's bootstrap server."""
    return (
        *("--bootstrap-url", f"{layout.gateway_url}/function/api/v1/bootstrap"),
        *("--bootstrap-token-file", str(layout.secrets.path("flownexus-bootstrap-token"))),
        *("--bootstrap-port", str(layout.ports.bootstrap)),
    )


def leshan_jvm(heap_mb: int) -> tuple[str, ...]:
    """Return the JVM's flags for a heap of at most so many MB."""
    return (
        f"-Xms{heap_mb // 4}m",  # not a part of the machine's memory, however large that is
        f"-Xmn{heap_mb * 3 // 16}m",  # so that what is needed for a moment is not copied
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",  # to be started again, rather than to go on without a thread
    )


def downloads(layout: Layout, on_change: OnChange) -> Part:
    """Return the server from which devices download firmware packages."""
    environment = {
        "host": layout.options.coap_host,
        "port": str(layout.ports.downloads),
        "secret_mount_path": str(layout.secrets.folder),
        "database_pool_size": "4",
        "log_level": layout.options.log_level,
        **{name.lower(): layout.options.stack_environment.get(name, "") for name in STORE_SETTINGS},
        "PYTHONPATH": str(REPOSITORY),
    }
    return _part(
        layout,
        "downloads",
        lambda: _command(layout, [sys.executable, "-m", "downloads"], environment, nice=DOWNLINK_NICE),
        lambda: _is_healthy(layout.ports.downloads, layout.options.coap_host),
        on_change,
    )


def connector(layout: Layout, on_change: OnChange) -> Part:
    """Return the connector."""
    environment = {
        "gateway_url": layout.gateway_url,
        "secret_mount_path": str(layout.secrets.folder),
        "long_poll_timeout": milliseconds(layout.timeouts.leshan_s),
        "port": str(layout.ports.connector),
        "log_level": layout.options.log_level,
        "PYTHONPATH": str(REPOSITORY),
    }
    return _part(
        layout,
        "connector",
        lambda: _command(layout, [sys.executable, "-m", "connector"], environment, nice=DOWNLINK_NICE),
        lambda: _is_healthy(layout.ports.connector),
        on_change,
    )


def simulator(layout: Layout, on_change: OnChange, answers: Callable[[], bool]) -> Part:
    """Return the simulated devices; `answers` says whether all of them are registered."""
    folder = layout.home / "simulator"
    folder.mkdir(exist_ok=True, mode=0o700)
    arguments = [
        *(java.java(), "-Xmx512m", "-XX:+UseSerialGC", "-jar", str(java.SIMULATOR_JAR)),
        *("--server", layout.coap_url),
        *(word for group in layout.options.device_groups() for word in ("--group", group)),
        *("--ledger", str(layout.ledger), "--unacknowledged", str(layout.unacknowledged)),
        *("--requests", str(layout.requests)),
        *("--control-port", "0"),
        *("--ready-file", str(layout.simulator_ready)),
        *layout.options.simulator_arguments,
    ]

    def command() -> Command:
        layout.simulator_ready.unlink(missing_ok=True)
        return _command(layout, arguments, folder=folder)

    return _part(
        layout,
        "simulator",
        command,
        lambda: layout.simulator_ready.exists() and answers(),
        on_change,
    )


def milliseconds(seconds: float) -> str:
    """Return a duration as Go and our settings write it."""
    return f"{round(seconds * 1000)}ms"


def _server(
    layout: Layout,
    name: str,
    server: Cluster | Server,
    on_change: OnChange,
    stop_signal: signal.Signals = signal.SIGTERM,
    stop_timeout: float = STOP_TIMEOUT,
) -> Part:
    server.initialize()
    return _part(
        layout,
        name,
        lambda: _command(layout, server.command(), folder=Path("/")),
        server.accepts,
        on_change,
        stop_signal,
        stop_timeout,
    )


def _part(
    layout: Layout,
    name: str,
    command: Callable[[], Command],
    answers: Callable[[], bool],
    on_change: OnChange,
    stop_signal: signal.Signals = signal.SIGTERM,
    stop_timeout: float = STOP_TIMEOUT,
) -> Part:
    process = Process(
        name,
        command,
        LogFile(layout.logs / f"{name}.log"),
        stop_signal=stop_signal,
        stop_timeout=stop_timeout,
        on_change=on_change,
    )
    return Part(name, process, answers)


def _command(
    layout: Layout,
    arguments: list[str],
    environment: Mapping[str, str] | None = None,
    folder: Path = REPOSITORY,
    nice: int = 0,
) -> Command:
    return Command(arguments, {**(environment or {}), MARK: str(layout.home)}, folder, nice)


def _is_healthy(port: int, host: str = LOOPBACK) -> bool:
    try:
        return web.request(port, "GET", "/healthz", timeout=2, host=host)[0] == 200
    except OSError:
        return False
